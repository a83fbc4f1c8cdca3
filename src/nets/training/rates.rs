//! Step sizes of the next steps.

use std::ops::Range;

use handgrad_kernels::{Real, StepSizes};

use super::{Replicas, Training};
use crate::schedule::Schedule;

impl<T: Real> Training<T> {
    /// Those of the iterations, in as few numbers as say them, which are left in `rates`.
    pub(super) fn step_sizes<'a>(&self, iterations: Range<u64>, replicas: usize, rates: &'a mut Vec<T>) -> StepSizes<'a, T> {
        let schedules: Vec<&Schedule> = match &self.replicas {
            Replicas::Alike(schedule) => vec![schedule],
            Replicas::Own(own) => own.iter().map(|own| &own.schedule).collect(),
        };
        let is_constant = schedules.iter().all(|schedule| schedule.is_constant(iterations.clone(), self.steps));
        let steps = (iterations.end - iterations.start) as usize;
        let factor = self.rate_factor();
        let distinct = if is_constant { iterations.start..iterations.start + 1 } else { iterations };
        rates.clear();
        for schedule in schedules {
            rates.extend(distinct.clone().map(|i| T::from_f64(factor * schedule.at(i, self.steps))));
        }
        match (&self.replicas, is_constant) {
            (Replicas::Alike(_), false) => StepSizes::Shared(rates),
            (Replicas::Own(_), false) => StepSizes::Each(rates),
            (Replicas::Alike(_), true) => {
                rates.resize(replicas, rates[0]);
                StepSizes::Constant { lr: rates, steps }
            }
            (Replicas::Own(_), true) => StepSizes::Constant { lr: rates, steps },
        }
    }
}

#[cfg(test)]
mod tests {
    use handgrad_kernels::Context;

    use super::*;
    use crate::loss::Loss;
    use crate::nets::Architecture;
    use crate::nets::training::{Own, Set};
    use crate::optim::Optimiser;
    use crate::schedule::{Decay, Timing};

    /// Step sizes of the steps 4 to 6 of 10 for three replicas: the numbers, and `None` if they are of other kinds than asked for.
    fn numbers(replicas: Replicas, is_kind: fn(&StepSizes<'_, f32>) -> bool) -> Option<Vec<f32>> {
        let (cx, net, set) = (Context::cpu().unwrap(), Architecture::Diagonal { u: 0.3, v: 0.1 }, [1.0, 2.0]);
        let sets = [Set { d: 1, x: &set, y: &set, image: None }];
        let training = Training::over(&cx, &net, &sets, Loss::Mse, replicas, Optimiser::sgd(), 10).unwrap();
        let mut rates = vec![7.0; 2];
        let sizes = training.step_sizes(4..7, 3, &mut rates);
        let all = (0..3).flat_map(|replica| (0..3).map(move |step| sizes.of(replica, 3).at(step)));
        let (all, is_kind) = (all.collect(), is_kind(&sizes));
        is_kind.then_some(all)
    }

    #[test]
    fn constant_step_sizes_are_one_number_for_each_replica() {
        let constant = |peak| Schedule::Constant { peak };
        let cosine = Schedule::Cosine { peak: 0.3, floor: 0.1 };
        // From iteration 6 on, half as much.
        let halved = |at| Schedule::Piecewise { peak: 0.3, decays: vec![Decay { at, divide: 2.0 }], timing: Timing::Same };
        let own = |schedules: &[Schedule]| {
            Replicas::Own(schedules.iter().map(|schedule| Own { schedule: schedule.clone(), set: 0 }).collect())
        };
        // Diagonal networks' kernels descend half of the mean squared error.
        let of = |schedule: &Schedule| -> Vec<f32> { (4..7).map(|step| (2.0 * schedule.at(step, 10)) as f32).collect() };
        let is_constant = |sizes: &StepSizes<'_, f32>| matches!(sizes, StepSizes::Constant { lr: [_, _, _], steps: 3 });
        let is_each = |sizes: &StepSizes<'_, f32>| matches!(sizes, StepSizes::Each(lr) if lr.len() == 9);
        let is_shared = |sizes: &StepSizes<'_, f32>| matches!(sizes, StepSizes::Shared([_, _, _]));

        let members = [constant(0.1), constant(0.2), halved(0.4)];
        let want: Vec<f32> = members.iter().flat_map(of).collect();
        assert_eq!(want, [0.2, 0.2, 0.2, 0.4, 0.4, 0.4, 0.3, 0.3, 0.3]);
        assert_eq!(numbers(own(&members), is_constant), Some(want));
        assert_eq!(numbers(Replicas::Alike(constant(0.1)), is_constant), Some(vec![0.2; 9]));
        for last in [cosine.clone(), halved(0.6)] {
            let members = [constant(0.1), constant(0.2), last.clone()];
            assert_eq!(numbers(own(&members), is_each), Some(members.iter().flat_map(of).collect()));
            assert_eq!(numbers(Replicas::Alike(last.clone()), is_shared), Some(of(&last).repeat(3)));
        }
    }
}

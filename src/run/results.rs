//! What a group of runs measured, as claims and pictures read it.

use std::ops::RangeBounds;

use crate::spec::Seed;
use crate::train::Outcome;

/// Every run of a spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    /// In the order of the spec.
    pub runs: Vec<RunResults>,
}

/// One run over its seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct RunResults {
    /// Identifier.
    pub name: String,
    /// Iterations N.
    pub steps: u64,
    /// Iteration at which the step size first drops.
    pub first_decay: Option<u64>,
    /// Iterations at which metrics were taken.
    pub points: Vec<u64>,
    /// Metric names.
    pub metrics: Vec<String>,
    /// One per seed.
    pub replicas: Vec<Replica>,
}

/// One run for one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica {
    /// Its seed.
    pub seed: Seed,
    /// How it ended.
    pub outcome: Outcome,
    /// Points x metrics; NaN where nothing was measured.
    pub values: Vec<f64>,
    /// Points x parameters, if the spec keeps a trajectory and this is its first seed; else empty.
    pub trajectory: Vec<f64>,
    /// Parameters at the end.
    pub params: Vec<f64>,
}

impl Results {
    /// A run by name.
    pub fn run(&self, name: &str) -> Option<&RunResults> {
        self.runs.iter().find(|run| run.name == name)
    }
}

impl RunResults {
    /// Replicas of our own seeds.
    pub fn own(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.iter().filter(|replica| replica.seed != Seed::Paper)
    }

    /// A seed's replica, if it did not diverge.
    pub fn survivor(&self, seed: Seed) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.seed == seed && replica.outcome == Outcome::Finished)
    }

    /// Where a metric was measured, with its values.
    pub fn series(&self, replica: &Replica, metric: &str) -> Vec<(u64, f64)> {
        let Some(index) = self.metrics.iter().position(|name| name == metric) else { return Vec::new() };
        let values = replica.values.iter().skip(index).step_by(self.metrics.len());
        self.points.iter().copied().zip(values.copied()).filter(|(_, value)| value.is_finite()).collect()
    }

    /// The same within a range of iterations.
    pub fn within(&self, replica: &Replica, metric: &str, iterations: impl RangeBounds<u64>) -> Vec<(u64, f64)> {
        self.series(replica, metric).into_iter().filter(|(step, _)| iterations.contains(step)).collect()
    }

    /// A metric at the last evaluation point.
    pub fn last(&self, replica: &Replica, metric: &str) -> Option<f64> {
        self.series(replica, metric).last().filter(|(step, _)| Some(step) == self.points.last()).map(|&(_, value)| value)
    }

    /// Median of a metric over the evaluation points of a range of iterations.
    pub fn level(&self, replica: &Replica, metric: &str, iterations: impl RangeBounds<u64>) -> Option<f64> {
        let within = self.within(replica, metric, iterations);
        quantile(&within.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), 0.5)
    }

    /// The level at which the loss stabilises: median train loss over the evaluation points in [T/2, T], T the first decay.
    pub fn stabilisation_level(&self, replica: &Replica) -> Option<f64> {
        let decay = self.first_decay?;
        self.level(replica, "train_loss", decay / 2..=decay)
    }
}

/// Linear interpolation between order statistics, as NumPy's default; `None` without values.
pub fn quantile(values: &[f64], fraction: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = fraction * (sorted.len().checked_sub(1)?) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

/// The larger number; NaN if one is, where `f64::max` would hide it.
pub fn nan_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// The smaller number; NaN if one is.
pub fn nan_min(a: f64, b: f64) -> f64 {
    -nan_max(-a, -b)
}

/// Slope and R² of the least-squares line through points; `None` for fewer than three.
pub fn line(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    if points.len() < 3 {
        return None;
    }
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let moment = |of: &dyn Fn(f64, f64) -> f64| points.iter().map(|point| of(point.0 - x, point.1 - y)).sum::<f64>();
    let (xx, xy, yy) = (moment(&|x, _| x * x), moment(&|x, y| x * y), moment(&|_, y| y * y));
    Some((xy / xx, xy * xy / (xx * yy)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(quantile(&values, 0.5), Some(2.5));
        assert_eq!(quantile(&values, 0.1), Some(1.3));
        assert_eq!(quantile(&values, 1.0), Some(4.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn a_line_through_points() {
        // By hand: means 2 and 11/3, moments 2, 5, 38/3.
        let (slope, determination) = line(&[(1.0, 1.0), (2.0, 4.0), (3.0, 6.0)]).unwrap();
        assert!((slope - 2.5).abs() <= 1e-15 && (determination - 25.0 / (2.0 * 38.0 / 3.0)).abs() <= 1e-15);
        assert_eq!(line(&[(1.0, 1.0), (2.0, 4.0)]), None);
    }

    #[test]
    fn gaps_and_divergence_leave_no_last_value() {
        let replica =
            |values: Vec<f64>, outcome| Replica { seed: Seed::Own(0), outcome, values, trajectory: vec![], params: vec![] };
        let finished = replica(vec![4.0, 1.0, f64::NAN, 2.0, 2.0, 3.0], Outcome::Finished);
        let diverged = replica(vec![4.0, 1.0, f64::NAN, f64::NAN, f64::NAN, f64::NAN], Outcome::Diverged { step: 3 });
        let run = RunResults {
            name: "a".into(),
            steps: 9,
            first_decay: Some(8),
            points: vec![0, 4, 8],
            metrics: vec!["train_loss".into(), "l1".into()],
            replicas: vec![finished.clone(), diverged.clone()],
        };
        assert_eq!(run.series(&finished, "train_loss"), [(0, 4.0), (8, 2.0)]);
        assert_eq!((run.last(&finished, "l1"), run.last(&diverged, "l1")), (Some(3.0), None));
        assert_eq!(run.stabilisation_level(&finished), Some(2.0));
        assert!(run.survivor(Seed::Own(0)).is_some_and(|replica| replica.outcome == Outcome::Finished));
        assert!(run.survivor(Seed::Own(1)).is_none());
    }

    #[test]
    fn nothing_hides_a_nan() {
        assert_eq!((nan_max(1.0, 2.0), nan_max(2.0, 1.0), nan_min(1.0, 2.0), nan_min(2.0, 1.0)), (2.0, 2.0, 1.0, 1.0));
        for of in [nan_max, nan_min] {
            assert!(of(f64::NAN, 1.0).is_nan() && of(1.0, f64::NAN).is_nan());
        }
    }
}

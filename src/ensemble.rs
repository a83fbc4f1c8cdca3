//! Many small trainings on samples that are drawn fresh for every step, each with its own step size and noise.
//!
//! Every member sees the same inputs x_t and noises ε_t, functions of the seed and the step alone, and its own targets
//! y = μx + (1-μ)ε: what differs between members is what they were given. Members are trained one after another for a stretch
//! of steps, so that a stretch of samples is drawn once for all of them; the bits of a member are the same alone and in any
//! ensemble.

use handgrad_kernels::{Context, Real};

use crate::data::Dataset;
use crate::draws::{Draws, Order};
use crate::error::{Result, refuse};
use crate::loss::Loss;
use crate::nets::{Architecture, Training};
use crate::optim::{Batch, Optimiser, Sampling};
use crate::rng::{Counter, Stream};
use crate::schedule::Schedule;
use crate::spec::Seed;
use crate::state::State;

/// Steps of a stretch: enough for what a stretch costs besides its steps to be small.
const STRETCH: u64 = 512;

/// What differs between the trainings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Member {
    /// Constant step size.
    pub lr: f64,
    /// μ, the signal's share of the targets.
    pub mu: f64,
}

/// What they have in common.
#[derive(Clone, Debug)]
pub struct Ensemble {
    /// The network, with as many outputs as inputs.
    pub net: Architecture,
    /// Inputs.
    pub d: usize,
    /// Loss over a step's samples.
    pub loss: Loss,
    /// Update rule.
    pub optimiser: Optimiser,
    /// Samples of a step.
    pub batch: usize,
    /// Standard deviation of ε; x is standard normal.
    pub noise: f64,
    /// Steps.
    pub steps: u64,
    /// Seed of the start, which all members share, and of the samples.
    pub seed: u64,
}

/// How a member ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// Parameters at the end, or before the step in which it diverged.
    pub params: Vec<f64>,
    /// That step.
    pub diverged: Option<u64>,
}

impl Ensemble {
    /// Trains every member in the number type T.
    ///
    /// # Errors
    /// If a step size is not positive or a share is not finite; the member is named. If the network and the data do not fit each
    /// other, or there are no samples.
    pub fn train<T: Real>(&self, cx: &Context, members: &[Member]) -> Result<Vec<Trained>> {
        self.check(members)?;
        let optimiser =
            Optimiser { batch: Batch::Random { size: self.batch, sampling: Sampling::Fixed }, ..self.optimiser.clone() };
        let start = self.net.initial(self.d, Seed::Own(self.seed));
        let mut states: Vec<State<T>> =
            members.iter().map(|_| State::new(&[Seed::Own(self.seed)], |_| start.clone(), &optimiser)).collect();
        let (mut at, d) = (0, self.d);
        while at < self.steps {
            let steps = STRETCH.min(self.steps - at);
            let n = steps as usize * self.batch;
            let (x, epsilon) = (self.normals(Stream::Data, at, n), self.normals(Stream::Noise, at, n));
            let mut data = Dataset { d, y: vec![0.0; n * d], x, ..Dataset::default() };
            let draws = Draws { order: Order::Fixed { n: n as u32 }, ..Draws::full() };
            for (&Member { lr, mu }, state) in members.iter().zip(&mut states).filter(|(_, state)| !state.is_over()) {
                for ((y, x), epsilon) in data.y.iter_mut().zip(&data.x).zip(&epsilon) {
                    *y = mu * x + (1.0 - mu) * self.noise * epsilon;
                }
                let schedule = Schedule::Constant { peak: lr };
                let training = Training::<T>::new(cx, &self.net, &data, self.loss, schedule, optimiser.clone(), self.steps)?;
                training.advance(cx, state, std::slice::from_ref(&draws), at + steps)?;
            }
            at += steps;
        }
        let trained = |state: State<T>| Trained {
            params: state.measured().iter().map(|value| value.to_f64()).collect(),
            diverged: state.diverged[0],
        };
        Ok(states.into_iter().map(trained).collect())
    }

    /// Standard normal numbers of n samples from a step on, rows of d.
    fn normals(&self, stream: Stream, step: u64, n: usize) -> Vec<f64> {
        let mut numbers = vec![0.0; n * self.d];
        Counter::new(self.seed, stream).fill_normal(step * (self.batch * self.d) as u64, &mut numbers);
        numbers
    }

    fn check(&self, members: &[Member]) -> Result<()> {
        if members.is_empty() || self.batch == 0 || self.steps == 0 {
            return refuse!(
                "ensemble: {} members, {} steps of {} samples; expected at least 1 each",
                members.len(),
                self.steps,
                self.batch
            );
        }
        for (index, Member { lr, mu }) in members.iter().enumerate() {
            if !(lr.is_finite() && *lr > 0.0) {
                return refuse!("ensemble: the step size of member {index} is {lr}, expected a positive number");
            }
            if !mu.is_finite() {
                return refuse!("ensemble: μ of member {index} is {mu}, expected a finite number");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::{Activation, Bias};
    use crate::optim::Rule;

    fn ensemble(optimiser: Optimiser, batch: usize) -> Ensemble {
        let net = Architecture::mlp(&[4, 6, 4], Bias::None, Activation::Tanh);
        Ensemble { net, d: 4, loss: Loss::Mse, optimiser, batch, noise: 2.0, steps: STRETCH + 100, seed: 3 }
    }

    const MEMBERS: [Member; 3] = [Member { lr: 0.1, mu: 0.3 }, Member { lr: 0.02, mu: 0.9 }, Member { lr: 1e3, mu: 0.0 }];

    #[test]
    fn members_have_the_same_bits_alone_and_together() {
        let cx = Context::cpu().unwrap();
        let adam = Optimiser { rule: Rule::adam(), ..Optimiser::sgd() };
        for (optimiser, batch) in [(Optimiser::sgd(), 1), (Optimiser::sgd(), 3), (adam, 2)] {
            let ensemble = ensemble(optimiser, batch);
            let together = ensemble.train::<f32>(&cx, &MEMBERS).unwrap();
            // Of NaN too.
            let bits = |trained: &Trained| (trained.params.iter().map(|w| w.to_bits()).collect::<Vec<_>>(), trained.diverged);
            for (index, member) in MEMBERS.iter().enumerate() {
                let alone = &ensemble.train::<f32>(&cx, &[*member]).unwrap()[0];
                assert_eq!(bits(alone), bits(&together[index]), "batch {batch}, {member:?}");
            }
            assert_ne!(together[0].params, together[1].params);
            assert!(together[..2].iter().all(|trained| trained.diverged.is_none()));
        }
    }

    /// The same steps in plain loops, from the same numbers.
    #[test]
    fn a_member_is_trained_as_the_formulas_say() {
        let cx = Context::cpu().unwrap();
        let ensemble = Ensemble { steps: 40, ..ensemble(Optimiser::sgd(), 2) };
        let Member { lr, mu } = MEMBERS[0];
        let mut w = ensemble.net.initial(4, Seed::Own(3));
        let (x, epsilon) = (Counter::new(3, Stream::Data), Counter::new(3, Stream::Noise));
        for step in 0..40_u64 {
            let mut gradient = vec![0.0; w.len()];
            for sample in step * 2..step * 2 + 2 {
                let input: Vec<f64> = (0..4).map(|j| x.normal_at(sample * 4 + j)).collect();
                let target: Vec<f64> =
                    (0..4).map(|j| mu * input[j as usize] + (1.0 - mu) * 2.0 * epsilon.normal_at(sample * 4 + j)).collect();
                let a: Vec<f64> = (0..6).map(|i| (0..4).map(|j| w[i * 4 + j] * input[j]).sum::<f64>().tanh()).collect();
                for k in 0..4 {
                    let output: f64 = (0..6).map(|i| w[24 + k * 6 + i] * a[i]).sum();
                    let error = 2.0 * (output - target[k]) / 8.0;
                    for i in 0..6 {
                        gradient[24 + k * 6 + i] += error * a[i];
                        let inner = error * w[24 + k * 6 + i] * (1.0 - a[i] * a[i]);
                        (0..4).for_each(|j| gradient[i * 4 + j] += inner * input[j]);
                    }
                }
            }
            w.iter_mut().zip(&gradient).for_each(|(w, g)| *w -= lr * g);
        }
        let got = &ensemble.train::<f64>(&cx, &MEMBERS[..1]).unwrap()[0];
        assert_eq!(got.diverged, None);
        assert!(got.params.iter().zip(&w).all(|(got, want)| (got - want).abs() <= 1e-12), "{got:?}\n{w:?}");
        let start = ensemble.net.initial(4, Seed::Own(3));
        assert!(start.iter().zip(&w).any(|(start, w)| (start - w).abs() > 0.1));
    }

    #[test]
    fn a_diverging_member_is_recorded_and_stays_finite() {
        let cx = Context::cpu().unwrap();
        let steep = Member { lr: 1e6, mu: 0.5 };
        let trained = &ensemble(Optimiser::sgd(), 1).train::<f32>(&cx, &[steep, MEMBERS[1]]).unwrap();
        assert!(trained[0].diverged.is_some() && trained[1].diverged.is_none(), "{:?}", trained[0].diverged);
    }

    #[test]
    fn wrong_members_are_refused_by_name() {
        let cx = Context::cpu().unwrap();
        let refused = |members: &[Member]| ensemble(Optimiser::sgd(), 1).train::<f32>(&cx, members).unwrap_err().to_string();
        assert!(refused(&[]).contains("0 members"));
        for lr in [0.0, -0.1, f64::NAN, f64::INFINITY] {
            let error = refused(&[MEMBERS[0], Member { lr, mu: 0.5 }]);
            assert!(error.contains(&format!("the step size of member 1 is {lr}, expected a positive number")), "{error}");
        }
        assert!(refused(&[Member { lr: 0.1, mu: f64::NAN }]).contains("μ of member 0 is NaN"));
    }
}

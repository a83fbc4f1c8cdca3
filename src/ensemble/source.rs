//! Where the samples of a group come from.

use std::collections::BTreeMap;
use std::sync::Arc;

use handgrad_kernels::{Context, Real};

use super::{Ensemble, Member, Samples};
use crate::data::Dataset;
use crate::draws::{Draws, Order};
use crate::error::Result;
use crate::nets::{Own, Set, Training};
use crate::optim::{Batch, LabelNoise, Optimiser, Sampling};
use crate::rng::{Counter, Stream};
use crate::spec::Seed;

/// Numbers of a stretch of fresh inputs of a member, about: enough for what a stretch costs besides its steps to be small.
const STRETCH: usize = 1 << 17;
/// Fewest steps of a stretch. All its lengths are powers of two, multiples of the steps that kernels may put together.
const SHORTEST: usize = 16;
/// Most steps of a stretch.
const LONGEST: usize = 4096;

/// The samples of a group of members.
pub(super) struct Source<'a, T: Real> {
    ensemble: &'a Ensemble,
    members: &'a [&'a Member],
    optimiser: Optimiser,
    draws: Vec<Draws>,
    /// Steps for which fresh samples are drawn at once; none for data sets.
    stretch: Option<u64>,
    /// The training on the current samples, and the step from which on they are there.
    current: Option<(u64, Training<T>)>,
}

/// What the next steps of a group take.
pub(super) struct Next<'a, T: Real> {
    /// On the samples of these steps.
    pub training: &'a Training<T>,
    /// One for each member.
    pub draws: &'a [Draws],
    /// The step for which there are no samples any more.
    pub end: u64,
}

impl<'a, T: Real> Source<'a, T> {
    /// Of members that train together.
    pub(super) fn new(ensemble: &'a Ensemble, members: &'a [&'a Member]) -> Result<Source<'a, T>> {
        let mut optimiser = ensemble.optimiser.clone();
        let (stretch, draws) = match ensemble.set_of(members[0]) {
            Some(_) if members[0].noise > 0.0 => {
                optimiser.label_noise = LabelNoise::Gaussian { variance: members[0].noise.powi(2) };
                (None, draws(ensemble, members)?)
            }
            Some(_) => (None, draws(ensemble, members)?),
            None => {
                let size = optimiser.batch_size(1);
                let steps = (STRETCH / (size * ensemble.fresh_d())).clamp(SHORTEST, LONGEST).next_power_of_two();
                optimiser.batch = Batch::Random { size, sampling: Sampling::Fixed };
                let order = Order::Fixed { n: (steps * size) as u32 };
                (Some(steps as u64), vec![Draws { order, ..Draws::full() }; members.len()])
            }
        };
        Ok(Source { ensemble, members, optimiser, draws, stretch, current: None })
    }

    /// For the steps from one on; members that have diverged need no samples.
    pub(super) fn next(&mut self, cx: &Context, step: u64, diverged: &[Option<u64>]) -> Result<Next<'_, T>> {
        let (first, end) = match self.stretch {
            None => (0, u64::MAX),
            Some(stretch) => (step - step % stretch, step - step % stretch + stretch),
        };
        let current = match self.current.take() {
            Some((at, training)) if at == first => (at, training),
            _ => {
                let training = match self.stretch {
                    None => self.on_sets(cx)?,
                    Some(stretch) => self.on_fresh(cx, first, stretch, diverged)?,
                };
                (first, training)
            }
        };
        Ok(Next { training: &self.current.insert(current).1, draws: &self.draws, end })
    }

    /// On the data sets of the members, each packed once.
    fn on_sets(&self, cx: &Context) -> Result<Training<T>> {
        let mut sets: Vec<&Arc<Dataset>> = Vec::new();
        let number = |data| {
            sets.iter().position(|other| Arc::ptr_eq(other, data)).unwrap_or_else(|| {
                sets.push(data);
                sets.len() - 1
            })
        };
        let numbers: Vec<usize> = self.members.iter().filter_map(|member| self.ensemble.set_of(member)).map(number).collect();
        self.on(cx, &sets.into_iter().map(|data| data.as_ref().into()).collect::<Vec<_>>(), &numbers)
    }

    /// On samples of a stretch, drawn for the members that have not diverged.
    fn on_fresh(&self, cx: &Context, first: u64, stretch: u64, diverged: &[Option<u64>]) -> Result<Training<T>> {
        let d = self.ensemble.fresh_d();
        let count = self.optimiser.batch_size(1) * d;
        let mut drawn: BTreeMap<u64, [Vec<f64>; 2]> = BTreeMap::new();
        let (mut targets, mut numbers) = (Vec::new(), Vec::new());
        for (member, diverged) in self.members.iter().zip(diverged) {
            let Samples::Fresh { signal } = member.samples else { continue };
            if diverged.is_some() {
                numbers.push(0);
                continue;
            }
            let [x, epsilon] = drawn.entry(member.seed).or_insert_with(|| {
                [Stream::Data, Stream::Noise].map(|stream| {
                    let mut numbers = vec![0.0; stretch as usize * count];
                    Counter::new(member.seed, stream).fill_normal(first * count as u64, &mut numbers);
                    numbers
                })
            });
            let y: Vec<f64> = x.iter().zip(epsilon).map(|(x, epsilon)| signal * x + member.noise * *epsilon).collect();
            numbers.push(targets.len());
            targets.push((member.seed, y));
        }
        let sets: Vec<Set<'_>> = targets.iter().map(|(seed, y)| Set { d, x: &drawn[seed][0], y, image: None }).collect();
        self.on(cx, &sets, &numbers)
    }

    /// On samples of which the numbers tell every member's.
    fn on(&self, cx: &Context, sets: &[Set<'_>], numbers: &[usize]) -> Result<Training<T>> {
        let own = self.members.iter().zip(numbers);
        let own = own.map(|(member, &set)| Own { schedule: member.schedule.clone(), set }).collect();
        let Ensemble { net, loss, steps, .. } = self.ensemble;
        Training::of_own(cx, net, sets, *loss, own, self.optimiser.clone(), *steps)
    }
}

/// Order and noise of members with data sets.
fn draws(ensemble: &Ensemble, members: &[&Member]) -> Result<Vec<Draws>> {
    let sets = members.iter().filter_map(|member| Some((member, ensemble.set_of(member)?)));
    let draws = |(member, data): (&&Member, &Arc<Dataset>)| {
        Draws::new(ensemble.optimiser.batch, Seed::Own(member.seed), 0, data.n(), ensemble.steps)
    };
    sets.map(draws).collect()
}

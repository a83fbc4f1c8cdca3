//! The training of members that take turns.

use handgrad_kernels::{Context, Real};

use super::source::{Next, Source};
use super::{Ensemble, Measure, Measured, Member, Start};
use crate::error::{Result, refuse};
use crate::spec::Seed;
use crate::state::State;
use crate::train::Progress;

/// Most steps between reports of progress; a whole number of the steps that a kernel is handed at once.
const SLICE: u64 = 16_384;

/// What a group leaves behind.
pub(super) struct Group {
    /// Its members' numbers.
    pub members: Vec<usize>,
    /// Points x members x numbers of a measurement; NaN where a member had diverged.
    pub values: Vec<f64>,
    /// Where a member diverged.
    pub diverged: Vec<Option<u64>>,
    /// Parameters at the end, or nothing.
    pub params: Vec<Vec<f64>>,
}

impl Ensemble {
    /// Trains the members of these numbers.
    pub(super) fn train_group<T: Real>(
        &self,
        cx: &Context,
        all: &[Member],
        numbers: Vec<usize>,
        measure: Measure<'_>,
        progress: &dyn Progress,
    ) -> Result<Group> {
        let members: Vec<&Member> = numbers.iter().map(|&number| &all[number]).collect();
        let starts: Vec<Vec<f64>> = members.iter().map(|member| self.start(member)).collect();
        let seeds: Vec<Seed> = members.iter().map(|member| Seed::Own(member.seed)).collect();
        let mut state = State::<T>::at(&seeds, &starts.concat(), &self.optimiser);
        let mut source = Source::<T>::new(self, &members)?;
        let mut values = Vec::with_capacity(self.points.len() * members.len() * measure.count);
        for (index, &until) in self.points.iter().chain([&self.steps]).enumerate() {
            while state.step < until && !state.is_over() {
                let Next { training, draws, end } = source.next(cx, state.step, &state.diverged)?;
                let to = until.min(end).min(state.step + SLICE);
                let done = (to - state.step) * members.len() as u64;
                training.advance(cx, &mut state, draws, to)?;
                progress.advanced(done, f64::NAN);
            }
            if index < self.points.len() {
                for (place, (&member, start)) in numbers.iter().zip(&starts).enumerate() {
                    if state.diverged[place].is_some() {
                        values.resize(values.len() + measure.count, f64::NAN);
                        continue;
                    }
                    let params = params_of(&state, place);
                    let measured = (measure.of)(Measured { member, step: until, params: &params, start })?;
                    if measured.len() != measure.count {
                        return refuse!("ensemble: a measurement of {} numbers, expected {}", measured.len(), measure.count);
                    }
                    values.extend(measured);
                }
            }
        }
        progress.advanced((self.steps - state.step) * members.len() as u64, f64::NAN);
        let params = if self.keep { (0..members.len()).map(|place| params_of(&state, place)).collect() } else { Vec::new() };
        Ok(Group { members: numbers, values, diverged: state.diverged, params })
    }

    /// Parameters of a member at first.
    fn start(&self, member: &Member) -> Vec<f64> {
        let d = self.set_of(member).map_or_else(|| self.fresh_d(), |data| data.d);
        match &member.start {
            Start::Seed(seed) => self.net.initial(d, Seed::Own(*seed)),
            Start::At(params) => params.clone(),
        }
    }
}

/// Measured parameters of a replica.
fn params_of<T: Real>(state: &State<T>, replica: usize) -> Vec<f64> {
    let count = state.measured().len() / state.replicas();
    state.measured()[replica * count..][..count].iter().map(|value| value.to_f64()).collect()
}

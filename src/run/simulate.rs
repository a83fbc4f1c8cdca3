//! Runs that a figure simulates itself: recursions in a few numbers, for which a network and its training would be a detour.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use handgrad_kernels::{Context, Device};

use super::Options;
use super::checkpoint::Checkpoint;
use crate::error::{Error, Result, refuse};
use crate::experiments;
use crate::spec::{Run, Seed, Spec, applies};
use crate::state::State;
use crate::train::{Outcome, Progress, Trained};

/// How a run comes about for one of our own seeds: a pure function but for telling how many of the run's steps are done.
pub type Simulate = fn(&Spec, &Run, u64, &dyn Progress) -> Result<Simulated>;

/// Iterations between reports of progress.
const REPORTED: u64 = 1024;

/// Counts what is told of a run, and tells no more than its steps.
struct Told<'a> {
    progress: &'a dyn Progress,
    left: AtomicU64,
}

impl Progress for Told<'_> {
    fn advanced(&self, steps: u64, loss: f64) {
        let take = |left: u64| Some(left - steps.min(left));
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or_else(|left| left);
        self.progress.advanced(steps.min(left), loss);
    }
}

/// A run for one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulated {
    /// How it ended.
    pub outcome: Outcome,
    /// Evaluation points x metrics of the run (those of the spec that are taken in it); NaN where nothing was measured.
    pub values: Vec<f64>,
    /// What arrays.npz keeps.
    pub params: Vec<f64>,
}

impl Simulated {
    /// Quantities without a course over iterations: one row of metrics.
    #[must_use]
    pub fn once(values: Vec<f64>, params: Vec<f64>) -> Self {
        Self { outcome: Outcome::Finished, values, params }
    }

    /// The course of a state: `advance(state, i)` is iteration i, `measure` gives the run's metrics of a state. A row that is
    /// not finite is a divergence, where the run ends.
    ///
    /// # Errors
    /// Those of `measure`.
    pub fn along<S>(
        spec: &Spec,
        run: &Run,
        progress: &dyn Progress,
        mut state: S,
        mut advance: impl FnMut(&mut S, u64),
        mut measure: impl FnMut(&S) -> Result<Vec<f64>>,
        params: impl FnOnce(&S) -> Vec<f64>,
    ) -> Result<Self> {
        let points = spec.evaluate.points(run.steps);
        let columns = taken(spec, run).count();
        let mut values = Vec::with_capacity(points.len() * columns);
        let (mut step, mut outcome) = (0, Outcome::Finished);
        for &point in &points {
            while step < point {
                advance(&mut state, step);
                step += 1;
                if step.is_multiple_of(REPORTED) {
                    progress.advanced(REPORTED, f64::NAN);
                }
            }
            let row = measure(&state)?;
            if row.iter().any(|value| !value.is_finite()) {
                outcome = Outcome::Diverged { step };
                break;
            }
            values.extend(row);
        }
        values.resize(points.len() * columns, f64::NAN);
        Ok(Self { outcome, values, params: params(&state) })
    }
}

/// The metrics of a spec that are taken in a run, by their place.
fn taken<'a>(spec: &'a Spec, run: &'a Run) -> impl Iterator<Item = usize> + 'a {
    spec.metrics.iter().enumerate().filter(|(_, metric)| applies(&metric.only, run)).map(|(index, _)| index)
}

/// The simulation of a spec whose data are the figure's own.
///
/// # Errors
/// If the spec has no figure that simulates, or another device than the processor is asked for.
pub(super) fn of(cx: &Context, spec: &Spec) -> Result<Option<Simulate>> {
    if !spec.is_simulated() {
        return Ok(None);
    }
    let simulate = spec.figure.as_deref().map(experiments::find).transpose()?.and_then(|figure| figure.simulate);
    match simulate {
        None => {
            refuse!("spec: data of the kind `own` are drawn by the figure that `figure` names, which does not; keep its name")
        }
        Some(_) if cx.device() != Device::Cpu => {
            refuse!("--device: the figure simulates its runs on the processor; use --device cpu")
        }
        Some(simulate) => Ok(Some(simulate)),
    }
}

/// Simulates a run for a seed, or reads what an interrupted process had finished.
pub(super) fn carry_out(
    cx: &Context,
    spec: &Spec,
    run: &Run,
    seed: Seed,
    simulate: Simulate,
    checkpoint: Option<&Path>,
    options: &Options<'_>,
) -> Result<Trained> {
    let started = Instant::now();
    let told = Told { progress: options.progress, left: AtomicU64::new(run.steps) };
    let Seed::Own(own) = seed else { return refuse!("spec: the figure has no replica of the paper's; set seeds.paper=false") };
    let saved =
        checkpoint.map_or(Ok(None), |path| Checkpoint::<f64>::read(path, cx, &[seed], &|line| options.progress.note(line)))?;
    let done = match saved {
        Some(done) => done,
        None if options.stop.load(Ordering::Relaxed) => {
            return Err(Error::Preempted(checkpoint.and_then(Path::parent).unwrap_or(Path::new(".")).to_owned()));
        }
        None => {
            let Simulated { outcome, values, params } = simulate(spec, run, own, &told)?;
            let (columns, points): (Vec<usize>, _) = (taken(spec, run).collect(), spec.evaluate.points(run.steps).len());
            if values.len() != points * columns.len() {
                let found = values.len();
                return refuse!("runs.{}: {found} values, expected {points} points x {} metrics", run.name, columns.len());
            }
            let mut table = vec![f64::NAN; points * spec.metrics.len()];
            for (row, values) in table.chunks_exact_mut(spec.metrics.len()).zip(values.chunks_exact(columns.len().max(1))) {
                columns.iter().zip(values).for_each(|(&column, &value)| row[column] = value);
            }
            let at = match outcome {
                Outcome::Finished => None,
                Outcome::Diverged { step } => Some(step),
            };
            let [average, statistics, memory] = [(); 3].map(|()| Vec::new());
            let state = State { step: run.steps, seeds: vec![seed], diverged: vec![at], params, average, statistics, memory };
            let done = Checkpoint { state, table };
            if let Some(path) = checkpoint {
                Checkpoint::write(path, cx, &done.state, &done.table)?;
            }
            done
        }
    };
    told.advanced(run.steps, f64::NAN);
    let Checkpoint { state, table } = done;
    let outcomes = state.diverged.iter().map(|at| at.map_or(Outcome::Finished, |step| Outcome::Diverged { step })).collect();
    let (train_seconds, measure_seconds) = (started.elapsed().as_secs_f64(), 0.0);
    Ok(Trained { outcomes, table, params: state.params, train_seconds, measure_seconds })
}

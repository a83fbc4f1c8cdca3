//! The one training loop: advance to the next evaluation point, measure, repeat; checkpoint now and then.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use handgrad_kernels::{Context, Real};

use crate::draws::Draws;
use crate::error::{Error, Result};
use crate::metrics::{self, Measurer, Metric, Replicas};
use crate::nets::Training;
use crate::run::checkpoint::Checkpoint;
use crate::spec::{Run, Seed, Spec, applies};
use crate::state::State;

/// How a run ended for one seed. Diverging is a result, not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All iterations were done.
    Finished,
    /// The first iteration with a residual that is not finite.
    Diverged {
        /// That iteration.
        step: u64,
    },
}

/// Told how far training is.
pub trait Progress: Sync {
    /// `steps` iterations (summed over replicas) are done; `loss` is a current training loss.
    fn advanced(&self, steps: u64, loss: f64);

    /// Something that the user should know, in a line; passed over by default.
    fn note(&self, _line: &str) {}
}

/// Nobody is told.
impl Progress for () {
    fn advanced(&self, _: u64, _: f64) {}
}

/// Stops and saves a group on its way.
#[derive(Clone, Copy, Debug)]
pub struct Control<'a> {
    /// Set by a signal: save and return [`Error::Preempted`].
    pub stop: &'a AtomicBool,
    /// Time between checkpoints.
    pub checkpoint_every: Duration,
}

/// One run for a group of seeds.
pub(crate) struct Job<'a> {
    pub cx: &'a Context,
    pub spec: &'a Spec,
    pub run: &'a Run,
    pub seeds: &'a [Seed],
    pub measurer: &'a Measurer,
    /// Where its checkpoint lives; none for a run that is not kept.
    pub checkpoint: Option<&'a Path>,
    pub control: Control<'a>,
    pub progress: &'a dyn Progress,
}

/// What a group leaves behind.
#[derive(Clone, Debug)]
pub(crate) struct Trained {
    pub outcomes: Vec<Outcome>,
    /// Points x replicas x metrics, NaN where nothing was measured; after each point's the first replica's parameters if the
    /// spec keeps them.
    pub table: Vec<f64>,
    /// Parameters at the end, in f64, replica by replica.
    pub params: Vec<f64>,
    pub train_seconds: f64,
    pub measure_seconds: f64,
}

/// Most iterations, and most samples per replica, between looks at the stop flag and the clock.
const SLICE: u64 = 16_384;
/// See [`SLICE`].
const SLICE_SAMPLES: u64 = 1 << 22;
/// Most numbers that the layers of a network give between these looks: large networks look after every few iterations.
const SLICE_NUMBERS: u64 = 1 << 31;

impl Job<'_> {
    /// Trains from the checkpoint, or from the start, to the end.
    pub fn train<T: Real>(&self) -> Result<Trained> {
        let Job { cx, spec, run, seeds, .. } = *self;
        let data = self.measurer.data();
        let (schedule, optimiser) = (run.schedule.clone(), run.optimiser.clone());
        let net = Training::<T>::new(cx, spec.net_of(run), data, spec.loss_of(run), schedule, optimiser, run.steps)?;
        let draws = |&seed: &Seed| match (&data.order, seed) {
            (Some(order), Seed::Paper) => Draws::published(order, run.optimiser.batch, run.steps),
            _ => Draws::new(run.optimiser.batch, seed, run.paper_order_seed, data.n(), run.steps),
        };
        let draws: Vec<Draws> = seeds.iter().map(draws).collect::<Result<_>>()?;
        let batch = run.optimiser.batch_size(data.n()) as u64;
        let slice = (SLICE_SAMPLES / batch).min(SLICE_NUMBERS / (batch * net.activations() as u64)).clamp(1, SLICE);
        let points = spec.evaluate.points(run.steps);
        let kept = self.kept(net.params());
        let row = seeds.len() * spec.metrics.len() + kept;
        let metrics = spec.metrics.iter().map(|metric| metrics::parse(&metric.name)).collect::<Result<Vec<_>>>()?;

        let begin = State::<T>::new(
            seeds,
            |seed| match (&data.init, seed) {
                (Some(init), Seed::Paper) => init.clone(),
                _ => spec.net_of(run).initial(data.d, seed),
            },
            &run.optimiser,
        )
        .with_statistics(&net.initial_statistics());
        let initial: Vec<f64> = begin.params.iter().map(|value| value.to_f64()).collect();
        let read = |path| Checkpoint::<T>::read(path, cx, seeds, &|line| self.progress.note(line));
        let saved = self.checkpoint.map_or(Ok(None), read)?;
        let Checkpoint { mut state, mut table } = saved.unwrap_or(Checkpoint { state: begin, table: Vec::new() });
        let loss_column = spec.metrics.iter().position(|metric| metric.name == "train_loss");
        let mut loss = f64::NAN;
        self.progress.advanced(state.step * seeds.len() as u64, loss);

        let (mut saved_at, mut train_time, mut measure_time) = (Instant::now(), Duration::ZERO, Duration::ZERO);
        loop {
            let next_point = points.get(table.len() / row).copied();
            let target = next_point.unwrap_or(run.steps);
            while state.step < target {
                let started = Instant::now();
                let until = target.min(state.step + slice);
                let done = (until - state.step) * seeds.len() as u64;
                net.advance(cx, &mut state, &draws, until)?;
                train_time += started.elapsed();
                self.progress.advanced(done, loss);
                let stop = self.control.stop.load(Ordering::Relaxed);
                if let Some(path) = self.checkpoint
                    && (stop || saved_at.elapsed() >= self.control.checkpoint_every)
                {
                    Checkpoint::write(path, cx, &state, &table)?;
                    saved_at = Instant::now();
                }
                if stop {
                    return Err(Error::Preempted(self.checkpoint.and_then(Path::parent).unwrap_or(Path::new(".")).to_owned()));
                }
            }
            if next_point.is_none() {
                break;
            }
            let started = Instant::now();
            let measured = self.measure(&net, &state, &initial, &metrics, table.len() / row, points.len())?;
            loss = loss_column.map_or(f64::NAN, |column| measured[column]);
            table.extend(measured);
            let alive = state.diverged[0].is_none();
            table.extend(state.measured()[..kept].iter().map(|value| if alive { value.to_f64() } else { f64::NAN }));
            measure_time += started.elapsed();
        }
        if let Some(path) = self.checkpoint {
            Checkpoint::write(path, cx, &state, &table)?;
        }
        Ok(Trained {
            outcomes: state.diverged.iter().map(|at| at.map_or(Outcome::Finished, |step| Outcome::Diverged { step })).collect(),
            table,
            params: state.measured().iter().map(|value| value.to_f64()).collect(),
            train_seconds: train_time.as_secs_f64(),
            measure_seconds: measure_time.as_secs_f64(),
        })
    }

    /// Parameters that each point keeps: those of the group's first replica, if it is the spec's first.
    fn kept(&self, params: usize) -> usize {
        let first = self.spec.seeds().first() == self.seeds.first();
        if self.spec.trajectory && first { params } else { 0 }
    }

    /// One row of the table: every metric that is due, of every replica that has not diverged.
    fn measure<T: Real>(
        &self,
        net: &Training<T>,
        state: &State<T>,
        initial: &[f64],
        metrics: &[Metric],
        point: usize,
        points: usize,
    ) -> Result<Vec<f64>> {
        let floor = net.optimiser().valley_projection.map(|valley| net.valley_floor(self.cx, state, valley)).transpose()?;
        let measured = floor.as_deref().unwrap_or(state.measured());
        let count = net.params();
        let mut row = vec![f64::NAN; state.replicas() * self.spec.metrics.len()];
        let all_statistics = net.measured_statistics(self.cx, state)?;
        let running = all_statistics.len() / state.replicas();
        let (mut params, mut origins, mut statistics) = (Vec::new(), Vec::new(), Vec::new());
        let (mut wanted, mut places) = (Vec::new(), Vec::new());
        for (replica, seed) in state.seeds.iter().enumerate().filter(|(replica, _)| state.diverged[*replica].is_none()) {
            params.extend(measured[replica * count..][..count].iter().map(|value| value.to_f64()));
            statistics.extend(all_statistics[replica * running..][..running].iter().map(|value| value.to_f64()));
            origins.extend_from_slice(&initial[replica * count..][..count]);
            let mut due: Vec<Metric> = Vec::new();
            let mut due_places = Vec::new();
            for (index, (metric, &ready)) in self.spec.metrics.iter().zip(metrics).enumerate() {
                let every = if *seed == Seed::Paper { metric.every } else { metric.every_own };
                if applies(&metric.only, self.run) && (point.is_multiple_of(every) || point + 1 == points) {
                    due.push(ready);
                    due_places.push(replica * self.spec.metrics.len() + index);
                }
            }
            wanted.push(due);
            places.push(due_places);
        }
        let batch = self.run.optimiser.batch_size(self.measurer.data().n());
        let replicas = Replicas { params: &params, initial: &origins, statistics: &statistics, batch };
        let values = self.measurer.measure(self.cx, replicas, &wanted)?;
        for (place, value) in places.iter().flatten().zip(values.iter().flatten()) {
            row[*place] = *value;
        }
        Ok(row)
    }
}

//! Carries out a spec: every run for every seed, on a pool of threads, into a folder that can be resumed.

pub mod checkpoint;
mod folder;
mod results;
mod simulate;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use handgrad_kernels::Context;
use rayon::iter::{ParallelBridge, ParallelIterator};

pub(crate) use folder::replace;
pub use folder::{Opened, RunFolder};
pub use results::{Replica, Results, RunResults, line, nan_max, nan_min, quantile};
pub use simulate::{Simulate, Simulated};

use crate::data::Dataset;
use crate::error::{Error, Result, refuse};
use crate::metrics::Measurer;
use crate::spec::{Dtype, Seed, Spec};
use crate::train::{Control, Job, Progress, Trained};

/// Own seeds that one task trains and measures together.
const GROUP: usize = 4;

/// More threads than any machine of today has cores; a larger number is a typing error.
const MAX_THREADS: usize = 1024;

/// How to carry out a spec; nothing here changes a bit of the results.
pub struct Options<'a> {
    /// Threads; 0: as many as cores.
    pub threads: usize,
    /// Where checkpoints are kept; none: nothing is kept.
    pub folder: Option<&'a RunFolder>,
    /// Set by a signal to stop and save.
    pub stop: &'a AtomicBool,
    /// Time between checkpoints.
    pub checkpoint_every: Duration,
    /// Told how far training is.
    pub progress: &'a dyn Progress,
}

/// Seconds that a group spent; they are kept apart from the results.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Run.
    pub run: String,
    /// First seed of the group.
    pub seed: Seed,
    /// Replicas in it.
    pub replicas: usize,
    /// In training steps.
    pub train_seconds: f64,
    /// In measuring.
    pub measure_seconds: f64,
}

/// Refuses a number of threads that no machine has cores for.
///
/// # Errors
/// If there are more than 1024.
pub fn check_threads(threads: usize) -> Result<()> {
    match threads {
        0..=MAX_THREADS => Ok(()),
        _ => refuse!("--threads {threads}: at most {MAX_THREADS} are started; 0 takes one per core"),
    }
}

/// Trains and measures every run of a spec for every seed. `data` is the spec's (`spec.data.load()`); runs and seeds with data
/// of their own draw them.
///
/// # Errors
/// If the spec cannot run, a checkpoint does not fit, a file cannot be written, or a signal stopped it (its state is saved).
pub fn execute(cx: &Context, spec: &Spec, data: Dataset, options: &Options<'_>) -> Result<(Results, Vec<Timing>)> {
    spec.check()?;
    check_threads(options.threads)?;
    let data = Arc::new(data);
    let simulation = simulate::of(cx, spec)?;
    // Runs with a network or a loss of their own need not fit the spec's.
    let needed = simulation.is_none() && spec.runs.iter().any(|run| run.net.is_none() && run.loss.is_none());
    let shared = if needed { Some(Measurer::new(Arc::clone(&data), &spec.net, spec.loss)?) } else { None };
    let (paper, own): (Vec<Seed>, Vec<Seed>) = spec.seeds().into_iter().partition(|&seed| seed == Seed::Paper);
    // The paper's replica is measured most often: it goes first, so that the last tasks are short.
    let group = if spec.seeds.own_data || simulation.is_some() { 1 } else { GROUP };
    let groups: Vec<&[Seed]> = paper.chunks(1).chain(own.chunks(group)).collect();
    let tasks: Vec<(usize, &[Seed])> =
        groups.iter().flat_map(|&seeds| (0..spec.runs.len()).map(move |run| (run, seeds))).collect();
    let failed = AtomicBool::new(false);
    let train = |(run, seeds): (usize, &[Seed])| -> Result<Option<Trained>> {
        if failed.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let run = &spec.runs[run];
        let checkpoint = options.folder.map(|folder| folder.checkpoint(&run.name, seeds[0]));
        if let Some(simulate) = simulation {
            let done = simulate::carry_out(cx, spec, run, seeds[0], simulate, checkpoint.as_deref(), options);
            failed.fetch_or(done.is_err(), Ordering::Relaxed);
            return done.map(Some);
        }
        let own_data = run.data.is_some() || (spec.seeds.own_data && seeds[0] != Seed::Paper);
        let own = if own_data {
            Some(Measurer::new(Arc::new(spec.dataset(run, seeds[0])?), spec.net_of(run), spec.loss_of(run))?)
        } else if run.net.is_some() || run.loss.is_some() {
            Some(Measurer::new(Arc::clone(&data), spec.net_of(run), spec.loss_of(run))?)
        } else {
            None
        };
        let Some(measurer) = own.as_ref().or(shared.as_ref()) else {
            return Ok(None);
        };
        let control = Control { stop: options.stop, checkpoint_every: options.checkpoint_every };
        let job = Job { cx, spec, run, seeds, measurer, checkpoint: checkpoint.as_deref(), control, progress: options.progress };
        let trained = match spec.dtype {
            Dtype::F32 => job.train::<f32>(),
            Dtype::F64 => job.train::<f64>(),
        };
        failed.fetch_or(trained.is_err(), Ordering::Relaxed);
        trained.map(Some)
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build().map_err(|error| {
        Error::Input(format!("--threads {}: cannot start the threads ({error}); ask for fewer", options.threads))
    })?;
    let mut finished = pool.install(|| {
        let outcomes = tasks.iter().enumerate().par_bridge().map(|(index, &task)| (index, train(task)));
        outcomes.collect::<Vec<_>>()
    });
    finished.sort_by_key(|&(index, _)| index);
    let mut trained = Vec::with_capacity(tasks.len());
    for (index, outcome) in finished {
        if let Some(done) = outcome? {
            trained.push((tasks[index], done));
        }
    }
    Ok(assemble(spec, &trained))
}

/// Sorts what the tasks left behind into runs and seeds.
fn assemble(spec: &Spec, trained: &[((usize, &[Seed]), Trained)]) -> (Results, Vec<Timing>) {
    let metrics = spec.metrics.len();
    let replicas_of = |wanted: usize| {
        let groups = trained.iter().filter(move |((run, _), _)| *run == wanted);
        groups.flat_map(|((run, seeds), group)| {
            let points = spec.evaluate.points(spec.runs[*run].steps).len();
            let (row, params) = (group.table.len() / points, group.params.len() / seeds.len());
            seeds.iter().enumerate().map(move |(k, &seed)| Replica {
                seed,
                outcome: group.outcomes[k],
                values: group.table.chunks_exact(row).flat_map(|row| &row[k * metrics..][..metrics]).copied().collect(),
                trajectory: match k {
                    0 => group.table.chunks_exact(row).flat_map(|row| &row[seeds.len() * metrics..]).copied().collect(),
                    _ => Vec::new(),
                },
                params: group.params[k * params..][..params].to_vec(),
            })
        })
    };
    let runs = spec.runs.iter().enumerate().map(|(index, run)| RunResults {
        name: run.name.clone(),
        steps: run.steps,
        first_decay: run.schedule.first_decay(run.steps),
        points: spec.evaluate.points(run.steps),
        metrics: spec.metrics.iter().map(|metric| metric.name.clone()).collect(),
        replicas: replicas_of(index).collect(),
    });
    let timings = trained.iter().map(|((run, seeds), group)| Timing {
        run: spec.runs[*run].name.clone(),
        seed: seeds[0],
        replicas: seeds.len(),
        train_seconds: group.train_seconds,
        measure_seconds: group.measure_seconds,
    });
    (Results { runs: runs.collect() }, timings.collect())
}

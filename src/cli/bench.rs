//! `handgrad bench`

use std::time::Instant;

use clap::{Args, Subcommand};
use handgrad::data::{Data, Dataset, Generator};
use handgrad::draws::Draws;
use handgrad::kernels::diagonal::VARIANTS;
use handgrad::kernels::{Context, Real};
use handgrad::nets::{Diagonal, Net};
use handgrad::optim::Optimiser;
use handgrad::run::check_threads;
use handgrad::schedule::Schedule;
use handgrad::spec::{Dtype, Seed};
use handgrad::state::State;
use handgrad::{Error, Result};
use serde::Serialize;

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Subcommand)]
enum Workload {
    /// Batch-1 SGD on a diagonal linear network: order stream, schedule and divergence check included.
    Diagonal(Sizes),
}

#[derive(Args)]
struct Sizes {
    /// Training samples.
    #[arg(long, default_value_t = 80)]
    n: usize,
    /// Features.
    #[arg(long, default_value_t = 200)]
    d: usize,
    /// Number type.
    #[arg(long, value_enum, default_value = "f32")]
    dtype: Dtype,
    /// Steps timed, after a tenth as many to warm up.
    #[arg(long, default_value_t = 2_000_000)]
    steps: u64,
    /// Threads, one network each.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

#[derive(Serialize)]
struct Answer {
    workload: &'static str,
    n: usize,
    d: usize,
    dtype: Dtype,
    steps: u64,
    threads: usize,
    variant: &'static str,
    steps_per_s: f64,
}

/// Far below the largest stable step size of d features, for the network to stay finite however long it is timed.
fn step_size(d: usize) -> f64 {
    (10.0 / d as f64).min(0.05)
}

pub fn bench(arguments: &Arguments) -> Result<()> {
    let Workload::Diagonal(sizes) = &arguments.workload;
    if sizes.steps == 0 || sizes.threads == 0 {
        return Err(Error::Input(format!("--steps {} --threads {}: expected at least 1 each", sizes.steps, sizes.threads)));
    }
    check_threads(sizes.threads)?;
    let support = sizes.d.div_ceil(10);
    let data = Data::SparseRegression { n: sizes.n, d: sizes.d, support, test: 0, generator: Generator::Xoshiro, seed: 0 };
    data.check()?;
    let (cx, data) = (Context::cpu()?, data.load()?);
    let steps_per_s = match sizes.dtype {
        Dtype::F32 => measure::<f32>(&cx, &data, sizes)?,
        Dtype::F64 => measure::<f64>(&cx, &data, sizes)?,
    };
    super::answer_json(&Answer {
        workload: "diagonal",
        n: sizes.n,
        d: sizes.d,
        dtype: sizes.dtype,
        steps: sizes.steps,
        threads: sizes.threads,
        variant: VARIANTS.runs_under(cx.isa()).name(),
        steps_per_s,
    })
}

/// Steps of all threads per second of wall time.
fn measure<T: Real>(cx: &Context, data: &Dataset, sizes: &Sizes) -> Result<f64> {
    let warm_up = sizes.steps / 10;
    let total = warm_up + sizes.steps;
    let schedule = Schedule::Constant { peak: step_size(sizes.d) };
    let optimiser = Optimiser::sgd();
    let initial = |seed| Net::Diagonal { u: 0.1, v: 0.0 }.initial(data.d, seed);
    let net = Diagonal::<T>::new(cx, data, schedule, optimiser.clone(), total, 1.0)?;
    let seeds: Vec<Seed> = (0..sizes.threads as u64).map(Seed::Own).collect();
    let mut replicas = Vec::with_capacity(seeds.len());
    for &seed in &seeds {
        replicas.push((State::new(&[seed], initial, false), [Draws::new(optimiser.batch, seed, 0, data.n(), total)?]));
    }
    let mut advance = |until: u64| -> Result<f64> {
        let started = Instant::now();
        std::thread::scope(|scope| {
            let advance = |(state, draws): &mut (State<T>, [Draws; 1])| net.advance(cx, state, &*draws, until);
            let threads: Vec<_> = replicas.iter_mut().map(|replica| scope.spawn(move || advance(replica))).collect();
            let broken = |_| Err(Error::Numerics("a benchmark thread stopped".to_owned()));
            threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(broken))
        })?;
        Ok(started.elapsed().as_secs_f64())
    };
    advance(warm_up)?;
    let seconds = advance(total)?;
    if let Some(step) = replicas.iter().find_map(|(state, _)| state.diverged[0]) {
        return Err(Error::Numerics(format!("the benchmark diverged at step {step}; its time means nothing")));
    }
    Ok(sizes.steps as f64 * sizes.threads as f64 / seconds)
}

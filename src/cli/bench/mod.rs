//! `handgrad bench`

mod images;
mod kernels;

use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use handgrad::data::{Data, Dataset, Generator};
use handgrad::draws::Draws;
use handgrad::kernels::{Context, Real};
use handgrad::loss::Loss;
use handgrad::metrics::{self, Measurer, Replicas};
use handgrad::nets::{Activation, Architecture, Bias, Training};
use handgrad::optim::Optimiser;
use handgrad::rng::{self, Stream};
use handgrad::run::check_threads;
use handgrad::schedule::Schedule;
use handgrad::spec::{Dtype, Seed};
use handgrad::state::State;
use handgrad::{Error, Result};
use serde::Serialize;

use super::device::DeviceArguments;

/// SGD on a network, order stream, schedule and divergence check included; or a metric.
#[derive(Args)]
pub struct Arguments {
    /// Network: `diagonal`, `mlp:` and its widths from inputs to outputs, as in mlp:1,100,1, or `resnet18` or `resnet34`, as in
    /// resnet18:width=16. Or an operator: `gemm:` and rows, columns and the sum's length, `conv:` and an image's extent, channels
    /// in and out, as in conv:32,64,64, with a window other than 3 x 3 and a stride as in conv:32,64,128,1,2.
    workload: String,
    /// Training samples.
    #[arg(long, default_value_t = 80)]
    n: usize,
    /// Features of the diagonal network.
    #[arg(long, default_value_t = 200)]
    d: usize,
    /// Layers of an mlp with a bias.
    #[arg(long, value_enum, default_value = "all")]
    bias: Bias,
    /// Function between the layers of an mlp.
    #[arg(long, value_enum, default_value = "relu")]
    activation: Activation,
    /// Largest norm of a gradient.
    #[arg(long)]
    clip: Option<f64>,
    /// Samples per step.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Number type.
    #[arg(long, value_enum, default_value = "f32")]
    dtype: Dtype,
    /// Steps timed, after a tenth as many to warm up; by default 2,000,000, of residual networks 10.
    #[arg(long)]
    steps: Option<u64>,
    /// Replicas, each with its own seed and order; the steps of every one count.
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    /// Threads, an equal part of the replicas each; of a residual network, all for each step.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[command(flatten)]
    device: DeviceArguments,
    /// Operator by operator, without the fused kernel.
    #[arg(long)]
    composed: bool,
    /// Time this metric of the initial network instead, in f64, as in ntk_rank@1e-4.
    #[arg(long, conflicts_with_all = ["clip", "batch", "dtype", "steps", "replicas", "threads", "device", "composed"])]
    metric: Option<String>,
}

/// Steps of tiny networks where no number is given.
const STEPS: u64 = 2_000_000;

#[derive(Serialize)]
struct Answer<'a> {
    workload: &'a str,
    n: usize,
    d: usize,
    batch: usize,
    dtype: Dtype,
    steps: u64,
    replicas: usize,
    threads: usize,
    method: &'static str,
    variant: &'static str,
    /// Of all replicas of all threads.
    replica_steps_per_s: f64,
}

#[derive(Serialize)]
struct MetricAnswer<'a> {
    workload: &'a str,
    n: usize,
    d: usize,
    metric: &'a str,
    value: f64,
    repeats: usize,
    median_s: f64,
}

/// What is timed.
struct Problem {
    net: Architecture,
    data: Dataset,
    optimiser: Optimiser,
    loss: Loss,
    lr: f64,
}

impl Arguments {
    fn problem(&self, net: Architecture) -> Result<Problem> {
        let optimiser = Optimiser { clip: self.clip, ..Optimiser::minibatch_sgd(self.batch) };
        optimiser.check()?;
        if let Architecture::Mlp { widths, .. } = &net {
            let (d, outputs) = (widths[0], widths[widths.len() - 1]);
            // As many test inputs as parameters: metrics of the NTK take them.
            let test = net.initial(d, Seed::Own(0)).len();
            let mut stream = rng::sequential(0, Stream::Data);
            let [x, y, x_test, y_test] = [self.n * d, self.n * outputs, test * d, test * outputs].map(|count| {
                let mut numbers = vec![0.0; count];
                rng::standard_normals(&mut stream, &mut numbers);
                numbers
            });
            let data = Dataset { d, x, y, x_test, y_test, ..Dataset::default() };
            return Ok(Problem { net, data, optimiser, loss: Loss::Mse, lr: 1e-3 / (1.0 + d as f64).sqrt() });
        }
        let (support, test) = (self.d.div_ceil(10), 2 * self.d);
        let data = Data::SparseRegression { n: self.n, d: self.d, support, test, generator: Generator::Xoshiro, seed: 0 };
        data.check()?;
        // Far below the largest stable step size of d features, for the network to stay finite however long it is timed.
        Ok(Problem { net, data: data.load()?, optimiser, loss: Loss::HalfMse, lr: (10.0 / self.d as f64).min(0.05) })
    }
}

/// So many threads.
fn pool(threads: usize) -> Result<rayon::ThreadPool> {
    check_threads(threads)?;
    let refused = |error| Error::Input(format!("--threads {threads}: cannot start the threads ({error}); ask for fewer"));
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(refused)
}

pub fn bench(arguments: &Arguments) -> Result<()> {
    let Arguments { n, replicas, threads, .. } = *arguments;
    let steps = arguments.steps.unwrap_or(STEPS);
    if steps == 0 || threads == 0 || replicas == 0 || n == 0 {
        return Err(Error::Input(format!(
            "--n {n} --steps {steps} --replicas {replicas} --threads {threads}: expected at least 1 each"
        )));
    }
    if let Some(kernel) = kernels::Kernel::parse(&arguments.workload) {
        if replicas != 1 || arguments.clip.is_some() || arguments.composed || arguments.metric.is_some() {
            return Err(Error::Input(format!(
                "bench {}: an operator alone is timed; leave out --replicas, --clip, --composed and --metric",
                arguments.workload
            )));
        }
        return kernels::bench(&arguments.device.context()?, arguments, kernel?);
    }
    let net = super::net::parse("bench ", &arguments.workload, arguments.bias, arguments.activation)?;
    if let Architecture::Resnet(resnet) = net {
        if replicas != 1 || arguments.clip.is_some() || arguments.composed || arguments.metric.is_some() {
            return Err(Error::Input(format!(
                "bench {}: one replica of plain steps is timed; leave out --replicas, --clip, --composed and --metric",
                arguments.workload
            )));
        }
        return images::bench(&arguments.device.context()?, arguments, resnet);
    }
    if !replicas.is_multiple_of(threads) {
        return Err(Error::Input(format!(
            "--replicas {replicas} --threads {threads}: expected as many replicas for each thread"
        )));
    }
    check_threads(threads)?;
    let (cx, problem) = (arguments.device.context()?, arguments.problem(net)?);
    if let Some(metric) = &arguments.metric {
        return time_metric(&cx, arguments, problem, metric);
    }
    let (method, variant, steps_per_s) = match arguments.dtype {
        Dtype::F32 => measure::<f32>(&cx, arguments, &problem, steps)?,
        Dtype::F64 => measure::<f64>(&cx, arguments, &problem, steps)?,
    };
    super::answer_json(&Answer {
        workload: &arguments.workload,
        n,
        d: problem.data.d,
        batch: arguments.batch,
        dtype: arguments.dtype,
        steps,
        replicas,
        threads,
        method,
        variant,
        replica_steps_per_s: steps_per_s,
    })
}

/// The code that ran, and steps of all replicas of all threads per second of wall time.
fn measure<T: Real>(
    cx: &Context,
    arguments: &Arguments,
    problem: &Problem,
    steps: u64,
) -> Result<(&'static str, &'static str, f64)> {
    let Problem { net, data, optimiser, loss, lr } = problem;
    let warm_up = steps / 10;
    let total = warm_up + steps;
    let schedule = Schedule::Constant { peak: *lr };
    let mut training = Training::<T>::new(cx, net, data, *loss, schedule, optimiser.clone(), total)?;
    if arguments.composed {
        training = training.composed(cx)?;
    }
    let mut groups = Vec::with_capacity(arguments.threads);
    let each = (arguments.replicas / arguments.threads) as u64;
    for thread in 0..arguments.threads as u64 {
        let seeds: Vec<Seed> = (thread * each..(thread + 1) * each).map(Seed::Own).collect();
        let draws = seeds.iter().map(|&seed| Draws::new(optimiser.batch, seed, 0, data.n(), total));
        groups.push((State::new(&seeds, |seed| net.initial(data.d, seed), optimiser), draws.collect::<Result<Vec<_>>>()?));
    }
    let mut advance = |until: u64| -> Result<f64> {
        let started = Instant::now();
        std::thread::scope(|scope| {
            let advance = |(state, draws): &mut (State<T>, Vec<Draws>)| training.advance(cx, state, draws, until);
            let threads: Vec<_> = groups.iter_mut().map(|group| scope.spawn(move || advance(group))).collect();
            let broken = |_| Err(Error::Numerics("a benchmark thread stopped".to_owned()));
            threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(broken))
        })?;
        Ok(started.elapsed().as_secs_f64())
    };
    advance(warm_up)?;
    let seconds = advance(total)?;
    if let Some(step) = groups.iter().flat_map(|(state, _)| &state.diverged).find_map(|&step| step) {
        return Err(Error::Numerics(format!("the benchmark diverged at step {step}; its time means nothing")));
    }
    let done = steps as f64 * arguments.replicas as f64;
    Ok((training.method(), training.variant(cx), done / seconds))
}

/// Seconds that a metric is timed for, after a warm-up.
const METRIC_SECONDS: f64 = 2.0;

fn time_metric(cx: &Context, arguments: &Arguments, problem: Problem, name: &str) -> Result<()> {
    let Problem { net, data, loss, .. } = problem;
    let metric = metrics::parse(name)?;
    metric.check(&net)?;
    let (d, initial) = (data.d, net.initial(data.d, Seed::Own(0)));
    let measurer = Measurer::new(Arc::new(data), &net, loss)?;
    let wanted = [vec![metric]];
    let mut value = f64::NAN;
    let mut once = || -> Result<f64> {
        let started = Instant::now();
        value = measurer.measure(cx, Replicas { initial: &initial, ..Replicas::new(&initial) }, &wanted)?[0][0];
        Ok(started.elapsed().as_secs_f64())
    };
    once()?;
    let (mut seconds, started) = (vec![once()?], Instant::now());
    while started.elapsed().as_secs_f64() < METRIC_SECONDS {
        seconds.push(once()?);
    }
    seconds.sort_by(f64::total_cmp);
    let (repeats, median_s) = (seconds.len(), seconds[seconds.len() / 2]);
    super::answer_json(&MetricAnswer { workload: &arguments.workload, n: arguments.n, d, metric: name, value, repeats, median_s })
}

//! Training steps of a residual network on random images.

use std::time::Instant;

use handgrad::data::Dataset;
use handgrad::draws::Draws;
use handgrad::kernels::{Context, Real};
use handgrad::loss::Loss;
use handgrad::nets::{Architecture, Net, Resnet, Source, Training};
use handgrad::optim::{Batch, Optimiser, Rule, Sampling};
use handgrad::rng::{self, Stream};
use handgrad::schedule::Schedule;
use handgrad::spec::{Dtype, Seed};
use handgrad::state::State;
use handgrad::{Error, Result};
use rand::RngExt;
use serde::Serialize;

use super::Arguments;

/// Steps where no number is given.
const STEPS: u64 = 10;
/// Batches that the data set holds.
const BATCHES: usize = 4;

#[derive(Serialize)]
struct Answer<'a> {
    workload: &'a str,
    params: usize,
    batch: usize,
    dtype: Dtype,
    steps: u64,
    threads: usize,
    variant: &'static str,
    /// Median over the steps.
    ms_per_step: f64,
    images_per_s: f64,
    /// Multiplications and additions of the layers with weights, as their formulas have them.
    gflops: f64,
}

pub(super) fn bench(cx: &Context, arguments: &Arguments, resnet: Resnet) -> Result<()> {
    match arguments.dtype {
        Dtype::F32 => measure::<f32>(cx, arguments, resnet),
        Dtype::F64 => measure::<f64>(cx, arguments, resnet),
    }
}

fn measure<T: Real>(cx: &Context, arguments: &Arguments, resnet: Resnet) -> Result<()> {
    let Arguments { batch, threads, .. } = *arguments;
    let steps = arguments.steps.unwrap_or(STEPS);
    let net = Architecture::Resnet(resnet);
    let data = data(resnet, BATCHES * batch);
    let sampling = Batch::Random { size: batch, sampling: Sampling::DropLast };
    let rule = Rule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: false };
    let optimiser = Optimiser { batch: sampling, rule, weight_decay: 5e-4, ..Optimiser::gd() };
    optimiser.check()?;
    // Small, for random labels not to make it diverge however long it is timed.
    let schedule = Schedule::Constant { peak: 1e-3 };
    let warm_up = steps.div_ceil(10);
    let total = warm_up + steps;
    let training = Training::<T>::new(cx, &net, &data, Loss::SoftmaxXent, schedule, optimiser.clone(), total)?;
    let seed = Seed::Own(0);
    let draws = [Draws::new(sampling, seed, 0, data.n(), total)?];
    let mut state =
        State::<T>::new(&[seed], |seed| net.initial(data.d, seed), &optimiser).with_statistics(&training.initial_statistics());
    let pool = super::pool(threads)?;
    let mut seconds = Vec::with_capacity(steps as usize);
    pool.install(|| -> Result<()> {
        for step in 1..=total {
            let started = Instant::now();
            training.advance(cx, &mut state, &draws, step)?;
            if step > warm_up {
                seconds.push(started.elapsed().as_secs_f64());
            }
        }
        Ok(())
    })?;
    if let Some(step) = state.diverged[0] {
        return Err(Error::Numerics(format!("the benchmark diverged at step {step}; its time means nothing")));
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let layers = net.net::<T>(data.d)?;
    crate::cli::answer_json(&Answer {
        workload: &arguments.workload,
        params: training.params(),
        batch,
        dtype: arguments.dtype,
        steps,
        threads,
        variant: training.variant(cx),
        ms_per_step: 1e3 * median,
        images_per_s: batch as f64 / median,
        gflops: layers.map_or(f64::NAN, |layers| operations(&layers)) * batch as f64 / median / 1e9,
    })
}

/// Random images, none of whose pixels is 0, and random classes.
fn data(Resnet { image, classes, .. }: Resnet, n: usize) -> Dataset {
    let d = image.iter().product();
    let mut stream = rng::sequential(0, Stream::Data);
    let x = (0..n * d).map(|_| 1.0 - stream.random::<f64>()).collect();
    let y = (0..n).map(|_| stream.random_range(0..classes) as f64).collect();
    Dataset { d, x, y, image: Some(image), classes: Some(classes), ..Dataset::default() }
}

/// Multiplications and additions of a training step per sample: every weight meets its inputs forward, backward by the weight,
/// and, but for a layer that sees the images, backward by its inputs.
fn operations<T: Real>(net: &Net<T>) -> f64 {
    let of = |node: &handgrad::nets::Node<T>| {
        let Some(weight) = node.layer.slots().into_iter().find(|slot| slot.shape.len() > 1) else { return 0.0 };
        let outputs = weight.shape.first().copied().unwrap_or(1);
        let products = (weight.len() * (node.layer.outputs() / outputs)) as f64;
        2.0 * products * if node.from == Source::Input { 2.0 } else { 3.0 }
    };
    net.nodes().iter().map(of).sum()
}

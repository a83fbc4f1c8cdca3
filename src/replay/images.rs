//! The same over batches of images, in the order in which they are stored.

use std::path::PathBuf;
use std::sync::Arc;

use handgrad_kernels::{Buffer, Context, Real};

use super::{Line, REPLICA, Replay, Summary};
use crate::data::Dataset;
use crate::data::images::push_planes;
use crate::data::npz::Npz;
use crate::draws::Draws;
use crate::error::{Error, Result, refuse};
use crate::loss::TargetBuffer;
use crate::nets::{Objective, Plan, Point, Resnet, StateDict, There, Training, write_gradients};
use crate::spec::Dtype;
use crate::state::State;
use crate::train::Progress;

/// Files of a replay over images.
#[derive(Clone, Debug)]
pub struct Files {
    /// Initial parameters and running statistics.
    pub init: PathBuf,
    /// Where those after the last update go, in the run's number type.
    pub save: Option<PathBuf>,
    /// Where the gradients of the first batch go, in the run's number type; before weight decay.
    pub gradients: Option<PathBuf>,
}

/// Trains a residual network on the images `x` (N, channels, rows, columns) and labels `y` (N) of a file: batch t is rows t·B to
/// (t+1)·B - 1, a last one that is not whole is left out. Bytes are divided by 255 in f32. Returns the loss of every batch before
/// its update, then that of the first batch after all of them, with the running statistics.
///
/// # Errors
/// If an array or a file is missing, malformed or of another shape, or an option does not fit.
pub fn replay_images(
    cx: &Context,
    npz: &Npz,
    net: Resnet,
    options: &Replay,
    files: &Files,
    progress: &dyn Progress,
) -> Result<(Vec<Line>, f64, Summary)> {
    let data = images(npz, net.image)?;
    if options.batch == 0 || options.batch > data.n() {
        return refuse!("--batch {}: expected 1 to {}, the images of {}", options.batch, data.n(), npz.path().display());
    }
    let steps = options.steps.unwrap_or(data.n() / options.batch);
    if steps == 0 || steps > data.n() / options.batch {
        let most = data.n() / options.batch;
        return refuse!("--steps {steps}: {} has {most} batches of {}; ask for 1 to {most}", npz.path().display(), options.batch);
    }
    options.net.check()?;
    options.schedule.check()?;
    options.optimiser().check()?;
    options.net.check_data(data.d, options.loss, data.outputs())?;
    match options.dtype {
        Dtype::F32 => train::<f32>(cx, &data, options, steps, files, progress),
        Dtype::F64 => train::<f64>(cx, &data, options, steps, files, progress),
    }
}

/// Images with channels last, and their labels.
fn images(npz: &Npz, image: [usize; 3]) -> Result<Dataset> {
    let [rows, columns, channels] = image;
    let x = npz.required("x", &[0, channels, rows, columns])?;
    let (n, pixels, bytes) = (x.shape[0], rows * columns, npz.is_bytes("x"));
    let y = npz.required("y", &[n])?.values.clone();
    let scaled = |value: f64| if bytes { f64::from(value as f32 / 255.0) } else { value };
    let mut values = Vec::with_capacity(x.values.len());
    x.values.chunks_exact(channels * pixels).for_each(|planes| push_planes(planes, channels, scaled, &mut values));
    Ok(Dataset { d: channels * pixels, x: values, y, ..Dataset::default() })
}

fn train<T: Real>(
    cx: &Context,
    data: &Dataset,
    options: &Replay,
    steps: usize,
    files: &Files,
    progress: &dyn Progress,
) -> Result<(Vec<Line>, f64, Summary)> {
    let (optimiser, batch, total) = (options.optimiser(), options.batch, options.total.unwrap_or(steps) as u64);
    let Some(layers) = options.net.net::<T>(data.d)?.map(Arc::new) else { return refuse!("--net: expected a network of images") };
    let start = StateDict::read(&files.init, &layers)?;
    let mut state = State::<T>::new(&[REPLICA], |_| start.params.clone(), &optimiser).with_statistics(&start.statistics);
    let training = Training::<T>::new(cx, &options.net, data, options.loss, options.schedule.clone(), optimiser, total)?;
    let draws = [Draws::listed((0..(steps * batch) as u32).collect())];
    let mut plan = Plan::new(cx, Arc::clone(&layers), batch)?;
    let x: Vec<T> = data.x.iter().map(|&x| T::from_f64(x)).collect();
    let batch_at = |step: usize| -> Result<(There<'_, T>, TargetBuffer<T>)> {
        let images = step * batch..(step + 1) * batch;
        let target = TargetBuffer::new(cx, options.loss, &data.y[images.clone()])?;
        Ok((There::new(cx, &x[images.start * data.d..images.end * data.d])?, target))
    };
    let mut lines = Vec::with_capacity(steps);
    for step in 0..steps {
        let loss = {
            let ((x, target), params) = (batch_at(step)?, There::new(cx, &state.params)?);
            let point = Point::new(batch, x.view(), params.view());
            let objective = Objective { loss: options.loss, point, target: target.view() };
            let loss = plan.loss(cx, &objective)?.to_f64();
            if !loss.is_finite() {
                break;
            }
            if step == 0
                && let Some(path) = &files.gradients
            {
                let mut gradient = Buffer::zeros(cx, layers.params())?;
                plan.gradient(cx, &objective, gradient.view_mut())?;
                write_gradients(path, &layers, &gradient.to_vec()?)?;
            }
            loss
        };
        lines.push(Line { step, train_loss: loss, test_loss: None });
        training.advance(cx, &mut state, &draws, step as u64 + 1)?;
        progress.advanced(1, loss);
        if state.is_over() {
            break;
        }
    }
    if lines.is_empty() {
        return Err(Error::Input("the loss of the first batch is not finite, expected a finite one; scale `init` down".into()));
    }
    let (x, target) = batch_at(0)?;
    let (params, statistics) = (There::new(cx, &state.params)?, There::new(cx, &state.statistics)?);
    let point = Point { statistics: statistics.view(), ..Point::new(batch, x.view(), params.view()) };
    let evaluated = options.loss.forward(cx, layers.outputs(), plan.forward(cx, point)?, target.view())?.to_f64();
    if let Some(path) = &files.save {
        let wide = |values: &[T]| values.iter().map(|value| value.to_f64()).collect();
        StateDict { params: wide(&state.params), statistics: wide(&state.statistics) }.write::<T>(path, &layers)?;
    }
    let summary = Summary::of(&lines, steps, state.diverged[0], training.variant(cx));
    Ok((lines, evaluated, summary))
}

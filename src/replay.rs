//! Training from arrays that somebody else made, loss by loss; and measuring parameters that somebody else found.

use std::path::Path;

use handgrad_kernels::{Context, Real};
use serde::Serialize;

use crate::data::Dataset;
use crate::data::npz::Npz;
use crate::draws::{Draws, Order};
use crate::error::{Error, Result, refuse};
use crate::metrics::{self, DiagonalNtk, Measurer};
use crate::nets::{Diagonal, Net};
use crate::optim::{Batch, Optimiser, Sampling};
use crate::rng::{Counter, Stream};
use crate::schedule::Schedule;
use crate::spec::{Dtype, Seed};
use crate::state::State;
use crate::train::Progress;

/// Loss functions over predictions h and targets y.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Loss {
    /// `1/(2n) Σ (h - y)²`
    HalfMse,
    /// `1/n Σ (h - y)²`
    Mse,
}

impl Loss {
    /// Multiple of the half mean squared error, and of its gradient.
    fn factor(self) -> f64 {
        match self {
            Loss::HalfMse => 1.0,
            Loss::Mse => 2.0,
        }
    }
}

/// What to replay.
#[derive(Clone, Copy, Debug)]
pub struct Replay {
    /// Loss that is trained and reported.
    pub loss: Loss,
    /// Step size.
    pub lr: f64,
    /// Updates; none: one per row of `order`.
    pub steps: Option<usize>,
    /// Samples per update.
    pub batch: usize,
    /// Number type of training; losses are computed in f64.
    pub dtype: Dtype,
}

/// The one replica; nothing is drawn for it.
const REPLICA: Seed = Seed::Own(0);

/// Losses before the update of a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Updates done before.
    pub step: usize,
    /// On the training set.
    pub train_loss: f64,
    /// On the test set, if there is one.
    pub test_loss: Option<f64>,
}

/// How a replay went.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Lines written.
    pub steps: usize,
    /// Whether a loss or a residual stopped being finite.
    pub diverged: bool,
    /// The step at which it did; its own line is there if the losses before its update were finite.
    pub diverged_at: Option<usize>,
    /// Instruction set that ran.
    pub variant: &'static str,
    /// The last line.
    pub last: Option<Line>,
}

/// Replays SGD on a diagonal network. Arrays: `x` (n, d), `y` (n) or `beta_star` (d), optionally `x_test` with `y_test`, `init`
/// (2d) (u then v; otherwise u = 0.1, v = 0), and `order` (steps) or, for batches, (steps, batch): sample indices.
///
/// # Errors
/// If an array is missing, has another shape, or holds a number out of range; if an option does not fit; or if a loss is not
/// finite even before the first update.
pub fn replay(cx: &Context, npz: &Npz, options: &Replay, progress: &dyn Progress) -> Result<(Vec<Line>, Summary)> {
    let data = Dataset::from_npz(npz)?;
    let init = match npz.optional("init", &[2 * data.d])? {
        Some(init) => init.values.clone(),
        None => Net::Diagonal { u: 0.1, v: 0.0 }.initial(data.d, REPLICA),
    };
    let Replay { lr, batch, .. } = *options;
    let at = npz.path().display();
    if !(lr.is_finite() && lr >= 0.0) {
        return refuse!("--lr {lr}: expected a finite number >= 0");
    }
    if batch == 0 {
        return refuse!("--batch 0: expected at least 1 sample per update");
    }
    let shape: &[usize] = match npz.shape("order") {
        Some(&[_, columns]) if columns != batch => {
            return refuse!("{at}: array `order` has {columns} columns, expected as many as --batch {batch}; change one of them");
        }
        Some([_, _]) => &[0, batch],
        _ if batch > 1 => &[0, batch],
        _ => &[0],
    };
    let order = npz.indices("order", shape, data.n())?;
    let rows = order.len() / batch;
    let steps = options.steps.unwrap_or(rows);
    if steps == 0 || steps > rows {
        return refuse!("--steps {steps}: `order` in {at} has {rows} rows; ask for 1 to {rows}");
    }
    let (lines, summary) = match options.dtype {
        Dtype::F32 => {
            [("x", &data.x), ("y", &data.y), ("init", &init)]
                .iter()
                .try_for_each(|(name, values)| check_f32(npz, name, values))?;
            train::<f32>(cx, data, &init, order, steps, options, progress)?
        }
        Dtype::F64 => train::<f64>(cx, data, &init, order, steps, options, progress)?,
    };
    if lines.is_empty() {
        return refuse!(
            "{at}: the losses of the initial parameters are not finite, expected finite ones; scale the data or `init` down"
        );
    }
    Ok((lines, summary))
}

/// Refuses numbers that would be infinite in f32.
fn check_f32(npz: &Npz, name: &str, values: &[f64]) -> Result<()> {
    match values.iter().position(|&value| !(value as f32).is_finite()) {
        Some(position) => refuse!(
            "{}: `{name}` holds {:e} at flat position {position}, expected magnitudes of at most {:e} in f32; scale it down, or give --dtype f64",
            npz.path().display(),
            values[position],
            f32::MAX
        ),
        None => Ok(()),
    }
}

fn train<T: Real>(
    cx: &Context,
    data: Dataset,
    init: &[f64],
    order: Vec<u32>,
    steps: usize,
    options: &Replay,
    progress: &dyn Progress,
) -> Result<(Vec<Line>, Summary)> {
    let factor = options.loss.factor();
    let optimiser = Optimiser { batch: Batch::Random { size: options.batch, sampling: Sampling::Fixed }, ..Optimiser::gd() };
    let net = Diagonal::<T>::new(cx, &data, Schedule::Constant { peak: options.lr }, optimiser, steps as u64, factor)?;
    let mut state = State::<T>::new(&[REPLICA], |_| init.to_vec(), false);
    let draws = [Draws { order: Order::Listed(order), noise: Counter::new(0, Stream::Noise) }];
    let measurer = Measurer::new(data);
    let wanted = vec![vec![metrics::parse("train_loss")?, metrics::parse("test_loss")?]];
    let has_test = !measurer.data().y_test.is_empty();
    let mut lines: Vec<Line> = Vec::with_capacity(steps);
    for step in 0..steps {
        let params: Vec<f64> = state.params.iter().map(|value| value.to_f64()).collect();
        let losses = &measurer.measure(cx, &params, &wanted)?[0];
        if !losses[0].is_finite() || (has_test && !losses[1].is_finite()) {
            break;
        }
        lines.push(Line { step, train_loss: factor * losses[0], test_loss: has_test.then(|| factor * losses[1]) });
        net.advance(cx, &mut state, &draws, step as u64 + 1)?;
        progress.advanced(1, losses[0]);
        if state.is_over() {
            break;
        }
    }
    let diverged_at = state.diverged[0].map(|step| step as usize).or((lines.len() < steps).then_some(lines.len()));
    let variant = handgrad_kernels::diagonal::VARIANTS.runs_under(cx.isa()).name();
    let summary =
        Summary { steps: lines.len(), diverged: diverged_at.is_some(), diverged_at, variant, last: lines.last().copied() };
    Ok((lines, summary))
}

/// Writes `step,train_loss,test_loss`; the file appears as a whole.
///
/// # Errors
/// If it cannot be written.
pub fn write_lines(path: &Path, lines: &[Line]) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| Error::io("write", path)(std::io::Error::other(error.to_string()));
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(["step", "train_loss", "test_loss"]).map_err(|error| failed(&error))?;
    lines.iter().try_for_each(|line| writer.serialize(line)).map_err(|error| failed(&error))?;
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    crate::run::replace(path, &bytes)
}

/// Metrics of one parameter vector. What overflows is null in JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Singular values above the threshold times the largest; none if they overflow.
    pub ntk_rank: Option<usize>,
    /// Singular values of the NTK feature matrix, descending: d of them, since its columns are parallel in pairs, or one per row
    /// if there are fewer rows.
    pub singular_values: Vec<f64>,
    /// Entries with |u_j v_j| > 1e-50.
    pub l0: usize,
    /// Half mean squared error on the training set.
    pub train_loss: f64,
    /// The same on the test set, if there is one.
    pub test_loss: Option<f64>,
}

/// Measures the parameters in array `key` (2d) (u then v). The NTK's rows are `x_eval` if present, else the first 2d of `x_test`.
///
/// # Errors
/// If an array is missing or malformed, or the threshold is not a finite number >= 0.
pub fn measure(cx: &Context, npz: &Npz, key: &str, threshold: f64) -> Result<Measured> {
    if !(threshold.is_finite() && threshold >= 0.0) {
        return refuse!("--ntk-rank {threshold}: expected a finite number >= 0");
    }
    let data = Dataset::from_npz(npz)?;
    let d = data.d;
    let params = &npz.required(key, &[2 * d])?.values;
    let rank = metrics::parse(&format!("ntk_rank@{threshold:e}"))?;
    let rows = match npz.optional("x_eval", &[0, d])? {
        Some(rows) => rows.values.as_slice(),
        None if data.x_test.is_empty() => {
            return refuse!(
                "{}: neither `x_eval` nor `x_test` is there; save one of them, [rows, {d}], for the rank",
                npz.path().display()
            );
        }
        None => &data.x_test[..data.x_test.len().min(2 * d * d)],
    };
    let singular_values = DiagonalNtk::new(rows, d).singular_values(&params[..d], &params[d..], 0.0)?;
    let has_test = !data.y_test.is_empty();
    let wanted = vec![["train_loss", "test_loss", "l0@1e-50"].map(metrics::parse).into_iter().collect::<Result<Vec<_>>>()?];
    let values = Measurer::new(data).measure(cx, params, &wanted)?.remove(0);
    Ok(Measured {
        ntk_rank: singular_values.iter().all(|value| value.is_finite()).then(|| rank.count(&singular_values)),
        singular_values,
        l0: values[2] as usize,
        train_loss: values[0],
        test_loss: has_test.then_some(values[1]),
    })
}

//! Training from arrays that somebody else made, loss by loss; and measuring parameters that somebody else found.

mod images;

use std::path::Path;
use std::sync::Arc;

use handgrad_kernels::{Context, Real};
use serde::Serialize;

use crate::data::Dataset;
use crate::data::npz::Npz;
use crate::draws::Draws;
use crate::error::{Error, Result, refuse};
use crate::loss::Loss;
use crate::metrics::{self, DiagonalNtk, Measurer, Replicas};
use crate::nets::{Architecture, Plan, Point, Training};
use crate::optim::{Batch, Optimiser, Rule, Sampling};
use crate::schedule::Schedule;
use crate::spec::{Dtype, Seed};
use crate::state::State;
use crate::train::Progress;
pub use images::{Files, replay_images};

/// What to replay.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Network; its initial parameters are `init`.
    pub net: Architecture,
    /// Loss that is trained and reported.
    pub loss: Loss,
    /// Step sizes.
    pub schedule: Schedule,
    /// Iterations of the whole run, which the schedule's fractions refer to; none: one per row of `order`.
    pub total: Option<usize>,
    /// Updates; none: one per row of `order`.
    pub steps: Option<usize>,
    /// Samples per update.
    pub batch: usize,
    /// Clipping, see [`Optimiser::clip`].
    pub clip: Option<f64>,
    /// Weight decay, see [`Optimiser::weight_decay`].
    pub weight_decay: f64,
    /// Momentum, see [`Rule::Sgd`].
    pub momentum: f64,
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

impl Summary {
    /// Of the lines of so many steps, the last of which may be missing.
    fn of(lines: &[Line], steps: usize, diverged: Option<u64>, variant: &'static str) -> Summary {
        let diverged_at = diverged.map(|step| step as usize).or((lines.len() < steps).then_some(lines.len()));
        Summary { steps: lines.len(), diverged: diverged_at.is_some(), diverged_at, variant, last: lines.last().copied() }
    }
}

/// Replays SGD. Arrays: `x` (n, d), `y` (n, or n x outputs) or `beta_star` (d), optionally `x_test` with `y_test`, `init` (one
/// number per parameter; a diagonal network starts at u = 0.1, v = 0 without it), and `order` (steps) or, for batches,
/// (steps, batch): sample indices.
///
/// # Errors
/// If an array is missing, has another shape, or holds a number out of range; if an option does not fit; or if a loss is not
/// finite even before the first update.
pub fn replay(cx: &Context, npz: &Npz, options: &Replay, progress: &dyn Progress) -> Result<(Vec<Line>, Summary)> {
    let data = Dataset::from_npz(npz)?;
    let at = npz.path().display();
    let batch = options.batch;
    if batch == 0 {
        return refuse!("--batch 0: expected at least 1 sample per update");
    }
    options.net.check()?;
    options.schedule.check()?;
    options.optimiser().check()?;
    options.net.check_data(data.d, options.loss, data.outputs())?;
    let params = options.net.initial(data.d, REPLICA).len();
    let init = match (npz.optional("init", &[params])?, &options.net) {
        (Some(init), _) => init.values.clone(),
        (None, Architecture::Diagonal { .. }) => options.net.initial(data.d, REPLICA),
        (None, _) => return refuse!("{at}: there is no array `init`; save the {params} initial parameters, layer by layer"),
    };
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
            train::<f32>(cx, data, &init, (order, rows), steps, options, progress)?
        }
        Dtype::F64 => train::<f64>(cx, data, &init, (order, rows), steps, options, progress)?,
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

impl Replay {
    fn optimiser(&self) -> Optimiser {
        Optimiser {
            batch: Batch::Random { size: self.batch, sampling: Sampling::Fixed },
            rule: Rule::Sgd { momentum: self.momentum, dampening: 0.0, nesterov: false },
            clip: self.clip,
            weight_decay: self.weight_decay,
            ..Optimiser::gd()
        }
    }
}

fn train<T: Real>(
    cx: &Context,
    data: Dataset,
    init: &[f64],
    (order, rows): (Vec<u32>, usize),
    steps: usize,
    options: &Replay,
    progress: &dyn Progress,
) -> Result<(Vec<Line>, Summary)> {
    let (optimiser, total) = (options.optimiser(), options.total.unwrap_or(rows) as u64);
    let mut state = State::<T>::new(&[REPLICA], |_| init.to_vec(), &optimiser);
    let net = Training::<T>::new(cx, &options.net, &data, options.loss, options.schedule.clone(), optimiser, total)?;
    let draws = [Draws::listed(order)];
    let measurer = Measurer::new(Arc::new(data), &options.net, options.loss)?;
    let wanted = vec![vec![metrics::parse("train_loss")?, metrics::parse("test_loss")?]];
    let has_test = !measurer.data().y_test.is_empty();
    let mut lines: Vec<Line> = Vec::with_capacity(steps);
    for step in 0..steps {
        let params: Vec<f64> = state.params.iter().map(|value| value.to_f64()).collect();
        let losses = &measurer.measure(cx.host(), Replicas { initial: init, ..Replicas::new(&params) }, &wanted)?[0];
        if !losses[0].is_finite() || (has_test && !losses[1].is_finite()) {
            break;
        }
        lines.push(Line { step, train_loss: losses[0], test_loss: has_test.then(|| losses[1]) });
        net.advance(cx, &mut state, &draws, step as u64 + 1)?;
        progress.advanced(1, losses[0]);
        if state.is_over() {
            break;
        }
    }
    let summary = Summary::of(&lines, steps, state.diverged[0], net.variant(cx));
    Ok((lines, summary))
}

/// Writes `step,train_loss,test_loss`, and a last line `eval` if there is a loss for it; the file appears as a whole.
///
/// # Errors
/// If it cannot be written.
pub fn write_lines(path: &Path, lines: &[Line], evaluated: Option<f64>) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| Error::io("write", path)(std::io::Error::other(error.to_string()));
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(["step", "train_loss", "test_loss"]).map_err(|error| failed(&error))?;
    lines.iter().try_for_each(|line| writer.serialize(line)).map_err(|error| failed(&error))?;
    if let Some(loss) = evaluated {
        writer.serialize(("eval", loss, "")).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    crate::run::replace(path, &bytes)
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Measure {
    /// Network.
    pub net: Architecture,
    /// Loss.
    pub loss: Loss,
    /// Name of the array that holds the parameters.
    pub params: String,
    /// Singular values count if above this fraction of the largest.
    pub ntk_rank: f64,
    /// Correlation thresholds of the feature sparsity, as given.
    pub sparsity: Vec<String>,
    /// Hidden layer of the feature sparsity, counted from 1; none: the last.
    pub layer: Option<usize>,
}

/// Metrics of one parameter vector. What overflows is null in JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Singular values above the threshold times the largest; none if they overflow.
    pub ntk_rank: Option<usize>,
    /// Singular values of the NTK feature matrix, descending: of a diagonal network d of them, since its columns are parallel in
    /// pairs; one per row if there are fewer rows.
    pub singular_values: Vec<f64>,
    /// Of a diagonal network: entries with |u_j v_j| > 1e-50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l0: Option<usize>,
    /// Of other networks: feature sparsity by threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<serde_json::Map<String, serde_json::Value>>,
    /// Loss on the training set.
    pub train_loss: f64,
    /// The same on the test set, if there is one.
    pub test_loss: Option<f64>,
}

/// Measures the parameters in an array. The NTK's rows are `x_eval` if present, else the first of `x_test`: twice as many as
/// features for a diagonal network, as many as parameters for others.
///
/// # Errors
/// If an array is missing or malformed, or an option does not fit the network.
pub fn measure(cx: &Context, npz: &Npz, options: &Measure) -> Result<Measured> {
    let Measure { net, loss, ntk_rank, .. } = options;
    net.check()?;
    if !(ntk_rank.is_finite() && *ntk_rank >= 0.0) {
        return refuse!("--ntk-rank {ntk_rank}: expected a finite number >= 0");
    }
    let data = Dataset::from_npz(npz)?;
    let d = data.d;
    net.check_data(d, *loss, data.outputs())?;
    let layers = net.net::<f64>(d)?;
    let count = layers.as_ref().map_or(2 * d, |layers| layers.params());
    let params = &npz.required(&options.params, &[count])?.values;
    let place = options.layer.map_or(String::new(), |layer| format!(".{layer}"));
    let names = match layers {
        None => vec!["l0@1e-50".to_owned()],
        Some(_) => options.sparsity.iter().map(|threshold| format!("sparsity{place}@{threshold}")).collect(),
    };
    let wanted = ["train_loss", "test_loss"].into_iter().chain(names.iter().map(String::as_str));
    let wanted = wanted.map(metrics::parse).collect::<Result<Vec<_>>>()?;
    wanted.iter().try_for_each(|metric| metric.check(net))?;
    let rank = metrics::parse(&format!("ntk_rank@{ntk_rank:e}"))?;
    let rows = match npz.optional("x_eval", &[0, d])? {
        Some(rows) => rows.values.clone(),
        None if data.x_test.is_empty() => {
            return refuse!(
                "{}: neither `x_eval` nor `x_test` is there; save one of them, [rows, {d}], for the rank",
                npz.path().display()
            );
        }
        None => data.x_test[..data.x_test.len().min(count * d)].to_vec(),
    };
    let singular_values = match layers {
        None => DiagonalNtk::new(&rows, d).singular_values(&params[..d], &params[d..], 0.0)?,
        Some(layers) => {
            let n = rows.len() / d;
            let mut gradients = vec![0.0; n * count];
            let point = Point::new(n, (&rows).into(), params.into());
            Plan::new(cx, Arc::new(layers), n)?.sample_gradients(cx, point, 0, (&mut gradients).into())?;
            metrics::rank::singular_values(n, count, &gradients)?
        }
    };
    let has_test = !data.y_test.is_empty();
    let diagonal = matches!(net, Architecture::Diagonal { .. });
    let values = Measurer::new(Arc::new(data), net, *loss)?
        .measure(cx, Replicas { initial: params, ..Replicas::new(params) }, &[wanted])?
        .remove(0);
    let sparsity = options.sparsity.iter().cloned().zip(values[2..].iter().map(|&value| value.into())).collect();
    Ok(Measured {
        ntk_rank: singular_values.iter().all(|value| value.is_finite()).then(|| rank.count(&singular_values)),
        singular_values,
        l0: diagonal.then(|| values[2] as usize),
        sparsity: (!diagonal).then_some(sparsity),
        train_loss: values[0],
        test_loss: has_test.then_some(values[1]),
    })
}

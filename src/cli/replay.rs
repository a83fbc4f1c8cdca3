//! `handgrad replay` and `handgrad measure`

use std::path::{Path, PathBuf};

use handgrad::data::npz::Npz;
use handgrad::kernels::Context;
use handgrad::loss::Loss;
use handgrad::nets::Architecture;
use handgrad::replay::{
    Files, Line, Measure, Replay, Summary, measure as measure_params, replay as replay_arrays, replay_images, write_lines,
};
use handgrad::schedule::{Decay, Schedule, Timing};
use handgrad::spec::Dtype;
use handgrad::{Error, Result};

use super::answer_json;
use super::device::DeviceArguments;
use super::net::NetArguments;
use super::progress::Bar;

#[derive(clap::Args)]
pub struct ReplayArguments {
    /// .npz with x, y (or beta_star), order, init (optional for diagonal), and optionally x_test, y_test. For networks of images:
    /// x (N, channels, rows, columns) and y, taken in their order.
    arrays: PathBuf,
    #[command(flatten)]
    net: NetArguments,
    /// Loss trained and reported.
    #[arg(long, value_enum, default_value = "half-mse")]
    loss: Loss,
    /// Step size; that of iteration 0 under --warmup.
    #[arg(long, allow_hyphen_values = true)]
    lr: f64,
    /// Iterations of the whole run, which fractions refer to; by default one per row of `order`.
    #[arg(long)]
    total: Option<usize>,
    /// Up to iteration T = int(P·total) the step size is lr·(1 + (F - 1)(i/total)^E).
    #[arg(long, value_name = "F,E,P", value_delimiter = ',', num_args = 1, allow_hyphen_values = true)]
    warmup: Vec<f64>,
    /// Divide the step size by D at iteration int(P·total): from its start for an mlp, from its end for `diagonal`, as the
    /// papers' codes do.
    #[arg(long, value_name = "P,D", value_delimiter = ',', num_args = 1, allow_hyphen_values = true)]
    decay: Vec<f64>,
    /// Largest norm of a gradient.
    #[arg(long, allow_hyphen_values = true)]
    clip: Option<f64>,
    /// Weight decay: λ·w is added to the gradient.
    #[arg(long = "wd", default_value_t = 0.0, allow_hyphen_values = true)]
    weight_decay: f64,
    /// Momentum.
    #[arg(long, default_value_t = 0.0, allow_hyphen_values = true)]
    momentum: f64,
    /// Updates; by default one per row of `order`. They only stop early: fractions refer to --total.
    #[arg(long, allow_negative_numbers = true)]
    steps: Option<usize>,
    /// Samples per update: columns of `order`.
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    batch: usize,
    /// Number type of training.
    #[arg(long, value_enum, default_value = "f64")]
    dtype: Dtype,
    #[command(flatten)]
    device: DeviceArguments,
    /// Where the losses are written, as step,train_loss,test_loss.
    #[arg(long)]
    out: PathBuf,
    /// Of a network of images: initial weights (and running statistics), a safetensors file.
    #[arg(long)]
    init: Option<PathBuf>,
    /// Of a network of images: where the weights after the last update go.
    #[arg(long)]
    save: Option<PathBuf>,
    /// Of a network of images: where the gradients of the first batch go.
    #[arg(long)]
    gradients: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct MeasureArguments {
    /// .npz with x, y (or beta_star), the parameters, and x_eval or x_test.
    arrays: PathBuf,
    #[command(flatten)]
    net: NetArguments,
    /// Loss reported.
    #[arg(long, value_enum, default_value = "half-mse")]
    loss: Loss,
    /// Name of the array that holds the parameters.
    #[arg(long)]
    params: String,
    /// Singular values count if above this fraction of the largest.
    #[arg(long, default_value_t = 1e-15, allow_hyphen_values = true)]
    ntk_rank: f64,
    /// Feature sparsity of an mlp at these correlation thresholds.
    #[arg(long, value_delimiter = ',', num_args = 1)]
    sparsity: Vec<String>,
    /// Hidden layer of the feature sparsity, from 1; by default the last.
    #[arg(long)]
    layer: Option<usize>,
}

impl ReplayArguments {
    /// The step sizes that --lr, --warmup and --decay describe.
    fn schedule(&self, net: &Architecture) -> Result<Schedule> {
        let refused = |line: String| Err(Error::Input(line));
        let lr = self.lr;
        if !(lr.is_finite() && lr >= 0.0) {
            return refused(format!("--lr {lr}: expected a finite number >= 0"));
        }
        let decays = match self.decay[..] {
            [] => Vec::new(),
            [at, divide] => vec![Decay { at, divide }],
            _ => return refused(format!("--decay {:?}: expected a fraction and a divisor, as in --decay .5,3", self.decay)),
        };
        let schedule = match self.warmup[..] {
            [] if decays.is_empty() => Schedule::Constant { peak: lr },
            [] => {
                let diagonal = matches!(net, Architecture::Diagonal { .. });
                Schedule::Piecewise { peak: lr, decays, timing: if diagonal { Timing::Next } else { Timing::Same } }
            }
            [factor, exponent, until] => Schedule::PowerWarmup { base: lr, factor, exponent, until, decays },
            _ => {
                return refused(format!(
                    "--warmup {:?}: expected a factor, an exponent and a fraction, as in --warmup 200,1,.5",
                    self.warmup
                ));
            }
        };
        schedule.check()?;
        Ok(schedule)
    }
}

pub fn replay(arguments: &ReplayArguments) -> Result<()> {
    let ReplayArguments {
        arrays,
        loss,
        total,
        steps,
        batch,
        clip,
        weight_decay,
        momentum,
        dtype,
        out,
        init,
        save,
        gradients,
        ..
    } = arguments;
    let net = arguments.net.architecture()?;
    let options = Replay {
        schedule: arguments.schedule(&net)?,
        net,
        loss: *loss,
        total: *total,
        steps: *steps,
        batch: *batch,
        clip: *clip,
        weight_decay: *weight_decay,
        momentum: *momentum,
        dtype: *dtype,
    };
    let cx = arguments.device.context()?;
    let npz = Npz::read(arrays)?;
    check_output("--out", out, arrays)?;
    if let Architecture::Resnet(resnet) = options.net {
        let Some(init) = init.clone() else {
            return Err(Error::Input("--init is missing: the initial weights, as a safetensors file".to_owned()));
        };
        let files = Files { init, save: save.clone(), gradients: gradients.clone() };
        for (flag, path) in [("--save", &files.save), ("--gradients", &files.gradients)] {
            path.as_ref().map_or(Ok(()), |path| check_output(flag, path, arrays))?;
        }
        let images = npz.shape("y").and_then(|shape| shape.first().copied()).unwrap_or(0);
        let bar = Bar::new(steps.unwrap_or(images.checked_div(*batch).unwrap_or(0)) as u64);
        let outcome = replay_images(&cx, &npz, resnet, &options, &files, &bar);
        bar.finish();
        let (lines, evaluated, summary) = outcome?;
        return answer(out, &lines, Some(evaluated), &summary);
    }
    if let Some((flag, _)) =
        [("--init", init), ("--save", save), ("--gradients", gradients)].iter().find(|(_, path)| path.is_some())
    {
        return Err(Error::Input(format!("{flag} is for networks of images; others take their start from the array `init`")));
    }
    let rows = npz.shape("order").and_then(|shape| shape.first().copied());
    let bar = Bar::new(steps.or(rows).unwrap_or(0) as u64);
    let outcome = replay_arrays(&cx, &npz, &options, &bar);
    bar.finish();
    let (lines, summary) = outcome?;
    answer(out, &lines, None, &summary)
}

fn answer(out: &Path, lines: &[Line], evaluated: Option<f64>, summary: &Summary) -> Result<()> {
    write_lines(out, lines, evaluated)?;
    if let Some(step) = summary.diverged_at {
        super::advise(&format!("diverged at step {step}; {} ends there", out.display()));
    }
    answer_json(summary)
}

/// Refuses a place that nothing can be written to, or where the arrays are, before anything is computed.
fn check_output(flag: &str, out: &Path, arrays: &Path) -> Result<()> {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let refused = |why: String| Err(Error::Input(format!("{flag} {}: {why}", out.display())));
    if out.is_dir() || out.as_os_str().as_encoded_bytes().ends_with(b"/") {
        refused("this is a folder, expected a file name such as trace.csv".to_owned())
    } else if !folder.is_dir() {
        refused(format!("there is no folder {}; create it", folder.display()))
    } else if out.canonicalize().is_ok_and(|out| arrays.canonicalize().is_ok_and(|arrays| arrays == out)) {
        refused("this is the file with the arrays, expected another name such as trace.csv".to_owned())
    } else {
        Ok(())
    }
}

pub fn measure(arguments: &MeasureArguments) -> Result<()> {
    let MeasureArguments { arrays, net, loss, params, ntk_rank, sparsity, layer } = arguments;
    let options = Measure {
        net: net.architecture()?,
        loss: *loss,
        params: params.clone(),
        ntk_rank: *ntk_rank,
        sparsity: sparsity.clone(),
        layer: *layer,
    };
    answer_json(&measure_params(&Context::cpu()?, &Npz::read(arrays)?, &options)?)
}

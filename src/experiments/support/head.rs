//! A head of three layers on the features of a residual network that stays as it is: what Figures 8, 18 and 19 share.
//!
//! The paper takes the 512 features of a ResNet-18 that was trained on CIFAR-10, and a head 512-512-512-10 with PyTorch's initial
//! weights, as the edge 4/3 of their spectrum shows (the text says Kaiming's). Cross-entropy, step size 0.1, batches of 64 (the
//! paper's name of its run), 50 epochs, decay 0.01 of the "ground truth" and Adam's 0.001 are ours where it is silent.
//!
//! The residual network is trained whenever the data are loaded; `--set data.weights=FILE` reads one instead. Laptop scale trains
//! a ResNet-18 of width 8 on digits, which has 64 features, and smoke one of width 2; the head is as wide as there are features.
//! Paper scale has width 64 on drawn images in colour.

use super::{base, spectra};
use crate::claims::{Evidence, each};
use crate::data::images::Source;
use crate::data::{Data, Features, Target};
use crate::experiments::Figure;
use crate::loss::Loss;
use crate::nets::{Activation, Architecture, Bias, Resnet};
use crate::optim::{Optimiser, Rule};
use crate::run::{Replica, Results};
use crate::schedule::Schedule;
use crate::spec::{Evaluate, Metric, Panel, Run, Scale, Seeds, Spacing, Spec};

/// SGD, Adam, and SGD with the strong weight decay that finds the paper's "ground truth".
pub(super) const SGD: &str = "sgd";
pub(super) const ADAM: &str = "adam";
pub(super) const GOLD: &str = "gold";

pub(super) const ERROR: &str = "test_error";

/// An eigenvalue stands out of the initial bulk above so many times the largest one at the start.
const EDGE: f64 = 1.1;
/// Eigenvalues below this share of the largest are about zero.
const NOTHING: f64 = 0.01;

/// How much of the protocol.
struct Extent {
    source: Source,
    /// Images to train and to test; all without.
    images: [Option<usize>; 2],
    image: [usize; 3],
    width: usize,
    /// Epochs, batch and first step size of the residual network.
    training: (u64, usize, f64),
    steps: u64,
    seeds: u64,
}

impl Extent {
    fn of(scale: Scale) -> Extent {
        let digits = |images, width, epochs, steps, seeds| Extent {
            source: Source::Digits,
            images,
            image: [8, 8, 1],
            width,
            training: (epochs, 32, 0.05),
            steps,
            seeds,
        };
        match scale {
            Scale::Smoke => digits([Some(256), Some(100)], 2, 2, 100, 1),
            // 12,000 iterations: enough for the decay, which shrinks what the loss does not keep by e every 1000.
            Scale::Laptop => digits([None; 2], 8, 20, 12_000, 6),
            Scale::Paper => Extent {
                source: Source::CifarLike { train: 50_000, test: 10_000 },
                images: [None; 2],
                image: [32, 32, 3],
                width: 64,
                training: (30, 128, 0.1),
                steps: 50 * 50_000_u64.div_ceil(64),
                seeds: 20,
            },
        }
    }
}

/// `about` continues the title, which begins with the data.
pub(super) fn declare(figure: &Figure, about: &str, scale: Scale, runs: &[&str]) -> Spec {
    let Extent { source, images: [train, test], image, width, training: (epochs, batch, peak), steps, seeds } = Extent::of(scale);
    let net = Resnet { depth: 18, width, classes: 10, image, preactivation: false };
    let images = Box::new(Data::images(source, train, test));
    let data = Data::Features(Features { images, net, weights: None, epochs, batch, peak, seed: 0 });
    // Every group of blocks doubles the width.
    let d = 8 * width;
    let title = format!("Heads on {}: {about}", data.name());
    Spec {
        loss: Loss::SoftmaxXent,
        data,
        net: Architecture::mlp(&[d, d, d, 10], Bias::All, Activation::Relu),
        seeds: Seeds { paper: false, own: (0..seeds).collect(), own_data: false },
        runs: runs.iter().map(|name| run(name, steps)).collect(),
        evaluate: Evaluate { first: 1, grid: 4, spacing: Spacing::Ends, after: false },
        metrics: vec![Metric::always(ERROR), Metric::always("test_loss")],
        panels: vec![Panel::new(ERROR, "test error", false)],
        ..base(figure, &title, scale, Target::Linear, Activation::Relu)
    }
}

fn run(name: &str, steps: u64) -> Run {
    let sgd = super::sgd(64);
    let (label, peak, optimiser) = match name {
        ADAM => ("Adam, batch 64", 1e-3, Optimiser { rule: Rule::adam(), ..sgd }),
        GOLD => ("SGD, decay 0.01", 0.1, Optimiser { weight_decay: 0.01, ..sgd }),
        _ => ("SGD, batch 64", 0.1, sgd),
    };
    Run::new(name, label, steps, Schedule::Constant { peak }, optimiser)
}

/// Classes less one.
fn dimensions(spec: &Spec) -> usize {
    match &spec.net {
        Architecture::Mlp { widths, .. } => widths.last().map_or(0, |classes| classes.saturating_sub(1)),
        _ => 0,
    }
}

/// For every own seed of a run: a question about the eigenvalues of W_1ᵀW_1 at the start and at the end.
fn of_spectra(
    spec: &Spec,
    results: &Results,
    run: &str,
    what: &str,
    question: impl Fn(&[f64], &[f64]) -> Option<(bool, f64)>,
) -> Evidence {
    each(results, &format!("{run}: {what}"), run, |_, replica: &Replica| {
        question(&spectra::initial_spectrum(&spec.net, replica.seed)?, &spectra::spectrum(&spec.net, &replica.params)?)
    })
}

/// Do as many eigenvalues as there are classes, less one, stand out of the bulk of the start?
pub(super) fn spikes(spec: &Spec, results: &Results, run: &str) -> Evidence {
    let wanted = dimensions(spec);
    let what = format!("{wanted} eigenvalues of W_1ᵀW_1 above {EDGE} times the largest one at the start");
    of_spectra(spec, results, run, &what, |start, end| {
        let edge = EDGE * start.first()?;
        let found = end.iter().filter(|&&value| value > edge).count();
        Some((found == wanted, found as f64))
    })
}

/// Is the rest where it was: is its median eigenvalue within a fourth of that at the start? (Directions of spikes are missing in
/// it, which shows in narrow networks.)
pub(super) fn bulk_stays(spec: &Spec, results: &Results, run: &str) -> Evidence {
    let spikes = dimensions(spec);
    let what = format!("median eigenvalue of W_1ᵀW_1 but the first {spikes} over that at the start, within a fourth");
    of_spectra(spec, results, run, &what, |start, end| {
        let rest = end.get(spikes..)?;
        let ratio = rest.get(rest.len() / 2)? / start.get(start.len() / 2)?;
        Some(((ratio - 1.0).abs() <= 0.25, ratio))
    })
}

/// Are as many eigenvalues as there are classes, less one, left, and the others about zero?
pub(super) fn compact(spec: &Spec, results: &Results, run: &str) -> Evidence {
    let wanted = dimensions(spec);
    let what = format!("{wanted} eigenvalues of W_1ᵀW_1 above {NOTHING} of the largest");
    of_spectra(spec, results, run, &what, |_, end| {
        let found = above_nothing(end);
        Some((found == wanted, found as f64))
    })
}

/// Is most of the spectrum not about zero at the start?
pub(super) fn spread(spec: &Spec, results: &Results, run: &str) -> Evidence {
    let what = format!("at the start more than half of the eigenvalues of W_1ᵀW_1 above {NOTHING} of the largest");
    of_spectra(spec, results, run, &what, |start, _| {
        let share = above_nothing(start) as f64 / start.len() as f64;
        Some((share > 0.5, share))
    })
}

fn above_nothing(spectrum: &[f64]) -> usize {
    let limit = NOTHING * spectrum.first().copied().unwrap_or(f64::NAN);
    spectrum.iter().filter(|&&value| value > limit).count()
}

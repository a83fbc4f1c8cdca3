//! "How neural networks learn the support is an implicit regularization effect of SGD", Beneventano, Pinto, Poggio, 2024.

mod chains;
pub(super) mod fig1;
pub(super) mod fig10;
pub(super) mod fig11;
pub(super) mod fig12;
pub(super) mod fig13;
pub(super) mod fig14;
pub(super) mod fig15;
pub(super) mod fig16;
pub(super) mod fig17;
pub(super) mod fig18;
pub(super) mod fig19;
pub(super) mod fig2;
pub(super) mod fig3;
pub(super) mod fig4;
pub(super) mod fig5;
pub(super) mod fig6;
pub(super) mod fig7;
pub(super) mod fig8;
pub(super) mod fig9;
mod head;
mod image_mlp;
mod matrices;
mod norms;
mod pixels;
pub(super) mod prop1;
mod spectra;
mod statements;
pub(super) mod theorem2;
pub(super) mod theory;

use super::Figure;
use crate::claims::{Claim, Direction, Evidence, each, paired_by};
use crate::data::{Data, Target};
use crate::loss::Loss;
use crate::nets::{Activation, Architecture, Bias, Init, Law};
use crate::optim::{Batch, Optimiser, Sampling};
use crate::report::plot::Curve;
use crate::run::{Replica, Results, RunResults};
use crate::schedule::Schedule;
use crate::spec::{Clock, Dtype, Evaluate, Metric, Panel, Run, SCHEMA, Scale, Seeds, Spacing, Spec};

/// The paper, as claims cite it.
const PAPER: &str = "How neural networks learn the support is an implicit regularization effect of SGD (Beneventano et al. 2024)";

/// Features, and those that the target depends on.
const FEATURES: usize = 15;
const RELEVANT: usize = 5;

/// ‖W_1[:, 5:]‖_F.
const NORM: &str = "irrelevant_norm";

/// Every run of the paper's 3x15 networks: full batches, then ever smaller ones, then full ones with weight decay.
const ARMS: [&str; 6] = ["gd", "sgd-512", "sgd-128", "sgd-32", "sgd-1", "decay"];

/// The synthetic data: 5000 draws (a tenth of that at smoke scale), each twice, with labels target ± noise·N(0, 1).
fn synthetic(scale: Scale, target: Target, noise: f64) -> Data {
    let n = if scale == Scale::Smoke { 500 } else { 5000 };
    Data::Support { n, d: FEATURES, support: RELEVANT, target, noise, decorrelated: false, seed: 0 }
}

/// The standard deviation of the paper's labels.
const NOISE: f64 = 1e-3;

/// Kaiming's normal law: standard deviation gain/√inputs.
fn kaiming(gain: f64) -> Init {
    Init::Kaiming { law: Law::Normal, gain }
}

/// A perceptron without biases.
fn perceptron(widths: &[usize], activation: Activation, init: Init) -> Architecture {
    Architecture::Mlp { widths: widths.to_vec(), bias: Bias::None, activation, init, weight_norm: None }
}

/// The paper's networks with three hidden layers of 15: gain √2 on every layer.
fn three_by_fifteen(activation: Activation) -> Architecture {
    perceptron(&[FEATURES, 15, 15, 15, 1], activation, kaiming(std::f64::consts::SQRT_2))
}

/// SGD without replacement, in which the last batch of an epoch is what is left.
fn sgd(size: usize) -> Optimiser {
    Optimiser { batch: Batch::Random { size, sampling: Sampling::Epochs }, ..Optimiser::gd() }
}

/// Every gradient clipped to norm 1, as in the paper's code; its text does not mention it.
fn clipped(optimiser: Optimiser) -> Optimiser {
    Optimiser { clip: Some(1.0), ..optimiser }
}

/// What the figures of 3x15 networks share. Nothing to run yet.
fn base(figure: &Figure, title: &str, scale: Scale, target: Target, activation: Activation) -> Spec {
    Spec {
        schema: SCHEMA,
        figure: Some(figure.id.to_owned()),
        title: title.to_owned(),
        scale,
        overrides: Vec::new(),
        dtype: Dtype::F32,
        loss: Loss::Mse,
        data: synthetic(scale, target, NOISE),
        net: three_by_fifteen(activation),
        seeds: seeds(scale),
        runs: Vec::new(),
        evaluate: Evaluate { first: 1, grid: 121, spacing: Spacing::Logarithmic, after: false },
        metrics: vec![Metric::always(NORM), Metric::sparse("train_loss", 1000)],
        panels: vec![Panel::new(NORM, "‖W₁[:, 5:]‖_F", false)],
        clock: Clock::Logarithmic,
        trajectory: false,
    }
}

/// Every seed draws its own data, start and order.
fn seeds(scale: Scale) -> Seeds {
    let own = match scale {
        Scale::Smoke | Scale::Laptop => 5,
        Scale::Paper => 20,
    };
    Seeds { paper: false, own: (0..own).collect(), own_data: true }
}

/// What a scale leaves of the paper's iterations.
fn shortened(scale: Scale, steps: u64) -> u64 {
    if scale == Scale::Smoke { steps / 50 } else { steps }
}

/// The paper's run of a name of [`ARMS`] at a step size, clipped; `prefix` goes before the name.
fn arm(prefix: &str, name: &str, eta: f64, scale: Scale) -> Run {
    let decayed = Optimiser { weight_decay: 0.1, ..Optimiser::gd() };
    let size = name.strip_prefix("sgd-").and_then(|size| size.parse::<usize>().ok());
    let (label, steps, optimiser) = match (name, size) {
        (_, Some(size)) => (format!("SGD, batch {size}"), 200_000, sgd(size)),
        ("decay", _) => ("GD, decay 0.1".to_owned(), 5_000, decayed),
        _ => ("GD".to_owned(), 20_000, Optimiser::gd()),
    };
    let schedule = Schedule::Constant { peak: eta };
    Run::new(&format!("{prefix}{name}"), &label, shortened(scale, steps), schedule, clipped(optimiser))
}

/// How much of the initial norm of the irrelevant weights is left at the end.
fn left(run: &RunResults, replica: &Replica) -> Option<f64> {
    let series = run.series(replica, NORM);
    Some(run.last(replica, NORM)? / series.first()?.1)
}

/// For every own seed: is less (more) than `limit` of the initial norm of the irrelevant weights left?
fn leaves(results: &Results, run: &str, direction: Direction, limit: f64) -> Evidence {
    let word = if direction == Direction::Below { "less" } else { "more" };
    each(results, &format!("{run}: {word} than {limit} of ‖W₁[:, 5:]‖_F is left"), run, |run, replica| {
        let left = left(run, replica)?;
        Some((if direction == Direction::Below { left < limit } else { left > limit }, left))
    })
}

/// Whether a count is one that a probability explains: within 0.02 and 3.5 standard deviations (what has not reached zero yet
/// may be one in fifty). One case, decided by all of them.
fn agrees(counted: &Evidence, probability: f64) -> Evidence {
    let Evidence { what, seeds, wins, .. } = counted;
    let (n, share) = (*seeds as f64, *wins as f64 / *seeds as f64);
    let near = (share - probability).abs() <= 0.02 + 3.5 * (probability * (1.0 - probability) / n).sqrt();
    let detail = format!("{wins} of {seeds}, {share:.3} against {probability:.3}");
    let found =
        Evidence::grid(format!("{what}, with probability {probability:.3}"), usize::from(near), usize::from(*seeds > 0), detail);
    Evidence { diverged: counted.diverged, ..found }
}

/// A curve of a label and a colour.
fn curve(label: &str, colour: usize, points: Vec<(f64, f64)>) -> Curve {
    Curve { label: label.to_owned(), colour, points, ..Curve::default() }
}

/// What Appendix C says of every such figure: SGD with small batches and weight decay remove the irrelevant weights, gradient
/// descent keeps them, and smaller batches are faster. `prefix` names the runs' step size.
fn selection(results: &Results, prefixes: &[&str], source: &str) -> Vec<Claim> {
    let over = |names: &[&str], ask: &dyn Fn(&str) -> Evidence| -> Vec<Evidence> {
        prefixes.iter().flat_map(|prefix| names.iter().map(move |name| ask(&format!("{prefix}{name}")))).collect()
    };
    let faster = prefixes.iter().flat_map(|prefix| {
        ARMS[..5].windows(2).map(move |pair| {
            let [larger, smaller] = [pair[0], pair[1]].map(|name| format!("{prefix}{name}"));
            paired_by(results, "share left", &smaller, Direction::Below, &larger, left)
        })
    });
    vec![
        Claim::all(
            "sgd-removes",
            "SGD shrinks the weights of irrelevant inputs to zero: below a twentieth",
            source,
            over(&["sgd-32", "sgd-1"], &|run| leaves(results, run, Direction::Below, 0.05)),
        ),
        Claim::all(
            "gd-stops",
            "gradient descent keeps them",
            source,
            over(&["gd"], &|run| leaves(results, run, Direction::Above, 0.5)),
        ),
        Claim::all("smaller-faster", "the smaller the batch, the more of them is gone", source, faster.collect()),
        Claim::all(
            "decay-removes",
            "gradient descent with weight decay does so too",
            source,
            over(&["decay"], &|run| leaves(results, run, Direction::Below, 0.05)),
        ),
    ]
}

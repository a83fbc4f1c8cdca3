//! Proposition 1: SGD is gradient descent with the label noise ξ_i = r_i (1 - n·[i = i_t]). Each pair of runs is SGD and that
//! gradient descent, written out over the whole data set, with the same draws: in exact arithmetic their parameters are equal.
//! With the large step size the dynamics amplify rounding until the two part.

use super::{PAPER, base};
use crate::claims::{Claim, Evidence, each};
use crate::error::Result;
use crate::experiments::Figure;
use crate::optim::{LabelNoise, Optimiser};
use crate::report::picture;
use crate::report::plot::{self, Axis, Curve};
use crate::run::{Replica, Results, RunResults, nan_max};
use crate::schedule::Schedule;
use crate::spec::{Dtype, Evaluate, Metric, Panel, Run, Scale, Seeds, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/prop1",
    paper: PAPER,
    about: "SGD is gradient descent with label noise: the two side by side, and the noise's mean, variance and covariance",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw,
};

/// SGD with the gradient descent that it is.
const PAIRS: [[&str; 2]; 3] = [["sgd", "label-noise"], ["sgd-large", "label-noise-large"], ["batch-4", "label-noise-batch-4"]];
/// Updates over which rounding has not grown yet.
const EARLY: u64 = 100;
/// Multiple of the unit roundoff of training; a loss is a sum of 80 squares of sums of 200 products.
const TO_ROUNDING: f64 = 1e4;

fn declare(scale: Scale) -> Spec {
    let (steps, seeds) = match scale {
        Scale::Smoke => (1_001, 4),
        Scale::Laptop | Scale::Paper => (10_001, 20),
    };
    let noisy = |optimiser: &Optimiser| Optimiser { label_noise: LabelNoise::Sampled, ..optimiser.clone() };
    let pair = |[sgd, noise]: [&str; 2], peak: f64, size: usize| {
        let optimiser = Optimiser::minibatch_sgd(size);
        let label = |name: &str| format!("{name}, η = {peak}, B = {size}");
        let run = |name, what, optimiser| Run::new(name, &label(what), steps, Schedule::Constant { peak }, optimiser);
        [run(noise, "GD + label noise", noisy(&optimiser)), run(sgd, "SGD", optimiser)]
    };
    Spec {
        seeds: Seeds { paper: true, own: (0..seeds).collect(), own_data: false },
        runs: [pair(PAIRS[0], 0.1, 1), pair(PAIRS[1], 0.282, 1), pair(PAIRS[2], 0.2, 4)].concat(),
        evaluate: Evaluate::even(EARLY + 1, 101),
        metrics: vec![
            Metric::always("train_loss"),
            Metric::sparse("noise_mean_error", 5).only("sgd"),
            Metric::sparse("noise_variance_error", 5).only("sgd"),
            Metric::sparse("noise_covariance_error", 5).only("sgd"),
        ],
        panels: vec![Panel {
            only: vec!["sgd".to_owned(), "batch".to_owned()],
            ..Panel::new("train_loss", "Training loss of SGD; its pair lies on it", true)
        }],
        ..base(&FIGURE, "SGD is gradient descent with label noise, Proposition 1", scale)
    }
}

/// Relative difference of the losses of a pair, for one seed, wherever both are finite.
fn differences(results: &Results, [sgd, noise]: [&str; 2], replica: &Replica) -> Vec<(u64, f64)> {
    let (Some(sgd), Some(noise)) = (results.run(sgd), results.run(noise)) else { return Vec::new() };
    let Some(partner) = noise.replicas.iter().find(|partner| partner.seed == replica.seed) else { return Vec::new() };
    let pairs = sgd.series(replica, "train_loss").into_iter().zip(noise.series(partner, "train_loss"));
    pairs.map(|((step, a), (_, b))| (step, (a - b).abs() / a)).collect()
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let unit = match spec.dtype {
        Dtype::F32 => f64::from(f32::EPSILON),
        Dtype::F64 => f64::EPSILON,
    };
    let tolerance = TO_ROUNDING * unit;
    let equal = PAIRS.map(|pair| {
        let what = format!("losses of {} and {} equal to {tolerance:.1e} for {EARLY} updates", pair[0], pair[1]);
        let early = |_: &RunResults, replica: &Replica| {
            let differences = differences(results, pair, replica);
            // Without the last of these updates nothing is said of them.
            differences.iter().find(|(step, _)| *step == EARLY)?;
            let early = differences.into_iter().filter(|(step, _)| *step <= EARLY);
            let worst = early.map(|(_, difference)| difference).reduce(nan_max)?;
            Some((worst <= tolerance, worst))
        };
        each(results, &what, pair[0], early).every()
    });
    let exact = |metric: &str, tolerance: f64| -> Vec<Evidence> {
        let of = |pair: [&str; 2]| {
            let what = format!("{metric} of {} at every evaluation point at most {tolerance:e}", pair[0]);
            each(results, &what, pair[0], |run, replica| {
                let worst = run.series(replica, metric).into_iter().map(|(_, error)| error).reduce(nan_max)?;
                Some((worst <= tolerance, worst))
            })
        };
        [PAIRS[0], PAIRS[1]].map(|pair| of(pair).every()).to_vec()
    };
    Ok(vec![
        Claim::all("equal", "SGD is gradient descent with the labels y + ξ", "Proposition 1", equal.to_vec()),
        Claim::all("mean", "E ξ = 0", "Lemma 2", exact("noise_mean_error", 1e-13)),
        Claim::all("variance", "E‖ξ‖²/(n(n-1)) = 2L(θ)", "Lemma 2", exact("noise_variance_error", 1e-12)),
        Claim::all("covariance", "Cov ξ = n·diag(r²) - r rᵀ", "ours, of Proposition 1", exact("noise_covariance_error", 1e-12)),
    ])
}

/// The losses, and how far those of a pair are apart.
fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let mut figure = picture(spec, results);
    let curves = PAIRS.into_iter().enumerate().flat_map(|(index, pair)| {
        let seeds = results.run(pair[0]).map_or(&[][..], |run| &run.replicas);
        seeds.iter().enumerate().map(move |(k, replica)| Curve {
            colour: 2 * index + 1,
            style: if k == 0 { plot::Style::Solid } else { plot::Style::Faint },
            points: differences(results, pair, replica).into_iter().map(|(step, y)| (step as f64, y)).collect(),
            ..Curve::default()
        })
    });
    figure.panels.push(plot::Panel {
        title: "Relative difference from its pair, every seed".to_owned(),
        x: Axis::linear("iteration"),
        y: Axis::log(""),
        curves: curves.collect(),
        legend: true,
        ..plot::Panel::default()
    });
    Ok(figure)
}

//! One short check per statement of the text and the appendix that no figure decides: by runs of small networks, and by the
//! direct computations of [`super::statements`]. Where a printed statement is wrong, the right one stands beside it.

use super::{NORM, PAPER, clipped, curve, kaiming, left, perceptron, sgd, statements};
use crate::claims::{Claim, Direction, Evidence, each, paired_by};
use crate::data::{Data, Target};
use crate::error::Result;
use crate::experiments::Figure;
use crate::loss::Loss;
use crate::nets::{Activation, Architecture, Init};
use crate::optim::{Batch, Optimiser, Sampling};
use crate::report::picture;
use crate::report::plot::{self, Axis, Style};
use crate::run::{Replica, Results, RunResults, line};
use crate::schedule::Schedule;
use crate::spec::{Clock, Dtype, Evaluate, Metric, Panel, Run, SCHEMA, Scale, Seeds, Spacing, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/theory",
    paper: PAPER,
    about: "the statements of the text and the appendix, one check each: Theorem 1, Lemma 1, Propositions 3 to 11, sections 4.1 and 5.1",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw,
};

/// Features, and those that the target depends on.
const D: usize = 6;
const RELEVANT: usize = 2;
/// Step sizes over which the distance to the minimum is taken, small against the 20 samples of an epoch.
const RATES: [f64; 4] = [0.002, 0.004, 0.008, 0.016];
/// η·λ of the run with unspanned inputs.
const DECAY: [f64; 2] = [0.01, 0.01];

fn data(noise: f64, decorrelated: bool) -> Data {
    Data::Support { n: 50, d: D, support: RELEVANT, target: Target::Linear, noise, decorrelated, seed: 0 }
}

fn net(activation: Activation, init: Init) -> Architecture {
    perceptron(&[D, 8, 8, 1], activation, init)
}

/// Eight samples of four inputs, of which the last two are always 0.
fn unspanned() -> Data {
    let (first, second) = ([1.0, -0.5, 2.0, 0.25, -1.5, 0.75, -1.0, 0.5], [0.5, 1.0, -1.0, -0.75, 0.25, 1.5, -0.5, -2.0]);
    let x = first.iter().zip(second).flat_map(|(&a, b)| [a, b, 0.0, 0.0]).collect();
    Data::Listed { d: 4, x, y: first.iter().zip(second).map(|(a, b)| a - 0.5 * b + 0.3 * a * b).collect(), support: 2 }
}

fn declare(scale: Scale) -> Spec {
    let (shorter, seeds) = match scale {
        Scale::Smoke => (10, 5),
        Scale::Laptop => (1, 10),
        Scale::Paper => (1, 40),
    };
    let run = |name: &str, label: &str, steps: u64, peak: f64, optimiser: Optimiser| {
        Run::new(name, label, steps / shorter, Schedule::Constant { peak }, optimiser)
    };
    let with = |data: Data, net: Architecture, run: Run| Run { data: Some(data), net: Some(net), ..run };
    let decay = |name: &str, label: &str, decorrelated, activation| {
        let optimiser = clipped(Optimiser { weight_decay: 0.1, ..Optimiser::gd() });
        let net = net(activation, kaiming(std::f64::consts::SQRT_2));
        with(data(0.0, decorrelated), net, run(name, label, 5_000, 0.1, optimiser))
    };
    let (linear, relu) = (Activation::Identity, Activation::Relu);
    let idle = |name: &str, activation, weight_decay| {
        let optimiser = Optimiser { weight_decay, ..Optimiser::sgd() };
        let net = perceptron(&[4, 6, 1], activation, Init::Pytorch);
        with(unspanned(), net, run(name, "two inputs unspanned", 100_000, DECAY[0], optimiser))
    };
    let small = |name: &str, label: &str, noise, eta, size| {
        with(data(noise, true), net(linear, Init::Pytorch), run(name, label, 100_000, eta, sgd(size)))
    };
    let distance = |kind: &str, eta: f64, sampling| {
        let data = Data::Support { n: 10, d: 1, support: 1, target: Target::Linear, noise: 1.0, decorrelated: false, seed: 0 };
        let optimiser = Optimiser { batch: Batch::Random { size: 1, sampling }, ..Optimiser::gd() };
        // Whole epochs at every scale.
        let run = Run { steps: 10_000, ..run(&format!("{kind}-{eta}"), "one weight", 0, eta, optimiser) };
        with(data, perceptron(&[1, 1], linear, Init::Pytorch), run)
    };
    let mut runs = vec![
        decay("decay-linear", "linear, decorrelated inputs", true, linear),
        decay("decay-raw", "linear, raw inputs", false, linear),
        decay("decay-relu", "ReLU, decorrelated inputs", true, relu),
        idle("idle-linear", linear, 0.0),
        idle("idle-relu", relu, 0.0),
        idle("idle-decay", linear, DECAY[1]),
        small("noise-1", "label noise 1, batch 1", 1.0, 0.01, 1),
        small("noise-4", "label noise 1, batch 4", 1.0, 0.01, 4),
        small("noise-16", "label noise 1, batch 16", 1.0, 0.01, 16),
        with(
            data(1.0, true),
            net(linear, kaiming(std::f64::consts::SQRT_2)),
            run("noise-large", "label noise 1, batch 1, the paper's start", 100_000, 0.003, sgd(1)),
        ),
        small("quiet", "no label noise, batch 4", 0.0, 0.01, 4),
        with(
            data(0.0, true),
            net(linear, kaiming(std::f64::consts::SQRT_2)),
            run("kaiming", "GD, the paper's start", 10_000, 0.001, Optimiser::gd()),
        ),
        with(
            data(0.0, true),
            net(linear, Init::Pytorch),
            run("small-start", "GD, a smaller start", 10_000, 0.001, Optimiser::gd()),
        ),
    ];
    for eta in RATES {
        runs.push(distance("replacement", eta, Sampling::Replacement));
        runs.push(distance("reshuffled", eta, Sampling::Epochs));
    }
    let only = |names: &[&str], metric: Metric| Metric { only: names.iter().map(|&name| name.to_owned()).collect(), ..metric };
    let (stiff, balance) = (["kaiming", "small-start"], ["noise", "quiet"]);
    let shown = |names: &[&str], panel: Panel| Panel { only: names.iter().map(|&name| name.to_owned()).collect(), ..panel };
    Spec {
        schema: SCHEMA,
        figure: Some(FIGURE.id.to_owned()),
        title: "Statements of the text and the appendix".to_owned(),
        scale,
        overrides: Vec::new(),
        dtype: Dtype::F64,
        loss: Loss::Mse,
        data: data(0.0, true),
        net: net(linear, Init::Pytorch),
        seeds: Seeds { paper: false, own: (0..seeds).collect(), own_data: true },
        runs,
        evaluate: Evaluate { first: 1, grid: 61, spacing: Spacing::Logarithmic, after: false },
        metrics: vec![
            only(&["decay"], Metric::always(NORM)),
            only(&balance, Metric::always("layer_balancedness")),
            only(&stiff, Metric::always("sharpness")),
        ],
        panels: vec![
            shown(&["decay"], Panel::new(NORM, "Weight decay 0.1: ‖W₁[:, 2:]‖_F, Propositions 3 and 10", true)),
            shown(&balance, Panel::new("layer_balancedness", "Unbalancedness, section 1.2", false)),
            shown(&stiff, Panel::new("sharpness", "λ_max of the Hessian, Appendix G", true)),
        ],
        clock: Clock::Logarithmic,
        trajectory: false,
    }
}

/// Root mean square over own seeds of the distance to the least-squares solution, for every step size.
fn distances(spec: &Spec, results: &Results, kind: &str) -> Result<Vec<(f64, f64)>> {
    let mut points = Vec::new();
    for eta in RATES {
        let name = format!("{kind}-{eta}");
        let (Some(run), Some(declared)) = (results.run(&name), spec.runs.iter().find(|run| run.name == name)) else { continue };
        let (mut sum, mut count) = (0.0_f64, 0.0);
        for replica in run.own().filter(|replica| run.survivor(replica.seed).is_some()) {
            let data = spec.dataset(declared, replica.seed)?;
            let moment = |other: &[f64]| data.x.iter().zip(other).map(|(x, other)| x * other).sum::<f64>();
            let Some(w) = replica.params.first() else { continue };
            sum += (w - moment(&data.y) / moment(&data.x)).powi(2);
            count += 1.0;
        }
        if count > 0.0 {
            points.push((eta, (sum / count).sqrt()));
        }
    }
    Ok(points)
}

fn exponent(spec: &Spec, results: &Results, kind: &str, power: f64) -> Result<Evidence> {
    let points: Vec<(f64, f64)> = distances(spec, results, kind)?.into_iter().map(|(eta, d)| (eta.ln(), d.ln())).collect();
    let slope = line(&points).map(|(slope, _)| slope);
    let what = format!("{kind}: exponent of η in the distance within 0.25 of {power}");
    let near = slope.is_some_and(|slope| (slope - power).abs() <= 0.25);
    let lost = results.runs.iter().filter(|run| run.name.starts_with(kind)).map(crate::claims::diverged).max().unwrap_or(0);
    let detail = slope.map_or("no seed".to_owned(), |slope| format!("{slope:.2}"));
    Ok(Evidence { diverged: lost, ..Evidence::grid(what, usize::from(near), usize::from(slope.is_some()), detail) })
}

/// Cosine of the irrelevant weights of W_1 at the end with those at the start.
fn cosine(spec: &Spec, run: &RunResults, replica: &Replica) -> Option<f64> {
    let declared = spec.runs.iter().find(|declared| declared.name == run.name)?;
    let start = spec.net_of(declared).initial(D, replica.seed);
    let pairs =
        || start.iter().zip(&replica.params).take(8 * D).enumerate().filter(|(k, _)| k % D >= RELEVANT).map(|(_, pair)| pair);
    let sum = |of: fn(f64, f64) -> f64| pairs().map(|(&a, &b)| of(a, b)).sum::<f64>();
    (!replica.params.is_empty()).then(|| sum(|a, b| a * b) / (sum(|a, _| a * a) * sum(|_, b| b * b)).sqrt())
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let decayed = |name: &str, limit: f64| {
        each(results, &format!("{name}: less than {limit:e} of ‖W₁[:, 2:]‖_F is left"), name, |run, replica| {
            let left = left(run, replica)?;
            Some((left < limit, left))
        })
    };
    // Weights of W_1 for inputs 3 and 4, at the start and at the end.
    let idle = |name: &str, factor: f64, tolerance: f64| {
        let what = format!("{name}: weights of unspanned inputs at the end {factor:.4e} of the start to {tolerance:e}");
        each(results, &what, name, |run, replica| {
            let declared = spec.runs.iter().find(|declared| declared.name == run.name)?;
            let start = spec.net_of(declared).initial(4, replica.seed);
            let of = |params: &[f64]| -> Vec<f64> {
                params.iter().take(24).enumerate().filter(|(k, _)| k % 4 >= 2).map(|(_, &w)| w).collect()
            };
            let (start, end) = (of(&start), of(&replica.params));
            let off = start.iter().zip(&end).map(|(a, b)| (b / (a * factor) - 1.0).abs()).fold(0.0, crate::run::nan_max);
            (!end.is_empty()).then_some((off <= tolerance, off))
        })
        .every()
    };
    let steps = results.run("idle-decay").map_or(0, |run| run.steps);
    let unbalanced = |name: &str, what: &str, of: fn(f64, f64) -> bool| {
        each(results, &format!("{name}: {what}"), name, |run, replica| {
            let start = run.series(replica, "layer_balancedness").first()?.1;
            let share = run.last(replica, "layer_balancedness")? / start;
            let half = run.within(replica, "layer_balancedness", run.steps / 2..).first()?.1 / start;
            Some((of(share, half), share))
        })
    };
    let less = |pair: [&str; 2]| {
        paired_by(results, "cosine with the start", pair[1], Direction::Below, pair[0], |run, replica| cosine(spec, run, replica))
    };
    let sharpest_first = |name: &str| {
        each(results, &format!("{name}: λ_max never above that of the start"), name, |run, replica| {
            let series = run.series(replica, "sharpness");
            let first = series.first()?.1;
            let most = series.iter().map(|(_, value)| value / first).fold(0.0, crate::run::nan_max);
            (series.len() > 1).then_some((most <= 1.0 + 1e-9, most))
        })
    };
    let mut claims = statements::claims(&spec.seeds.own)?;
    claims.extend([
        Claim::all(
            "28",
            "with weight decay linear and ReLU networks learn the support in the first layer with exponential speed",
            "Propositions 3 and 10",
            vec![decayed("decay-linear", 1e-5), decayed("decay-raw", 1e-5), decayed("decay-relu", 1e-5)],
        ),
        Claim::all(
            "29",
            "weights of inputs that the data do not span stay, bit by bit; with decay they are (1 - ηλ)^t of the start",
            "Proposition 5",
            vec![
                idle("idle-linear", 1.0, 0.0),
                idle("idle-relu", 1.0, 0.0),
                idle("idle-decay", (1.0 - DECAY[0] * DECAY[1]).powf(steps as f64), 1e-9),
            ],
        ),
        Claim::all(
            "33",
            "SGD on noisy labels converges to a balanced solution",
            "section 1.2",
            ["noise-1", "noise-large"]
                .map(|name| unbalanced(name, "unbalancedness at the end below a hundredth of the start", |end, _| end < 0.01))
                .to_vec(),
        ),
        Claim::all(
            "33-right",
            "noise takes it to a level of its own, down from the paper's start and up from a small one; without noise it stays",
            "ours",
            vec![
                unbalanced("noise-large", "unbalancedness at the end below 0.9 of the start", |end, _| end < 0.9),
                unbalanced("noise-large", "it changes by less than 0.1 of the start over the second half", |end, half| {
                    (end - half).abs() < 0.1
                }),
                unbalanced("noise-1", "unbalancedness at the end above 1.1 of the start", |end, _| end > 1.1),
                unbalanced("quiet", "it changes by less than 0.01 of the start over the second half", |end, half| {
                    (end - half).abs() < 0.01
                }),
            ],
        ),
        Claim::all(
            "34",
            "SGD ends at a distance ∝ η from the minimum with replacement and ∝ η² without",
            "section 4.1",
            vec![exponent(spec, results, "replacement", 1.0)?, exponent(spec, results, "reshuffled", 2.0)?],
        ),
        Claim::all(
            "34-right",
            "the exponents are 1/2 and, at the end of an epoch, 3/2",
            "ours",
            vec![exponent(spec, results, "replacement", 0.5)?, exponent(spec, results, "reshuffled", 1.5)?],
        ),
        Claim::all(
            "35",
            "the larger η/b, the less what is left of the irrelevant weights resembles the start",
            "section 5.1",
            vec![less(["noise-16", "noise-4"]), less(["noise-4", "noise-1"])],
        ),
        Claim::all(
            "36",
            "λ_max of the Hessian never exceeds that of the start, by which η_max is chosen",
            "Appendix G",
            vec![sharpest_first("kaiming"), sharpest_first("small-start")],
        ),
    ]);
    claims.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(claims)
}

/// The panels over iterations, and the distance to the minimum over the step size.
fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let mut figure = picture(spec, results);
    let mut curves = Vec::new();
    for (colour, (kind, power)) in [("replacement", 0.5), ("reshuffled", 1.5)].into_iter().enumerate() {
        let points = distances(spec, results, kind)?;
        if let Some(&(eta, distance)) = points.first() {
            let through = RATES.map(|rate| (rate, distance * (rate / eta).powf(power))).to_vec();
            curves.push(plot::Curve { style: Style::Dashed, ..curve(&format!("η^{power}"), colour + 4, through) });
        }
        curves.push(curve(&format!("one weight, {kind}"), colour + 4, points));
    }
    figure.panels.push(plot::Panel {
        title: "Distance to the minimum at the end, section 4.1".to_owned(),
        x: Axis::log("step size η"),
        y: Axis::log(""),
        curves,
        legend: true,
        ..plot::Panel::default()
    });
    Ok(figure)
}

//! The statements of the text that need no landscape: hitting times, widths of windows, growth of the variance, exponents at small
//! steps, tails, the saddle in d dimensions, and where m(λ) first and last changes sign. Printed and right forms side by side.

use super::fig2::{first_zero, others, with_outlier};
use super::statements::{Walk, away, half_width, log_last_window, moments, saddle_exponent, tail_of_walk};
use super::{PAPER, curve, neuron, panel, run, simulated, step_size};
use crate::claims::{Claim, Evidence, each};
use crate::data::Data;
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Activation;
use crate::report::plot::{self, Axis, Curve, Style};
use crate::rng::{Stream, sequential};
use crate::run::{Replica, Results, RunResults, Simulated, line, nan_max, quantile};
use crate::spec::{Evaluate, Metric, Panel, Run, Scale, Spec};
use crate::theory::tail;
use crate::train::Progress;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "stability/theory",
    paper: PAPER,
    about: "the statements of the text, one check each: Propositions 3, Theorem 2, equations 5, 8, 30, 35, 64, section 4.1, the saddle in d dimensions",
    declare,
    expect,
    simulate: Some(simulate),
    check: Figure::ANY,
    draw,
};

/// Samples of the hitting times; of the tail, with its walk's start, a and b.
const HIT: u32 = 10;
const TAIL: (u32, (f64, f64, f64)) = (3, (1.0, 1.5, 1.0));
/// x_i² of the window; the outlier's is 10, 100, ... times that at points 1, 2, ...
const SQUARE: f64 = 4.0;
/// Variances of the inputs near the minimum.
const SPECTRUM: [f64; 2] = [1.0, 0.25];
/// The saddle: μ and dimensions.
const MU: f64 = 0.06;
const DIMENSIONS: [usize; 4] = [1, 2, 5, 200];
/// Sizes of data sets, and 10^k times their outlier's square.
const SIZES: [usize; 3] = [10, 100, 1000];

fn declare(scale: Scale) -> Spec {
    let (steps, walk) = match scale {
        Scale::Smoke => (20_000, 200),
        Scale::Laptop => (100_000, 2_000),
        Scale::Paper => (1_000_000, 10_000),
    };
    let only = |name: &str, run: &str| Metric::always(name).only(run);
    let mut spec = simulated(
        &FIGURE,
        "Statements of the text, one check each",
        scale,
        Data::Own { n: 0, d: 1 },
        neuron(&[1, 1], Activation::Identity),
        &[],
    );
    spec.metrics = vec![
        only("away", "hit"),
        only("half_width", "window"),
        only("variance", "walk"),
        only("rate", "small-step"),
        only("tail_exponent", "tail"),
        only("largest", "tail"),
        only("exponent", "saddle"),
        only("first_zero", "zeros"),
        only("log_last_window", "zeros"),
    ];
    spec.runs = vec![
        run("hit", "λ = 1/x_1²", 30, 1.0),
        run("window", "one outlier", 6, 1.0),
        run("walk", "two dimensions", walk + 1, 0.2),
        run("small-step", "two dimensions, λ = 0.01", 1, 0.01),
        run("tail", "not interpolated", 1, 1.0),
    ];
    for d in DIMENSIONS {
        let net = neuron(&[d, d, d], Activation::Identity);
        // As many draws in every dimension but the last.
        spec.runs
            .push(Run { net: Some(net), ..run(&format!("saddle-{d}"), &format!("d = {d}"), steps / (d as u64).min(50), 0.1) });
    }
    spec.runs.extend(SIZES.map(|n| run(&format!("zeros-{n}"), &format!("N = {n}"), 5, 1.0)));
    spec.evaluate = Evaluate::even(30, 41);
    spec.panels = vec![Panel::new("away", "share of walks away from w*", true)];
    spec
}

fn simulate(spec: &Spec, run: &Run, seed: u64, _: &dyn Progress) -> Result<Simulated> {
    let stream = &mut sequential(seed, Stream::Order);
    let points = spec.evaluate.points(run.steps);
    let lambda = step_size(run);
    let long = match spec.scale {
        Scale::Smoke => 20_000,
        _ => 200_000,
    };
    let (name, number) =
        run.name.rsplit_once('-').map_or((run.name.as_str(), 1), |(name, number)| (name, number.parse().unwrap_or(1)));
    let values = match name {
        "hit" => away(stream, HIT, points.len(), 1_000),
        "window" => points.iter().map(|&k| half_width(SQUARE, SQUARE * 10f64.powi(k as i32 + 1))).collect(),
        "walk" => variances(stream, lambda, &points),
        "small" => {
            let mut walk = Walk { w: [1.0, 0.0], log_norm: 0.0 };
            (0..long).for_each(|_| walk.step(stream, SPECTRUM, lambda));
            vec![walk.log_norm / long as f64 / lambda; points.len()]
        }
        "tail" => {
            let (exponent, _) = tail_of_walk(stream, TAIL.0, TAIL.1, 5 * long);
            let (_, largest) = tail_of_walk(stream, TAIL.0, (TAIL.1.0, 0.5, TAIL.1.2), long);
            vec![exponent, largest]
        }
        // One number for the whole walk, at every point.
        "saddle" => vec![saddle_exponent(stream, number, MU, lambda, run.steps); points.len()],
        _ => {
            let others = others(number, seed);
            let row = |&k: &u64| {
                let squares = with_outlier(&others, 10f64.powi(k as i32));
                let scaled = first_zero(&squares) * squares.iter().copied().fold(0.0, f64::max);
                [scaled, log_last_window(&squares)]
            };
            points.iter().flat_map(row).collect()
        }
    };
    Ok(Simulated::once(values, Vec::new()))
}

/// Var log‖w_t‖ over 400 walks at the given steps.
fn variances(stream: &mut impl rand::Rng, lambda: f64, points: &[u64]) -> Vec<f64> {
    let mut walks = vec![Walk { w: [0.8, 0.6], log_norm: 0.0 }; 400];
    let mut step = 0;
    let at = |point: &u64| {
        while step < *point {
            walks.iter_mut().for_each(|walk| walk.step(stream, SPECTRUM, lambda));
            step += 1;
        }
        let mean = walks.iter().map(|walk| walk.log_norm).sum::<f64>() / walks.len() as f64;
        walks.iter().map(|walk| (walk.log_norm - mean).powi(2)).sum::<f64>() / walks.len() as f64
    };
    points.iter().map(at).collect()
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let last = |run: &str, what: &str, metric: &str, question: &dyn Fn(f64) -> bool| {
        each(results, &format!("{run}: {what}"), run, |of, replica| {
            let value = of.last(replica, metric)?;
            Some((question(value), value))
        })
    };
    let near = |wanted: f64, share: f64| move |value: f64| (value / wanted - 1.0).abs() <= share;
    let hits =
        each(results, "hit: share of 1000 walks within 4.5 standard errors of (1-1/N)^t at every t", "hit", |of, replica| {
            let series = of.series(replica, "away");
            let off = |(t, share): &(u64, f64)| {
                let p = (1.0 - 1.0 / f64::from(HIT)).powi(*t as i32);
                (share - p).abs() / (p * (1.0 - p) / 1000.0).sqrt().max(1e-12)
            };
            let worst = series.iter().map(off).fold(0.0, nan_max);
            (!series.is_empty()).then_some((worst <= 4.5, worst))
        });
    let windows = |what: &str, wanted: f64| -> Evidence {
        let first = results.run("window").and_then(|run| Some((run, run.replicas.first()?)));
        let widths = first.map_or(Vec::new(), |(run, replica)| run.within(replica, "half_width", 2..));
        let scaled: Vec<f64> = widths.iter().map(|(k, width)| width * SQUARE * 10f64.powi(*k as i32 + 1)).collect();
        let held = scaled.iter().filter(|&&scaled| near(wanted, 0.05)(scaled)).count();
        Evidence::grid(what, held, scaled.len(), format!("{:.4} at the largest", scaled.last().unwrap_or(&f64::NAN)))
    };
    let growth = |power: f64| {
        let what = format!("walk: exponent of t in Var log‖w_t‖ within 0.15 of {power}, over the last nine tenths");
        each(results, &what, "walk", |of, replica| {
            let points = of.within(replica, "variance", of.steps / 10..).into_iter().map(|(t, v)| ((t as f64).ln(), v.ln()));
            let (slope, _) = line(&points.collect::<Vec<_>>())?;
            Some(((slope - power).abs() <= 0.15, slope))
        })
    };
    let saddles = |of: &dyn Fn(usize) -> Evidence| DIMENSIONS.iter().map(|&d| of(d)).collect::<Vec<_>>();
    let saddle = |d: usize, negative: bool| {
        let what = if negative { "top exponent negative" } else { "top exponent positive" };
        last(&format!("saddle-{d}"), what, "exponent", &move |m| if negative { m < 0.0 } else { m > 0.0 })
    };
    let zeros = |n: usize, metric: &'static str, what: &str, question: &dyn Fn(f64) -> bool| {
        last(&format!("zeros-{n}"), what, metric, question)
    };
    let (n, (_, a, b)) = TAIL;
    let exact = tail::tail_exponent(u64::from(n), a).unwrap_or(f64::NAN);
    let levels = |of: fn(f64, f64, f64, i32) -> f64| {
        let mut z = TAIL.1.0;
        let held = (0..20).filter(|&j| {
            let same = (of(TAIL.1.0, a, b, j) / z - 1.0).abs() <= 1e-12;
            z = a * z + b;
            same
        });
        Evidence::grid("levels 0 to 19 of z are those of the recursion, to 1e-12", held.count(), 20, format!("a = {a}, b = {b}"))
    };
    let mut claims = moments();
    claims.extend([
        Claim::all("39-hit", "at λ = 1/x_i², P(w_t ≠ w*) = (1 - 1/N)^t", "Proposition 3, equation 14", vec![hits]),
        Claim::all(
            "37",
            "around 1/x_i² the window of stability has the half-width x_i²/x_out²",
            "equation 8 as printed",
            vec![windows("half-width times x_out² within 5% of x_i², outliers from 1000 x_i² on", SQUARE)],
        ),
        Claim::all(
            "37-right",
            "it is 1/x_out²",
            "ours",
            vec![windows("half-width times x_out² within 5% of 1, outliers from 1000 x_i² on", 1.0)],
        ),
        Claim::all("39-variance", "Var log‖w_t‖ grows like t", "section 3.3, Theorem 2", vec![growth(1.0)]),
        Claim::all(
            "38",
            "for small steps the exponent is -λ w_0ᵀHw_0/‖w_0‖²",
            "equation 64, in our convention",
            vec![last(
                "small-step",
                "m/λ within a tenth of -1, w_0 along the largest eigenvalue, 1",
                "rate",
                &near(-SPECTRUM[0], 0.1),
            )],
        ),
        Claim::all(
            "38-right",
            "it is -λ h_min, whatever w_0",
            "ours",
            vec![last("small-step", "m/λ within a fifth of -0.25", "rate", &near(-SPECTRUM[1], 0.2))],
        ),
        Claim::all(
            "39-levels",
            "the states of z are those of equation 30",
            "equation 30 as printed",
            vec![levels(tail::level_printed)],
        ),
        Claim::all("39-levels-right", "its second term is a times too large", "ours", vec![levels(tail::level)]),
        Claim::all(
            "39-tail",
            "P(z >= ε) falls as ε to the power -1/(N log a)",
            "equation 35 as printed",
            vec![last(
                "tail",
                "within 5%, N = 3, a = 1.5",
                "tail_exponent",
                &near(tail::tail_exponent_printed(u64::from(n), a), 0.05),
            )],
        ),
        Claim::all(
            "39-tail-right",
            "the power is log(1 - 1/N)/log a; for a < 1 there is no tail, z is at most b/(1-a)",
            "ours",
            vec![
                last("tail", "within 5%, N = 3, a = 1.5", "tail_exponent", &near(exact, 0.05)),
                last("tail", "a = 0.5: the largest z at most b/(1-a)", "largest", &|z| z <= b / 0.5),
            ],
        ),
        Claim::all(
            "40",
            "phase III of one dimension (μ = 0.06, λ = 0.1) is that of networks: the top exponent at the saddle is negative",
            "sections 4.2 and 4.4, Figure 7",
            saddles(&|d| saddle(d, true)),
        ),
        Claim::all(
            "40-right",
            "it is positive from two dimensions on: there SGD leaves the saddle",
            "ours",
            DIMENSIONS[1..].iter().map(|&d| saddle(d, false)).chain([saddle(1, true)]).collect(),
        ),
        Claim::all(
            "first-zero",
            "m first becomes positive at a step size that scales as 1/x_max², independently of N",
            "section 4.1",
            SIZES
                .map(|n| {
                    zeros(n, "first_zero", "x_max² times the first zero within 2 and 3, x_max² = 10⁴", &|z| {
                        (2.0..=3.0).contains(&z)
                    })
                })
                .to_vec(),
        ),
        Claim::all(
            "last-zero",
            "the largest stable step size is roughly 1/x_min²",
            "equation 5",
            SIZES
                .map(|n| zeros(n, "log_last_window", "the last zero of m within 1% of 1/x_min²", &|log| log <= 0.01_f64.ln()))
                .to_vec(),
        ),
        Claim::all(
            "last-zero-usable",
            "a step size can be chosen there: the window is wider than the last digit of double precision",
            "section 3.2: such windows are wide",
            SIZES.map(|n| zeros(n, "log_last_window", "width times x_min² above 1e-16", &|log| log > 1e-16_f64.ln())).to_vec(),
        ),
    ]);
    Ok(claims)
}

/// Median of a metric over own seeds, at every point.
fn median(run: &RunResults, metric: &str) -> Vec<(f64, f64)> {
    let series: Vec<Vec<(u64, f64)>> = run.own().map(|replica: &Replica| run.series(replica, metric)).collect();
    let length = series.first().map_or(0, Vec::len);
    let at = |k: usize| {
        let values: Vec<f64> = series.iter().filter_map(|series| series.get(k)).map(|point| point.1).collect();
        Some((series.first()?.get(k)?.0 as f64, quantile(&values, 0.5)?))
    };
    (0..length).filter_map(at).collect()
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let of = |run: &str, metric: &str| results.run(run).map_or_else(Vec::new, |run| median(run, metric));
    let theory = |label: &str, points: Vec<(f64, f64)>| Curve { style: Style::Dashed, ..curve(label, 7, points) };
    let dots =
        |label: &str, colour: usize, points: Vec<(f64, f64)>| Curve { style: Style::Points, ..curve(label, colour, points) };
    let right = "the right formula";
    let outliers = |points: Vec<(f64, f64)>| {
        points.into_iter().map(|(k, y)| (10f64.powf(k + 1.0), y * SQUARE * 10f64.powf(k + 1.0))).collect()
    };
    let exponents = DIMENSIONS.iter().filter_map(|&d| Some((d as f64, of(&format!("saddle-{d}"), "exponent").last()?.1)));
    let hits = (0..30).map(|t| (f64::from(t), 0.9_f64.powi(t))).collect();
    let variance = of("walk", "variance");
    let slope = variance.last().map_or(Vec::new(), |&(t, v)| vec![(1.0, v / t), (t, v)]);
    let zeros = SIZES.iter().enumerate().map(|(colour, n)| {
        let points = of(&format!("zeros-{n}"), "first_zero").into_iter().map(|(k, zero)| (10f64.powf(k), zero));
        dots(&format!("N = {n}"), colour + 1, points.collect())
    });
    let windows = SIZES.iter().filter_map(|n| {
        let log = of(&format!("zeros-{n}"), "log_last_window").last()?.1;
        Some((*n as f64, -log / std::f64::consts::LN_10))
    });
    let windows = dots("measured, median over seeds", 0, windows.collect());
    let panels = vec![
        panel(
            "P(w_t ≠ w*) at λ = 1/x_1², N = 10",
            Axis::linear("t"),
            Axis::log(""),
            vec![dots("measured, median over seeds", 0, of("hit", "away")), theory(right, hits)],
        ),
        panel(
            "Half-width of a window, times x_out²",
            Axis::log("x_out²/x_i²"),
            Axis { range: Some((0.8, 1.4)), ..Axis::linear("") },
            vec![
                dots("measured, median over seeds", 0, outliers(of("window", "half_width"))),
                theory(right, vec![(10.0, 1.0), (1e6, 1.0)]),
            ],
        ),
        panel(
            "Var log‖w_t‖ over 400 walks",
            Axis::log("t"),
            Axis::log(""),
            vec![dots("measured, median over seeds", 0, variance), theory(right, slope)],
        ),
        panel(
            "Top exponent at the saddle, μ = 0.06, λ = 0.1",
            Axis::log("dimension d"),
            Axis::linear(""),
            vec![
                dots("measured, median over seeds", 0, exponents.collect()),
                theory("0: III below, escape above", vec![(1.0, 0.0), (200.0, 0.0)]),
            ],
        ),
        panel(
            "First zero of m, times x_max²",
            Axis::log("x_max²"),
            Axis::log(""),
            zeros.chain([theory("2", vec![(1.0, 2.0), (1e4, 2.0)])]).collect(),
        ),
        panel(
            "Width of the last window, 1/x_min²",
            Axis::log("N"),
            Axis::log("negative powers of ten, relatively"),
            vec![windows, theory("double precision", vec![(10.0, 16.0), (1e3, 16.0)])],
        ),
    ];
    let footnote = format!("{} seeds.", spec.seeds.own.len());
    Ok(plot::Figure { title: spec.title.clone(), columns: 3, panels, footnote: Some(footnote) })
}

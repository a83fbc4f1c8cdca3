//! Figure 1a: u·tanh(wx) with a large step size converges to the saddle at 0 in probability. The samples are (1, 1) and (1, -1/2),
//! so that xy is 1 or -1/2; λ = 1.2 is in phase III, 0.5 in phase I. Every seed has 50 walks: 1000 at paper scale.

use rand::RngExt;

use super::statements::normal;
use super::swish::{Weights, loss, step, tanh};
use super::{PAPER, curve, neuron, panel, run, simulated, step_size};
use crate::claims::{Claim, each};
use crate::data::Data;
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Activation;
use crate::report::plot::{self, Axis, Contours, Curve, Style, Symbol};
use crate::rng::{Stream, sequential};
use crate::run::{Results, Simulated, quantile};
use crate::spec::{Evaluate, Panel, Run, Scale, Spec};
use crate::theory::saddle::{Phase, Saddle};
use crate::theory::trajectory::growth;
use crate::train::Progress;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "stability/fig1a",
    paper: PAPER,
    about: "u·tanh(wx): with a large step size SGD converges to the saddle in probability, which expectation and small steps leave",
    declare,
    expect,
    simulate: Some(simulate),
    check: Figure::ANY,
    draw,
};

const SAMPLES: [(f64, f64); 2] = [(1.0, 1.0), (1.0, -0.5)];
const SADDLE: Saddle = Saddle::TwoPoint { a: -0.5 };
const WALKS: usize = 50;
/// A walk is at the saddle if w² + u² is below this.
const AT: f64 = 1e-6;

fn declare(scale: Scale) -> Spec {
    let steps = match scale {
        Scale::Smoke => 501,
        Scale::Laptop | Scale::Paper => 2001,
    };
    let mut spec = simulated(
        &FIGURE,
        "SGD converges to a saddle: u·tanh(wx), Figure 1a",
        scale,
        Data::Own { n: 2, d: 1 },
        neuron(&[1, 1, 1], Activation::Tanh),
        &["at_saddle", "median_norm", "mean_norm", "rate", "rate_error"],
    );
    spec.runs = vec![run("large", "λ = 1.2, phase III", steps, 1.2), run("small", "λ = 0.5, phase I", steps, 0.5)];
    spec.evaluate = Evaluate::even(1, steps.min(201));
    spec.panels = vec![Panel::new("median_norm", "median of |(w, u)|", true)];
    spec
}

fn simulate(spec: &Spec, run: &Run, seed: u64, progress: &dyn Progress) -> Result<Simulated> {
    let stream = &mut sequential(seed, Stream::Order);
    let lambda = step_size(run);
    let mut walks: Vec<Weights> = (0..WALKS).map(|_| [0.5 * normal(stream), 0.5 * normal(stream)]).collect();
    let start = walks.clone();
    let half = run.steps / 2;
    let mut at_half = Vec::new();
    let norms = |walks: &[Weights]| walks.iter().map(|w| w[0].hypot(w[1])).collect::<Vec<f64>>();
    let logs = |walks: &[Weights]| walks.iter().map(|w| (w[0] + w[1]).abs().ln()).collect::<Vec<f64>>();
    let (mut values, mut done) = (Vec::new(), 0);
    for point in spec.evaluate.points(run.steps) {
        while done < point {
            if done == half {
                at_half = logs(&walks);
            }
            walks.iter_mut().for_each(|walk| step(tanh, walk, SAMPLES[stream.random_range(0..2)], lambda));
            done += 1;
            progress.advanced(1, f64::NAN);
        }
        let norms = norms(&walks);
        let at = norms.iter().filter(|norm| **norm < AT.sqrt()).count() as f64 / WALKS as f64;
        // Growth of |w + u| over the second half: those that underflowed say nothing.
        let ends: Vec<(f64, f64)> =
            at_half.iter().copied().zip(logs(&walks)).filter(|(a, b)| a.is_finite() && b.is_finite()).collect();
        let rate =
            growth(&ends, (done - half.min(done)).max(1)).map_or([f64::NAN; 2], |found| [found.value, found.standard_error]);
        let mean = norms.iter().sum::<f64>() / WALKS as f64;
        values.extend([at, quantile(&norms, 0.5).unwrap_or(f64::NAN), mean]);
        values.extend(rate);
    }
    Ok(Simulated::once(values, start.into_iter().chain(walks).flatten().collect()))
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let last = |run: &str, what: &str, metric: &str, question: fn(f64) -> bool| {
        each(results, &format!("{run}: {what}"), run, |of, replica| {
            let value = of.last(replica, metric)?;
            Some((question(value), value))
        })
    };
    let lambda = |name: &str| spec.runs.iter().find(|run| run.name == name).map_or(f64::NAN, step_size);
    let m = SADDLE.exponents(lambda("large")).plus;
    let rate = each(
        results,
        &format!("large: growth of log|w + u| per step within 4 standard errors of {m:.4}"),
        "large",
        |of, replica| {
            let (rate, error) = (of.last(replica, "rate")?, of.last(replica, "rate_error")?);
            Some(((rate - m).abs() <= 4.0 * error, rate))
        },
    );
    Ok(vec![
        Claim::all(
            "saddle",
            "with a large learning rate SGD converges to the saddle in probability",
            "Figure 1a",
            vec![last("large", "at least 90% of the walks at the saddle at the end", "at_saddle", |share| share >= 0.9)],
        ),
        Claim::all(
            "escape",
            "with a smaller one it escapes and learns",
            "Figure 1b, phase I",
            vec![last("small", "none at the saddle at the end", "at_saddle", |share| share == 0.0)],
        ),
        Claim::all("exponent", "the Lyapunov exponent times t agrees with a typical trajectory", "Figure 1a", vec![rate]),
    ])
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let grid = || (0..=100).map(|k| -1.6 + 0.032 * f64::from(k)).collect::<Vec<_>>();
    let minimum = |w: f64| (w, 0.25 / w.tanh());
    let branch = |sign: f64| (1..=80).map(|k| minimum(sign * 0.02 * f64::from(k))).collect();
    let mut curves = vec![
        Curve { style: Style::Dashed, ..curve("global minima, u·tanh w = 1/4", 2, branch(1.0)) },
        Curve { style: Style::Dashed, ..curve("global minima, u·tanh w = 1/4", 2, branch(-1.0)) },
    ];
    if let Some(replica) = results.run("large").and_then(|run| run.replicas.first()) {
        let points = |of: &[f64]| of.chunks_exact(2).map(|w| (w[0], w[1])).collect();
        let (start, end) = replica.params.split_at(replica.params.len() / 2);
        curves.push(Curve { style: Style::Points, ..curve("50 walks, start", 0, points(start)) });
        curves.push(Curve { style: Style::Points, ..curve("50 walks at λ = 1.2, end", 1, points(end)) });
    }
    curves.push(Curve { style: Style::Mark(Symbol::Star), ..curve("saddle", 6, vec![(0.0, 0.0)]) });
    let surface = plot::Panel {
        contours: Some(Contours::of(
            |w, u| loss(tanh, [w, u], &SAMPLES),
            grid(),
            grid(),
            vec![0.285, 0.3, 0.3125, 0.35, 0.45, 0.7, 1.2],
        )),
        ..panel("Training loss, and SGD before and after", Axis::linear("w"), Axis::linear("u"), curves)
    };
    let mut lines = Vec::new();
    for (colour, (run, declared)) in results.runs.iter().zip(&spec.runs).enumerate() {
        let Some(replica) = run.replicas.first() else { continue };
        let series = |metric| run.series(replica, metric).into_iter().map(|(t, y)| (t as f64, y)).collect::<Vec<_>>();
        let phase: Phase = SADDLE.phase(step_size(declared)).1;
        lines.push(curve(&format!("median, λ = {} ({phase})", step_size(declared)), colour, series("median_norm")));
        lines.push(Curve {
            style: Style::Dashed,
            ..curve(&format!("mean, λ = {}", step_size(declared)), colour, series("mean_norm"))
        });
        if run.name == "large" {
            let m = SADDLE.exponents(step_size(declared)).plus;
            let end = run.steps as f64;
            lines.push(Curve {
                style: Style::Dashed,
                ..curve("e^(mt), m = E log|1 + λxy|", 7, vec![(0.0, 0.5), (end, 0.5 * (m * end).exp())])
            });
        }
    }
    let y = Axis { range: Some((1e-70, 1e2)), ..Axis::log("|(w, u)| over 50 walks") };
    let course = panel("Course", Axis::linear("iteration"), y, lines);
    let footnote = "Samples (1, 1) and (1, -1/2), start N(0, 1/4); seed 0.";
    Ok(plot::Figure { title: spec.title.clone(), columns: 2, panels: vec![surface, course], footnote: Some(footnote.to_owned()) })
}

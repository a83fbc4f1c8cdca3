//! Figure 6: 200 walks of SGD on one-dimensional Gaussian regression. What is typical, e^(2mt), and what the mean of squares says.

use super::statements::normal;
use super::{PAPER, curve, neuron, panel, run, simulated, step_size};
use crate::claims::{Claim, each};
use crate::data::Data;
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Activation;
use crate::report::plot::{self, Axis, Curve, Style};
use crate::rng::{Stream, sequential};
use crate::run::{Results, Simulated, quantile};
use crate::spec::{Evaluate, Panel, Run, Scale, Spec};
use crate::theory::regression::{MomentBounds, exponent};
use crate::theory::trajectory::growth;
use crate::train::Progress;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "stability/fig6",
    paper: PAPER,
    about: "walks of SGD on regression: the typical rate against the mean of squares, at a small and a large step size",
    declare,
    expect,
    simulate: Some(simulate),
    check: Figure::ANY,
    draw,
};

const WALKS: usize = 200;
/// Walks that arrays.npz keeps, over all points.
const KEPT: usize = 30;

fn declare(scale: Scale) -> Spec {
    let steps = match scale {
        Scale::Smoke => 101,
        Scale::Laptop | Scale::Paper => 401,
    };
    let mut spec = simulated(
        &FIGURE,
        "Typical and mean-square convergence of SGD on regression, Figure 6",
        scale,
        Data::Own { n: 0, d: 1 },
        neuron(&[1, 1], Activation::Identity),
        &["median_square", "mean_square", "rate", "rate_error"],
    );
    // Mean squares converge below 2/3, probabilities below 2.42. Their rates agree to first order in λ only.
    spec.runs = vec![run("small", "λ = 0.05", steps, 0.05), run("large", "λ = 2", steps, 2.0)];
    spec.evaluate = Evaluate::even(1, steps.min(101));
    spec.panels = vec![Panel::new("mean_square", "mean of |w - w*|²", true)];
    spec
}

fn simulate(spec: &Spec, run: &Run, seed: u64, progress: &dyn Progress) -> Result<Simulated> {
    let stream = &mut sequential(seed, Stream::Order);
    let lambda = step_size(run);
    let mut kept = Vec::new();
    let mut logs = vec![0.0_f64; WALKS];
    let (mut values, mut step) = (Vec::new(), 0);
    for point in spec.evaluate.points(run.steps) {
        while step < point {
            logs.iter_mut().for_each(|log| *log += (1.0 - lambda * normal(stream).powi(2)).abs().ln());
            step += 1;
            progress.advanced(1, f64::NAN);
        }
        let squares: Vec<f64> = logs.iter().map(|log| (2.0 * log).exp()).collect();
        let ends: Vec<(f64, f64)> = logs.iter().map(|&log| (0.0, log)).collect();
        let rate = growth(&ends, point.max(1)).map_or([f64::NAN; 2], |found| [found.value, found.standard_error]);
        values.extend([quantile(&squares, 0.5).unwrap_or(f64::NAN), squares.iter().sum::<f64>() / WALKS as f64]);
        values.extend(rate);
        kept.extend_from_slice(&squares[..KEPT]);
    }
    Ok(Simulated::once(values, kept))
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let m = |name: &str| spec.runs.iter().find(|run| run.name == name).map_or(f64::NAN, |run| exponent(step_size(run), 1));
    let half = |steps: u64| steps / 2;
    let typical = |name: &str| {
        let what = format!("{name}: log of the median square within a fifth of 2mt at half time");
        each(results, &what, name, |run, replica| {
            let &(t, median) = run.within(replica, "median_square", half(run.steps)..).first()?;
            let ratio = median.ln() / (2.0 * m(name) * t as f64);
            Some(((ratio - 1.0).abs() <= 0.2, ratio))
        })
    };
    let mean = |name: &str, what: &str, question: fn(f64) -> bool| {
        each(results, &format!("{name}: {what}"), name, |run, replica| {
            let &(_, square) = run.within(replica, "mean_square", half(run.steps)..).first()?;
            let &(_, median) = run.within(replica, "median_square", half(run.steps)..).first()?;
            Some((question(square / median), square / median))
        })
    };
    let estimated = |name: &str| {
        each(results, &format!("{name}: mean of log|w - w*|/t within 4 standard errors of m"), name, |run, replica| {
            let (rate, error) = (run.last(replica, "rate")?, run.last(replica, "rate_error")?);
            Some(((rate - m(name)).abs() <= 4.0 * error, rate))
        })
    };
    Ok(vec![
        Claim::all(
            "typical",
            "e^(2m) agrees with the majority of trajectories",
            "section B.1, Figure 6",
            vec![typical("small"), typical("large")],
        ),
        Claim::all(
            "both-agree",
            "for a small learning rate the mean of squares is similar",
            "section B.1, Figure 6",
            vec![mean("small", "mean of squares less than 10⁶ times the median at half time", |ratio| ratio < 1e6)],
        ),
        Claim::all(
            "rare",
            "for a large one it is dominated by rare trajectories, far above the typical",
            "section B.1, Figure 6",
            vec![mean("large", "mean of squares more than 10⁶ times the median at half time", |ratio| ratio > 1e6)],
        ),
        Claim::all(
            "estimate",
            "m is easy to estimate from trajectories",
            "section 5",
            vec![estimated("small"), estimated("large")],
        ),
    ])
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let mut panels = Vec::new();
    for (run, declared) in results.runs.iter().zip(&spec.runs) {
        let Some(replica) = run.replicas.first() else { continue };
        let lambda = step_size(declared);
        let walk = |k: usize| {
            let points = run.points.iter().zip(replica.params.iter().skip(k).step_by(KEPT));
            let label = if k == 0 { "single walks" } else { "" };
            Curve { style: Style::Faint, ..curve(label, 2, points.map(|(&t, &square)| (t as f64, square)).collect()) }
        };
        let series = |metric| run.series(replica, metric).into_iter().map(|(t, y)| (t as f64, y)).collect();
        let growing = |rate: f64| (0..=run.steps).map(|t| (t as f64, (rate * t as f64).exp())).collect::<Vec<_>>();
        let mut curves: Vec<Curve> = (0..KEPT).map(walk).collect();
        curves.push(curve("mean of |w - w*|² over 200 walks", 1, series("mean_square")));
        let law = (1.0 - 2.0 * lambda + 3.0 * lambda * lambda).ln();
        curves.push(Curve { style: Style::Dashed, ..curve("its expectation", 1, growing(law)) });
        curves.push(curve("e^(2mt)", 0, growing(2.0 * exponent(lambda, 1))));
        let stable =
            if lambda < MomentBounds::gaussian(1).mean_square { "stable in mean square" } else { "not stable in mean square" };
        let range = (run.name == "large").then_some((1e-120, 1e60));
        let y = Axis { range, ..Axis::log("|w - w*|²") };
        panels.push(panel(&format!("λ = {lambda}: {stable}"), Axis::linear("iteration"), y, curves));
    }
    let footnote = format!("w* interpolates x ~ N(0, 1); seed 0 of {}.", spec.seeds.own.len());
    Ok(plot::Figure { title: spec.title.clone(), columns: 2, panels, footnote: Some(footnote) })
}

//! What the experiments on regression of Appendix B share: gradient descent, SGD on single samples in a fixed order with the
//! constant step size that Theorem 1 assumes, and with the 1/√t of section 3.3. "η = 0.5 max(svd)" is read as 0.5/σ_max(X)².

use super::regression::{Law, Problem, norm};
use super::{DECAY, course};
use crate::claims::{Direction, Evidence, paired_by};
use crate::data::Data;
use crate::error::Result;
use crate::experiments::{Figure, simulated};
use crate::metrics::rank::singular_values;
use crate::nets::{Activation, Architecture, Bias};
use crate::optim::{Batch, Optimiser, Sampling};
use crate::report::plot::{self, Axis};
use crate::run::{Results, Simulated};
use crate::schedule::Schedule;
use crate::spec::{Evaluate, Panel, Run, Scale, Spec};
use crate::train::Progress;

pub(super) const MSE: &str = "mse";
pub(super) const SMALLEST: &str = "smallest_singular_value";
pub(super) const LARGEST: &str = "largest_singular_value";
pub(super) const OUTSIDE: &str = "outside_norm";
pub(super) const GRADIENT: &str = "gradient_norm";
/// The share of 1/σ_max(X)² that the step size is.
const STEP: f64 = 0.5;

/// An optimiser of a name: batches of all samples, or single ones in order.
fn optimiser(name: &str) -> Optimiser {
    let single = Batch::Random { size: 1, sampling: Sampling::Fixed };
    // Weight decay as the engine has it: gradient += 2λ·w.
    let base = Optimiser { weight_decay: 2.0 * DECAY, ..Optimiser::gd() };
    if name == "gd" { base } else { Optimiser { batch: single, ..base } }
}

/// The three runs, or those of the given names, over epochs: square W on n samples of d inputs.
pub(super) fn declare(figure: &Figure, title: &str, scale: Scale, (n, d): (usize, usize), epochs: u64, names: &[&str]) -> Spec {
    let net = Architecture::mlp(&[d, d], Bias::None, Activation::Identity);
    let metrics = [MSE, SMALLEST, LARGEST, OUTSIDE, GRADIENT];
    let label = |name: &str| match name {
        "gd" => "GD",
        "sgd" => "SGD, constant η",
        _ => "SGD, η/√epoch",
    };
    let run = |name: &&str| Run::new(name, label(name), epochs + 1, Schedule::Constant { peak: STEP }, optimiser(name));
    let mut spec = simulated(figure, title, scale, Data::Own { n, d }, net, &metrics);
    spec.runs = names.iter().map(run).collect();
    spec.evaluate = Evaluate::even(1, (epochs + 1).min(61));
    spec.panels = vec![Panel::new(MSE, "mean square error", true)];
    spec
}

/// The paper's three runs.
pub(super) const RUNS: [&str; 3] = ["gd", "sgd", "sgd-sqrt"];

fn problem(spec: &Spec, run: &Run, law: Law, seed: u64) -> Problem {
    let (n, d) = match *spec.data_of(run) {
        Data::Own { n, d } => (n, d),
        _ => (1, 1),
    };
    Problem::draw(n, d, law, seed)
}

fn measures(problem: &Problem, w: &[f64], batch: usize, lambda: f64) -> Result<Vec<f64>> {
    let values = singular_values(problem.m, problem.d, w)?;
    let [largest, smallest] = [values.first(), values.last()].map(|value| value.copied().unwrap_or(f64::NAN));
    let gradient = problem.gradient(w, 0..batch);
    let update: Vec<f64> = gradient.iter().zip(w).map(|(g, w)| 2.0 / batch as f64 * g + 2.0 * lambda * w).collect();
    Ok(vec![problem.mse(w), smallest, largest, norm(&problem.outside_span(w)), norm(&update)])
}

/// One seed over epochs, from W_ij ~ N(0, start²).
pub(super) fn simulate(spec: &Spec, run: &Run, seed: u64, progress: &dyn Progress, law: Law, start: f64) -> Result<Simulated> {
    let problem = problem(spec, run, law, seed);
    let eta = run.schedule.at(0, run.steps) * problem.unit_of_steps()?;
    let (batch, lambda) = (run.optimiser.batch_size(problem.n), run.optimiser.weight_decay / 2.0);
    let decays = run.name.ends_with("sqrt");
    Simulated::along(
        spec,
        run,
        progress,
        problem.start(start, seed),
        |w, epoch| {
            let eta = if decays { eta / ((epoch + 1) as f64).sqrt() } else { eta };
            problem.epoch(w, batch, eta, lambda);
        },
        |w| measures(&problem, w, batch, lambda),
        Clone::clone,
    )
}

/// One seed of a single epoch, over its samples; gradient descent makes its only step at the end. Here 2η times the largest
/// curvature of a batch, σ_max(X)²/N or E‖x‖² = d, is the schedule's step size: both are as far from diverging.
pub(super) fn simulate_online(
    spec: &Spec,
    run: &Run,
    seed: u64,
    progress: &dyn Progress,
    law: Law,
    start: f64,
) -> Result<Simulated> {
    let problem = problem(spec, run, law, seed);
    let lambda = run.optimiser.weight_decay / 2.0;
    let full = run.optimiser.batch == Batch::Full;
    let curvature = if full { (problem.unit_of_steps()? * problem.n as f64).recip() } else { problem.d as f64 };
    let eta = 0.5 * run.schedule.at(0, run.steps) / curvature;
    Simulated::along(
        spec,
        run,
        progress,
        problem.start(start, seed),
        |w, i| match full {
            true if i + 1 == problem.n as u64 => problem.step(w, 0..problem.n, eta, lambda),
            true => {}
            false => problem.step(w, i as usize..i as usize + 1, eta, lambda),
        },
        |w| measures(&problem, w, 1, lambda),
        Clone::clone,
    )
}

/// Is a metric of the first run at the end below that of the second?
pub(super) fn below(results: &Results, metric: &str, first: &str, second: &str) -> Evidence {
    paired_by(results, metric, first, Direction::Below, second, |run, replica| run.last(replica, metric))
}

/// Where the axis of what is zero to rounding begins.
const LEAST: f64 = 1e-18;

/// Error, extreme singular values, what lies outside the span of the data, and the size of updates.
pub(super) fn draw(spec: &Spec, results: &Results, over: &str) -> Result<plot::Figure> {
    let panels = [
        (MSE, "‖Wx - y‖², mean over samples"),
        (SMALLEST, "smallest singular value of W"),
        (LARGEST, "largest singular value of W"),
        (OUTSIDE, "‖W(I - π)‖, outside the span of the data"),
        (GRADIENT, "norm of the batch's gradient, with decay"),
    ];
    let panel = |(metric, title): (&str, &str)| {
        let curves = results.runs.iter().zip(&spec.runs).enumerate();
        let curves = curves.map(|(colour, (run, declared))| course(run, metric, &declared.label, colour)).collect::<Vec<_>>();
        let largest = curves.iter().flat_map(|curve| &curve.points).map(|&(_, y)| y).fold(0.0, f64::max);
        // What is zero to rounding would only stretch the axis, and what is zero has no place on it.
        let y = Axis { range: if largest > 1e-12 { None } else { Some((LEAST, 1.0)) }, ..Axis::log("") };
        (largest > LEAST).then(|| super::panel(title, Axis::linear(over), y, curves))
    };
    let footnote = format!(
        "λ = {DECAY}, N and d: {}, square W; samples in a fixed order. Medians over {} seeds, bands: 10th to 90th percentile.",
        spec.data.name(),
        spec.seeds.own.len()
    );
    Ok(plot::Figure {
        title: spec.title.clone(),
        columns: 3,
        panels: panels.into_iter().filter_map(panel).collect(),
        footnote: Some(footnote),
    })
}

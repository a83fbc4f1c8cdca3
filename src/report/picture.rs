//! The picture of a group of runs: a panel per metric, a curve per run.

use super::plot::{Axis, Curve, Figure, Panel, Style};
use crate::claims::diverged;
use crate::run::{Replica, Results, RunResults, quantile};
use crate::spec::{Clock, Run, Scale, Seed, Spec, applies};
use crate::train::Outcome;

/// Median over own seeds with the 10-90% band, and the paper's replica as a dashed line that ends in a cross where it diverged.
pub fn picture(spec: &Spec, results: &Results) -> Figure {
    let panel = |panel: &crate::spec::Panel| Panel {
        title: panel.title.clone(),
        x: match spec.clock {
            Clock::Iteration => Axis::linear("iteration"),
            Clock::Logarithmic => Axis::log("iteration"),
            Clock::Time => Axis::linear("time η(0)·t"),
        },
        y: if panel.log { Axis::log("") } else { Axis::linear("") },
        curves: drawn(spec, results, panel),
        legend: true,
        ..Panel::default()
    };
    let scale = match spec.scale {
        Scale::Smoke => ", smoke scale",
        Scale::Laptop => ", laptop scale",
        Scale::Paper => "",
    };
    let own = spec.seeds.own.len();
    let bands = if own > 1 {
        format!("Lines: median over finite seeds of {own}; bands: 10th to 90th percentile. ")
    } else {
        String::new()
    };
    let paper =
        if spec.seeds.paper { format!("Dashed: the {}, to a cross where it diverged. ", papers(spec)) } else { String::new() };
    let anew = if spec.seeds.own_data { "Every seed draws its own data. " } else { "" };
    Figure {
        title: spec.title.clone(),
        columns: 2,
        panels: spec.panels.iter().map(panel).collect(),
        footnote: Some(format!("{bands}{paper}{anew}Data: {}{scale}.", spec.data.name())),
    }
}

/// What the paper's replica has from the paper.
fn papers(spec: &Spec) -> &'static str {
    match (spec.seeds.own_data, spec.data.is_published()) {
        (true, _) => "paper's data and order",
        (false, true) => "paper's start and order",
        (false, false) => "paper's order",
    }
}

fn drawn(spec: &Spec, results: &Results, panel: &crate::spec::Panel) -> Vec<Curve> {
    let mut labels: Vec<&str> = Vec::new();
    let mut drawn = Vec::new();
    for (run, declared) in results.runs.iter().zip(&spec.runs) {
        // Runs of one label, in panels of their own, have one colour.
        let colour = labels.iter().position(|label| *label == declared.label).unwrap_or_else(|| {
            labels.push(&declared.label);
            labels.len() - 1
        });
        if applies(&panel.only, declared) {
            drawn.extend(curves(spec, run, declared, colour, &panel.metric));
        }
    }
    drawn
}

fn curves(spec: &Spec, run: &RunResults, declared: &Run, colour: usize, metric: &str) -> Vec<Curve> {
    let label = &declared.label;
    let unit = match spec.clock {
        Clock::Time => declared.schedule.at(0, run.steps),
        Clock::Iteration | Clock::Logarithmic => 1.0,
    };
    let own = run.own().count();
    let mut curves = Vec::new();
    if own > 0 {
        let label = format!("{label} ({}/{own} finite)", own - diverged(run));
        let bands = band(run, metric);
        let points = bands.iter().map(|&(x, [_, middle, _])| (x * unit, middle)).collect();
        let shade = (own > 1).then(|| bands.iter().map(|&(x, [low, _, high])| (x * unit, low, high)).collect());
        curves.push(Curve { label, colour, points, band: shade, ..Curve::default() });
    }
    for replica in run.replicas.iter().filter(|replica| replica.seed == Seed::Paper) {
        let label = if own > 0 { papers(spec).to_owned() } else { label.clone() };
        let style = if own > 0 { Style::Dashed } else { Style::Solid };
        let end_cross = replica.outcome != Outcome::Finished;
        curves.push(Curve { label, colour, style, points: points(run, replica, metric, unit), end_cross, band: None });
    }
    curves
}

fn points(run: &RunResults, replica: &Replica, metric: &str, unit: f64) -> Vec<(f64, f64)> {
    run.series(replica, metric).into_iter().map(|(step, value)| (step as f64 * unit, value)).collect()
}

/// 10th, 50th and 90th percentile over the own seeds that finished, wherever the metric was measured.
fn band(run: &RunResults, metric: &str) -> Vec<(f64, [f64; 3])> {
    let finished = run.own().filter(|replica| replica.outcome == Outcome::Finished);
    let series: Vec<Vec<(u64, f64)>> = finished.map(|replica| run.series(replica, metric)).collect();
    let steps = series.first().map_or(&[][..], Vec::as_slice).iter().map(|&(step, _)| step);
    let at = |(index, step): (usize, u64)| {
        let values: Vec<f64> =
            series.iter().filter_map(|series| series.get(index)).filter(|(s, _)| *s == step).map(|&(_, v)| v).collect();
        let [Some(low), Some(middle), Some(high)] = [0.1, 0.5, 0.9].map(|fraction| quantile(&values, fraction)) else {
            return None;
        };
        Some((step as f64, [low, middle, high]))
    };
    steps.enumerate().filter_map(at).collect()
}

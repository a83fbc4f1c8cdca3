//! Figure 4: gradient descent and SGD on f(x) = abx, a = 4, b = 1, with two samples: D1 = {(1, -1), (1, 1)}, where the labels are
//! noise, and D2 = {(1, 0), (3, 0)}, where only the inputs differ; the paper's code has {(1/3, 0), (3, 0)}. The code goes through
//! the samples in turn; runs of random order beside it have a seed each. The loss is (abx - y)², without 1/2.

use super::{PAPER, curve};
use crate::claims::{Claim, Evidence, each};
use crate::data::Data;
use crate::error::Result;
use crate::experiments::Figure;
use crate::loss::Loss;
use crate::nets::Architecture;
use crate::optim::{Batch, Optimiser, Sampling};
use crate::report::plot::{self, Axis, Curve, Style};
use crate::run::{Replica, Results, RunResults};
use crate::schedule::Schedule;
use crate::spec::{Clock, Dtype, Evaluate, Metric, Panel, Run, SCHEMA, Scale, Seeds, Spacing, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig4",
    paper: PAPER,
    about: "the toy f = abx: SGD drifts along the minima to a = b = 0 where labels are noise, and stops where inputs are",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw,
};

const ETA: f64 = 0.008;
/// Iterations that the paper draws.
const SHOWN: u64 = 500;
const SOURCE: &str = "Figure 4, Appendix B";

/// Two samples, each an input and a label.
fn samples(pairs: [[f64; 2]; 2]) -> Data {
    Data::Listed { d: 1, x: pairs.map(|pair| pair[0]).to_vec(), y: pairs.map(|pair| pair[1]).to_vec(), support: 0 }
}

fn declare(scale: Scale) -> Spec {
    let (steps, seeds) = match scale {
        Scale::Smoke => (10_000, 5),
        Scale::Laptop | Scale::Paper => (100_000, 20),
    };
    let run = |name: &str, label: &str, peak, data: [[f64; 2]; 2], batch| {
        // On D2 all is over after a few dozen iterations.
        let steps = if name.contains("d2") { 2_000 } else { steps };
        let schedule = Schedule::Constant { peak };
        Run { data: Some(samples(data)), ..Run::new(name, label, steps, schedule, Optimiser { batch, ..Optimiser::gd() }) }
    };
    let (full, single) = (Batch::Full, |sampling| Batch::Random { size: 1, sampling });
    let (d1, d2, code) = ([[1.0, -1.0], [1.0, 1.0]], [[1.0, 0.0], [3.0, 0.0]], [[1.0 / 3.0, 0.0], [3.0, 0.0]]);
    Spec {
        schema: SCHEMA,
        figure: Some(FIGURE.id.to_owned()),
        title: "The toy f(x) = abx: gradient descent stops, SGD drifts along the minima, Figure 4".to_owned(),
        scale,
        overrides: Vec::new(),
        dtype: Dtype::F64,
        loss: Loss::Mse,
        data: samples(d1),
        net: Architecture::Diagonal { u: 4.0, v: 1.0 },
        seeds: Seeds { paper: false, own: (0..seeds).collect(), own_data: false },
        runs: vec![
            run("gd-d1", "GD, D1", ETA, d1, full),
            run("sgd-d1", "SGD, D1", ETA, d1, single(Sampling::Fixed)),
            run("sgd-d1-reshuffled", "SGD, D1, reshuffled", ETA, d1, single(Sampling::Epochs)),
            run("sgd-d1-replacement", "SGD, D1, with replacement", ETA, d1, single(Sampling::Replacement)),
            run("flow-d1", "gradient flow, D1 (η = 0.0002)", 0.0002, d1, full),
            run("gd-d2", "GD, D2", ETA, d2, full),
            run("sgd-d2", "SGD, D2", ETA, d2, single(Sampling::Fixed)),
            run("gd-d2-code", "GD, D2 of the code", ETA, code, full),
            run("sgd-d2-code", "SGD, D2 of the code", ETA, code, single(Sampling::Fixed)),
            run("gd-d2-small", "GD, D2, η/8", ETA / 8.0, d2, full),
            run("sgd-d2-small", "SGD, D2, η/8", ETA / 8.0, d2, single(Sampling::Fixed)),
        ],
        evaluate: Evaluate { first: SHOWN + 1, grid: 121, spacing: Spacing::Logarithmic, after: false },
        metrics: vec![Metric::always("first_parameter"), Metric::always("l1")],
        panels: vec![Panel::new("first_parameter", "a", false)],
        clock: Clock::Iteration,
        trajectory: false,
    }
}

/// (|a|, |b|) at a number of updates: u_1 and |ab|/|a|.
fn pair(run: &RunResults, replica: &Replica, step: u64) -> Option<(f64, f64)> {
    let at = |metric| run.within(replica, metric, step..=step).first().map(|&(_, value)| value);
    let (a, product) = (at("first_parameter")?, at("l1")?);
    Some((a.abs(), product / a.abs()))
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    type Ends<'a> = &'a dyn Fn(f64, f64) -> (bool, f64);
    let ends = |run: &str, what: &str, of: Ends| {
        each(results, &format!("{run}: {what}"), run, |run, replica| {
            let (a, b) = (replica.params.first()?, replica.params.get(1)?);
            (run.survivor(replica.seed).is_some()).then(|| of(*a, *b))
        })
    };
    let origin = |run: &str| {
        ends(run, "max(|a|, |b|) at the end below 0.01", &|a, b| {
            let largest = a.abs().max(b.abs());
            (largest < 0.01, largest)
        })
    };
    let shown = |run: &str| {
        each(results, &format!("{run}: |a| below 0.4 after {SHOWN} iterations"), run, |run, replica| {
            let (a, _) = pair(run, replica, SHOWN)?;
            Some((a < 0.4, a))
        })
    };
    let faster = |gd: &str, sgd: &str| {
        let steps = [2, 4, 10, 20, 40];
        let b = |name: &str, step| {
            let run = results.run(name)?;
            Some(pair(run, run.own().next()?, step)?.1)
        };
        let pairs: Vec<(f64, f64)> = steps.iter().filter_map(|&step| Some((b(gd, step)?, b(sgd, step)?))).collect();
        let wins = pairs.iter().filter(|(gd, sgd)| sgd < gd).count();
        let last = pairs.first().map_or(String::new(), |(gd, sgd)| format!("after two: {gd:.3e} and {sgd:.3e}"));
        Evidence::grid(format!("|b| of {sgd} below that of {gd} after 2, 4, 10, 20 and 40 iterations"), wins, pairs.len(), last)
    };
    let stays = |run: &str| ends(run, "|b| below 1e-6 and |a| above 1 at the end", &|a, b| (b.abs() < 1e-6 && a.abs() > 1.0, a));
    Ok(vec![
        Claim::all("gd-stops", "gradient descent on D1 stops at a minimum away from 0", SOURCE, vec![stays("gd-d1")]),
        Claim::all(
            "closest",
            "it converges to the closest a, b with ab = 0, which is (4, 0)",
            "Appendix B",
            vec![ends("gd-d1", "|a - 4| at most 0.01", &|a, _| ((a - 4.0).abs() <= 0.01, a))],
        ),
        Claim::all(
            "flow",
            "gradient flow keeps a² - b² and ends at (√15, 0)",
            "ours",
            vec![ends("flow-d1", "|a - √15| at most 0.001", &|a, _| ((a - 15.0_f64.sqrt()).abs() <= 1e-3, a))],
        ),
        Claim::all(
            "origin",
            "SGD on D1 converges to a = b = 0",
            SOURCE,
            ["sgd-d1", "sgd-d1-reshuffled", "sgd-d1-replacement"].map(origin).to_vec(),
        ),
        Claim::all(
            "origin-shown",
            "within the iterations that are drawn it gets most of the way",
            SOURCE,
            ["sgd-d1", "sgd-d1-reshuffled", "sgd-d1-replacement"].map(shown).to_vec(),
        ),
        Claim::all(
            "faster",
            "on D2 SGD shrinks b faster than gradient descent",
            SOURCE,
            vec![faster("gd-d2", "sgd-d2"), faster("gd-d2-code", "sgd-d2-code"), faster("gd-d2-small", "sgd-d2-small")],
        ),
        Claim::all(
            "stays",
            "on D2 SGD stops too: noise of the inputs alone does not move along the minima",
            "ours",
            vec![stays("sgd-d2"), stays("sgd-d2-code")],
        ),
    ])
}

/// a and b over the paper's iterations on either data set, and on D1 to the end.
fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let path = |name: &str, label: &str, colour: usize, from: u64, to: u64| -> Vec<Curve> {
        let Some(run) = results.run(name) else { return Vec::new() };
        let Some(replica) = run.replicas.first() else { return Vec::new() };
        let steps = || run.points.iter().copied().filter(|step| (from..=to).contains(step));
        let of = |side: fn((f64, f64)) -> f64| {
            steps().filter_map(|step| Some((step as f64, side(pair(run, replica, step)?)))).collect()
        };
        let a = curve(&format!("|a|, {label}"), colour, of(|pair| pair.0));
        let b = Curve { style: Style::Dashed, ..curve(&format!("|b|, {label}"), colour, of(|pair| pair.1)) };
        vec![a, b]
    };
    let panel = |title: &str, x: Axis, names: &[(&str, &str, usize)], to: u64, lowest: f64| plot::Panel {
        title: title.to_owned(),
        y: Axis { range: Some((lowest, 6.0)), ..Axis::log("") },
        curves: names.iter().flat_map(|&(name, label, colour)| path(name, label, colour, u64::from(x.log), to)).collect(),
        x,
        legend: true,
        ..plot::Panel::default()
    };
    let panels = vec![
        panel(
            "D1: labels ±1 at x = 1",
            Axis::linear("iteration"),
            &[("gd-d1", "GD", 0), ("sgd-d1", "SGD, in turn", 1)],
            SHOWN,
            1e-8,
        ),
        panel(
            "D2: labels 0 at x = 1 and 3",
            Axis::linear("iteration"),
            &[("gd-d2", "GD", 0), ("sgd-d2", "SGD, in turn", 1)],
            60,
            1e-12,
        ),
        panel(
            "D1, to the end",
            Axis::log("iteration"),
            &[("gd-d1", "GD", 0), ("sgd-d1", "SGD, in turn", 1), ("sgd-d1-replacement", "SGD, with replacement", 4)],
            u64::MAX,
            1e-8,
        ),
        panel(
            "D2 of the code: x = 1/3 and 3",
            Axis::linear("iteration"),
            &[("gd-d2-code", "GD", 0), ("sgd-d2-code", "SGD, in turn", 1)],
            60,
            1e-12,
        ),
    ];
    let footnote = "From a = 4, b = 1, η = 0.008, loss (abx - y)²; the samples in turn, or drawn with replacement (seed 0).";
    Ok(plot::Figure { title: spec.title.clone(), columns: 2, panels, footnote: Some(footnote.to_owned()) })
}

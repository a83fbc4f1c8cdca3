//! Figure 9: trajectories of f(x) = abx on 100 samples with the label 1/mean x each, so that the minima are ab = 1: gradient
//! descent, SGD with batches of 10 in turn, gradient descent with weight decay 1, and Adam as an extra. The paper's replica has
//! NumPy's draws of seed 0 (label 16.9); every own seed draws its own data, with labels that differ by orders of magnitude.

use super::{PAPER, curve};
use crate::claims::{Claim, each};
use crate::data::{Data, Generator};
use crate::error::Result;
use crate::experiments::Figure;
use crate::loss::Loss;
use crate::nets::Architecture;
use crate::optim::{Batch, Optimiser, Rule, Sampling};
use crate::report::plot::{self, Axis, Contours, Curve, Style, Symbol};
use crate::run::{Replica, Results, RunResults};
use crate::schedule::Schedule;
use crate::spec::{Clock, Dtype, Evaluate, Metric, Panel, Run, SCHEMA, Scale, Seeds, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig9",
    paper: PAPER,
    about: "the toy f = abx on the loss surface: where gradient descent, SGD and weight decay go",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw,
};

const STEPS: u64 = 550;
const SOURCE: &str = "Figure 9";

fn declare(scale: Scale) -> Spec {
    let seeds = match scale {
        Scale::Smoke => 20,
        Scale::Laptop => 200,
        Scale::Paper => 1_000,
    };
    let run = |name: &str, label: &str, peak: f64, optimiser: Optimiser| {
        Run::new(name, label, STEPS, Schedule::Constant { peak }, optimiser)
    };
    let in_turn = Batch::Random { size: 10, sampling: Sampling::Fixed };
    Spec {
        schema: SCHEMA,
        figure: Some(FIGURE.id.to_owned()),
        title: "The toy f(x) = abx: three ways to the minima, Figure 9".to_owned(),
        scale,
        overrides: Vec::new(),
        dtype: Dtype::F64,
        loss: Loss::Mse,
        data: Data::Slope { n: 100, generator: Generator::Numpy, seed: 0 },
        net: Architecture::Diagonal { u: 4.0, v: 2.0 },
        seeds: Seeds { paper: true, own: (0..seeds).collect(), own_data: true },
        runs: vec![
            run("gd", "GD", 0.008, Optimiser::gd()),
            run("sgd", "SGD, batch 10", 0.008, Optimiser { batch: in_turn, ..Optimiser::gd() }),
            run("gd-decay", "GD, weight decay 1", 0.008, Optimiser { weight_decay: 1.0, ..Optimiser::gd() }),
            run("adam", "Adam, η = 0.08", 0.08, Optimiser { rule: Rule::adam(), ..Optimiser::gd() }),
        ],
        evaluate: Evaluate { after: true, ..Evaluate::even(STEPS, 0) },
        metrics: vec![Metric::sparse("first_parameter", 25), Metric::sparse("train_loss", 25)],
        panels: vec![Panel::new("first_parameter", "a", false)],
        clock: Clock::Iteration,
        trajectory: true,
    }
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    type Question<'a> = &'a dyn Fn(f64, f64) -> (bool, f64);
    let ends = |run: &str, what: &str, of: Question| {
        each(results, &format!("{run}: {what}"), run, |_, replica| {
            let (a, b) = (replica.params.first()?, replica.params.get(1)?);
            Some(of(*a, *b))
        })
    };
    let minimum = |run: &str| ends(run, "|ab - 1| at the end at most 0.01", &|a, b| ((a * b - 1.0).abs() <= 0.01, a * b));
    // Half the gap of squares at the start, 4² - 2².
    let balanced = |run: &str| {
        ends(run, "|a² - b²| at the end below half of that at the start", &|a, b| {
            let gap = (a * a - b * b).abs();
            (gap < 6.0, gap)
        })
    };
    let still =
        each(results, "gd: a moves by less than 1e-6 over the second half", "gd", |run: &RunResults, replica: &Replica| {
            let late = run.within(replica, "first_parameter", STEPS / 2..);
            let moved = (late.first()?.1 - late.last()?.1).abs();
            Some((moved < 1e-6, moved))
        });
    let root = 0.5_f64.sqrt();
    Ok(vec![
        Claim::all("gd", "gradient descent converges to the minima and ceases movement", SOURCE, vec![minimum("gd"), still]),
        Claim::all("sgd-drifts", "SGD drifts towards the balanced, minimum-norm solution", SOURCE, vec![balanced("sgd")]),
        Claim::all("sgd-stays", "it does so along the minima ab = 1", SOURCE, vec![minimum("sgd")]),
        Claim::all(
            "decay",
            "gradient descent with weight decay goes the same way: it ends balanced, at (1, 1)/√2 with the printed decay",
            SOURCE,
            vec![
                balanced("gd-decay"),
                ends("gd-decay", "|a - 1/√2| and |b - 1/√2| at most 0.01", &|a, b| {
                    let off = (a - root).abs().max((b - root).abs());
                    (off <= 0.01, off)
                }),
            ],
        ),
    ])
}

/// The paper's replica over the surface (ab - 1)², the loss less that of its minima; beside it the ends of all seeds.
fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let grid = |low: f64, high: f64| (0..=100).map(|k| low + (high - low) * f64::from(k) / 100.0).collect::<Vec<_>>();
    let surface = |title: &str, curves: Vec<Curve>| plot::Panel {
        title: title.to_owned(),
        x: Axis { range: Some((0.0, 4.4)), ..Axis::linear("a") },
        y: Axis { range: Some((-0.6, 2.6)), ..Axis::linear("b") },
        contours: Some(Contours::of(
            |a, b| (a * b - 1.0).powi(2).max(1e-3),
            grid(0.0, 4.4),
            grid(-0.6, 2.6),
            vec![0.01, 0.1, 0.5, 2.0, 8.0, 30.0],
        )),
        curves,
        legend: true,
        ..plot::Panel::default()
    };
    let minima = || Curve {
        style: Style::Dashed,
        ..curve("minima ab = 1", 7, (0..=200).map(|k| 0.4 + 0.02 * f64::from(k)).map(|a| (a, 1.0 / a)).collect())
    };
    let (mut paths, mut ends) = (vec![minima()], vec![minima()]);
    for (colour, (run, declared)) in results.runs.iter().zip(&spec.runs).enumerate() {
        let Some(replica) = run.replicas.first() else { continue };
        let start = spec.net_of(declared).initial(1, replica.seed);
        let path = [start.as_slice()].into_iter().chain(replica.trajectory.chunks_exact(2)).map(|w| (w[0], w[1])).collect();
        paths.push(curve(&declared.label, colour, path));
        let finished = run.own().filter(|replica| run.survivor(replica.seed).is_some());
        let points = finished.filter_map(|replica| Some((*replica.params.first()?, *replica.params.get(1)?))).collect();
        ends.push(Curve { style: Style::Points, ..curve(&format!("{}, end", declared.label), colour, points) });
    }
    let mark = |label: &str, symbol, point| Curve { style: Style::Mark(symbol), ..curve(label, 7, vec![point]) };
    for curves in [&mut paths, &mut ends] {
        curves.extend([mark("start", Symbol::Disc, (4.0, 2.0)), mark("(1, 1)", Symbol::Star, (1.0, 1.0))]);
    }
    Ok(plot::Figure {
        title: spec.title.clone(),
        columns: 2,
        panels: vec![surface("Trajectories, the paper's data", paths), surface("Ends, every seed its own data", ends)],
        footnote: Some(format!("Shade: (ab - 1)². {} seeds beside the paper's.", spec.seeds.own.len())),
    })
}

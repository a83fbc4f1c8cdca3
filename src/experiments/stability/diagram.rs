//! Measured phase diagrams: two-layer networks d-d-d on y = μx + (1-μ)ε with fresh samples in every step, trained at every point
//! of a grid over μ and λ, and the rank of their last layer at the end. `data.n` is the number of points along each axis.

use std::sync::atomic::{AtomicU64, Ordering};

use handgrad_kernels::Context;

use super::{curve, neuron, simulated, step_size};
use crate::claims::{Evidence, each};
use crate::data::Data;
use crate::ensemble::{Ensemble, Measure, Measured, Member, Samples, Start};
use crate::error::{Result, refuse};
use crate::experiments::Figure;
use crate::loss::Loss;
use crate::metrics::rank;
use crate::nets::{Activation, Architecture, Bias};
use crate::optim::{Batch, Optimiser, Rule};
use crate::report::plot::{self, Axis, Curve, Shades, Style, Tiles};
use crate::run::{Results, Simulated};
use crate::schedule::Schedule;
use crate::spec::{Panel, Run, Scale, Spec};
use crate::theory::root;
use crate::theory::saddle::{NOISE, Saddle};
use crate::train::Progress;

/// Singular values below this share of the largest do not count.
const TOLERANCE: f64 = 1e-3;
/// Largest step size of the maps of SGD, as in the paper.
pub(super) const SGD_STEP: f64 = 0.25;
/// The same for Adam, of which the paper states none.
pub(super) const ADAM_STEP: f64 = 0.01;
/// A layer whose rank is below this share of full rank is of low rank.
const LOW: f64 = 0.95;

/// A panel: name, label, φ and the update rule.
pub(super) type Kind = (&'static str, &'static str, Activation, Rule);

/// A diagram of d-d-d networks for several kinds of training, `points` along each axis.
pub(super) fn declare(
    figure: &Figure,
    title: &str,
    scale: Scale,
    kinds: &[Kind],
    (points, d): (usize, usize),
    steps: u64,
) -> Spec {
    let net = |activation| Architecture::mlp(&[d, d, d], Bias::None, activation);
    let metrics = ["low_rank", "agrees", "diverged"];
    let mut spec =
        simulated(figure, title, scale, Data::Own { n: points, d }, neuron(&[d, d, d], Activation::Identity), &metrics);
    spec.loss = Loss::Mse;
    let seeds = match scale {
        Scale::Smoke => 1,
        Scale::Laptop => 4,
        Scale::Paper => 20,
    };
    spec.seeds.own = (0..seeds).collect();
    let run = |&(name, label, activation, rule): &Kind| {
        let schedule = Schedule::Constant { peak: if matches!(rule, Rule::Adam { .. }) { ADAM_STEP } else { SGD_STEP } };
        let optimiser = Optimiser { rule, ..Optimiser::minibatch_sgd(1) };
        Run { net: Some(net(activation)), ..Run::new(name, label, steps, schedule, optimiser) }
    };
    spec.runs = kinds.iter().map(run).collect();
    spec.panels = vec![Panel::new("low_rank", "share of points whose last layer has lost rank", false)];
    spec
}

/// Points along each axis, and d.
fn sizes(spec: &Spec, run: &Run) -> Result<(usize, usize)> {
    match *spec.data_of(run) {
        Data::Own { n, d } if n > 0 => Ok((n, d)),
        _ => {
            refuse!("runs.{}: data of the kind `own` with n points along each axis of the diagram, expected at least 1", run.name)
        }
    }
}

/// Middles of n equal parts of (0, end).
fn middles(n: usize, end: f64) -> impl Iterator<Item = f64> {
    (0..n).map(move |k| end * (k as f64 + 0.5) / n as f64)
}

/// λ and μ of every point, μ fastest, as tiles are numbered.
fn grid(points: usize, run: &Run) -> Vec<(f64, f64)> {
    middles(points, step_size(run)).flat_map(|lambda| middles(points, 1.0).map(move |mu| (lambda, mu))).collect()
}

/// Whether the one-dimensional theory has the point in phase III, where SGD converges to the saddle.
fn predicted((lambda, mu): (f64, f64)) -> bool {
    let exponents = Saddle::Gaussian { mu, batch: 1 }.exponents_to(lambda, 1e-6);
    exponents.minus < 0.0 && exponents.plus < 0.0
}

/// Refuses what makes no diagram.
pub(super) fn check(spec: &Spec) -> Result<()> {
    for run in &spec.runs {
        let name = &run.name;
        let Data::Own { n, d } = *spec.data_of(run) else {
            return refuse!("runs.{name}: expected data of the kind `own`, with n points along each axis of the diagram");
        };
        let largest = step_size(run);
        if n == 0 {
            return refuse!("runs.{name}: data.n is 0, expected at least 1 point along each axis of the diagram");
        }
        if !(largest.is_finite() && largest > 0.0) {
            return refuse!("runs.{name}: schedule.peak is {largest}, expected the largest step size of the diagram, above 0");
        }
        if run.optimiser.batch == Batch::Full {
            return refuse!("runs.{name}: optimiser.batch is full, but samples are fresh in every step; set a size");
        }
        match spec.net_of(run) {
            Architecture::Mlp { widths, .. } if widths.iter().all(|&width| width == d) => {}
            _ => return refuse!("runs.{name}: data.d is {d}, which the network's widths are not; make them equal"),
        }
    }
    Ok(())
}

/// Turns steps of all members into those of one.
struct Mean<'a> {
    progress: &'a dyn Progress,
    members: u64,
    done: AtomicU64,
}

impl<'a> Mean<'a> {
    fn new(progress: &'a dyn Progress, members: usize) -> Mean<'a> {
        Mean { progress, members: members as u64, done: AtomicU64::new(0) }
    }
}

impl Progress for Mean<'_> {
    fn advanced(&self, steps: u64, loss: f64) {
        let before = self.done.fetch_add(steps, Ordering::Relaxed);
        self.progress.advanced((before + steps) / self.members - before / self.members, loss);
    }
}

pub(super) fn simulate(spec: &Spec, run: &Run, seed: u64, progress: &dyn Progress) -> Result<Simulated> {
    let cx = Context::cpu()?;
    let (points, d) = sizes(spec, run)?;
    let ensemble = Ensemble {
        net: spec.net_of(run).clone(),
        loss: spec.loss,
        optimiser: run.optimiser.clone(),
        sets: Vec::new(),
        steps: run.steps,
        points: vec![run.steps],
        keep: false,
    };
    let grid = grid(points, run);
    let member = |&(lambda, mu): &(f64, f64)| Member {
        schedule: Schedule::Constant { peak: lambda },
        seed,
        start: Start::Seed(seed),
        samples: Samples::Fresh { signal: mu },
        noise: (1.0 - mu) * NOISE,
    };
    let rank = |measured: Measured<'_>| {
        let last = &measured.params[measured.params.len().saturating_sub(d * d)..];
        Ok(vec![rank::rank(&cx, d, d, last, TOLERANCE)?.map_or(f64::NAN, |rank| rank as f64)])
    };
    let members: Vec<Member> = grid.iter().map(member).collect();
    let ranks =
        ensemble.train::<f32>(&cx, &members, Measure { count: 1, of: &rank }, &Mean::new(progress, members.len()))?.values;
    let low: Vec<bool> = ranks.iter().map(|rank| *rank < LOW * d as f64).collect();
    let theory: Vec<bool> = grid.iter().map(|&point| predicted(point)).collect();
    let share = |of: &dyn Fn(usize) -> bool, among: &dyn Fn(usize) -> bool| {
        let among: Vec<usize> = (0..grid.len()).filter(|&k| among(k)).collect();
        among.iter().filter(|&&k| of(k)).count() as f64 / among.len() as f64
    };
    let inside = |k: usize| {
        let (column, row) = (k % points, k / points);
        let neighbours = [(column.wrapping_sub(1), row), (column + 1, row), (column, row.wrapping_sub(1)), (column, row + 1)];
        neighbours.iter().all(|&(c, r)| c >= points || r >= points || theory[r * points + c] == theory[k])
    };
    let values =
        vec![share(&|k| low[k], &|_| true), share(&|k| low[k] == theory[k], &inside), share(&|k| ranks[k].is_nan(), &|_| true)];
    Ok(Simulated::once(values, ranks))
}

/// For every seed: is a metric of a run as a question asks?
pub(super) fn asked(results: &Results, run: &str, what: &str, metric: &'static str, question: fn(f64) -> bool) -> Evidence {
    each(results, &format!("{run}: {what}"), run, |of, replica| {
        let value = of.last(replica, metric)?;
        Some((question(value), value))
    })
}

/// The rank's median over seeds as tiles, the boundary of the one-dimensional theory drawn over those of SGD.
pub(super) fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let panels = spec.runs.iter().map(|run| {
        let (points, d) = sizes(spec, run)?;
        let replicas = results.run(&run.name).map(|found| &found.replicas[..]).unwrap_or_default();
        let median = |k: usize| {
            let mut ranks: Vec<f64> =
                replicas.iter().filter_map(|replica| replica.params.get(k)).copied().filter(|rank| !rank.is_nan()).collect();
            ranks.sort_by(f64::total_cmp);
            ranks.get(ranks.len() / 2).copied().unwrap_or(f64::NAN)
        };
        let edges = |end: f64| (0..=points).map(|k| end * k as f64 / points as f64).collect();
        let tiles = Tiles {
            x: edges(1.0),
            y: edges(step_size(run)),
            values: (0..points * points).map(median).collect(),
            shades: Shades::Even { low: 0.0, high: d as f64 },
        };
        let curves = if matches!(run.optimiser.rule, Rule::Sgd { .. }) { boundary(step_size(run)) } else { Vec::new() };
        Ok(plot::Panel {
            title: run.label.clone(),
            x: Axis { range: Some((0.0, 1.0)), ..Axis::linear("signal share μ") },
            y: Axis { range: Some((0.0, step_size(run))), ..Axis::linear("step size λ") },
            tiles: Some(tiles),
            curves,
            legend: true,
            ..plot::Panel::default()
        })
    });
    let footnote = format!(
        "Rank of W₂ at {TOLERANCE:e} of its largest singular value, median over seeds, from 0 (dark) to full (yellow); white: diverged. y = μx + (1-μ)ε, x ~ N(0, I), ε ~ N(0, 4I), a new sample in every step."
    );
    Ok(plot::Figure { title: spec.title.clone(), columns: 2, panels: panels.collect::<Result<_>>()?, footnote: Some(footnote) })
}

/// Where m₊ = 0 below `end`: above it, in one dimension, SGD converges to the saddle.
fn boundary(end: f64) -> Vec<Curve> {
    let at = |mu: f64| {
        let plus = |lambda: f64| Saddle::Gaussian { mu, batch: 1 }.exponents_to(lambda, 1e-6).plus;
        let grid: Vec<f64> = (1..=20).map(|k| end * f64::from(k) / 20.0).collect();
        let crossing = grid.windows(2).find(|pair| plus(pair[0]) >= 0.0 && plus(pair[1]) < 0.0)?;
        Some((mu, root(crossing[0], crossing[1], plus)))
    };
    let points = (1..30).filter_map(|k| at(0.01 * f64::from(k))).collect();
    vec![Curve { style: Style::Dashed, ..curve("m₊ = 0 in one dimension: saddles attract above it", 6, points) }]
}

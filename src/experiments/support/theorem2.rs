//! Theorem 2 and Proposition 2: what SGD does to one irrelevant component of a diagonal linear network. Such a component is a
//! chain of single weights, h(x) = w_L ... w_1 x, here on labels of pure noise: E[yx] = 0 and R² = E[y²x²] > 0. Every seed draws
//! its own start and order. The two smallest weights vanish; the noise that drives the others is their product, so that they
//! freeze.

use super::{PAPER, agrees, kaiming, perceptron};
use crate::claims::{Claim, Direction, Evidence, Rule, each, paired_by};
use crate::data::{Data, Target};
use crate::error::Result;
use crate::experiments::Figure;
use crate::loss::Loss;
use crate::nets::{Activation, Architecture};
use crate::optim::Optimiser;
use crate::run::{Replica, Results, RunResults, nan_max};
use crate::schedule::Schedule;
use crate::spec::{Clock, Dtype, Evaluate, Metric, Panel, Run, SCHEMA, Scale, Seeds, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/theorem2",
    paper: PAPER,
    about: "diagonal networks under SGD: of an irrelevant component the two smallest weights vanish, in time b/(η²R²); the rest freeze",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw: super::chains::draw,
};

/// Runs by depth.
pub(super) const DEPTHS: [(&str, usize); 3] = [("depth-2", 2), ("depth-3", 3), ("depth-4", 4)];
/// Runs of depth 2 that differ from the first in one factor of b/(η²R²).
pub(super) const TIMES: [&str; 4] = ["depth-2", "half-step", "batch-4", "half-noise"];
/// A weight below this share of its start is zeroed.
const ZERO: f64 = 0.01;
/// The difference of squares at which time is taken, as a share of the first one.
const LEVEL: f64 = 1e-3;

fn declare(scale: Scale) -> Spec {
    let (steps, seeds) = match scale {
        Scale::Smoke => (6_000, 40),
        Scale::Laptop => (100_000, 200),
        Scale::Paper => (400_000, 1_000),
    };
    let chain = |depth: usize| -> Architecture { perceptron(&vec![1; depth + 1], Activation::Identity, kaiming(0.7)) };
    let run = |name: &str, label: &str, steps: u64, peak: f64, size: usize| {
        Run::new(name, label, steps, Schedule::Constant { peak }, Optimiser::minibatch_sgd(size))
    };
    let deep = DEPTHS.map(|(name, depth)| Run {
        net: Some(chain(depth)),
        ..run(name, &format!("L = {depth}"), if depth == 2 { steps.min(20_000) } else { steps }, 0.1, 1)
    });
    let slow = [
        run("half-step", "η/2", 6_000, 0.05, 1),
        run("batch-4", "4b", 6_000, 0.1, 4),
        Run { data: Some(noise(0.5)), ..run("half-noise", "R/2", 6_000, 0.1, 1) },
    ];
    let weight = |layer: usize| Metric::always(&format!("weight_norm.{layer}"));
    let only = |names: &[&str], metric: Metric| Metric { only: names.iter().map(|&name| name.to_owned()).collect(), ..metric };
    Spec {
        schema: SCHEMA,
        figure: Some(FIGURE.id.to_owned()),
        title: "SGD on an irrelevant component of a diagonal network, Theorem 2".to_owned(),
        scale,
        overrides: Vec::new(),
        dtype: Dtype::F64,
        loss: Loss::HalfMse,
        data: noise(1.0),
        net: chain(2),
        seeds: Seeds { paper: false, own: (0..seeds).collect(), own_data: false },
        runs: deep.into_iter().chain(slow).collect(),
        evaluate: Evaluate::even(1, 201),
        metrics: vec![weight(1), weight(2), only(&["depth-3", "depth-4"], weight(3)), only(&["depth-4"], weight(4))],
        panels: vec![Panel::new("weight_norm.1", "|w_1|", true)],
        clock: Clock::Iteration,
        trajectory: false,
    }
}

fn noise(deviation: f64) -> Data {
    Data::Support { n: 50, d: 1, support: 0, target: Target::Linear, noise: deviation, decorrelated: false, seed: 0 }
}

/// |w| of every layer over time, by its rank at the start, with its layer: smallest first.
pub(super) fn ranked(run: &RunResults, replica: &Replica) -> Vec<(usize, Vec<(u64, f64)>)> {
    let layers = (1..).map(|layer| (layer, run.series(replica, &format!("weight_norm.{layer}"))));
    let mut weights: Vec<_> = layers.take_while(|(_, series)| !series.is_empty()).collect();
    weights.sort_by(|a, b| a.1[0].1.total_cmp(&b.1[0].1));
    weights
}

/// b/(η²R²) of a run, R² = E[y²x²] over its data.
pub(super) fn unit_of_time(spec: &Spec, name: &str) -> Result<f64> {
    let Some(run) = spec.runs.iter().find(|run| run.name == name) else { return Ok(f64::NAN) };
    let data = spec.data_of(run).load()?;
    let square = data.x.iter().zip(&data.y).map(|(x, y)| (x * y).powi(2)).sum::<f64>() / data.n() as f64;
    Ok(run.optimiser.batch_size(data.n()) as f64 / (run.schedule.at(0, run.steps).powi(2) * square))
}

/// The first evaluation point at which w_2² - w_1² is below a share of what it was.
fn time(run: &RunResults, replica: &Replica) -> Option<f64> {
    let weights = ranked(run, replica);
    let [(_, small), (_, large)] = &weights[..] else { return None };
    let gap = |k: usize| large[k].1.powi(2) - small[k].1.powi(2);
    (0..small.len()).find(|&k| gap(k).abs() < LEVEL * gap(0)).map(|k| small[k].0 as f64)
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let deep = &DEPTHS[1..];
    // What is left of the weight of a rank at the start.
    let kept = |run: &RunResults, replica: &Replica, rank: usize| -> Option<f64> {
        let (layer, series) = ranked(run, replica).into_iter().nth(rank)?;
        Some(run.last(replica, &format!("weight_norm.{layer}"))? / series[0].1)
    };
    let vanishes = |name: &str, rank: usize| {
        each(results, &format!("{name}: less than {ZERO} of the weight of rank {} is left", rank + 1), name, |run, replica| {
            kept(run, replica, rank).map(|kept| (kept < ZERO, kept))
        })
    };
    let keeps = |&(name, _): &(&str, usize)| {
        each(results, &format!("{name}: the third smallest keeps more than half"), name, |run, replica| {
            kept(run, replica, 2).map(|kept| (kept > 0.5, kept))
        })
    };
    let mut times = Vec::new();
    for name in TIMES {
        let predicted = unit_of_time(spec, name)? * (1.0 / LEVEL).ln();
        let what =
            format!("{name}: time to a gap of squares of {LEVEL} within a factor 1.5 of b ln(1/{LEVEL})/(η²R²) = {predicted:.0}");
        times.push(each(results, &what, name, |run, replica| {
            let time = time(run, replica)?;
            Some(((time / predicted).ln().abs() <= 1.5_f64.ln(), time))
        }));
    }
    let printed = paired_by(results, "time", "half-step", Direction::Below, "depth-2", time);
    // Whether the first layer is zeroed, and whether it started among the two smallest.
    let first = |run: &RunResults, replica: &Replica| -> Option<(bool, bool)> {
        let rank = ranked(run, replica).iter().position(|(layer, _)| *layer == 1)?;
        Some((kept(run, replica, rank)? < ZERO, rank < 2))
    };
    let probable = |&(name, _): &(&str, usize)| {
        let found =
            each(results, &format!("{name}: less than {ZERO} of the first layer's weight is left"), name, |run, replica| {
                first(run, replica).map(|(zeroed, _)| (zeroed, f64::from(u8::from(zeroed))))
            });
        Evidence { rule: Rule::Band, ..found }
    };
    let two_of = |depth: &(&str, usize)| agrees(&probable(depth), 2.0 / depth.1 as f64);
    let data = spec.data.load()?;
    let largest = data.x.iter().map(|x| x * x).fold(0.0, nan_max);
    // Whether a step on any one sample is stable at the start: below 2 over η x² Σ_i Π_(k≠i) w_k².
    let stable = |run: &RunResults, replica: &Replica| -> Option<bool> {
        let starts: Vec<f64> = ranked(run, replica).iter().map(|(_, series)| series[0].1.powi(2)).collect();
        let product: f64 = starts.iter().product();
        let eta = spec.runs.iter().find(|declared| declared.name == run.name)?.schedule.at(0, run.steps);
        Some(eta * largest * starts.iter().map(|square| product / square).sum::<f64>() < 2.0)
    };
    let outside = |&(name, _): &(&str, usize)| {
        each(
            results,
            &format!("{name}: starts that are not among the two smallest stay, if every sample's step is stable"),
            name,
            |run, replica| {
                let (zeroed, among) = first(run, replica)?;
                (!among && stable(run, replica)?).then_some((!zeroed, f64::from(u8::from(zeroed))))
            },
        )
        .every()
    };
    Ok(vec![
        Claim::all(
            "two-smallest",
            "the two smallest weights of an irrelevant component are zeroed",
            "Theorem 2, i <= 2",
            DEPTHS.iter().flat_map(|(name, _)| [0, 1].map(|rank| vanishes(name, rank))).collect(),
        ),
        Claim::all(
            "printed",
            "the i-th smallest weight is zeroed, for every i",
            "Theorem 2, i >= 3",
            deep.iter().map(|(name, _)| vanishes(name, 2)).chain([vanishes("depth-4", 3)]).collect(),
        ),
        Claim::all("freezes", "the third smallest freezes instead", "ours", deep.iter().map(keeps).collect()),
        Claim::all("time", "depth 2: the time to balance is proportional to b/(η²R²)", "Proposition 2, depth 2", times),
        Claim::all("time-printed", "the time is proportional to a positive power of η", "Theorem 2 as printed", vec![printed]),
        Claim::all(
            "first-layer",
            "SGD learns the support in the first layer with high probability",
            "Proposition 2",
            DEPTHS.iter().map(probable).collect(),
        ),
        Claim::all(
            "two-of-depth",
            "the probability that the first layer is zeroed is 2/L",
            "ours: Proposition 2 at a random start",
            DEPTHS.iter().map(two_of).collect(),
        ),
        Claim::all(
            "never-outside",
            "a first layer that does not start among the two smallest is never zeroed",
            "ours: Proposition 2",
            deep.iter().map(outside).collect(),
        ),
    ])
}

//! Proposition 1: where gradient descent puts the zero of an irrelevant component of a diagonal network. Three irrelevant
//! components, labels of pure noise in pairs ±ε (so that E[yx] = 0 on either side of 0, as ReLU needs). Every seed draws its own
//! data and start. A component's zero falls on the weight that started smallest.

use super::{PAPER, agrees, curve};
use crate::claims::{Claim, Evidence};
use crate::data::{Data, Target};
use crate::error::Result;
use crate::experiments::Figure;
use crate::loss::Loss;
use crate::nets::{Activation, Architecture};
use crate::optim::Optimiser;
use crate::report::plot::{self, Axis, Curve, Style};
use crate::run::{Replica, Results};
use crate::schedule::Schedule;
use crate::spec::{Clock, Dtype, Evaluate, Metric, Panel, Run, SCHEMA, Scale, Seed, Seeds, Spec};
use crate::train::Outcome;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/prop1",
    paper: PAPER,
    about: "diagonal linear and ReLU networks under gradient descent: in which layer an irrelevant component is zeroed",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw,
};

/// Irrelevant components, d - r.
const COMPONENTS: usize = 3;
const DEPTHS: [usize; 3] = [2, 3, 4];
const KINDS: [(&str, Activation); 2] = [("linear", Activation::Identity), ("relu", Activation::Relu)];
/// A weight below this is zero.
const ZERO: f64 = 0.01;

fn net(activation: Activation, depth: usize) -> Architecture {
    Architecture::DeepDiagonal { depth, activation, mean: 0.0, deviation: 0.7 }
}

fn declare(scale: Scale) -> Spec {
    let (steps, seeds) = match scale {
        Scale::Smoke => (500, 20),
        Scale::Laptop => (10_000, 100),
        Scale::Paper => (30_000, 500),
    };
    let run = |(kind, activation): (&str, Activation), depth: usize| Run {
        net: Some(net(activation, depth)),
        ..Run::new(
            &format!("{kind}-{depth}"),
            &format!("{kind}, L = {depth}"),
            steps,
            Schedule::Constant { peak: 0.1 },
            Optimiser::gd(),
        )
    };
    Spec {
        schema: SCHEMA,
        figure: Some(FIGURE.id.to_owned()),
        title: "Where gradient descent puts the zero of an irrelevant component, Proposition 1".to_owned(),
        scale,
        overrides: Vec::new(),
        dtype: Dtype::F64,
        loss: Loss::HalfMse,
        data: Data::Support {
            n: 16,
            d: COMPONENTS,
            support: 0,
            target: Target::Linear,
            noise: 1.0,
            decorrelated: false,
            seed: 0,
        },
        net: net(Activation::Identity, 2),
        seeds: Seeds { paper: false, own: (0..seeds).collect(), own_data: true },
        runs: KINDS.into_iter().flat_map(|kind| DEPTHS.map(|depth| run(kind, depth))).collect(),
        evaluate: Evaluate::even(1, 101),
        metrics: vec![Metric::sparse("train_loss", 100)],
        panels: vec![Panel::new("train_loss", "Training loss", true)],
        clock: Clock::Iteration,
        trajectory: true,
    }
}

/// One component of one seed: |w| of its layers at the start and at the end.
struct Component {
    start: Vec<f64>,
    end: Vec<f64>,
}

fn smallest(weights: &[f64]) -> usize {
    (1..weights.len()).fold(0, |least, layer| if weights[layer] < weights[least] { layer } else { least })
}

impl Component {
    /// The layer whose weight is zero.
    fn zero(&self) -> Option<usize> {
        let layer = smallest(&self.end);
        (self.end[layer] < ZERO).then_some(layer)
    }

    /// |w| of its layers, the first one first.
    fn of(params: &[f64], index: usize) -> Vec<f64> {
        params.iter().skip(index).step_by(COMPONENTS).map(|w| w.abs()).collect()
    }
}

/// The components of a run, seed by seed, and how many seeds diverged.
fn components(spec: &Spec, results: &Results, name: &str) -> (Vec<Vec<Component>>, usize) {
    let (Some(run), Some(declared)) = (results.run(name), spec.runs.iter().find(|run| run.name == name)) else {
        return (Vec::new(), 0);
    };
    let of_seed = |replica: &Replica| {
        let start = spec.net_of(declared).initial(COMPONENTS, replica.seed);
        let component = |index| Component { start: Component::of(&start, index), end: Component::of(&replica.params, index) };
        (replica.outcome == Outcome::Finished && replica.params.len() == start.len())
            .then(|| (0..COMPONENTS).map(component).collect())
    };
    let found: Vec<Vec<Component>> = run.own().filter_map(of_seed).collect();
    let lost = run.own().count() - found.len();
    (found, lost)
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let names = |kind: &str| DEPTHS.map(|depth| (format!("{kind}-{depth}"), depth));
    let count = |name: &str, what: &str, of: &dyn Fn(&Component) -> Option<bool>| -> Evidence {
        let (seeds, lost) = components(spec, results, name);
        let outcomes: Vec<bool> = seeds.iter().flatten().filter_map(of).collect();
        Evidence::count(format!("{name}: {what}"), &outcomes, lost, format!("{} components", outcomes.len()))
    };
    let zeroed = |name: &str| count(name, "a weight ends below 0.01", &|component| Some(component.zero().is_some()));
    let at_smallest = |(name, _): &(String, usize)| {
        let same = |component: &Component| Some(component.zero()? == smallest(&component.start));
        count(name, "the zero is where the smallest weight started", &same).every()
    };
    let first =
        |name: &str| count(name, "of the zeros, those in the first layer", &|component| component.zero().map(|layer| layer == 0));
    let all_first = |(name, depth): &(String, usize), k: usize| {
        let (seeds, lost) = components(spec, results, name);
        let complete = seeds.iter().filter(|seed| seed[..k].iter().all(|component| component.zero().is_some()));
        let outcomes: Vec<bool> = complete.map(|seed| seed[..k].iter().all(|component| component.zero() == Some(0))).collect();
        let what = format!("{name}: the first {k} components are all zeroed in the first layer");
        agrees(&Evidence::count(what, &outcomes, lost, ""), (*depth as f64).powi(-(k as i32)))
    };
    let linear = names("linear");
    let relu = names("relu");
    Ok(vec![
        Claim::all(
            "learns",
            "gradient descent learns the support: every irrelevant component of a linear network has a zero",
            "Proposition 1",
            linear.iter().map(|(name, _)| zeroed(name)).collect(),
        ),
        Claim::all(
            "smallest",
            "the zero is in the layer whose weight started smallest",
            "section K.2",
            linear.iter().chain(&relu).map(at_smallest).collect(),
        ),
        Claim::all(
            "uniform",
            "the first layer has the zero of a component with probability 1/L",
            "section F.2",
            linear.iter().chain(&relu).map(|(name, depth)| agrees(&first(name), 1.0 / *depth as f64)).collect(),
        ),
        Claim::all(
            "all-first",
            "all of k irrelevant components are zeroed in the first layer with probability L^-k (printed: less than that)",
            "Proposition 1",
            linear.iter().flat_map(|depth| [2, 3].map(|k| all_first(depth, k))).collect(),
        ),
        Claim::all(
            "relu",
            "so does a ReLU network: every irrelevant component has a zero",
            "Proposition 1",
            relu.iter().map(|(name, _)| zeroed(name)).collect(),
        ),
        Claim::all(
            "relu-dead",
            "with a negative inner weight a chain of ReLU is dead and keeps all its weights, with probability 1 - 2^-(L-2)",
            "ours",
            relu.iter()
                .map(|(name, depth)| {
                    let same =
                        count(name, "all weights stay as they started", &|component| Some(component.start == component.end));
                    agrees(&same, 1.0 - 0.5_f64.powi(*depth as i32 - 2))
                })
                .collect(),
        ),
    ])
}

/// Weights of the first seed over time, and how often the zero is in the first layer.
fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let mut panels = Vec::new();
    for (kind, _) in KINDS {
        let Some(run) = results.run(&format!("{kind}-3")) else { continue };
        let Some(replica) = run.replicas.first().filter(|replica| !replica.params.is_empty()) else { continue };
        let rows: Vec<&[f64]> = replica.trajectory.chunks_exact(replica.params.len()).collect();
        let weight = |index: usize| {
            let points = run.points.iter().zip(&rows).map(|(&step, row)| (step as f64, row[index].abs())).collect();
            let layer = index / COMPONENTS;
            Curve { style: Style::Solid, ..curve(&format!("layer {}", layer + 1), layer, points) }
        };
        panels.push(plot::Panel {
            title: format!(
                "|w| of three components, {kind}, L = 3, seed {}",
                spec.seeds().first().copied().unwrap_or(Seed::Own(0))
            ),
            x: Axis::linear("iteration"),
            y: Axis { range: Some((1e-8, 4.0)), ..Axis::log("") },
            curves: (0..replica.params.len()).map(weight).collect(),
            legend: true,
            ..plot::Panel::default()
        });
    }
    let share = |kind: &str, depth: usize, k: usize| {
        let (seeds, _) = components(spec, results, &format!("{kind}-{depth}"));
        let all = seeds.iter().filter(|seed| seed[..k].iter().all(|component| component.zero() == Some(0))).count();
        (depth as f64, all as f64 / seeds.len() as f64)
    };
    for (title, k) in [("One component zeroed in the first layer", 1), ("Two components, both in the first layer", 2)] {
        let curves = KINDS.iter().enumerate().map(|(index, (kind, _))| Curve {
            style: Style::Points,
            ..curve(kind, index + 3, DEPTHS.map(|depth| share(kind, depth, k)).to_vec())
        });
        let power = |base: &dyn Fn(f64) -> f64| {
            (20..=40).map(|l| f64::from(l) / 10.0).map(|l| (l, base(l).powi(k as i32))).collect::<Vec<_>>()
        };
        let theory = [
            Curve { style: Style::Dashed, ..curve("L^-k", 3, power(&|l| 1.0 / l)) },
            Curve { style: Style::Dashed, ..curve("(L 2^(L-2))^-k, alive ReLU", 4, power(&|l| 1.0 / (l * (l - 2.0).exp2()))) },
        ];
        panels.push(plot::Panel {
            title: title.to_owned(),
            x: Axis::linear("depth L"),
            y: Axis { range: Some((0.0, 0.6)), ..Axis::linear("share of seeds") },
            curves: theory.into_iter().chain(curves).collect(),
            legend: true,
            ..plot::Panel::default()
        });
    }
    let footnote = format!(
        "{} seeds, each with its own data and start; η = 0.1. Zero: |w| below {ZERO}; some components are still on the way.",
        spec.seeds.own.len()
    );
    Ok(plot::Figure { title: spec.title.clone(), columns: 2, panels, footnote: Some(footnote) })
}

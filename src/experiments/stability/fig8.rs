//! Figure 8: the rank of the last layer of 200-200-200 networks under Adam, for four activations.

use super::PAPER;
use super::diagram::{self, Kind, asked};
use crate::claims::Claim;
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Activation;
use crate::optim::Rule;
use crate::run::Results;
use crate::spec::{Scale, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "stability/fig8",
    paper: PAPER,
    about: "rank of the last layer of 200-200-200 networks under Adam: linear, tanh, ReLU, swish",
    declare,
    expect,
    simulate: Some(diagram::simulate),
    check: diagram::check,
    draw: diagram::draw,
};

fn kinds() -> [Kind; 4] {
    [
        ("linear", "linear", Activation::Identity, Rule::adam()),
        ("tanh", "tanh", Activation::Tanh, Rule::adam()),
        ("relu", "ReLU", Activation::Relu, Rule::adam()),
        ("swish", "swish", Activation::Swish, Rule::adam()),
    ]
}

fn declare(scale: Scale) -> Spec {
    let (points, d, steps) = match scale {
        Scale::Smoke => (3, 20, 500),
        Scale::Laptop => (4, 200, 10_000),
        Scale::Paper => (32, 200, 100_000),
    };
    let title = "Rank of two-layer networks over noise and step size, Adam, Figure 8";
    diagram::declare(&FIGURE, title, scale, &kinds(), (points, d), steps)
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let all = |what: &str, metric, question: fn(f64) -> bool| {
        kinds().map(|(run, ..)| asked(results, run, what, metric, question)).to_vec()
    };
    Ok(vec![Claim::all(
        "adam",
        "Adam converges to saddles of low rank as well, for every activation",
        "appendix B, Figure 8",
        all("the last layer has lost rank at a twentieth of the points or more", "low_rank", |share| share >= 0.05),
    )])
}

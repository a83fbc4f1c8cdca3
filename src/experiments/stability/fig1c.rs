//! Figure 1c, the panels of small networks: linear and tanh under SGD (c2, c3), linear under Adam (c4), on a coarser grid than
//! Figures 7 and 8.

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
    id: "stability/fig1c",
    paper: PAPER,
    about: "phase diagrams of small networks: rank over noise and step size, linear and tanh under SGD, linear under Adam",
    declare,
    expect,
    simulate: Some(diagram::simulate),
    check: diagram::check,
    draw: diagram::draw,
};

fn kinds() -> [Kind; 3] {
    let sgd = Rule::default();
    [
        ("linear", "linear, SGD (c2)", Activation::Identity, sgd),
        ("tanh", "tanh, SGD (c3)", Activation::Tanh, sgd),
        ("adam", "linear, Adam (c4)", Activation::Identity, Rule::adam()),
    ]
}

fn declare(scale: Scale) -> Spec {
    let (points, d, steps) = match scale {
        Scale::Smoke => (3, 20, 500),
        Scale::Laptop => (6, 200, 10_000),
        Scale::Paper => (16, 200, 100_000),
    };
    diagram::declare(&FIGURE, "Phase diagrams of small networks, Figure 1c", scale, &kinds(), (points, d), steps)
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let low = "the last layer has lost rank at a twentieth of the points or more";
    Ok(vec![Claim::all(
        "universal",
        "the phase diagrams of simple networks agree qualitatively, under SGD and under Adam: all have a region of low rank",
        "Figure 1",
        kinds().map(|(run, ..)| asked(results, run, low, "low_rank", |share| share >= 0.05)).to_vec(),
    )])
}

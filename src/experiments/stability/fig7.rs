//! Figure 7: the rank of the last layer of 200-200-200 networks, linear and tanh, over noise and step size.

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
    id: "stability/fig7",
    paper: PAPER,
    about: "rank of the last layer of 200-200-200 networks, linear and tanh, over noise and step size, against one dimension",
    declare,
    expect,
    simulate: Some(diagram::simulate),
    check: diagram::check,
    draw: diagram::draw,
};

fn kinds() -> [Kind; 2] {
    let sgd = Rule::default();
    [("linear", "linear", Activation::Identity, sgd), ("tanh", "tanh", Activation::Tanh, sgd)]
}

fn declare(scale: Scale) -> Spec {
    let (points, d, steps) = match scale {
        Scale::Smoke => (4, 20, 1_000),
        Scale::Laptop => (16, 200, 10_000),
        Scale::Paper => (64, 200, 100_000),
    };
    let title = "Rank of two-layer networks over noise and step size, SGD, Figure 7";
    diagram::declare(&FIGURE, title, scale, &kinds(), (points, d), steps)
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let both = |what: &str, metric, question: fn(f64) -> bool| {
        kinds().map(|(run, ..)| asked(results, run, what, metric, question)).to_vec()
    };
    Ok(vec![
        Claim::all(
            "low-rank",
            "SGD converges to solutions of low rank where noise is strong and the step size large",
            "section 4.4, Figure 7",
            both("the last layer has lost rank at a twentieth of the points or more", "low_rank", |share| share >= 0.05),
        ),
        Claim::all(
            "boundary",
            "the theoretical boundary of one dimension agrees well with the numerical results",
            "section 4.4, Figure 7",
            both(
                "away from the boundary, low rank at 90% of the points if and only if both exponents are negative",
                "agrees",
                |share| share >= 0.9,
            ),
        ),
        Claim::all(
            "finite",
            "no training diverges for λ up to 0.25",
            "Figure 7",
            both("no point has diverged", "diverged", |share| share == 0.0),
        ),
    ])
}

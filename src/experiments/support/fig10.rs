//! Figure 10: first-layer weights and their Gram matrices of a linear 15-15-15-15-1 network, at the start and after training on
//! the sum of 5 of 15 inputs, by batch size. Every seed draws its own data, start and order; the matrices are those of the first.

use super::matrices::{self, FIRST_LAYER};
use super::norms::controls;
use super::{ARMS, PAPER, arm, base, leaves, selection};
use crate::claims::{Claim, Direction, finite};
use crate::data::Target;
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Activation;
use crate::run::Results;
use crate::spec::{Scale, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig10",
    paper: PAPER,
    about: "linear networks of three hidden layers: which batch sizes remove the weights of irrelevant inputs, with controls",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw: |spec, results| matrices::draw(spec, results, &FIRST_LAYER, |name| ARMS.contains(&name)),
};

fn declare(scale: Scale) -> Spec {
    let title = "Linear 3x15 networks: which batch sizes find the support in the first layer, Figure 10";
    let wanted = ["gd-unclipped", "sgd-32-unclipped", "sgd-32-stable"];
    let controls = controls(Target::Linear, scale).into_iter().filter(|run| wanted.contains(&run.name.as_str()));
    Spec {
        runs: ARMS.map(|name| arm("", name, 0.1, scale)).into_iter().chain(controls).collect(),
        ..base(&FIGURE, title, scale, Target::Linear, Activation::Identity)
    }
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let mut claims = selection(results, &[""], "Figure 10, section C.2");
    claims.extend([
        Claim::all(
            "unclipped-runs",
            "the setting of the text, without the clipping of the code, trains",
            "control",
            vec![finite(results, "gd-unclipped"), finite(results, "sgd-32-unclipped")],
        ),
        Claim::all(
            "noise-removes",
            "without clipping, at a stable step size, the noise of SGD still removes most of them",
            "control",
            vec![leaves(results, "sgd-32-stable", Direction::Below, 0.5)],
        ),
    ]);
    Ok(claims)
}

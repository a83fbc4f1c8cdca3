//! Figure 11: two-layer ReLU networks (2-20-1) on 15 samples of a teacher with three neurons, by the length of the phase of large
//! steps.

use super::two_layer::{self, SPARSITY};
use super::{PAPER, SCHEDULES, learn_sparse_features};
use crate::claims::{Claim, stabilises};
use crate::error::Result;
use crate::experiments::Figure;
use crate::run::Results;
use crate::spec::{Scale, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/fig11",
    paper: PAPER,
    about: "two-layer teacher-student ReLU networks: loss stabilisation, test loss, NTK rank and feature sparsity",
    declare,
    expect,
    check: Figure::ANY,
    draw: Figure::PANELS,
};

fn declare(scale: Scale) -> Spec {
    two_layer::declare(&FIGURE, "Two-layer ReLU networks: SGD with large step sizes learns sparse features, Figure 11", scale)
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let mut claims = vec![Claim::all(
        "stabilisation",
        "with the large step size the training loss stabilises",
        "Figure 11, O1",
        SCHEDULES[1..].iter().map(|run| stabilises(results, run, SCHEDULES[0])).collect(),
    )];
    claims.extend(learn_sparse_features(results, &[SPARSITY], "Figure 11", "Figure 11"));
    Ok(claims)
}

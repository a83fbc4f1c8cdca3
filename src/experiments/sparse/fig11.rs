//! Figure 11: two-layer ReLU networks (2-20-1) on 15 samples of a teacher with three neurons, by the length of the phase of large
//! steps.

use super::two_layer::{self, SPARSITY};
use super::{PAPER, SCHEDULES, learn_sparse_features, stays};
use crate::claims::{Claim, each, finite};
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
    simulate: None,
    check: Figure::ANY,
    draw: Figure::PANELS,
};

fn declare(scale: Scale) -> Spec {
    two_layer::declare(&FIGURE, "Two-layer ReLU networks: SGD with large step sizes learns sparse features, Figure 11", scale)
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let drops = |name: &&str| {
        each(
            results,
            &format!("{name}: final training loss below a tenth of the level before the decay"),
            name,
            |run, replica| {
                let (last, level) = (run.last(replica, "train_loss")?, run.stabilisation_level(replica)?);
                Some((last < 0.1 * level, level))
            },
        )
    };
    let large = &SCHEDULES[1..];
    let mut claims = vec![
        Claim::all(
            "stabilisation",
            "with the large step size the training loss stabilises, until the decay lets it fall",
            "Figure 11, O1",
            [stays(results, SCHEDULES[3])].into_iter().chain(large.iter().map(drops)).collect(),
        ),
        Claim::all(
            "trains",
            "starts other than the paper's survive its large step size",
            "our check",
            large.iter().map(|run| finite(results, run)).collect(),
        ),
    ];
    claims.extend(learn_sparse_features(results, &[SPARSITY], "Figure 11", "Figure 11"));
    Ok(claims)
}

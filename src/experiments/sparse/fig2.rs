//! Figure 2: diagonal linear networks. One small step size, and a large one decayed after 10, 30 and 50% of the iterations;
//! training and test loss, rank of the NTK feature matrix, sparsity of the predictor.
//!
//! Data and order of the paper's replica are those of the authors' code (NumPy seeds 0 and 1). With the large step size the
//! dynamics are chaotic: a change of 1e-14 grows to 0.17 in 10,000 iterations, so that the paper's curves are one draw of
//! many, and whether a run survives is chance too. The claims are asked of our own seeds.

use super::{PAPER, RANK, SPARSITY, base, learning_panels, ordered, stable_near, stays};
use crate::claims::{Claim, Direction, Evidence, falls_before_decay, paired};
use crate::error::Result;
use crate::experiments::Figure;
use crate::optim::Optimiser;
use crate::run::Results;
use crate::schedule::Schedule;
use crate::spec::{Evaluate, Metric, Run, Scale, Seeds, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/fig2",
    paper: PAPER,
    about: "diagonal linear networks: loss stabilisation, test loss, NTK rank and sparsity for four step-size schedules",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw: Figure::PANELS,
};

/// From the shortest to the longest phase of large steps; the small step size first.
const RUNS: [&str; 4] = ["small", "large-10%", "large-30%", "large-50%"];

fn declare(scale: Scale) -> Spec {
    let (steps, seeds, grid, sparse) = match scale {
        Scale::Smoke => (3_163, 4, 20, 8),
        Scale::Laptop => (31_623, 20, 250, 35),
        Scale::Paper => (100_001, 20, 250, 35),
    };
    let run = |name, label, schedule| Run::new(name, label, steps, schedule, Optimiser::sgd());
    let large = |at, divide| Schedule::decayed(0.282, at, divide);
    Spec {
        seeds: Seeds { paper: true, own: (0..seeds).collect(), own_data: false },
        runs: vec![
            run(RUNS[0], "η = 0.25", Schedule::Constant { peak: 0.25 }),
            run(RUNS[1], "η = 0.282, decay at 10%", large(0.1, 4.8)),
            run(RUNS[2], "η = 0.282, decay at 30%", large(0.3, 3.4)),
            run(RUNS[3], "η = 0.282, decay at 50%", large(0.5, 1.5)),
        ],
        evaluate: Evaluate::even(100, grid),
        metrics: [
            vec![Metric::always("train_loss"), Metric::always("test_loss")],
            [RANK, "ntk_rank@1e-8", "ntk_rank@1e-4"].map(|name| Metric::sparse(name, sparse)).to_vec(),
            [SPARSITY, "l0@1e-6", "l0@1e-3", "l1", "balancedness"].map(Metric::always).to_vec(),
        ]
        .concat(),
        panels: learning_panels(),
        ..base(&FIGURE, "Diagonal linear networks: SGD with large step sizes learns sparse features, Figure 2", scale)
    }
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let ordered = |metric| ordered(results, metric, &RUNS);
    let against_small = |metric| -> Vec<Evidence> {
        RUNS[1..].iter().map(|large| paired(results, metric, large, Direction::Below, RUNS[0])).collect()
    };
    let falls = |metric| falls_before_decay(results, metric, RUNS[3]);
    Ok(vec![
        Claim::all("stabilisation", "with the large step size the training loss stabilises around 10^-1.5", "section 3.1, O1", {
            RUNS[1..].iter().map(|run| stable_near(results, run, -1.5)).chain([stays(results, RUNS[3])]).collect()
        }),
        Claim::all(
            "large-generalises",
            "large step sizes end at a lower test loss than the small one",
            "section 3.1, O2",
            against_small("test_loss"),
        ),
        Claim::all(
            "longer-generalises",
            "the longer the large step size lasts, the lower the test loss",
            "section 3.1, O2",
            ordered("test_loss"),
        ),
        Claim::all(
            "rank-falls",
            "the rank of the NTK features falls while the loss is stable",
            "Figure 2, O3",
            vec![falls(RANK)],
        ),
        Claim::all("rank-ordered", "the longer the large step size lasts, the lower the rank", "Figure 2, O3", ordered(RANK)),
        Claim::all(
            "rank-ordered-1e-4",
            "the same with singular values counted above 10^-4",
            "our threshold",
            ordered("ntk_rank@1e-4"),
        ),
        Claim::all("sparsity-falls", "‖u⊙v‖₀ falls while the loss is stable", "Figure 2, O3", vec![falls(SPARSITY)]),
        Claim::all(
            "sparsity-ordered",
            "the longer the large step size lasts, the sparser the predictor",
            "Figure 2, O3",
            ordered(SPARSITY),
        ),
        Claim::all("sparsity-ordered-1e-3", "the same with entries counted above 10^-3", "our threshold", ordered("l0@1e-3")),
    ])
}

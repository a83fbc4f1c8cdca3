//! Figure 8: full-batch gradient descent with large step sizes against SGD. Gradient descent draws nothing, so every own seed
//! draws its own data; the paper's replica is its one data set (NumPy seed 0).

use super::{PAPER, RANK, SPARSITY, base, learning_panels, sparse_regression};
use crate::claims::{Claim, Direction, paired, stabilises};
use crate::error::Result;
use crate::experiments::Figure;
use crate::optim::Optimiser;
use crate::run::Results;
use crate::schedule::Schedule;
use crate::spec::{Evaluate, Metric, Run, Scale, Seeds, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/fig8",
    paper: PAPER,
    about: "diagonal linear networks: gradient descent with large step sizes stabilises too, and learns less sparse features",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw: Figure::PANELS,
};

fn declare(scale: Scale) -> Spec {
    let (steps, seeds, grid, sparse) = match scale {
        Scale::Smoke => (3_163, 10, 20, 10),
        Scale::Laptop => (31_623, 40, 250, 50),
        Scale::Paper => (100_001, 100, 250, 50),
    };
    let gd = |name, label, schedule| Run::new(name, label, steps, schedule, Optimiser::gd());
    Spec {
        data: sparse_regression(40, 100, 20),
        seeds: Seeds { paper: true, own: (0..seeds).collect(), own_data: true },
        runs: vec![
            gd("gd-small", "GD, η = 2", Schedule::Constant { peak: 2.0 }),
            gd("gd-10%", "GD, η = 3.53, decay at 10%", Schedule::decayed(3.53, 0.1, 4.8)),
            gd("gd-30%", "GD, η = 3.53, decay at 30%", Schedule::decayed(3.53, 0.3, 3.4)),
            gd("gd-50%", "GD, η = 3.53, decay at 50%", Schedule::decayed(3.53, 0.5, 1.5)),
            Run::new("sgd-50%", "SGD, η = 0.272, decay at 50%", steps, Schedule::decayed(0.272, 0.5, 20.0), Optimiser::sgd()),
        ],
        evaluate: Evaluate::even(100, grid),
        metrics: vec![
            Metric::always("train_loss"),
            Metric::always("test_loss"),
            Metric::sparse(RANK, sparse),
            Metric::always(SPARSITY),
            Metric::always("l0@1e-3"),
        ],
        panels: learning_panels(),
        ..base(&FIGURE, "Diagonal linear networks: gradient descent against SGD, Figure 8", scale)
    }
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let against = |metric, direction, second| paired(results, metric, "sgd-50%", direction, second);
    let never_better =
        ["gd-10%", "gd-30%", "gd-50%"].map(|large| paired(results, "test_loss", large, Direction::Above, "gd-small"));
    Ok(vec![
        Claim::all(
            "stabilisation",
            "the loss of full-batch gradient descent stabilises too",
            "Figure 8",
            vec![stabilises(results, "gd-50%", "gd-small")],
        ),
        Claim::all(
            "less-sparse",
            "gradient descent does not lead to a similar level of sparsity as SGD",
            "Figure 8",
            [RANK, SPARSITY, "l0@1e-3"].map(|metric| against(metric, Direction::Below, "gd-50%")).to_vec(),
        ),
        Claim::all(
            "test-loss",
            "large step sizes of gradient descent do not improve the test loss over the small one",
            "Figure 8",
            never_better.to_vec(),
        ),
        Claim::all(
            "sgd-generalises",
            "SGD ends at a lower test loss than gradient descent",
            "section 3.1",
            ["gd-small", "gd-50%"].map(|gd| against("test_loss", Direction::Below, gd)).to_vec(),
        ),
    ])
}

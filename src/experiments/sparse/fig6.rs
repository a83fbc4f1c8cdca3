//! Figure 6: three-layer ReLU networks (5-10-10-1) on 50 samples of a 5-2-2-1 teacher. The loss is the mean squared error, as in
//! the paper's code; own seeds draw the start and the order, on the paper's data.

use super::{PAPER, base};
use crate::claims::{Claim, Direction, Evidence, each, falls_before_decay, paired};
use crate::data::{Data, Published};
use crate::error::Result;
use crate::experiments::Figure;
use crate::loss::Loss;
use crate::nets::{Activation, Architecture, Bias, Init};
use crate::optim::Optimiser;
use crate::run::Results;
use crate::schedule::{Decay, Schedule};
use crate::spec::{Dtype, Evaluate, Metric, Panel, Run, Scale, Seeds, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/fig6",
    paper: PAPER,
    about: "three-layer ReLU networks: loss stabilisation, test loss, NTK rank and feature sparsity of both hidden layers",
    declare,
    expect,
    check: Figure::ANY,
    draw: Figure::PANELS,
};

/// From the shortest to the longest phase of large steps; the medium constant step size first.
const RUNS: [&str; 4] = ["constant", "large-10%", "large-30%", "large-50%"];

const RANK: &str = "ntk_rank@1e-4";
const SPARSITY: [&str; 2] = ["sparsity.1@0.99", "sparsity.2@0.99"];

/// A rank of the NTK features at or below which a predictor is all but constant.
const DEAD: f64 = 5.0;

fn declare(scale: Scale) -> Spec {
    let (steps, seeds, grid, sparse) = match scale {
        Scale::Smoke => (1_001, 6, 21, 10),
        Scale::Laptop => (10_001, 20, 151, 10),
        Scale::Paper => (10_001, 100, 151, 10),
    };
    let run = |name, label, schedule| Run::new(name, label, steps, schedule, Optimiser::sgd());
    // The power applies to the fraction of the whole run: the peaks are .103, .150 and .181, not 6·.04.
    let large = |until, divide| {
        let decays = vec![Decay { at: until, divide }];
        Schedule::PowerWarmup { base: 0.04, factor: 6.0, exponent: 0.5, until, decays }
    };
    let init = Init::Gaussian { scales: vec![0.8] };
    let (widths, bias, activation) = (vec![5, 10, 10, 1], Bias::All, Activation::Relu);
    Spec {
        dtype: Dtype::F32,
        loss: Loss::Mse,
        data: Data::Published { figure: Published::SparseFig6 },
        net: Architecture::Mlp { widths, bias, activation, init, weight_norm: None },
        seeds: Seeds { paper: true, own: (0..seeds).collect(), own_data: false },
        runs: vec![
            run(RUNS[0], "η = 0.011", Schedule::Constant { peak: 0.011 }),
            run(RUNS[1], "η up to 0.103, decay at 10%", large(0.1, 3.5)),
            run(RUNS[2], "η up to 0.150, decay at 30%", large(0.3, 2.5)),
            run(RUNS[3], "η up to 0.181, decay at 50%", large(0.5, 5.0)),
        ],
        evaluate: Evaluate::even(100, grid),
        metrics: [
            vec![Metric::always("train_loss"), Metric::always("test_loss"), Metric::sparse(RANK, sparse)],
            SPARSITY.map(|name| Metric::sparse(name, sparse)).to_vec(),
            ["active.1", "active.2"].map(|name| Metric::sparse(name, sparse)).to_vec(),
        ]
        .concat(),
        panels: vec![
            Panel::new("train_loss", "Training loss, mean squared error", true),
            Panel::new("test_loss", "Test loss", true),
            Panel::new(RANK, "rank φ_θ(X), σ/σ₁ > 10⁻⁴", false),
            Panel::new(SPARSITY[0], "Feature sparsity, hidden layer 1", false),
            Panel::new(SPARSITY[1], "Feature sparsity, hidden layer 2", false),
        ],
        ..base(&FIGURE, "Three-layer ReLU networks: SGD with large step sizes learns sparse features, Figure 6", scale)
    }
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let ordered = |metric| -> Vec<Evidence> {
        RUNS.windows(2).map(|pair| paired(results, metric, pair[1], Direction::Below, pair[0])).collect()
    };
    let ends = |metric| paired(results, metric, RUNS[3], Direction::Below, RUNS[0]);
    let level = |name: &&str| {
        each(results, &format!("level of {name} within a factor 2 of 10^-1.5"), name, |run, replica| {
            let level = run.stabilisation_level(replica)?;
            Some(((level / 10f64.powf(-1.5)).log2().abs() <= 1.0, level))
        })
    };
    let trained = |name: &&str| {
        each(results, &format!("final training loss of {name} within a factor 2 of 10^-3"), name, |run, replica| {
            let loss = run.last(replica, "train_loss")?;
            Some(((loss / 1e-3).log2().abs() <= 1.0, loss))
        })
    };
    let alive =
        each(results, &format!("rank of {} above {DEAD}: the predictor is not constant", RUNS[3]), RUNS[3], |run, replica| {
            let rank = run.last(replica, RANK)?;
            Some((rank > DEAD, rank))
        });
    Ok(vec![
        Claim::all(
            "stabilisation",
            "with the large step sizes the training loss stabilises around 10^-1.5",
            "section 4.2, O1",
            RUNS[1..].iter().map(level).collect(),
        ),
        Claim::all(
            "same-training-loss",
            "all methods end at the same training loss, 10^-3",
            "section 4.2",
            RUNS.iter().map(trained).collect(),
        ),
        Claim::all(
            "generalises",
            "the longest schedule ends at a lower test loss than the constant one",
            "section 4.2, O2",
            vec![ends("test_loss")],
        ),
        Claim::all(
            "longer-generalises",
            "the longer the schedule, the lower the test loss",
            "section 4.2, O2",
            ordered("test_loss"),
        ),
        Claim::all(
            "rank-falls",
            "the rank of the NTK features falls while the loss is stable",
            "Figure 6, O3",
            vec![falls_before_decay(results, RANK, RUNS[3]), ends(RANK)],
        ),
        Claim::all("rank-ordered", "the longer the schedule, the lower the rank", "Figure 6, O3", ordered(RANK)),
        Claim::all(
            "sparsity-falls",
            "the feature sparsity of both hidden layers falls while the loss is stable",
            "Figure 6, O3",
            SPARSITY.iter().flat_map(|metric| [falls_before_decay(results, metric, RUNS[3]), ends(metric)]).collect(),
        ),
        Claim::all(
            "sparsity-ordered",
            "the longer the schedule, the sparser the features of both hidden layers",
            "Figure 6, O3",
            SPARSITY.iter().flat_map(|metric| ordered(metric)).collect(),
        ),
        Claim::all(
            "alive",
            "what becomes sparse still predicts: the longest schedule leaves no constant predictor",
            "our check",
            vec![alive.every()],
        ),
    ])
}

//! "SGD with large step sizes learns sparse features", Andriushchenko, Varre, Pillaud-Vivien, Flammarion, ICML 2023.

mod deep;
pub(super) mod fig1;
pub(super) mod fig10;
pub(super) mod fig11;
pub(super) mod fig12;
pub(super) mod fig13;
pub(super) mod fig14;
pub(super) mod fig2;
pub(super) mod fig3;
pub(super) mod fig4;
pub(super) mod fig5;
pub(super) mod fig6;
pub(super) mod fig7;
pub(super) mod fig8;
pub(super) mod fig9;
mod least_squares;
mod lemmas;
mod one_dimension;
pub(super) mod prop1;
pub(super) mod prop3;
mod quadratic;
pub(super) mod sde;
pub(super) mod text;
mod two_layer;

use super::Figure;
use crate::claims::{Claim, Direction, Evidence, each, falls_before_decay, paired};
use crate::data::{Data, Generator};
use crate::error::{Result, refuse};
use crate::loss::Loss;
use crate::nets::{Activation, Architecture, Bias};
use crate::run::Results;
use crate::spec::{Clock, Dtype, Evaluate, Panel, SCHEMA, Scale, Seeds, Spec};

/// The paper, as claims cite it.
const PAPER: &str = "SGD with large step sizes learns sparse features (Andriushchenko et al. 2023)";

/// The rank and the sparsity that the paper's code counts.
const RANK: &str = "ntk_rank@1e-15";
const SPARSITY: &str = "l0@1e-50";

/// The same rank of ReLU networks.
const RELU_RANK: &str = "ntk_rank@1e-4";

/// Four schedules of ReLU networks: from the shortest to the longest phase of large steps, a constant smaller step size first.
const SCHEDULES: [&str; 4] = ["constant", "large-10%", "large-30%", "large-50%"];

/// Panels of Figures 2 and 8: what is learnt, and how sparsely.
fn learning_panels() -> Vec<Panel> {
    vec![
        Panel::new("train_loss", "Training loss", true),
        Panel::new("test_loss", "Test loss", true),
        rank_panel(),
        Panel::new(SPARSITY, "‖u⊙v‖₀, |u_j v_j| > 10⁻⁵⁰", false),
    ]
}

fn rank_panel() -> Panel {
    Panel::new(RANK, "rank φ_θ(X), σ/σ₁ > 10⁻¹⁵", false)
}

/// What the paper's diagonal networks have in common: Figure 2's data (NumPy seed 0) and u = 0.1, v = 0. Nothing to run yet.
fn base(figure: &Figure, title: &str, scale: Scale) -> Spec {
    Spec {
        schema: SCHEMA,
        figure: Some(figure.id.to_owned()),
        title: title.to_owned(),
        scale,
        overrides: Vec::new(),
        dtype: Dtype::F64,
        loss: Loss::HalfMse,
        data: sparse_regression(80, 200, 20),
        net: Architecture::Diagonal { u: 0.1, v: 0.0 },
        seeds: Seeds { paper: true, own: (0..20).collect(), own_data: false },
        runs: Vec::new(),
        evaluate: Evaluate::even(100, 250),
        metrics: Vec::new(),
        panels: Vec::new(),
        clock: Clock::Iteration,
        trajectory: false,
    }
}

/// The paper's data: NumPy seed 0, 1000 test samples.
fn sparse_regression(n: usize, d: usize, support: usize) -> Data {
    Data::SparseRegression { n, d, support, test: 1000, generator: Generator::Numpy, seed: 0 }
}

/// Refuses networks that a picture of single neurons cannot show.
fn draws_two_layers(spec: &Spec, inputs: usize, bias: Bias) -> Result<()> {
    for run in &spec.runs {
        let shown = match spec.net_of(run) {
            Architecture::Mlp { widths, bias: has, activation: Activation::Relu, weight_norm: None, .. } => {
                matches!(widths[..], [first, _, 1] if first == inputs) && *has == bias
            }
            _ => false,
        };
        if !shown {
            let biases = format!("{bias:?}").to_lowercase();
            return refuse!(
                "spec: runs.{}: the figure draws the neurons of ReLU networks {inputs}-m-1 with bias = {biases}; keep that net, or set figure=null",
                run.name
            );
        }
    }
    Ok(())
}

/// Is the last value of a metric of every run below that of the run before it?
fn ordered(results: &Results, metric: &str, runs: &[&str]) -> Vec<Evidence> {
    runs.windows(2).map(|pair| paired(results, metric, pair[1], Direction::Below, pair[0])).collect()
}

/// Does the loss of a run stabilise within a factor 2 of a power of ten?
fn stable_near(results: &Results, run: &str, power: f64) -> Evidence {
    each(results, &format!("level of {run} within a factor 2 of 10^{power}"), run, |run, replica| {
        let level = run.stabilisation_level(replica)?;
        Some(((level / 10f64.powf(power)).log2().abs() <= 1.0, level))
    })
}

/// Does the loss of a run keep its level until the decay, rather than fall on?
fn stays(results: &Results, run: &str) -> Evidence {
    let what = format!("{run}: level over the last quarter before the decay at least half that over the quarter before");
    each(results, &what, run, |run, replica| {
        let decay = run.first_decay?;
        let late = run.level(replica, "train_loss", decay / 4 * 3..=decay)?;
        Some((late >= 0.5 * run.level(replica, "train_loss", decay / 2..=decay / 4 * 3)?, late))
    })
}

/// What the paper says of teacher-student networks trained by the [`SCHEDULES`], with the feature sparsities of their layers.
fn learn_sparse_features(results: &Results, sparsities: &[&str], figure: &str, section: &str) -> Vec<Claim> {
    /// A rank of the NTK features at or below which a predictor is all but constant.
    const DEAD: f64 = 5.0;
    let [constant, .., longest] = SCHEDULES;
    let ends = |metric| paired(results, metric, longest, Direction::Below, constant);
    let falls = |metric| [falls_before_decay(results, metric, longest), ends(metric)];
    let alive =
        each(results, &format!("rank of {longest} above {DEAD}: the predictor is not constant"), longest, |run, replica| {
            let rank = run.last(replica, RELU_RANK)?;
            Some((rank > DEAD, rank))
        });
    let (test, simplifies) = (format!("{section}, O2"), format!("{figure}, O3"));
    vec![
        Claim::all(
            "generalises",
            "the longest schedule ends at a lower test loss than the constant one",
            &test,
            vec![ends("test_loss")],
        ),
        Claim::all(
            "longer-generalises",
            "the longer the schedule, the lower the test loss",
            &test,
            ordered(results, "test_loss", &SCHEDULES),
        ),
        Claim::all(
            "rank-falls",
            "the rank of the NTK features falls while the loss is stable",
            &simplifies,
            falls(RELU_RANK).to_vec(),
        ),
        Claim::all(
            "rank-ordered",
            "the longer the schedule, the lower the rank",
            &simplifies,
            ordered(results, RELU_RANK, &SCHEDULES),
        ),
        Claim::all(
            "sparsity-falls",
            "the feature sparsity of every hidden layer falls while the loss is stable",
            &simplifies,
            sparsities.iter().flat_map(|metric| falls(metric)).collect(),
        ),
        Claim::all(
            "sparsity-ordered",
            "the longer the schedule, the sparser the features of every hidden layer",
            &simplifies,
            sparsities.iter().flat_map(|metric| ordered(results, metric, &SCHEDULES)).collect(),
        ),
        Claim::all(
            "alive",
            "what becomes sparse still predicts: the longest schedule leaves no constant predictor",
            "our check",
            vec![alive.every()],
        ),
    ]
}

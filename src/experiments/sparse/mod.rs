//! "SGD with large step sizes learns sparse features", Andriushchenko, Varre, Pillaud-Vivien, Flammarion, ICML 2023.

pub(super) mod fig2;
pub(super) mod fig3;
pub(super) mod fig6;
pub(super) mod fig8;
mod least_squares;
mod lemmas;
pub(super) mod prop1;
pub(super) mod prop3;
mod quadratic;
pub(super) mod sde;
pub(super) mod text;

use super::Figure;
use crate::data::{Data, Generator};
use crate::loss::Loss;
use crate::nets::Architecture;
use crate::spec::{Clock, Dtype, Evaluate, Panel, SCHEMA, Scale, Seeds, Spec};

/// The paper, as claims cite it.
const PAPER: &str = "SGD with large step sizes learns sparse features (Andriushchenko et al. 2023)";

/// The rank and the sparsity that the paper's code counts.
const RANK: &str = "ntk_rank@1e-15";
const SPARSITY: &str = "l0@1e-50";

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

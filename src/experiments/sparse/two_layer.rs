//! What Figures 5 and 11 share: 2-20-1 ReLU networks without biases, whose output layer starts at 0, on 15 samples of a teacher
//! with three neurons. The loss is the mean squared error, as in the paper's code; own seeds draw the start and the order.

use super::{RELU_RANK, SCHEDULES, base};
use crate::data::{Data, Published};
use crate::experiments::Figure;
use crate::loss::Loss;
use crate::nets::{Activation, Architecture, Bias, Init};
use crate::optim::Optimiser;
use crate::schedule::{Decay, Schedule, Timing};
use crate::spec::{Dtype, Evaluate, Metric, Panel, Run, Scale, Seeds, Spec};

pub(super) const SPARSITY: &str = "sparsity@0.99";
/// How far the neurons are along the teacher's.
pub(super) const CLUSTERING: &str = "clustering";
/// ‖W - W(0)‖_F of the neurons.
pub(super) const MOVED: &str = "initial_distance";

/// The paper's step sizes.
const SMALL: f64 = 0.13;
pub(super) const LARGE: f64 = 0.455;
const STEPS: u64 = 14_126;

/// The paper's protocol; all of it is cheap, so that scales differ in seeds and evaluations alone. Seeds are many because most
/// starts do not survive the first hundred steps at 0.455.
pub(super) fn declare(figure: &Figure, title: &str, scale: Scale) -> Spec {
    let (seeds, grid) = match scale {
        Scale::Smoke => (30, 31),
        Scale::Laptop => (150, 151),
        Scale::Paper => (400, 151),
    };
    let init = Init::Gaussian { scales: vec![0.5, 0.0] };
    let (widths, bias, activation) = (vec![2, 20, 1], Bias::None, Activation::Relu);
    Spec {
        dtype: Dtype::F32,
        loss: Loss::Mse,
        data: Data::Published { figure: Published::SparseFig5 },
        net: Architecture::Mlp { widths, bias, activation, init, weight_norm: None },
        seeds: Seeds { paper: true, own: (0..seeds).collect(), own_data: false },
        runs: vec![
            small(SCHEDULES[0], "SGD, η = 0.13", Optimiser::sgd()),
            large(SCHEDULES[1], LARGE, 0.1, 2.0),
            large(SCHEDULES[2], LARGE, 0.3, 4.0),
            large(SCHEDULES[3], LARGE, 0.5, 5.0),
        ],
        evaluate: Evaluate::even(100, grid),
        metrics: [RELU_RANK, SPARSITY, CLUSTERING]
            .map(|name| Metric::sparse(name, 5))
            .into_iter()
            .chain(["train_loss", "test_loss", MOVED, "weight_norm.1"].map(Metric::always))
            .collect(),
        panels: vec![
            Panel::new("train_loss", "Training loss, mean squared error", true),
            Panel::new("test_loss", "Test loss", true),
            Panel::new(RELU_RANK, "rank φ_θ(X), σ/σ₁ > 10⁻⁴", false),
            Panel::new(SPARSITY, "Feature sparsity, |correlation| ≤ 0.99", false),
        ],
        ..base(figure, title, scale)
    }
}

/// SGD at a large step size, divided at a fraction of the run.
pub(super) fn large(name: &str, peak: f64, at: f64, divide: f64) -> Run {
    let label = format!("SGD, η = {peak}, decay at {}%", 100.0 * at);
    let schedule = Schedule::Piecewise { peak, decays: vec![Decay { at, divide }], timing: Timing::Same };
    Run::new(name, &label, STEPS, schedule, Optimiser::sgd())
}

/// A run at the small step size.
pub(super) fn small(name: &str, label: &str, optimiser: Optimiser) -> Run {
    Run::new(name, label, STEPS, Schedule::Constant { peak: SMALL }, optimiser)
}

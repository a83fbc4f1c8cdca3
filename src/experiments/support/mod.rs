//! "How neural networks learn the support is an implicit regularization effect of SGD", Beneventano, Pinto, Poggio, 2024.

pub(super) mod fig10;

use crate::data::{Data, Target};
use crate::nets::{Activation, Architecture, Bias, Init, Law};
use crate::optim::{Batch, Optimiser, Sampling};

/// The paper, as claims cite it.
const PAPER: &str = "How neural networks learn the support is an implicit regularization effect of SGD (Beneventano et al. 2024)";

/// Features, and those that the target depends on.
const FEATURES: usize = 15;
const RELEVANT: usize = 5;

/// The synthetic data: 5000 draws, each twice, with labels target ± 0.001·N(0, 1).
fn synthetic(target: Target) -> Data {
    Data::Support { n: 5000, d: FEATURES, support: RELEVANT, target, noise: 1e-3, seed: 0 }
}

/// The networks with three hidden layers of 15, without biases, by Kaiming's normal law (gain √2 on every layer).
fn three_by_fifteen(activation: Activation) -> Architecture {
    let init = Init::Kaiming { law: Law::Normal, gain: std::f64::consts::SQRT_2 };
    Architecture::Mlp { widths: vec![FEATURES, 15, 15, 15, 1], bias: Bias::None, activation, init, weight_norm: None }
}

/// SGD without replacement as in the paper's code: the last batch of an epoch is what is left, and every gradient is clipped
/// to norm 1, which the paper's text does not mention.
fn clipped_sgd(size: usize) -> Optimiser {
    Optimiser { batch: Batch::Random { size, sampling: Sampling::Epochs }, ..clipped_gd() }
}

/// Full-batch gradient descent with the same clipping.
fn clipped_gd() -> Optimiser {
    Optimiser { clip: Some(1.0), ..Optimiser::gd() }
}

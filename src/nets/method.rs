//! Which code makes the steps of a training.

use handgrad_kernels::Device;
use handgrad_kernels::mlp::Hidden;
use handgrad_kernels::mse::MseScale;

use super::{Activation, Architecture, Bias};
use crate::loss::Loss;
use crate::optim::{Batch, Optimiser};

/// How a step is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// By one kernel.
    Fused(Fused),
    /// Operator by operator.
    Composed,
}

/// A kernel that does whole steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fused {
    /// That of diagonal networks.
    Diagonal,
    /// That of diagonal networks of any depth, and of single neurons, one sample per step.
    DeepDiagonal(usize, Activation, MseScale),
    /// That of linear perceptrons with one output and no bias, for any batch.
    DeepLinear(Vec<usize>, MseScale),
    /// That of perceptrons with one output, one sample per step.
    Mlp(Vec<usize>, Bias, Hidden, MseScale),
    /// That of perceptrons with one hidden layer, several outputs and no bias, one sample per step.
    WideMlp([usize; 3], Activation, MseScale),
}

impl Method {
    /// The fastest one for a network and what it is trained with.
    pub(super) fn of(device: Device, net: &Architecture, optimiser: &Optimiser, loss: Loss) -> Method {
        let single = matches!(optimiser.batch, Batch::Random { size: 1, .. });
        let plain = optimiser.is_plain() && optimiser.valley_projection.is_none();
        let simple = single && plain && optimiser.is_bare();
        let fused = match (net, loss.squared()) {
            (Architecture::Diagonal { .. } | Architecture::Squared { .. }, _) if optimiser.is_bare() => Fused::Diagonal,
            (Architecture::DeepDiagonal { depth, activation, .. }, Some(scale)) if simple && device == Device::Cpu => {
                Fused::DeepDiagonal(*depth, *activation, scale)
            }
            (
                Architecture::Mlp {
                    widths,
                    bias: Bias::None,
                    activation: activation @ (Activation::Tanh | Activation::Swish),
                    weight_norm: None,
                    ..
                },
                Some(scale),
            ) if simple && device == Device::Cpu && widths.iter().all(|&width| width == 1) => {
                Fused::DeepDiagonal(widths.len() - 1, *activation, scale)
            }
            (Architecture::Mlp { widths, bias, activation, weight_norm: None, .. }, Some(scale))
                if plain && widths.last() == Some(&1) =>
            {
                match activation {
                    Activation::Identity if *bias == Bias::None => Fused::DeepLinear(widths.clone(), scale),
                    Activation::Identity if single => Fused::Mlp(widths.clone(), *bias, Hidden::Identity, scale),
                    Activation::Relu if single => Fused::Mlp(widths.clone(), *bias, Hidden::Relu, scale),
                    _ => return Method::Composed,
                }
            }
            (Architecture::Mlp { widths, bias: Bias::None, activation, weight_norm: None, .. }, Some(scale)) if simple => {
                match widths[..] {
                    [inputs, hidden, outputs] => Fused::WideMlp([inputs, hidden, outputs], *activation, scale),
                    _ => return Method::Composed,
                }
            }
            _ => return Method::Composed,
        };
        Method::Fused(fused)
    }
}

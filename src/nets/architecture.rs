use handgrad_kernels::Real;
use handgrad_kernels::activation::Activation as Kind;
use handgrad_kernels::mlp::Bias as KernelBias;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::init::Init;
use super::{Convnet, Net, Resnet};
use crate::error::{Result, refuse};
use crate::layers::{self, Activate, Gain, Layer, Linear, Scale, Sum};
use crate::loss::Loss;
use crate::rng::{self, Stream};
use crate::spec::Seed;

/// A network and its initial parameters, as a spec declares them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Architecture {
    /// h(x) = Σ_j u_j v_j x_j, every u_j and every v_j at one value.
    Diagonal {
        /// Initial u_j.
        u: f64,
        /// Initial v_j.
        v: f64,
    },
    /// h(x) = Σ_j θ_j² x_j: the diagonal network with u = v = θ, which training keeps equal bit by bit. Every θ_j starts
    /// uniform in (low, high), from the init stream.
    Squared {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// h(x) = Σ_j w_Lj φ(... φ(w_1j x_j)): `depth` weights per feature, w_1 first. Every weight starts as a draw of N(mean,
    /// deviation²), from the init stream.
    DeepDiagonal {
        /// Weights per feature.
        depth: usize,
        /// φ, between weights.
        activation: Activation,
        /// Mean of the initial weights.
        mean: f64,
        /// Their standard deviation.
        deviation: f64,
    },
    /// A multilayer perceptron: h(x) = W_L φ(... φ(W_1 x + b_1) ...) + b_L; parameters layer by layer, weight (outputs x inputs)
    /// then bias.
    Mlp {
        /// Inputs, hidden widths, outputs.
        widths: Vec<usize>,
        /// Which layers have a bias.
        bias: Bias,
        /// φ, after every layer but the last.
        activation: Activation,
        /// Initial parameters.
        init: Init,
        /// Weight normalisation of every layer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weight_norm: Option<WeightNorm>,
    },
    /// A residual network of images.
    Resnet(Resnet),
    /// A weight-normalised convnet.
    Convnet(Convnet),
}

/// Elementwise functions between layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// x.
    Identity,
    /// max(x, 0).
    Relu,
    /// tanh(x).
    Tanh,
    /// x/(1 + e^(-x)).
    Swish,
}

impl Activation {
    /// The kernels' name of it.
    pub fn kind(self) -> Kind {
        match self {
            Activation::Identity => Kind::Identity,
            Activation::Relu => Kind::Relu,
            Activation::Tanh => Kind::Tanh,
            Activation::Swish => Kind::Swish,
        }
    }
}

/// Which layers of a perceptron have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Bias {
    /// None.
    None,
    /// The first.
    First,
    /// All.
    All,
}

impl Bias {
    /// Whether layer `index` has one.
    pub fn at(self, index: usize) -> bool {
        self == Bias::All || (self == Bias::First && index == 0)
    }

    /// The kernels' name of it.
    pub fn kind(self) -> KernelBias {
        match self {
            Bias::None => KernelBias::None,
            Bias::First => KernelBias::First,
            Bias::All => KernelBias::All,
        }
    }
}

/// Every layer's weight is g·V/‖V‖_F (Salimans & Kingma 2016, with one gain per layer).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightNorm {
    /// Initial g of every layer.
    pub gain: f64,
    /// Whether g is a parameter (after V, before the bias) or stays as it is.
    pub learned: bool,
}

/// Wider or deeper networks than anybody trains here; they would only exhaust the memory.
const MAX_PARAMS: usize = 1 << 28;

impl Architecture {
    /// A perceptron with PyTorch's initialisation.
    pub fn mlp(widths: &[usize], bias: Bias, activation: Activation) -> Architecture {
        Architecture::Mlp { widths: widths.to_vec(), bias, activation, init: Init::Pytorch, weight_norm: None }
    }

    /// Refuses what makes no network.
    ///
    /// # Errors
    /// If a number is not finite or a size is zero.
    pub fn check(&self) -> Result<()> {
        match self {
            Architecture::Diagonal { u, v } if !(u.is_finite() && v.is_finite()) => {
                refuse!("net: u = {u} and v = {v}, expected finite numbers")
            }
            Architecture::Squared { low, high } if !(low < high && low.is_finite() && high.is_finite()) => {
                refuse!("net: low = {low} and high = {high}, expected finite numbers with low < high")
            }
            Architecture::DeepDiagonal { depth, mean, deviation, .. }
                if !((1..=64).contains(depth) && mean.is_finite() && deviation.is_finite() && *deviation >= 0.0) =>
            {
                refuse!(
                    "net: depth = {depth}, mean = {mean} and deviation = {deviation}, expected 1 to 64 weights, a finite mean and a deviation >= 0"
                )
            }
            Architecture::Mlp { widths, init, weight_norm, .. } => {
                if widths.len() < 2 || widths.contains(&0) {
                    return refuse!("net.widths is {widths:?}, expected inputs, hidden widths and outputs, at least 1 each");
                }
                if widths
                    .windows(2)
                    .try_fold(0usize, |sum, pair| sum.checked_add(pair[0].checked_mul(pair[1])?))
                    .is_none_or(|params| params > MAX_PARAMS)
                {
                    return refuse!("net.widths {widths:?} make more than {MAX_PARAMS} weights; make the layers narrower");
                }
                if let Some(WeightNorm { gain, .. }) = weight_norm
                    && !(gain.is_finite() && *gain != 0.0)
                {
                    return refuse!("net.weight_norm.gain is {gain}, expected a finite number other than 0");
                }
                init.check(widths.len() - 1)
            }
            Architecture::Resnet(resnet) => resnet.check(),
            Architecture::Convnet(convnet) => convnet.check(),
            _ => Ok(()),
        }
    }

    /// Refuses data that do not fit.
    ///
    /// # Errors
    /// If the numbers of features or of targets differ from the network's.
    pub fn check_data(&self, d: usize, loss: Loss, targets: usize) -> Result<()> {
        match self {
            Architecture::Mlp { widths, .. } if widths[0] != d => {
                refuse!("net.widths {widths:?} take {} inputs, the data have {d} features; make them equal", widths[0])
            }
            Architecture::Mlp { widths, .. } if loss.targets(widths[widths.len() - 1]) != targets => {
                refuse!(
                    "net.widths {widths:?} give {} outputs, the data have {targets} targets per sample",
                    widths[widths.len() - 1]
                )
            }
            Architecture::Mlp { .. } => Ok(()),
            Architecture::Resnet(Resnet { image, classes, .. }) | Architecture::Convnet(Convnet { image, classes, .. }) => {
                let numbers = image.iter().product::<usize>();
                if numbers != d {
                    return refuse!("net.image {image:?} has {numbers} numbers, the data have {d} features; make them equal");
                }
                if loss.targets(*classes) != targets {
                    return refuse!("net.classes is {classes}, the data have {targets} targets per sample");
                }
                Ok(())
            }
            _ if targets != 1 => refuse!("net: one output, the data have {targets} targets per sample"),
            _ => Ok(()),
        }
    }

    /// The layers, for data of d features; none for the diagonal networks, which have kernels of their own.
    ///
    /// # Errors
    /// If neighbouring widths do not fit.
    pub fn net<T: Real>(&self, d: usize) -> Result<Option<Net<T>>> {
        let (mut layers, mut hidden): (Vec<Box<dyn Layer<T>>>, Vec<usize>) = (Vec::new(), Vec::new());
        match *self {
            Architecture::Diagonal { .. } | Architecture::Squared { .. } => return Ok(None),
            Architecture::Resnet(resnet) => return resnet.net().map(Some),
            Architecture::Convnet(ref convnet) => return convnet.net().map(Some),
            Architecture::DeepDiagonal { depth, activation, .. } => {
                for index in 0..depth {
                    layers.push(Box::new(Scale { width: d }));
                    if index + 1 < depth {
                        layers.push(Box::new(Activate { activation: activation.kind(), width: d }));
                        hidden.push(layers.len() - 1);
                    }
                }
                layers.push(Box::new(Sum { width: d }));
            }
            Architecture::Mlp { ref widths, bias, activation, weight_norm, .. } => {
                for (index, pair) in widths.windows(2).enumerate() {
                    let linear = Linear { inputs: pair[0], outputs: pair[1], bias: bias.at(index) };
                    layers.push(match weight_norm {
                        None => Box::new(linear),
                        Some(WeightNorm { learned: true, .. }) => {
                            Box::new(layers::WeightNorm { layer: linear, gain: Gain::Learned })
                        }
                        Some(WeightNorm { gain, .. }) => Box::new(layers::WeightNorm { layer: linear, gain: Gain::Frozen(gain) }),
                    });
                    if index + 2 < widths.len() {
                        layers.push(Box::new(Activate { activation: activation.kind(), width: pair[1] }));
                        hidden.push(layers.len() - 1);
                    }
                }
            }
        }
        Net::new(layers, hidden).map(Some)
    }

    /// Whether it sees images as rows and columns.
    pub fn is_convolutional(&self) -> bool {
        matches!(self, Architecture::Resnet(_) | Architecture::Convnet(_))
    }

    /// Whether replicas of different seeds start at different parameters.
    pub fn is_random(&self) -> bool {
        match self {
            Architecture::Diagonal { .. } => false,
            Architecture::DeepDiagonal { deviation, .. } => *deviation > 0.0,
            Architecture::Squared { .. } | Architecture::Mlp { .. } | Architecture::Resnet(_) | Architecture::Convnet(_) => true,
        }
    }

    /// Parameters of a replica in one vector, for data of d features. The paper's replica has those of seed 0.
    pub fn initial(&self, d: usize, seed: Seed) -> Vec<f64> {
        let mut stream = rng::sequential(if let Seed::Own(seed) = seed { seed } else { 0 }, Stream::Init);
        match self {
            Architecture::Diagonal { u, v } => [vec![*u; d], vec![*v; d]].concat(),
            Architecture::Squared { low, high } => {
                let theta: Vec<f64> = (0..d).map(|_| low + (high - low) * stream.random::<f64>()).collect();
                theta.repeat(2)
            }
            Architecture::DeepDiagonal { depth, mean, deviation, .. } => {
                let mut weights = vec![0.0; depth * d];
                rng::standard_normals(&mut stream, &mut weights);
                weights.iter_mut().for_each(|weight| *weight = mean + deviation * *weight);
                weights
            }
            Architecture::Resnet(resnet) => resnet.initial(&mut stream),
            Architecture::Convnet(convnet) => convnet.initial(&mut stream),
            Architecture::Mlp { widths, bias, init, weight_norm, .. } => {
                let mut params = Vec::new();
                for (index, pair) in widths.windows(2).enumerate() {
                    let (weight, offsets) = init.layer(&mut stream, index, pair[0], pair[1], bias.at(index));
                    params.extend(weight);
                    if let Some(WeightNorm { gain, learned: true }) = weight_norm {
                        params.push(*gain);
                    }
                    params.extend(offsets);
                }
                params
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_squared_network_starts_at_draws_of_the_seeds_init_stream() {
        let net = Architecture::Squared { low: 2.0, high: 3.0 };
        for seed in [4, 5] {
            let mut stream = rng::sequential(seed, Stream::Init);
            let theta: Vec<f64> = (0..3).map(|_| 2.0 + stream.random::<f64>()).collect();
            assert_eq!(net.initial(3, Seed::Own(seed)), [theta.clone(), theta].concat());
        }
    }

    #[test]
    fn initial_parameters_are_as_many_as_the_layers_have() {
        let learned = Some(WeightNorm { gain: 2.0, learned: true });
        for bias in [Bias::None, Bias::First, Bias::All] {
            for weight_norm in [None, Some(WeightNorm { gain: 2.0, learned: false }), learned] {
                let (widths, activation, init) = (vec![3, 5, 4, 2], Activation::Tanh, Init::Pytorch);
                let net = Architecture::Mlp { widths, bias, activation, init, weight_norm };
                let layered = net.net::<f64>(3).unwrap().unwrap();
                assert_eq!(net.initial(3, Seed::Own(1)).len(), layered.params(), "{net:?}");
                assert_eq!((layered.inputs(), layered.outputs(), layered.weights().len()), (3, 2, 3));
            }
        }
        let deep = Architecture::DeepDiagonal { depth: 3, activation: Activation::Relu, mean: 0.1, deviation: 0.0 };
        assert_eq!(deep.initial(4, Seed::Own(0)), vec![0.1; 12]);
        assert_eq!(deep.net::<f32>(4).unwrap().unwrap().params(), 12);
    }

    #[test]
    fn impossible_networks_are_refused() {
        let line = |widths: &[usize]| Architecture::mlp(widths, Bias::All, Activation::Relu).check().unwrap_err().to_string();
        assert!(line(&[3]).contains("expected inputs, hidden widths and outputs"));
        assert!(line(&[3, 0, 1]).contains("at least 1 each"));
        assert!(line(&[1 << 20, 1 << 20, 1]).contains("make more than"));
        let fits = Architecture::mlp(&[3, 4, 1], Bias::All, Activation::Relu);
        assert!(fits.check_data(2, Loss::Mse, 1).unwrap_err().to_string().contains("take 3 inputs, the data have 2 features"));
        assert!(fits.check_data(3, Loss::Mse, 2).unwrap_err().to_string().contains("give 1 outputs, the data have 2 targets"));
    }
}

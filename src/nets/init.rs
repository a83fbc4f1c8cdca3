use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::error::{Result, refuse};
use crate::rng;

/// Initial parameters of a perceptron, layer by layer from the init stream: weight, then bias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Init {
    /// PyTorch's default for `nn.Linear`: weights and biases U(±1/√inputs).
    Pytorch,
    /// Weights N(0, gain²/inputs) or uniform of the same variance (He et al. 2015: gain √2); biases 0.
    Kaiming {
        /// Law of a weight.
        law: Law,
        /// Standard deviation times √inputs.
        gain: f64,
    },
    /// Weights of layer l N(0, scales_l²), one scale for all layers if only one is given; biases U(±1/√inputs).
    Gaussian {
        /// Standard deviations.
        scales: Vec<f64>,
    },
    /// Two layers (Blanc et al. 2020): first weights ±weight with equal chance, first biases N(0, bias²), second weights
    /// N(0, output²), a second bias 0.
    Blanc {
        /// |w| of the first layer.
        weight: f64,
        /// Deviation of its biases.
        bias: f64,
        /// Deviation of the second layer.
        output: f64,
    },
}

/// Laws of one variance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Law {
    /// Gaussian.
    Normal,
    /// Uniform around 0.
    Uniform,
}

impl Init {
    /// Refuses scales that are not finite or too few.
    ///
    /// # Errors
    /// If a number is out of range or does not fit the number of layers.
    pub(super) fn check(&self, layers: usize) -> Result<()> {
        let finite = |name: &str, value: f64| match value.is_finite() {
            true => Ok(()),
            false => refuse!("net.init.{name} is {value}, expected a finite number"),
        };
        match self {
            Init::Pytorch => Ok(()),
            Init::Kaiming { gain, .. } => finite("gain", *gain),
            Init::Gaussian { scales } if scales.len() != 1 && scales.len() != layers => {
                refuse!("net.init.scales has {} entries, expected 1 or one per layer, {layers}", scales.len())
            }
            Init::Gaussian { scales } => scales.iter().try_for_each(|&scale| finite("scales", scale)),
            Init::Blanc { .. } if layers != 2 => refuse!("net.init blanc is for two layers, the net has {layers}; take gaussian"),
            Init::Blanc { weight, bias, output } => {
                finite("weight", *weight).and(finite("bias", *bias)).and(finite("output", *output))
            }
        }
    }

    /// Weight (outputs x inputs) and bias of a layer; no bias is drawn where there is none.
    pub(super) fn layer(
        &self,
        stream: &mut Xoshiro256PlusPlus,
        index: usize,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> (Vec<f64>, Vec<f64>) {
        let (weights, biases) = (inputs * outputs, if bias { outputs } else { 0 });
        let default = 1.0 / (inputs as f64).sqrt();
        match self {
            Init::Pytorch => (uniform(stream, weights, default), uniform(stream, biases, default)),
            Init::Kaiming { law, gain } => {
                let weight = match law {
                    Law::Normal => normal(stream, weights, gain * default),
                    Law::Uniform => uniform(stream, weights, gain * default * 3f64.sqrt()),
                };
                (weight, vec![0.0; biases])
            }
            Init::Gaussian { scales } => {
                let scale = scales[index.min(scales.len() - 1)];
                (normal(stream, weights, scale), uniform(stream, biases, default))
            }
            Init::Blanc { weight, bias, .. } if index == 0 => {
                let signs = (0..weights).map(|_| if stream.random::<bool>() { *weight } else { -weight }).collect();
                (signs, normal(stream, biases, *bias))
            }
            Init::Blanc { output, .. } => (normal(stream, weights, *output), vec![0.0; biases]),
        }
    }
}

/// U(±bound).
fn uniform(stream: &mut Xoshiro256PlusPlus, count: usize, bound: f64) -> Vec<f64> {
    (0..count).map(|_| bound * (2.0 * stream.random::<f64>() - 1.0)).collect()
}

/// N(0, deviation²).
fn normal(stream: &mut Xoshiro256PlusPlus, count: usize, deviation: f64) -> Vec<f64> {
    let mut values = vec![0.0; count];
    rng::standard_normals(stream, &mut values);
    values.iter_mut().for_each(|value| *value *= deviation);
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    /// Mean, deviation and largest magnitude.
    fn moments(values: &[f64]) -> [f64; 3] {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
        [mean, variance.sqrt(), values.iter().fold(0.0, |most: f64, v| most.max(v.abs()))]
    }

    #[test]
    fn every_law_has_its_deviation() {
        let draw = |init: Init, index| init.layer(&mut rng::sequential(3, Stream::Init), index, 25, 4000, true);
        let law = |law| Init::Kaiming { law, gain: 2f64.sqrt() };
        let blanc = Init::Blanc { weight: 2.5, bias: 1.5, output: 4.0 };
        // Deviations of weight and of bias, and the largest weight where it is bounded.
        let cases = [
            (Init::Pytorch, 0, 0.2 / 3f64.sqrt(), 0.2 / 3f64.sqrt(), Some(0.2)),
            (law(Law::Normal), 0, 0.2 * 2f64.sqrt(), 0.0, None),
            (law(Law::Uniform), 0, 0.2 * 2f64.sqrt(), 0.0, Some(0.2 * 6f64.sqrt())),
            (Init::Gaussian { scales: vec![0.8] }, 2, 0.8, 0.2 / 3f64.sqrt(), None),
            (Init::Gaussian { scales: vec![0.5, 0.0] }, 1, 0.0, 0.2 / 3f64.sqrt(), Some(0.0)),
            (blanc.clone(), 0, 2.5, 1.5, Some(2.5)),
            (blanc, 1, 4.0, 0.0, None),
        ];
        for (init, index, weight_deviation, bias_deviation, bound) in cases {
            let (weight, bias) = draw(init.clone(), index);
            let ([mean, deviation, largest], [_, bias_got, _]) = (moments(&weight), moments(&bias));
            assert!(mean.abs() <= 0.02 * weight_deviation, "{init:?}: mean {mean}");
            assert!((deviation - weight_deviation).abs() <= 0.01 * weight_deviation, "{init:?}: {deviation}");
            assert!((bias_got - bias_deviation).abs() <= 0.05 * bias_deviation, "{init:?}: bias {bias_got}");
            if let Some(bound) = bound {
                assert!(largest <= bound && largest >= 0.999 * bound, "{init:?}: largest {largest}");
            }
        }
    }

    #[test]
    fn scales_fit_the_layers() {
        assert!(Init::Gaussian { scales: vec![1.0, 2.0] }.check(3).is_err());
        assert!(Init::Blanc { weight: 1.0, bias: 1.0, output: 1.0 }.check(3).unwrap_err().to_string().contains("two layers"));
    }
}

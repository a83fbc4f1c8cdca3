//! The convnet of "The Janus effects of SGD vs GD": 3 x 3 convolutions without padding, a hidden and an output layer, ReLU
//! between them, no bias. Every layer is weight-normalised with a gain that training leaves as it is, and the outputs are
//! multiplied by one learned ρ.
//!
//! The paper states neither strides nor gains. Strides 2, 1, 1, 2 are those that give its 3200 inputs of the hidden layer (and
//! its number of parameters). The gain of a hidden layer of k outputs is √(2k), the norm of weights that keep the size of what
//! they are given (He et al. 2015), and of the outputs √k: with the norms of the initial weights N(0, 0.1²) themselves, as
//! PyTorch's weight normalisation starts, outputs begin near 10 and the paper's step size diverges within 20 iterations.

use handgrad_kernels::Real;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use super::Net;
use super::graph::Graph;
use crate::error::{Result, refuse};
use crate::layers::{Gain, Linear, Multiply, WeightNorm};
use crate::rng;

/// A weight-normalised convnet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convnet {
    /// Rows, columns and channels of an image.
    pub image: [usize; 3],
    /// Channels of every convolution.
    pub channels: Vec<usize>,
    /// Strides of every convolution.
    pub strides: Vec<usize>,
    /// Width of the hidden layer.
    pub hidden: usize,
    /// Outputs.
    pub classes: usize,
    /// Standard deviation of the initial weights.
    pub scale: f64,
}

/// Larger networks than anybody trains here; they would only exhaust the memory.
const MAX_SIZE: usize = 1 << 16;

impl Convnet {
    /// The paper's, for two classes of CIFAR-10.
    pub fn janus() -> Convnet {
        let (channels, strides) = (vec![32, 64, 128, 128], vec![2, 1, 1, 2]);
        Convnet { image: [32, 32, 3], channels, strides, hidden: 1024, classes: 2, scale: 0.1 }
    }

    /// Refuses what makes no network.
    pub(super) fn check(&self) -> Result<()> {
        let Convnet { image, channels, strides, hidden, classes, scale } = self;
        if channels.is_empty() || channels.len() != strides.len() {
            return refuse!(
                "net.channels {channels:?} and net.strides {strides:?}, expected one of each per convolution, at least 1"
            );
        }
        let sizes = image.iter().chain(channels).chain(strides).chain([hidden, classes]);
        if let Some(size) = sizes.into_iter().find(|size| !(1..=MAX_SIZE).contains(*size)) {
            return refuse!(
                "net: a size of {size}, expected 1 to {MAX_SIZE} for the image, channels, strides, hidden and classes"
            );
        }
        if !(scale.is_finite() && *scale > 0.0) {
            return refuse!("net.scale is {scale}, expected a finite number > 0");
        }
        let mut extents = [image[0], image[1]];
        for (layer, stride) in strides.iter().enumerate() {
            if extents.iter().any(|&extent| extent < 3) {
                let [rows, columns] = extents;
                return refuse!(
                    "net: convolution {} sees {rows} x {columns} pixels, expected at least 3 x 3; take a larger image",
                    layer + 1
                );
            }
            extents = extents.map(|extent| (extent - 3) / stride + 1);
        }
        Ok(())
    }

    /// The network.
    pub(crate) fn net<T: Real>(&self) -> Result<Net<T>> {
        self.check()?;
        let (mut graph, mut x) = Graph::new(self.image);
        for (index, (&k, &stride)) in self.channels.iter().zip(&self.strides).enumerate() {
            let gain = Gain::Frozen((2.0 * k as f64).sqrt());
            let (layer, image) = x.convolved([k, 3, stride, 0]);
            x = graph.layer(format!("conv{}", index + 1), WeightNorm { layer, gain }, x, image);
            x = graph.relu(format!("relu{}", index + 1), x);
            graph.features();
        }
        let mut inputs = x.image.iter().product();
        for (name, outputs, relu) in [("fc1", self.hidden, 2.0), ("fc2", self.classes, 1.0)] {
            let layer = Linear { inputs, outputs, bias: false };
            let gain = Gain::Frozen((relu * outputs as f64).sqrt());
            x = graph.layer(name.into(), WeightNorm { layer, gain }, x, [1, 1, outputs]);
            if name == "fc1" {
                x = graph.relu("relu".into(), x);
                graph.features();
            }
            inputs = outputs;
        }
        graph.layer(Multiply::RHO.into(), Multiply { width: self.classes }, x, [1, 1, self.classes]);
        graph.finish()
    }

    /// Initial parameters: weights N(0, scale²), ρ = 1. A network that [`Convnet::check`] refuses has none.
    pub(super) fn initial(&self, stream: &mut Xoshiro256PlusPlus) -> Vec<f64> {
        let Ok(count) = self.net::<f64>().map(|net| net.params()) else { return Vec::new() };
        let mut params = vec![1.0; count];
        let weights = &mut params[..count - 1];
        rng::standard_normals(stream, weights);
        weights.iter_mut().for_each(|w| *w *= self.scale);
        params
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Stream, sequential};

    #[test]
    fn the_papers_network_has_its_parameters() {
        let net = Convnet::janus();
        let layers = net.net::<f32>().unwrap();
        // The paper counts the six gains, which are frozen.
        assert_eq!(layers.params() + 6, 3_519_335);
        assert_eq!(layers.nodes().iter().find(|node| node.name == "fc1").unwrap().layer.inputs(), 3200);
        let params = net.initial(&mut sequential(1, Stream::Init));
        assert_eq!((params.len(), params[params.len() - 1]), (layers.params(), 1.0));
        let first = layers.parameters()[0].clone();
        let norm = params[first.range].iter().map(|w| w * w).sum::<f64>().sqrt();
        assert!((norm / (0.1 * 864f64.sqrt()) - 1.0).abs() <= 0.1, "{norm}");
    }

    #[test]
    fn outputs_begin_about_as_large_as_the_images() {
        let net = Convnet::janus();
        let (n, d) = (8, 3072);
        let layers = std::sync::Arc::new(net.net::<f32>().unwrap());
        let wide = net.initial(&mut sequential(3, Stream::Init));
        let params: Vec<f32> = wide.iter().map(|&w| w as f32).collect();
        let mut x = vec![0.0; n * d];
        rng::standard_normals(&mut sequential(4, Stream::Data), &mut x);
        let x: Vec<f32> = x.iter().map(|&x| x as f32).collect();
        let cx = handgrad_kernels::Context::cpu().unwrap();
        let mut plan = crate::nets::Plan::new(&cx, layers, n).unwrap();
        let y = plan.forward(&cx, crate::nets::Point::new(n, (&x).into(), (&params).into())).unwrap().to_vec().unwrap();
        let size = (y.iter().map(|y| y * y).sum::<f32>() / y.len() as f32).sqrt();
        assert!((0.2..=5.0).contains(&size), "{size}");
    }

    #[test]
    fn what_makes_no_network_is_refused() {
        let refused = |net: Convnet| net.check().unwrap_err().to_string();
        assert!(refused(Convnet { strides: vec![1], ..Convnet::janus() }).contains("expected one of each per convolution"));
        assert!(refused(Convnet { image: [8, 8, 1], ..Convnet::janus() }).contains("convolution 3 sees 1 x 1 pixels"));
        assert!(refused(Convnet { scale: f64::NAN, ..Convnet::janus() }).contains("net.scale is NaN"));
        assert!(refused(Convnet { hidden: 0, ..Convnet::janus() }).contains("a size of 0"));
    }
}

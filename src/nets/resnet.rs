//! Residual networks for small images (He, Zhang, Ren, Sun 2015 and 2016): a 3 x 3 stem without pooling, four groups of basic
//! blocks of widths w, 2w, 4w, 8w and strides 1, 2, 2, 2, global average pooling, a linear layer. No convolution has a bias.
//! Parameters are named as in PyTorch's common implementations: `conv1`, `bn1`, `layer1.0.conv1`, ..., `shortcut.0`, `linear`.
//!
//! A block is conv - bn - relu - conv - bn, plus its input, then relu; the input goes through a 1 x 1 convolution and a batch
//! norm where stride or width change. With pre-activation it is bn - relu - conv - bn - relu - conv, plus its input, which
//! goes through a 1 x 1 convolution after the first relu where stride or width change; a last bn - relu precedes the pooling.

use handgrad_kernels::Real;
use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use super::Net;
use super::graph::{Graph, Output};
use crate::error::{Result, refuse};
use crate::rng;

/// A residual network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resnet {
    /// Layers with weights: 18 or 34.
    pub depth: usize,
    /// Channels of the first group; the papers' networks have 64.
    pub width: usize,
    /// Outputs.
    pub classes: usize,
    /// Rows, columns and channels of an image.
    pub image: [usize; 3],
    /// Whether activations come before convolutions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preactivation: bool,
}

/// Wider networks than anybody trains here; they would only exhaust the memory.
const MAX_WIDTH: usize = 1024;
/// Likewise of images.
const MAX_EXTENT: usize = 1024;

impl Resnet {
    /// Blocks of every group.
    fn blocks(&self) -> Result<[usize; 4]> {
        match self.depth {
            18 => Ok([2, 2, 2, 2]),
            34 => Ok([3, 4, 6, 3]),
            depth => refuse!("net.depth is {depth}, expected 18 or 34"),
        }
    }

    /// Refuses what makes no network.
    pub(super) fn check(&self) -> Result<()> {
        let &Resnet { width, classes, image, .. } = self;
        if !(1..=MAX_WIDTH).contains(&width) || !(1..=1 << 16).contains(&classes) {
            return refuse!("net: width = {width} and classes = {classes}, expected 1 to {MAX_WIDTH} and 1 to {}", 1 << 16);
        }
        if image.iter().any(|extent| !(1..=MAX_EXTENT).contains(extent)) {
            return refuse!("net.image is {image:?}, expected rows, columns and channels, 1 to {MAX_EXTENT} each");
        }
        self.blocks().map(|_| ())
    }

    /// The network.
    pub(crate) fn net<T: Real>(&self) -> Result<Net<T>> {
        self.check()?;
        let (mut graph, image) = Graph::new(self.image);
        let mut x = graph.conv("conv1".into(), image, [self.width, 3, 1, 1]);
        if !self.preactivation {
            x = graph.batch_norm("bn1".into(), x);
            x = graph.relu("relu".into(), x);
        }
        for (group, blocks) in self.blocks()?.into_iter().enumerate() {
            for block in 0..blocks {
                let (name, stride) = (format!("layer{}.{block}", group + 1), if group > 0 && block == 0 { 2 } else { 1 });
                let build = if self.preactivation { preactivation_block } else { basic_block };
                x = build(&mut graph, &name, x, self.width << group, stride);
            }
            graph.features();
        }
        if self.preactivation {
            x = graph.batch_norm("bn".into(), x);
            x = graph.relu("relu".into(), x);
        }
        x = graph.average_pool("pool".into(), x);
        graph.features();
        graph.linear("linear".into(), x, self.classes);
        graph.finish()
    }

    /// Initial parameters: convolutions N(0, 2/(k·size²)), γ = 1, β = 0, the linear layer's weights U(±1/√inputs) and its bias 0. A network that [`Resnet::check`] refuses has none.
    pub(super) fn initial(&self, stream: &mut Xoshiro256PlusPlus) -> Vec<f64> {
        let mut params = Vec::new();
        for parameter in self.net::<f64>().map(|net| net.parameters()).unwrap_or_default() {
            let start = params.len();
            match parameter.shape[..] {
                [k, size, _, _] => {
                    params.resize(start + parameter.range.len(), 0.0);
                    rng::standard_normals(stream, &mut params[start..]);
                    let deviation = (2.0 / (k * size * size) as f64).sqrt();
                    params[start..].iter_mut().for_each(|w| *w *= deviation);
                }
                [_, inputs] => {
                    let bound = 1.0 / (inputs as f64).sqrt();
                    params.extend(parameter.range.map(|_| bound * (2.0 * stream.random::<f64>() - 1.0)));
                }
                _ => {
                    let scale = parameter.name.ends_with(".weight");
                    params.extend(parameter.range.map(|_| if scale { 1.0 } else { 0.0 }));
                }
            }
        }
        params
    }
}

fn basic_block<T: Real>(graph: &mut Graph<T>, name: &str, input: Output, width: usize, stride: usize) -> Output {
    let named = |part: &str| format!("{name}.{part}");
    let mut x = graph.conv(named("conv1"), input, [width, 3, stride, 1]);
    x = graph.batch_norm(named("bn1"), x);
    x = graph.relu(named("relu1"), x);
    x = graph.conv(named("conv2"), x, [width, 3, 1, 1]);
    x = graph.batch_norm(named("bn2"), x);
    let mut shortcut = input;
    if x.image != input.image {
        shortcut = graph.conv(named("shortcut.0"), input, [width, 1, stride, 0]);
        shortcut = graph.batch_norm(named("shortcut.1"), shortcut);
    }
    x = graph.add(named("add"), x, shortcut);
    graph.relu(named("relu2"), x)
}

fn preactivation_block<T: Real>(graph: &mut Graph<T>, name: &str, input: Output, width: usize, stride: usize) -> Output {
    let named = |part: &str| format!("{name}.{part}");
    let mut x = graph.batch_norm(named("bn1"), input);
    x = graph.relu(named("relu1"), x);
    let active = x;
    x = graph.conv(named("conv1"), x, [width, 3, stride, 1]);
    x = graph.batch_norm(named("bn2"), x);
    x = graph.relu(named("relu2"), x);
    x = graph.conv(named("conv2"), x, [width, 3, 1, 1]);
    let shortcut = if x.image == input.image { input } else { graph.conv(named("shortcut.0"), active, [width, 1, stride, 0]) };
    graph.add(named("add"), x, shortcut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    fn resnet(depth: usize, width: usize, classes: usize, preactivation: bool) -> Resnet {
        Resnet { depth, width, classes, image: [32, 32, 3], preactivation }
    }

    /// As the paper counts them, and as PyTorch's implementations have them.
    #[test]
    fn as_many_parameters_as_published() {
        for (net, params) in [
            (resnet(18, 64, 10, false), 11_173_962),
            (resnet(34, 64, 100, false), 21_328_292),
            (resnet(18, 64, 10, true), 11_172_170),
        ] {
            assert_eq!(net.net::<f32>().unwrap().params(), params);
        }
    }

    #[test]
    fn names_are_those_of_common_implementations() {
        let net = resnet(18, 4, 10, false).net::<f32>().unwrap();
        let names: Vec<String> = net.parameters().into_iter().map(|parameter| parameter.name).collect();
        for name in ["conv1.weight", "bn1.bias", "layer1.1.conv2.weight", "layer2.0.shortcut.0.weight", "linear.bias"] {
            assert!(names.iter().any(|have| have == name), "{name} is not in {names:?}");
        }
        assert_eq!(names.len(), 62);
        let statistics = net.named_statistics();
        assert_eq!(statistics.len(), 40);
        assert_eq!(statistics[39].name, "layer4.1.bn2.running_var");
        assert_eq!(net.initial_statistics()[..5], [0.0, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn initial_parameters_have_their_laws() {
        let net = resnet(18, 16, 10, false);
        let params = net.initial(&mut rng::sequential(3, Stream::Init));
        for parameter in net.net::<f32>().unwrap().parameters() {
            let values = &params[parameter.range];
            let mean_square = values.iter().map(|w| w * w).sum::<f64>() / values.len() as f64;
            let want = match parameter.shape[..] {
                [k, size, _, _] => 2.0 / (k * size * size) as f64,
                [_, inputs] => 1.0 / (3 * inputs) as f64,
                _ if parameter.name.ends_with(".weight") => 1.0,
                _ => 0.0,
            };
            // Five deviations of a mean of squares of normal numbers.
            let bound = 5.0 * want * (2.0 / values.len() as f64).sqrt();
            assert!((mean_square - want).abs() <= bound, "{}: {mean_square}, not {want}", parameter.name);
        }
    }

    #[test]
    fn what_makes_no_network_is_refused() {
        let refused = |net: Resnet| net.check().unwrap_err().to_string();
        assert!(refused(Resnet { depth: 50, ..resnet(18, 4, 10, false) }).contains("net.depth is 50, expected 18 or 34"));
        assert!(refused(resnet(18, 0, 10, false)).contains("width = 0"));
        assert!(refused(Resnet { image: [32, 0, 3], ..resnet(18, 4, 10, false) }).contains("[32, 0, 3]"));
    }
}

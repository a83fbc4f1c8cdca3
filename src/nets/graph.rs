//! Networks of images, node by node.

use std::sync::Arc;

use handgrad_kernels::Real;
use handgrad_kernels::activation::Activation;
use handgrad_kernels::conv2d::Conv2dShape;

use super::{Net, Node, Source};
use crate::error::Result;
use crate::layers::{Activate, AveragePool, BatchNorm, Conv2d, Layer, Linear, Residual, Then};

/// Rows, columns and channels of an image.
pub(super) type Image = [usize; 3];

/// What a node gives: its place, and the image that it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    from: Source,
    pub image: Image,
}

impl Output {
    fn numbers(self) -> usize {
        self.image.iter().product()
    }

    /// The convolution with k channels, a window, a stride and zeros around the image; and the image that it gives.
    pub(super) fn convolved(self, [k, size, stride, pad]: [usize; 4]) -> (Conv2d, Image) {
        let [h, w, c] = self.image;
        let shape = Conv2dShape { n: 1, h, w, c, k, size, stride, pad };
        let [rows, columns] = shape.out();
        (Conv2d { shape }, [rows, columns, k])
    }
}

/// A network on its way.
pub(super) struct Graph<T> {
    nodes: Vec<Node<T>>,
    hidden: Vec<usize>,
}

impl<T: Real> Graph<T> {
    /// Nothing but the input.
    pub(super) fn new(image: Image) -> (Graph<T>, Output) {
        (Graph { nodes: Vec::new(), hidden: Vec::new() }, Output { from: Source::Input, image })
    }

    /// The network, which gives what the last node gave.
    pub(super) fn finish(self) -> Result<Net<T>> {
        Net::of_nodes(self.nodes, self.hidden)
    }

    /// Any layer.
    pub(super) fn layer(&mut self, name: String, layer: impl Layer<T> + 'static, x: Output, image: Image) -> Output {
        self.node(Node { name, layer: Arc::new(layer), from: x.from, second: None }, image)
    }

    fn node(&mut self, node: Node<T>, image: Image) -> Output {
        self.nodes.push(node);
        Output { from: Source::Node(self.nodes.len() - 1), image }
    }

    /// Convolution without bias.
    pub(super) fn conv(&mut self, name: String, x: Output, sizes: [usize; 4]) -> Output {
        let (layer, image) = x.convolved(sizes);
        self.layer(name, layer, x, image)
    }

    /// Batch normalisation.
    pub(super) fn batch_norm(&mut self, name: String, x: Output) -> Output {
        let [h, w, channels] = x.image;
        self.layer(name, BatchNorm { pixels: h * w, channels, then: Then::Nothing }, x, x.image)
    }

    /// ReLU.
    pub(super) fn relu(&mut self, name: String, x: Output) -> Output {
        self.layer(name, Activate { activation: Activation::Relu, width: x.numbers() }, x, x.image)
    }

    /// x plus a shortcut.
    pub(super) fn add(&mut self, name: String, x: Output, shortcut: Output) -> Output {
        let layer = Arc::new(Residual { width: x.numbers() });
        self.node(Node { name, layer, from: x.from, second: Some(shortcut.from) }, x.image)
    }

    /// Global average pooling.
    pub(super) fn average_pool(&mut self, name: String, x: Output) -> Output {
        let [h, w, channels] = x.image;
        self.layer(name, AveragePool { pixels: h * w, channels }, x, [1, 1, channels])
    }

    /// Fully connected, with bias.
    pub(super) fn linear(&mut self, name: String, x: Output, outputs: usize) -> Output {
        self.layer(name, Linear { inputs: x.numbers(), outputs, bias: true }, x, [1, 1, outputs])
    }

    /// What the last node gave are hidden features.
    pub(super) fn features(&mut self) {
        self.hidden.push(self.nodes.len() - 1);
    }
}

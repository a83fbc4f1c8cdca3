//! What a plan runs: a network's nodes one by one, or a rewrite of them in which a batch normalisation takes the residual and the
//! ReLU that follow it into its own passes over memory.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use handgrad_kernels::activation::Activation;
use handgrad_kernels::{Real, View};

use super::plan::Point;
use super::{Net, Node, Source};
use crate::error::Result;
use crate::layers::{Activate, At, BatchNorm, Layer, Residual, Then};

/// One node of a network, or several in one.
#[derive(Debug)]
pub(super) struct Operation<T> {
    pub layer: Arc<dyn Layer<T>>,
    /// Where its inputs come from; nodes count operations here.
    pub from: Source,
    pub second: Option<Source>,
    /// Where the parameters and the running statistics are.
    pub params: Range<usize>,
    pub statistics: Range<usize>,
}

/// Operations in execution order; the last one gives the network's outputs.
#[derive(Debug)]
pub(super) struct Program<T> {
    pub operations: Vec<Operation<T>>,
    /// The operation that gives what a node gives; none if no operation does.
    pub of_node: Vec<Option<usize>>,
}

/// A batch normalisation that takes over the nodes up to a ReLU.
struct Fusion {
    norm: usize,
    layer: BatchNorm,
    /// The node that adds a shortcut, and where that comes from.
    residual: Option<(usize, Source)>,
}

impl<T: Real> Program<T> {
    /// Node by node.
    pub(super) fn plain(net: &Net<T>) -> Program<T> {
        Program::of(net, |_| None)
    }

    /// With every batch norm - ReLU and batch norm - residual - ReLU in one, if nobody else looks at what is between them.
    pub(super) fn fused(net: &Net<T>) -> Program<T> {
        let nodes = net.nodes();
        let mut readers = vec![0; nodes.len()];
        for source in nodes.iter().flat_map(|node| [Some(node.from), node.second]).flatten() {
            if let Source::Node(source) = source {
                readers[source] += 1;
            }
        }
        net.hidden().iter().for_each(|&node| readers[node] += 1);
        Program::of(net, |node| fusion(nodes, &readers, node))
    }

    /// `fusion` gives what ends at a node.
    fn of(net: &Net<T>, fusion: impl Fn(usize) -> Option<Fusion>) -> Program<T> {
        let nodes = net.nodes();
        let fusions: Vec<Option<Fusion>> = (0..nodes.len()).map(fusion).collect();
        let mut taken_over = vec![false; nodes.len()];
        for Fusion { norm, residual, .. } in fusions.iter().flatten() {
            taken_over[*norm] = true;
            residual.iter().for_each(|&(add, _)| taken_over[add] = true);
        }
        let (mut operations, mut of_node) = (Vec::new(), Vec::new());
        for (index, (node, fusion)) in nodes.iter().zip(fusions).enumerate() {
            if taken_over[index] {
                of_node.push(None);
                continue;
            }
            let (first, layer, second): (usize, Arc<dyn Layer<T>>, Option<Source>) = match fusion {
                None => (index, Arc::clone(&node.layer), node.second),
                Some(Fusion { norm, layer, residual }) => (norm, Arc::new(layer), residual.map(|(_, shortcut)| shortcut)),
            };
            let place = |source: Source| match source {
                Source::Node(node) => of_node[node].map_or(source, Source::Node),
                Source::Input => source,
            };
            let (from, second) = (place(nodes[first].from), second.map(place));
            of_node.push(Some(operations.len()));
            operations.push(Operation { layer, from, second, params: net.range(first), statistics: net.statistics_range(first) });
        }
        Program { operations, of_node }
    }

    /// Where an operation is evaluated: its inputs are the network's, or the outputs of earlier operations, which start at
    /// `starts` among the values.
    pub(super) fn at<'a>(&self, index: usize, starts: &[usize], point: Point<'a, T>, values: View<'a, T>) -> Result<At<'a, T>> {
        let Operation { layer, from, second, params, .. } = &self.operations[index];
        let input = |source: Source, width: usize| match source {
            Source::Input => Ok(point.x),
            Source::Node(source) => values.part(starts[source], point.n * width),
        };
        let at = At::new(point.n, point.params.part(params.start, params.len())?, input(*from, layer.inputs())?);
        Ok(match *second {
            None => at,
            Some(source) => At { second: input(source, layer.second_inputs())?, ..at },
        })
    }
}

/// What ends at a node, if that is a ReLU which alone reads a batch normalisation, or a sum of one and a shortcut.
fn fusion<T: Real>(nodes: &[Node<T>], readers: &[usize], relu: usize) -> Option<Fusion> {
    let read_once = |source: Source| match source {
        Source::Node(node) => (readers[node] == 1).then_some(node),
        Source::Input => None,
    };
    let norm = |node: usize| downcast(&nodes[node]).filter(|norm: &&BatchNorm| norm.then == Then::Nothing);
    downcast(&nodes[relu]).filter(|relu: &&Activate| relu.activation == Activation::Relu)?;
    let before = read_once(nodes[relu].from)?;
    if let Some(&layer) = norm(before) {
        return Some(Fusion { norm: before, layer: BatchNorm { then: Then::Relu, ..layer }, residual: None });
    }
    downcast::<T, Residual>(&nodes[before])?;
    let (branch, shortcut) = (nodes[before].from, nodes[before].second?);
    [(branch, shortcut), (shortcut, branch)].into_iter().find_map(|(normalised, shortcut)| {
        let index = read_once(normalised)?;
        let layer = BatchNorm { then: Then::ResidualRelu, ..*norm(index)? };
        // Its pass writes both gradients at once, which one buffer has no room for.
        let apart = nodes[index].from != shortcut;
        apart.then_some(Fusion { norm: index, layer, residual: Some((before, shortcut)) })
    })
}

fn downcast<T: Real, L: 'static>(node: &Node<T>) -> Option<&L> {
    let layer: &dyn Any = &*node.layer;
    layer.downcast_ref()
}

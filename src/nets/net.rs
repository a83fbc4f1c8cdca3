use std::ops::Range;
use std::sync::Arc;

use handgrad_kernels::Real;

use crate::error::{Result, refuse};
use crate::layers::{Layer, Slot};

/// A layer of a network, and what it takes.
#[derive(Debug)]
pub struct Node<T> {
    /// Its name; those of its parameters begin with it.
    pub name: String,
    /// What it does.
    pub layer: Arc<dyn Layer<T>>,
    /// Where x comes from.
    pub from: Source,
    /// Where the second input comes from, for layers that have one.
    pub second: Option<Source>,
}

/// Where an input of a layer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is the network's.
    Input,
    /// It is the outputs of an earlier node.
    Node(usize),
}

/// An immutable list of nodes in execution order over one flat parameter vector: node by node, slot by slot.
#[derive(Debug)]
pub struct Net<T> {
    nodes: Vec<Node<T>>,
    /// Nodes whose outputs are the hidden features, first hidden layer first.
    hidden: Vec<usize>,
    /// Where each node's parameters start, and where the last one's end.
    starts: Vec<usize>,
    /// The same of running statistics.
    statistics: Vec<usize>,
}

/// A named range of a network's parameters, or of its running statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Node and slot: `0.weight`, `layer1.0.conv1.weight`.
    pub name: String,
    /// Its place in the vector.
    pub range: Range<usize>,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
}

impl<T: Real> Net<T> {
    /// Strings layers together, named by their numbers. `hidden` names the layers whose outputs are hidden features.
    ///
    /// # Errors
    /// As [`Net::of_nodes`].
    pub fn new(layers: Vec<Box<dyn Layer<T>>>, hidden: Vec<usize>) -> Result<Net<T>> {
        let node = |(index, layer): (usize, Box<dyn Layer<T>>)| Node {
            name: index.to_string(),
            layer: layer.into(),
            from: index.checked_sub(1).map_or(Source::Input, Source::Node),
            second: None,
        };
        Net::of_nodes(layers.into_iter().enumerate().map(node).collect(), hidden)
    }

    /// A network of nodes, the last of which gives its outputs. `hidden` names the nodes whose outputs are hidden features.
    ///
    /// # Errors
    /// If there is no node, a width is zero, a node takes what does not fit or comes later or the same twice, the outputs of one go
    /// nowhere, or a hidden node is not there.
    pub fn of_nodes(nodes: Vec<Node<T>>, hidden: Vec<usize>) -> Result<Net<T>> {
        let Some(first) = nodes.first() else {
            return refuse!("net: no layers, expected at least one");
        };
        let inputs = first.layer.inputs();
        let mut taken = vec![false; nodes.len()];
        for (index, node) in nodes.iter().enumerate() {
            let Node { layer, from, second, .. } = node;
            if layer.inputs() == 0 || layer.outputs() == 0 {
                let (inputs, outputs) = (layer.inputs(), layer.outputs());
                return refuse!("net: layer {index} turns {inputs} numbers into {outputs}, expected at least 1 each");
            }
            if second.is_some() != (layer.second_inputs() > 0) {
                let wanted = usize::from(layer.second_inputs() > 0);
                return refuse!("net: layer {index} takes {wanted} second inputs; give it as many");
            }
            if *second == Some(*from) {
                return refuse!("net: layer {index} takes the same twice, expected two sources; scale it instead");
            }
            for (source, wanted) in [(Some(*from), layer.inputs()), (*second, layer.second_inputs())] {
                let (name, given) = match source {
                    None => continue,
                    Some(Source::Input) => ("the input".to_owned(), inputs),
                    Some(Source::Node(source)) if source < index => {
                        taken[source] = true;
                        (format!("layer {source}"), nodes[source].layer.outputs())
                    }
                    Some(Source::Node(source)) => {
                        return refuse!("net: layer {index} takes what layer {source} gives, which is not before it; sort them");
                    }
                };
                if given != wanted {
                    return refuse!("net: {name} gives {given} numbers and layer {index} takes {wanted}; make them equal");
                }
            }
        }
        if let Some(index) = taken[..nodes.len() - 1].iter().position(|taken| !taken) {
            return refuse!("net: nobody takes what layer {index} gives; leave it out");
        }
        if let Some(index) = hidden.iter().find(|&&index| index >= nodes.len()) {
            return refuse!("net: hidden layer {index} is not among the {} layers", nodes.len());
        }
        let ends = |numbers: &dyn Fn(&dyn Layer<T>) -> usize| {
            let mut starts = vec![0];
            nodes.iter().for_each(|node| starts.push(starts[starts.len() - 1] + numbers(&*node.layer)));
            starts
        };
        let starts = ends(&|layer| layer.slots().iter().map(Slot::len).sum());
        let statistics = ends(&|layer| layer.statistics().iter().map(|(slot, _)| slot.len()).sum());
        Ok(Net { nodes, hidden, starts, statistics })
    }

    /// Numbers per input row.
    pub fn inputs(&self) -> usize {
        self.nodes[0].layer.inputs()
    }

    /// Numbers per output row.
    pub fn outputs(&self) -> usize {
        self.nodes[self.nodes.len() - 1].layer.outputs()
    }

    /// Parameters.
    pub fn params(&self) -> usize {
        self.starts[self.nodes.len()]
    }

    /// Running statistics.
    pub fn statistics(&self) -> usize {
        self.statistics[self.nodes.len()]
    }

    /// Where the running statistics start.
    pub fn initial_statistics(&self) -> Vec<f64> {
        let slots = self.nodes.iter().flat_map(|node| node.layer.statistics());
        slots.flat_map(|(slot, value)| std::iter::repeat_n(value, slot.len())).collect()
    }

    /// The nodes in execution order.
    pub fn nodes(&self) -> &[Node<T>] {
        &self.nodes
    }

    /// Nodes whose outputs are the hidden features.
    pub fn hidden(&self) -> &[usize] {
        &self.hidden
    }

    /// Whether every node takes what the one before it gives, and nothing else.
    pub fn is_chain(&self) -> bool {
        let before = |index: usize| index.checked_sub(1).map_or(Source::Input, Source::Node);
        self.nodes.iter().enumerate().all(|(index, node)| node.from == before(index) && node.second.is_none())
    }

    /// Where a node's parameters are.
    pub fn range(&self, node: usize) -> Range<usize> {
        self.starts[node]..self.starts[node + 1]
    }

    /// Where a node's running statistics are.
    pub fn statistics_range(&self, node: usize) -> Range<usize> {
        self.statistics[node]..self.statistics[node + 1]
    }

    /// Every named piece of the parameter vector, in order.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.named(|layer| layer.slots())
    }

    /// Every named piece of the running statistics, in order.
    pub fn named_statistics(&self) -> Vec<Parameter> {
        self.named(|layer| layer.statistics().into_iter().map(|(slot, _)| slot).collect())
    }

    fn named(&self, slots: impl Fn(&dyn Layer<T>) -> Vec<Slot>) -> Vec<Parameter> {
        let (mut named, mut start) = (Vec::new(), 0);
        for node in &self.nodes {
            for slot in slots(&*node.layer) {
                let range = start..start + slot.len();
                start = range.end;
                named.push(Parameter { name: format!("{}.{}", node.name, slot.name), range, shape: slot.shape });
            }
        }
        named
    }

    /// The weight matrices (outputs x inputs) among the parameters, first layer first.
    pub fn weights(&self) -> Vec<Parameter> {
        self.parameters().into_iter().filter(|parameter| parameter.shape.len() == 2).collect()
    }
}

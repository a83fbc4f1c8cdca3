use std::ops::Range;

use handgrad_kernels::Real;

use crate::error::{Result, refuse};
use crate::layers::Layer;

/// An immutable list of layers in execution order over one flat parameter vector: layer by layer, slot by slot.
#[derive(Debug)]
pub struct Net<T> {
    layers: Vec<Box<dyn Layer<T>>>,
    /// Layers whose outputs are the hidden features, first hidden layer first.
    hidden: Vec<usize>,
    /// Where each layer's parameters start, and where the last one's end.
    starts: Vec<usize>,
}

/// A named range of a network's parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Layer and slot: `0.weight`.
    pub name: String,
    /// Its place in the parameter vector.
    pub range: Range<usize>,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
}

impl<T: Real> Net<T> {
    /// Strings layers together. `hidden` names the layers whose outputs are hidden features.
    ///
    /// # Errors
    /// If there is no layer, a width is zero, two neighbours do not fit, or a hidden layer is not there.
    pub fn new(layers: Vec<Box<dyn Layer<T>>>, hidden: Vec<usize>) -> Result<Net<T>> {
        if layers.is_empty() {
            return refuse!("net: no layers, expected at least one");
        }
        if let Some(index) = layers.iter().position(|layer| layer.inputs() == 0 || layer.outputs() == 0) {
            let (inputs, outputs) = (layers[index].inputs(), layers[index].outputs());
            return refuse!("net: layer {index} turns {inputs} numbers into {outputs}, expected at least 1 each");
        }
        for (index, pair) in layers.windows(2).enumerate() {
            let (given, taken) = (pair[0].outputs(), pair[1].inputs());
            if given != taken {
                return refuse!(
                    "net: layer {index} gives {given} numbers and layer {} takes {taken}; make them equal",
                    index + 1
                );
            }
        }
        if let Some(index) = hidden.iter().find(|&&index| index >= layers.len()) {
            return refuse!("net: hidden layer {index} is not among the {} layers", layers.len());
        }
        let mut starts = vec![0];
        for layer in &layers {
            let params: usize = layer.slots().iter().map(crate::layers::Slot::len).sum();
            starts.push(starts[starts.len() - 1] + params);
        }
        Ok(Net { layers, hidden, starts })
    }

    /// Numbers per input row.
    pub fn inputs(&self) -> usize {
        self.layers[0].inputs()
    }

    /// Numbers per output row.
    pub fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].outputs()
    }

    /// Parameters.
    pub fn params(&self) -> usize {
        self.starts[self.layers.len()]
    }

    /// The layers in execution order.
    pub fn layers(&self) -> &[Box<dyn Layer<T>>] {
        &self.layers
    }

    /// Layers whose outputs are the hidden features.
    pub fn hidden(&self) -> &[usize] {
        &self.hidden
    }

    /// Where a layer's parameters are.
    pub fn range(&self, layer: usize) -> Range<usize> {
        self.starts[layer]..self.starts[layer + 1]
    }

    /// Every named piece of the parameter vector, in order.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let mut start = self.starts[index];
            for slot in layer.slots() {
                let range = start..start + slot.len();
                start = range.end;
                parameters.push(Parameter { name: format!("{index}.{}", slot.name), range, shape: slot.shape });
            }
        }
        parameters
    }

    /// The weight matrices (outputs x inputs) among the parameters, first layer first.
    pub fn weights(&self) -> Vec<Parameter> {
        self.parameters().into_iter().filter(|parameter| parameter.shape.len() == 2).collect()
    }
}

use std::sync::Arc;

use handgrad_kernels::{Acc, Context, Real};

use super::Net;
use crate::error::{Result, refuse};
use crate::layers::{Along, At, Layer};
use crate::loss::Loss;

/// A network laid out for batches of up to a fixed size: all memory that a forward and a backward pass need, allocated once.
#[derive(Debug)]
pub struct Plan<T> {
    net: Arc<Net<T>>,
    batch: usize,
    /// Outputs of every layer, each `batch` rows.
    values: Vec<T>,
    /// Derivatives of the loss by those outputs; empty until a backward pass is asked for.
    gradients: Vec<T>,
    /// Derivatives of `values` and of `gradients` along a direction; empty until a Hessian-vector product is asked for.
    tangents: [Vec<T>; 2],
    /// Where a layer's outputs start in each of these; the total at the end.
    starts: Vec<usize>,
}

/// A problem to differentiate: parameters, inputs, targets and a loss.
#[derive(Clone, Copy, Debug)]
pub struct Objective<'a, T> {
    /// Loss over the outputs.
    pub loss: Loss,
    /// Samples.
    pub n: usize,
    /// Inputs, n rows.
    pub x: &'a [T],
    /// Targets, as the loss takes them.
    pub target: &'a [T],
    /// Parameters.
    pub params: &'a [T],
}

impl<T: Real> Plan<T> {
    /// Memory for batches of at most `batch` samples.
    ///
    /// # Errors
    /// If the batch is empty.
    pub fn new(net: Arc<Net<T>>, batch: usize) -> Result<Plan<T>> {
        if batch == 0 {
            return refuse!("a batch of 0 samples, expected at least 1");
        }
        let mut starts = vec![0];
        for layer in net.layers() {
            starts.push(starts[starts.len() - 1] + batch * layer.outputs());
        }
        let values = vec![T::ZERO; starts[starts.len() - 1]];
        Ok(Plan { net, batch, values, gradients: Vec::new(), tangents: [Vec::new(), Vec::new()], starts })
    }

    /// The network.
    pub fn net(&self) -> &Net<T> {
        &self.net
    }

    /// Outputs h(x_i) of n samples, n x outputs.
    ///
    /// # Errors
    /// If n is zero or above the plan's batch, or a length does not fit.
    pub fn forward(&mut self, cx: &Context, n: usize, x: &[T], params: &[T]) -> Result<&[T]> {
        self.check(n, x, params)?;
        for index in 0..self.net.layers().len() {
            let (before, after) = self.values.split_at_mut(self.starts[index]);
            let (layer, at) = at(&self.net, &self.starts, index, n, x, params, before);
            layer.forward(cx, at, &mut after[..n * layer.outputs()])?;
        }
        Ok(self.outputs(n))
    }

    /// Outputs of the last forward pass over n samples.
    pub fn outputs(&self, n: usize) -> &[T] {
        self.layer_values(self.net.layers().len() - 1, n)
    }

    /// Outputs of a layer in the last forward pass over n samples.
    pub fn layer_values(&self, layer: usize, n: usize) -> &[T] {
        &self.values[self.starts[layer]..][..n * self.net.layers()[layer].outputs()]
    }

    /// After [`Plan::forward`] on the same samples: dparams = Σ_i (∂h(x_i)/∂params)ᵀ dy_i.
    ///
    /// # Errors
    /// As [`Plan::forward`].
    pub fn backward(
        &mut self,
        cx: &Context,
        (n, x, params): (usize, &[T], &[T]),
        dy: &[T],
        dparams: &mut [T],
        acc: Acc,
    ) -> Result<()> {
        self.check(n, x, params)?;
        self.backward_data(cx, (n, x, params), dy)?;
        for index in 0..self.net.layers().len() {
            let (layer, at) = at(&self.net, &self.starts, index, n, x, params, &self.values);
            let dy = &self.gradients[self.starts[index]..][..n * layer.outputs()];
            layer.backward_weight(cx, at, dy, &mut dparams[self.net.range(index)], acc)?;
        }
        Ok(())
    }

    /// Gradients of one output alone, ∂h_output(x_i)/∂params, as rows of n x params.
    ///
    /// # Errors
    /// As [`Plan::forward`], and if there is no such output.
    pub fn sample_gradients(
        &mut self,
        cx: &Context,
        (n, x, params): (usize, &[T], &[T]),
        output: usize,
        rows: &mut [T],
    ) -> Result<()> {
        let outputs = self.net.outputs();
        if output >= outputs {
            return refuse!("output {output} of a network with {outputs}; ask for 0 to {}", outputs - 1);
        }
        self.forward(cx, n, x, params)?;
        let mut dy = vec![T::ZERO; n * outputs];
        dy.chunks_exact_mut(outputs).for_each(|row| row[output] = T::ONE);
        self.backward_data(cx, (n, x, params), &dy)?;
        for index in 0..self.net.layers().len() {
            let (layer, at) = at(&self.net, &self.starts, index, n, x, params, &self.values);
            let dy = &self.gradients[self.starts[index]..][..n * layer.outputs()];
            layer.sample_gradients(cx, at, dy, &mut rows[self.net.range(index).start..], self.net.params())?;
        }
        Ok(())
    }

    /// The loss.
    ///
    /// # Errors
    /// As [`Plan::forward`], and if the targets do not fit the loss.
    pub fn loss(&mut self, cx: &Context, objective: &Objective<'_, T>) -> Result<T> {
        let Objective { loss, n, x, target, params } = *objective;
        let outputs = self.net.outputs();
        let y = self.forward(cx, n, x, params)?;
        loss.forward(cx, outputs, y, target)
    }

    /// The gradient of the loss.
    ///
    /// # Errors
    /// As [`Plan::loss`].
    pub fn gradient(&mut self, cx: &Context, objective: &Objective<'_, T>, gradient: &mut [T]) -> Result<()> {
        let Objective { loss, n, x, target, params } = *objective;
        let outputs = self.net.outputs();
        let mut dy = vec![T::ZERO; n * outputs];
        loss.backward(cx, outputs, self.forward(cx, n, x, params)?, target, &mut dy)?;
        self.backward(cx, (n, x, params), &dy, gradient, Acc::Set)
    }

    /// The product of the loss's Hessian and a direction, exactly: the derivative along it of both passes
    /// (B. Pearlmutter, "Fast exact multiplication by the Hessian", 1994).
    ///
    /// # Errors
    /// As [`Plan::loss`].
    pub fn hessian_vector(
        &mut self,
        cx: &Context,
        objective: &Objective<'_, T>,
        direction: &[T],
        product: &mut [T],
    ) -> Result<()> {
        let Objective { loss, n, x, target, params } = *objective;
        let (layers, outputs) = (self.net.layers().len(), self.net.outputs());
        let mut dy = vec![T::ZERO; n * outputs];
        loss.backward(cx, outputs, self.forward(cx, n, x, params)?, target, &mut dy)?;
        self.backward_data(cx, (n, x, params), &dy)?;

        let Plan { net, values, gradients, tangents: [value_tangents, gradient_tangents], starts, .. } = self;
        value_tangents.resize(values.len(), T::ZERO);
        gradient_tangents.resize(values.len(), T::ZERO);
        let still = vec![T::ZERO; x.len()];
        for index in 0..layers {
            let (before, after) = value_tangents.split_at_mut(starts[index]);
            let (layer, at) = at(net, starts, index, n, x, params, values);
            let along = along(net, starts, index, n, &still, direction, before);
            layer.forward_tangent(cx, at, along, &mut after[..n * layer.outputs()])?;
        }
        let last = layers - 1;
        let at_end = starts[last]..starts[last] + n * outputs;
        loss.backward_tangent(
            cx,
            outputs,
            (&values[at_end.clone()], &value_tangents[at_end.clone()]),
            target,
            &mut gradient_tangents[at_end],
        )?;
        for index in (0..layers).rev() {
            let (before, after) = gradient_tangents.split_at_mut(starts[index]);
            let (layer, at) = at(net, starts, index, n, x, params, values);
            let along = along(net, starts, index, n, &still, direction, value_tangents);
            let rows = n * layer.outputs();
            let (dy, dy_tangent) = (&gradients[starts[index]..][..rows], &after[..rows]);
            layer.backward_weight_tangent(cx, at, along, dy, dy_tangent, &mut product[net.range(index)])?;
            if index > 0 {
                layer.backward_data_tangent(
                    cx,
                    at,
                    along,
                    dy,
                    dy_tangent,
                    &mut before[starts[index - 1]..][..n * layer.inputs()],
                )?;
            }
        }
        Ok(())
    }

    /// Leaves ∂L/∂(outputs of every layer) in `gradients`.
    fn backward_data(&mut self, cx: &Context, (n, x, params): (usize, &[T], &[T]), dy: &[T]) -> Result<()> {
        let layers = self.net.layers().len();
        self.gradients.resize(self.values.len(), T::ZERO);
        self.gradients[self.starts[layers - 1]..][..dy.len()].copy_from_slice(dy);
        for index in (1..layers).rev() {
            let (before, after) = self.gradients.split_at_mut(self.starts[index]);
            let (layer, at) = at(&self.net, &self.starts, index, n, x, params, &self.values);
            let dx = &mut before[self.starts[index - 1]..][..n * layer.inputs()];
            layer.backward_data(cx, at, &after[..n * layer.outputs()], dx)?;
        }
        Ok(())
    }

    fn check(&self, n: usize, x: &[T], params: &[T]) -> Result<()> {
        let (inputs, wanted) = (self.net.inputs(), self.net.params());
        if n == 0 || n > self.batch {
            return refuse!("a batch of {n} samples, expected 1 to {}, what the plan has room for", self.batch);
        }
        if x.len() != n * inputs || params.len() != wanted {
            return refuse!(
                "{} inputs and {} parameters, expected {n} x {inputs} and {wanted} for this network",
                x.len(),
                params.len()
            );
        }
        Ok(())
    }
}

/// A layer and where it is evaluated: its inputs are the network's, or the outputs of the layer before it.
fn at<'a, T: Real>(
    net: &'a Net<T>,
    starts: &[usize],
    index: usize,
    n: usize,
    x: &'a [T],
    params: &'a [T],
    values: &'a [T],
) -> (&'a dyn Layer<T>, At<'a, T>) {
    let layer = &*net.layers()[index];
    let x = if index == 0 { x } else { &values[starts[index - 1]..][..n * layer.inputs()] };
    (layer, At { n, w: &params[net.range(index)], x })
}

/// A direction at a layer: the network's inputs stand still.
fn along<'a, T: Real>(
    net: &Net<T>,
    starts: &[usize],
    index: usize,
    n: usize,
    still: &'a [T],
    direction: &'a [T],
    tangents: &'a [T],
) -> Along<'a, T> {
    let x = if index == 0 { still } else { &tangents[starts[index - 1]..][..n * net.layers()[index].inputs()] };
    Along { w: &direction[net.range(index)], x }
}

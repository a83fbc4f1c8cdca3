use std::sync::Arc;

use handgrad_kernels::{Acc, Buffer, Context, Real, View, ViewMut};

use super::Net;
use crate::error::{Result, refuse};
use crate::layers::{Along, At};
use crate::loss::{Loss, Targets};

/// A network laid out for batches of up to a fixed size on one device: all memory that a forward and a backward pass need,
/// allocated once.
#[derive(Debug)]
pub struct Plan<T: Real> {
    net: Arc<Net<T>>,
    batch: usize,
    /// Outputs of every layer, each `batch` rows.
    values: Buffer<T>,
    /// Derivatives of the loss by those outputs; empty until a backward pass is asked for.
    gradients: Buffer<T>,
    /// Derivatives of `values` and of `gradients` along a direction; empty until a Hessian-vector product is asked for.
    tangents: [Buffer<T>; 2],
    /// Where a layer's outputs start in each of these; the total at the end.
    starts: Vec<usize>,
}

/// Where a network is evaluated: n samples x (n x inputs) and the network's parameters.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a, T: Real> {
    /// Samples.
    pub n: usize,
    /// Inputs, n rows.
    pub x: View<'a, T>,
    /// Parameters.
    pub params: View<'a, T>,
}

/// A problem to differentiate: parameters, inputs, targets and a loss.
#[derive(Clone, Copy, Debug)]
pub struct Objective<'a, T: Real> {
    /// Loss over the outputs.
    pub loss: Loss,
    /// Inputs and parameters.
    pub point: Point<'a, T>,
    /// Targets, as the loss takes them.
    pub target: Targets<'a, T>,
}

impl<T: Real> Plan<T> {
    /// Memory for batches of at most `batch` samples on the context's device, which all calls must have.
    ///
    /// # Errors
    /// If the batch is empty or the device has no room.
    pub fn new(cx: &Context, net: Arc<Net<T>>, batch: usize) -> Result<Plan<T>> {
        if batch == 0 {
            return refuse!("a batch of 0 samples, expected at least 1");
        }
        let mut starts = vec![0];
        for layer in net.layers() {
            starts.push(starts[starts.len() - 1] + batch * layer.outputs());
        }
        let empty = || Buffer::zeros(cx, 0);
        let values = Buffer::zeros(cx, starts[starts.len() - 1])?;
        Ok(Plan { net, batch, values, gradients: empty()?, tangents: [empty()?, empty()?], starts })
    }

    /// The network.
    pub fn net(&self) -> &Net<T> {
        &self.net
    }

    /// Outputs h(x_i) of n samples, n x outputs.
    ///
    /// # Errors
    /// If n is zero or above the plan's batch, or a length does not fit.
    pub fn forward(&mut self, cx: &Context, point: Point<'_, T>) -> Result<View<'_, T>> {
        self.check(point)?;
        let Plan { net, starts, values, .. } = self;
        let mut values = values.view_mut();
        for (index, layer) in net.layers().iter().enumerate() {
            let (before, mut after) = values.split_at(starts[index])?;
            let at = at(net, starts, index, point, before.view())?;
            layer.forward(cx, at, after.part(0, point.n * layer.outputs())?)?;
        }
        self.outputs(point.n)
    }

    /// Outputs of the last forward pass over n samples.
    ///
    /// # Errors
    /// If n is above the plan's batch.
    pub fn outputs(&self, n: usize) -> Result<View<'_, T>> {
        self.layer_values(self.net.layers().len() - 1, n)
    }

    /// Outputs of a layer in the last forward pass over n samples.
    ///
    /// # Errors
    /// As [`Plan::outputs`].
    pub fn layer_values(&self, layer: usize, n: usize) -> Result<View<'_, T>> {
        Ok(self.values.view().part(self.starts[layer], n * self.net.layers()[layer].outputs())?)
    }

    /// After [`Plan::forward`] at the same point: dparams = Σ_i (∂h(x_i)/∂params)ᵀ dy_i.
    ///
    /// # Errors
    /// As [`Plan::forward`].
    pub fn backward(
        &mut self,
        cx: &Context,
        point: Point<'_, T>,
        dy: View<'_, T>,
        mut dparams: ViewMut<'_, T>,
        acc: Acc,
    ) -> Result<()> {
        self.check(point)?;
        self.backward_data(cx, point, dy)?;
        for (index, layer) in self.net.layers().iter().enumerate() {
            let at = at(&self.net, &self.starts, index, point, self.values.view())?;
            let range = self.net.range(index);
            layer.backward_weight(
                cx,
                at,
                self.layer_gradient(index, point.n, dy)?,
                dparams.part(range.start, range.len())?,
                acc,
            )?;
        }
        Ok(())
    }

    /// Gradients of one output alone, ∂h_output(x_i)/∂params, as rows of n x params.
    ///
    /// # Errors
    /// As [`Plan::forward`], and if there is no such output.
    pub fn sample_gradients(&mut self, cx: &Context, point: Point<'_, T>, output: usize, mut rows: ViewMut<'_, T>) -> Result<()> {
        let outputs = self.net.outputs();
        if output >= outputs {
            return refuse!("output {output} of a network with {outputs}; ask for 0 to {}", outputs - 1);
        }
        self.forward(cx, point)?;
        let mut dy = vec![T::ZERO; point.n * outputs];
        dy.chunks_exact_mut(outputs).for_each(|row| row[output] = T::ONE);
        let dy = Buffer::from_slice(cx, &dy)?;
        self.backward_data(cx, point, dy.view())?;
        let stride = self.net.params();
        for (index, layer) in self.net.layers().iter().enumerate() {
            let at = at(&self.net, &self.starts, index, point, self.values.view())?;
            let (start, all) = (self.net.range(index).start, rows.len());
            let rows = rows.part(start, all.saturating_sub(start))?;
            layer.sample_gradients(cx, at, self.layer_gradient(index, point.n, dy.view())?, rows, stride)?;
        }
        Ok(())
    }

    /// The loss.
    ///
    /// # Errors
    /// As [`Plan::forward`], and if the targets do not fit the loss.
    pub fn loss(&mut self, cx: &Context, objective: &Objective<'_, T>) -> Result<T> {
        let outputs = self.net.outputs();
        objective.loss.forward(cx, outputs, self.forward(cx, objective.point)?, objective.target)
    }

    /// The gradient of the loss.
    ///
    /// # Errors
    /// As [`Plan::loss`].
    pub fn gradient(&mut self, cx: &Context, objective: &Objective<'_, T>, gradient: ViewMut<'_, T>) -> Result<()> {
        let dy = self.output_gradient(cx, objective)?;
        self.backward(cx, objective.point, dy.view(), gradient, Acc::Set)
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
        direction: View<'_, T>,
        mut product: ViewMut<'_, T>,
    ) -> Result<()> {
        let Objective { loss, point, target } = *objective;
        let n = point.n;
        let dy = self.output_gradient(cx, objective)?;
        self.backward_data(cx, point, dy.view())?;

        grown(cx, &mut self.tangents[0], self.values.len())?;
        grown(cx, &mut self.tangents[1], self.values.len())?;
        let still = Buffer::zeros(cx, point.x.len())?;
        let Plan { net, values, gradients, tangents: [value_tangents, gradient_tangents], starts, .. } = self;
        let mut value_tangents = value_tangents.view_mut();
        for (index, layer) in net.layers().iter().enumerate() {
            let (before, mut after) = value_tangents.split_at(starts[index])?;
            let at = at(net, starts, index, point, values.view())?;
            let along = along(net, starts, index, n, still.view(), direction, before.view())?;
            layer.forward_tangent(cx, at, along, after.part(0, n * layer.outputs())?)?;
        }
        let (last, outputs) = (net.layers().len() - 1, net.outputs());
        let mut gradient_tangents = gradient_tangents.view_mut();
        loss.backward_tangent(
            cx,
            outputs,
            (values.view().part(starts[last], n * outputs)?, value_tangents.view().part(starts[last], n * outputs)?),
            target,
            gradient_tangents.part(starts[last], n * outputs)?,
        )?;
        for (index, layer) in net.layers().iter().enumerate().rev() {
            let (mut before, after) = gradient_tangents.split_at(starts[index])?;
            let at = at(net, starts, index, point, values.view())?;
            let along = along(net, starts, index, n, still.view(), direction, value_tangents.view())?;
            let rows = n * layer.outputs();
            let dy = if index == last { dy.view() } else { gradients.view().part(starts[index], rows)? };
            let (dy_tangent, range) = (after.view().part(0, rows)?, net.range(index));
            layer.backward_weight_tangent(cx, at, along, dy, dy_tangent, product.part(range.start, range.len())?)?;
            if index > 0 {
                let dx_tangent = before.part(starts[index - 1], n * layer.inputs())?;
                layer.backward_data_tangent(cx, at, along, dy, dy_tangent, dx_tangent)?;
            }
        }
        Ok(())
    }

    /// ∂L/∂h, after a forward pass.
    fn output_gradient(&mut self, cx: &Context, objective: &Objective<'_, T>) -> Result<Buffer<T>> {
        let outputs = self.net.outputs();
        let mut dy = Buffer::zeros(cx, objective.point.n * outputs)?;
        let y = self.forward(cx, objective.point)?;
        objective.loss.backward(cx, outputs, y, objective.target, dy.view_mut())?;
        Ok(dy)
    }

    /// Leaves ∂L/∂(outputs of every layer but the last) in `gradients`; of the last they are `dy`.
    fn backward_data(&mut self, cx: &Context, point: Point<'_, T>, dy: View<'_, T>) -> Result<()> {
        grown(cx, &mut self.gradients, self.values.len())?;
        let Plan { net, starts, values, gradients, .. } = self;
        let (n, last) = (point.n, net.layers().len() - 1);
        let mut gradients = gradients.view_mut();
        for (index, layer) in net.layers().iter().enumerate().skip(1).rev() {
            let (mut before, after) = gradients.split_at(starts[index])?;
            let at = at(net, starts, index, point, values.view())?;
            let dy = if index == last { dy } else { after.view().part(0, n * layer.outputs())? };
            layer.backward_data(cx, at, dy, before.part(starts[index - 1], n * layer.inputs())?)?;
        }
        Ok(())
    }

    /// What [`Plan::backward_data`] left for a layer's outputs.
    fn layer_gradient<'a>(&'a self, index: usize, n: usize, dy: View<'a, T>) -> Result<View<'a, T>> {
        let layers = self.net.layers();
        match index + 1 == layers.len() {
            true => Ok(dy),
            false => Ok(self.gradients.view().part(self.starts[index], n * layers[index].outputs())?),
        }
    }

    fn check(&self, Point { n, x, params }: Point<'_, T>) -> Result<()> {
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

/// Makes a buffer of `len` elements of an empty one.
fn grown<T: Real>(cx: &Context, buffer: &mut Buffer<T>, len: usize) -> Result<()> {
    if buffer.len() < len {
        *buffer = Buffer::zeros(cx, len)?;
    }
    Ok(())
}

/// Where a layer is evaluated: its inputs are the network's, or the outputs of the layer before it.
fn at<'a, T: Real>(
    net: &Net<T>,
    starts: &[usize],
    index: usize,
    Point { n, x, params }: Point<'a, T>,
    values: View<'a, T>,
) -> Result<At<'a, T>> {
    let (inputs, range) = (net.layers()[index].inputs(), net.range(index));
    let x = if index == 0 { x } else { values.part(starts[index - 1], n * inputs)? };
    Ok(At { n, w: params.part(range.start, range.len())?, x })
}

/// A direction at a layer: the network's inputs stand still.
fn along<'a, T: Real>(
    net: &Net<T>,
    starts: &[usize],
    index: usize,
    n: usize,
    still: View<'a, T>,
    direction: View<'a, T>,
    tangents: View<'a, T>,
) -> Result<Along<'a, T>> {
    let (inputs, range) = (net.layers()[index].inputs(), net.range(index));
    let x = if index == 0 { still } else { tangents.part(starts[index - 1], n * inputs)? };
    Ok(Along { w: direction.part(range.start, range.len())?, x })
}

use std::ops::Range;
use std::sync::Arc;

use handgrad_kernels::{Acc, Buffer, Context, Real, View, ViewMut};

use super::gradients::{Gradients, Keep};
use super::net::{Net, Node, Source};
use crate::error::{Result, refuse};
use crate::layers::{Along, At, Layer};
use crate::loss::{Loss, Targets};

/// A network laid out for batches of up to a fixed size on one device: all memory that a forward and a backward pass need,
/// allocated once.
#[derive(Debug)]
pub struct Plan<T: Real> {
    net: Arc<Net<T>>,
    batch: usize,
    /// Outputs of every node, each `batch` rows.
    values: Buffer<T>,
    /// What every node's forward pass in training left for its backward pass.
    saved: Buffer<T>,
    /// Derivatives of the loss by those outputs, in a pass that needs them for a moment, and in one that leaves them all.
    gradients: Gradients<T>,
    all_gradients: Gradients<T>,
    /// Derivatives of `values` and of `all_gradients` along a direction; empty until a Hessian-vector product is asked for.
    tangents: [Buffer<T>; 2],
    /// Where a node's outputs start in each of these; the total at the end.
    starts: Vec<usize>,
    /// The same in `saved`.
    saved_starts: Vec<usize>,
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
    /// Running statistics, for [`Plan::forward`]; training does not look at them.
    pub statistics: View<'a, T>,
}

impl<'a, T: Real> Point<'a, T> {
    /// Without running statistics.
    pub fn new(n: usize, x: View<'a, T>, params: View<'a, T>) -> Point<'a, T> {
        Point { n, x, params, statistics: View::Host(&[]) }
    }
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
        let (mut starts, mut saved_starts) = (vec![0], vec![0]);
        for (index, node) in net.nodes().iter().enumerate() {
            starts.push(starts[index] + batch * node.layer.outputs());
            saved_starts.push(saved_starts[index] + node.layer.saved());
        }
        let empty = || Buffer::zeros(cx, 0);
        let values = Buffer::zeros(cx, starts[starts.len() - 1])?;
        let saved = Buffer::zeros(cx, saved_starts[starts.len() - 1])?;
        let (gradients, all_gradients, tangents) = (Gradients::none(), Gradients::none(), [empty()?, empty()?]);
        Ok(Plan { net, batch, values, saved, gradients, all_gradients, tangents, starts, saved_starts })
    }

    /// The network.
    pub fn net(&self) -> &Net<T> {
        &self.net
    }

    /// Outputs h(x_i) of n samples, n x outputs, with the running statistics where the network has them.
    ///
    /// # Errors
    /// If n is zero or above the plan's batch, or a length does not fit.
    pub fn forward(&mut self, cx: &Context, point: Point<'_, T>) -> Result<View<'_, T>> {
        if point.statistics.len() != self.net.statistics() {
            let (got, wanted) = (point.statistics.len(), self.net.statistics());
            return refuse!("{got} running statistics, expected {wanted} for this network");
        }
        self.forward_by(point, |layer, at, y, _| layer.forward(cx, at, y))
    }

    /// The same in training: with the statistics of this batch, and ready for [`Plan::backward`].
    ///
    /// # Errors
    /// As [`Plan::forward`].
    pub fn forward_train(&mut self, cx: &Context, point: Point<'_, T>) -> Result<View<'_, T>> {
        let point = Point { statistics: View::Host(&[]), ..point };
        self.forward_by(point, |layer, at, y, saved| layer.forward_train(cx, at, y, saved))
    }

    fn forward_by(
        &mut self,
        point: Point<'_, T>,
        pass: impl Fn(&dyn Layer<T>, At<'_, T>, ViewMut<'_, T>, ViewMut<'_, T>) -> Result<()>,
    ) -> Result<View<'_, T>> {
        self.check(point)?;
        let Plan { net, starts, values, saved, saved_starts, .. } = self;
        let (mut values, mut saved) = (values.view_mut(), saved.view_mut());
        for (index, Node { layer, .. }) in net.nodes().iter().enumerate() {
            let (before, mut after) = values.split_at(starts[index])?;
            let mut at = at(net, starts, index, point, before.view())?;
            if !point.statistics.is_empty() {
                let range = net.statistics_range(index);
                at.statistics = point.statistics.part(range.start, range.len())?;
            }
            let saved = saved.part(saved_starts[index], layer.saved())?;
            pass(&**layer, at, after.part(0, point.n * layer.outputs())?, saved)?;
        }
        self.outputs(point.n)
    }

    /// Moves the running statistics on by what the last [`Plan::forward_train`] over n samples saw: a share of the way there, by
    /// default the layers' own.
    ///
    /// # Errors
    /// If the length does not fit.
    pub fn move_statistics(&self, cx: &Context, n: usize, share: Option<f64>, mut statistics: ViewMut<'_, T>) -> Result<()> {
        for (index, Node { layer, .. }) in self.net.nodes().iter().enumerate() {
            let range = self.net.statistics_range(index);
            if !range.is_empty() {
                let saved = self.saved.view().part(self.saved_starts[index], layer.saved())?;
                layer.move_statistics(cx, n, share, saved, statistics.part(range.start, range.len())?)?;
            }
        }
        Ok(())
    }

    /// Outputs of the last forward pass over n samples.
    ///
    /// # Errors
    /// If n is above the plan's batch.
    pub fn outputs(&self, n: usize) -> Result<View<'_, T>> {
        self.node_values(self.net.nodes().len() - 1, n)
    }

    /// Outputs of a node in the last forward pass over n samples.
    ///
    /// # Errors
    /// As [`Plan::outputs`].
    pub fn node_values(&self, node: usize, n: usize) -> Result<View<'_, T>> {
        Ok(self.values.view().part(self.starts[node], n * self.net.nodes()[node].layer.outputs())?)
    }

    /// After [`Plan::forward_train`] at the same point: dparams = Σ_i (∂h(x_i)/∂params)ᵀ dy_i.
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
        self.backward_by(cx, point, dy, Keep::None, |layer, at, range, dy, dx| {
            layer.backward(cx, at, dy, dx, (dparams.part(range.start, range.len())?, acc))
        })
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
        self.forward_train(cx, point)?;
        let mut dy = vec![T::ZERO; point.n * outputs];
        dy.chunks_exact_mut(outputs).for_each(|row| row[output] = T::ONE);
        let dy = Buffer::from_slice(cx, &dy)?;
        self.backward_data(cx, point, dy.view())?;
        let stride = self.net.params();
        for (index, Node { layer, .. }) in self.net.nodes().iter().enumerate() {
            let at = at(&self.net, &self.starts, index, point, self.values.view())?;
            let (start, all) = (self.net.range(index).start, rows.len());
            let rows = rows.part(start, all.saturating_sub(start))?;
            layer.sample_gradients(cx, at, self.layer_gradient(index, point.n, dy.view())?, rows, stride)?;
        }
        Ok(())
    }

    /// The loss, as training sees it.
    ///
    /// # Errors
    /// As [`Plan::forward`], and if the targets do not fit the loss.
    pub fn loss(&mut self, cx: &Context, objective: &Objective<'_, T>) -> Result<T> {
        let outputs = self.net.outputs();
        objective.loss.forward(cx, outputs, self.forward_train(cx, objective.point)?, objective.target)
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
        if !self.net.is_chain() {
            return refuse!("no products with the Hessian for networks with branches; leave out sharpness");
        }
        let dy = self.output_gradient(cx, objective)?;
        self.backward_data(cx, point, dy.view())?;

        grown(cx, &mut self.tangents[0], self.values.len())?;
        grown(cx, &mut self.tangents[1], self.values.len())?;
        let still = Buffer::zeros(cx, point.x.len())?;
        let Plan { net, values, all_gradients, tangents: [value_tangents, gradient_tangents], starts, .. } = self;
        let mut value_tangents = value_tangents.view_mut();
        for (index, Node { layer, .. }) in net.nodes().iter().enumerate() {
            let (before, mut after) = value_tangents.split_at(starts[index])?;
            let at = at(net, starts, index, point, values.view())?;
            let along = along(net, starts, index, n, still.view(), direction, before.view())?;
            layer.forward_tangent(cx, at, along, after.part(0, n * layer.outputs())?)?;
        }
        let (last, outputs) = (net.nodes().len() - 1, net.outputs());
        let mut gradient_tangents = gradient_tangents.view_mut();
        loss.backward_tangent(
            cx,
            outputs,
            (values.view().part(starts[last], n * outputs)?, value_tangents.view().part(starts[last], n * outputs)?),
            target,
            gradient_tangents.part(starts[last], n * outputs)?,
        )?;
        for (index, Node { layer, .. }) in net.nodes().iter().enumerate().rev() {
            let (mut before, after) = gradient_tangents.split_at(starts[index])?;
            let at = at(net, starts, index, point, values.view())?;
            let along = along(net, starts, index, n, still.view(), direction, value_tangents.view())?;
            let rows = n * layer.outputs();
            let dy = if index == last { dy.view() } else { all_gradients.view(index).part(0, rows)? };
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
        let y = self.forward_train(cx, objective.point)?;
        objective.loss.backward(cx, outputs, y, objective.target, dy.view_mut())?;
        Ok(dy)
    }

    /// Leaves ∂L/∂(outputs of every node but the last) in `all_gradients`; of the last they are `dy`.
    fn backward_data(&mut self, cx: &Context, point: Point<'_, T>, dy: View<'_, T>) -> Result<()> {
        self.backward_by(cx, point, dy, Keep::All, |layer, at, _, dy, dx| {
            dx.map_or(Ok(()), |(dx, acc)| layer.backward_data(cx, at, dy, dx, acc))
        })
    }

    /// Calls `pass` with every node from the last to the first: its layer, where it was evaluated, the place of its parameters,
    /// the gradient by its outputs, and where that by its inputs goes. The first taker of an output whose turn comes sets the
    /// gradient by it, the others add to it.
    fn backward_by(
        &mut self,
        cx: &Context,
        point: Point<'_, T>,
        dy: View<'_, T>,
        keep: Keep,
        mut pass: impl FnMut(&dyn Layer<T>, At<'_, T>, Range<usize>, View<'_, T>, Option<(ViewMut<'_, T>, Acc)>) -> Result<()>,
    ) -> Result<()> {
        let Plan { net, batch, starts, values, saved, saved_starts, .. } = self;
        let gradients = match keep {
            Keep::All => &mut self.all_gradients,
            Keep::None => &mut self.gradients,
        };
        gradients.prepare(cx, net, *batch, keep)?;
        let (n, last) = (point.n, net.nodes().len() - 1);
        let mut written = vec![Acc::Set; last + 1];
        for (index, Node { layer, from, second, .. }) in net.nodes().iter().enumerate().rev() {
            let mut at = at(net, starts, index, point, values.view())?;
            at.saved = saved.view().part(saved_starts[index], layer.saved())?;
            let own = if index == last { None } else { Some(gradients.take(cx, index)?) };
            let dy = match &own {
                None => dy,
                Some(own) => own.view().part(0, n * layer.outputs())?,
            };
            let mut next = |source: usize| std::mem::replace(&mut written[source], Acc::Add);
            if let Some(Source::Node(source)) = *second {
                let (acc, mut dx) = (next(source), gradients.take(cx, source)?);
                layer.backward_second(cx, at, dy, dx.view_mut().part(0, n * layer.second_inputs())?, acc)?;
                gradients.put_back(source, dx);
            }
            match *from {
                Source::Input => pass(&**layer, at, net.range(index), dy, None)?,
                Source::Node(source) => {
                    let (acc, mut dx) = (next(source), gradients.take(cx, source)?);
                    let mut whole = dx.view_mut();
                    pass(&**layer, at, net.range(index), dy, Some((whole.part(0, n * layer.inputs())?, acc)))?;
                    gradients.put_back(source, dx);
                }
            }
            if let Some(own) = own {
                gradients.put_back(index, own);
            }
        }
        Ok(())
    }

    /// What [`Plan::backward_data`] left for a node's outputs.
    fn layer_gradient<'a>(&'a self, index: usize, n: usize, dy: View<'a, T>) -> Result<View<'a, T>> {
        let nodes = self.net.nodes();
        match index + 1 == nodes.len() {
            true => Ok(dy),
            false => Ok(self.all_gradients.view(index).part(0, n * nodes[index].layer.outputs())?),
        }
    }

    fn check(&self, Point { n, x, params, .. }: Point<'_, T>) -> Result<()> {
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

/// Where a node is evaluated: its inputs are the network's, or the outputs of earlier nodes.
fn at<'a, T: Real>(net: &Net<T>, starts: &[usize], index: usize, point: Point<'a, T>, values: View<'a, T>) -> Result<At<'a, T>> {
    let (Node { layer, from, second, .. }, range) = (&net.nodes()[index], net.range(index));
    let input = |source: Source, width: usize| match source {
        Source::Input => Ok(point.x),
        Source::Node(source) => values.part(starts[source], point.n * width),
    };
    let at = At::new(point.n, point.params.part(range.start, range.len())?, input(*from, layer.inputs())?);
    Ok(match *second {
        None => at,
        Some(source) => At { second: input(source, layer.second_inputs())?, ..at },
    })
}

/// A direction at a layer of a chain: the network's inputs stand still.
fn along<'a, T: Real>(
    net: &Net<T>,
    starts: &[usize],
    index: usize,
    n: usize,
    still: View<'a, T>,
    direction: View<'a, T>,
    tangents: View<'a, T>,
) -> Result<Along<'a, T>> {
    let (inputs, range) = (net.nodes()[index].layer.inputs(), net.range(index));
    let x = if index == 0 { still } else { tangents.part(starts[index - 1], n * inputs)? };
    Ok(Along { w: direction.part(range.start, range.len())?, x })
}

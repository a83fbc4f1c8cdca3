mod hessian;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use handgrad_kernels::{Acc, Buffer, Context, Real, View, ViewMut};

use super::gradients::{Gradients, Keep};
use super::net::{Net, Source};
use super::program::{Operation, Program};
use crate::error::{Result, refuse};
use crate::layers::{At, Gradient, Layer};
use crate::loss::{Loss, Targets};

/// A network laid out for batches of up to a fixed size on one device: all memory that a forward and a backward pass need,
/// allocated once.
#[derive(Debug)]
pub struct Plan<T: Real> {
    net: Arc<Net<T>>,
    program: Program<T>,
    batch: usize,
    /// Outputs of every operation, each `batch` rows.
    values: Buffer<T>,
    /// What every operation's forward pass in training left for its backward pass.
    saved: Buffer<T>,
    /// Derivatives of the loss by those outputs, in a pass that needs them for a moment, and in one that leaves them all.
    gradients: Gradients<T>,
    all_gradients: Gradients<T>,
    /// Derivatives of `values` and of `all_gradients` along a direction; empty until a Hessian-vector product is asked for.
    tangents: [Buffer<T>; 2],
    /// Where an operation's outputs start in each of these; the total at the end.
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
    /// Memory for batches of at most `batch` samples on the context's device, which all calls must have. A batch
    /// normalisation, a residual and the ReLU that follow it are one operation where nobody else takes what is between them, and
    /// the network names none of it as hidden features; the numbers are those of [`Plan::unfused`].
    ///
    /// # Errors
    /// If the batch is empty or the device has no room.
    pub fn new(cx: &Context, net: Arc<Net<T>>, batch: usize) -> Result<Plan<T>> {
        let program = Program::fused(&net);
        Plan::of(cx, net, program, batch)
    }

    /// The same with every node by itself, so that all have values.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn unfused(cx: &Context, net: Arc<Net<T>>, batch: usize) -> Result<Plan<T>> {
        let program = Program::plain(&net);
        Plan::of(cx, net, program, batch)
    }

    fn of(cx: &Context, net: Arc<Net<T>>, program: Program<T>, batch: usize) -> Result<Plan<T>> {
        if batch == 0 {
            return refuse!("a batch of 0 samples, expected at least 1");
        }
        let (mut starts, mut saved_starts) = (vec![0], vec![0]);
        for (index, operation) in program.operations.iter().enumerate() {
            starts.push(starts[index] + batch * operation.layer.outputs());
            saved_starts.push(saved_starts[index] + operation.layer.saved());
        }
        let empty = || Buffer::zeros(cx, 0);
        let values = Buffer::zeros(cx, starts[starts.len() - 1])?;
        let saved = Buffer::zeros(cx, saved_starts[starts.len() - 1])?;
        let (gradients, all_gradients, tangents) = (Gradients::none(), Gradients::none(), [empty()?, empty()?]);
        Ok(Plan { net, program, batch, values, saved, gradients, all_gradients, tangents, starts, saved_starts })
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
        let Plan { program, starts, values, saved, saved_starts, .. } = self;
        let (mut values, mut saved) = (values.view_mut(), saved.view_mut());
        for (index, Operation { layer, statistics, .. }) in program.operations.iter().enumerate() {
            let (before, mut after) = values.split_at(starts[index])?;
            let mut at = program.at(index, starts, point, before.view())?;
            if !point.statistics.is_empty() {
                at.statistics = point.statistics.part(statistics.start, statistics.len())?;
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
        for (index, Operation { layer, statistics: range, .. }) in self.program.operations.iter().enumerate() {
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
        self.operation_values(self.program.operations.len() - 1, n)
    }

    /// Outputs of a node in the last forward pass over n samples.
    ///
    /// # Errors
    /// As [`Plan::outputs`], and if there is no such node or it is part of one operation with those that follow it.
    pub fn node_values(&self, node: usize, n: usize) -> Result<View<'_, T>> {
        match self.program.of_node.get(node) {
            Some(&Some(operation)) => self.operation_values(operation, n),
            Some(None) => {
                let name = &self.net.nodes()[node].name;
                refuse!("node {node} (`{name}`) is one operation with those that follow it; its values are in a Plan::unfused")
            }
            None => refuse!("node {node} of a network with {}", self.net.nodes().len()),
        }
    }

    fn operation_values(&self, operation: usize, n: usize) -> Result<View<'_, T>> {
        Ok(self.values.view().part(self.starts[operation], n * self.program.operations[operation].layer.outputs())?)
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
        self.backward_by(cx, point, dy, Keep::None, |layer, at, range, dy, inputs| {
            layer.backward(cx, at, dy, inputs, (dparams.part(range.start, range.len())?, acc))
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
        for (index, Operation { layer, params, .. }) in self.program.operations.iter().enumerate() {
            let at = self.program.at(index, &self.starts, point, self.values.view())?;
            let (start, all) = (params.start, rows.len());
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

    /// ∂L/∂h, after a forward pass.
    fn output_gradient(&mut self, cx: &Context, objective: &Objective<'_, T>) -> Result<Buffer<T>> {
        let outputs = self.net.outputs();
        let mut dy = Buffer::zeros(cx, objective.point.n * outputs)?;
        let y = self.forward_train(cx, objective.point)?;
        objective.loss.backward(cx, outputs, y, objective.target, dy.view_mut())?;
        Ok(dy)
    }

    /// Leaves ∂L/∂(outputs of every operation but the last) in `all_gradients`; of the last they are `dy`.
    fn backward_data(&mut self, cx: &Context, point: Point<'_, T>, dy: View<'_, T>) -> Result<()> {
        self.backward_by(cx, point, dy, Keep::All, |layer, at, _, dy, [dx, second]| {
            second.map_or(Ok(()), |(ds, acc)| layer.backward_second(cx, at, dy, ds, acc))?;
            dx.map_or(Ok(()), |(dx, acc)| layer.backward_data(cx, at, dy, dx, acc))
        })
    }

    /// Calls `pass` with every operation from the last to the first: its layer, where it was evaluated, the place of its
    /// parameters, the gradient by its outputs, and where those by its inputs go. The first taker of an output whose turn comes
    /// sets the gradient by it, the others add to it.
    fn backward_by(
        &mut self,
        cx: &Context,
        point: Point<'_, T>,
        dy: View<'_, T>,
        keep: Keep,
        mut pass: impl FnMut(&dyn Layer<T>, At<'_, T>, Range<usize>, View<'_, T>, [Option<Gradient<'_, T>>; 2]) -> Result<()>,
    ) -> Result<()> {
        let Plan { program, batch, starts, values, saved, saved_starts, .. } = self;
        let gradients = match keep {
            Keep::All => &mut self.all_gradients,
            Keep::None => &mut self.gradients,
        };
        gradients.prepare(cx, &program.operations, *batch, keep)?;
        let (n, last) = (point.n, program.operations.len() - 1);
        let mut written = vec![Acc::Set; last + 1];
        for (index, Operation { layer, from, second, params, .. }) in program.operations.iter().enumerate().rev() {
            let mut at = program.at(index, starts, point, values.view())?;
            at.saved = saved.view().part(saved_starts[index], layer.saved())?;
            at.y = values.view().part(starts[index], n * layer.outputs())?;
            let own = if index == last { None } else { Some(gradients.take(cx, index)?) };
            let dy = match &own {
                None => dy,
                Some(own) => own.view().part(0, n * layer.outputs())?,
            };
            let mut inputs = [None, None];
            for (input, source) in inputs.iter_mut().zip([Some(*from), *second]) {
                if let Some(Source::Node(source)) = source {
                    let acc = std::mem::replace(&mut written[source], Acc::Add);
                    *input = Some((source, gradients.take(cx, source)?, acc));
                }
            }
            let mut whole = inputs.each_mut().map(|input| input.as_mut().map(|(_, buffer, acc)| (buffer.view_mut(), *acc)));
            let mut asked = [None, None];
            for ((asked, whole), width) in asked.iter_mut().zip(&mut whole).zip([layer.inputs(), layer.second_inputs()]) {
                if let Some((whole, acc)) = whole {
                    *asked = Some((whole.part(0, n * width)?, *acc));
                }
            }
            pass(&**layer, at, params.clone(), dy, asked)?;
            for (source, buffer, _) in inputs.into_iter().flatten() {
                gradients.put_back(source, buffer);
            }
            if let Some(own) = own {
                gradients.put_back(index, own);
            }
        }
        Ok(())
    }

    /// What [`Plan::backward_data`] left for an operation's outputs.
    fn layer_gradient<'a>(&'a self, index: usize, n: usize, dy: View<'a, T>) -> Result<View<'a, T>> {
        let operations = &self.program.operations;
        match index + 1 == operations.len() {
            true => Ok(dy),
            false => Ok(self.all_gradients.view(index).part(0, n * operations[index].layer.outputs())?),
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

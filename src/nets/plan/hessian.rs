use handgrad_kernels::{Buffer, Context, Real, View, ViewMut};

use super::{Objective, Plan};
use crate::error::{Result, refuse};
use crate::layers::Along;
use crate::nets::program::Operation;

impl<T: Real> Plan<T> {
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
        let outputs = self.net.outputs();
        let Plan { program, values, all_gradients, tangents: [value_tangents, gradient_tangents], starts, .. } = self;
        let operations = &program.operations;
        let mut value_tangents = value_tangents.view_mut();
        for (index, Operation { layer, .. }) in operations.iter().enumerate() {
            let (before, mut after) = value_tangents.split_at(starts[index])?;
            let at = program.at(index, starts, point, values.view())?;
            let along = along(operations, starts, index, n, still.view(), direction, before.view())?;
            layer.forward_tangent(cx, at, along, after.part(0, n * layer.outputs())?)?;
        }
        let last = operations.len() - 1;
        let mut gradient_tangents = gradient_tangents.view_mut();
        loss.backward_tangent(
            cx,
            outputs,
            (values.view().part(starts[last], n * outputs)?, value_tangents.view().part(starts[last], n * outputs)?),
            target,
            gradient_tangents.part(starts[last], n * outputs)?,
        )?;
        for (index, Operation { layer, params: range, .. }) in operations.iter().enumerate().rev() {
            let (mut before, after) = gradient_tangents.split_at(starts[index])?;
            let at = program.at(index, starts, point, values.view())?;
            let along = along(operations, starts, index, n, still.view(), direction, value_tangents.view())?;
            let rows = n * layer.outputs();
            let dy = if index == last { dy.view() } else { all_gradients.view(index).part(0, rows)? };
            let dy_tangent = after.view().part(0, rows)?;
            layer.backward_weight_tangent(cx, at, along, dy, dy_tangent, product.part(range.start, range.len())?)?;
            if index > 0 {
                let dx_tangent = before.part(starts[index - 1], n * layer.inputs())?;
                layer.backward_data_tangent(cx, at, along, dy, dy_tangent, dx_tangent)?;
            }
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

/// A direction at an operation of a chain: the network's inputs stand still.
fn along<'a, T: Real>(
    operations: &[Operation<T>],
    starts: &[usize],
    index: usize,
    n: usize,
    still: View<'a, T>,
    direction: View<'a, T>,
    tangents: View<'a, T>,
) -> Result<Along<'a, T>> {
    let Operation { layer, params, .. } = &operations[index];
    let x = if index == 0 { still } else { tangents.part(starts[index - 1], n * layer.inputs())? };
    Ok(Along { w: direction.part(params.start, params.len())?, x })
}

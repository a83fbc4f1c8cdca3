use handgrad_kernels::linear::{LinearShape, linear_backward_bias, linear_backward_data, linear_backward_weight, linear_forward};
use handgrad_kernels::{Acc, Context, Real, View, ViewMut};

use super::{Along, At, Layer, Slot};
use crate::error::Result;

/// y = W x + b; parameters: W (outputs x inputs, row-major), then b if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    /// Columns of W.
    pub inputs: usize,
    /// Rows of W.
    pub outputs: usize,
    /// Whether there is b.
    pub bias: bool,
}

impl Linear {
    fn shape(self, n: usize) -> LinearShape {
        LinearShape { n, inputs: self.inputs, outputs: self.outputs }
    }

    /// Numbers in W.
    fn weights(self) -> usize {
        self.inputs * self.outputs
    }

    fn weight<T: Real>(self, w: View<'_, T>) -> Result<View<'_, T>> {
        Ok(w.part(0, self.weights())?)
    }

    fn bias<T: Real>(self, w: View<'_, T>) -> Result<Option<View<'_, T>>> {
        Ok(if self.bias { Some(w.part(self.weights(), self.outputs)?) } else { None })
    }
}

impl<T: Real> Layer<T> for Linear {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn slots(&self) -> Vec<Slot> {
        let bias = self.bias.then(|| Slot::new("bias", &[self.outputs]));
        [Slot::new("weight", &[self.outputs, self.inputs])].into_iter().chain(bias).collect()
    }

    fn forward(&self, cx: &Context, at: At<'_, T>, y: ViewMut<'_, T>) -> Result<()> {
        Ok(linear_forward(cx, &self.shape(at.n), at.x, self.weight(at.w)?, self.bias(at.w)?, y, Acc::Set)?)
    }

    fn backward_data(&self, cx: &Context, at: At<'_, T>, dy: View<'_, T>, dx: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        Ok(linear_backward_data(cx, &self.shape(at.n), self.weight(at.w)?, dy, dx, acc)?)
    }

    fn backward_weight(&self, cx: &Context, at: At<'_, T>, dy: View<'_, T>, mut dw: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        let (weight, bias) = dw.split_at(self.weights())?;
        linear_backward_weight(cx, &self.shape(at.n), at.x, dy, weight, acc)?;
        if self.bias {
            linear_backward_bias(cx, &self.shape(at.n), dy, bias, acc)?;
        }
        Ok(())
    }

    fn forward_tangent(&self, cx: &Context, at: At<'_, T>, along: Along<'_, T>, mut y_tangent: ViewMut<'_, T>) -> Result<()> {
        let (shape, bias_tangent) = (self.shape(at.n), self.bias(along.w)?);
        linear_forward(cx, &shape, at.x, self.weight(along.w)?, bias_tangent, y_tangent.reborrow(), Acc::Set)?;
        Ok(linear_forward(cx, &shape, along.x, self.weight(at.w)?, None, y_tangent, Acc::Add)?)
    }

    fn backward_data_tangent(
        &self,
        cx: &Context,
        at: At<'_, T>,
        along: Along<'_, T>,
        dy: View<'_, T>,
        dy_tangent: View<'_, T>,
        mut dx_tangent: ViewMut<'_, T>,
    ) -> Result<()> {
        let shape = self.shape(at.n);
        linear_backward_data(cx, &shape, self.weight(along.w)?, dy, dx_tangent.reborrow(), Acc::Set)?;
        Ok(linear_backward_data(cx, &shape, self.weight(at.w)?, dy_tangent, dx_tangent, Acc::Add)?)
    }

    fn backward_weight_tangent(
        &self,
        cx: &Context,
        at: At<'_, T>,
        along: Along<'_, T>,
        dy: View<'_, T>,
        dy_tangent: View<'_, T>,
        mut dw_tangent: ViewMut<'_, T>,
    ) -> Result<()> {
        let shape = self.shape(at.n);
        let (mut weight, bias) = dw_tangent.split_at(self.weights())?;
        linear_backward_weight(cx, &shape, at.x, dy_tangent, weight.reborrow(), Acc::Set)?;
        linear_backward_weight(cx, &shape, along.x, dy, weight, Acc::Add)?;
        if self.bias {
            linear_backward_bias(cx, &shape, dy_tangent, bias, Acc::Set)?;
        }
        Ok(())
    }

    /// Outer products dy_i x_iᵀ, and dy_i for the bias.
    fn sample_gradients(
        &self,
        _: &Context,
        at: At<'_, T>,
        dy: View<'_, T>,
        mut rows: ViewMut<'_, T>,
        stride: usize,
    ) -> Result<()> {
        const OP: &str = "sample gradients";
        let samples = at.x.on_host(OP, "x")?.chunks_exact(self.inputs).zip(dy.on_host(OP, "dy")?.chunks_exact(self.outputs));
        for ((x, dy), row) in samples.zip(rows.on_host(OP, "rows")?.chunks_mut(stride)) {
            for (dw, &dy) in row.chunks_exact_mut(self.inputs).zip(dy) {
                dw.iter_mut().zip(x).for_each(|(dw, &x)| *dw = dy * x);
            }
            if self.bias {
                row[self.weights()..][..self.outputs].copy_from_slice(dy);
            }
        }
        Ok(())
    }
}

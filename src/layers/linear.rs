use handgrad_kernels::linear::{LinearShape, linear_backward_bias, linear_backward_data, linear_backward_weight, linear_forward};
use handgrad_kernels::{Acc, Context, Real};

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

    /// W and, if there is one, b.
    fn parts<T>(self, w: &[T]) -> (&[T], Option<&[T]>) {
        let (weight, bias) = w.split_at(self.inputs * self.outputs);
        (weight, self.bias.then_some(bias))
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

    fn forward(&self, cx: &Context, at: At<'_, T>, y: &mut [T]) -> Result<()> {
        let (weight, bias) = self.parts(at.w);
        Ok(linear_forward(cx, &self.shape(at.n), at.x.into(), weight.into(), bias.map(Into::into), y.into(), Acc::Set)?)
    }

    fn backward_data(&self, cx: &Context, at: At<'_, T>, dy: &[T], dx: &mut [T]) -> Result<()> {
        let (weight, _) = self.parts(at.w);
        Ok(linear_backward_data(cx, &self.shape(at.n), weight.into(), dy.into(), dx.into(), Acc::Set)?)
    }

    fn backward_weight(&self, cx: &Context, at: At<'_, T>, dy: &[T], dw: &mut [T], acc: Acc) -> Result<()> {
        let (weight, bias) = dw.split_at_mut(self.inputs * self.outputs);
        linear_backward_weight(cx, &self.shape(at.n), at.x.into(), dy.into(), weight.into(), acc)?;
        if self.bias {
            linear_backward_bias(cx, &self.shape(at.n), dy.into(), bias.into(), acc)?;
        }
        Ok(())
    }

    fn forward_tangent(&self, cx: &Context, at: At<'_, T>, along: Along<'_, T>, y_tangent: &mut [T]) -> Result<()> {
        let (shape, (weight, _), (weight_tangent, bias_tangent)) = (self.shape(at.n), self.parts(at.w), self.parts(along.w));
        let bias_tangent = bias_tangent.map(Into::into);
        linear_forward(cx, &shape, at.x.into(), weight_tangent.into(), bias_tangent, (&mut *y_tangent).into(), Acc::Set)?;
        Ok(linear_forward(cx, &shape, along.x.into(), weight.into(), None, y_tangent.into(), Acc::Add)?)
    }

    fn backward_data_tangent(
        &self,
        cx: &Context,
        at: At<'_, T>,
        along: Along<'_, T>,
        dy: &[T],
        dy_tangent: &[T],
        dx_tangent: &mut [T],
    ) -> Result<()> {
        let (shape, (weight, _), (weight_tangent, _)) = (self.shape(at.n), self.parts(at.w), self.parts(along.w));
        linear_backward_data(cx, &shape, weight_tangent.into(), dy.into(), (&mut *dx_tangent).into(), Acc::Set)?;
        Ok(linear_backward_data(cx, &shape, weight.into(), dy_tangent.into(), dx_tangent.into(), Acc::Add)?)
    }

    fn backward_weight_tangent(
        &self,
        cx: &Context,
        at: At<'_, T>,
        along: Along<'_, T>,
        dy: &[T],
        dy_tangent: &[T],
        dw_tangent: &mut [T],
    ) -> Result<()> {
        let shape = self.shape(at.n);
        let (weight, bias) = dw_tangent.split_at_mut(self.inputs * self.outputs);
        linear_backward_weight(cx, &shape, at.x.into(), dy_tangent.into(), (&mut *weight).into(), Acc::Set)?;
        linear_backward_weight(cx, &shape, along.x.into(), dy.into(), weight.into(), Acc::Add)?;
        if self.bias {
            linear_backward_bias(cx, &shape, dy_tangent.into(), bias.into(), Acc::Set)?;
        }
        Ok(())
    }

    /// Outer products dy_i x_iᵀ, and dy_i for the bias.
    fn sample_gradients(&self, _: &Context, at: At<'_, T>, dy: &[T], rows: &mut [T], stride: usize) -> Result<()> {
        let samples = at.x.chunks_exact(self.inputs).zip(dy.chunks_exact(self.outputs));
        for ((x, dy), row) in samples.zip(rows.chunks_mut(stride)) {
            for (dw, &dy) in row.chunks_exact_mut(self.inputs).zip(dy) {
                dw.iter_mut().zip(x).for_each(|(dw, &x)| *dw = dy * x);
            }
            if self.bias {
                row[self.inputs * self.outputs..][..self.outputs].copy_from_slice(dy);
            }
        }
        Ok(())
    }
}

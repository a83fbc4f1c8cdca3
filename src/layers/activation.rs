use handgrad_kernels::activation::{Activation, activation_backward, activation_backward_tangent, activation_forward};
use handgrad_kernels::{Context, Real};

use super::{Along, At, Layer};
use crate::error::Result;

/// y = φ(x), element by element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activate {
    /// φ.
    pub activation: Activation,
    /// Numbers per row.
    pub width: usize,
}

impl<T: Real> Layer<T> for Activate {
    fn inputs(&self) -> usize {
        self.width
    }

    fn outputs(&self) -> usize {
        self.width
    }

    fn forward(&self, cx: &Context, at: At<'_, T>, y: &mut [T]) -> Result<()> {
        Ok(activation_forward(cx, self.activation, at.x.into(), y.into())?)
    }

    fn backward_data(&self, cx: &Context, at: At<'_, T>, dy: &[T], dx: &mut [T]) -> Result<()> {
        Ok(activation_backward(cx, self.activation, at.x.into(), dy.into(), dx.into())?)
    }

    /// φ'(x) ẋ.
    fn forward_tangent(&self, cx: &Context, at: At<'_, T>, along: Along<'_, T>, y_tangent: &mut [T]) -> Result<()> {
        Ok(activation_backward(cx, self.activation, at.x.into(), along.x.into(), y_tangent.into())?)
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
        let (x, x_tangent) = (at.x.into(), along.x.into());
        Ok(activation_backward_tangent(cx, self.activation, x, x_tangent, dy.into(), dy_tangent.into(), dx_tangent.into())?)
    }
}

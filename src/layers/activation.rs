use handgrad_kernels::activation::{Activation, activation_backward, activation_backward_tangent, activation_forward};
use handgrad_kernels::{Acc, Context, Real, View, ViewMut};

use super::{Along, At, Layer, accumulated};
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

    fn forward(&self, cx: &Context, at: At<'_, T>, y: ViewMut<'_, T>) -> Result<()> {
        Ok(activation_forward(cx, self.activation, at.x, y)?)
    }

    fn backward_data(&self, cx: &Context, at: At<'_, T>, dy: View<'_, T>, dx: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        accumulated(cx, dx, acc, |dx| Ok(activation_backward(cx, self.activation, at.x, dy, dx)?))
    }

    /// φ'(x) ẋ.
    fn forward_tangent(&self, cx: &Context, at: At<'_, T>, along: Along<'_, T>, y_tangent: ViewMut<'_, T>) -> Result<()> {
        Ok(activation_backward(cx, self.activation, at.x, along.x, y_tangent)?)
    }

    fn backward_data_tangent(
        &self,
        cx: &Context,
        at: At<'_, T>,
        along: Along<'_, T>,
        dy: View<'_, T>,
        dy_tangent: View<'_, T>,
        dx_tangent: ViewMut<'_, T>,
    ) -> Result<()> {
        let (x, x_tangent) = (at.x, along.x);
        Ok(activation_backward_tangent(cx, self.activation, x, x_tangent, dy, dy_tangent, dx_tangent)?)
    }
}

use handgrad_kernels::avgpool::{AvgPoolShape, avgpool_backward, avgpool_forward};
use handgrad_kernels::{Acc, Context, Real, View, ViewMut};

use super::{Along, At, Layer, accumulated};
use crate::error::Result;

/// y_q = mean over pixels of x_pq: global average pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AveragePool {
    /// Pixels of an image.
    pub pixels: usize,
    /// Channels.
    pub channels: usize,
}

impl AveragePool {
    fn of(self, n: usize) -> AvgPoolShape {
        AvgPoolShape { n, pixels: self.pixels, c: self.channels }
    }
}

impl<T: Real> Layer<T> for AveragePool {
    fn inputs(&self) -> usize {
        self.pixels * self.channels
    }

    fn outputs(&self) -> usize {
        self.channels
    }

    fn forward(&self, cx: &Context, at: At<'_, T>, y: ViewMut<'_, T>) -> Result<()> {
        Ok(avgpool_forward(cx, &self.of(at.n), at.x, y)?)
    }

    fn backward_data(&self, cx: &Context, at: At<'_, T>, dy: View<'_, T>, dx: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        accumulated(cx, dx, acc, |dx| Ok(avgpool_backward(cx, &self.of(at.n), dy, dx)?))
    }

    fn forward_tangent(&self, cx: &Context, at: At<'_, T>, along: Along<'_, T>, y_tangent: ViewMut<'_, T>) -> Result<()> {
        Ok(avgpool_forward(cx, &self.of(at.n), along.x, y_tangent)?)
    }

    fn backward_data_tangent(
        &self,
        cx: &Context,
        at: At<'_, T>,
        _: Along<'_, T>,
        _: View<'_, T>,
        dy_tangent: View<'_, T>,
        dx_tangent: ViewMut<'_, T>,
    ) -> Result<()> {
        Ok(avgpool_backward(cx, &self.of(at.n), dy_tangent, dx_tangent)?)
    }
}

use handgrad_kernels::conv2d::{Conv2dShape, conv2d_backward_data, conv2d_backward_weight, conv2d_forward};
use handgrad_kernels::{Acc, Context, Real, View, ViewMut};

use super::{Along, At, Layer, Slot};
use crate::error::Result;

/// y = x * w, a convolution of images without bias; parameters: w (k x size x size x c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Sizes, for one image.
    pub shape: Conv2dShape,
}

impl Conv2d {
    fn of(self, n: usize) -> Conv2dShape {
        Conv2dShape { n, ..self.shape }
    }
}

impl<T: Real> Layer<T> for Conv2d {
    fn inputs(&self) -> usize {
        self.shape.h * self.shape.w * self.shape.c
    }

    fn outputs(&self) -> usize {
        let [rows, columns] = self.shape.out();
        rows * columns * self.shape.k
    }

    fn slots(&self) -> Vec<Slot> {
        let Conv2dShape { c, k, size, .. } = self.shape;
        vec![Slot::new("weight", &[k, size, size, c])]
    }

    fn forward(&self, cx: &Context, at: At<'_, T>, y: ViewMut<'_, T>) -> Result<()> {
        Ok(conv2d_forward(cx, &self.of(at.n), at.x, at.w, y, Acc::Set)?)
    }

    fn backward_data(&self, cx: &Context, at: At<'_, T>, dy: View<'_, T>, dx: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        Ok(conv2d_backward_data(cx, &self.of(at.n), at.w, dy, dx, acc)?)
    }

    fn backward_weight(&self, cx: &Context, at: At<'_, T>, dy: View<'_, T>, dw: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        Ok(conv2d_backward_weight(cx, &self.of(at.n), at.x, dy, dw, acc)?)
    }

    fn forward_tangent(&self, cx: &Context, at: At<'_, T>, along: Along<'_, T>, mut y_tangent: ViewMut<'_, T>) -> Result<()> {
        let shape = self.of(at.n);
        conv2d_forward(cx, &shape, at.x, along.w, y_tangent.reborrow(), Acc::Set)?;
        Ok(conv2d_forward(cx, &shape, along.x, at.w, y_tangent, Acc::Add)?)
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
        let shape = self.of(at.n);
        conv2d_backward_data(cx, &shape, along.w, dy, dx_tangent.reborrow(), Acc::Set)?;
        Ok(conv2d_backward_data(cx, &shape, at.w, dy_tangent, dx_tangent, Acc::Add)?)
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
        let shape = self.of(at.n);
        conv2d_backward_weight(cx, &shape, at.x, dy_tangent, dw_tangent.reborrow(), Acc::Set)?;
        Ok(conv2d_backward_weight(cx, &shape, along.x, dy, dw_tangent, Acc::Add)?)
    }
}

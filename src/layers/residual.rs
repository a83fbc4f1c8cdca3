use handgrad_kernels::combine::combine;
use handgrad_kernels::{Acc, Context, Real, View, ViewMut};

use super::{At, Layer};
use crate::error::Result;

/// y = x + s, where a shortcut s joins a branch x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Residual {
    /// Numbers per row of each.
    pub width: usize,
}

impl<T: Real> Layer<T> for Residual {
    fn inputs(&self) -> usize {
        self.width
    }

    fn outputs(&self) -> usize {
        self.width
    }

    fn second_inputs(&self) -> usize {
        self.width
    }

    fn forward(&self, cx: &Context, at: At<'_, T>, y: ViewMut<'_, T>) -> Result<()> {
        Ok(combine(cx, [(T::ONE, at.x), (T::ONE, at.second)], y, Acc::Set)?)
    }

    fn backward_data(&self, cx: &Context, _: At<'_, T>, dy: View<'_, T>, dx: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        Ok(combine(cx, [(T::ONE, dy)], dx, acc)?)
    }

    fn backward_second(&self, cx: &Context, _: At<'_, T>, dy: View<'_, T>, dx: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        Ok(combine(cx, [(T::ONE, dy)], dx, acc)?)
    }
}

use handgrad_kernels::{Acc, Context, Real, View, ViewMut};

use super::{Along, At, Layer, accumulated};
use crate::error::Result;

/// y = Σ_j x_j: the end of a deep diagonal network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Numbers per row.
    pub width: usize,
}

/// In errors.
const OP: &str = "sum";

impl Sum {
    fn summed<T: Real>(self, rows: View<'_, T>, mut out: ViewMut<'_, T>) -> Result<()> {
        let (rows, out) = (rows.on_host(OP, "x")?, out.on_host(OP, "y")?);
        rows.chunks_exact(self.width).zip(out).for_each(|(row, out)| *out = row.iter().copied().sum());
        Ok(())
    }

    fn spread<T: Real>(self, values: View<'_, T>, mut out: ViewMut<'_, T>) -> Result<()> {
        let (values, out) = (values.on_host(OP, "dy")?, out.on_host(OP, "dx")?);
        out.chunks_exact_mut(self.width).zip(values).for_each(|(row, &value)| row.fill(value));
        Ok(())
    }
}

impl<T: Real> Layer<T> for Sum {
    fn inputs(&self) -> usize {
        self.width
    }

    fn outputs(&self) -> usize {
        1
    }

    fn forward(&self, _: &Context, at: At<'_, T>, y: ViewMut<'_, T>) -> Result<()> {
        self.summed(at.x, y)
    }

    fn backward_data(&self, cx: &Context, _: At<'_, T>, dy: View<'_, T>, dx: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        accumulated(cx, dx, acc, |dx| self.spread(dy, dx))
    }

    fn forward_tangent(&self, _: &Context, _: At<'_, T>, along: Along<'_, T>, y_tangent: ViewMut<'_, T>) -> Result<()> {
        self.summed(along.x, y_tangent)
    }

    fn backward_data_tangent(
        &self,
        _: &Context,
        _: At<'_, T>,
        _: Along<'_, T>,
        _: View<'_, T>,
        dy_tangent: View<'_, T>,
        dx_tangent: ViewMut<'_, T>,
    ) -> Result<()> {
        self.spread(dy_tangent, dx_tangent)
    }
}

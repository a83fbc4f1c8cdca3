use handgrad_kernels::{Context, Real};

use super::{Along, At, Layer};
use crate::error::Result;

/// y = Σ_j x_j: the end of a deep diagonal network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Numbers per row.
    pub width: usize,
}

impl Sum {
    fn summed<T: Real>(self, rows: &[T], out: &mut [T]) {
        rows.chunks_exact(self.width).zip(out).for_each(|(row, out)| *out = row.iter().copied().sum());
    }

    fn spread<T: Real>(self, values: &[T], out: &mut [T]) {
        out.chunks_exact_mut(self.width).zip(values).for_each(|(row, &value)| row.fill(value));
    }
}

impl<T: Real> Layer<T> for Sum {
    fn inputs(&self) -> usize {
        self.width
    }

    fn outputs(&self) -> usize {
        1
    }

    fn forward(&self, _: &Context, at: At<'_, T>, y: &mut [T]) -> Result<()> {
        self.summed(at.x, y);
        Ok(())
    }

    fn backward_data(&self, _: &Context, _: At<'_, T>, dy: &[T], dx: &mut [T]) -> Result<()> {
        self.spread(dy, dx);
        Ok(())
    }

    fn forward_tangent(&self, _: &Context, _: At<'_, T>, along: Along<'_, T>, y_tangent: &mut [T]) -> Result<()> {
        self.summed(along.x, y_tangent);
        Ok(())
    }

    fn backward_data_tangent(
        &self,
        _: &Context,
        _: At<'_, T>,
        _: Along<'_, T>,
        _: &[T],
        dy_tangent: &[T],
        dx_tangent: &mut [T],
    ) -> Result<()> {
        self.spread(dy_tangent, dx_tangent);
        Ok(())
    }
}

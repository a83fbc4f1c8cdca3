use handgrad_kernels::avgpool::{AvgPoolShape, avgpool_backward, avgpool_forward};
use handgrad_kernels::combine::combine;
use handgrad_kernels::{Acc, Buffer, Context, Device, Real, View, ViewMut};

use super::{Along, At, Layer, accumulated};
use crate::error::Result;

/// y = Σ_j x_j: the end of a deep diagonal network. A device has it as so many times the mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Numbers per row.
    pub width: usize,
}

/// In errors.
const OP: &str = "sum";

impl Sum {
    fn of(self, n: usize) -> AvgPoolShape {
        AvgPoolShape { n, pixels: self.width, c: 1 }
    }

    /// So many times `values`.
    fn times<T: Real>(self, cx: &Context, values: View<'_, T>, out: ViewMut<'_, T>) -> Result<()> {
        Ok(combine(cx, [(T::from_f64(self.width as f64), values)], out, Acc::Set)?)
    }

    fn summed<T: Real>(self, cx: &Context, rows: View<'_, T>, mut out: ViewMut<'_, T>) -> Result<()> {
        if cx.device() != Device::Cpu {
            let mut means = Buffer::zeros(cx, out.len())?;
            avgpool_forward(cx, &self.of(out.len()), rows, means.view_mut())?;
            return self.times(cx, means.view(), out);
        }
        let (rows, out) = (rows.on_host(OP, "x")?, out.on_host(OP, "y")?);
        rows.chunks_exact(self.width).zip(out).for_each(|(row, out)| *out = row.iter().copied().sum());
        Ok(())
    }

    fn spread<T: Real>(self, cx: &Context, values: View<'_, T>, mut out: ViewMut<'_, T>) -> Result<()> {
        if cx.device() != Device::Cpu {
            let mut shares = Buffer::zeros(cx, values.len())?;
            self.times(cx, values, shares.view_mut())?;
            return Ok(avgpool_backward(cx, &self.of(values.len()), shares.view(), out)?);
        }
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

    fn forward(&self, cx: &Context, at: At<'_, T>, y: ViewMut<'_, T>) -> Result<()> {
        self.summed(cx, at.x, y)
    }

    fn backward_data(&self, cx: &Context, _: At<'_, T>, dy: View<'_, T>, dx: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        accumulated(cx, dx, acc, |dx| self.spread(cx, dy, dx))
    }

    fn forward_tangent(&self, cx: &Context, _: At<'_, T>, along: Along<'_, T>, y_tangent: ViewMut<'_, T>) -> Result<()> {
        self.summed(cx, along.x, y_tangent)
    }

    fn backward_data_tangent(
        &self,
        cx: &Context,
        _: At<'_, T>,
        _: Along<'_, T>,
        _: View<'_, T>,
        dy_tangent: View<'_, T>,
        dx_tangent: ViewMut<'_, T>,
    ) -> Result<()> {
        self.spread(cx, dy_tangent, dx_tangent)
    }
}

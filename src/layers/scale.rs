use handgrad_kernels::batchnorm::{After, BatchNormShape, Moments, batchnorm_backward_affine, batchnorm_forward};
use handgrad_kernels::combine::combine;
use handgrad_kernels::{Acc, Buffer, Context, Device, Real, View, ViewMut};

use super::{Along, At, Layer, Slot, accumulated};
use crate::error::Result;

/// y_j = w_j x_j: one layer of a deep diagonal network. A device has it as a batch normalisation with mean 0 and variance 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Numbers per row.
    pub width: usize,
}

/// In errors.
const OP: &str = "scale";

impl Scale {
    fn of<T: Real>(self, rows: View<'_, T>) -> BatchNormShape {
        BatchNormShape { rows: rows.len() / self.width, c: self.width }
    }

    /// out_ij = scale_j row_ij, added under [`Acc::Add`].
    fn scaled<T: Real>(
        self,
        cx: &Context,
        scale: View<'_, T>,
        rows: View<'_, T>,
        mut out: ViewMut<'_, T>,
        acc: Acc,
    ) -> Result<()> {
        if cx.device() != Device::Cpu {
            let zeros = Buffer::zeros(cx, self.width)?;
            let (moments, affine) = (unchanged(&zeros), [scale, zeros.view()]);
            return accumulated(cx, out, acc, |out| {
                Ok(batchnorm_forward(cx, &self.of(rows), rows, moments, affine, After::NOTHING, out)?)
            });
        }
        let (scale, rows, out) = (scale.on_host(OP, "w")?, rows.on_host(OP, "x")?, out.on_host(OP, "y")?);
        for (row, out) in rows.chunks_exact(self.width).zip(out.chunks_exact_mut(self.width)) {
            for ((out, &x), &scale) in out.iter_mut().zip(row).zip(scale) {
                *out = if acc == Acc::Add { *out } else { T::ZERO } + scale * x;
            }
        }
        Ok(())
    }

    /// dw_j = Σ_i dy_ij x_ij, added under [`Acc::Add`].
    fn weighed<T: Real>(self, cx: &Context, x: View<'_, T>, dy: View<'_, T>, mut dw: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        if cx.device() != Device::Cpu {
            let (zeros, mut gradients) = (Buffer::zeros(cx, self.width)?, Buffer::zeros(cx, 2 * self.width)?);
            let mut both = gradients.view_mut();
            let (by_scale, by_offset) = both.split_at(self.width)?;
            batchnorm_backward_affine(cx, &self.of(x), x, unchanged(&zeros), dy.into(), None, [by_scale, by_offset])?;
            return Ok(combine(cx, [(T::ONE, gradients.view().part(0, self.width)?)], dw, acc)?);
        }
        let (x, dy, dw) = (x.on_host(OP, "x")?, dy.on_host(OP, "dy")?, dw.on_host(OP, "dw")?);
        if acc == Acc::Set {
            dw.fill(T::ZERO);
        }
        for (x, dy) in x.chunks_exact(self.width).zip(dy.chunks_exact(self.width)) {
            dw.iter_mut().zip(x).zip(dy).for_each(|((dw, &x), &dy)| *dw += x * dy);
        }
        Ok(())
    }
}

/// Mean 0 and variance 1, of zeros.
fn unchanged<T: Real>(zeros: &Buffer<T>) -> Moments<'_, T> {
    Moments { mean: zeros.view(), variance: zeros.view(), epsilon: 1.0 }
}

impl<T: Real> Layer<T> for Scale {
    fn inputs(&self) -> usize {
        self.width
    }

    fn outputs(&self) -> usize {
        self.width
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::new("scale", &[self.width])]
    }

    fn forward(&self, cx: &Context, at: At<'_, T>, y: ViewMut<'_, T>) -> Result<()> {
        self.scaled(cx, at.w, at.x, y, Acc::Set)
    }

    fn backward_data(&self, cx: &Context, at: At<'_, T>, dy: View<'_, T>, dx: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        self.scaled(cx, at.w, dy, dx, acc)
    }

    fn backward_weight(&self, cx: &Context, at: At<'_, T>, dy: View<'_, T>, dw: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        self.weighed(cx, at.x, dy, dw, acc)
    }

    fn forward_tangent(&self, cx: &Context, at: At<'_, T>, along: Along<'_, T>, mut y_tangent: ViewMut<'_, T>) -> Result<()> {
        self.scaled(cx, along.w, at.x, y_tangent.reborrow(), Acc::Set)?;
        self.scaled(cx, at.w, along.x, y_tangent, Acc::Add)
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
        self.scaled(cx, along.w, dy, dx_tangent.reborrow(), Acc::Set)?;
        self.scaled(cx, at.w, dy_tangent, dx_tangent, Acc::Add)
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
        self.weighed(cx, at.x, dy_tangent, dw_tangent.reborrow(), Acc::Set)?;
        self.weighed(cx, along.x, dy, dw_tangent, Acc::Add)
    }
}

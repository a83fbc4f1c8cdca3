use handgrad_kernels::{Acc, Context, Real};

use super::{Along, At, Layer, Slot};
use crate::error::Result;

/// y_j = w_j x_j: one layer of a deep diagonal network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Numbers per row.
    pub width: usize,
}

impl Scale {
    /// out_ij = scale_j row_ij, added under [`Acc::Add`].
    fn scaled<T: Real>(self, scale: &[T], rows: &[T], out: &mut [T], acc: Acc) {
        for (row, out) in rows.chunks_exact(self.width).zip(out.chunks_exact_mut(self.width)) {
            for ((out, &x), &scale) in out.iter_mut().zip(row).zip(scale) {
                *out = if acc == Acc::Add { *out } else { T::ZERO } + scale * x;
            }
        }
    }

    /// dw_j = Σ_i dy_ij x_ij, added under [`Acc::Add`].
    fn weighed<T: Real>(self, x: &[T], dy: &[T], dw: &mut [T], acc: Acc) {
        if acc == Acc::Set {
            dw.fill(T::ZERO);
        }
        for (x, dy) in x.chunks_exact(self.width).zip(dy.chunks_exact(self.width)) {
            dw.iter_mut().zip(x).zip(dy).for_each(|((dw, &x), &dy)| *dw += x * dy);
        }
    }
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

    fn forward(&self, _: &Context, at: At<'_, T>, y: &mut [T]) -> Result<()> {
        self.scaled(at.w, at.x, y, Acc::Set);
        Ok(())
    }

    fn backward_data(&self, _: &Context, at: At<'_, T>, dy: &[T], dx: &mut [T]) -> Result<()> {
        self.scaled(at.w, dy, dx, Acc::Set);
        Ok(())
    }

    fn backward_weight(&self, _: &Context, at: At<'_, T>, dy: &[T], dw: &mut [T], acc: Acc) -> Result<()> {
        self.weighed(at.x, dy, dw, acc);
        Ok(())
    }

    fn forward_tangent(&self, _: &Context, at: At<'_, T>, along: Along<'_, T>, y_tangent: &mut [T]) -> Result<()> {
        self.scaled(along.w, at.x, y_tangent, Acc::Set);
        self.scaled(at.w, along.x, y_tangent, Acc::Add);
        Ok(())
    }

    fn backward_data_tangent(
        &self,
        _: &Context,
        at: At<'_, T>,
        along: Along<'_, T>,
        dy: &[T],
        dy_tangent: &[T],
        dx_tangent: &mut [T],
    ) -> Result<()> {
        self.scaled(along.w, dy, dx_tangent, Acc::Set);
        self.scaled(at.w, dy_tangent, dx_tangent, Acc::Add);
        Ok(())
    }

    fn backward_weight_tangent(
        &self,
        _: &Context,
        at: At<'_, T>,
        along: Along<'_, T>,
        dy: &[T],
        dy_tangent: &[T],
        dw_tangent: &mut [T],
    ) -> Result<()> {
        self.weighed(at.x, dy_tangent, dw_tangent, Acc::Set);
        self.weighed(along.x, dy, dw_tangent, Acc::Add);
        Ok(())
    }
}

use handgrad_kernels::{Acc, Context, Real, View, ViewMut};

use super::{Along, At, Layer, Slot};
use crate::error::Result;

/// y_j = w_j x_j: one layer of a deep diagonal network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Numbers per row.
    pub width: usize,
}

/// In errors.
const OP: &str = "scale";

impl Scale {
    /// out_ij = scale_j row_ij, added under [`Acc::Add`].
    fn scaled<T: Real>(self, scale: View<'_, T>, rows: View<'_, T>, mut out: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        let (scale, rows, out) = (scale.on_host(OP, "w")?, rows.on_host(OP, "x")?, out.on_host(OP, "y")?);
        for (row, out) in rows.chunks_exact(self.width).zip(out.chunks_exact_mut(self.width)) {
            for ((out, &x), &scale) in out.iter_mut().zip(row).zip(scale) {
                *out = if acc == Acc::Add { *out } else { T::ZERO } + scale * x;
            }
        }
        Ok(())
    }

    /// dw_j = Σ_i dy_ij x_ij, added under [`Acc::Add`].
    fn weighed<T: Real>(self, x: View<'_, T>, dy: View<'_, T>, mut dw: ViewMut<'_, T>, acc: Acc) -> Result<()> {
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

    fn forward(&self, _: &Context, at: At<'_, T>, y: ViewMut<'_, T>) -> Result<()> {
        self.scaled(at.w, at.x, y, Acc::Set)
    }

    fn backward_data(&self, _: &Context, at: At<'_, T>, dy: View<'_, T>, dx: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        self.scaled(at.w, dy, dx, acc)
    }

    fn backward_weight(&self, _: &Context, at: At<'_, T>, dy: View<'_, T>, dw: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        self.weighed(at.x, dy, dw, acc)
    }

    fn forward_tangent(&self, _: &Context, at: At<'_, T>, along: Along<'_, T>, mut y_tangent: ViewMut<'_, T>) -> Result<()> {
        self.scaled(along.w, at.x, y_tangent.reborrow(), Acc::Set)?;
        self.scaled(at.w, along.x, y_tangent, Acc::Add)
    }

    fn backward_data_tangent(
        &self,
        _: &Context,
        at: At<'_, T>,
        along: Along<'_, T>,
        dy: View<'_, T>,
        dy_tangent: View<'_, T>,
        mut dx_tangent: ViewMut<'_, T>,
    ) -> Result<()> {
        self.scaled(along.w, dy, dx_tangent.reborrow(), Acc::Set)?;
        self.scaled(at.w, dy_tangent, dx_tangent, Acc::Add)
    }

    fn backward_weight_tangent(
        &self,
        _: &Context,
        at: At<'_, T>,
        along: Along<'_, T>,
        dy: View<'_, T>,
        dy_tangent: View<'_, T>,
        mut dw_tangent: ViewMut<'_, T>,
    ) -> Result<()> {
        self.weighed(at.x, dy_tangent, dw_tangent.reborrow(), Acc::Set)?;
        self.weighed(along.x, dy, dw_tangent, Acc::Add)
    }
}

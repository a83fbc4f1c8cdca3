use handgrad_kernels::combine::{combine, scale_by};
use handgrad_kernels::norm::{inner_product, inner_product_to};
use handgrad_kernels::{Acc, Context, Real, View, ViewMut};

use super::{Along, At, Layer, Slot, number, put};
use crate::error::Result;

/// y = ρ x with one number ρ, its parameter, for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multiply {
    /// Numbers per row.
    pub width: usize,
}

impl Multiply {
    /// The name of the node that multiplies a network's outputs.
    pub const RHO: &str = "rho";
}

impl<T: Real> Layer<T> for Multiply {
    fn inputs(&self) -> usize {
        self.width
    }

    fn outputs(&self) -> usize {
        self.width
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::new("scale", &[1])]
    }

    fn forward(&self, cx: &Context, at: At<'_, T>, y: ViewMut<'_, T>) -> Result<()> {
        Ok(scale_by(cx, at.w, at.x, y, Acc::Set)?)
    }

    fn backward_data(&self, cx: &Context, at: At<'_, T>, dy: View<'_, T>, dx: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        Ok(scale_by(cx, at.w, dy, dx, acc)?)
    }

    /// ⟨x, dy⟩.
    fn backward_weight(&self, cx: &Context, at: At<'_, T>, dy: View<'_, T>, dw: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        Ok(inner_product_to(cx, at.x, dy, dw, acc)?)
    }

    fn forward_tangent(&self, cx: &Context, at: At<'_, T>, along: Along<'_, T>, y_tangent: ViewMut<'_, T>) -> Result<()> {
        Ok(combine(cx, [(number(along.w)?, at.x), (number(at.w)?, along.x)], y_tangent, Acc::Set)?)
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
        Ok(combine(cx, [(number(along.w)?, dy), (number(at.w)?, dy_tangent)], dx_tangent, Acc::Set)?)
    }

    fn backward_weight_tangent(
        &self,
        cx: &Context,
        at: At<'_, T>,
        along: Along<'_, T>,
        dy: View<'_, T>,
        dy_tangent: View<'_, T>,
        dw_tangent: ViewMut<'_, T>,
    ) -> Result<()> {
        put(|| Ok(inner_product(cx, along.x, dy)? + inner_product(cx, at.x, dy_tangent)?), dw_tangent)
    }
}

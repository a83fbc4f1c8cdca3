//! Weight normalisation: a tensor w of direction v and length g.
//!
//! With the Frobenius norm ρ = ‖v‖, v̂ = v/ρ and a gradient dw:
//!
//! - forward: `w = g v̂`
//! - backward: `dg = ⟨dw, v̂⟩`, `dv = g/ρ (dw - dg v̂)`
//!
//! and derivatives of these along tangents of v, g and dw, for products with the Hessian. With ρ̇ = ⟨v̂, v̇⟩:
//!
//! - `ẇ = g/ρ v̇ + (ġ - g ρ̇/ρ) v̂`
//! - `dġ = (⟨dẇ, v⟩ + ⟨dw, v̇⟩)/ρ - dg ρ̇/ρ`
//! - `dv̇ = α dẇ + α̇ dw - β v̇ - β̇ v` with α = g/ρ and β = g dg/ρ²
//!
//! Source: Salimans, Kingma 2016.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(test)]
mod tests;

use crate::combine::combine;
use crate::context::host;
use crate::error::{exact, positive};
use crate::norm::{inner_product, norm};
use crate::{Acc, Context, Error, Real, Result, Variants, View, ViewMut};

/// The instruction sets with a variant of their own: those of the linear combinations that it consists of.
pub const VARIANTS: Variants = Variants { op: "weightnorm", ..crate::combine::VARIANTS };

/// Tangents of v, g and dw.
#[derive(Clone, Copy, Debug)]
pub struct Tangent<'a, T: Real> {
    /// As long as v.
    pub v: View<'a, T>,
    /// Of the length.
    pub g: T,
    /// As long as v.
    pub dw: View<'a, T>,
}

/// g.
#[derive(Clone, Copy, Debug)]
pub enum Length<'a, T: Real> {
    /// A number of the host.
    Number(T),
    /// One element, which a device reads by itself.
    Element(View<'a, T>),
}

impl<T: Real> Length<'_, T> {
    fn check(self, op: &'static str) -> Result<()> {
        match self {
            Length::Number(_) => Ok(()),
            Length::Element(g) => exact(op, "g", g.len(), 1, "one number"),
        }
    }

    fn on_host(self, op: &'static str) -> Result<T> {
        match self {
            Length::Number(g) => Ok(g),
            Length::Element(g) => Ok(host(op, "g", g)?[0]),
        }
    }
}

/// `w = g v/‖v‖`.
///
/// # Errors
/// If the lengths differ or are zero, a view is not on the context's device, or `‖v‖` is 0: a device, for which nobody waits,
/// gives numbers that are not finite then.
pub fn weightnorm_forward<T: Real>(cx: &Context, v: View<T>, g: Length<T>, w: ViewMut<T>) -> Result<()> {
    const OP: &str = "weightnorm_forward";
    lengths(OP, v, &[("w", w.len())])?;
    g.check(OP)?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::weightnorm_forward(device, OP, v, g, w);
    }
    combine(cx, [(g.on_host(OP)? / direction(OP, cx, v)?, v)], w, Acc::Set)
}

/// `dv = g/‖v‖ (dw - dg v̂)` and, where it is asked for, `dg = ⟨dw, v̂⟩`, both set or accumulated.
///
/// # Errors
/// As [`weightnorm_forward`].
pub fn weightnorm_backward<T: Real>(
    cx: &Context,
    v: View<T>,
    g: Length<T>,
    dw: View<T>,
    dv: ViewMut<T>,
    dg: Option<ViewMut<T>>,
    acc: Acc,
) -> Result<()> {
    const OP: &str = "weightnorm_backward";
    lengths(OP, v, &[("dw", dw.len()), ("dv", dv.len())])?;
    g.check(OP)?;
    dg.as_ref().map_or(Ok(()), |dg| exact(OP, "dg", dg.len(), 1, "one number"))?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::weightnorm_backward(device, OP, v, g, dw, (dv, dg), acc);
    }
    let (norm, g) = (direction(OP, cx, v)?, g.on_host(OP)?);
    let gain = inner_product(cx, dw, v)? / norm;
    let alpha = g / norm;
    combine(cx, [(alpha, dw), (-(alpha * gain / norm), v)], dv, acc)?;
    dg.map_or(Ok(()), |dg| combine(cx, [(T::ONE, (&[gain]).into())], dg, acc))
}

/// Derivative of [`weightnorm_forward`] along tangents of v and g.
///
/// # Errors
/// As [`weightnorm_forward`].
pub fn weightnorm_forward_tangent<T: Real>(
    cx: &Context,
    v: View<T>,
    g: T,
    v_tangent: View<T>,
    g_tangent: T,
    w_tangent: ViewMut<T>,
) -> Result<()> {
    const OP: &str = "weightnorm_forward_tangent";
    lengths(OP, v, &[("v_tangent", v_tangent.len()), ("w_tangent", w_tangent.len())])?;
    let norm = direction(OP, cx, v)?;
    let alpha = g / norm;
    let stretch = inner_product(cx, v, v_tangent)? / norm;
    combine(cx, [(alpha, v_tangent), ((g_tangent - alpha * stretch) / norm, v)], w_tangent, Acc::Set)
}

/// Derivative of [`weightnorm_backward`]'s dv along tangents of v, g and dw, set or accumulated.
///
/// # Errors
/// As [`weightnorm_forward`].
pub fn weightnorm_backward_direction_tangent<T: Real>(
    cx: &Context,
    v: View<T>,
    g: T,
    dw: View<T>,
    tangent: Tangent<'_, T>,
    dv_tangent: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    const OP: &str = "weightnorm_backward_direction_tangent";
    let point = Point::new(OP, cx, v, dw, tangent.v, tangent.dw)?;
    lengths(OP, point.v, &[("dv_tangent", dv_tangent.len())])?;
    let Point { v, dw, v_tangent, dw_tangent, norm, stretch, gain, gain_tangent } = point;
    let two = T::ONE + T::ONE;
    let alpha = g / norm;
    let alpha_tangent = (tangent.g - alpha * stretch) / norm;
    let beta = alpha * gain / norm;
    let beta_tangent = ((tangent.g * gain + g * gain_tangent) / norm - two * beta * stretch) / norm;
    combine(cx, [(alpha, dw_tangent), (alpha_tangent, dw), (-beta, v_tangent), (-beta_tangent, v)], dv_tangent, acc)
}

/// Derivative of [`weightnorm_backward`]'s dg along tangents of v and dw.
///
/// # Errors
/// As [`weightnorm_forward`].
pub fn weightnorm_backward_gain_tangent<T: Real>(
    cx: &Context,
    v: View<T>,
    dw: View<T>,
    v_tangent: View<T>,
    dw_tangent: View<T>,
) -> Result<T> {
    Ok(Point::new("weightnorm_backward_gain_tangent", cx, v, dw, v_tangent, dw_tangent)?.gain_tangent)
}

/// Where the backward pass is differentiated, along what, and the inner products that its derivatives share.
struct Point<'a, T: Real> {
    v: View<'a, T>,
    dw: View<'a, T>,
    v_tangent: View<'a, T>,
    dw_tangent: View<'a, T>,
    /// ρ
    norm: T,
    /// ρ̇
    stretch: T,
    /// dg
    gain: T,
    /// dġ
    gain_tangent: T,
}

impl<'a, T: Real> Point<'a, T> {
    fn new(
        op: &'static str,
        cx: &Context,
        v: View<'a, T>,
        dw: View<'a, T>,
        v_tangent: View<'a, T>,
        dw_tangent: View<'a, T>,
    ) -> Result<Point<'a, T>> {
        lengths(op, v, &[("dw", dw.len()), ("v_tangent", v_tangent.len()), ("dw_tangent", dw_tangent.len())])?;
        let norm = direction(op, cx, v)?;
        let stretch = inner_product(cx, v, v_tangent)? / norm;
        let gain = inner_product(cx, dw, v)? / norm;
        let moved = inner_product(cx, dw_tangent, v)? + inner_product(cx, dw, v_tangent)?;
        let gain_tangent = (moved - gain * stretch) / norm;
        Ok(Point { v, dw, v_tangent, dw_tangent, norm, stretch, gain, gain_tangent })
    }
}

/// Refuses v without elements, and what is not as long.
fn lengths<T: Real>(op: &'static str, v: View<T>, others: &[(&'static str, usize)]) -> Result<()> {
    positive(op, &[("the number of elements", v.len())])?;
    others.iter().try_for_each(|&(argument, got)| exact(op, argument, got, v.len(), "as many as v"))
}

/// The norm of v, which must not be 0.
fn direction<T: Real>(op: &'static str, cx: &Context, v: View<T>) -> Result<T> {
    let norm = norm(cx, v)?;
    if norm == T::ZERO {
        let expected = "more than 0, for a direction; start v away from 0";
        return Err(Error::Value { op, what: "the norm of `v`".to_owned(), got: 0.0, expected });
    }
    Ok(norm)
}

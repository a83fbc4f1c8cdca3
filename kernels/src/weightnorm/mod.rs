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

mod scalar;
mod simd;
#[cfg(test)]
mod tests;

use crate::context::{host, host_mut};
use crate::error::{exact, positive};
use crate::norm::sum_of_products;
use crate::{Acc, Context, Error, Isa, Real, Result, Variants, View, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "weightnorm", isas: &[Isa::Scalar, Isa::Avx2, Isa::Avx512] };

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

/// `w = g v/‖v‖`.
///
/// # Errors
/// If the lengths differ or are zero, `‖v‖` is 0, or a view is not on the context's device.
pub fn weightnorm_forward<T: Real>(cx: &Context, v: View<T>, g: T, w: ViewMut<T>) -> Result<()> {
    const OP: &str = "weightnorm_forward";
    let (v, norm) = direction(OP, cx, v)?;
    let w = host_mut(OP, "w", w)?;
    exact(OP, "w", w.len(), v.len(), FORMULA)?;
    combine(cx, [(g / norm, v)], w, Acc::Set);
    Ok(())
}

/// `dv = g/‖v‖ (dw - ⟨dw, v̂⟩ v̂)`, set or accumulated.
///
/// # Errors
/// As [`weightnorm_forward`].
pub fn weightnorm_backward_direction<T: Real>(
    cx: &Context,
    v: View<T>,
    g: T,
    dw: View<T>,
    dv: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    const OP: &str = "weightnorm_backward_direction";
    let (v, norm) = direction(OP, cx, v)?;
    let (dw, dv) = (host(OP, "dw", dw)?, host_mut(OP, "dv", dv)?);
    exact(OP, "dw", dw.len(), v.len(), FORMULA)?;
    exact(OP, "dv", dv.len(), v.len(), FORMULA)?;
    let gain = sum_of_products(cx, dw, v) / norm;
    let alpha = g / norm;
    combine(cx, [(alpha, dw), (-(alpha * gain / norm), v)], dv, acc);
    Ok(())
}

/// `dg = ⟨dw, v̂⟩`.
///
/// # Errors
/// As [`weightnorm_forward`].
pub fn weightnorm_backward_gain<T: Real>(cx: &Context, v: View<T>, dw: View<T>) -> Result<T> {
    const OP: &str = "weightnorm_backward_gain";
    let (v, norm) = direction(OP, cx, v)?;
    let dw = host(OP, "dw", dw)?;
    exact(OP, "dw", dw.len(), v.len(), FORMULA)?;
    Ok(sum_of_products(cx, dw, v) / norm)
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
    let (v, norm) = direction(OP, cx, v)?;
    let (v_tangent, w_tangent) = (host(OP, "v_tangent", v_tangent)?, host_mut(OP, "w_tangent", w_tangent)?);
    exact(OP, "v_tangent", v_tangent.len(), v.len(), FORMULA)?;
    exact(OP, "w_tangent", w_tangent.len(), v.len(), FORMULA)?;
    let alpha = g / norm;
    let stretch = sum_of_products(cx, v, v_tangent) / norm;
    combine(cx, [(alpha, v_tangent), ((g_tangent - alpha * stretch) / norm, v)], w_tangent, Acc::Set);
    Ok(())
}

/// Derivative of [`weightnorm_backward_direction`] along tangents of v, g and dw, set or accumulated.
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
    let dv_tangent = host_mut(OP, "dv_tangent", dv_tangent)?;
    exact(OP, "dv_tangent", dv_tangent.len(), point.v.len(), FORMULA)?;
    let Point { v, dw, v_tangent, dw_tangent, norm, stretch, gain, gain_tangent } = point;
    let two = T::ONE + T::ONE;
    let alpha = g / norm;
    let alpha_tangent = (tangent.g - alpha * stretch) / norm;
    let beta = alpha * gain / norm;
    let beta_tangent = ((tangent.g * gain + g * gain_tangent) / norm - two * beta * stretch) / norm;
    combine(cx, [(alpha, dw_tangent), (alpha_tangent, dw), (-beta, v_tangent), (-beta_tangent, v)], dv_tangent, acc);
    Ok(())
}

/// Derivative of [`weightnorm_backward_gain`] along tangents of v and dw.
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
struct Point<'a, T> {
    v: &'a [T],
    dw: &'a [T],
    v_tangent: &'a [T],
    dw_tangent: &'a [T],
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
        let (v, norm) = direction(op, cx, v)?;
        let dw = host(op, "dw", dw)?;
        let (v_tangent, dw_tangent) = (host(op, "v_tangent", v_tangent)?, host(op, "dw_tangent", dw_tangent)?);
        for (argument, got) in [("dw", dw.len()), ("v_tangent", v_tangent.len()), ("dw_tangent", dw_tangent.len())] {
            exact(op, argument, got, v.len(), FORMULA)?;
        }
        let stretch = sum_of_products(cx, v, v_tangent) / norm;
        let gain = sum_of_products(cx, dw, v) / norm;
        let moved = sum_of_products(cx, dw_tangent, v) + sum_of_products(cx, dw, v_tangent);
        let gain_tangent = (moved - gain * stretch) / norm;
        Ok(Point { v, dw, v_tangent, dw_tangent, norm, stretch, gain, gain_tangent })
    }
}

const FORMULA: &str = "as many as v";

/// v and its norm, which must not be 0.
fn direction<'a, T: Real>(op: &'static str, cx: &Context, v: View<'a, T>) -> Result<(&'a [T], T)> {
    cx.require_cpu(op)?;
    let v = host(op, "v", v)?;
    positive(op, &[("the number of elements", v.len())])?;
    let norm = sum_of_products(cx, v, v).sqrt();
    if norm == T::ZERO {
        let expected = "more than 0, for a direction; start v away from 0";
        return Err(Error::Value { op, what: "the norm of `v`".to_owned(), got: 0.0, expected });
    }
    Ok((v, norm))
}

/// `out = Σ_k c_k x_k`, set or accumulated, of slices as long as `out`.
fn combine<T: Real, const N: usize>(cx: &Context, terms: [(T, &[T]); N], out: &mut [T], acc: Acc) {
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::combine(terms, out, acc),
        isa => simd::combine(isa, terms, out, acc),
    }
}

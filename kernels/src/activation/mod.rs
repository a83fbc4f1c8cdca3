//! Activations `y = φ(x)`, element by element, with first and second derivatives.
//!
//! - identity: `φ(x) = x`
//! - ReLU: `φ(x) = max(0, x)`, with `φ'(0) = 0` and `φ'' = 0`
//! - tanh: `φ' = 1 - φ²`, `φ'' = -2 φ φ'`
//! - swish: `φ(x) = x σ(x)` with the logistic sigmoid σ; `φ' = σ (1 + x (1 - σ))`, `φ'' = σ (1 - σ) (2 + x (1 - 2σ))`
//!
//! A NaN in x goes through every function; infinities give the limits. Where ReLU is off, its backward functions give 0
//! whatever dy is. Tanh and swish of the scalar variant are computed in `f64` and rounded once.
//! Source of swish: Ramachandran, Zoph, Le 2017.

#[cfg(feature = "cuda")]
pub(crate) mod cuda;
pub(crate) mod scalar;
pub(crate) mod simd;
#[cfg(test)]
mod tests;

use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use crate::context::{host, host_mut};
use crate::error::{exact, positive};
use crate::{Context, Isa, PIECE, Real, Result, Variants, View, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "activation", isas: &[Isa::Scalar, Isa::Avx2, Isa::Avx512] };

/// Which φ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x`
    Identity,
    /// `max(0, x)`
    Relu,
    /// `tanh x`
    Tanh,
    /// `x σ(x)`
    Swish,
}

/// `y = φ(x)`.
///
/// # Errors
/// If the lengths differ or are zero, or a view is not on the context's device.
pub fn activation_forward<T: Real>(cx: &Context, kind: Activation, x: View<T>, y: ViewMut<T>) -> Result<()> {
    const OP: &str = "activation_forward";
    check(OP, x.len(), &[("y", y.len())])?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::activation_forward(device, OP, kind, x, y);
    }
    let (x, y) = (host(OP, "x", x)?, host_mut(OP, "y", y)?);
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::activation_forward(kind, x, y),
        isa => x.par_chunks(PIECE).zip(y.par_chunks_mut(PIECE)).for_each(|(x, y)| simd::activation_forward(isa, kind, x, y)),
    }
    Ok(())
}

/// `dx = φ'(x) dy`, where `x` is the input of the activation.
///
/// # Errors
/// As [`activation_forward`].
pub fn activation_backward<T: Real>(cx: &Context, kind: Activation, x: View<T>, dy: View<T>, dx: ViewMut<T>) -> Result<()> {
    const OP: &str = "activation_backward";
    check(OP, x.len(), &[("dy", dy.len()), ("dx", dx.len())])?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::activation_backward(device, OP, kind, x, dy, dx);
    }
    let (x, dy, dx) = (host(OP, "x", x)?, host(OP, "dy", dy)?, host_mut(OP, "dx", dx)?);
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::activation_backward(kind, x, dy, dx),
        isa => {
            let pieces = x.par_chunks(PIECE).zip(dy.par_chunks(PIECE)).zip(dx.par_chunks_mut(PIECE));
            pieces.for_each(|((x, dy), dx)| simd::activation_backward(isa, kind, x, dy, dx));
        }
    }
    Ok(())
}

/// Derivative of [`activation_backward`] along tangents of x and dy:
/// `dx_tangent = φ''(x) x_tangent dy + φ'(x) dy_tangent`.
///
/// # Errors
/// As [`activation_forward`].
pub fn activation_backward_tangent<T: Real>(
    cx: &Context,
    kind: Activation,
    x: View<T>,
    x_tangent: View<T>,
    dy: View<T>,
    dy_tangent: View<T>,
    dx_tangent: ViewMut<T>,
) -> Result<()> {
    const OP: &str = "activation_backward_tangent";
    let lengths =
        [("x_tangent", x_tangent.len()), ("dy", dy.len()), ("dy_tangent", dy_tangent.len()), ("dx_tangent", dx_tangent.len())];
    check(OP, x.len(), &lengths)?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::activation_backward_tangent(device, OP, kind, [x, x_tangent, dy, dy_tangent], dx_tangent);
    }
    let (x, x_tangent) = (host(OP, "x", x)?, host(OP, "x_tangent", x_tangent)?);
    let (dy, dy_tangent) = (host(OP, "dy", dy)?, host(OP, "dy_tangent", dy_tangent)?);
    let dx_tangent = host_mut(OP, "dx_tangent", dx_tangent)?;
    let point = Point { x, x_tangent, dy, dy_tangent };
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::activation_backward_tangent(kind, point, dx_tangent),
        isa => simd::activation_backward_tangent(isa, kind, point, dx_tangent),
    }
    Ok(())
}

/// Where a backward pass is differentiated, and along what; all of one length.
#[derive(Clone, Copy)]
struct Point<'a, T> {
    x: &'a [T],
    x_tangent: &'a [T],
    dy: &'a [T],
    dy_tangent: &'a [T],
}

fn check(op: &'static str, elements: usize, lengths: &[(&'static str, usize)]) -> Result<()> {
    positive(op, &[("the number of elements", elements)])?;
    lengths.iter().try_for_each(|&(argument, got)| exact(op, argument, got, elements, "as many as x"))
}

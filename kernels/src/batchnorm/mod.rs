//! Batch normalisation: every channel with mean 0 and variance 1, then scaled and moved.
//!
//! With x of m rows (samples times pixels) of c channels, and per channel μ, σ² (over m, biased), ε:
//!
//! - forward: `x̂ = (x - μ)/√(σ² + ε)`, `y = γ x̂ + β`
//! - backward, μ and σ² being those of x: `dγ = Σ dy x̂`, `dβ = Σ dy`, `dx = γ/√(σ² + ε) (dy - (dβ + x̂ dγ)/m)`
//!
//! The variance is the mean square of deviations from the mean, never E\[x²\] - μ²: groups of rows of a size that the shape
//! fixes are measured alone, side by side on rayon's threads, and merged in their order (Chan, Golub, LeVeque 1979), so that
//! bits do not depend on the number of threads.
//! Source: Ioffe, Szegedy 2015.

mod scalar;
mod simd;
#[cfg(test)]
mod tests;

use crate::context::{host, host_mut};
use crate::error::{exact, positive};
use crate::{Acc, Context, Isa, Real, Result, Variants, View, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "batchnorm", isas: &[Isa::Scalar, Isa::Avx2, Isa::Avx512] };

/// Sizes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNormShape {
    /// Rows m: samples times pixels.
    pub rows: usize,
    /// Channels.
    pub c: usize,
}

impl BatchNormShape {
    fn check(&self, op: &'static str, matrices: &[(&'static str, usize)], vectors: &[(&'static str, usize)]) -> Result<()> {
        positive(op, &[("rows", self.rows), ("c", self.c)])?;
        // A product beyond usize is no slice's length.
        let elements = self.rows.saturating_mul(self.c);
        matrices.iter().try_for_each(|&(argument, got)| exact(op, argument, got, elements, "rows * c"))?;
        vectors.iter().try_for_each(|&(argument, got)| exact(op, argument, got, self.c, "c"))
    }
}

/// μ, σ² of every channel, and ε.
#[derive(Clone, Copy, Debug)]
pub struct Moments<'a, T: Real> {
    /// μ.
    pub mean: View<'a, T>,
    /// σ².
    pub variance: View<'a, T>,
    /// ε > 0.
    pub epsilon: f64,
}

/// The same on the host, as x̂ takes it.
struct Normal<'a, T> {
    mean: &'a [T],
    /// 1/√(σ² + ε).
    scale: Vec<T>,
}

impl<'a, T: Real> Normal<'a, T> {
    fn new(op: &'static str, moments: Moments<'a, T>) -> Result<Normal<'a, T>> {
        let variance = host(op, "variance", moments.variance)?;
        let scale = |variance: &T| T::from_f64(1.0 / (variance.to_f64() + moments.epsilon).sqrt());
        Ok(Normal { mean: host(op, "mean", moments.mean)?, scale: variance.iter().map(scale).collect() })
    }
}

/// `dx = a dy + b (x - mean) + c`, channel by channel.
#[derive(Clone, Copy)]
struct Line<'a, T> {
    mean: &'a [T],
    a: &'a [T],
    b: &'a [T],
    c: &'a [T],
}

/// μ and σ² of every channel of x. `x`: rows x c; `mean`, `variance`: c.
///
/// # Errors
/// If a size is zero, a length disagrees with the shape, or a view is not on the CPU.
pub fn batchnorm_moments<T: Real>(
    cx: &Context,
    shape: &BatchNormShape,
    x: View<T>,
    mean: ViewMut<T>,
    variance: ViewMut<T>,
) -> Result<()> {
    const OP: &str = "batchnorm_moments";
    shape.check(OP, &[("x", x.len())], &[("mean", mean.len()), ("variance", variance.len())])?;
    cx.require_cpu(OP)?;
    let (x, mean, variance) = (host(OP, "x", x)?, host_mut(OP, "mean", mean)?, host_mut(OP, "variance", variance)?);
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::batchnorm_moments(shape, x, mean, variance),
        isa => simd::batchnorm_moments(isa, shape, x, mean, variance),
    }
    Ok(())
}

/// `y = γ x̂ + β` with the moments given. `w`: γ; `b`: β.
///
/// # Errors
/// As [`batchnorm_moments`].
pub fn batchnorm_forward<T: Real>(
    cx: &Context,
    shape: &BatchNormShape,
    x: View<T>,
    moments: Moments<T>,
    [w, b]: [View<T>; 2],
    y: ViewMut<T>,
) -> Result<()> {
    const OP: &str = "batchnorm_forward";
    let vectors = [("mean", moments.mean.len()), ("variance", moments.variance.len()), ("w", w.len()), ("b", b.len())];
    shape.check(OP, &[("x", x.len()), ("y", y.len())], &vectors)?;
    cx.require_cpu(OP)?;
    let normal = Normal::new(OP, moments)?;
    let (x, w, b, y) = (host(OP, "x", x)?, host(OP, "w", w)?, host(OP, "b", b)?, host_mut(OP, "y", y)?);
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::batchnorm_forward(x, &normal, [w, b], y),
        isa => {
            let scale: Vec<T> = normal.scale.iter().zip(w).map(|(&scale, &w)| scale * w).collect();
            simd::batchnorm_forward(isa, x, [normal.mean, &scale, b], y);
        }
    }
    Ok(())
}

/// `dw = Σ dy x̂` and `db = Σ dy`, the gradients by γ and β, in one pass over x and dy.
///
/// # Errors
/// As [`batchnorm_moments`].
pub fn batchnorm_backward_affine<T: Real>(
    cx: &Context,
    shape: &BatchNormShape,
    x: View<T>,
    moments: Moments<T>,
    dy: View<T>,
    [dw, db]: [ViewMut<T>; 2],
) -> Result<()> {
    const OP: &str = "batchnorm_backward_affine";
    let vectors = [("mean", moments.mean.len()), ("variance", moments.variance.len()), ("dw", dw.len()), ("db", db.len())];
    shape.check(OP, &[("x", x.len()), ("dy", dy.len())], &vectors)?;
    cx.require_cpu(OP)?;
    let normal = Normal::new(OP, moments)?;
    let (x, dy) = (host(OP, "x", x)?, host(OP, "dy", dy)?);
    let gradients = [host_mut(OP, "dw", dw)?, host_mut(OP, "db", db)?];
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::batchnorm_backward_affine(x, &normal, dy, gradients),
        isa => simd::batchnorm_backward_affine(isa, shape, x, &normal, dy, gradients),
    }
    Ok(())
}

/// `dx`, the gradient by x, which the moments are those of, set or accumulated. `w`: γ; `dw`, `db`: what
/// [`batchnorm_backward_affine`] gives for this dy.
///
/// # Errors
/// As [`batchnorm_moments`].
#[expect(clippy::too_many_arguments, reason = "every one is a separate array of the formula")]
pub fn batchnorm_backward_data<T: Real>(
    cx: &Context,
    shape: &BatchNormShape,
    x: View<T>,
    moments: Moments<T>,
    [w, dw, db]: [View<T>; 3],
    dy: View<T>,
    dx: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    const OP: &str = "batchnorm_backward_data";
    let [mean, variance] = [("mean", moments.mean.len()), ("variance", moments.variance.len())];
    let vectors = [mean, variance, ("w", w.len()), ("dw", dw.len()), ("db", db.len())];
    shape.check(OP, &[("x", x.len()), ("dy", dy.len()), ("dx", dx.len())], &vectors)?;
    cx.require_cpu(OP)?;
    let normal = Normal::new(OP, moments)?;
    let (x, dy, dx) = (host(OP, "x", x)?, host(OP, "dy", dy)?, host_mut(OP, "dx", dx)?);
    let (w, dw, db) = (host(OP, "w", w)?, host(OP, "dw", dw)?, host(OP, "db", db)?);
    // dx = a dy + b (x - μ) + c, channel by channel.
    let rows = shape.rows as f64;
    let line = |channel: usize| {
        let [scale, dw, db] = [normal.scale[channel], dw[channel], db[channel]].map(T::to_f64);
        let a = w[channel].to_f64() * scale;
        [a, -a * scale * dw / rows, -a * db / rows]
    };
    let lines: Vec<[f64; 3]> = (0..shape.c).map(line).collect();
    let [a, b, c] = [0, 1, 2].map(|term| lines.iter().map(|line| T::from_f64(line[term])).collect::<Vec<T>>());
    let line = Line { mean: normal.mean, a: &a, b: &b, c: &c };
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::batchnorm_backward_data(x, line, dy, dx, acc),
        isa => simd::batchnorm_backward_data(isa, x, line, dy, dx, acc),
    }
    Ok(())
}

//! Batch normalisation: every channel with mean 0 and variance 1, then scaled and moved.
//!
//! With x of m rows (samples times pixels) of c channels, and per channel μ, σ² (over m, biased), ε:
//!
//! - forward: `x̂ = (x - μ)/√(σ² + ε)`, `y = γ x̂ + β`
//! - backward, μ and σ² being those of x: `dγ = Σ dy x̂`, `dβ = Σ dy`, `dx = γ/√(σ² + ε) (dy - (dβ + x̂ dγ)/m)`
//!
//! Memory is their limit, so that what follows goes along in the same passes: a residual and a ReLU in the forward pass
//! ([`After`]), `y = max(0, γ x̂ + β + s)`, and the ReLU's derivative in the backward passes ([`Gated`]).
//!
//! The variance is the mean square of deviations from the mean, never E\[x²\] - μ²: groups of rows of a fixed number are
//! measured alone, side by side on rayon's threads, and merged in their order (Chan, Golub, LeVeque 1979), so that bits do not
//! depend on the number of threads.
//! Source: Ioffe, Szegedy 2015.

#[cfg(feature = "cuda")]
pub(crate) mod cuda;
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

/// What follows the normalisation in the same pass: `y = φ(γ x̂ + β + s)`.
#[derive(Clone, Copy, Debug)]
pub struct After<'a, T: Real> {
    /// s: rows x c, or nothing.
    pub residual: Option<View<'a, T>>,
    /// Whether φ is ReLU; else it is the identity.
    pub relu: bool,
}

impl<T: Real> After<'_, T> {
    /// Nothing follows.
    pub const NOTHING: After<'static, T> = After { residual: None, relu: false };
}

/// The gradient by y, which goes on to `γ x̂ + β + s` where the ReLU that followed was on, and is 0 elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Gated<'a, T: Real> {
    /// The gradient by y.
    pub dy: View<'a, T>,
    /// Where the ReLU was on.
    pub gate: Gate<'a, T>,
}

impl<'a, T: Real> From<View<'a, T>> for Gated<'a, T> {
    fn from(dy: View<'a, T>) -> Gated<'a, T> {
        Gated { dy, gate: Gate::Open }
    }
}

/// Where a ReLU was on.
#[derive(Clone, Copy, Debug)]
pub enum Gate<'a, T: Real> {
    /// Everywhere: none followed.
    Open,
    /// Where `γ x̂ + β > 0`, computed again, bit for bit as in the forward pass; γ and β.
    Normalised([View<'a, T>; 2]),
    /// Where `y > 0`, with a residual before the ReLU; y.
    Outputs(View<'a, T>),
}

/// [`Moments`] on the host, as x̂ takes them.
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

    /// γ/√(σ² + ε).
    fn slope(&self, w: &[T]) -> Vec<T> {
        self.scale.iter().zip(w).map(|(&scale, &w)| scale * w).collect()
    }
}

/// `y = slope (x - mean) + b`, channel by channel.
#[derive(Clone, Copy)]
struct Affine<'a, T> {
    mean: &'a [T],
    slope: &'a [T],
    b: &'a [T],
}

/// [`Gated`] on the host.
#[derive(Clone, Copy)]
struct Upstream<'a, T> {
    dy: &'a [T],
    mask: Mask<'a, T>,
}

/// [`Gate`] on the host.
#[derive(Clone, Copy)]
enum Mask<'a, T> {
    Open,
    Normalised(Affine<'a, T>),
    Outputs(&'a [T]),
}

impl<'a, T: Real> Gated<'a, T> {
    fn check(&self, op: &'static str, shape: &BatchNormShape) -> Result<()> {
        let dy = ("dy", self.dy.len());
        match self.gate {
            Gate::Open => shape.check(op, &[dy], &[]),
            Gate::Normalised([w, b]) => shape.check(op, &[dy], &[("w", w.len()), ("b", b.len())]),
            Gate::Outputs(y) => shape.check(op, &[dy, ("y", y.len())], &[]),
        }
    }

    /// The slope of a gate that has one.
    fn slope(&self, op: &'static str, normal: &Normal<'_, T>) -> Result<Vec<T>> {
        match self.gate {
            Gate::Normalised([w, _]) => Ok(normal.slope(host(op, "w", w)?)),
            Gate::Open | Gate::Outputs(_) => Ok(Vec::new()),
        }
    }

    fn on_host(self, op: &'static str, mean: &'a [T], slope: &'a [T]) -> Result<Upstream<'a, T>> {
        let mask = match self.gate {
            Gate::Open => Mask::Open,
            Gate::Normalised([_, b]) => Mask::Normalised(Affine { mean, slope, b: host(op, "b", b)? }),
            Gate::Outputs(y) => Mask::Outputs(host(op, "y", y)?),
        };
        Ok(Upstream { dy: host(op, "dy", self.dy)?, mask })
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
/// If a size is zero, a length disagrees with the shape, or a view is not on the context's device.
pub fn batchnorm_moments<T: Real>(
    cx: &Context,
    shape: &BatchNormShape,
    x: View<T>,
    mean: ViewMut<T>,
    variance: ViewMut<T>,
) -> Result<()> {
    const OP: &str = "batchnorm_moments";
    shape.check(OP, &[("x", x.len())], &[("mean", mean.len()), ("variance", variance.len())])?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::batchnorm_moments(device, OP, shape, x, [mean, variance]);
    }
    let (x, mean, variance) = (host(OP, "x", x)?, host_mut(OP, "mean", mean)?, host_mut(OP, "variance", variance)?);
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::batchnorm_moments(shape, x, mean, variance),
        isa => simd::batchnorm_moments(isa, shape, x, mean, variance),
    }
    Ok(())
}

/// `y = γ x̂ + β` with the moments given, and what follows. `w`: γ; `b`: β.
///
/// # Errors
/// As [`batchnorm_moments`].
pub fn batchnorm_forward<T: Real>(
    cx: &Context,
    shape: &BatchNormShape,
    x: View<T>,
    moments: Moments<T>,
    [w, b]: [View<T>; 2],
    after: After<T>,
    y: ViewMut<T>,
) -> Result<()> {
    const OP: &str = "batchnorm_forward";
    let vectors = [("mean", moments.mean.len()), ("variance", moments.variance.len()), ("w", w.len()), ("b", b.len())];
    shape.check(OP, &[("x", x.len()), ("y", y.len())], &vectors)?;
    after.residual.map_or(Ok(()), |residual| shape.check(OP, &[("residual", residual.len())], &[]))?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::batchnorm_forward(device, OP, shape, x, moments, [w, b], after, y);
    }
    let normal = Normal::new(OP, moments)?;
    let slope = normal.slope(host(OP, "w", w)?);
    let affine = Affine { mean: normal.mean, slope: &slope, b: host(OP, "b", b)? };
    let residual = after.residual.map(|residual| host(OP, "residual", residual)).transpose()?;
    let (x, y) = (host(OP, "x", x)?, host_mut(OP, "y", y)?);
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::batchnorm_forward(x, affine, (residual, after.relu), y),
        isa => simd::batchnorm_forward(isa, x, affine, (residual, after.relu), y),
    }
    Ok(())
}

/// `dw = Σ dy x̂` and `db = Σ dy`, the gradients by γ and β, in one pass over x and the gated dy, which is the gradient by a
/// residual, set or accumulated in `ds` in the same pass.
///
/// # Errors
/// As [`batchnorm_moments`].
pub fn batchnorm_backward_affine<T: Real>(
    cx: &Context,
    shape: &BatchNormShape,
    x: View<T>,
    moments: Moments<T>,
    dy: Gated<T>,
    ds: Option<(ViewMut<T>, Acc)>,
    [dw, db]: [ViewMut<T>; 2],
) -> Result<()> {
    const OP: &str = "batchnorm_backward_affine";
    let vectors = [("mean", moments.mean.len()), ("variance", moments.variance.len()), ("dw", dw.len()), ("db", db.len())];
    shape.check(OP, &[("x", x.len())], &vectors)?;
    dy.check(OP, shape)?;
    ds.as_ref().map_or(Ok(()), |(ds, _)| shape.check(OP, &[("ds", ds.len())], &[]))?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::batchnorm_backward_affine(device, OP, shape, x, moments, dy, ds, [dw, db]);
    }
    let normal = Normal::new(OP, moments)?;
    let slope = dy.slope(OP, &normal)?;
    let (x, dy) = (host(OP, "x", x)?, dy.on_host(OP, normal.mean, &slope)?);
    let ds = ds.map(|(ds, acc)| host_mut(OP, "ds", ds).map(|ds| (ds, acc))).transpose()?;
    let gradients = [host_mut(OP, "dw", dw)?, host_mut(OP, "db", db)?];
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::batchnorm_backward_affine(x, &normal, dy, ds, gradients),
        isa => simd::batchnorm_backward_affine(isa, shape, x, &normal, dy, ds, gradients),
    }
    Ok(())
}

/// `dx`, the gradient by x, which the moments are those of, set or accumulated. `w`: γ; `dw`, `db`: what
/// [`batchnorm_backward_affine`] gives for this dy. After that has set `ds`, it is this dy, without a gate.
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
    dy: Gated<T>,
    dx: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    const OP: &str = "batchnorm_backward_data";
    let [mean, variance] = [("mean", moments.mean.len()), ("variance", moments.variance.len())];
    let vectors = [mean, variance, ("w", w.len()), ("dw", dw.len()), ("db", db.len())];
    shape.check(OP, &[("x", x.len()), ("dx", dx.len())], &vectors)?;
    dy.check(OP, shape)?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::batchnorm_backward_data(device, OP, shape, x, moments, [w, dw, db], dy, (dx, acc));
    }
    let normal = Normal::new(OP, moments)?;
    let slope = dy.slope(OP, &normal)?;
    let (x, dy, dx) = (host(OP, "x", x)?, dy.on_host(OP, normal.mean, &slope)?, host_mut(OP, "dx", dx)?);
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

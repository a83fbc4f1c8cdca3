//! The diagonal linear network `h(x) = Σ_j u_j v_j x_j` under half squared error, and its fused training steps.
//!
//! With β = u∘v, predictions y = Xβ and residuals r:
//!
//! - forward: `y_i = Σ_j x_ij u_j v_j`
//! - backward: `du = (Xᵀ dy)∘v`, `dv = (Xᵀ dy)∘u`
//! - SGD: `u -= lr·g∘v`, `v -= lr·g∘u` at once, with g = 1/B Σ_{i in batch} r_i x_i
//! - GD: the same with the whole data set as the batch
//!
//! Parameters are one vector per replica, u then v. A replica's bits do not depend on the other replicas of a call.
//! Sources: Woodworth et al. 2020; Andriushchenko et al. 2023, section 2.3.1.

#[cfg(feature = "cuda")]
mod cuda;
mod fused;
mod scalar;
mod simd;
#[cfg(test)]
mod tests;

use crate::context::{host, host_mut};
use crate::error::exact;
pub use crate::steps::{StepSizes, Steps};
use crate::{Acc, Context, Error, Isa, Real, Result, Variants, View, ViewMut};
pub use fused::{diagonal_gd, diagonal_sgd};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "diagonal", isas: &[Isa::Scalar, Isa::Avx2, Isa::Avx512] };

/// Sizes of a data matrix and of a group of diagonal networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiagonalShape {
    /// Samples: rows of x.
    pub n: usize,
    /// Features: used columns of x; a replica has 2d parameters.
    pub d: usize,
    /// Elements from one row of x to the next, at least d. Rows that start on 64 bytes are fastest.
    pub stride: usize,
    /// Networks trained side by side.
    pub replicas: usize,
}

impl DiagonalShape {
    /// Dense rows (`stride = d`).
    pub fn new(n: usize, d: usize, replicas: usize) -> DiagonalShape {
        DiagonalShape { n, d, stride: d, replicas }
    }

    /// The stride that puts every row of `d` elements on a 64-byte boundary of an aligned buffer.
    pub fn aligned_stride<T: Real>(d: usize) -> usize {
        d.next_multiple_of(64 / size_of::<T>())
    }

    /// Parameters of all replicas: `replicas · 2d`.
    pub fn params(&self) -> usize {
        self.replicas * 2 * self.d
    }

    /// Elements of x that must be there: `(n-1)·stride + d`.
    fn data(&self) -> usize {
        (self.n - 1) * self.stride + self.d
    }

    fn check(&self, op: &'static str, x: usize, params: usize) -> Result<()> {
        for (what, got, least) in
            [("n", self.n, 1), ("d", self.d, 1), ("replicas", self.replicas, 1), ("stride", self.stride, self.d)]
        {
            if got < least {
                return Err(Error::Shape { op, what, got, expected: format!("at least {least}") });
            }
        }
        if x < self.data() {
            return Err(Error::Length { op, argument: "x", got: x, expected: self.data(), formula: "at least (n-1)*stride + d" });
        }
        exact(op, "params", params, self.params(), "replicas * 2d: u then v of each")
    }
}

/// Predictions `y[r,i] = Σ_j x[i,j] u[r,j] v[r,j]`.
///
/// `x`: n rows of d (by stride); `params`: replicas x 2d; `y`: replicas x n.
///
/// # Errors
/// If a length disagrees with the shape or a view is not on the context's device.
pub fn diagonal_forward<T: Real>(cx: &Context, shape: &DiagonalShape, x: View<T>, params: View<T>, y: ViewMut<T>) -> Result<()> {
    const OP: &str = "diagonal_forward";
    shape.check(OP, x.len(), params.len())?;
    exact(OP, "y", y.len(), shape.replicas * shape.n, "replicas * n")?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::diagonal_forward(device, OP, shape, x, params, y);
    }
    let (x, params, y) = (host(OP, "x", x)?, host(OP, "params", params)?, host_mut(OP, "y", y)?);
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => {
            for (params, y) in params.chunks_exact(2 * shape.d).zip(y.chunks_exact_mut(shape.n)) {
                scalar::diagonal_forward(shape, x, params, y);
            }
        }
        isa => simd::diagonal_forward(isa, shape, x, params, y, &mut cx.scratch(shape.replicas * shape.d)),
    }
    Ok(())
}

/// Gradients of the parameters from those of the predictions: `du = (Xᵀ dy)∘v`, `dv = (Xᵀ dy)∘u`.
///
/// `dy`: replicas x n; `dparams`: replicas x 2d, du then dv of each, set or accumulated.
///
/// # Errors
/// If a length disagrees with the shape or a view is not on the context's device.
pub fn diagonal_backward_weight<T: Real>(
    cx: &Context,
    shape: &DiagonalShape,
    x: View<T>,
    params: View<T>,
    dy: View<T>,
    dparams: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    const OP: &str = "diagonal_backward_weight";
    shape.check(OP, x.len(), params.len())?;
    exact(OP, "dy", dy.len(), shape.replicas * shape.n, "replicas * n")?;
    exact(OP, "dparams", dparams.len(), shape.params(), "replicas * 2d: du then dv of each")?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::diagonal_backward_weight(device, OP, shape, [x, params, dy], dparams, acc);
    }
    let (x, params) = (host(OP, "x", x)?, host(OP, "params", params)?);
    let (dy, dparams) = (host(OP, "dy", dy)?, host_mut(OP, "dparams", dparams)?);
    let mut dbeta = cx.scratch(shape.d);
    let replicas = params.chunks_exact(2 * shape.d).zip(dy.chunks_exact(shape.n)).zip(dparams.chunks_exact_mut(2 * shape.d));
    for ((params, dy), dparams) in replicas {
        match VARIANTS.runs_under(cx.isa()) {
            Isa::Scalar => scalar::diagonal_backward_weight(shape, x, params, dy, dparams, acc),
            isa => simd::diagonal_backward_weight(isa, shape, x, params, dy, dparams, acc, &mut dbeta),
        }
    }
    Ok(())
}

//! Diagonal networks of any depth under squared error, and their fused batch-1 SGD; of one feature they are networks of single
//! neurons, as u φ(w x).
//!
//! `h(x) = Σ_j w_Lj φ(... φ(w_1j x_j))`. With a_0 = x, z_l = w_l∘a_{l-1}, a_l = φ(z_l), h(x) = Σ_j z_Lj, the sample's loss
//! s/2 r², r = h(x) - y, and s = 1 or 2 ([`MseScale`]):
//!
//! - `δ_L = s r`, `δ_{l-1} = (w_l∘δ_l)∘φ'(z_{l-1})`
//! - gradient: `∇w_l = δ_l∘a_{l-1}`, all from the weights before the step
//! - step: `w -= lr ∇w`
//!
//! A replica's parameters are w_1 to w_L, d each. Its bits do not depend on the other replicas of a call, nor on how its steps
//! are divided into calls.

mod scalar;
mod simd;
#[cfg(test)]
mod tests;

pub(crate) use simd::DeepDiagonalSimd;

use crate::activation::Activation;
use crate::context::{host, host_mut};
use crate::error::positive;
use crate::mse::MseScale;
use crate::steps::{Lengths, Sizes, live};
use crate::{Context, Isa, Real, Result, Steps, Variants, View, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "deep_diagonal", isas: &[Isa::Scalar, Isa::Avx2, Isa::Avx512] };

/// Sizes of a data matrix and of a group of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeepDiagonalShape {
    /// L, weights per feature.
    pub depth: usize,
    /// Features: used columns of x.
    pub d: usize,
    /// φ.
    pub activation: Activation,
    /// Samples: rows of x.
    pub n: usize,
    /// Elements from one row of x to the next, at least d.
    pub stride: usize,
    /// Networks trained side by side.
    pub replicas: usize,
}

impl DeepDiagonalShape {
    /// Parameters of one replica.
    pub fn params(&self) -> usize {
        self.depth * self.d
    }

    fn row<'a, T>(&self, x: &'a [T], sample: u32) -> &'a [T] {
        &x[sample as usize * self.stride..][..self.d]
    }
}

/// SGD with one sample a step, all `steps` at once per replica, as the module's formulas say.
///
/// `x`: n rows of d (by stride); `y`: n; `params`: replicas x [`DeepDiagonalShape::params`], updated in place; `diverged`: one
/// entry per replica. A replica diverges at the first step with a residual that is not finite: the entry becomes that step's
/// number within this call, and the replica stays as it was before that step. A replica whose entry is `Some` on entry is left
/// alone.
///
/// # Errors
/// If a size is zero, the batch is not 1, a length disagrees with the shape, an index of `order` is not below n, or a view is not
/// on the context's device. Nothing has been updated then.
#[expect(clippy::too_many_arguments, reason = "the contract of every fused step, and the loss")]
pub fn deep_diagonal_sgd<T: Real>(
    cx: &Context,
    shape: &DeepDiagonalShape,
    scale: MseScale,
    x: View<T>,
    y: View<T>,
    steps: Steps<'_, T>,
    params: ViewMut<T>,
    diverged: &mut [Option<usize>],
) -> Result<()> {
    const OP: &str = "deep_diagonal_sgd";
    let DeepDiagonalShape { depth, d, n, stride, replicas, .. } = *shape;
    positive(OP, &[("depth", depth)])?;
    let lengths = Lengths { x: x.len(), y: y.len(), params: params.len(), diverged: diverged.len() };
    Sizes { widths: &[d, 1], n, stride, replicas }.check(OP, lengths, || shape.params())?;
    steps.check_singles(OP, n, replicas)?;
    cx.require_cpu(OP)?;
    let (x, y, params) = (host(OP, "x", x)?, host(OP, "y", y)?, host_mut(OP, "params", params)?);
    let steps = steps.on_host(OP)?;
    let live = live(shape.params(), params, diverged, |replica, replicas| steps.of(replica, replicas));
    let task = Task { shape: *shape, scale: scale.factor(), x, y };
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => live.into_iter().for_each(|replica| scalar::deep_diagonal_sgd(&task, replica)),
        isa => T::deep_diagonal_sgd(cx, isa, &task, live),
    }
    Ok(())
}

/// The checked arguments that replicas share.
pub struct Task<'a, T> {
    shape: DeepDiagonalShape,
    /// s.
    scale: T,
    x: &'a [T],
    y: &'a [T],
}

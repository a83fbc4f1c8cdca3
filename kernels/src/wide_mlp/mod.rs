//! Perceptrons with one wide hidden layer and many outputs under squared error, without biases, and their fused batch-1 SGD.
//!
//! `h(x) = W₂ φ(W₁ x)`. With z = W₁ x, a = φ(z), the residuals r = W₂ a - y of m outputs, the sample's loss s/(2m) ‖r‖², and
//! s = 1 or 2 ([`MseScale`]):
//!
//! - e = s/m r
//! - `∇W₂ = e aᵀ`, `∇W₁ = δ xᵀ` with `δ = (W₂ᵀ e) ∘ φ'(z)`, from the weights before the step
//! - step: `w -= lr ∇w`
//!
//! A network of 200-200-200 is 320 kB in `f32`: it fits into a second-level cache, and reading and writing it is what a step
//! costs. The fast variants keep the rank-1 updates of [`DELAY`] steps apart, W = W' - Σ_k lr δ_k x_kᵀ, and subtract them from
//! the matrices together: in between a step reads each matrix once and writes none.
//!
//! A replica's parameters are W₁ (hidden x inputs) and then W₂ (outputs x hidden), row-major. Its bits do not depend on the
//! other replicas of a call; a call that is not a multiple of [`DELAY`] steps long ends with fewer updates at once, which rounds
//! otherwise than a call that goes on. A CUDA device subtracts every update with the next step's product: how its steps are divided
//! into calls changes no bit.

#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod scalar;
mod simd;
#[cfg(test)]
mod tests;

pub(crate) use simd::WideMlpSimd;

use crate::activation::Activation;
use crate::context::{host, host_mut};
use crate::error::{exact, positive};
use crate::mse::MseScale;
use crate::steps::live;
use crate::{Context, Error, Isa, Real, Result, Steps, Variants, View, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "wide_mlp", isas: &[Isa::Scalar, Isa::Avx2, Isa::Avx512] };

/// Steps whose updates the fast variants subtract from the matrices together.
pub const DELAY: usize = 16;

/// Sizes of a data matrix and of a group of perceptrons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WideMlpShape {
    /// Used elements of a row of x.
    pub inputs: usize,
    /// Rows of W₁.
    pub hidden: usize,
    /// Rows of W₂.
    pub outputs: usize,
    /// φ.
    pub activation: Activation,
    /// Samples: rows of x and of y.
    pub n: usize,
    /// Elements from one row of x to the next, at least the number of inputs.
    pub stride: usize,
    /// Networks trained one after another.
    pub replicas: usize,
}

impl WideMlpShape {
    /// Parameters of one replica.
    pub fn params(&self) -> usize {
        self.hidden * (self.inputs + self.outputs)
    }

    fn check(&self, op: &'static str, [x, y, params, diverged]: [usize; 4]) -> Result<()> {
        let WideMlpShape { inputs, hidden, outputs, n, stride, replicas, .. } = *self;
        let sizes = [("inputs", inputs), ("hidden", hidden), ("outputs", outputs), ("n", n), ("replicas", replicas)];
        positive(op, &sizes)?;
        if stride < inputs {
            return Err(Error::Shape { op, what: "stride", got: stride, expected: format!("at least the inputs, {inputs}") });
        }
        let rows = (n - 1) * stride + inputs;
        if x < rows {
            let formula = "at least (n-1)*stride + inputs";
            return Err(Error::Length { op, argument: "x", got: x, expected: rows, formula });
        }
        exact(op, "y", y, n * outputs, "n * outputs")?;
        exact(op, "params", params, replicas * self.params(), "replicas * parameters of one")?;
        exact(op, "diverged", diverged, replicas, "replicas")
    }
}

/// SGD with one sample a step, all `steps` at once per replica, as the module's formulas say.
///
/// `x`: n rows of `inputs` (by stride); `y`: n x outputs; `params`: replicas x [`WideMlpShape::params`], updated in place;
/// `diverged`: one entry per replica. A replica diverges at the first step with a residual that is not finite: the entry becomes
/// that step's number within this call, and the replica stays as it was before that step. A replica whose entry is `Some` on
/// entry is left alone.
///
/// # Errors
/// If a size is zero, the batch is not 1, a length disagrees with the shape, an index of `order` is not below n, or a view is not
/// on the context's device. Nothing has been updated then.
#[expect(clippy::too_many_arguments, reason = "the contract of every fused step, and the loss")]
pub fn wide_mlp_sgd<T: Real>(
    cx: &Context,
    shape: &WideMlpShape,
    scale: MseScale,
    x: View<T>,
    y: View<T>,
    steps: Steps<'_, T>,
    params: ViewMut<T>,
    diverged: &mut [Option<usize>],
) -> Result<()> {
    const OP: &str = "wide_mlp_sgd";
    shape.check(OP, [x.len(), y.len(), params.len(), diverged.len()])?;
    steps.check_singles(OP, shape.n, shape.replicas)?;
    let gain = scale.factor::<T>() / T::from_f64(shape.outputs as f64);
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::wide_mlp_sgd(device, OP, shape, gain, [x, y], steps, params, diverged);
    }
    let (x, y, params) = (host(OP, "x", x)?, host(OP, "y", y)?, host_mut(OP, "params", params)?);
    let steps = steps.on_host(OP)?;
    let live = live(shape.params(), params, diverged, |replica, replicas| steps.of(replica, replicas));
    let task = Task { shape: *shape, gain, x, y };
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => live.into_iter().for_each(|replica| scalar::wide_mlp_sgd(&task, replica)),
        isa => T::wide_mlp_sgd(cx, isa, &task, live),
    }
    Ok(())
}

/// The checked arguments that replicas share.
pub struct Task<'a, T> {
    shape: WideMlpShape,
    /// s/m.
    gain: T,
    x: &'a [T],
    y: &'a [T],
}

impl<'a, T> Task<'a, T> {
    /// Inputs and targets of a sample.
    fn sample(&self, index: u32) -> (&'a [T], &'a [T]) {
        let WideMlpShape { inputs, outputs, stride, .. } = self.shape;
        let index = index as usize;
        (&self.x[index * stride..][..inputs], &self.y[index * outputs..][..outputs])
    }
}

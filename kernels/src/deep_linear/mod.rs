//! Training of deep linear networks `h(x) = W_L ... W_1 x` with one output and no biases, at any batch size.
//!
//! The network is linear, so that a batch enters its gradient only through one vector. With
//!
//! - backward products `b_L = 1`, `b_{l-1} = W_lᵀ b_l`, which end in the network's own vector `p = b_0`: `h(x) = p·x`,
//! - `g = scale/B Σ_{i in batch} (p·x_i - y_i) x_i`,
//! - forward products `f_0 = g`, `f_l = W_l f_{l-1}`,
//!
//! the gradient of the squared error is `dW_l = b_l f_{l-1}ᵀ`, of rank one, and its squared norm over all layers is
//! `Σ_l |b_l|² |f_{l-1}|²`. A step costs `O(B d)` for the samples and `O(Σ out·in)` for the weights, where backpropagation
//! sample by sample costs `O(B Σ out·in)`.
//!
//! Parameters are one vector per replica: W_1 to W_L, each row-major as out x in. A replica's bits do not depend on the other
//! replicas of a call, nor on how its steps are divided into calls.

#[cfg(feature = "cuda")]
mod cuda;
mod scalar;
mod simd;
#[cfg(test)]
mod tests;

pub(crate) use simd::DeepLinearSimd;

use crate::context::{host, host_mut};
use crate::steps::{Lengths, Replica, Sizes, live};
use crate::{Context, Isa, Real, Result, StepRule, StepSizes, Steps, Variants, View, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "deep_linear", isas: &[Isa::Scalar, Isa::Avx2, Isa::Avx512] };

/// Sizes of a data matrix and of a group of deep linear networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeepLinearShape<'a> {
    /// d, the widths of the hidden layers, 1: layer l maps `widths[l-1]` numbers to `widths[l]`.
    pub widths: &'a [usize],
    /// Samples: rows of x.
    pub n: usize,
    /// Elements from one row of x to the next, at least d. Rows that start on 64 bytes are fastest.
    pub stride: usize,
    /// Networks trained side by side.
    pub replicas: usize,
}

impl<'a> DeepLinearShape<'a> {
    /// Dense rows (`stride = d`; an empty list of widths, which every operator refuses, has none).
    pub fn new(widths: &'a [usize], n: usize, replicas: usize) -> DeepLinearShape<'a> {
        DeepLinearShape { widths, n, stride: widths.first().copied().unwrap_or_default(), replicas }
    }

    /// Parameters of one replica: `Σ out·in`.
    pub fn params(&self) -> usize {
        self.layers().map(|(inputs, outputs)| inputs * outputs).sum()
    }

    /// Inputs and outputs of W_1, W_2, ...
    fn layers(&self) -> impl Iterator<Item = (usize, usize)> + use<'a> {
        self.widths.windows(2).map(|pair| (pair[0], pair[1]))
    }

    /// Features: used columns of x.
    fn d(&self) -> usize {
        self.widths[0]
    }
}

/// SGD on the squared error, all `steps` at once per replica, with batches of the same size.
///
/// `x`: n rows of d (by stride); `y`: n; `params`: replicas x [`DeepLinearShape::params`], updated in place; `diverged`: one
/// entry per replica. A replica diverges at the first step with a residual that is not finite: the entry becomes that step's
/// number within this call, and the replica stays as it was before that step. A replica whose entry is `Some` on entry is left
/// alone.
///
/// # Errors
/// If the widths do not end in one output, a length disagrees with the shape, an index of `order` is not below n, the batch is
/// empty, or a view is not on the context's device. Nothing has been updated then.
#[expect(clippy::too_many_arguments, reason = "the contract of every fused step, and the rule")]
pub fn deep_linear_sgd<T: Real>(
    cx: &Context,
    shape: &DeepLinearShape<'_>,
    rule: &StepRule<T>,
    x: View<T>,
    y: View<T>,
    steps: Steps<'_, T>,
    params: ViewMut<T>,
    diverged: &mut [Option<usize>],
) -> Result<()> {
    const OP: &str = "deep_linear_sgd";
    check(OP, shape, &x, &y, &params, diverged)?;
    steps.check(OP, shape.n, shape.replicas)?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::train(device, OP, shape, rule, [x, y], Some((steps.order, steps.batch)), steps.lr, params, diverged);
    }
    let (task, params) = operands(OP, shape, rule, x, y, params)?;
    let steps = steps.on_host(OP)?;
    let replicas = live(shape.params(), params, diverged, |replica, replicas| steps.of(replica, replicas));
    train(cx, &task, Some(steps.batch), replicas);
    Ok(())
}

/// Gradient descent: [`deep_linear_sgd`] with all n samples in every step.
///
/// # Errors
/// If the widths do not end in one output, a length disagrees with the shape, or a view is not on the context's device.
#[expect(clippy::too_many_arguments, reason = "as deep_linear_sgd")]
pub fn deep_linear_gd<T: Real>(
    cx: &Context,
    shape: &DeepLinearShape<'_>,
    rule: &StepRule<T>,
    x: View<T>,
    y: View<T>,
    lr: StepSizes<'_, T>,
    params: ViewMut<T>,
    diverged: &mut [Option<usize>],
) -> Result<()> {
    const OP: &str = "deep_linear_gd";
    check(OP, shape, &x, &y, &params, diverged)?;
    lr.check(OP, shape.replicas)?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::train(device, OP, shape, rule, [x, y], None, lr, params, diverged);
    }
    let (task, params) = operands(OP, shape, rule, x, y, params)?;
    train(cx, &task, None, live(shape.params(), params, diverged, |replica, replicas| (&[], lr.of(replica, replicas))));
    Ok(())
}

type Task<'a, T> = crate::steps::Task<'a, DeepLinearShape<'a>, T>;

/// The checks that both kinds of step share.
fn check<T: Real>(
    op: &'static str,
    shape: &DeepLinearShape<'_>,
    x: &View<T>,
    y: &View<T>,
    params: &ViewMut<T>,
    diverged: &[Option<usize>],
) -> Result<()> {
    let DeepLinearShape { widths, n, stride, replicas } = *shape;
    let lengths = Lengths { x: x.len(), y: y.len(), params: params.len(), diverged: diverged.len() };
    Sizes { widths, n, stride, replicas }.check(op, lengths, || shape.params())
}

/// The checked arguments on the host.
fn operands<'a, T: Real>(
    op: &'static str,
    shape: &DeepLinearShape<'a>,
    rule: &StepRule<T>,
    x: View<'a, T>,
    y: View<'a, T>,
    params: ViewMut<'a, T>,
) -> Result<(Task<'a, T>, &'a mut [T])> {
    let (x, y, params) = (host(op, "x", x)?, host(op, "y", y)?, host_mut(op, "params", params)?);
    Ok((Task { shape: *shape, x, y, rule: *rule }, params))
}

/// Steps of `batch` samples in the replicas' order, or of all of them.
fn train<T: Real>(cx: &Context, task: &Task<'_, T>, batch: Option<usize>, replicas: Vec<Replica<'_, T>>) {
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => replicas.into_iter().for_each(|replica| scalar::train(task, batch, replica)),
        isa => T::deep_linear_train(cx, isa, task, batch, replicas),
    }
}

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

mod scalar;
mod simd;
#[cfg(test)]
mod tests;

use crate::context::{host, host_mut};
use crate::error::exact;
use crate::mse::MseScale;
use crate::{Context, Error, Isa, Real, Result, Steps, Variants, View, ViewMut};

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

    fn check(&self, op: &'static str, x: usize, params: usize) -> Result<()> {
        let at_least = |what, got, least: usize| match got < least {
            true => Err(Error::Shape { op, what, got, expected: format!("at least {least}") }),
            false => Ok(()),
        };
        at_least("the number of widths", self.widths.len(), 2)?;
        for &width in self.widths {
            at_least("a width", width, 1)?;
        }
        let outputs = self.widths[self.widths.len() - 1];
        if outputs != 1 {
            return Err(Error::Shape { op, what: "the last width", got: outputs, expected: "1".to_owned() });
        }
        at_least("n", self.n, 1)?;
        at_least("replicas", self.replicas, 1)?;
        at_least("stride", self.stride, self.d())?;
        let data = (self.n - 1) * self.stride + self.d();
        if x < data {
            return Err(Error::Length { op, argument: "x", got: x, expected: data, formula: "at least (n-1)*stride + d" });
        }
        exact(op, "params", params, self.replicas * self.params(), "replicas * sum of out*in")
    }
}

/// The loss and what happens to its gradient before it is applied: `w -= lr (c dW + weight_decay w)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeepLinearRule<T> {
    /// Which multiple of the half mean squared error.
    pub scale: MseScale,
    /// The greatest norm that the gradient of all layers together, without decay, keeps: `c = min(1, clip/(norm + 1e-6))`, as
    /// `torch.nn.utils.clip_grad_norm_` has it. `None` leaves it as it is: c = 1.
    pub clip: Option<T>,
    /// Coefficient of the weights themselves; 0 for none.
    pub weight_decay: T,
}

impl<T: Real> DeepLinearRule<T> {
    /// c for a gradient of this norm; NaN stays NaN.
    #[inline(always)]
    fn coefficient(clip: T, norm: T) -> T {
        let ratio = clip / (norm + T::from_f64(1e-6));
        if ratio > T::ONE { T::ONE } else { ratio }
    }
}

/// SGD on the squared error, `lr.len()` steps at once per replica, all with batches of the same size.
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
    rule: &DeepLinearRule<T>,
    x: View<T>,
    y: View<T>,
    steps: Steps<'_, T>,
    params: ViewMut<T>,
    diverged: &mut [Option<usize>],
) -> Result<()> {
    const OP: &str = "deep_linear_sgd";
    let (data, params) = operands(OP, cx, shape, x, y, params, diverged)?;
    steps.check(OP, shape.n, shape.replicas)?;
    let replicas = live(shape, params, diverged, |replica| steps.order_of(replica));
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => {
            for replica in replicas {
                let batches = replica.order.chunks_exact(steps.batch).map(|batch| batch.iter().map(|&i| i as usize));
                *replica.diverged = scalar::train(&data, rule, batches.zip(steps.lr), replica.params);
            }
        }
        isa => simd::sgd(cx, isa, &data, rule, &steps, replicas),
    }
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
    rule: &DeepLinearRule<T>,
    x: View<T>,
    y: View<T>,
    lr: &[T],
    params: ViewMut<T>,
    diverged: &mut [Option<usize>],
) -> Result<()> {
    const OP: &str = "deep_linear_gd";
    let (data, params) = operands(OP, cx, shape, x, y, params, diverged)?;
    let replicas = live(shape, params, diverged, |_| &[]);
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => {
            for replica in replicas {
                *replica.diverged = scalar::train(&data, rule, lr.iter().map(|lr| (0..shape.n, lr)), replica.params);
            }
        }
        isa => simd::gd(cx, isa, &data, rule, lr, replicas),
    }
    Ok(())
}

/// The data set; lengths are checked.
struct Data<'a, T> {
    shape: DeepLinearShape<'a>,
    x: &'a [T],
    y: &'a [T],
}

/// A replica that takes part in a call.
struct Replica<'a, T> {
    order: &'a [u32],
    params: &'a mut [T],
    diverged: &'a mut Option<usize>,
}

/// The replicas that have not diverged.
fn live<'a, T>(
    shape: &DeepLinearShape<'_>,
    params: &'a mut [T],
    diverged: &'a mut [Option<usize>],
    order: impl Fn(usize) -> &'a [u32],
) -> Vec<Replica<'a, T>> {
    let replicas = params.chunks_exact_mut(shape.params()).zip(diverged).enumerate();
    let live = replicas.filter(|(_, (_, diverged))| diverged.is_none());
    live.map(|(replica, (params, diverged))| Replica { order: order(replica), params, diverged }).collect()
}

/// The checks that both kinds of step share.
fn operands<'a, T: Real>(
    op: &'static str,
    cx: &Context,
    shape: &DeepLinearShape<'a>,
    x: View<'a, T>,
    y: View<'a, T>,
    params: ViewMut<'a, T>,
    diverged: &[Option<usize>],
) -> Result<(Data<'a, T>, &'a mut [T])> {
    cx.require_cpu(op)?;
    let (x, y, params) = (host(op, "x", x)?, host(op, "y", y)?, host_mut(op, "params", params)?);
    shape.check(op, x.len(), params.len())?;
    exact(op, "y", y.len(), shape.n, "n")?;
    exact(op, "diverged", diverged.len(), shape.replicas, "replicas")?;
    Ok((Data { shape: *shape, x, y }, params))
}

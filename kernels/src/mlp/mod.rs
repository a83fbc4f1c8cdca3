//! Small multilayer perceptrons with one output under squared error, and their fused batch-1 SGD.
//!
//! `h(x) = W_L φ(... φ(W_1 x + b_1) ...) + b_L` with φ the identity or relu, none after the last layer. With a_0 = x,
//! a_l = φ(W_l a_{l-1} + b_l), the sample's loss s/2 r², r = h(x) - y, and s = 1 or 2 ([`MseScale`](crate::mse::MseScale)):
//!
//! - `δ_L = 1`, `δ_l = (W_{l+1}ᵀ δ_{l+1}) ∘ φ'(a_l)`, where relu has the derivative 0 at 0
//! - gradient: `∇W_l = s r δ_l a_{l-1}ᵀ`, `∇b_l = s r δ_l`, all from the weights before the step
//! - clipping, on the gradient g of all parameters: `c = min(1, clip / (‖g‖ + 1e-6))`, else c = 1
//! - step: `w -= lr (c g + weight_decay w)`, biases included
//!
//! Every gradient is a rank-1 matrix, so that `‖g‖² = s² r² Σ_l ‖δ_l‖² (‖a_{l-1}‖² + [layer l has a bias])`.
//!
//! A replica's parameters are its layers in order, each a row-major weight (outputs x inputs) and then its bias if it has
//! one. A replica's bits do not depend on the other replicas of a call, nor on how its steps are divided into calls.

#[cfg(feature = "cuda")]
mod cuda;
mod scalar;
mod simd;
#[cfg(test)]
mod tests;

pub(crate) use simd::MlpSimd;

use crate::context::{host, host_mut};
use crate::steps::{Lengths, Sizes, live};
use crate::{Context, Isa, Real, Result, StepRule, Steps, Variants, View, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "mlp", isas: &[Isa::Scalar, Isa::Avx2, Isa::Avx512] };

/// Which layers have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    /// None of them.
    None,
    /// Only the first.
    First,
    /// All of them.
    All,
}

/// What follows every layer but the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// φ(z) = z.
    Identity,
    /// φ(z) = max(0, z), with the derivative 0 at 0.
    Relu,
}

/// Sizes of a data matrix and of a group of perceptrons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MlpShape<'a> {
    /// Inputs, then the outputs of every layer; the last is 1.
    pub widths: &'a [usize],
    /// Which layers have a bias.
    pub bias: Bias,
    /// What follows every layer but the last.
    pub activation: Hidden,
    /// Samples: rows of x.
    pub n: usize,
    /// Elements from one row of x to the next, at least the number of inputs. Rows that start on 64 bytes are fastest.
    pub stride: usize,
    /// Networks trained side by side.
    pub replicas: usize,
}

/// One layer of a network.
#[derive(Clone, Copy, Debug)]
struct Layer {
    inputs: usize,
    outputs: usize,
    bias: bool,
}

impl Layer {
    fn params(&self) -> usize {
        self.outputs * (self.inputs + usize::from(self.bias))
    }
}

impl MlpShape<'_> {
    /// Parameters of one replica: layer by layer, `outputs · inputs`, and `outputs` more if it has a bias.
    pub fn params(&self) -> usize {
        self.layers().map(|layer| layer.params()).sum()
    }

    fn layers(&self) -> impl DoubleEndedIterator<Item = Layer> + ExactSizeIterator {
        self.widths.windows(2).enumerate().map(|(index, widths)| {
            let bias = match self.bias {
                Bias::None => false,
                Bias::First => index == 0,
                Bias::All => true,
            };
            Layer { inputs: widths[0], outputs: widths[1], bias }
        })
    }

    /// Used elements of a row of x; `check` has seen that there is a first width.
    fn inputs(&self) -> usize {
        self.widths[0]
    }

    fn row<'a, T>(&self, x: &'a [T], sample: u32) -> &'a [T] {
        &x[sample as usize * self.stride..][..self.inputs()]
    }

    fn check(&self, op: &'static str, lengths: Lengths) -> Result<()> {
        let MlpShape { widths, n, stride, replicas, .. } = *self;
        Sizes { widths, n, stride, replicas }.check(op, lengths, || self.params())
    }
}

/// SGD with one sample a step, all `steps` at once per replica, as the module's formulas say.
///
/// `x`: n rows of `widths[0]` (by stride); `y`: n; `params`: replicas x [`MlpShape::params`], updated in place; `diverged`:
/// one entry per replica. A replica diverges at the first step with a residual that is not finite: the entry becomes that
/// step's number within this call, and the replica stays as it was before that step. A replica whose entry is `Some` on
/// entry is left alone. (An infinite hidden unit that relu hides from the residual is found at that step or at the next
/// one, depending on the instruction set.)
///
/// # Errors
/// If there is no layer, a width is zero, the last is not 1, the batch is not 1, a length disagrees with the shape, an index of
/// `order` is not below n, or a view is not on the context's device. Nothing has been updated then.
#[expect(clippy::too_many_arguments, reason = "the contract of every fused step, and the rule")]
pub fn mlp_sgd<T: Real>(
    cx: &Context,
    shape: &MlpShape<'_>,
    rule: &StepRule<T>,
    x: View<T>,
    y: View<T>,
    steps: Steps<'_, T>,
    params: ViewMut<T>,
    diverged: &mut [Option<usize>],
) -> Result<()> {
    const OP: &str = "mlp_sgd";
    shape.check(OP, Lengths { x: x.len(), y: y.len(), params: params.len(), diverged: diverged.len() })?;
    steps.check_singles(OP, shape.n, shape.replicas)?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::mlp_sgd(device, OP, shape, rule, [x, y], steps, params, diverged);
    }
    let (x, y, params) = (host(OP, "x", x)?, host(OP, "y", y)?, host_mut(OP, "params", params)?);
    let steps = steps.on_host(OP)?;
    let mut live = live(shape.params(), params, diverged, |replica, replicas| steps.of(replica, replicas));
    let task = Task { shape: *shape, rule: *rule, x, y };
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => live.iter_mut().for_each(|replica| scalar::mlp_sgd(&task, replica)),
        isa => T::mlp_sgd(cx, isa, &task, live),
    }
    Ok(())
}

type Task<'a, T> = crate::steps::Task<'a, MlpShape<'a>, T>;

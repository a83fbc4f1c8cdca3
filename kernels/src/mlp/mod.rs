//! Small multilayer perceptrons with one output under squared error, and their fused batch-1 SGD.
//!
//! `h(x) = W_L φ(... φ(W_1 x + b_1) ...) + b_L` with φ the identity or relu, none after the last layer. With a_0 = x,
//! a_l = φ(W_l a_{l-1} + b_l), the sample's loss s/2 r², r = h(x) - y, and s = 1 or 2 ([`MseScale`]):
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

mod scalar;
mod simd;
#[cfg(test)]
mod tests;

use crate::context::{host, host_mut};
use crate::mse::MseScale;
use crate::{Context, Error, Isa, Real, Result, Variants, View, ViewMut};

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

    fn check(&self, op: &'static str) -> Result<()> {
        let refuse = |what, got, expected: String| Err(Error::Shape { op, what, got, expected });
        let (&[inputs, .., outputs], smallest) = (self.widths, self.widths.iter().min()) else {
            return refuse("the number of widths", self.widths.len(), "at least 2: inputs, hidden layers, 1".to_owned());
        };
        for (what, got, least) in [
            ("the smallest width", smallest.copied().unwrap_or(0), 1),
            ("n", self.n, 1),
            ("replicas", self.replicas, 1),
            ("stride", self.stride, inputs),
        ] {
            if got < least {
                return refuse(what, got, format!("at least {least}"));
            }
        }
        if outputs == 1 { Ok(()) } else { refuse("the last width", outputs, "1: one output".to_owned()) }
    }
}

/// What a step descends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MlpLoss<T> {
    /// `r²/2` or `r²`.
    pub scale: MseScale,
    /// The largest norm of a gradient; a longer one is scaled down to it, as `torch.nn.utils.clip_grad_norm_` does.
    pub clip: Option<T>,
    /// Coefficient of `‖w‖²/2`, added after clipping, biases included.
    pub weight_decay: T,
}

/// What a call of [`mlp_sgd`] does: the loss, which sample each step takes, and with which step size.
#[derive(Clone, Copy, Debug)]
pub struct MlpSteps<'a, T> {
    /// What the steps descend.
    pub loss: MlpLoss<T>,
    /// Sample indices, replica by replica: replicas x steps.
    pub order: &'a [u32],
    /// Step size of each step, shared by the replicas.
    pub lr: &'a [T],
}

/// SGD with one sample a step, `lr.len()` steps at once per replica, as the module's formulas say.
///
/// `x`: n rows of `widths[0]` (by stride); `y`: n; `params`: replicas x [`MlpShape::params`], updated in place; `diverged`:
/// one entry per replica. A replica diverges at the first step with a residual that is not finite: the entry becomes that
/// step's number within this call, and the replica stays as it was before that step. A replica whose entry is `Some` on
/// entry is left alone. (An infinite hidden unit that relu hides from the residual is found at that step or at the next
/// one, depending on the instruction set.)
///
/// # Errors
/// If there is no layer, a width is zero, the last is not 1, a length disagrees with the shape, an index of `order` is not
/// below n, or a view is not on the context's device. Nothing has been updated then.
pub fn mlp_sgd<T: Real>(
    cx: &Context,
    shape: &MlpShape<'_>,
    x: View<T>,
    y: View<T>,
    steps: MlpSteps<'_, T>,
    params: ViewMut<T>,
    diverged: &mut [Option<usize>],
) -> Result<()> {
    const OP: &str = "mlp_sgd";
    cx.require_cpu(OP)?;
    let (x, y, params) = (host(OP, "x", x)?, host(OP, "y", y)?, host_mut(OP, "params", params)?);
    shape.check(OP)?;
    let rows = (shape.n - 1) * shape.stride + shape.inputs();
    if x.len() < rows {
        let formula = "at least (n-1)*stride + inputs";
        return Err(Error::Length { op: OP, argument: "x", got: x.len(), expected: rows, formula });
    }
    for (argument, got, expected, formula) in [
        ("y", y.len(), shape.n, "n"),
        ("order", steps.order.len(), shape.replicas * steps.lr.len(), "replicas * steps"),
        ("params", params.len(), shape.replicas * shape.params(), "replicas * parameters of one"),
        ("diverged", diverged.len(), shape.replicas, "replicas"),
    ] {
        if got != expected {
            return Err(Error::Length { op: OP, argument, got, expected, formula });
        }
    }
    if let Some(position) = steps.order.iter().position(|&index| index as usize >= shape.n) {
        let got = steps.order[position] as usize;
        return Err(Error::Index { op: OP, argument: "order", position, got, limit: shape.n });
    }
    if steps.lr.is_empty() {
        return Ok(());
    }
    let mut live: Vec<Replica<'_, T>> = params
        .chunks_exact_mut(shape.params())
        .zip(steps.order.chunks_exact(steps.lr.len()))
        .zip(diverged)
        .filter(|(_, diverged)| diverged.is_none())
        .map(|((params, order), diverged)| Replica { order, params, diverged })
        .collect();
    let task = Task { shape: *shape, x, y, loss: steps.loss, lr: steps.lr };
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => live.iter_mut().for_each(|replica| scalar::mlp_sgd(&task, replica)),
        isa => simd::mlp_sgd(cx, isa, &task, live),
    }
    Ok(())
}

/// The checked arguments that replicas share; there is at least one step.
#[derive(Clone, Copy)]
struct Task<'a, T> {
    shape: MlpShape<'a>,
    x: &'a [T],
    y: &'a [T],
    loss: MlpLoss<T>,
    lr: &'a [T],
}

/// The checked arguments of one replica that has not diverged.
struct Replica<'a, T> {
    order: &'a [u32],
    params: &'a mut [T],
    diverged: &'a mut Option<usize>,
}

/// What keeps the coefficient of clipping finite, as in `torch.nn.utils.clip_grad_norm_`.
const CLIP_EPSILON: f64 = 1e-6;

/// `min(1, clip / (norm + 1e-6))`, or 1 without clipping.
#[inline(always)]
fn coefficient<T: Real>(clip: Option<T>, norm: T) -> T {
    match clip {
        Some(clip) if clip < norm + T::from_f64(CLIP_EPSILON) => clip / (norm + T::from_f64(CLIP_EPSILON)),
        _ => T::ONE,
    }
}

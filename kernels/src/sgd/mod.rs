//! Stochastic gradient descent with momentum and weight decay, one update at a time.
//!
//! With d = g + weight_decay·w, buffer b and step size lr, which is read where the work runs:
//!
//! - without momentum: `w ← w - lr·d`
//! - with momentum: `b ← d` at the first step, `b ← momentum·b + (1 - dampening)·d` later; then `w ← w - lr·b`, or
//!   `w ← w - lr·(d + momentum·b)` under Nesterov
//!
//! Source: `torch.optim.SGD`, PyTorch 2.

#[cfg(feature = "cuda")]
mod cuda;
mod scalar;
mod simd;
#[cfg(test)]
mod tests;

use crate::context::{host, host_mut};
use crate::error::{exact, positive};
use crate::{Context, Error, Isa, Real, Result, Variants, View, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "sgd", isas: &[Isa::Scalar, Isa::Avx2, Isa::Avx512] };

/// What stays the same from step to step. The default is plain gradient descent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SgdRule {
    /// Share of the buffer that is kept, at least 0.
    pub momentum: f64,
    /// Share of the gradient that does not reach the buffer; 0 under Nesterov.
    pub dampening: f64,
    /// Whether a step looks ahead along the buffer; needs momentum.
    pub nesterov: bool,
    /// Factor of w in the gradient, at least 0.
    pub weight_decay: f64,
}

impl SgdRule {
    /// Elements of the momentum buffer for as many parameters: all of them, or none without momentum.
    pub fn buffer(&self, params: usize) -> usize {
        if self.momentum == 0.0 { 0 } else { params }
    }

    fn check(&self, op: &'static str) -> Result<()> {
        for (what, got) in [("momentum", self.momentum), ("weight_decay", self.weight_decay)] {
            if got.is_nan() || got < 0.0 {
                return Err(Error::Value { op, what: what.to_owned(), got, expected: "at least 0" });
            }
        }
        if self.nesterov && self.momentum == 0.0 {
            let what = "the momentum under Nesterov".to_owned();
            return Err(Error::Value { op, what, got: 0.0, expected: "more than 0 (or no Nesterov)" });
        }
        if self.nesterov && self.dampening != 0.0 {
            let (what, got) = ("the dampening under Nesterov".to_owned(), self.dampening);
            return Err(Error::Value { op, what, got, expected: "0 (or no Nesterov)" });
        }
        Ok(())
    }

    /// The rule's numbers in the number type, rounded once.
    fn factors<T: Real>(&self) -> Factors<T> {
        Factors {
            momentum: T::from_f64(self.momentum),
            undamped: T::from_f64(1.0 - self.dampening),
            weight_decay: T::from_f64(self.weight_decay),
            nesterov: self.nesterov,
        }
    }
}

#[derive(Clone, Copy)]
struct Factors<T> {
    momentum: T,
    undamped: T,
    weight_decay: T,
    nesterov: bool,
}

/// What a step does with the momentum buffer.
#[derive(Clone, Copy)]
enum Momentum {
    /// There is none.
    None,
    /// The buffer becomes d, whatever it held.
    First,
    /// The buffer becomes `momentum·b + (1 - dampening)·d`.
    Later,
}

/// One update of `params` from `gradient`, in place.
///
/// `lr` is one number; `momentum_buffer` has [`SgdRule::buffer`] elements. It is updated, and not read at the `first` step.
///
/// # Errors
/// If there are no parameters, a length differs, the rule is none of [`SgdRule`]'s, or a view is not on the context's device.
/// Nothing has been updated then.
pub fn sgd_update<T: Real>(
    cx: &Context,
    rule: &SgdRule,
    lr: View<T>,
    first: bool,
    gradient: View<T>,
    momentum_buffer: ViewMut<T>,
    params: ViewMut<T>,
) -> Result<()> {
    const OP: &str = "sgd_update";
    rule.check(OP)?;
    positive(OP, &[("the number of parameters", params.len())])?;
    exact(OP, "lr", lr.len(), 1, "one")?;
    exact(OP, "gradient", gradient.len(), params.len(), "as many as params")?;
    exact(OP, "momentum_buffer", momentum_buffer.len(), rule.buffer(params.len()), "as many as params, none without momentum")?;
    let momentum = match (rule.momentum == 0.0, first) {
        (true, _) => Momentum::None,
        (false, true) => Momentum::First,
        (false, false) => Momentum::Later,
    };
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::sgd_update(device, OP, momentum, rule.factors(), lr, gradient, momentum_buffer, params);
    }
    let (lr, gradient) = (host(OP, "lr", lr)?[0], host(OP, "gradient", gradient)?);
    let params = host_mut(OP, "params", params)?;
    let buffer = host_mut(OP, "momentum_buffer", momentum_buffer)?;
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::sgd_update(momentum, rule.factors(), lr, gradient, buffer, params),
        isa => simd::sgd_update(isa, momentum, rule.factors(), lr, gradient, buffer, params),
    }
    Ok(())
}

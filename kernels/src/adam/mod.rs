//! Adam, one update at a time.
//!
//! With d = g + weight_decay·w, step number t from 1 and step size lr:
//!
//! - `m ← β₁ m + (1 - β₁) d`, `v ← β₂ v + (1 - β₂) d²`
//! - `w ← w - lr/(1 - β₁ᵗ) · m / (√v/√(1 - β₂ᵗ) + ε)`
//!
//! Weight decay is part of the gradient, not decoupled. What changes from step to step, [`AdamRule::corrected`], is read where the
//! work runs.
//! Sources: Kingma, Ba 2015; `torch.optim.Adam`, PyTorch 2.

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
pub const VARIANTS: Variants = Variants { op: "adam", isas: &[Isa::Scalar, Isa::Avx2, Isa::Avx512] };

/// What stays the same from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamRule {
    /// Share of the mean gradient m that is kept, at least 0 and below 1.
    pub beta1: f64,
    /// Share of the mean square v that is kept, at least 0 and below 1.
    pub beta2: f64,
    /// Added to the root of v, at least 0.
    pub epsilon: f64,
    /// Factor of w in the gradient, at least 0.
    pub weight_decay: f64,
}

impl Default for AdamRule {
    /// β₁ = 0.9, β₂ = 0.999, ε = 1e-8, no weight decay.
    fn default() -> AdamRule {
        AdamRule { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

impl AdamRule {
    fn check(&self, op: &'static str) -> Result<()> {
        let shares = [("beta1", self.beta1, 1.0), ("beta2", self.beta2, 1.0)];
        let others = [("epsilon", self.epsilon, f64::INFINITY), ("weight_decay", self.weight_decay, f64::INFINITY)];
        for (what, got, limit) in shares.into_iter().chain(others) {
            if !(0.0..limit).contains(&got) {
                let expected = if limit == 1.0 { "at least 0 and below 1" } else { "at least 0 and finite" };
                return Err(Error::Value { op, what: what.to_owned(), got, expected });
            }
        }
        Ok(())
    }

    /// `[lr/(1 - β₁ᵗ), √(1 - β₂ᵗ)]` at step t, which counts from 1, rounded once.
    ///
    /// # Errors
    /// If the step is 0.
    pub fn corrected<T: Real>(&self, lr: f64, step: u64) -> Result<[T; 2]> {
        if step == 0 {
            let expected = "at least 1: steps count from 1".to_owned();
            return Err(Error::Shape { op: "adam_update", what: "step", got: 0, expected });
        }
        let correction = |beta: f64| 1.0 - libm::pow(beta, step as f64);
        Ok([lr / correction(self.beta1), correction(self.beta2).sqrt()].map(T::from_f64))
    }

    /// The rule's numbers in the number type, rounded once.
    fn factors<T: Real>(&self) -> Factors<T> {
        Factors {
            fresh1: T::from_f64(1.0 - self.beta1),
            beta2: T::from_f64(self.beta2),
            fresh2: T::from_f64(1.0 - self.beta2),
            epsilon: T::from_f64(self.epsilon),
            weight_decay: T::from_f64(self.weight_decay),
        }
    }
}

#[derive(Clone, Copy)]
struct Factors<T> {
    /// 1 - β₁
    fresh1: T,
    beta2: T,
    /// 1 - β₂
    fresh2: T,
    epsilon: T,
    weight_decay: T,
}

/// Means of the gradient and of its square, each as long as the parameters; zeros before the first step.
#[derive(Debug)]
pub struct Moments<'a, T: Real> {
    /// Mean of d.
    pub m: ViewMut<'a, T>,
    /// Mean of d².
    pub v: ViewMut<'a, T>,
}

/// Update of `params` and `moments` from `gradient`, in place, with the two numbers of [`AdamRule::corrected`].
///
/// # Errors
/// If there are no parameters, a length differs, the rule is none of [`AdamRule`]'s, or a view is not on the
/// context's device. Nothing has been updated then.
pub fn adam_update<T: Real>(
    cx: &Context,
    rule: &AdamRule,
    corrected: View<T>,
    gradient: View<T>,
    moments: Moments<'_, T>,
    params: ViewMut<T>,
) -> Result<()> {
    const OP: &str = "adam_update";
    rule.check(OP)?;
    positive(OP, &[("the number of parameters", params.len())])?;
    exact(OP, "corrected", corrected.len(), 2, "two")?;
    for (argument, got) in [("gradient", gradient.len()), ("m", moments.m.len()), ("v", moments.v.len())] {
        exact(OP, argument, got, params.len(), "as many as params")?;
    }
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::adam_update(device, OP, rule.factors(), corrected, gradient, moments, params);
    }
    let corrected = host(OP, "corrected", corrected)?;
    let (gradient, params) = (host(OP, "gradient", gradient)?, host_mut(OP, "params", params)?);
    let (m, v) = (host_mut(OP, "m", moments.m)?, host_mut(OP, "v", moments.v)?);
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::adam_update(rule.factors(), corrected, gradient, m, v, params),
        isa => simd::adam_update(isa, rule.factors(), corrected, gradient, m, v, params),
    }
    Ok(())
}

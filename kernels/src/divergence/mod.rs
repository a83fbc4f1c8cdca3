//! Where a run has diverged: the first iteration with a number that is not finite.
//!
//! A device notes it beside the steps, and the host looks from time to time: nothing waits for an answer in every step.

#[cfg(feature = "cuda")]
mod cuda;
mod scalar;
#[cfg(test)]
mod tests;

use crate::context::{host, host_mut};
use crate::error::exact;
use crate::{Context, Isa, Real, Result, Variants, View, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "divergence", isas: &[Isa::Scalar] };

/// What `first` holds as long as everything was finite.
pub const NOT_DIVERGED: u32 = u32::MAX;

/// Notes the iteration in `first` if some number of x is NaN or infinite and no iteration was noted before.
///
/// `iteration`: one number, read where the work runs; `first`: one element, [`NOT_DIVERGED`] at the start.
///
/// # Errors
/// If `iteration` or `first` is not one element, or a view is not on the context's device.
pub fn divergence_note<T: Real>(cx: &Context, x: View<T>, iteration: View<u32>, first: ViewMut<u32>) -> Result<()> {
    const OP: &str = "divergence_note";
    exact(OP, "iteration", iteration.len(), 1, "one")?;
    exact(OP, "first", first.len(), 1, "one")?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::divergence_note(device, OP, x, iteration, first);
    }
    cx.require_cpu(OP)?;
    scalar::divergence_note(host(OP, "x", x)?, host(OP, "iteration", iteration)?[0], host_mut(OP, "first", first)?);
    Ok(())
}

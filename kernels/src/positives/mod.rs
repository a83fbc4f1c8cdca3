//! How many numbers are positive: the active features of a layer.

#[cfg(feature = "cuda")]
mod cuda;
mod scalar;
#[cfg(test)]
mod tests;

use crate::context::host;
use crate::error::positive;
use crate::{Context, Isa, Real, Result, Variants, View};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "positives", isas: &[Isa::Scalar] };

/// How many of the numbers x are greater than zero; NaN is not.
///
/// # Errors
/// If x is empty or not on the context's device.
pub fn positives<T: Real>(cx: &Context, x: View<T>) -> Result<usize> {
    const OP: &str = "positives";
    positive(OP, &[("the number of elements", x.len())])?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::positives(device, OP, x);
    }
    cx.require_cpu(OP)?;
    Ok(scalar::positives(host(OP, "x", x)?))
}

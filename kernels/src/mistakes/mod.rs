//! How many samples' outputs choose another class than their labels: the error of a classifier, times n.
//!
//! The outputs y of a sample choose
//!
//! - the first of the largest of them, where -0 is below 0, or
//! - a single one by its sign: class 1 where it is positive, class 0 where it is negative.
//!
//! Outputs of which one is NaN choose no class, nor does a single 0.

#[cfg(feature = "cuda")]
mod cuda;
mod scalar;
#[cfg(test)]
mod tests;

use crate::context::host;
use crate::error::{exact, positive};
use crate::{Context, Error, Isa, Real, Result, Variants, View};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "mistakes", isas: &[Isa::Scalar] };

/// How outputs choose a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The place of the first of the largest.
    Largest,
    /// By the sign of a single one.
    Sign,
}

/// Sizes of a batch of outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MistakesShape {
    /// Samples: rows of y.
    pub n: usize,
    /// Outputs of a sample: columns of y, one for [`Choice::Sign`].
    pub outputs: usize,
    /// How they choose.
    pub choice: Choice,
}

/// How many of the n samples' outputs do not choose their label.
///
/// `y`: n x outputs; `labels`: n. No outputs choose a label that is no class.
///
/// # Errors
/// If a size is zero, a sign is asked for of several outputs, a length disagrees with the shape, or a view is not on the
/// context's device.
pub fn mistakes<T: Real>(cx: &Context, shape: &MistakesShape, y: View<T>, labels: View<u32>) -> Result<usize> {
    const OP: &str = "mistakes";
    let MistakesShape { n, outputs, choice } = *shape;
    positive(OP, &[("batch", n), ("outputs", outputs)])?;
    if choice == Choice::Sign && outputs != 1 {
        return Err(Error::Shape { op: OP, what: "outputs", got: outputs, expected: "1, whose sign chooses".to_owned() });
    }
    exact(OP, "y", y.len(), n.saturating_mul(outputs), "n * outputs")?;
    exact(OP, "labels", labels.len(), n, "n")?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::mistakes(device, OP, shape, y, labels);
    }
    cx.require_cpu(OP)?;
    Ok(scalar::mistakes(shape, host(OP, "y", y)?, host(OP, "labels", labels)?))
}

//! Gaussian noise in the targets of a regression.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(test)]
mod tests;

use crate::context::{host, host_mut};
use crate::error::{exact, positive};
use crate::philox::Words;
use crate::{Context, Error, Isa, Real, Result, Variants, View, ViewMut};

/// The instruction sets with a variant of their own: logarithms and cosines have the bits of one library.
pub const VARIANTS: Variants = Variants { op: "label_noise", isas: &[Isa::Scalar] };

/// What is added to targets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Its standard deviation.
    pub deviation: f64,
    /// The words of its normal numbers, as [`Words::normals`].
    pub words: Words,
    /// Targets of a sample.
    pub width: usize,
    /// Targets of all samples: the normal numbers from one step to the next.
    pub period: usize,
}

/// `targets[i, k] += deviation·ξ`, ξ the normal number at position step·period + item·width + k.
///
/// `targets`: those of `items`, rows of `width`; of samples 0, 1, ... without items. `step`: one number, read where the work runs, or
/// 0; steps count modulo 2^32. ξ on a CUDA device differs from the CPU's by rounding: 1e-14 at most.
///
/// # Errors
/// If the width is zero, there are not `width` targets for each item, the deviation is not finite, or a view is not on the context's
/// device.
pub fn label_noise<T: Real>(
    cx: &Context,
    noise: &Noise,
    step: Option<View<u32>>,
    items: Option<View<u32>>,
    targets: ViewMut<T>,
) -> Result<()> {
    const OP: &str = "label_noise";
    let Noise { deviation, words, width, period } = *noise;
    positive(OP, &[("the number of targets of a sample", width)])?;
    if !deviation.is_finite() {
        let what = "the standard deviation".to_owned();
        return Err(Error::Value { op: OP, what, got: deviation, expected: "a finite number" });
    }
    exact(OP, "step", step.map_or(1, |step| step.len()), 1, "one")?;
    let count = items.map_or(targets.len() / width, |items| items.len());
    exact(OP, "targets", targets.len(), count * width, "items x targets of a sample")?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::label_noise(device, OP, noise, step, items, targets);
    }
    cx.require_cpu(OP)?;
    let step = step.map_or(Ok(0), |step| host(OP, "step", step).map(|step| step[0]))?;
    let items = items.map(|items| host(OP, "items", items)).transpose()?;
    let first = u64::from(step) * period as u64;
    // Neighbouring targets share a block of words.
    let mut last = (u64::MAX, [0.0; 2]);
    for (row, targets) in host_mut(OP, "targets", targets)?.chunks_exact_mut(width).enumerate() {
        let item = items.map_or(row as u64, |items| u64::from(items[row]));
        for (target, position) in targets.iter_mut().zip(first + item * width as u64..) {
            if last.0 != position / 2 {
                last = (position / 2, words.normals(position / 2));
            }
            *target += T::from_f64(deviation * last.1[(position % 2) as usize]);
        }
    }
    Ok(())
}

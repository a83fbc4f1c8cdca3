//! Random windows of images and of their mirror images.
//!
//! p zeros are put around an image, a window of its size is cut out of that, and its columns may be reversed. The draw of item k
//! is an integer w below 2(2p + 1)², from the word at position step·2^32 + k: with q = floor(w / 2), the window begins
//! floor(q / (2p + 1)) rows below and q mod (2p + 1) columns to the right of the padded image's corner, and is reversed if w is
//! odd.

#[cfg(feature = "cuda")]
mod cuda;
mod scalar;
#[cfg(test)]
mod tests;

use crate::context::{host, host_mut};
use crate::error::{exact, positive};
use crate::philox::{Words, item_position};
use crate::{Context, Error, Isa, Real, Result, Variants, View, ViewMut};

/// The instruction sets with a variant of their own: the copies are the standard library's.
pub const VARIANTS: Variants = Variants { op: "crop_flip", isas: &[Isa::Scalar] };

/// The largest padding, wider than images are.
pub const MOST_PADDING: usize = 1 << 10;

/// Sizes of images, and of the zeros around them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CropFlipShape {
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Numbers of a pixel.
    pub channels: usize,
    /// Zeros on every side, at most [`MOST_PADDING`].
    pub padding: usize,
}

/// What happens to one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Crop {
    /// Rows and columns that the window lies below and to the right of the padded image's corner: 0 to 2·padding.
    corner: [usize; 2],
    flip: bool,
}

impl CropFlipShape {
    fn image(&self) -> usize {
        self.height.saturating_mul(self.width).saturating_mul(self.channels)
    }

    /// The crop of an item.
    fn crop(&self, words: &Words, step: u32, item: u32) -> Crop {
        let offsets = 2 * self.padding as u32 + 1;
        let draw = words.below(item_position(step, item), 2 * offsets * offsets);
        Crop { corner: [draw / 2 / offsets, draw / 2 % offsets].map(|offset| offset as usize), flip: draw % 2 == 1 }
    }
}

/// `out[k]`, a window of image `x[k]` by the draw of `items[k]`. What is done to an image depends on the words, the step and the
/// item, not on the batch or on the image's place in it.
///
/// `step`: one number, read where the work runs; steps count modulo 2^32. `x`, `out`: items x height x width x
/// channels. Bits are the same on every device.
///
/// # Errors
/// If a size is zero, the padding is too large, a length disagrees with the shape, or a view is not on the context's device.
pub fn crop_flip<T: Real>(
    cx: &Context,
    shape: &CropFlipShape,
    words: &Words,
    step: View<u32>,
    items: View<u32>,
    x: View<T>,
    out: ViewMut<T>,
) -> Result<()> {
    const OP: &str = "crop_flip";
    positive(OP, &[("the height", shape.height), ("the width", shape.width), ("the number of channels", shape.channels)])?;
    if shape.padding > MOST_PADDING {
        return Err(Error::Shape { op: OP, what: "padding", got: shape.padding, expected: format!("at most {MOST_PADDING}") });
    }
    let numbers = items.len().saturating_mul(shape.image());
    exact(OP, "step", step.len(), 1, "one")?;
    exact(OP, "x", x.len(), numbers, "items * height * width * channels")?;
    exact(OP, "out", out.len(), numbers, "items * height * width * channels")?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::crop_flip(device, OP, shape, words, step, items, x, out);
    }
    cx.require_cpu(OP)?;
    let step = host(OP, "step", step)?[0];
    let (items, x, out) = (host(OP, "items", items)?, host(OP, "x", x)?, host_mut(OP, "out", out)?);
    scalar::crop_flip(shape, words, step, items, x, out);
    Ok(())
}

use handgrad_cuda::Context;

use super::CropFlipShape;
use crate::device::{THREADS, elementwise, on, on_mut, size};
use crate::philox::Words;
use crate::philox::cuda::with_words;
use crate::{Real, Result, View, ViewMut};

#[expect(clippy::too_many_arguments, reason = "the operator's own, after its name")]
pub(super) fn crop_flip<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &CropFlipShape,
    words: &Words,
    step: View<u32>,
    items: View<u32>,
    x: View<T>,
    out: ViewMut<T>,
) -> Result<()> {
    let &CropFlipShape { height, width, channels, padding } = shape;
    let (items, x, mut out) = (on(device, op, "items", items)?, on(device, op, "x", x)?, on_mut(device, op, "out", out)?);
    let (n, step) = (items.len(), on(device, op, "step", step)?);
    let mut launch = elementwise::<T>(device, "crop_flip", op, n.saturating_mul(THREADS))?;
    launch = launch.read(x).read(items).read(step).write(&mut out);
    for (what, got) in [("items", n), ("the height", height), ("the width", width), ("the number of channels", channels)] {
        launch = launch.value(size(op, what, got)?);
    }
    let launch = with_words(launch.value(size(op, "padding", padding)?), words);
    // SAFETY: the caller checked that `step` is one number and that x and out have an image for each item.
    Ok(unsafe { launch.queue() }?)
}

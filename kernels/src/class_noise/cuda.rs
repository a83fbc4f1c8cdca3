use handgrad_cuda::{Context, Launch};

use super::Redraw;
use crate::device::{grid, on, on_mut};
use crate::philox::cuda::with_words;
use crate::{Result, View, ViewMut};

pub(super) fn class_noise(
    device: &Context,
    op: &'static str,
    redraw: &Redraw,
    classes: u32,
    step: Option<View<u32>>,
    items: View<u32>,
    labels: ViewMut<u32>,
) -> Result<()> {
    let (items, mut labels) = (on(device, op, "items", items)?, on_mut(device, op, "labels", labels)?);
    let count = labels.len();
    let launch = grid(Launch::new(device, "class_noise", op)?, count).read(items);
    let launch = match step {
        Some(step) => launch.read(on(device, op, "step", step)?),
        None => launch.null(),
    };
    let launch = launch.write(&mut labels).value(count as u64).value(classes).value(redraw.probability);
    let launch = with_words(with_words(launch, &redraw.decides), &redraw.gives);
    // SAFETY: the caller checked that `step` is one number, if any, and that there is a label for each item, `count` of both.
    Ok(unsafe { launch.queue() }?)
}

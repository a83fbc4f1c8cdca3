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
    step: u64,
    items: View<u32>,
    labels: ViewMut<u32>,
) -> Result<()> {
    let (items, mut labels) = (on(device, op, "items", items)?, on_mut(device, op, "labels", labels)?);
    let count = labels.len();
    let launch = grid(Launch::new(device, "class_noise", op)?, count).read(items).write(&mut labels);
    let launch = launch.value(count as u64).value(classes).value(redraw.probability).value(step);
    let launch = with_words(with_words(launch, &redraw.decides), &redraw.gives);
    // SAFETY: the caller checked that there is a label for each item, `count` of both.
    Ok(unsafe { launch.queue() }?)
}

use handgrad_cuda::Context;

use super::Noise;
use crate::device::{elementwise, on, on_mut};
use crate::philox::cuda::with_words;
use crate::{Real, Result, View, ViewMut};

pub(super) fn label_noise<T: Real>(
    device: &Context,
    op: &'static str,
    noise: &Noise,
    step: Option<View<u32>>,
    items: Option<View<u32>>,
    targets: ViewMut<T>,
) -> Result<()> {
    let mut targets = on_mut(device, op, "targets", targets)?;
    let count = targets.len();
    let mut launch = elementwise::<T>(device, "label_noise", "label_noise", count)?;
    for (what, numbers) in [("items", items), ("step", step)] {
        launch = match numbers {
            Some(numbers) => launch.read(on(device, op, what, numbers)?),
            None => launch.null(),
        };
    }
    let launch = launch.write(&mut targets).value(count as u64).value(noise.width as u64).value(noise.period as u64);
    let launch = with_words(launch.value(noise.deviation), &noise.words);
    // SAFETY: the caller checked that `step` is one number, if any, and that `count` is `width`, which is not 0, for each item.
    Ok(unsafe { launch.queue() }?)
}

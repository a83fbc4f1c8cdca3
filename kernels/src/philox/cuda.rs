use handgrad_cuda::{Context, Launch};

use super::Words;
use crate::device::{grid, on_mut};
use crate::{Result, ViewMut};

pub(super) fn philox_below(
    device: &Context,
    op: &'static str,
    words: &Words,
    n: u32,
    start: u64,
    out: ViewMut<u32>,
) -> Result<()> {
    let mut out = on_mut(device, op, "out", out)?;
    let count = out.len() as u64;
    let launch = grid(Launch::new(device, "philox", op)?, out.len()).write(&mut out).value(count);
    let launch = with_words(launch.value(start).value(n), words);
    // SAFETY: `out` has `count` elements.
    Ok(unsafe { launch.queue() }?)
}

/// A sequence's key, low half first, and its counter's upper words, as kernels take them.
pub(crate) fn with_words<'a>(launch: Launch<'a>, words: &Words) -> Launch<'a> {
    let Words { key: [low, high], upper } = *words;
    launch.value(u64::from(high) << 32 | u64::from(low)).value(upper[0]).value(upper[1])
}

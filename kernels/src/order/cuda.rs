use handgrad_cuda::{Buffer, Context, Launch, Slice};

use super::{Draw, Order, Sampling, Source};
use crate::device::{grid, on_mut};
use crate::permutation::Permutation;
use crate::{Result, View, ViewMut};

/// The arguments are checked.
pub(super) fn order_draw(
    device: &Context,
    op: &'static str,
    draw: Draw,
    sources: &[Source],
    start: u64,
    out: ViewMut<u32>,
) -> Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    let mut out = on_mut(device, op, "out", out)?;
    let numbers = |&Source { words, first }: &Source| [words.key[0], words.key[1], words.upper[0], words.upper[1], first];
    let numbers = Buffer::from_host(device, &sources.iter().flat_map(numbers).collect::<Vec<u32>>())?;
    let [rows, columns] = match draw.sampling {
        Sampling::Replacement => [0, 0],
        Sampling::Shuffled => Permutation::new(draw.n, Default::default()).sides(),
    };
    let (elements, count) = (out.len() as u64, (out.len() / sources.len()) as u64);
    let launch = grid(Launch::new(device, "order", op)?, out.len()).write(&mut out).read(numbers.as_slice());
    let launch = launch.value(elements).value(count).value(start).value(draw.n).value(rows).value(columns);
    // SAFETY: `out` has `elements` elements, `count` for each source, which has five numbers; n is positive, and the sides have
    // room for n.
    Ok(unsafe { launch.queue() }?)
}

/// An order on the device that trains.
pub(crate) enum OnDevice<'a> {
    Copied(Buffer<u32>),
    There(Slice<'a, u32>),
}

impl<'a> Order<'a> {
    /// Copies a list of the host.
    pub(crate) fn on(&self, device: &Context) -> Result<OnDevice<'a>> {
        Ok(match self.indices {
            View::Host(list) => OnDevice::Copied(Buffer::from_host(device, list)?),
            View::Cuda(slice) => OnDevice::There(slice),
        })
    }
}

impl OnDevice<'_> {
    pub(crate) fn as_slice(&self) -> Slice<'_, u32> {
        match self {
            OnDevice::Copied(buffer) => buffer.as_slice(),
            OnDevice::There(slice) => *slice,
        }
    }
}

use handgrad_cuda::{Buffer, Context, Launch};

use super::Permutation;
use crate::device::{grid, on_mut};
use crate::{Result, ViewMut};

pub(super) fn permutation_fill(
    device: &Context,
    op: &'static str,
    permutation: &Permutation,
    first: u32,
    out: ViewMut<u32>,
) -> Result<()> {
    let mut out = on_mut(device, op, "out", out)?;
    let Permutation { n, rows, columns, keys } = permutation;
    let (count, keys) = (out.len() as u64, Buffer::from_host(device, keys)?);
    let launch = grid(Launch::new(device, "permutation", op)?, out.len());
    let launch = launch.write(&mut out).read(keys.as_slice()).value(count);
    let launch = launch.value(*n).value(*rows).value(*columns).value(first);
    // SAFETY: `out` has `count` elements and there is a key for each round; n and both sides are positive, and the sides have
    // room for n.
    Ok(unsafe { launch.queue() }?)
}

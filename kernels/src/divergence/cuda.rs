use handgrad_cuda::Context;

use crate::device::{on, on_mut, summing};
use crate::{Real, Result, View, ViewMut};

pub(super) fn divergence_note<T: Real>(
    device: &Context,
    op: &'static str,
    x: View<T>,
    iteration: u32,
    first: ViewMut<u32>,
) -> Result<()> {
    let (x, mut first) = (on(device, op, "x", x)?, on_mut(device, op, "first", first)?);
    let launch = summing::<T, u32>(device, "divergence", op, 1)?.read(x).write(&mut first);
    let launch = launch.value(x.len() as u64).value(iteration);
    // SAFETY: x has as many elements as are passed, and the caller checked that `first` has one.
    Ok(unsafe { launch.queue() }?)
}

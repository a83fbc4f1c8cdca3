use handgrad_cuda::Context;

use crate::device::{on, on_mut, summing};
use crate::{Real, Result, View, ViewMut};

pub(super) fn divergence_note<T: Real>(
    device: &Context,
    op: &'static str,
    x: View<T>,
    iteration: View<u32>,
    first: ViewMut<u32>,
) -> Result<()> {
    let (x, iteration) = (on(device, op, "x", x)?, on(device, op, "iteration", iteration)?);
    let mut first = on_mut(device, op, "first", first)?;
    let launch = summing::<T, u32>(device, "divergence", op, 1)?.read(x).read(iteration).write(&mut first);
    let launch = launch.value(x.len() as u64);
    // SAFETY: x has as many elements as are passed, and the caller checked that `iteration` and `first` have one.
    Ok(unsafe { launch.queue() }?)
}

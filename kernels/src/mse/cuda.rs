use handgrad_cuda::{Buffer, Context};

use crate::device::{chunks, elementwise, on, on_mut, scalar, summing};
use crate::{Real, Result, View, ViewMut};

pub(super) fn mse_forward<T: Real>(device: &Context, op: &'static str, factor: T, y: View<T>, target: View<T>) -> Result<T> {
    let (y, target) = (on(device, op, "y", y)?, on(device, op, "target", target)?);
    let chunks = chunks(y.len());
    let (mut partial, mut loss) = (Buffer::<f64>::scratch(device, chunks)?, Buffer::scratch(device, 1)?);
    let launch = summing::<T, f64>(device, "mse", "mse_partial", chunks)?;
    let launch = launch.read(y).read(target).write(&mut partial.as_slice_mut()).value(y.len() as u64);
    // SAFETY: the caller checked that there are as many targets as predictions; each block writes its own one of `partial`.
    unsafe { launch.queue() }?;
    let launch = summing::<T, f64>(device, "mse", "mse_total", 1)?;
    let launch = launch.read(partial.as_slice()).write(&mut loss.as_slice_mut());
    let launch = launch.value(chunks as u64).value(y.len() as u64).value(factor);
    // SAFETY: `partial` has `chunks` elements and the loss one.
    unsafe { launch.queue() }?;
    scalar(&loss)
}

pub(super) fn mse_backward<T: Real>(
    device: &Context,
    op: &'static str,
    factor: T,
    y: View<T>,
    target: View<T>,
    dy: ViewMut<T>,
) -> Result<()> {
    let (y, target, mut dy) = (on(device, op, "y", y)?, on(device, op, "target", target)?, on_mut(device, op, "dy", dy)?);
    let launch = elementwise::<T>(device, "mse", op, y.len())?;
    let launch = launch.read(y).read(target).write(&mut dy).value(y.len() as u64).value(factor);
    // SAFETY: the caller checked that target and dy have as many elements as y.
    Ok(unsafe { launch.queue() }?)
}

pub(super) fn mse_backward_tangent<T: Real>(
    device: &Context,
    op: &'static str,
    factor: T,
    y_tangent: View<T>,
    dy_tangent: ViewMut<T>,
) -> Result<()> {
    let y_tangent = on(device, op, "y_tangent", y_tangent)?;
    let mut dy_tangent = on_mut(device, op, "dy_tangent", dy_tangent)?;
    let launch = elementwise::<T>(device, "mse", op, y_tangent.len())?;
    let launch = launch.read(y_tangent).write(&mut dy_tangent).value(y_tangent.len() as u64).value(factor);
    // SAFETY: the caller checked that both have as many elements.
    Ok(unsafe { launch.queue() }?)
}

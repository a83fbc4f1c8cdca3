use handgrad_cuda::Context;

use super::Activation;
use crate::device::{elementwise, on, on_mut};
use crate::{Real, Result, View, ViewMut};

/// As activation.cuh counts them.
pub(crate) fn number(kind: Activation) -> u32 {
    match kind {
        Activation::Identity => 0,
        Activation::Relu => 1,
        Activation::Tanh => 2,
        Activation::Swish => 3,
    }
}

pub(super) fn activation_forward<T: Real>(
    device: &Context,
    op: &'static str,
    kind: Activation,
    x: View<T>,
    y: ViewMut<T>,
) -> Result<()> {
    let (x, mut y) = (on(device, op, "x", x)?, on_mut(device, op, "y", y)?);
    let launch = elementwise::<T>(device, "activation", op, x.len())?;
    let launch = launch.read(x).write(&mut y).value(x.len() as u64).value(number(kind));
    // SAFETY: the caller checked that y has as many elements as x.
    Ok(unsafe { launch.queue() }?)
}

pub(super) fn activation_backward<T: Real>(
    device: &Context,
    op: &'static str,
    kind: Activation,
    x: View<T>,
    dy: View<T>,
    dx: ViewMut<T>,
) -> Result<()> {
    let (x, dy, mut dx) = (on(device, op, "x", x)?, on(device, op, "dy", dy)?, on_mut(device, op, "dx", dx)?);
    let launch = elementwise::<T>(device, "activation", op, x.len())?;
    let launch = launch.read(x).read(dy).write(&mut dx).value(x.len() as u64).value(number(kind));
    // SAFETY: the caller checked that dy and dx have as many elements as x.
    Ok(unsafe { launch.queue() }?)
}

pub(super) fn activation_backward_tangent<T: Real>(
    device: &Context,
    op: &'static str,
    kind: Activation,
    point: [View<T>; 4],
    dx_tangent: ViewMut<T>,
) -> Result<()> {
    let [x, x_tangent, dy, dy_tangent] = point;
    let (x, x_tangent) = (on(device, op, "x", x)?, on(device, op, "x_tangent", x_tangent)?);
    let (dy, dy_tangent) = (on(device, op, "dy", dy)?, on(device, op, "dy_tangent", dy_tangent)?);
    let mut dx_tangent = on_mut(device, op, "dx_tangent", dx_tangent)?;
    let launch = elementwise::<T>(device, "activation", op, x.len())?;
    let launch = launch.read(x).read(x_tangent).read(dy).read(dy_tangent).write(&mut dx_tangent);
    let launch = launch.value(x.len() as u64).value(number(kind));
    // SAFETY: the caller checked that all have as many elements as x.
    Ok(unsafe { launch.queue() }?)
}

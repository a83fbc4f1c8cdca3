use handgrad_cuda::{Context, Launch};

use super::AvgPoolShape;
use crate::device::{elementwise, on, on_mut, size};
use crate::{Real, Result, View, ViewMut};

pub(super) fn avgpool_forward<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &AvgPoolShape,
    x: View<T>,
    y: ViewMut<T>,
) -> Result<()> {
    let (x, mut y) = (on(device, op, "x", x)?, on_mut(device, op, "y", y)?);
    let launch = elementwise::<T>(device, "avgpool", op, y.len())?.read(x).write(&mut y);
    // SAFETY: the caller checked both lengths against the shape.
    Ok(unsafe { sizes(launch, op, shape)?.queue() }?)
}

pub(super) fn avgpool_backward<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &AvgPoolShape,
    dy: View<T>,
    dx: ViewMut<T>,
) -> Result<()> {
    let (dy, mut dx) = (on(device, op, "dy", dy)?, on_mut(device, op, "dx", dx)?);
    let launch = elementwise::<T>(device, "avgpool", op, dx.len())?.read(dy).write(&mut dx);
    // SAFETY: the caller checked both lengths against the shape.
    Ok(unsafe { sizes(launch, op, shape)?.queue() }?)
}

fn sizes<'a>(launch: Launch<'a>, op: &'static str, shape: &AvgPoolShape) -> Result<Launch<'a>> {
    let outputs = (shape.n * shape.c) as u64;
    Ok(launch.value(outputs).value(size(op, "pixels", shape.pixels)?).value(size(op, "c", shape.c)?))
}

use handgrad_cuda::{Context, Launch};

use super::LinearShape;
use crate::device::{THREADS, adds, kernel, on, on_mut, size};
use crate::gemm::cuda::{Multiplier, product};
use crate::{Acc, Real, Result, View, ViewMut};

/// Columns of a block of linear_backward_bias.
const COLUMNS: usize = 32;

pub(super) fn linear_forward<T: Real>(
    multiplier: Multiplier<'_>,
    op: &'static str,
    shape: &LinearShape,
    [x, w]: [View<T>; 2],
    b: Option<View<T>>,
    y: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    let (x, w, mut y) =
        (on(multiplier.device, op, "x", x)?, on(multiplier.device, op, "w", w)?, on_mut(multiplier.device, op, "y", y)?);
    let launch = product::<T>(multiplier, "linear", op, [shape.n, shape.outputs], 1)?.read(x).read(w);
    let launch = match b {
        Some(b) => launch.read(on(multiplier.device, op, "b", b)?),
        None => launch.null(),
    };
    let launch = sizes(launch.write(&mut y), op, shape)?.value(adds(acc));
    // SAFETY: the caller checked all lengths against the shape; the kernel does not read a bias at null.
    Ok(unsafe { launch.queue() }?)
}

pub(super) fn linear_backward_data<T: Real>(
    multiplier: Multiplier<'_>,
    op: &'static str,
    shape: &LinearShape,
    w: View<T>,
    dy: View<T>,
    dx: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    let (w, dy, mut dx) =
        (on(multiplier.device, op, "w", w)?, on(multiplier.device, op, "dy", dy)?, on_mut(multiplier.device, op, "dx", dx)?);
    let launch = product::<T>(multiplier, "linear", op, [shape.n, shape.inputs], 1)?.read(w).read(dy).write(&mut dx);
    let launch = sizes(launch, op, shape)?.value(adds(acc));
    // SAFETY: the caller checked all lengths against the shape.
    Ok(unsafe { launch.queue() }?)
}

pub(super) fn linear_backward_weight<T: Real>(
    multiplier: Multiplier<'_>,
    op: &'static str,
    shape: &LinearShape,
    x: View<T>,
    dy: View<T>,
    dw: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    let (x, dy, mut dw) =
        (on(multiplier.device, op, "x", x)?, on(multiplier.device, op, "dy", dy)?, on_mut(multiplier.device, op, "dw", dw)?);
    let launch = product::<T>(multiplier, "linear", op, [shape.outputs, shape.inputs], 1)?.read(x).read(dy).write(&mut dw);
    let launch = sizes(launch, op, shape)?.value(adds(acc));
    // SAFETY: the caller checked all lengths against the shape.
    Ok(unsafe { launch.queue() }?)
}

pub(super) fn linear_backward_bias<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &LinearShape,
    dy: View<T>,
    db: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    let (dy, mut db) = (on(device, op, "dy", dy)?, on_mut(device, op, "db", db)?);
    let launch = kernel::<T>(device, "linear", op)?.grid([shape.outputs.div_ceil(COLUMNS), 1, 1]).block([THREADS, 1, 1]);
    let launch = launch.shared_bytes(THREADS * size_of::<T>()).read(dy).write(&mut db);
    let launch = launch.value(size(op, "batch", shape.n)?).value(size(op, "outputs", shape.outputs)?).value(adds(acc));
    // SAFETY: the caller checked both lengths against the shape.
    Ok(unsafe { launch.queue() }?)
}

fn sizes<'a>(launch: Launch<'a>, op: &'static str, shape: &LinearShape) -> Result<Launch<'a>> {
    let LinearShape { n, inputs, outputs } = *shape;
    Ok(launch.value(size(op, "batch", n)?).value(size(op, "inputs", inputs)?).value(size(op, "outputs", outputs)?))
}

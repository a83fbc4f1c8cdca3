use handgrad_cuda::{Context, Launch, Slice};

use super::{DiagonalShape, StepSizes, Steps};
use crate::device::{THREADS, adds, elementwise, kernel, on, on_mut, size};
use crate::steps::cuda::{FLAG_BYTES, RESIDUALS, Replicas, training};
use crate::{Acc, Real, Result, View, ViewMut};

pub(super) fn diagonal_forward<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &DiagonalShape,
    x: View<T>,
    params: View<T>,
    y: ViewMut<T>,
) -> Result<()> {
    let (x, params, mut y) = (on(device, op, "x", x)?, on(device, op, "params", params)?, on_mut(device, op, "y", y)?);
    // A warp for each prediction.
    let blocks = (shape.replicas * shape.n).div_ceil(THREADS / 32);
    let launch = kernel::<T>(device, "diagonal", op)?.grid([blocks, 1, 1]).block([THREADS, 1, 1]);
    let launch = sizes(launch.read(x).read(params).write(&mut y), op, shape)?;
    // SAFETY: the caller checked all lengths against the shape.
    Ok(unsafe { launch.queue() }?)
}

pub(super) fn diagonal_backward_weight<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &DiagonalShape,
    [x, params, dy]: [View<T>; 3],
    dparams: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    let (x, params, dy) = (on(device, op, "x", x)?, on(device, op, "params", params)?, on(device, op, "dy", dy)?);
    let mut dparams = on_mut(device, op, "dparams", dparams)?;
    let launch = elementwise::<T>(device, "diagonal", op, shape.replicas * shape.d)?;
    let launch = sizes(launch.read(x).read(params).read(dy).write(&mut dparams), op, shape)?.value(adds(acc));
    // SAFETY: the caller checked all lengths against the shape.
    Ok(unsafe { launch.queue() }?)
}

pub(super) fn diagonal_sgd<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &DiagonalShape,
    [x, y]: [View<T>; 2],
    steps: Steps<'_, T>,
    params: ViewMut<T>,
    diverged: &mut [Option<usize>],
) -> Result<()> {
    let (x, y) = (on(device, op, "x", x)?, on(device, op, "y", y)?);
    let order = steps.order.on(device)?;
    train(device, op, shape, [x, y], Some(order.as_slice()), steps.batch, steps.lr, params, diverged)
}

pub(super) fn diagonal_gd<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &DiagonalShape,
    [x, y]: [View<T>; 2],
    lr: StepSizes<'_, T>,
    params: ViewMut<T>,
    diverged: &mut [Option<usize>],
) -> Result<()> {
    let (x, y) = (on(device, op, "x", x)?, on(device, op, "y", y)?);
    train(device, op, shape, [x, y], None, shape.n, lr, params, diverged)
}

/// Without an order, every step takes all samples.
#[expect(clippy::too_many_arguments, reason = "those of the operator, unpacked")]
fn train<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &DiagonalShape,
    [x, y]: [Slice<T>; 2],
    order: Option<Slice<u32>>,
    batch: usize,
    lr: StepSizes<'_, T>,
    params: ViewMut<T>,
    diverged: &mut [Option<usize>],
) -> Result<()> {
    let mut params = on_mut(device, op, "params", params)?;
    let mut replicas = Replicas::new(device, op, lr, diverged)?;
    let work = (2 * shape.d).saturating_mul(batch);
    let launch = training::<T>(device, "diagonal", "diagonal_sgd", shape.replicas, shape.d, work)?;
    let launch = launch.shared_bytes((3 * shape.d + RESIDUALS) * size_of::<T>() + FLAG_BYTES).read(x).read(y);
    let launch = match order {
        Some(order) => launch.read(order),
        None => launch.null(),
    };
    let launch = launch.read(replicas.lr.as_slice()).write(&mut params).write(&mut replicas.diverged.as_slice_mut());
    let launch = launch.value(size(op, "d", shape.d)?).value(size(op, "stride", shape.stride)?);
    let launch = replicas.steps(launch).value(size(op, "batch", batch)?);
    // SAFETY: the caller checked all lengths against the shape, that there is an index for each sample of each step and replica,
    // and that all are below n; without an order the batch is n.
    unsafe { launch.queue() }?;
    replicas.write_back(diverged)
}

fn sizes<'a>(launch: Launch<'a>, op: &'static str, shape: &DiagonalShape) -> Result<Launch<'a>> {
    let DiagonalShape { n, d, stride, replicas } = *shape;
    let launch = launch.value(size(op, "n", n)?).value(size(op, "d", d)?);
    Ok(launch.value(size(op, "stride", stride)?).value(size(op, "replicas", replicas)?))
}

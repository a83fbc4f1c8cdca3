use handgrad_cuda::{Buffer, Context, Launch, Slice, SliceMut};

use super::{After, BatchNormShape, Gate, Gated, Moments};
use crate::device::{THREADS, adds, kernel, on, on_mut, size};
use crate::{Acc, Real, Result, View, ViewMut};

/// Rows that a block of the first launch of a sum takes: `ROWS_OF_BLOCK` of batchnorm.cu.
pub(crate) const ROWS: usize = 256;
/// Rows that a block of the element-wise kernels is worth starting for.
const FEW_ROWS: usize = 64;
/// Channels of a block.
const CHANNELS: usize = 32;
const CODE: &str = "batchnorm";

pub(super) fn batchnorm_moments<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &BatchNormShape,
    x: View<T>,
    [mean, variance]: [ViewMut<T>; 2],
) -> Result<()> {
    let out = [on_mut(device, op, "mean", mean)?, on_mut(device, op, "variance", variance)?];
    // Count, mean and squares.
    let partial = launch::<T>(device, "batchnorm_moments_partial", op, shape, ROWS)?.read(on(device, op, "x", x)?);
    // SAFETY: the caller checked all lengths against the shape.
    unsafe { sum::<T>(device, (op, 3), shape, partial, |launch| launch, out) }
}

#[expect(clippy::too_many_arguments, reason = "the operator's own, after its name")]
pub(super) fn batchnorm_forward<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &BatchNormShape,
    x: View<T>,
    moments: Moments<T>,
    [w, b]: [View<T>; 2],
    after: After<T>,
    y: ViewMut<T>,
) -> Result<()> {
    let ([mean, variance], mut y) = (normal(device, op, moments)?, on_mut(device, op, "y", y)?);
    let launch = launch::<T>(device, op, op, shape, FEW_ROWS)?.read(on(device, op, "x", x)?).read(mean).read(variance);
    let launch = launch.read(on(device, op, "w", w)?).read(on(device, op, "b", b)?).write(&mut y);
    let launch = sizes(launch, op, shape)?.value(moments.epsilon);
    let launch = match after.residual {
        None => launch.null(),
        Some(residual) => launch.read(on(device, op, "residual", residual)?),
    };
    // SAFETY: the caller checked all lengths against the shape.
    Ok(unsafe { launch.value(u32::from(after.relu)).queue() }?)
}

#[expect(clippy::too_many_arguments, reason = "the operator's own, after its name")]
pub(super) fn batchnorm_backward_affine<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &BatchNormShape,
    x: View<T>,
    moments: Moments<T>,
    dy: Gated<T>,
    ds: Option<(ViewMut<T>, Acc)>,
    [dw, db]: [ViewMut<T>; 2],
) -> Result<()> {
    let (out, [mean, variance]) = ([on_mut(device, op, "dw", dw)?, on_mut(device, op, "db", db)?], normal(device, op, moments)?);
    let partial = launch::<T>(device, "batchnorm_backward_affine_partial", op, shape, ROWS)?.read(on(device, op, "x", x)?);
    let partial = gated(device, op, partial.read(mean).read(variance), dy)?;
    let mut ds = ds.map(|(ds, acc)| on_mut(device, op, "ds", ds).map(|ds| (ds, acc))).transpose()?;
    let rest = |launch| match (Launch::value(launch, moments.epsilon), &mut ds) {
        (launch, None) => launch.null().value(0_u32),
        (launch, Some((ds, acc))) => launch.write(ds).value(adds(*acc)),
    };
    // SAFETY: the caller checked all lengths against the shape.
    unsafe { sum::<T>(device, (op, 2), shape, partial, rest, out) }
}

#[expect(clippy::too_many_arguments, reason = "the operator's own, after its name")]
pub(super) fn batchnorm_backward_data<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &BatchNormShape,
    x: View<T>,
    moments: Moments<T>,
    [w, dw, db]: [View<T>; 3],
    dy: Gated<T>,
    (dx, acc): (ViewMut<T>, Acc),
) -> Result<()> {
    let ([mean, variance], mut dx) = (normal(device, op, moments)?, on_mut(device, op, "dx", dx)?);
    let launch = launch::<T>(device, op, op, shape, FEW_ROWS)?.read(on(device, op, "x", x)?).read(mean).read(variance);
    let launch = launch.read(on(device, op, "w", w)?).read(on(device, op, "dw", dw)?).read(on(device, op, "db", db)?);
    let launch = sizes(gated(device, op, launch, dy)?.write(&mut dx), op, shape)?;
    let launch = launch.value(moments.epsilon).value(adds(acc));
    // SAFETY: the caller checked all lengths against the shape.
    Ok(unsafe { launch.queue() }?)
}

/// A gradient and its gate, as kernels take them.
fn gated<'a, T: Real>(device: &Context, op: &'static str, launch: Launch<'a>, dy: Gated<T>) -> Result<Launch<'a>> {
    let launch = launch.read(on(device, op, "dy", dy.dy)?);
    Ok(match dy.gate {
        Gate::Open => launch.null().null().null(),
        Gate::Normalised([w, b]) => launch.read(on(device, op, "w", w)?).read(on(device, op, "b", b)?).null(),
        Gate::Outputs(y) => launch.null().null().read(on(device, op, "y", y)?),
    })
}

fn normal<'a, T: Real>(device: &Context, op: &'static str, moments: Moments<'a, T>) -> Result<[Slice<'a, T>; 2]> {
    Ok([on(device, op, "mean", moments.mean)?, on(device, op, "variance", moments.variance)?])
}

/// A kernel of a shape, with a block for so many rows.
fn launch<'a, T: Real>(
    device: &'a Context,
    function: &str,
    op: &'static str,
    shape: &BatchNormShape,
    rows: usize,
) -> Result<Launch<'a>> {
    size(op, "c", shape.c)?;
    let grid = [shape.rows.div_ceil(rows), shape.c.div_ceil(CHANNELS), 1];
    Ok(kernel::<T>(device, CODE, function)?.grid(grid).block([THREADS, 1, 1]))
}

fn sizes<'a>(launch: Launch<'a>, op: &'static str, shape: &BatchNormShape) -> Result<Launch<'a>> {
    Ok(launch.value(shape.rows as u64).value(size(op, "c", shape.c)?))
}

/// The two launches of sums over rows: `partial`, which has its inputs and to which `rest` adds what comes after the sizes, and the
/// total of `op`. Each block leaves so many f64 of a channel.
///
/// # Safety
/// The inputs of `partial` must have the lengths of the shape, and `out` c elements each.
unsafe fn sum<'a, T: Real>(
    device: &'a Context,
    (op, numbers): (&'static str, usize),
    shape: &BatchNormShape,
    partial: Launch<'a>,
    rest: impl FnOnce(Launch<'a>) -> Launch<'a>,
    mut out: [SliceMut<'_, T>; 2],
) -> Result<()> {
    let (chunks, shared_bytes) = (shape.rows.div_ceil(ROWS), THREADS * numbers * size_of::<f64>());
    let mut sums = Buffer::<f64>::scratch(device, chunks * shape.c * numbers)?;
    let partial = sizes(partial.shared_bytes(shared_bytes).write(&mut sums.as_slice_mut()), op, shape)?;
    // SAFETY: the caller's promise for the inputs; each block writes its own `numbers` of `sums` for each channel.
    unsafe { rest(partial).queue() }?;
    let total = launch::<T>(device, &format!("{op}_total"), op, shape, shape.rows)?.shared_bytes(shared_bytes);
    let [first, second] = &mut out;
    let total = total.read(sums.as_slice()).write(first).write(second).value(chunks as u64).value(size(op, "c", shape.c)?);
    // SAFETY: `sums` has `numbers` for each channel of each chunk; the caller's promise for what is written.
    Ok(unsafe { total.queue() }?)
}

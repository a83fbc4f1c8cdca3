use handgrad_cuda::{Buffer, Context, Launch};

use super::SoftmaxShape;
use crate::device::{THREADS, kernel, on, on_mut, scalar, size, summing};
use crate::{Real, Result, View, ViewMut};

/// Samples of a block: of the first launch of a sum, and of the element-wise kernels, where a warp takes one.
const SAMPLES_OF_SUM: usize = 64;
const SAMPLES_OF_BLOCK: usize = THREADS / 32;

pub(super) fn softmax_xent_forward<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &SoftmaxShape,
    y: View<T>,
    labels: View<u32>,
) -> Result<T> {
    let (n, classes) = (size(op, "batch", shape.n)?, size(op, "classes", shape.classes)?);
    let (y, labels) = (on(device, op, "y", y)?, on(device, op, "labels", labels)?);
    let blocks = shape.n.div_ceil(SAMPLES_OF_SUM);
    let (mut partial, mut loss) = (Buffer::<f64>::scratch(device, blocks)?, Buffer::scratch(device, 1)?);
    let launch = summing::<T, f64>(device, "softmax_xent", "softmax_xent_partial", blocks)?;
    let launch = launch.read(y).read(labels).write(&mut partial.as_slice_mut()).value(n).value(classes);
    // SAFETY: the caller checked that y has n * classes elements and that there are n labels, of which the kernel follows
    // those below `classes`; each block writes
    // its own one of `partial`.
    unsafe { launch.queue() }?;
    let launch = summing::<T, f64>(device, "softmax_xent", "softmax_xent_total", 1)?;
    let launch = launch.read(partial.as_slice()).write(&mut loss.as_slice_mut()).value(blocks as u64).value(n);
    // SAFETY: `partial` has `blocks` elements and the loss one.
    unsafe { launch.queue() }?;
    scalar(&loss)
}

pub(super) fn softmax_xent_backward<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &SoftmaxShape,
    y: View<T>,
    labels: View<u32>,
    dy: ViewMut<T>,
) -> Result<()> {
    let (y, mut dy) = (on(device, op, "y", y)?, on_mut(device, op, "dy", dy)?);
    let labels = on(device, op, "labels", labels)?;
    let launch = by_sample::<T>(device, op, shape)?.read(y).read(labels).write(&mut dy);
    let launch = launch.value(size(op, "batch", shape.n)?).value(size(op, "classes", shape.classes)?);
    // SAFETY: the caller checked that y and dy have n * classes elements and that there are n labels.
    Ok(unsafe { launch.queue() }?)
}

pub(super) fn softmax_xent_backward_tangent<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &SoftmaxShape,
    y: View<T>,
    y_tangent: View<T>,
    dy_tangent: ViewMut<T>,
) -> Result<()> {
    let (y, y_tangent) = (on(device, op, "y", y)?, on(device, op, "y_tangent", y_tangent)?);
    let mut dy_tangent = on_mut(device, op, "dy_tangent", dy_tangent)?;
    let launch = by_sample::<T>(device, op, shape)?.read(y).read(y_tangent).write(&mut dy_tangent);
    let launch = launch.value(size(op, "batch", shape.n)?).value(size(op, "classes", shape.classes)?);
    // SAFETY: the caller checked that all three have n * classes elements.
    Ok(unsafe { launch.queue() }?)
}

fn by_sample<'a, T: Real>(device: &'a Context, op: &'static str, shape: &SoftmaxShape) -> Result<Launch<'a>> {
    let blocks = shape.n.div_ceil(SAMPLES_OF_BLOCK);
    Ok(kernel::<T>(device, "softmax_xent", op)?.grid([blocks, 1, 1]).block([THREADS, 1, 1]))
}

use handgrad_cuda::{Buffer, Launch};

use super::Conv2dShape;
use crate::device::{adds, elementwise, on, on_mut, size};
use crate::gemm::cuda::{Multiplier, product, tile};
use crate::{Acc, Precision, Real, Result, View, ViewMut};

/// Blocks that keep a device busy: a gradient by few weights is made in parts, each of some images, until there are as many.
const ENOUGH_BLOCKS: usize = 264;

pub(super) fn conv2d_forward<T: Real>(
    multiplier: Multiplier<'_>,
    op: &'static str,
    shape: &Conv2dShape,
    [x, w]: [View<T>; 2],
    y: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    let (x, w, mut y) =
        (on(multiplier.device, op, "x", x)?, on(multiplier.device, op, "w", w)?, on_mut(multiplier.device, op, "y", y)?);
    let matrix = [shape.n * shape.windows(), shape.k];
    let launch = product::<T>(multiplier, "conv2d", op, matrix, 1)?.read(x).read(w).write(&mut y);
    // SAFETY: the caller checked all lengths against the shape, whose sizes the kernel takes.
    Ok(unsafe { sizes(launch, op, shape)?.value(adds(acc)).queue() }?)
}

pub(super) fn conv2d_backward_data<T: Real>(
    multiplier: Multiplier<'_>,
    op: &'static str,
    shape: &Conv2dShape,
    [w, dy]: [View<T>; 2],
    dx: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    let (w, dy, mut dx) =
        (on(multiplier.device, op, "w", w)?, on(multiplier.device, op, "dy", dy)?, on_mut(multiplier.device, op, "dx", dx)?);
    // Of the largest phase.
    let pixels = shape.h.div_ceil(shape.stride) * shape.w.div_ceil(shape.stride);
    let launch = product::<T>(multiplier, "conv2d", op, [shape.n * pixels, shape.c], shape.stride * shape.stride)?;
    let launch = launch.read(w).read(dy).write(&mut dx);
    // SAFETY: the caller checked all lengths against the shape, whose sizes the kernel takes.
    Ok(unsafe { sizes(launch, op, shape)?.value(adds(acc)).queue() }?)
}

pub(super) fn conv2d_backward_weight<T: Real>(
    multiplier: Multiplier<'_>,
    op: &'static str,
    shape: &Conv2dShape,
    [x, dy]: [View<T>; 2],
    dw: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    let (x, dy, mut dw) =
        (on(multiplier.device, op, "x", x)?, on(multiplier.device, op, "dy", dy)?, on_mut(multiplier.device, op, "dw", dw)?);
    let (share, parts) = parts::<T>(multiplier.precision, shape);
    let launch = product::<T>(multiplier, "conv2d", op, [shape.window(), shape.k], parts)?.read(x).read(dy);
    if parts == 1 {
        let launch = sizes(launch.write(&mut dw), op, shape)?.value(size(op, "n", share)?).value(adds(acc));
        // SAFETY: the caller checked all lengths against the shape, whose sizes the kernel takes; the only part has all images.
        return Ok(unsafe { launch.queue() }?);
    }
    let weights = dw.len();
    let mut all = Buffer::<T>::scratch(multiplier.device, parts * weights)?;
    let launch = sizes(launch.write(&mut all.as_slice_mut()), op, shape)?.value(size(op, "n", share)?).value(adds(Acc::Set));
    // SAFETY: as above; `all` has a gradient for each of the parts, and none of them is without images.
    unsafe { launch.queue() }?;
    let launch = elementwise::<T>(multiplier.device, "conv2d", "conv2d_backward_weight_total", weights)?
        .read(all.as_slice())
        .write(&mut dw);
    let launch = launch.value(weights as u64).value(size(op, "n", parts)?).value(adds(acc));
    // SAFETY: `all` has `parts` times as many elements as dw.
    Ok(unsafe { launch.queue() }?)
}

/// Images of a part of the gradient by the weights, and how many parts there are: of shape and precision alone, as are the bits.
fn parts<T: Real>(precision: Precision, shape: &Conv2dShape) -> (usize, usize) {
    let (_, [rows, columns]) = tile::<T>(precision, shape.k);
    let tiles = shape.window().div_ceil(rows) * shape.k.div_ceil(columns);
    let share = shape.n.div_ceil(ENOUGH_BLOCKS.div_ceil(tiles));
    (share, shape.n.div_ceil(share))
}

fn sizes<'a>(mut launch: Launch<'a>, op: &'static str, shape: &Conv2dShape) -> Result<Launch<'a>> {
    let &Conv2dShape { n, h, w, c, k, size: window, stride, pad } = shape;
    let [rows, columns] = shape.out();
    // What kernels count in 32 bits; n by n·h·w and k by the columns of a product.
    for (what, count) in [("n", n * h * w), ("n", n * rows * columns), ("size", shape.window()), ("size", window * window * k)] {
        size(op, what, count)?;
    }
    for (what, value) in [
        ("n", n),
        ("h", h),
        ("w", w),
        ("c", c),
        ("k", k),
        ("size", window),
        ("stride", stride),
        ("pad", pad),
        ("n", rows),
        ("n", columns),
    ] {
        launch = launch.value(size(op, what, value)?);
    }
    Ok(launch)
}

use handgrad_cuda::{Context, Launch};

use super::GemmShape;
use crate::device::{THREADS, adds, kernel, on, on_mut, size};
use crate::{Acc, Real, Result, View, ViewMut};

/// Rows and columns of a block's tile: `TILE` of product.cuh.
pub(crate) const TILE: usize = 64;
/// Of the inner index at once: `DEPTH` of product.cuh.
pub(crate) const DEPTH: usize = 16;
/// Elements of shared memory: `PRODUCT_SHARED` of product.cuh, two stages of a slice of each matrix.
const SHARED: usize = 4 * DEPTH * (TILE + 1);

pub(super) fn gemm_forward<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &GemmShape,
    a: View<T>,
    b: View<T>,
    c: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    let (a, b, mut c) = (on(device, op, "a", a)?, on(device, op, "b", b)?, on_mut(device, op, "c", c)?);
    if shape.m == 0 || shape.n == 0 {
        return Ok(());
    }
    let mut launch = product::<T>(device, "gemm", op, shape.m, shape.n)?.read(a).read(b).write(&mut c);
    launch = launch.value(size(op, "m", shape.m)?).value(size(op, "n", shape.n)?).value(size(op, "k", shape.k)?);
    for stride in [shape.a, shape.b, shape.c].into_iter().flatten() {
        launch = launch.value(stride as u64);
    }
    // SAFETY: the caller checked that every element is within its slice and that no two of c share a place.
    Ok(unsafe { launch.value(adds(acc)).queue() }?)
}

/// A kernel that computes a matrix of so many rows and columns by tiles.
pub(crate) fn product<'a, T: Real>(
    device: &'a Context,
    code: &str,
    function: &str,
    rows: usize,
    columns: usize,
) -> Result<Launch<'a>> {
    let grid = [columns.div_ceil(TILE), rows.div_ceil(TILE), 1];
    Ok(kernel::<T>(device, code, function)?.grid(grid).block([THREADS, 1, 1]).shared_bytes(SHARED * size_of::<T>()))
}

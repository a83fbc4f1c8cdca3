use handgrad_cuda::{Context, Launch};

use super::GemmShape;
use crate::device::{adds, kernel, on, on_mut, size};
use crate::{Acc, Real, Result, View, ViewMut};

/// Threads of a block of a product: `PRODUCT_THREADS` of product.cuh.
pub(crate) const THREADS: usize = 128;
/// Of the inner index at once: `DEPTH` of product.cuh.
pub(crate) const DEPTH: usize = 16;
/// Columns of a narrow tile: of `Narrow` of product.cuh.
const NARROW: usize = 16;
/// What threads copy at once, in bytes.
const VECTOR: usize = 16;

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
    let mut launch = product::<T>(device, "gemm", op, [shape.m, shape.n], 1)?.read(a).read(b).write(&mut c);
    launch = launch.value(size(op, "m", shape.m)?).value(size(op, "n", shape.n)?).value(size(op, "k", shape.k)?);
    for stride in [shape.a, shape.b, shape.c].into_iter().flatten() {
        launch = launch.value(stride as u64);
    }
    // SAFETY: the caller checked that every element is within its slice and that no two of c share a place.
    Ok(unsafe { launch.value(adds(acc)).queue() }?)
}

/// Rows and columns of a block's tile of a product with so many columns: `Wide` or `Narrow` of product.cuh.
pub(crate) fn tile<T: Real>(columns: usize) -> [usize; 2] {
    let rows = 512 / size_of::<T>();
    [rows, if columns <= NARROW { NARROW } else { rows / 2 }]
}

/// A kernel that computes matrices of so many rows and columns by tiles, `parts` of them along y.
pub(crate) fn product<'a, T: Real>(
    device: &'a Context,
    code: &str,
    function: &str,
    [rows, columns]: [usize; 2],
    parts: usize,
) -> Result<Launch<'a>> {
    let tile = tile::<T>(columns);
    let function = if tile[1] == NARROW { format!("{function}_narrow") } else { function.to_owned() };
    let grid = [rows.div_ceil(tile[0]) * columns.div_ceil(tile[1]), parts, 1];
    // Two stages of lines with a vector more than the slice has.
    let shared_bytes = 2 * (tile[0] + tile[1]) * (DEPTH * size_of::<T>() + VECTOR);
    Ok(kernel::<T>(device, code, &function)?.grid(grid).block([THREADS, 1, 1]).shared_bytes(shared_bytes))
}

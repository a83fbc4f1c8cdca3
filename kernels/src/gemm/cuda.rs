use handgrad_cuda::{Context, Launch};

use super::GemmShape;
use crate::device::{adds, on, on_mut, size};
use crate::{Acc, Dtype, Precision, Real, Result, View, ViewMut};

/// Threads of a block of a product: `PRODUCT_THREADS` of product.cuh.
pub(crate) const THREADS: usize = 128;
/// Of the inner index at once: `DEPTH` of product.cuh.
pub(crate) const DEPTH: usize = 16;
/// Columns of a narrow tile: of `Narrow` of product.cuh.
const NARROW: usize = 16;
/// What threads copy at once, in bytes.
const VECTOR: usize = 16;

/// What computes products: a device, with its precision for those of f32.
#[derive(Clone, Copy)]
pub(crate) struct Multiplier<'a> {
    pub(crate) device: &'a Context,
    pub(crate) precision: Precision,
}

pub(super) fn gemm_forward<T: Real>(
    multiplier: Multiplier<'_>,
    op: &'static str,
    shape: &GemmShape,
    a: View<T>,
    b: View<T>,
    c: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    let (a, b, mut c) =
        (on(multiplier.device, op, "a", a)?, on(multiplier.device, op, "b", b)?, on_mut(multiplier.device, op, "c", c)?);
    if shape.m == 0 || shape.n == 0 {
        return Ok(());
    }
    let mut launch = product::<T>(multiplier, "gemm", op, [shape.m, shape.n], 1)?.read(a).read(b).write(&mut c);
    launch = launch.value(size(op, "m", shape.m)?).value(size(op, "n", shape.n)?).value(size(op, "k", shape.k)?);
    for stride in [shape.a, shape.b, shape.c].into_iter().flatten() {
        launch = launch.value(stride as u64);
    }
    // SAFETY: the caller checked that every element is within its slice and that no two of c share a place.
    Ok(unsafe { launch.value(adds(acc)).queue() }?)
}

/// The tile for a product with so many columns: how product.cuh ends its kernels' names, and a block's rows and columns.
pub(crate) fn tile<T: Real>(precision: Precision, columns: usize) -> (&'static str, [usize; 2]) {
    match (T::DTYPE, precision) {
        (Dtype::F32, Precision::F32) if columns <= NARROW => ("narrow_f32", [128, NARROW]),
        (Dtype::F32, precision) => (precision.name(), [128, 64]),
        (Dtype::F64, _) if columns <= NARROW => ("narrow_f64", [64, NARROW]),
        (Dtype::F64, _) => ("f64", [64, 32]),
    }
}

/// A kernel that computes matrices of so many rows and columns by tiles, `parts` of them along y.
pub(crate) fn product<'a, T: Real>(
    multiplier: Multiplier<'a>,
    code: &str,
    function: &str,
    [rows, columns]: [usize; 2],
    parts: usize,
) -> Result<Launch<'a>> {
    let (name, tile) = tile::<T>(multiplier.precision, columns);
    let grid = [rows.div_ceil(tile[0]) * columns.div_ceil(tile[1]), parts, 1];
    // Two stages of lines with a vector more than the slice has.
    let shared_bytes = 2 * (tile[0] + tile[1]) * (DEPTH * size_of::<T>() + VECTOR);
    let launch = Launch::new(multiplier.device, code, &format!("{function}_{name}"))?;
    Ok(launch.grid(grid).block([THREADS, 1, 1]).shared_bytes(shared_bytes))
}

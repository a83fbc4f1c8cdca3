//! Rows of a matrix by their indices: `out_kj = x_{i_k, j}`, the batch of a training step.

#[cfg(feature = "cuda")]
mod cuda;
mod scalar;
#[cfg(test)]
mod tests;

use crate::context::{host, host_mut};
use crate::error::{exact, positive};
use crate::{Context, Element, Error, Isa, Result, Variants, View, ViewMut};

/// The instruction sets with a variant of their own: the copies are the standard library's.
pub const VARIANTS: Variants = Variants { op: "gather", isas: &[Isa::Scalar] };

/// Sizes of a matrix that rows are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatherShape {
    /// Rows of x.
    pub n: usize,
    /// Elements of a row.
    pub width: usize,
    /// Elements of x from one row to the next, at least `width`.
    pub stride: usize,
}

/// `out_kj = x_{i_k, j}`, i the indices.
///
/// `x`: n rows by the stride; `indices`: any number, each below n; `out`: as many rows of `width` elements. On a CUDA device,
/// where indices cannot be looked at before, a row that x does not have becomes all bits 1, which is NaN.
///
/// # Errors
/// If a size is zero, a length disagrees with the shape, an index is not below n, or a view is not on the context's device.
pub fn gather<T: Element>(cx: &Context, shape: &GatherShape, x: View<T>, indices: View<u32>, out: ViewMut<T>) -> Result<()> {
    const OP: &str = "gather";
    let GatherShape { n, width, stride } = *shape;
    positive(OP, &[("the number of rows", n), ("the width of a row", width)])?;
    if stride < width {
        return Err(Error::Shape { op: OP, what: "stride", got: stride, expected: format!("at least the width, {width}") });
    }
    exact(OP, "x", x.len(), n.saturating_mul(stride), "n * stride")?;
    exact(OP, "out", out.len(), indices.len().saturating_mul(width), "indices * width")?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::gather(device, OP, shape, x, indices, out);
    }
    cx.require_cpu(OP)?;
    let (x, indices, out) = (host(OP, "x", x)?, host(OP, "indices", indices)?, host_mut(OP, "out", out)?);
    if let Some(position) = indices.iter().position(|&index| index as usize >= n) {
        return Err(Error::Index { op: OP, argument: "indices", position, got: indices[position] as usize, limit: n });
    }
    scalar::gather(shape, x, indices, out);
    Ok(())
}

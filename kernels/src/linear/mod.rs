//! The fully connected layer `y = x wᵀ + b`.
//!
//! With x n x inputs, w outputs x inputs, b outputs and y n x outputs, all dense and row-major:
//!
//! - forward: `y_ij = Σ_k x_ik w_jk + b_j`
//! - backward: `dx = dy w`, `dw = dyᵀ x`, `db_j = Σ_i dy_ij`
//!
//! The way to compute follows from the shape alone. Rows of y have the same bits in all batches below `inputs/5`, and in all
//! from there on; rows of dx have the same bits in all batches. Layers of at least 1 MiB go through [`gemm`](crate::gemm) from
//! batches of 8 on, with bits of its own, which do not depend on the batch either.

#[cfg(feature = "cuda")]
mod cuda;
mod scalar;
mod simd;
#[cfg(test)]
mod tests;

use crate::context::{host, host_mut};
use crate::error::{exact, positive};
use crate::gemm::{GemmShape, gemm_forward};
use crate::{Acc, Context, Isa, Real, Result, Variants, View, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "linear", isas: &[Isa::Scalar, Isa::Avx2, Isa::Avx512] };

/// A transpose of w pays once there is a sample for so many inputs: sums along rows lose time at the end of each row, a
/// transpose costs time per element.
const INPUTS_PER_SAMPLE: usize = 5;
/// Weights that fill a second-level cache, where [`gemm`](crate::gemm) with its blocks for the cache is ahead.
const LARGE_BYTES: usize = 1 << 20;
/// The least batch for which it is.
const LARGE_BATCH: usize = 8;

/// Sizes of a batch and of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearShape {
    /// Samples: rows of x and of y.
    pub n: usize,
    /// Width of x.
    pub inputs: usize,
    /// Width of y.
    pub outputs: usize,
}

impl LinearShape {
    /// The shape of a batch of `n`.
    pub fn new(n: usize, inputs: usize, outputs: usize) -> LinearShape {
        LinearShape { n, inputs, outputs }
    }

    /// Whether the passes go through [`gemm`](crate::gemm), if the instruction set is not scalar.
    fn large<T: Real>(&self) -> bool {
        self.n >= LARGE_BATCH && self.inputs * self.outputs * size_of::<T>() >= LARGE_BYTES
    }

    /// Whether the forward pass transposes w, if it does not go through [`gemm`](crate::gemm).
    fn transposes(&self) -> bool {
        self.n.saturating_mul(INPUTS_PER_SAMPLE) >= self.inputs
    }

    /// Refuses empty sizes and slices of another length than the shape's.
    fn check(&self, op: &'static str, slices: &[(&'static str, Layout, usize)]) -> Result<()> {
        positive(op, &[("batch", self.n), ("inputs", self.inputs), ("outputs", self.outputs)])?;
        for &(argument, layout, got) in slices {
            // A product beyond usize is no slice's length.
            let (expected, formula) = match layout {
                Layout::Input => (self.n.saturating_mul(self.inputs), "n * inputs"),
                Layout::Output => (self.n.saturating_mul(self.outputs), "n * outputs"),
                Layout::Weight => (self.outputs.saturating_mul(self.inputs), "outputs * inputs"),
                Layout::Bias => (self.outputs, "outputs"),
            };
            exact(op, argument, got, expected, formula)?;
        }
        Ok(())
    }
}

/// Which of the layer's matrices a slice holds.
#[derive(Clone, Copy)]
enum Layout {
    Input,
    Output,
    Weight,
    Bias,
}

/// `y = x wᵀ + b` under [`Acc::Set`], `y += x wᵀ + b` under [`Acc::Add`]; without `b`, no bias.
///
/// `x`: n x inputs; `w`: outputs x inputs; `b`: outputs; `y`: n x outputs.
///
/// # Errors
/// If a size is zero, a length disagrees with the shape or a view is not on the context's device.
pub fn linear_forward<T: Real>(
    cx: &Context,
    shape: &LinearShape,
    x: View<T>,
    w: View<T>,
    b: Option<View<T>>,
    y: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    const OP: &str = "linear_forward";
    shape.check(OP, &[("x", Layout::Input, x.len()), ("w", Layout::Weight, w.len()), ("y", Layout::Output, y.len())])?;
    if let Some(b) = b {
        shape.check(OP, &[("b", Layout::Bias, b.len())])?;
    }
    #[cfg(feature = "cuda")]
    if let Some(multiplier) = cx.multiplier() {
        return cuda::linear_forward(multiplier, OP, shape, [x, w], b, y, acc);
    }
    let (x, w, y) = (host(OP, "x", x)?, host(OP, "w", w)?, host_mut(OP, "y", y)?);
    let b = b.map(|b| host(OP, "b", b)).transpose()?;
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::linear_forward(shape, x, w, b, y, acc),
        _ if shape.large::<T>() => {
            let gemm = GemmShape { b: [1, shape.inputs], ..GemmShape::row_major(shape.n, shape.outputs, shape.inputs) };
            gemm_forward(cx, &gemm, x.into(), w.into(), (&mut *y).into(), acc)?;
            if let Some(b) = b {
                for y in y.chunks_exact_mut(shape.outputs) {
                    for (y, &b) in y.iter_mut().zip(b) {
                        *y += b;
                    }
                }
            }
        }
        isa if !shape.transposes() => simd::linear_forward_by_rows(isa, shape, x, w, b, y, acc),
        isa => {
            let mut transposed = cx.scratch(shape.inputs * shape.outputs);
            simd::linear_forward_transposed(isa, shape, x, w, b, y, acc, &mut transposed);
        }
    }
    Ok(())
}

/// `dx = dy w`, set or accumulated.
///
/// `w`: outputs x inputs; `dy`: n x outputs; `dx`: n x inputs.
///
/// # Errors
/// As [`linear_forward`].
pub fn linear_backward_data<T: Real>(
    cx: &Context,
    shape: &LinearShape,
    w: View<T>,
    dy: View<T>,
    dx: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    const OP: &str = "linear_backward_data";
    shape.check(OP, &[("w", Layout::Weight, w.len()), ("dy", Layout::Output, dy.len()), ("dx", Layout::Input, dx.len())])?;
    #[cfg(feature = "cuda")]
    if let Some(multiplier) = cx.multiplier() {
        return cuda::linear_backward_data(multiplier, OP, shape, w, dy, dx, acc);
    }
    let (w, dy, dx) = (host(OP, "w", w)?, host(OP, "dy", dy)?, host_mut(OP, "dx", dx)?);
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::linear_backward_data(shape, w, dy, dx, acc),
        _ if shape.large::<T>() => {
            let gemm = GemmShape::row_major(shape.n, shape.inputs, shape.outputs);
            gemm_forward(cx, &gemm, dy.into(), w.into(), dx.into(), acc)?;
        }
        isa => simd::linear_backward_data(isa, shape, w, dy, dx, acc),
    }
    Ok(())
}

/// `dw = dyᵀ x`, set or accumulated.
///
/// `x`: n x inputs; `dy`: n x outputs; `dw`: outputs x inputs.
///
/// # Errors
/// As [`linear_forward`].
pub fn linear_backward_weight<T: Real>(
    cx: &Context,
    shape: &LinearShape,
    x: View<T>,
    dy: View<T>,
    dw: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    const OP: &str = "linear_backward_weight";
    shape.check(OP, &[("x", Layout::Input, x.len()), ("dy", Layout::Output, dy.len()), ("dw", Layout::Weight, dw.len())])?;
    #[cfg(feature = "cuda")]
    if let Some(multiplier) = cx.multiplier() {
        return cuda::linear_backward_weight(multiplier, OP, shape, x, dy, dw, acc);
    }
    let (x, dy, dw) = (host(OP, "x", x)?, host(OP, "dy", dy)?, host_mut(OP, "dw", dw)?);
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::linear_backward_weight(shape, x, dy, dw, acc),
        _ if shape.large::<T>() => {
            let gemm = GemmShape { a: [1, shape.outputs], ..GemmShape::row_major(shape.outputs, shape.inputs, shape.n) };
            gemm_forward(cx, &gemm, dy.into(), x.into(), dw.into(), acc)?;
        }
        isa => simd::linear_backward_weight(isa, shape, x, dy, dw, acc),
    }
    Ok(())
}

/// `db_j = Σ_i dy_ij`, set or accumulated.
///
/// `dy`: n x outputs; `db`: outputs.
///
/// # Errors
/// As [`linear_forward`].
pub fn linear_backward_bias<T: Real>(cx: &Context, shape: &LinearShape, dy: View<T>, db: ViewMut<T>, acc: Acc) -> Result<()> {
    const OP: &str = "linear_backward_bias";
    shape.check(OP, &[("dy", Layout::Output, dy.len()), ("db", Layout::Bias, db.len())])?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::linear_backward_bias(device, OP, shape, dy, db, acc);
    }
    let (dy, db) = (host(OP, "dy", dy)?, host_mut(OP, "db", db)?);
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::linear_backward_bias(shape, dy, db, acc),
        isa => simd::linear_backward_bias(isa, shape, dy, db, acc),
    }
    Ok(())
}

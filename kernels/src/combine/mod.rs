//! Linear combinations of vectors.
//!
//! - [`combine`]: `out = Σ_k c_k x_k` over one to four terms, set or accumulated
//! - [`scale_by`]: `out = c·x` with c in memory, set or accumulated
//! - [`scale_add`]: `out = a·out + c·x`

#[cfg(feature = "cuda")]
mod cuda;
mod scalar;
mod simd;
#[cfg(test)]
mod tests;

use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use crate::context::{host, host_mut};
use crate::error::exact;
use crate::{Acc, Context, Isa, PIECE, Real, Result, Variants, View, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "combine", isas: &[Isa::Scalar, Isa::Avx2, Isa::Avx512] };

/// Terms of [`combine`] at most.
pub const MOST_TERMS: usize = 4;

/// `out = Σ_k c_k x_k` over the terms (c_k, x_k), set or accumulated; the sum is in the order of the terms.
///
/// # Errors
/// If a term is not as long as `out`, or a view is not on the context's device.
pub fn combine<T: Real, const N: usize>(cx: &Context, terms: [(T, View<T>); N], out: ViewMut<T>, acc: Acc) -> Result<()> {
    const OP: &str = "combine";
    const { assert!(N >= 1 && N <= MOST_TERMS, "one to four terms") };
    for (_, x) in &terms {
        exact(OP, "x", x.len(), out.len(), FORMULA)?;
    }
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::combine(device, OP, &terms, out, acc);
    }
    let mut slices = [(T::ZERO, &[][..]); N];
    for (slice, (coefficient, x)) in slices.iter_mut().zip(terms) {
        *slice = (coefficient, host(OP, "x", x)?);
    }
    let out = host_mut(OP, "out", out)?;
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::combine(slices, out, acc),
        isa => out.par_chunks_mut(PIECE).enumerate().for_each(|(piece, out)| {
            let here = slices.map(|(coefficient, x)| (coefficient, &x[piece * PIECE..][..out.len()]));
            simd::combine(isa, here, out, acc);
        }),
    }
    Ok(())
}

/// `out = c·x`, set or accumulated; `c`: one element, which a device reads by itself.
///
/// # Errors
/// As [`combine`], and if c has another number of elements than one.
pub fn scale_by<T: Real>(cx: &Context, c: View<T>, x: View<T>, out: ViewMut<T>, acc: Acc) -> Result<()> {
    const OP: &str = "scale_by";
    exact(OP, "c", c.len(), 1, "one number")?;
    exact(OP, "x", x.len(), out.len(), FORMULA)?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::scale_by(device, OP, c, x, out, acc);
    }
    combine(cx, [(host(OP, "c", c)?[0], x)], out, acc)
}

/// `out = factor·out + c·x`, (c, x) the `term`.
///
/// # Errors
/// As [`combine`].
pub fn scale_add<T: Real>(cx: &Context, factor: T, (c, x): (T, View<T>), out: ViewMut<T>) -> Result<()> {
    const OP: &str = "scale_add";
    exact(OP, "x", x.len(), out.len(), FORMULA)?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::scale_add(device, OP, factor, (c, x), out);
    }
    let (x, out) = (host(OP, "x", x)?, host_mut(OP, "out", out)?);
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::scale_add(factor, (c, x), out),
        isa => simd::scale_add(isa, factor, (c, x), out),
    }
    Ok(())
}

const FORMULA: &str = "as many as out";

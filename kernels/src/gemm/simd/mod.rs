mod library;
mod packed;

use super::GemmShape;
use crate::{Acc, Context, Isa, Real};

/// With AVX-512 our own blocks, with AVX2 those of matrixmultiply, which are faster there.
pub(super) fn gemm_forward<T: Real>(cx: &Context, isa: Isa, shape: &GemmShape, a: &[T], b: &[T], c: &mut [T], acc: Acc) {
    match isa {
        Isa::Avx512 => packed::gemm_forward(cx, isa, shape, a, b, c, acc),
        _ => library::gemm_forward(shape, a, b, c, acc),
    }
}

use crate::gemm::GemmShape;
use crate::{Acc, Dtype, Real};

pub(super) fn gemm_forward<T: Real>(shape: &GemmShape, a: &[T], b: &[T], c: &mut [T], acc: Acc) {
    let &GemmShape { m, n, k, a: [ra, ca], b: [rb, cb], c: [rc, cc] } = shape;
    let signed = |stride: usize| stride as isize;
    macro_rules! call {
        ($gemm:path, $type:ty) => {{
            let beta = match acc {
                Acc::Set => 0.0,
                Acc::Add => 1.0,
            };
            let (a, b): (&[$type], &[$type]) = (bytemuck::cast_slice(a), bytemuck::cast_slice(b));
            let c: &mut [$type] = bytemuck::cast_slice_mut(c);
            // SAFETY: GemmShape::check saw that the slices cover m x k, k x n and m x n elements at these strides and that
            // no two elements of C share a place; the strides are below isize::MAX because the slices' lengths are.
            unsafe {
                $gemm(
                    m,
                    k,
                    n,
                    1.0,
                    a.as_ptr(),
                    signed(ra),
                    signed(ca),
                    b.as_ptr(),
                    signed(rb),
                    signed(cb),
                    beta,
                    c.as_mut_ptr(),
                    signed(rc),
                    signed(cc),
                );
            }
        }};
    }
    match T::DTYPE {
        Dtype::F32 => call!(matrixmultiply::sgemm, f32),
        Dtype::F64 => call!(matrixmultiply::dgemm, f64),
    }
}

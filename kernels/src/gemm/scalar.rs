use super::GemmShape;
use crate::{Acc, Real};

pub(super) fn gemm_forward<T: Real>(shape: &GemmShape, a: &[T], b: &[T], c: &mut [T], acc: Acc) {
    for i in 0..shape.m {
        for j in 0..shape.n {
            let mut sum = T::ZERO;
            for p in 0..shape.k {
                sum += a[i * shape.a[0] + p * shape.a[1]] * b[p * shape.b[0] + j * shape.b[1]];
            }
            let c = &mut c[i * shape.c[0] + j * shape.c[1]];
            *c = match acc {
                Acc::Set => sum,
                Acc::Add => *c + sum,
            };
        }
    }
}

//! General matrix product `C = A B` (or `C += A B`), row-major or transposed by strides.
//!
//! `C[i,j] = Σ_p A[i,p] B[p,j]` with A m x k, B k x n, C m x n. Every element of C is summed in the same order whatever m and
//! n are, so a column's bits do not depend on which other columns are computed with it.
//! The vector variants pack blocks that stay in cache and run parts of C on rayon's threads; bits do not depend on their number.

#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod scalar;
mod simd;

pub(crate) use simd::GemmSimd;

use crate::context::{host, host_mut};
use crate::{Acc, Context, Error, Isa, Real, Result, Variants, View, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "gemm", isas: &[Isa::Scalar, Isa::Avx2, Isa::Avx512] };

/// Sizes and strides (in elements) of the three matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GemmShape {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Distance between rows and between columns of A.
    pub a: [usize; 2],
    /// Distance between rows and between columns of B.
    pub b: [usize; 2],
    /// Distance between rows and between columns of C.
    pub c: [usize; 2],
}

impl GemmShape {
    /// Dense row-major matrices.
    pub fn row_major(m: usize, n: usize, k: usize) -> GemmShape {
        GemmShape { m, n, k, a: [k, 1], b: [n, 1], c: [n, 1] }
    }

    fn check(&self, a: usize, b: usize, c: usize) -> Result<()> {
        let needed = |rows: usize, columns: usize, [row, column]: [usize; 2]| match (rows, columns) {
            (0, _) | (_, 0) => 0,
            _ => (rows - 1) * row + (columns - 1) * column + 1,
        };
        for (argument, got, expected) in [
            ("a", a, needed(self.m, self.k, self.a)),
            ("b", b, needed(self.k, self.n, self.b)),
            ("c", c, needed(self.m, self.n, self.c)),
        ] {
            if got < expected {
                let formula = "at least (rows-1)*row stride + (columns-1)*column stride + 1";
                return Err(Error::Length { op: "gemm", argument, got, expected, formula });
            }
        }
        // Two elements of C must never share a place: one stride has to step over the other's whole extent.
        let [row, column] = self.c;
        let apart = match (self.m, self.n) {
            (0, _) | (_, 0) | (1, 1) => true,
            (1, _) => column > 0,
            (_, 1) => row > 0,
            (m, n) => (column > 0 && row > (n - 1) * column) || (row > 0 && column > (m - 1) * row),
        };
        if !apart {
            let expected = "a value that, with the column stride, gives every element its own place".to_owned();
            return Err(Error::Shape { op: "gemm", what: "the row stride of c", got: row, expected });
        }
        Ok(())
    }
}

/// `C = A B` under [`Acc::Set`], `C += A B` under [`Acc::Add`].
///
/// # Errors
/// If a slice is too short for its strides, elements of C overlap, or a view is not on the context's device.
pub fn gemm_forward<T: Real>(cx: &Context, shape: &GemmShape, a: View<T>, b: View<T>, c: ViewMut<T>, acc: Acc) -> Result<()> {
    const OP: &str = "gemm_forward";
    shape.check(a.len(), b.len(), c.len())?;
    #[cfg(feature = "cuda")]
    if let Some(multiplier) = cx.multiplier() {
        return cuda::gemm_forward(multiplier, OP, shape, a, b, c, acc);
    }
    let (a, b, c) = (host(OP, "a", a)?, host(OP, "b", b)?, host_mut(OP, "c", c)?);
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::gemm_forward(shape, a, b, c, acc),
        isa => T::gemm_forward(cx, isa, shape, a, b, c, acc),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cases, assert_close, contexts, on, on_mut, variant};

    #[test]
    fn forward_value_by_hand() {
        for cx in contexts() {
            let mut c = [f64::NAN; 4];
            let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.5, -1.0, 2.0, 0.0, 1.0]);
            let shape = GemmShape::row_major(2, 2, 3);
            gemm_forward(&cx, &shape, on(&cx, &a).view(), on(&cx, &b).view(), on_mut(&cx, &mut c).view_mut(), Acc::Set).unwrap();
            assert_eq!(c, [-1.0, 7.5, -1.0, 18.0]);
            gemm_forward(&cx, &shape, on(&cx, &a).view(), on(&cx, &b).view(), on_mut(&cx, &mut c).view_mut(), Acc::Add).unwrap();
            assert_eq!(c, [-2.0, 15.0, -2.0, 36.0]);
        }
    }

    /// The crate matrixmultiply knows nothing of ours.
    #[test]
    fn forward_values_of_an_independent_program() {
        let mut cases = Cases::new(6);
        for (m, n, k) in [(5, 7, 3), (65, 130, 33), (300, 70, 600)] {
            let (a, b): (Vec<f64>, Vec<f64>) = (cases.reals(m * k), cases.reals(k * n));
            let mut want = vec![f64::NAN; m * n];
            let row = |length: usize| length as isize;
            // SAFETY: the vectors hold m x k, k x n and m x n elements, row by row.
            unsafe {
                let (a, b, c) = (a.as_ptr(), b.as_ptr(), want.as_mut_ptr());
                matrixmultiply::dgemm(m, k, n, 1.0, a, row(k), 1, b, row(n), 1, 0.0, c, row(n), 1);
            }
            for cx in contexts() {
                let mut got = vec![f64::NAN; m * n];
                let shape = GemmShape::row_major(m, n, k);
                gemm_forward(&cx, &shape, on(&cx, &a).view(), on(&cx, &b).view(), on_mut(&cx, &mut got).view_mut(), Acc::Set)
                    .unwrap();
                assert_close(&format!("gemm {} {m}x{n}x{k}", variant(&cx)), &got, &want, 1e-15 * k as f64);
            }
        }
    }

    fn against_the_oracle<T: Real>(tolerance: f64) {
        let mut cases = Cases::new(1);
        for (m, n, k) in [
            (1, 1, 1),
            (3, 5, 7),
            (17, 4, 33),
            (64, 1, 200),
            (5, 31, 0),
            (0, 3, 2),
            (70, 131, 9),
            (7, 400, 300),
            (300, 13, 270),
            (600, 40, 400),
            (40, 600, 400),
            (200, 2100, 9),
        ] {
            for transposed in [false, true] {
                let mut shape = GemmShape::row_major(m, n, k);
                if transposed {
                    (shape.a, shape.b, shape.c) = ([1, m], [1, k], [1, m]);
                }
                let (a, b): (Vec<T>, Vec<T>) = (cases.reals(m * k), cases.reals(k * n));
                let wide = |values: &[T]| values.iter().map(|value| value.to_f64()).collect::<Vec<f64>>();
                let mut want = vec![f64::NAN; m * n];
                scalar::gemm_forward(&shape, &wide(&a), &wide(&b), &mut want, Acc::Set);
                for cx in contexts() {
                    let mut got = vec![T::NAN; m * n];
                    gemm_forward(&cx, &shape, on(&cx, &a).view(), on(&cx, &b).view(), on_mut(&cx, &mut got).view_mut(), Acc::Set)
                        .unwrap();
                    assert_close(&format!("gemm {} {m}x{n}x{k}", variant(&cx)), &got, &want, tolerance * (k as f64 + 1.0));
                }
            }
        }
    }

    #[test]
    fn every_variant_matches_the_oracle() {
        against_the_oracle::<f32>(1e-7);
        against_the_oracle::<f64>(1e-16);
    }

    #[test]
    fn results_may_lie_apart_and_are_added_to() {
        let mut cases = Cases::new(4);
        let (m, n, k) = (9, 21, 30);
        let (a, b): (Vec<f64>, Vec<f64>) = (cases.reals(m * k), cases.reals(k * n));
        let shape = GemmShape { c: [3 * n, 2], ..GemmShape::row_major(m, n, k) };
        let before: Vec<f64> = cases.reals(m * 3 * n);
        let mut want = before.clone();
        scalar::gemm_forward(&shape, &a, &b, &mut want, Acc::Add);
        for cx in contexts() {
            let mut got = before.clone();
            gemm_forward(&cx, &shape, on(&cx, &a).view(), on(&cx, &b).view(), on_mut(&cx, &mut got).view_mut(), Acc::Add)
                .unwrap();
            assert_close(&format!("gemm {}", variant(&cx)), &got, &want, 1e-13);
            // What lies between is left alone.
            assert!(got.iter().zip(&before).enumerate().all(|(at, (got, before))| at % (3 * n) < 2 * n || got == before));
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let mut cases = Cases::new(5);
        for (m, n, k) in [(700, 90, 200), (90, 700, 1200)] {
            let (a, b): (Vec<f32>, Vec<f32>) = (cases.reals(m * k), cases.reals(k * n));
            for cx in contexts() {
                let on_threads = |threads: usize| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let mut c = vec![f32::NAN; m * n];
                    let shape = GemmShape::row_major(m, n, k);
                    let (a, b, mut to) = (on(&cx, &a), on(&cx, &b), on_mut(&cx, &mut c));
                    pool.install(|| gemm_forward(&cx, &shape, a.view(), b.view(), to.view_mut(), Acc::Set)).unwrap();
                    drop(to);
                    c
                };
                assert_eq!(on_threads(1), on_threads(3), "{} {m}x{n}x{k}", variant(&cx));
            }
        }
    }

    #[test]
    fn a_column_does_not_depend_on_its_neighbours() {
        let mut cases = Cases::new(2);
        let (m, n, k) = (1000, 7, 200);
        let (a, b): (Vec<f64>, Vec<f64>) = (cases.reals(m * k), cases.reals(k * n));
        for cx in contexts() {
            let shape = GemmShape { m, n, k, a: [k, 1], b: [1, k], c: [1, m] };
            let mut together = vec![f64::NAN; m * n];
            gemm_forward(&cx, &shape, on(&cx, &a).view(), on(&cx, &b).view(), on_mut(&cx, &mut together).view_mut(), Acc::Set)
                .unwrap();
            for column in 0..n {
                let mut alone = vec![f64::NAN; m];
                let shape = GemmShape { n: 1, ..shape };
                gemm_forward(
                    &cx,
                    &shape,
                    on(&cx, &a).view(),
                    on(&cx, &b[column * k..]).view(),
                    on_mut(&cx, &mut alone).view_mut(),
                    Acc::Set,
                )
                .unwrap();
                assert_eq!(alone, together[column * m..][..m], "{} column {column}", variant(&cx));
            }
        }
    }

    #[test]
    fn short_slices_and_overlapping_results_are_refused() {
        let cx = Context::cpu().unwrap();
        let (a, b, mut c) = ([0.0f32; 6], [0.0f32; 5], [0.0f32; 4]);
        let shape = GemmShape::row_major(2, 2, 3);
        let error = gemm_forward(&cx, &shape, (&a).into(), (&b).into(), (&mut c).into(), Acc::Set).unwrap_err();
        assert!(error.to_string().contains("`b` has 5 elements, expected 6"), "{error}");
        let b = [0.0f32; 6];
        let overlapping = GemmShape { c: [1, 1], ..shape };
        assert!(gemm_forward(&cx, &overlapping, (&a).into(), (&b).into(), (&mut c).into(), Acc::Set).is_err());
    }
}

//! Two ways to multiply small matrices: sums along the rows of both (`Dots`), and rows of one weighted by the other
//! (`Weighted`). Neither's order of additions depends on how many rows or columns are computed together.

use super::LinearShape;
use crate::simd::{Kernel, Lanes, for_lanes, load, run, store};
use crate::{Acc, Isa, Real};

/// Rows of w that are transposed together: their part of a row of wᵀ is at least a cache line.
const TRANSPOSED_TOGETHER: usize = 16;

/// Sums along the rows of x and of w.
pub(super) fn linear_forward_by_rows<T: Real>(
    isa: Isa,
    shape: &LinearShape,
    x: &[T],
    w: &[T],
    b: Option<&[T]>,
    y: &mut [T],
    acc: Acc,
) {
    let size = Size { rows: shape.n, columns: shape.outputs, depth: shape.inputs };
    run(isa, Dots { size, a: x, b: w, bias: b, c: y, acc });
}

/// Rows of wᵀ weighted by x. `transposed`: inputs x outputs elements of scratch.
#[expect(clippy::too_many_arguments, reason = "the operator's arguments, one scratch slice and the instruction set")]
pub(super) fn linear_forward_transposed<T: Real>(
    isa: Isa,
    shape: &LinearShape,
    x: &[T],
    w: &[T],
    b: Option<&[T]>,
    y: &mut [T],
    acc: Acc,
    transposed: &mut [T],
) {
    let &LinearShape { n, inputs, outputs } = shape;
    for (group, w) in w.chunks(TRANSPOSED_TOGETHER * inputs).enumerate() {
        for (k, out) in transposed.chunks_exact_mut(outputs).enumerate() {
            for (out, w) in out[group * TRANSPOSED_TOGETHER..].iter_mut().zip(w.chunks_exact(inputs)) {
                *out = w[k];
            }
        }
    }
    let size = Size { rows: n, columns: outputs, depth: inputs };
    run(isa, Weighted { size, a: x, a_strides: [inputs, 1], b: transposed, bias: b, c: y, acc });
}

pub(super) fn linear_backward_data<T: Real>(isa: Isa, shape: &LinearShape, w: &[T], dy: &[T], dx: &mut [T], acc: Acc) {
    let &LinearShape { n, inputs, outputs } = shape;
    let size = Size { rows: n, columns: inputs, depth: outputs };
    run(isa, Weighted { size, a: dy, a_strides: [outputs, 1], b: w, bias: None, c: dx, acc });
}

pub(super) fn linear_backward_weight<T: Real>(isa: Isa, shape: &LinearShape, x: &[T], dy: &[T], dw: &mut [T], acc: Acc) {
    let &LinearShape { n, inputs, outputs } = shape;
    let size = Size { rows: outputs, columns: inputs, depth: n };
    run(isa, Weighted { size, a: dy, a_strides: [1, outputs], b: x, bias: None, c: dw, acc });
}

pub(super) fn linear_backward_bias<T: Real>(isa: Isa, shape: &LinearShape, dy: &[T], db: &mut [T], acc: Acc) {
    struct Bias<'a, T>(&'a LinearShape, &'a [T], &'a mut [T], Acc);
    impl<T: Real> Kernel<T> for Bias<'_, T> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes<Element = T>>(self) {
            let Bias(shape, dy, db, acc) = self;
            // SAFETY: the caller enables V; `at + lanes` is within a row of dy and within db.
            unsafe {
                for_lanes!(V, shape.outputs, |at, lanes| {
                    let mut sum = V::zero();
                    for dy in dy.chunks_exact(shape.outputs) {
                        sum = sum.add(load::<V>(dy, at, lanes));
                    }
                    if acc == Acc::Add {
                        sum = sum.add(load::<V>(db, at, lanes));
                    }
                    store::<V>(sum, db, at, lanes);
                });
            }
        }
    }
    run(isa, Bias(shape, dy, db, acc));
}

/// C is rows x columns, each of its elements a sum over depth.
#[derive(Clone, Copy)]
struct Size {
    rows: usize,
    columns: usize,
    depth: usize,
}

/// `C_ij (+)= Σ_k A_ik B_kj + bias_j`: a block of rows and columns of C stays in registers while k runs.
struct Weighted<'a, T> {
    size: Size,
    /// Elements at `i·a_strides[0] + k·a_strides[1]`.
    a: &'a [T],
    a_strides: [usize; 2],
    /// depth x columns, dense.
    b: &'a [T],
    bias: Option<&'a [T]>,
    /// rows x columns, dense.
    c: &'a mut [T],
    acc: Acc,
}

impl<T: Real> Kernel<T> for Weighted<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(mut self) {
        let mut column = 0;
        while column < self.size.columns {
            let vectors = (self.size.columns - column).div_ceil(V::LANES);
            // SAFETY: the caller enables V; `column` is below the number of columns, and that many vectors start below it.
            unsafe {
                match vectors {
                    1 => self.columns::<V, 1>(column),
                    2 => self.columns::<V, 2>(column),
                    _ if V::REGISTERS < 32 => self.columns::<V, 2>(column),
                    _ => self.columns::<V, 3>(column),
                }
            }
            column += V::LANES * if V::REGISTERS < 32 { 2 } else { 3 };
        }
    }
}

impl<T: Real> Weighted<'_, T> {
    /// All rows of N vectors of columns, of which only the last may be cut off by the row's end.
    ///
    /// # Safety
    /// V is enabled; N vectors start below the number of columns.
    #[inline(always)]
    unsafe fn columns<V: Lanes<Element = T>, const N: usize>(&mut self, column: usize) {
        let mut row = 0;
        // SAFETY: the caller's contract; M rows are left wherever M rows are taken.
        unsafe {
            // Eight rows of three vectors fill three quarters of 32 registers, six rows of two as much of 16.
            while V::REGISTERS == 32 && row + 8 <= self.size.rows {
                self.block::<V, 8, N>(row, column);
                row += 8;
            }
            while V::REGISTERS < 32 && row + 6 <= self.size.rows {
                self.block::<V, 6, N>(row, column);
                row += 6;
            }
            while row + 4 <= self.size.rows {
                self.block::<V, 4, N>(row, column);
                row += 4;
            }
            while row < self.size.rows {
                self.block::<V, 1, N>(row, column);
                row += 1;
            }
        }
    }

    /// M rows of N vectors.
    ///
    /// # Safety
    /// As [`Weighted::columns`], and rows `row..row + M` exist.
    #[inline(always)]
    unsafe fn block<V: Lanes<Element = T>, const M: usize, const N: usize>(&mut self, row: usize, column: usize) {
        let Size { columns, depth, .. } = self.size;
        let [a_row, a_depth] = self.a_strides;
        let last = (columns - column - (N - 1) * V::LANES).min(V::LANES);
        // SAFETY: the operator checked the lengths of A, B, bias and C against the sizes; rows and columns are within them by
        // the caller's contract, and the last vector reads and writes only the lanes before the row's end.
        unsafe {
            let mut sums = [[V::zero(); N]; M];
            let mut a = self.a.as_ptr().wrapping_add(row * a_row);
            let mut b = self.b.as_ptr().wrapping_add(column);
            for _ in 0..depth {
                let mut values = [V::zero(); N];
                for (j, value) in values[..N - 1].iter_mut().enumerate() {
                    *value = V::load(b.wrapping_add(j * V::LANES));
                }
                values[N - 1] = V::load_first(b.wrapping_add((N - 1) * V::LANES), last);
                for (m, sums) in sums.iter_mut().enumerate() {
                    let weight = V::splat(*a.wrapping_add(m * a_row));
                    for (sum, value) in sums.iter_mut().zip(&values) {
                        *sum = value.mul_add(weight, *sum);
                    }
                }
                a = a.wrapping_add(a_depth);
                b = b.wrapping_add(columns);
            }
            for (m, sums) in sums.iter().enumerate() {
                for (j, &sum) in sums.iter().enumerate() {
                    let mut sum = sum;
                    let lanes = if j == N - 1 { last } else { V::LANES };
                    let at = column + j * V::LANES;
                    if let Some(bias) = self.bias {
                        sum = sum.add(load::<V>(bias, at, lanes));
                    }
                    let at = (row + m) * columns + at;
                    if self.acc == Acc::Add {
                        sum = sum.add(load::<V>(self.c, at, lanes));
                    }
                    store::<V>(sum, self.c, at, lanes);
                }
            }
        }
    }
}

/// `C_ij (+)= Σ_k A_ik B_jk + bias_j`.
struct Dots<'a, T> {
    size: Size,
    /// rows x depth, dense.
    a: &'a [T],
    /// columns x depth, dense.
    b: &'a [T],
    bias: Option<&'a [T]>,
    /// rows x columns, dense.
    c: &'a mut [T],
    acc: Acc,
}

impl<T: Real> Kernel<T> for Dots<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(mut self) {
        // Rows of A come from the cache for every group of columns but the first.
        let mut column = 0;
        // SAFETY: the caller enables V; N columns are left wherever N columns are taken.
        unsafe {
            while column + 4 <= self.size.columns {
                self.rows::<V, 4>(column);
                column += 4;
            }
            while column < self.size.columns {
                self.rows::<V, 1>(column);
                column += 1;
            }
        }
    }
}

impl<T: Real> Dots<'_, T> {
    /// All rows of N columns.
    ///
    /// # Safety
    /// V is enabled; columns `column..column + N` exist.
    #[inline(always)]
    unsafe fn rows<V: Lanes<Element = T>, const N: usize>(&mut self, column: usize) {
        let mut row = 0;
        // SAFETY: the caller's contract; M rows are left wherever M rows are taken.
        unsafe {
            while V::REGISTERS == 32 && row + 4 <= self.size.rows {
                self.block::<V, 4, N>(row, column);
                row += 4;
            }
            while row + 2 <= self.size.rows {
                self.block::<V, 2, N>(row, column);
                row += 2;
            }
            if row < self.size.rows {
                self.block::<V, 1, N>(row, column);
            }
        }
    }

    /// M rows of N columns.
    ///
    /// # Safety
    /// As [`Dots::rows`], and rows `row..row + M` exist.
    #[inline(always)]
    unsafe fn block<V: Lanes<Element = T>, const M: usize, const N: usize>(&mut self, row: usize, column: usize) {
        let Size { columns, depth, .. } = self.size;
        // SAFETY: the operator checked the lengths of A and B against the sizes; rows and columns are within them by the
        // caller's contract, and vectors end at the depth.
        unsafe {
            let mut sums = [[V::zero(); N]; M];
            for_lanes!(V, depth, |at, lanes| {
                let mut values = [V::zero(); N];
                for (n, value) in values.iter_mut().enumerate() {
                    *value = load::<V>(self.b, (column + n) * depth + at, lanes);
                }
                for (m, sums) in sums.iter_mut().enumerate() {
                    let factor = load::<V>(self.a, (row + m) * depth + at, lanes);
                    for (sum, &value) in sums.iter_mut().zip(&values) {
                        *sum = factor.mul_add(value, *sum);
                    }
                }
            });
            for (m, sums) in sums.iter().enumerate() {
                for (n, sum) in sums.iter().enumerate() {
                    let mut sum = sum.sum();
                    if let Some(bias) = self.bias {
                        sum += bias[column + n];
                    }
                    let c = &mut self.c[(row + m) * columns + column + n];
                    *c = if self.acc == Acc::Add { *c + sum } else { sum };
                }
            }
        }
    }
}

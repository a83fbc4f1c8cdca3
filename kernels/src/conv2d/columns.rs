//! Convolution by matrix products over a matrix whose rows are the windows of x.

use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use super::Conv2dShape;
use crate::gemm::{GemmShape, gemm_forward};
use crate::{Acc, Context, Real, Result};

/// Windows that are laid out at once at least: enough rows for a matrix product to be fast, few enough for the second-level
/// cache.
const ROWS: usize = 256;
/// Groups of samples whose sums dw is the sum of, at most.
const PARTS: usize = 8;

impl Conv2dShape {
    /// Samples of a group.
    fn group(&self) -> usize {
        ROWS.div_ceil(self.windows()).min(self.n)
    }

    /// Whether x is its own matrix of windows.
    fn is_matrix(&self) -> bool {
        (self.size, self.stride, self.pad) == (1, 1, 0)
    }

    /// Where the pixel that row r, column s of a window sees starts in an image; none if it is a zero around it.
    #[inline(always)]
    fn pixel(&self, i: usize, j: usize, r: usize, s: usize) -> Option<usize> {
        let (row, column) = (i * self.stride + r, j * self.stride + s);
        let within = row >= self.pad && column >= self.pad && row - self.pad < self.h && column - self.pad < self.w;
        within.then(|| ((row - self.pad) * self.w + column - self.pad) * self.c)
    }

    /// Calls `each(place in the matrix, pixel)` for every pixel that the windows of one image see.
    #[inline(always)]
    fn each_pixel(&self, mut each: impl FnMut(usize, Option<usize>)) {
        let [rows, columns] = self.out();
        let mut place = 0;
        for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
            for (r, s) in (0..self.size).flat_map(|r| (0..self.size).map(move |s| (r, s))) {
                each(place, self.pixel(i, j, r, s));
                place += self.c;
            }
        }
    }

    /// Lays the windows of some images out.
    fn lay_out<T: Real>(&self, x: &[T], matrix: &mut [T]) {
        let of_image = self.windows() * self.window();
        for (image, matrix) in x.chunks_exact(self.image()).zip(matrix.chunks_exact_mut(of_image)) {
            self.each_pixel(|place, pixel| {
                let to = &mut matrix[place..place + self.c];
                match pixel {
                    Some(from) => to.copy_from_slice(&image[from..from + self.c]),
                    None => to.fill(T::ZERO),
                }
            });
        }
    }

    /// Adds every window's numbers to the pixels that it sees: the adjoint of [`Conv2dShape::lay_out`].
    fn gather<T: Real>(&self, matrix: &[T], dx: &mut [T]) {
        let of_image = self.windows() * self.window();
        for (image, matrix) in dx.chunks_exact_mut(self.image()).zip(matrix.chunks_exact(of_image)) {
            self.each_pixel(|place, pixel| {
                if let Some(to) = pixel {
                    image[to..to + self.c].iter_mut().zip(&matrix[place..place + self.c]).for_each(|(dx, &d)| *dx += d);
                }
            });
        }
    }

    /// Calls `multiply` with the matrix of windows of some images.
    fn with_matrix<T: Real>(&self, cx: &Context, x: &[T], multiply: impl FnOnce(&[T]) -> Result<()>) -> Result<()> {
        if self.is_matrix() {
            return multiply(x);
        }
        let mut matrix = cx.scratch(x.len() / self.image() * self.windows() * self.window());
        self.lay_out(x, &mut matrix);
        multiply(&matrix)
    }
}

pub(super) fn conv2d_forward<T: Real>(cx: &Context, shape: &Conv2dShape, x: &[T], w: &[T], y: &mut [T], acc: Acc) -> Result<()> {
    let (group, k, window) = (shape.group(), shape.k, shape.window());
    let groups = x.par_chunks(group * shape.image()).zip(y.par_chunks_mut(group * shape.windows() * k));
    groups.try_for_each(|(x, y)| {
        let product = GemmShape { b: [1, window], ..GemmShape::row_major(y.len() / k, k, window) };
        shape.with_matrix(cx, x, |matrix| gemm_forward(cx, &product, matrix.into(), w.into(), y.into(), acc))
    })
}

/// Adds to dx.
pub(super) fn conv2d_backward_data<T: Real>(cx: &Context, shape: &Conv2dShape, w: &[T], dy: &[T], dx: &mut [T]) -> Result<()> {
    let (group, k, window) = (shape.group(), shape.k, shape.window());
    let groups = dx.par_chunks_mut(group * shape.image()).zip(dy.par_chunks(group * shape.windows() * k));
    groups.try_for_each(|(dx, dy)| {
        let product = GemmShape::row_major(dy.len() / k, window, k);
        if shape.is_matrix() {
            return gemm_forward(cx, &product, dy.into(), w.into(), dx.into(), Acc::Add);
        }
        let mut matrix = cx.scratch(product.m * window);
        gemm_forward(cx, &product, dy.into(), w.into(), (&mut *matrix).into(), Acc::Set)?;
        shape.gather(&matrix, dx);
        Ok(())
    })
}

/// Adds to dw.
pub(super) fn conv2d_backward_weight<T: Real>(cx: &Context, shape: &Conv2dShape, x: &[T], dy: &[T], dw: &mut [T]) -> Result<()> {
    let (group, k, window) = (shape.group(), shape.k, shape.window());
    let groups = shape.n.div_ceil(group);
    let part = groups.div_ceil(PARTS.min(groups)) * group;
    let parts = x.par_chunks(part * shape.image()).zip(dy.par_chunks(part * shape.windows() * k));
    let sums: Vec<_> = parts
        .map(|(x, dy)| {
            let mut sum = cx.scratch::<T>(dw.len());
            sum.fill(T::ZERO);
            for (x, dy) in x.chunks(group * shape.image()).zip(dy.chunks(group * shape.windows() * k)) {
                let product = GemmShape { a: [1, k], ..GemmShape::row_major(k, window, dy.len() / k) };
                let add = |matrix: &[T]| gemm_forward(cx, &product, dy.into(), matrix.into(), (&mut *sum).into(), Acc::Add);
                shape.with_matrix(cx, x, add)?;
            }
            Ok(sum)
        })
        .collect::<Result<_>>()?;
    // A part of dw per task: the sums of an element are always in the order of the parts.
    const PIECE: usize = 4096;
    dw.par_chunks_mut(PIECE).enumerate().for_each(|(piece, dw)| {
        for sum in &sums {
            dw.iter_mut().zip(&sum[piece * PIECE..]).for_each(|(dw, &sum)| *dw += sum);
        }
    });
    Ok(())
}

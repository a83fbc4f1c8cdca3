use super::Conv2dShape;
use crate::{Acc, Real};

/// Calls `each(x index, w index, y index)` for every product of the convolution that is not with a zero around the image:
/// those of one element of y one after another.
fn products(shape: &Conv2dShape, mut each: impl FnMut(usize, usize, usize)) {
    let &Conv2dShape { n, h, w, c, k, size, stride, pad } = shape;
    let [rows, columns] = shape.out();
    for image in 0..n {
        for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
            for o in 0..k {
                let y = ((image * rows + i) * columns + j) * k + o;
                for (r, s) in (0..size).flat_map(|r| (0..size).map(move |s| (r, s))) {
                    let (row, column) = (i * stride + r, j * stride + s);
                    if row < pad || column < pad || row - pad >= h || column - pad >= w {
                        continue;
                    }
                    for q in 0..c {
                        let x = ((image * h + row - pad) * w + column - pad) * c + q;
                        each(x, ((o * size + r) * size + s) * c + q, y);
                    }
                }
            }
        }
    }
}

pub(super) fn conv2d_forward<T: Real>(shape: &Conv2dShape, x: &[T], w: &[T], y: &mut [T], acc: Acc) {
    if acc == Acc::Set {
        y.fill(T::ZERO);
    }
    products(shape, |at_x, at_w, at_y| y[at_y] += x[at_x] * w[at_w]);
}

pub(super) fn conv2d_backward_data<T: Real>(shape: &Conv2dShape, w: &[T], dy: &[T], dx: &mut [T], acc: Acc) {
    if acc == Acc::Set {
        dx.fill(T::ZERO);
    }
    products(shape, |at_x, at_w, at_y| dx[at_x] += dy[at_y] * w[at_w]);
}

pub(super) fn conv2d_backward_weight<T: Real>(shape: &Conv2dShape, x: &[T], dy: &[T], dw: &mut [T], acc: Acc) {
    if acc == Acc::Set {
        dw.fill(T::ZERO);
    }
    products(shape, |at_x, at_w, at_y| dw[at_w] += dy[at_y] * x[at_x]);
}

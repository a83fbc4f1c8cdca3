//! Convolution without a matrix of windows. Images are copied once with zeros around them, a few at a time; a row of a window is
//! then one run of numbers, and windows are the rows of tiles. Windows of 3 x 3 may take the way of [`winograd`].

mod correlation;
mod padded;
mod weight;
mod winograd;

use padded::Padded;
use winograd::{F2, F4};

use super::{Conv2dShape, Convolution};
use crate::{Acc, Context, Dtype, Isa, Real};

crate::simd::compiled! {
    /// The fast variants for one number type.
    pub trait Conv2dSimd {
        fn conv2d_forward(cx: &Context, isa: Isa, shape: &Conv2dShape, x: &[Self], w: &[Self], y: &mut [Self], acc: Acc);
        fn conv2d_backward_data(cx: &Context, isa: Isa, shape: &Conv2dShape, w: &[Self], dy: &[Self], dx: &mut [Self], acc: Acc);
        fn conv2d_backward_weight(cx: &Context, isa: Isa, shape: &Conv2dShape, x: &[Self], dy: &[Self], dw: &mut [Self], acc: Acc);
    }
}

/// Channels of x and of y from which minimal filtering is the quicker way.
const FEWEST: usize = 16;

/// The way that a convolution takes, which is not `Auto`.
fn way<T: Real>(cx: &Context, shape: &Conv2dShape) -> Convolution {
    let &Conv2dShape { c, k, size, stride, pad, .. } = shape;
    if size != 3 || stride != 1 || pad > 2 {
        return Convolution::Direct;
    }
    if cx.convolution() != Convolution::Auto {
        return cx.convolution();
    }
    // Few channels are quicker summed than changed; f64 is asked for where rounding matters.
    if T::DTYPE != Dtype::F32 || c.min(k) < FEWEST {
        return Convolution::Direct;
    }
    let [rows, columns] = shape.out();
    let products = |m: usize| rows.div_ceil(m) * columns.div_ceil(m) * (m + 2) * (m + 2);
    let (least, way) =
        if products(4) <= products(2) { (products(4), Convolution::Winograd4) } else { (products(2), Convolution::Winograd2) };
    if 2 * least <= 9 * rows * columns { way } else { Convolution::Direct }
}

fn conv2d_forward<T: Real>(cx: &Context, isa: Isa, shape: &Conv2dShape, x: &[T], w: &[T], y: &mut [T], acc: Acc) {
    match way::<T>(cx, shape) {
        Convolution::Winograd2 => winograd::conv2d_forward::<T, F2>(cx, isa, shape, [x, w], y, acc),
        Convolution::Winograd4 => winograd::conv2d_forward::<T, F4>(cx, isa, shape, [x, w], y, acc),
        Convolution::Auto | Convolution::Direct => correlation::conv2d_forward(cx, isa, shape, x, w, y, acc),
    }
}

fn conv2d_backward_data<T: Real>(cx: &Context, isa: Isa, shape: &Conv2dShape, w: &[T], dy: &[T], dx: &mut [T], acc: Acc) {
    match way::<T>(cx, shape) {
        Convolution::Winograd2 => winograd::conv2d_backward_data::<T, F2>(cx, isa, shape, [w, dy], dx, acc),
        Convolution::Winograd4 => winograd::conv2d_backward_data::<T, F4>(cx, isa, shape, [w, dy], dx, acc),
        Convolution::Auto | Convolution::Direct => correlation::conv2d_backward_data(cx, isa, shape, w, dy, dx, acc),
    }
}

fn conv2d_backward_weight<T: Real>(cx: &Context, isa: Isa, shape: &Conv2dShape, x: &[T], dy: &[T], dw: &mut [T], acc: Acc) {
    match way::<T>(cx, shape) {
        Convolution::Winograd2 => winograd::conv2d_backward_weight::<T, F2>(cx, isa, shape, [x, dy], dw, acc),
        Convolution::Winograd4 => winograd::conv2d_backward_weight::<T, F4>(cx, isa, shape, [x, dy], dw, acc),
        Convolution::Auto | Convolution::Direct => weight::conv2d_backward_weight(cx, isa, shape, x, dy, dw, acc),
    }
}

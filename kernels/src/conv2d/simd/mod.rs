//! Convolution without a matrix of windows. Images are copied once with zeros around them, a few at a time; a row of a window is
//! then one run of numbers, and windows are the rows of tiles. Windows of 3 x 3 may take the way of [`winograd`].

mod correlation;
mod padded;
mod weight;
mod winograd;

use padded::Padded;
use winograd::{F2, F4};

use self::correlation::{Correlation, Panel};
use super::{Conv2dShape, Convolution};
use crate::tile::{pack_rows, transpose};
use crate::{Acc, Context, Dtype, Isa, Real};

/// Channels of x and of y from which minimal filtering is the quicker way, and their pairs.
const FEWEST: usize = 16;
/// See [`FEWEST`].
const FEWEST_PAIRS: usize = 256;

/// Results of a tile's row by minimal filtering, where that is how a convolution is computed.
fn filtered<T: Real>(cx: &Context, shape: &Conv2dShape) -> Option<usize> {
    let &Conv2dShape { c, k, size, stride, pad, .. } = shape;
    let suited = size == 3 && stride == 1 && pad < 3;
    let [rows, columns] = shape.out();
    let products = |m: usize| rows.div_ceil(m) * columns.div_ceil(m) * (m + 2) * (m + 2);
    match cx.convolution() {
        Convolution::Direct => None,
        Convolution::Winograd2 => suited.then_some(2),
        Convolution::Winograd4 => suited.then_some(4),
        Convolution::Auto => {
            // Few channels are quicker summed than changed; f64 is asked for where rounding matters.
            let worth = suited && T::DTYPE == Dtype::F32 && c.min(k) >= FEWEST && c * k >= FEWEST_PAIRS;
            let m = if products(4) <= products(2) { 4 } else { 2 };
            (worth && 2 * products(m) <= 9 * rows * columns).then_some(m)
        }
    }
}

pub(super) fn conv2d_forward<T: Real>(cx: &Context, isa: Isa, shape: &Conv2dShape, x: &[T], w: &[T], y: &mut [T], acc: Acc) {
    match filtered::<T>(cx, shape) {
        Some(2) => return winograd::conv2d_forward::<T, F2>(cx, isa, shape, [x, w], y, acc),
        Some(_) => return winograd::conv2d_forward::<T, F4>(cx, isa, shape, [x, w], y, acc),
        None => {}
    }
    let &Conv2dShape { n, c, k, size, stride, .. } = shape;
    let ([rows, columns], from, window) = (shape.out(), Padded::input(shape), shape.window());
    let pack = |Panel { first, channels, width, row, number, count }: Panel, to: &mut [T]| {
        let w = &w[first * window + row * size * c + number..];
        transpose(isa, w, window, [channels, count], to, |number| number * width);
    };
    let correlation = Correlation {
        isa,
        from,
        window_start: 0,
        window_steps: [stride * from.row(), stride * c],
        window: [size, size * c],
        pack: &pack,
        result: [rows, columns, k],
        to_start: 0,
        to_steps: [rows * columns * k, columns * k, k],
        add: acc == Acc::Add,
    };
    correlation::run(cx, n, &[correlation], x, y);
}

/// The pixels of x with one remainder by the stride, in one direction.
struct Phase {
    /// The first of them, and how many there are.
    first: usize,
    count: usize,
    /// The taps that reach them, in the order of the pixels of dy that they take.
    taps: Vec<usize>,
    /// The first pixel of dy that the first of them takes, with `before` zeros before it.
    start: usize,
}

/// All phases of x in one direction, and the extent of dy with its zeros.
fn phases(shape: &Conv2dShape, extent: usize, out: usize) -> (Vec<Phase>, usize, usize) {
    let &Conv2dShape { size, stride, pad, .. } = shape;
    let before = size.div_ceil(stride) - 1;
    let phase = |first: usize| {
        let tap = (first + pad) % stride;
        let taps: Vec<usize> = (tap..size).step_by(stride).rev().collect();
        let start = (first + pad) / stride + before + 1 - taps.len();
        Phase { first, count: (extent - first).div_ceil(stride), taps, start }
    };
    let all = (0..stride.min(extent)).map(phase).collect();
    (all, before, before + out.max((extent - 1 + pad) / stride + 1))
}

/// Adds to dx. The gradient by x of a convolution of stride t is t² convolutions of stride 1 of dy: one for the pixels of each
/// phase, with the taps that reach it.
pub(super) fn conv2d_backward_data<T: Real>(
    cx: &Context,
    isa: Isa,
    shape: &Conv2dShape,
    w: &[T],
    dy: &[T],
    dx: &mut [T],
    acc: Acc,
) {
    match filtered::<T>(cx, shape) {
        Some(2) => return winograd::conv2d_backward_data::<T, F2>(cx, isa, shape, [w, dy], dx, acc),
        Some(_) => return winograd::conv2d_backward_data::<T, F4>(cx, isa, shape, [w, dy], dx, acc),
        None => {}
    }
    let &Conv2dShape { n, h, w: width, c, k, size, stride, .. } = shape;
    let [rows, columns] = shape.out();
    let (vertical, before, all_rows) = phases(shape, h, rows);
    let (horizontal, _, all_columns) = phases(shape, width, columns);
    let from = Padded { inside: [rows, columns, k], before, extent: [all_rows, all_columns] };
    let both = || vertical.iter().flat_map(|down| horizontal.iter().map(move |across| (down, across)));
    let reached = |(down, across): &(&Phase, &Phase)| !down.taps.is_empty() && !across.taps.is_empty();
    // Pixels that no window sees stay as they are, or are 0.
    if acc == Acc::Set && !both().all(|phase| reached(&phase)) {
        dx.fill(T::ZERO);
    }
    let packs: Vec<_> = both()
        .map(|(down, across)| {
            move |Panel { first, channels, width, row, number, count }: Panel, to: &mut [T]| {
                let (mut number, mut to) = (number, to);
                let end = number + count;
                while number < end {
                    let (tap, o) = (across.taps[number / k], number % k);
                    let here = (k - o).min(end - number);
                    let start = ((o * size + down.taps[row]) * size + tap) * c + first;
                    pack_rows(isa, &w[start..], size * size * c, [here, channels], width, to);
                    to = &mut to[here * width..];
                    number += here;
                }
            }
        })
        .collect();
    let correlations: Vec<Correlation<'_, T>> = both()
        .zip(&packs)
        .filter(|(phase, _)| reached(phase))
        .map(|((down, across), pack)| Correlation {
            isa,
            from,
            window_start: down.start * from.row() + across.start * k,
            window_steps: [from.row(), k],
            window: [down.taps.len(), across.taps.len() * k],
            pack,
            result: [down.count, across.count, c],
            to_start: (down.first * width + across.first) * c,
            to_steps: [shape.image(), stride * width * c, stride * c],
            add: acc == Acc::Add,
        })
        .collect();
    correlation::run(cx, n, &correlations, dy, dx);
}

pub(super) fn conv2d_backward_weight<T: Real>(
    cx: &Context,
    isa: Isa,
    shape: &Conv2dShape,
    x: &[T],
    dy: &[T],
    dw: &mut [T],
    acc: Acc,
) {
    match filtered::<T>(cx, shape) {
        Some(2) => winograd::conv2d_backward_weight::<T, F2>(cx, isa, shape, [x, dy], dw, acc),
        Some(_) => winograd::conv2d_backward_weight::<T, F4>(cx, isa, shape, [x, dy], dw, acc),
        None => weight::conv2d_backward_weight(cx, isa, shape, x, dy, dw, acc),
    }
}

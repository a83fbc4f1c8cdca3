//! Convolution without a matrix of windows. Images are copied once with zeros around them; a row of a window is then one run of
//! numbers, and neighbouring windows are the rows of a tile.
//!
//! The gradient by x of a convolution of stride t is t² convolutions of stride 1 of dy: one for the pixels of each phase, with the
//! taps that reach it.

use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use super::Conv2dShape;
use super::tile::{Loop, Tile, lanes, most_rows, parts, vectors};
use crate::{Acc, Context, Isa, Real};

/// Bytes of weights that tiles go through again and again: they stay in the second-level cache.
const PANEL: usize = 1 << 18;
/// Bytes of images that are laid out at once.
const GROUP: usize = 1 << 19;
/// Windows whose products are summed in registers before they are added to dw.
const WINDOWS: usize = 128;
/// Parts of a batch that dw is summed over apart; of large weights, whose sums are long to add up, fewer.
const PARTS: usize = 8;
/// See [`PARTS`].
const PARTS_OF_LARGE: usize = 2;
/// Bytes of large weights.
const LARGE: usize = 1 << 19;

/// Images with zeros around them.
#[derive(Clone, Copy)]
struct Padded {
    /// Rows, columns and channels inside.
    inside: [usize; 3],
    /// Zeros above and to the left.
    before: usize,
    /// Rows and columns in all.
    extent: [usize; 2],
}

impl Padded {
    /// Numbers in a row.
    fn row(&self) -> usize {
        self.extent[1] * self.inside[2]
    }

    /// Numbers in an image.
    fn image(&self) -> usize {
        self.extent[0] * self.row()
    }

    /// Images that are laid out at once.
    fn group<T>(&self, n: usize) -> usize {
        (GROUP / (self.image() * size_of::<T>()).max(1)).clamp(1, n)
    }

    /// Copies images.
    fn lay_out<T: Real>(&self, x: &[T], padded: &mut [T]) {
        let [rows, columns, channels] = self.inside;
        let (line, left) = (columns * channels, self.before * channels);
        for (image, padded) in x.chunks_exact(rows * line).zip(padded.chunks_exact_mut(self.image())) {
            for (row, padded) in padded.chunks_exact_mut(self.row()).enumerate() {
                match row.checked_sub(self.before).filter(|&row| row < rows) {
                    None => padded.fill(T::ZERO),
                    Some(row) => {
                        padded[..left].fill(T::ZERO);
                        padded[left..left + line].copy_from_slice(&image[row * line..][..line]);
                        padded[left + line..].fill(T::ZERO);
                    }
                }
            }
        }
    }

    /// Calls `each` with the padded images, which are the images themselves where there are no zeros.
    fn with<T: Real>(&self, cx: &Context, x: &[T], each: impl FnOnce(&[T])) {
        let [rows, columns, channels] = self.inside;
        if self.extent == [rows, columns] {
            return each(x);
        }
        let mut padded = cx.scratch(x.len() / (rows * columns * channels) * self.image());
        self.lay_out(x, &mut padded);
        each(&padded);
    }
}

/// Sums over windows of padded images: those of one pixel of the result for each of its channels.
struct Correlation<'a, T> {
    isa: Isa,
    /// Where the windows are cut from.
    from: Padded,
    /// Where the first window starts, and the distances between windows of two rows and of one.
    window_start: usize,
    window_steps: [usize; 2],
    /// Rows of a window, and numbers in each.
    window: [usize; 2],
    /// A row per number of a window; as many numbers in it as fill the vectors of the result's channels.
    weights: &'a [T],
    /// Rows, columns and channels of the result.
    result: [usize; 3],
    /// Where its first pixel is, and the distances between images, rows and pixels.
    to_start: usize,
    to_steps: [usize; 3],
    add: bool,
}

impl<T: Real> Correlation<'_, T> {
    fn run(&self, padded: &[T], to: &mut [T]) {
        let &Correlation { isa, window: [window_rows, window], result: [rows, columns, channels], .. } = self;
        let width = lanes::<T>(isa);
        let padded_channels = channels.div_ceil(width) * width;
        let mut first = 0;
        while first < channels {
            let vectors = vectors(isa, (channels - first).div_ceil(width));
            let of_tile = (vectors * width).min(channels - first);
            let panel = PANEL / (vectors * width * size_of::<T>());
            // All of a window at once, or a part of one of its rows.
            let (rows_at_once, numbers_at_once) =
                if window_rows * window <= panel { (window_rows, window) } else { (1, panel.min(window)) };
            for row in (0..window_rows).step_by(rows_at_once) {
                for (number, count) in parts(window, numbers_at_once) {
                    let loops = [
                        Loop { count: 1, a: 0, b: 0 },
                        Loop { count: rows_at_once, a: self.from.row(), b: window * padded_channels },
                        Loop { count, a: 1, b: padded_channels },
                    ];
                    let weights = &self.weights[(row * window + number) * padded_channels + first..];
                    let add = self.add || row > 0 || number > 0;
                    let start = self.window_start + row * self.from.row() + number;
                    for (image, to) in padded.chunks_exact(self.from.image()).zip(to.chunks_exact_mut(self.to_steps[0])) {
                        for i in 0..rows {
                            for (j, count) in parts(columns, most_rows(isa, vectors)) {
                                let tile = Tile {
                                    rows: count,
                                    lanes: of_tile,
                                    loops,
                                    a_row: self.window_steps[1],
                                    c_row: self.to_steps[2],
                                    add,
                                };
                                let a = &image[start + i * self.window_steps[0] + j * self.window_steps[1]..];
                                let c = &mut to[self.to_start + i * self.to_steps[1] + j * self.to_steps[2] + first..];
                                T::conv2d_tile(tile, isa, a, weights, c);
                            }
                        }
                    }
                }
            }
            first += of_tile;
        }
    }
}

/// `to[i][k] = from[k][i]`: rows of `to` are `stride` apart, and zero from k on up to that.
fn transpose<T: Real>(from: &[T], k: usize, stride: usize, to: &mut [T]) {
    let columns = from.len() / k;
    to.fill(T::ZERO);
    // A few rows of `from` at a time, so that every cache line of `to` is written at once.
    const BLOCK: usize = 16;
    for first in (0..k).step_by(BLOCK) {
        let block = BLOCK.min(k - first);
        for (column, to) in to.chunks_exact_mut(stride).enumerate() {
            for (place, to) in to[first..first + block].iter_mut().enumerate() {
                *to = from[(first + place) * columns + column];
            }
        }
    }
}

impl Conv2dShape {
    /// x with the zeros that windows see.
    fn padded_input(&self) -> Padded {
        let &Conv2dShape { h, w, c, pad, .. } = self;
        Padded { inside: [h, w, c], before: pad, extent: [h + 2 * pad, w + 2 * pad] }
    }

    /// Numbers in a row of packed weights of so many channels.
    fn stride<T: Real>(isa: Isa, channels: usize) -> usize {
        let width = lanes::<T>(isa);
        channels.div_ceil(width) * width
    }
}

pub(super) fn conv2d_forward<T: Real>(cx: &Context, isa: Isa, shape: &Conv2dShape, x: &[T], w: &[T], y: &mut [T], acc: Acc) {
    let &Conv2dShape { n, c, k, size, stride, .. } = shape;
    let ([rows, columns], from) = (shape.out(), shape.padded_input());
    let padded_k = Conv2dShape::stride::<T>(isa, k);
    let mut weights = cx.scratch(shape.window() * padded_k);
    transpose(w, k, padded_k, &mut weights);
    let correlation = Correlation {
        isa,
        from,
        window_start: 0,
        window_steps: [stride * from.row(), stride * c],
        window: [size, size * c],
        weights: &weights,
        result: [rows, columns, k],
        to_start: 0,
        to_steps: [rows * columns * k, columns * k, k],
        add: acc == Acc::Add,
    };
    let group = from.group::<T>(n);
    let groups = x.par_chunks(group * shape.image()).zip(y.par_chunks_mut(group * rows * columns * k));
    groups.for_each(|(x, y)| from.with(cx, x, |padded| correlation.run(padded, y)));
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

/// Adds to dx.
pub(super) fn conv2d_backward_data<T: Real>(cx: &Context, isa: Isa, shape: &Conv2dShape, w: &[T], dy: &[T], dx: &mut [T]) {
    let &Conv2dShape { n, h, w: width, c, k, size, stride, .. } = shape;
    let [rows, columns] = shape.out();
    let (vertical, before, all_rows) = phases(shape, h, rows);
    let (horizontal, _, all_columns) = phases(shape, width, columns);
    let from = Padded { inside: [rows, columns, k], before, extent: [all_rows, all_columns] };
    let padded_c = Conv2dShape::stride::<T>(isa, c);
    // Every phase has its own taps; together they are all taps.
    let mut weights = cx.scratch(size * size * k * padded_c);
    weights.fill(T::ZERO);
    let mut rest = &mut *weights;
    let mut packed = Vec::new();
    for (down, across) in vertical.iter().flat_map(|down| horizontal.iter().map(move |across| (down, across))) {
        let taps = down.taps.iter().flat_map(|&r| across.taps.iter().map(move |&s| (r, s)));
        let (here, after) = rest.split_at_mut(down.taps.len() * across.taps.len() * k * padded_c);
        for ((r, s), to) in taps.zip(here.chunks_exact_mut(k * padded_c)) {
            for (o, to) in to.chunks_exact_mut(padded_c).enumerate() {
                to[..c].copy_from_slice(&w[((o * size + r) * size + s) * c..][..c]);
            }
        }
        packed.push((down, across, &*here));
        rest = after;
    }
    let correlations: Vec<Correlation<'_, T>> = packed
        .into_iter()
        .filter(|(down, across, _)| !down.taps.is_empty() && !across.taps.is_empty())
        .map(|(down, across, weights)| Correlation {
            isa,
            from,
            window_start: down.start * from.row() + across.start * k,
            window_steps: [from.row(), k],
            window: [down.taps.len(), across.taps.len() * k],
            weights,
            result: [down.count, across.count, c],
            to_start: (down.first * width + across.first) * c,
            to_steps: [shape.image(), stride * width * c, stride * c],
            add: true,
        })
        .collect();
    let group = from.group::<T>(n);
    let groups = dy.par_chunks(group * rows * columns * k).zip(dx.par_chunks_mut(group * shape.image()));
    groups.for_each(|(dy, dx)| {
        from.with(cx, dy, |padded| correlations.iter().for_each(|correlation| correlation.run(padded, dx)));
    });
}

/// Adds to dw.
pub(super) fn conv2d_backward_weight<T: Real>(cx: &Context, isa: Isa, shape: &Conv2dShape, x: &[T], dy: &[T], dw: &mut [T]) {
    let &Conv2dShape { n, k, .. } = shape;
    let padded_k = Conv2dShape::stride::<T>(isa, k);
    let most = if size_of_val(dw) >= LARGE { PARTS_OF_LARGE } else { PARTS };
    let part = n.div_ceil(most);
    let parts = x.par_chunks(part * shape.image()).zip(dy.par_chunks(part * shape.windows() * k));
    let sums: Vec<_> = parts
        .map(|(x, dy)| {
            let mut sum = cx.scratch::<T>(shape.window() * padded_k);
            sum.fill(T::ZERO);
            let of_group = shape.padded_input().group::<T>(n);
            for (x, dy) in x.chunks(of_group * shape.image()).zip(dy.chunks(of_group * shape.windows() * k)) {
                add_products(cx, isa, shape, x, dy, &mut sum);
            }
            sum
        })
        .collect();
    // A few channels of dw per task, so that every cache line of the sums is read at once.
    const BLOCK: usize = 16;
    dw.par_chunks_mut(BLOCK * shape.window()).enumerate().for_each(|(block, dw)| {
        for sum in &sums {
            for (number, sum) in sum.chunks_exact(padded_k).enumerate() {
                for (dw, &sum) in dw[number..].iter_mut().step_by(shape.window()).zip(&sum[block * BLOCK..]) {
                    *dw += sum;
                }
            }
        }
    });
}

/// Adds the products of the windows of a few images and their dy to sums by number of the window and channel of y.
fn add_products<T: Real>(cx: &Context, isa: Isa, shape: &Conv2dShape, x: &[T], dy: &[T], sums: &mut [T]) {
    let &Conv2dShape { c, k, size, stride, .. } = shape;
    let ([rows, columns], from, padded_k) = (shape.out(), shape.padded_input(), Conv2dShape::stride::<T>(isa, k));
    let images = dy.len() / (rows * columns * k);
    let width = lanes::<T>(isa);
    // Whole vectors of dy.
    let mut packed = cx.scratch::<T>(if padded_k == k { 0 } else { dy.len() / k * padded_k });
    for (packed, dy) in packed.chunks_exact_mut(padded_k).zip(dy.chunks_exact(k)) {
        packed[..k].copy_from_slice(dy);
        packed[k..].fill(T::ZERO);
    }
    let dy = if padded_k == k { dy } else { &packed };
    // A few rows of one image, or a few images.
    let rows_at_once = WINDOWS.div_ceil(columns).min(rows);
    let images_at_once = if rows_at_once < rows { 1 } else { WINDOWS.div_ceil(rows * columns).min(images) };
    from.with(cx, x, |padded| {
        for image in (0..images).step_by(images_at_once) {
            for i in (0..rows).step_by(rows_at_once) {
                let loops = [
                    Loop { count: images_at_once.min(images - image), a: from.image(), b: rows * columns * padded_k },
                    Loop { count: rows_at_once.min(rows - i), a: stride * from.row(), b: columns * padded_k },
                    Loop { count: columns, a: stride * c, b: padded_k },
                ];
                let (x, dy) =
                    (&padded[image * from.image() + i * stride * from.row()..], &dy[(image * rows + i) * columns * padded_k..]);
                for r in 0..size {
                    let mut first = 0;
                    while first < padded_k {
                        let vectors = vectors(isa, (padded_k - first) / width);
                        for (number, count) in parts(size * c, most_rows(isa, vectors)) {
                            let tile = Tile { rows: count, lanes: vectors * width, loops, a_row: 1, c_row: padded_k, add: true };
                            let to = &mut sums[(r * size * c + number) * padded_k + first..];
                            T::conv2d_tile(tile, isa, &x[r * from.row() + number..], &dy[first..], to);
                        }
                        first += vectors * width;
                    }
                }
            }
        }
    });
}

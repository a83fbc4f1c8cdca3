//! Convolution without a matrix of windows. Images are copied once with zeros around them; a row of a window is then one run of
//! numbers, and neighbouring windows are the rows of a tile.
//!
//! The gradient by x of a convolution of stride t is t² convolutions of stride 1 of dy: one for the pixels of each phase, with the
//! taps that reach it.

use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use super::Conv2dShape;
use crate::tile::{Loop, Target, Tile, groups, lanes, most_rows, padded_channels, parts};
use crate::{Acc, Context, Isa, Real};

/// Bytes of weights that tiles go through again and again: they stay in the second-level cache.
const PANEL: usize = 1 << 18;
/// Products that are summed in one register before they are added to the result: rounding grows with their number.
const RUN: usize = 256;
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
    /// Per group of the result's channels, for every number of a window those of the channels, in whole vectors.
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
        for (first, vectors) in groups::<T>(isa, channels) {
            let width = vectors * lanes::<T>(isa);
            let of_tile = width.min(channels - first);
            let panel = RUN.min(PANEL / (width * size_of::<T>()));
            // All of a window at once, or a part of one of its rows.
            let (rows_at_once, numbers_at_once) =
                if window_rows * window <= panel { (window_rows, window) } else { (1, panel.min(window)) };
            for row in (0..window_rows).step_by(rows_at_once) {
                for (number, count) in parts(window, numbers_at_once) {
                    let loops = [
                        Loop { count: 1, a: 0, b: 0 },
                        Loop { count: rows_at_once, a: self.from.row(), b: window * width },
                        Loop { count, a: 1, b: width },
                    ];
                    let weights = &self.weights[first * window_rows * window + (row * window + number) * width..];
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
                                T::register_tile(tile, isa, a, weights, Target::of(c));
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Packs numbers by groups of channels, whole vectors of each: `fill(i, first channel, numbers)` for i below `count`.
fn pack<T: Real>(isa: Isa, count: usize, channels: usize, to: &mut [T], fill: impl Fn(usize, usize, &mut [T])) {
    let mut rest = to;
    for (first, vectors) in groups::<T>(isa, channels) {
        let width = vectors * lanes::<T>(isa);
        let (group, after) = rest.split_at_mut(count * width);
        rest = after;
        let there = width.min(channels - first);
        for (i, to) in group.chunks_exact_mut(width).enumerate() {
            let (here, beyond) = to.split_at_mut(there);
            fill(i, first, here);
            beyond.fill(T::ZERO);
        }
    }
}

impl Conv2dShape {
    /// x with the zeros that windows see.
    fn padded_input(&self) -> Padded {
        let &Conv2dShape { h, w, c, pad, .. } = self;
        Padded { inside: [h, w, c], before: pad, extent: [h + 2 * pad, w + 2 * pad] }
    }
}

pub(super) fn conv2d_forward<T: Real>(cx: &Context, isa: Isa, shape: &Conv2dShape, x: &[T], w: &[T], y: &mut [T], acc: Acc) {
    let &Conv2dShape { n, c, k, size, stride, .. } = shape;
    let ([rows, columns], from) = (shape.out(), shape.padded_input());
    let window = shape.window();
    let mut weights = cx.scratch(window * padded_channels::<T>(isa, k));
    pack(isa, window, k, &mut weights, |number, first, to| {
        to.iter_mut().enumerate().for_each(|(place, to)| *to = w[(first + place) * window + number]);
    });
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
    let images = x.par_chunks(group * shape.image()).zip(y.par_chunks_mut(group * rows * columns * k));
    images.for_each(|(x, y)| from.with(cx, x, |padded| correlation.run(padded, y)));
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
    let padded_c = padded_channels::<T>(isa, c);
    // Every phase has its own taps; together they are all taps.
    let mut weights = cx.scratch(size * size * k * padded_c);
    let mut rest = &mut *weights;
    let mut packed = Vec::new();
    for (down, across) in vertical.iter().flat_map(|down| horizontal.iter().map(move |across| (down, across))) {
        let (taps_down, taps_across) = (&down.taps, &across.taps);
        let numbers = taps_down.len() * taps_across.len() * k;
        let (here, after) = rest.split_at_mut(numbers * padded_c);
        pack(isa, numbers, c, here, |number, first, to| {
            let (tap, o) = (number / k, number % k);
            let (r, s) = (taps_down[tap / taps_across.len()], taps_across[tap % taps_across.len()]);
            to.copy_from_slice(&w[((o * size + r) * size + s) * c + first..][..to.len()]);
        });
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
    let images = dy.par_chunks(group * rows * columns * k).zip(dx.par_chunks_mut(group * shape.image()));
    images.for_each(|(dy, dx)| {
        from.with(cx, dy, |padded| correlations.iter().for_each(|correlation| correlation.run(padded, dx)));
    });
}

/// Adds to dw.
pub(super) fn conv2d_backward_weight<T: Real>(cx: &Context, isa: Isa, shape: &Conv2dShape, x: &[T], dy: &[T], dw: &mut [T]) {
    let &Conv2dShape { n, k, .. } = shape;
    let padded_k = padded_channels::<T>(isa, k);
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
    let ([rows, columns], from, padded_k) = (shape.out(), shape.padded_input(), padded_channels::<T>(isa, k));
    let windows = dy.len() / k;
    let images = windows / (rows * columns);
    // The channels of one full group lie as they should.
    let is_packed = padded_k == k && groups::<T>(isa, k).count() == 1;
    let mut packed = cx.scratch::<T>(if is_packed { 0 } else { windows * padded_k });
    if !is_packed {
        pack(isa, windows, k, &mut packed, |window, first, to| {
            to.copy_from_slice(&dy[window * k + first..][..to.len()]);
        });
    }
    let dy = if is_packed { dy } else { &packed };
    // A few rows of one image, or a few images.
    let rows_at_once = WINDOWS.div_ceil(columns).min(rows);
    let images_at_once = if rows_at_once < rows { 1 } else { WINDOWS.div_ceil(rows * columns).min(images) };
    from.with(cx, x, |padded| {
        for image in (0..images).step_by(images_at_once) {
            for i in (0..rows).step_by(rows_at_once) {
                let loops = |width: usize| {
                    [
                        Loop { count: images_at_once.min(images - image), a: from.image(), b: rows * columns * width },
                        Loop { count: rows_at_once.min(rows - i), a: stride * from.row(), b: columns * width },
                        Loop { count: columns, a: stride * c, b: width },
                    ]
                };
                let x = &padded[image * from.image() + i * stride * from.row()..];
                for (first, vectors) in groups::<T>(isa, k) {
                    let width = vectors * lanes::<T>(isa);
                    let dy = &dy[first * windows + (image * rows + i) * columns * width..];
                    for r in 0..size {
                        for (number, count) in parts(size * c, most_rows(isa, vectors)) {
                            let loops = loops(width);
                            let tile = Tile { rows: count, lanes: width, loops, a_row: 1, c_row: padded_k, add: true };
                            let to = &mut sums[(r * size * c + number) * padded_k + first..];
                            T::register_tile(tile, isa, &x[r * from.row() + number..], dy, Target::of(to));
                        }
                    }
                }
            }
        }
    });
}

//! Windows of 3 x 3 by minimal filtering, F(m x m, 3 x 3) with m = 2 or 4: m² neighbouring results from (m+2)² products per pair
//! of channels instead of 9 m². Images, windows and results change their basis, and in between there are (m+2)² products of
//! matrices. Gradients are the adjoints of the same factors.
//!
//! Source: S. Winograd 1980; A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", 2016.

mod basis;
mod changes;

use std::marker::PhantomData;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use self::basis::Filtering;
pub(super) use self::basis::{F2, F4};
use self::changes::{FromTiles, FromWeights, Grid, ToTiles, ToWeights};
use super::weight::in_parts;
use crate::conv2d::Conv2dShape;
use crate::simd::run;
use crate::tile::{Loop, Shared, Tiles, groups, lanes, pack_rows, padded_channels, parts, transpose};
use crate::{Acc, Context, Isa, Real};

/// Places of all tiles of a block: its matrices, of as many channels each, stay in the second-level cache together.
const BLOCK: usize = 1152;
/// Channels that are summed over at once.
const CHANNELS: usize = 64;
/// Parts of a batch, times groups of channels, whose gradients by weights are summed apart.
const TASKS: usize = 8;

/// Numbers between places of a tile, for `numbers` of them: of the next cache line, since multiples of a page would share a few
/// lines of the first-level cache.
fn step(numbers: usize) -> usize {
    numbers + 16
}

/// Tiles of a block.
fn tiles_at_once<F: Filtering>() -> usize {
    BLOCK / places::<F>()
}

/// Places of a tile.
fn places<F: Filtering>() -> usize {
    (F::M + 2) * (F::M + 2)
}

/// The same products at every place, which lie `steps` apart.
fn products<T: Real, F: Filtering>(isa: Isa, sums: Tiles<'_>, steps: [usize; 3], [a, b]: [&[T]; 2], c: &mut [T]) {
    let lanes = lanes::<T>(isa);
    for place in 0..places::<F>() {
        for (first, vectors) in groups::<T>(isa, sums.lanes) {
            let sums = Tiles { lanes: vectors * lanes, ..sums };
            let (a, b) = (&a[place * steps[0]..], &b[place * steps[1] + first..]);
            // SAFETY: c is lent to this call alone.
            let c = unsafe { Shared::of(&mut c[place * steps[2] + first..]).from(0) };
            T::register_tiles(&sums, isa, a, b, c);
        }
    }
}

/// See [`Pass`].
type Pack<'a, T> = dyn Fn([usize; 2], [usize; 3], &mut [T]) + Sync + 'a;

/// A pass that sums over windows of images: forward, or backward by x.
struct Pass<'a, T> {
    isa: Isa,
    /// Rows, columns and channels of images and results.
    from: [usize; 3],
    to: [usize; 3],
    pad: usize,
    /// Lays out the windows of some of the images' channels (the first, and how many) and some of the results' (the first, and how
    /// many, in rows of a width): taps x channels x width.
    pack: &'a Pack<'a, T>,
    add: bool,
}

pub(super) fn conv2d_forward<T: Real, F: Filtering>(
    cx: &Context,
    isa: Isa,
    shape: &Conv2dShape,
    [x, w]: [&[T]; 2],
    y: &mut [T],
    acc: Acc,
) {
    let &Conv2dShape { h, w: width, c, k, pad, .. } = shape;
    let [rows, columns] = shape.out();
    let pack = |[channel, channels]: [usize; 2], [o, count, width]: [usize; 3], to: &mut [T]| {
        for (tap, to) in to.chunks_exact_mut(channels * width).enumerate() {
            transpose(isa, &w[(o * 9 + tap) * c + channel..], 9 * c, [count, channels], to, |q| q * width);
        }
    };
    let pass = Pass { isa, from: [h, width, c], to: [rows, columns, k], pad, pack: &pack, add: acc == Acc::Add };
    pass.run::<F>(cx, x, y);
}

pub(super) fn conv2d_backward_data<T: Real, F: Filtering>(
    cx: &Context,
    isa: Isa,
    shape: &Conv2dShape,
    [w, dy]: [&[T]; 2],
    dx: &mut [T],
    acc: Acc,
) {
    let &Conv2dShape { h, w: width, c, k, pad, .. } = shape;
    let [rows, columns] = shape.out();
    let pack = |[o, channels]: [usize; 2], [channel, count, width]: [usize; 3], to: &mut [T]| {
        for (tap, to) in to.chunks_exact_mut(channels * width).enumerate() {
            // Seen from dx, windows are turned round.
            pack_rows(isa, &w[(o * 9 + 8 - tap) * c + channel..], 9 * c, [channels, count], width, to);
        }
    };
    let pass = Pass { isa, from: [rows, columns, k], to: [h, width, c], pad: 2 - pad, pack: &pack, add: acc == Acc::Add };
    pass.run::<F>(cx, dy, dx);
}

impl<T: Real> Pass<'_, T> {
    fn run<F: Filtering>(&self, cx: &Context, x: &[T], to: &mut [T]) {
        let &Pass { isa, from: [h, w, c], to: [rows, columns, k], .. } = self;
        let grid = Grid::new::<F>(rows, columns);
        let tiles = x.len() / (h * w * c) * grid.image();
        // One small window per pair of channels changes its basis once; many do it again for every block, which is quicker than
        // to fetch what (m+2)²/9 times their numbers have become.
        let once = (c <= CHANNELS && k <= CHANNELS).then(|| {
            let width = padded_channels::<T>(isa, k);
            let mut weights = cx.scratch(places::<F>() * step(c * width));
            self.weights::<F>(cx, [0, c], [0, k, width], &mut weights);
            weights
        });
        let to = Shared::of(to);
        let tasks = parts(tiles, tiles_at_once::<F>()).flat_map(|block| parts(k, CHANNELS).map(move |outputs| (block, outputs)));
        tasks.collect::<Vec<_>>().into_par_iter().for_each(|((tile, tiles), (o, count))| {
            let width = padded_channels::<T>(isa, count);
            let channels = padded_channels::<T>(isa, CHANNELS.min(c));
            let mut images = cx.scratch(places::<F>() * step(tiles * channels));
            let mut own = cx.scratch(if once.is_some() { 0 } else { places::<F>() * step(channels * width) });
            let mut results = cx.scratch(places::<F>() * step(tiles * width));
            let c_rows: Vec<usize> = (0..tiles).map(|tile| tile * width).collect();
            for (q, here) in parts(c, CHANNELS) {
                let channels = padded_channels::<T>(isa, here);
                let tiled = ToTiles::<T, F::Images> {
                    from: x,
                    image: self.from,
                    channels: [q, here],
                    pad: self.pad,
                    grid,
                    tiles: [tile, tiles],
                    width: channels,
                    to: &mut images,
                    basis: PhantomData,
                };
                run(isa, tiled);
                let weights = match &once {
                    Some(weights) => weights,
                    None => {
                        self.weights::<F>(cx, [q, here], [o, count, width], &mut own);
                        &own
                    }
                };
                let a_rows: Vec<usize> = (0..tiles).map(|tile| tile * channels).collect();
                let inner = Loop { count: here, a: 1, b: width };
                let sums = Tiles { lanes: width, outer: [Loop::ONCE; 2], inner, a_rows: &a_rows, c_rows: &c_rows, add: q > 0 };
                let steps = [tiles * channels, here * width, tiles * width].map(step);
                products::<T, F>(isa, sums, steps, [&images, weights], &mut results);
            }
            let results = FromTiles::<T, F::Results> {
                from: &results,
                width,
                image: self.to,
                channels: [o, count],
                grid,
                tiles: [tile, tiles],
                to,
                add: self.add,
                basis: PhantomData,
            };
            run(isa, results);
        });
    }

    /// The windows of some channels in the other basis.
    fn weights<F: Filtering>(&self, cx: &Context, of: [usize; 2], to: [usize; 3], weights: &mut [T]) {
        let ([_, channels], [_, count, width]) = (of, to);
        let mut taps = cx.scratch(9 * channels * width);
        if count < width {
            taps.fill(T::ZERO);
        }
        (self.pack)(of, to, &mut taps);
        run(self.isa, ToWeights::<T, F::Windows> { taps: &taps, numbers: channels * width, to: weights, basis: PhantomData });
    }
}

pub(super) fn conv2d_backward_weight<T: Real, F: Filtering>(
    cx: &Context,
    isa: Isa,
    shape: &Conv2dShape,
    [x, dy]: [&[T]; 2],
    dw: &mut [T],
    acc: Acc,
) {
    let &Conv2dShape { n, h, w, c, k, pad, .. } = shape;
    let [rows, columns] = shape.out();
    let grid = Grid::new::<F>(rows, columns);
    let of = |channels: usize| parts(channels, CHANNELS).map(|(first, count)| [first, count]);
    let pairs: Vec<_> = of(k).flat_map(|outputs| of(c).map(move |inputs| (outputs, inputs))).collect();
    let batches: Vec<(usize, usize)> =
        parts(n * grid.image(), (n * grid.image()).div_ceil(TASKS.div_ceil(pairs.len()))).collect();
    in_parts(cx, &batches, &pairs, dw, acc, |(start, all), (outputs, inputs), to_weights| {
        let [o_width, q_width] = [outputs, inputs].map(|[_, count]| padded_channels::<T>(isa, count));
        let at_once = tiles_at_once::<F>().min(all);
        let mut images = cx.scratch(places::<F>() * step(at_once * q_width));
        let mut gradients = cx.scratch(places::<F>() * step(at_once * o_width));
        let mut results = cx.scratch(places::<F>() * step(outputs[1] * q_width));
        let a_rows: Vec<usize> = (0..outputs[1]).collect();
        let c_rows: Vec<usize> = (0..outputs[1]).map(|o| o * q_width).collect();
        for (tile, tiles) in parts(all, at_once) {
            let here = [start + tile, tiles];
            let tiled = ToTiles::<T, F::Images> {
                from: x,
                image: [h, w, c],
                channels: inputs,
                pad,
                grid,
                tiles: here,
                width: q_width,
                to: &mut images,
                basis: PhantomData,
            };
            run(isa, tiled);
            let tiled = ToTiles::<T, F::Gradients> {
                from: dy,
                image: [rows, columns, k],
                channels: outputs,
                pad: 0,
                grid,
                tiles: here,
                width: o_width,
                to: &mut gradients,
                basis: PhantomData,
            };
            run(isa, tiled);
            let sums = Tiles {
                lanes: q_width,
                outer: [Loop::ONCE; 2],
                inner: Loop { count: tiles, a: o_width, b: q_width },
                a_rows: &a_rows,
                c_rows: &c_rows,
                add: tile > 0,
            };
            let steps = [tiles * o_width, tiles * q_width, outputs[1] * q_width].map(step);
            products::<T, F>(isa, sums, steps, [&gradients, &images], &mut results);
        }
        let gradients = FromWeights::<T, F::WeightGradients> {
            from: &results,
            width: q_width,
            channels: c,
            outputs,
            inputs,
            to: to_weights,
            basis: PhantomData,
        };
        run(isa, gradients);
    });
}

//! Sums over windows of padded images: the direct way of forward passes, and of backward passes by x.

use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use super::Padded;
use crate::conv2d::Conv2dShape;
use crate::tile::{Loop, Shared, Tiles, groups, lanes, pack_rows, padded_channels, parts, transpose};
use crate::{Acc, Context, Isa, Real};

/// Numbers of a window whose products are summed in one register before they are added to the result.
const RUN: usize = 768;
/// Bytes of images that are laid out at once.
const GROUP: usize = 1 << 19;
/// Bytes of weights from which on all images are summed a group of channels at a time; fewer are quicker read again for every few
/// images than all images are for every group.
const LARGE: usize = 1 << 22;
/// Tasks that share one packing of large weights are this many or more.
const TASKS: usize = 8;
/// Tasks of other correlations are a multiple of this where there is the work for them: threads have as many each, and none waits
/// long for the last.
const SMALL_TASKS: usize = 32;
/// Multiplications that are worth a task.
const WORTH: usize = 1 << 20;

pub(super) fn conv2d_forward<T: Real>(cx: &Context, isa: Isa, shape: &Conv2dShape, x: &[T], w: &[T], y: &mut [T], acc: Acc) {
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
    run(cx, n, &[correlation], x, y);
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

/// The gradient by x of a convolution of stride t is t² convolutions of stride 1 of dy: one for the pixels of each phase, with
/// the taps that reach it.
pub(super) fn conv2d_backward_data<T: Real>(
    cx: &Context,
    isa: Isa,
    shape: &Conv2dShape,
    w: &[T],
    dy: &[T],
    dx: &mut [T],
    acc: Acc,
) {
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
    run(cx, n, &correlations, dy, dx);
}

/// Weights of one group of the result's channels, for some numbers of one row of a window.
#[derive(Clone, Copy)]
struct Panel {
    /// The first channel, channels, and those that fill their last vector.
    first: usize,
    channels: usize,
    width: usize,
    /// The row, and numbers in it.
    row: usize,
    number: usize,
    count: usize,
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
    /// Lays out weights: for every number `width` channels.
    pack: &'a (dyn Fn(Panel, &mut [T]) + Sync),
    /// Rows, columns and channels of the result.
    result: [usize; 3],
    /// Where its first pixel is, and the distances between images, rows and pixels.
    to_start: usize,
    to_steps: [usize; 3],
    add: bool,
}

/// All correlations of n images, which differ in their windows and pixels of the result alone.
fn run<T: Real>(cx: &Context, n: usize, correlations: &[Correlation<'_, T>], x: &[T], to: &mut [T]) {
    let Some(&Correlation { isa, from, result: [_, _, channels], to_steps: [to_image, ..], .. }) = correlations.first() else {
        return;
    };
    let all = |each: &Correlation<'_, T>| each.window.iter().product::<usize>() * padded_channels::<T>(isa, channels);
    let weights: usize = correlations.iter().map(all).sum();
    if weights * size_of::<T>() > LARGE {
        // All images for a group of channels, so that weights come from memory once.
        from.with(cx, x, true, |padded| {
            let channel_groups: Vec<_> = groups::<T>(isa, channels).collect();
            let images: Vec<_> = parts(n, n.div_ceil(TASKS.div_ceil(channel_groups.len()))).collect();
            let tasks = channel_groups.into_iter().flat_map(|group| images.iter().map(move |&part| (group, part)));
            let to = Shared::of(to);
            tasks.collect::<Vec<_>>().into_par_iter().for_each(|(group, (first, count))| {
                let padded = &padded[first * from.image()..][..count * from.image()];
                for each in correlations {
                    each.group(cx, padded, &each.places(count), group, None, to, first * to_image);
                }
            });
        });
        return;
    }
    let mut packed = cx.scratch(weights);
    let mut rest = &mut *packed;
    let with_weights: Vec<_> = correlations
        .iter()
        .map(|each| {
            let (here, after) = std::mem::take(&mut rest).split_at_mut(all(each));
            rest = after;
            each.pack_all(here);
            (each, &*here)
        })
        .collect();
    let groups_of_images = n.div_ceil((GROUP / (from.image() * size_of::<T>()).max(1)).max(1));
    let work = correlations.iter().map(Correlation::products).sum::<usize>().saturating_mul(n);
    let tasks = if work < WORTH * SMALL_TASKS { groups_of_images } else { groups_of_images.next_multiple_of(SMALL_TASKS) };
    let group = n.div_ceil(tasks);
    x.par_chunks(group * from.inside()).zip(to.par_chunks_mut(group * to_image)).for_each(|(x, to)| {
        from.with(cx, x, false, |padded| {
            let to = Shared::of(to);
            for (each, weights) in &with_weights {
                let places = each.places(padded.len() / from.image());
                for group in groups::<T>(isa, channels) {
                    each.group(cx, padded, &places, group, Some(weights), to, 0);
                }
            }
        });
    });
}

impl<T: Real> Correlation<'_, T> {
    /// Multiplications for an image.
    fn products(&self) -> usize {
        self.result.iter().chain(&self.window).product()
    }

    /// Rows of a window that are summed at once, and parts of their numbers: all of it, or parts of one row.
    fn runs(&self) -> (usize, impl Iterator<Item = (usize, usize)> + Clone) {
        let [rows, numbers] = self.window;
        if rows * numbers <= RUN { (rows, parts(numbers, numbers)) } else { (1, parts(numbers, RUN)) }
    }

    /// Weights of all groups of channels, one after the other, for every number of a window.
    fn pack_all(&self, to: &mut [T]) {
        let ([rows, numbers], channels) = (self.window, self.result[2]);
        for (first, vectors) in groups::<T>(self.isa, channels) {
            let width = vectors * lanes::<T>(self.isa);
            let to = &mut to[first * rows * numbers..];
            let channels = width.min(channels - first);
            to[..rows * numbers * width].fill(T::ZERO);
            for row in 0..rows {
                let panel = Panel { first, channels, width, row, number: 0, count: numbers };
                (self.pack)(panel, &mut to[row * numbers * width..]);
            }
        }
    }

    /// Where windows of so many images start, and pixels of the result.
    fn places(&self, images: usize) -> [Vec<usize>; 2] {
        let &Correlation { from, window_start, window_steps: [row_step, step], result: [rows, columns, _], .. } = self;
        let places = |start: usize, [image_step, row_step, step]: [usize; 3]| {
            let row = |image: usize, i: usize| (0..columns).map(move |j| start + image * image_step + i * row_step + j * step);
            (0..images).flat_map(|image| (0..rows).flat_map(move |i| row(image, i))).collect()
        };
        [places(window_start, [from.image(), row_step, step]), places(self.to_start, self.to_steps)]
    }

    /// One group of channels of some images, whose results start at `start`. `weights`: those of all groups, where they are packed.
    #[expect(clippy::too_many_arguments, reason = "what is the same for all groups of channels, and what is one's own")]
    fn group(
        &self,
        cx: &Context,
        padded: &[T],
        [windows, pixels]: &[Vec<usize>; 2],
        group: (usize, usize),
        weights: Option<&[T]>,
        to: Shared<'_, T>,
        start: usize,
    ) {
        let &Correlation { isa, from, window: [window_rows, numbers], result: [_, _, channels], .. } = self;
        let (first, vectors) = group;
        let width = vectors * lanes::<T>(isa);
        let of_group = width.min(channels - first);
        let (rows_at_once, runs) = self.runs();
        let longest = runs.clone().map(|(_, count)| count).max().unwrap_or(0);
        let mut panel = cx.scratch(if weights.is_none() { rows_at_once * longest * width } else { 0 });
        if weights.is_none() {
            panel.fill(T::ZERO);
        }
        for row in (0..window_rows).step_by(rows_at_once) {
            for (number, count) in runs.clone() {
                let weights = match weights {
                    Some(weights) => &weights[first * window_rows * numbers + (row * numbers + number) * width..],
                    None => {
                        for more in 0..rows_at_once {
                            let of_row = Panel { first, channels: of_group, width, row: row + more, number, count };
                            (self.pack)(of_row, &mut panel[more * count * width..]);
                        }
                        &panel
                    }
                };
                let outer = [Loop::ONCE, Loop { count: rows_at_once, a: from.row(), b: count * width }];
                let a = &padded[row * from.row() + number..];
                let tiles = Tiles {
                    lanes: of_group,
                    outer,
                    inner: Loop { count, a: 1, b: width },
                    a_rows: windows,
                    c_rows: pixels,
                    add: self.add || row > 0 || number > 0,
                };
                // SAFETY: tasks have images or channels of their own, and pixels of an image are each in one tile.
                let to = unsafe { to.from(start + first) };
                T::register_tiles(&tiles, isa, a, weights, to);
            }
        }
    }
}

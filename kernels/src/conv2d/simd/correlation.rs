//! Sums over windows of padded images: forward passes, and backward passes by x.

use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use super::Padded;
use crate::tile::{Loop, Shared, Tiles, groups, lanes, padded_channels, parts};
use crate::{Context, Isa, Real};

/// Numbers of a window whose products are summed in one register before they are added to the result.
const RUN: usize = 576;
/// Bytes of images that are laid out at once.
const GROUP: usize = 1 << 19;
/// Bytes of weights that are packed again for every group of images, where they stay in the second-level cache.
const LARGE: usize = 1 << 20;
/// Tasks that share one packing of large weights are this many or more.
const TASKS: usize = 8;

/// Weights of one group of the result's channels, for some numbers of one row of a window.
#[derive(Clone, Copy)]
pub(super) struct Panel {
    /// The first channel, channels, and those that fill their last vector.
    pub(super) first: usize,
    pub(super) channels: usize,
    pub(super) width: usize,
    /// The row, and numbers in it.
    pub(super) row: usize,
    pub(super) number: usize,
    pub(super) count: usize,
}

/// Sums over windows of padded images: those of one pixel of the result for each of its channels.
pub(super) struct Correlation<'a, T> {
    pub(super) isa: Isa,
    /// Where the windows are cut from.
    pub(super) from: Padded,
    /// Where the first window starts, and the distances between windows of two rows and of one.
    pub(super) window_start: usize,
    pub(super) window_steps: [usize; 2],
    /// Rows of a window, and numbers in each.
    pub(super) window: [usize; 2],
    /// Lays out weights: for every number `width` channels.
    pub(super) pack: &'a (dyn Fn(Panel, &mut [T]) + Sync),
    /// Rows, columns and channels of the result.
    pub(super) result: [usize; 3],
    /// Where its first pixel is, and the distances between images, rows and pixels.
    pub(super) to_start: usize,
    pub(super) to_steps: [usize; 3],
    pub(super) add: bool,
}

/// All correlations of n images, which differ in their windows and pixels of the result alone.
pub(super) fn run<T: Real>(cx: &Context, n: usize, correlations: &[Correlation<'_, T>], x: &[T], to: &mut [T]) {
    let Some(&Correlation { isa, from, result: [_, _, channels], to_steps: [to_image, ..], .. }) = correlations.first() else {
        return;
    };
    let all = |each: &Correlation<'_, T>| each.window.iter().product::<usize>() * padded_channels::<T>(isa, channels);
    let weights: usize = correlations.iter().map(all).sum();
    if weights * size_of::<T>() > LARGE {
        // All images for a group of channels, so that weights come from memory once.
        from.with_all(cx, x, |padded| {
            let channel_groups: Vec<_> = groups::<T>(isa, channels).collect();
            let images: Vec<_> = parts(n, n.div_ceil(TASKS.div_ceil(channel_groups.len()))).collect();
            let tasks = channel_groups.into_iter().flat_map(|group| images.iter().map(move |&part| (group, part)));
            let to = Shared::of(to);
            tasks.collect::<Vec<_>>().into_par_iter().for_each(|(group, (first, count))| {
                let padded = &padded[first * from.image()..][..count * from.image()];
                for each in correlations {
                    each.group(cx, padded, group, None, to, first * to_image);
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
    let group = (GROUP / (from.image() * size_of::<T>()).max(1)).clamp(1, n);
    x.par_chunks(group * from.inside()).zip(to.par_chunks_mut(group * to_image)).for_each(|(x, to)| {
        from.with(cx, x, |padded| {
            let to = Shared::of(to);
            for (each, weights) in &with_weights {
                for group in groups::<T>(isa, channels) {
                    each.group(cx, padded, group, Some(weights), to, 0);
                }
            }
        });
    });
}

impl<T: Real> Correlation<'_, T> {
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

    /// One group of channels of some images, whose results start at `start`. `weights`: those of all groups, where they are packed.
    fn group(&self, cx: &Context, padded: &[T], group: (usize, usize), weights: Option<&[T]>, to: Shared<'_, T>, start: usize) {
        let &Correlation { isa, from, window: [window_rows, numbers], result: [rows, columns, channels], .. } = self;
        let (first, vectors) = group;
        let width = vectors * lanes::<T>(isa);
        let of_group = width.min(channels - first);
        let images = padded.len() / from.image();
        // Where windows start, and pixels of the result.
        let mut places = Vec::with_capacity(images * rows * columns);
        for image in 0..images {
            for i in 0..rows {
                for j in 0..columns {
                    let window = image * from.image() + self.window_start + i * self.window_steps[0] + j * self.window_steps[1];
                    let pixel = image * self.to_steps[0] + self.to_start + i * self.to_steps[1] + j * self.to_steps[2];
                    places.push((window, pixel));
                }
            }
        }
        let (windows, pixels): (Vec<usize>, Vec<usize>) = places.into_iter().unzip();
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
                    a_rows: &windows,
                    c_rows: &pixels,
                    add: self.add || row > 0 || number > 0,
                };
                // SAFETY: tasks have images or channels of their own, and pixels of an image are each in one tile.
                let to = unsafe { to.from(start + first) };
                T::register_tiles(&tiles, isa, a, weights, to);
            }
        }
    }
}

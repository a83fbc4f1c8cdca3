//! Gradients by weights: rows of a tile are channels of y, its columns numbers of a window.

use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use super::Padded;
use crate::conv2d::Conv2dShape;
use crate::tile::{Loop, Shared, Tiles, groups, lanes, most_vectors, pack_rows, transpose};
use crate::{Acc, Context, Isa, Real};

/// Bytes of images that are laid out at once.
const GROUP: usize = 1 << 19;
/// Windows whose products are summed in registers before they are added to dw.
const WINDOWS: usize = 256;
/// Columns of windows below which a row of them is too short a loop: they are laid out one after the other.
const SHORT: usize = 16;
/// Channels of x, or the more of a tile, for which dy is turned once.
const CHANNELS: usize = 64;
/// Parts of a batch, times groups of channels, whose sums are taken apart.
const TASKS: usize = 8;

pub(super) fn conv2d_backward_weight<T: Real>(
    cx: &Context,
    isa: Isa,
    shape: &Conv2dShape,
    x: &[T],
    dy: &[T],
    dw: &mut [T],
    acc: Acc,
) {
    let &Conv2dShape { n, c, k, .. } = shape;
    let width = CHANNELS.max(most_vectors(isa) * lanes::<T>(isa));
    let channels: Vec<(usize, usize)> = (0..c).step_by(width).map(|first| (first, width.min(c - first))).collect();
    let part = n.div_ceil(TASKS.div_ceil(channels.len()));
    let parts: Vec<(&[T], &[T])> = x.chunks(part * shape.image()).zip(dy.chunks(part * shape.windows() * k)).collect();
    in_parts(cx, &parts, &channels, dw, acc, |(x, dy), channels, Sums { to, start, acc }| {
        Weights { cx, isa, shape, channels, to, start }.add(x, dy, acc);
    });
}

/// Where a part's sums are set or added to.
pub(super) struct Sums<'a, T> {
    pub(super) to: Shared<'a, T>,
    pub(super) start: usize,
    pub(super) acc: Acc,
}

/// Sums over parts of a batch for every group of channels side by side, added in the order of the parts.
pub(super) fn in_parts<T: Real, P: Copy + Send + Sync, G: Copy + Send + Sync>(
    cx: &Context,
    parts: &[P],
    groups: &[G],
    dw: &mut [T],
    acc: Acc,
    each: impl Fn(P, G, Sums<'_, T>) + Sync,
) {
    const PIECE: usize = 1 << 12;
    let length = dw.len();
    let mut sums = cx.scratch::<T>((parts.len() - 1) * length);
    {
        // The first part's sums are those of dw itself.
        let (first, others) = (Shared::of(&mut *dw), Shared::of(&mut sums));
        let tasks: Vec<_> = (0..parts.len()).flat_map(|part| groups.iter().map(move |&group| (part, group))).collect();
        tasks.into_par_iter().for_each(|(part, group)| {
            let sums = match part.checked_sub(1) {
                None => Sums { to: first, start: 0, acc },
                Some(other) => Sums { to: others, start: other * length, acc: Acc::Set },
            };
            each(parts[part], group, sums);
        });
    }
    dw.par_chunks_mut(PIECE).enumerate().for_each(|(piece, dw)| {
        for sums in sums.chunks_exact(length) {
            dw.iter_mut().zip(&sums[piece * PIECE..]).for_each(|(dw, &sum)| *dw += sum);
        }
    });
}

/// Gradients by the weights of some channels of x: the first, and how many.
struct Weights<'a, T> {
    cx: &'a Context,
    isa: Isa,
    shape: &'a Conv2dShape,
    channels: (usize, usize),
    to: Shared<'a, T>,
    start: usize,
}

impl<T: Real> Weights<'_, T> {
    /// Sums over all images.
    fn add(&self, x: &[T], dy: &[T], acc: Acc) {
        let &Weights { cx, isa, shape, channels: (first, channels), .. } = self;
        let &Conv2dShape { c, k, stride, .. } = shape;
        let [rows, columns] = shape.out();
        // Channels of a tile lie together, for all pixels.
        let width = most_vectors(isa) * lanes::<T>(isa);
        let plane = |first: usize, channels: usize| {
            let whole = Padded::input(shape);
            (first, Padded { inside: [whole.inside[0], whole.inside[1], channels], ..whole })
        };
        let planes: Vec<(usize, Padded)> =
            (0..channels).step_by(width).map(|q| plane(first + q, width.min(channels - q))).collect();
        let image: usize = planes.iter().map(|(_, from)| from.image()).sum();
        let at_once = (GROUP / (image * size_of::<T>()).max(1)).max(1);
        // Vectors reach beyond the last pixel.
        let mut padded = cx.scratch::<T>(at_once.min(x.len() / shape.image()) * image + width);
        let end = padded.len() - width;
        padded[end..].fill(T::ZERO);
        // A few rows of one image, or a few images.
        let rows_at_once = WINDOWS.div_ceil(columns).min(rows);
        let images_at_once = if rows_at_once < rows { 1 } else { WINDOWS.div_ceil(rows * columns) };
        let mut turned = cx.scratch::<T>(images_at_once * rows_at_once * columns * k);
        let mut acc = acc;
        for (x, dy) in x.chunks(at_once * shape.image()).zip(dy.chunks(at_once * rows * columns * k)) {
            let images = x.len() / shape.image();
            let mut end = 0;
            let starts: Vec<usize> = planes
                .iter()
                .map(|(first, from)| {
                    let start = end;
                    end += images * from.image();
                    from.lay_out(x, [*first, c], &mut padded[start..end]);
                    start
                })
                .collect();
            for image in (0..images).step_by(images_at_once) {
                let images = images_at_once.min(images - image);
                for row in (0..rows).step_by(rows_at_once) {
                    let here = rows_at_once.min(rows - row);
                    let windows = images * here * columns;
                    let dy = &dy[(image * rows + row) * columns * k..][..windows * k];
                    transpose(isa, dy, k, [windows, k], &mut turned, |o| o * windows);
                    for (&(first, from), start) in planes.iter().zip(&starts) {
                        let outer = [
                            Loop { count: images, a: here * columns, b: from.image() },
                            Loop { count: here, a: columns, b: stride * from.row() },
                        ];
                        let padded = &padded[start + image * from.image() + row * stride * from.row()..];
                        self.tiles(&turned, windows, padded, (first, from), outer, acc);
                    }
                    acc = Acc::Add;
                }
            }
        }
    }

    /// Products of some windows, with channels from `first` on.
    fn tiles(&self, dy: &[T], windows: usize, padded: &[T], (first, from): (usize, Padded), outer: [Loop; 2], acc: Acc) {
        let &Weights { cx, isa, shape, to, start, .. } = self;
        let channels = from.inside[2];
        let &Conv2dShape { c, k, size, stride, .. } = shape;
        let ([_, columns], lanes) = (shape.out(), lanes::<T>(isa));
        // All numbers of a window's row lie together, in x as in dw, or those of one of its pixels.
        let (pixels, run) = if channels == c { (1, size * c) } else { (size, channels) };
        let (a_rows, c_rows): (Vec<usize>, Vec<usize>) = (0..k).map(|o| (o * windows, o * shape.window())).unzip();
        let short = columns < SHORT;
        let mut panel = cx.scratch::<T>(if short { windows * most_vectors(isa) * lanes } else { 0 });
        for r in 0..size {
            for s in 0..pixels {
                for (number, vectors) in groups::<T>(isa, run) {
                    let (width, here) = (vectors * lanes, (vectors * lanes).min(run - number));
                    let from = &padded[r * from.row() + s * channels + number..];
                    let rows_of_windows = outer.map(|each| (0..each.count).map(move |index| index * each.b));
                    if short {
                        let [images, rows] = rows_of_windows;
                        let starts = images.flat_map(|image| rows.clone().map(move |row| image + row));
                        for (start, to) in starts.zip(panel.chunks_exact_mut(columns * width)) {
                            pack_rows(isa, &from[start..], stride * channels, [columns, here], width, to);
                        }
                    }
                    let (b, outer, inner) = match short {
                        true => (&*panel, [Loop::ONCE; 2], Loop { count: windows, a: 1, b: width }),
                        false => (from, outer, Loop { count: columns, a: 1, b: stride * channels }),
                    };
                    let tiles = Tiles { lanes: here, outer, inner, a_rows: &a_rows, c_rows: &c_rows, add: acc == Acc::Add };
                    // SAFETY: tasks have channels of x or sums of their own, and no two tiles the same weights.
                    let to = unsafe { to.from(start + (r * size + s) * c + first + number) };
                    T::register_tiles(&tiles, isa, dy, b, to);
                }
            }
        }
    }
}

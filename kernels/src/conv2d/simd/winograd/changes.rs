//! Tiles and windows that change their basis on their way to the products and from them.

use std::marker::PhantomData;

use super::basis::{Apart, Basis, Cut, Filtering, change_columns};
use super::step;
use crate::conv2d::simd::weight::Sums;
use crate::simd::{Kernel, Lanes, load_from, store_to};
use crate::tile::Shared;
use crate::{Acc, Real};

/// Tiles of results: rows and columns of them in an image, and results in a row of one.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    rows: usize,
    columns: usize,
    m: usize,
}

impl Grid {
    pub(super) fn new<F: Filtering>(rows: usize, columns: usize) -> Grid {
        Grid { rows: rows.div_ceil(F::M), columns: columns.div_ceil(F::M), m: F::M }
    }

    /// Tiles of an image.
    pub(super) fn image(&self) -> usize {
        self.rows * self.columns
    }

    /// The image of a tile, and where it starts in it.
    fn place(&self, tile: usize) -> [usize; 3] {
        let (image, within) = (tile / self.image(), tile % self.image());
        [image, within / self.columns * self.m, within % self.columns * self.m]
    }
}

/// Squares of images, IN x IN from `pad` before a tile on with zeros around the image, in the other basis: places x tiles x width.
pub(super) struct ToTiles<'a, T, B> {
    pub(super) from: &'a [T],
    /// Rows, columns and channels.
    pub(super) image: [usize; 3],
    /// The first channel, and how many.
    pub(super) channels: [usize; 2],
    pub(super) pad: usize,
    pub(super) grid: Grid,
    /// The first tile, and how many.
    pub(super) tiles: [usize; 2],
    pub(super) width: usize,
    pub(super) to: &'a mut [T],
    pub(super) basis: PhantomData<B>,
}

impl<T: Real, B: Basis> Kernel<T> for ToTiles<'_, T, B> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) {
        let ToTiles {
            from,
            image: [rows, columns, channels],
            channels: [first, count],
            pad,
            grid,
            tiles: [tile, tiles],
            width,
            to,
            ..
        } = self;
        let step = step(tiles * width);
        assert!(first + count <= channels && count.next_multiple_of(V::LANES) <= width, "channels beyond their image");
        assert!((tile + tiles).div_ceil(grid.image()) * rows * columns * channels <= from.len(), "tiles beyond their images");
        assert!((B::OUT * B::OUT - 1) * step + tiles * width <= to.len(), "tiles beyond their place");
        let (from, to) = (from.as_ptr(), to.as_mut_ptr());
        for index in 0..tiles {
            let [image, top, left] = grid.place(tile + index);
            // Rows and columns of the square that are of the image.
            let (above, before) = (pad.saturating_sub(top), pad.saturating_sub(left));
            let (below, after) = ((rows + pad - top).min(B::IN), (columns + pad - left).min(B::IN));
            let whole = above == 0 && before == 0 && below == B::IN && after == B::IN;
            let corner = ((image * rows + top) * columns + left) * channels + first;
            let from = from.wrapping_add(corner).wrapping_sub((pad * columns + pad) * channels);
            for at in (0..count).step_by(V::LANES) {
                let lanes = V::LANES.min(count - at);
                // SAFETY: the caller enables V; squares are read inside their image alone, and written to places x tiles x width
                // numbers, as asserted.
                unsafe {
                    let apart = Apart { first: from.wrapping_add(at), row: columns * channels, column: channels };
                    let changed = if whole && lanes == V::LANES {
                        change_columns::<V, B>(&apart)
                    } else {
                        change_columns::<V, B>(&Cut { apart, rows: above..below, columns: before..after, lanes })
                    };
                    let to = to.add(index * width + at);
                    for i in 0..B::OUT {
                        for (j, vector) in changed.row::<B>(i).iter().enumerate().take(B::OUT) {
                            vector.store(to.add((i * B::OUT + j) * step));
                        }
                    }
                }
            }
        }
    }
}

/// Results from places x tiles x width, set or added to images.
pub(super) struct FromTiles<'a, T, B> {
    pub(super) from: &'a [T],
    pub(super) width: usize,
    /// Rows, columns and channels of the results.
    pub(super) image: [usize; 3],
    /// The first channel, and how many.
    pub(super) channels: [usize; 2],
    pub(super) grid: Grid,
    /// The first tile, and how many.
    pub(super) tiles: [usize; 2],
    /// All images; nobody else writes these channels of these tiles.
    pub(super) to: Shared<'a, T>,
    pub(super) add: bool,
    pub(super) basis: PhantomData<B>,
}

impl<T: Real, B: Basis> Kernel<T> for FromTiles<'_, T, B> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) {
        let FromTiles {
            from,
            width,
            image: [rows, columns, channels],
            channels: [first, count],
            grid,
            tiles: [tile, tiles],
            add,
            ..
        } = self;
        let step = step(tiles * width);
        assert!(first + count <= channels && count.next_multiple_of(V::LANES) <= width, "channels beyond their image");
        assert!((B::IN * B::IN - 1) * step + tiles * width <= from.len(), "tiles beyond their place");
        // SAFETY: as the field says.
        let to = unsafe { self.to.from(0) }.reach((tile + tiles).div_ceil(grid.image()) * rows * columns * channels);
        for index in 0..tiles {
            let [image, top, left] = grid.place(tile + index);
            let (down, across) = (B::OUT.min(rows - top), B::OUT.min(columns - left));
            let corner = ((image * rows + top) * columns + left) * channels + first;
            for at in (0..count).step_by(V::LANES) {
                let lanes = V::LANES.min(count - at);
                // SAFETY: the caller enables V; places x tiles x width numbers are there, and results inside their image.
                unsafe {
                    let first = from.as_ptr().add(index * width + at);
                    let changed = change_columns::<V, B>(&Apart { first, row: B::IN * step, column: step });
                    let to = to.add(corner + at);
                    for i in 0..down {
                        for (j, &result) in changed.row::<B>(i).iter().enumerate().take(across) {
                            let to = to.add((i * columns + j) * channels);
                            let result = if add { load_from::<V>(to, lanes).add(result) } else { result };
                            store_to(result, to, lanes);
                        }
                    }
                }
            }
        }
    }
}

/// Windows, taps x numbers, in the other basis: places x numbers. `numbers`: a multiple of all vectors' lanes.
pub(super) struct ToWeights<'a, T, B> {
    pub(super) taps: &'a [T],
    pub(super) numbers: usize,
    pub(super) to: &'a mut [T],
    pub(super) basis: PhantomData<B>,
}

impl<T: Real, B: Basis> Kernel<T> for ToWeights<'_, T, B> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) {
        let ToWeights { taps, numbers, to, .. } = self;
        let step = step(numbers);
        assert!(numbers % V::LANES == 0 && B::IN * B::IN * numbers <= taps.len(), "windows without all taps");
        assert!((B::OUT * B::OUT - 1) * step + numbers <= to.len(), "windows beyond their place");
        for at in (0..numbers).step_by(V::LANES) {
            // SAFETY: the caller enables V; both slices reach as far as asserted.
            unsafe {
                let (first, to) = (taps.as_ptr().add(at), to.as_mut_ptr().add(at));
                let changed = change_columns::<V, B>(&Apart { first, row: B::IN * numbers, column: numbers });
                for i in 0..B::OUT {
                    for (j, vector) in changed.row::<B>(i).iter().enumerate().take(B::OUT) {
                        vector.store(to.add((i * B::OUT + j) * step));
                    }
                }
            }
        }
    }
}

/// Gradients by windows from places x outputs x width.
pub(super) struct FromWeights<'a, T, B> {
    pub(super) from: &'a [T],
    pub(super) width: usize,
    /// Channels of a window in all.
    pub(super) channels: usize,
    /// The first output and input, and how many.
    pub(super) outputs: [usize; 2],
    pub(super) inputs: [usize; 2],
    /// Outputs x taps x channels; nobody else writes these pairs of channels.
    pub(super) to: Sums<'a, T>,
    pub(super) basis: PhantomData<B>,
}

impl<T: Real, B: Basis> Kernel<T> for FromWeights<'_, T, B> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) {
        let FromWeights { from, width, channels, outputs: [o, outputs], inputs: [q, inputs], to, .. } = self;
        let Sums { to, start, acc } = to;
        let (step, taps) = (step(outputs * width), B::OUT * B::OUT);
        assert!(q + inputs <= channels && inputs.next_multiple_of(V::LANES) <= width, "channels beyond their window");
        assert!((B::IN * B::IN - 1) * step + outputs * width <= from.len(), "windows beyond their place");
        // SAFETY: as the field says.
        let to = unsafe { to.from(start) }.reach((o + outputs) * taps * channels);
        for output in 0..outputs {
            for at in (0..inputs).step_by(V::LANES) {
                let lanes = V::LANES.min(inputs - at);
                // SAFETY: the caller enables V; both reach as far as asserted.
                unsafe {
                    let first = from.as_ptr().add(output * width + at);
                    let changed = change_columns::<V, B>(&Apart { first, row: B::IN * step, column: step });
                    for i in 0..B::OUT {
                        for (j, &gradient) in changed.row::<B>(i).iter().enumerate().take(B::OUT) {
                            let to = to.add(((o + output) * taps + i * B::OUT + j) * channels + q + at);
                            let gradient = if acc == Acc::Add { load_from::<V>(to, lanes).add(gradient) } else { gradient };
                            store_to(gradient, to, lanes);
                        }
                    }
                }
            }
        }
    }
}

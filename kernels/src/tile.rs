//! The one inner loop of matrix products and convolutions: a tile of sums of products, held in registers.

use std::marker::PhantomData;

use crate::simd::{Kernel, Lanes, run};
use crate::{Isa, Real};

/// A loop: how often, and how far a and b move each time.
#[derive(Clone, Copy, Debug)]
pub struct Loop {
    pub count: usize,
    pub a: usize,
    pub b: usize,
}

/// `c[p, l] = Σ a[p] b[l]` over a nest of loops, outermost first, for p below `rows` and all l below `lanes`: a is one number
/// per row, b a row of numbers.
#[derive(Clone, Copy, Debug)]
pub struct Tile {
    pub rows: usize,
    pub lanes: usize,
    pub loops: [Loop; 3],
    /// Distance between rows of a.
    pub a_row: usize,
    /// Distance between rows of c.
    pub c_row: usize,
    /// Whether c is added to; else it is set.
    pub add: bool,
}

/// Rows of the tallest tile.
const MOST_ROWS: usize = 14;

/// Numbers in a vector.
pub(crate) fn lanes<T: Real>(isa: Isa) -> usize {
    (if isa == Isa::Avx512 { 64 } else { 32 }) / size_of::<T>()
}

/// So many channels and those that fill their last vector.
pub(crate) fn padded_channels<T: Real>(isa: Isa, channels: usize) -> usize {
    channels.next_multiple_of(lanes::<T>(isa))
}

/// Vectors of a tile where so many are left: as many as leave registers for rows that hide the latency of the sums.
fn vectors(isa: Isa, left: usize) -> usize {
    match left {
        4.. if isa == Isa::Avx512 => 4,
        2.. => 2,
        _ => 1,
    }
}

/// Rows of the tallest tile of so many vectors: registers hold the tile, a row of b and a number of a.
pub(crate) fn most_rows(isa: Isa, vectors: usize) -> usize {
    let registers = if isa == Isa::Avx512 { 32 } else { 16 };
    ((registers - vectors - 1) / vectors).min(MOST_ROWS)
}

/// The vectors of so many channels, in groups that fill a tile's width: the first channel of each, and its vectors. Numbers of a
/// group lie together, so that a tile reads one run of them.
pub(crate) fn groups<T: Real>(isa: Isa, channels: usize) -> impl Iterator<Item = (usize, usize)> {
    let width = lanes::<T>(isa);
    let mut first = 0;
    std::iter::from_fn(move || {
        let left = channels.saturating_sub(first).div_ceil(width);
        let vectors = vectors(isa, left);
        let group = (left > 0).then_some((first, vectors));
        first += vectors * width;
        group
    })
}

/// `total` in parts of nearly one size, at most `most`: where each starts, and its length.
pub(crate) fn parts(total: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = total.div_ceil(most);
    (0..count).map(move |part| (part * total / count, (part + 1) * total / count - part * total / count))
}

crate::simd::compiled! {
    /// The tiles of one number type.
    pub trait RegisterTile {
        fn register_tile(tile: Tile, isa: Isa, a: &[Self], b: &[Self], c: Target<'_, Self>);
    }
}

/// Where tiles are stored: places that nobody else reads or writes meanwhile, though others between them may be.
#[derive(Debug)]
pub struct Target<'a, T> {
    to: *mut T,
    len: usize,
    lent: PhantomData<&'a mut T>,
}

impl<'a, T> Target<'a, T> {
    pub(crate) fn of(to: &'a mut [T]) -> Target<'a, T> {
        Target { to: to.as_mut_ptr(), len: to.len(), lent: PhantomData }
    }

    /// # Safety
    /// For 'a there are `len` elements at `to`, and those of them that are written through it are nobody else's.
    pub(crate) unsafe fn at(to: *mut T, len: usize) -> Target<'a, T> {
        Target { to, len, lent: PhantomData }
    }
}

/// Sets or adds to c. b must be readable in whole vectors.
fn register_tile<T: Real>(tile: Tile, isa: Isa, a: &[T], b: &[T], c: Target<'_, T>) {
    let vectors = tile.lanes.div_ceil(lanes::<T>(isa));
    let reach = |step: fn(&Loop) -> usize| tile.loops.iter().map(|each| (each.count - 1) * step(each)).sum::<usize>();
    // These indices bound every access: the loops' last iterations of the last row.
    let a = &a[..reach(|each| each.a) + (tile.rows - 1) * tile.a_row + 1];
    let b = &b[..reach(|each| each.b) + vectors * lanes::<T>(isa)];
    assert!((tile.rows - 1) * tile.c_row + tile.lanes <= c.len, "a tile beyond its target");
    assert!(matches!(vectors, 1 | 2 | 4), "a tile of {vectors} vectors");
    run(isa, Bounded { tile, vectors, a, b, c: c.to });
}

/// A tile whose slices reach as far as it does.
struct Bounded<'a, T> {
    tile: Tile,
    vectors: usize,
    a: &'a [T],
    b: &'a [T],
    c: *mut T,
}

impl<T: Real> Kernel<T> for Bounded<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) {
        macro_rules! rows {
            ($vectors:literal: $($rows:literal)*) => {
                match self.tile.rows {
                    $($rows => self.sized::<V, $rows, $vectors>(),)*
                    _ => debug_assert!(false, "no tile of {} x {}", self.tile.rows, $vectors),
                }
            };
        }
        // SAFETY: the caller enables V.
        unsafe {
            match self.vectors {
                1 => rows!(1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
                2 => rows!(2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
                _ => rows!(4: 1 2 3 4 5 6),
            }
        }
    }
}

impl<T: Real> Bounded<'_, T> {
    /// # Safety
    /// V is enabled.
    #[inline(always)]
    unsafe fn sized<V: Lanes<Element = T>, const ROWS: usize, const VECTORS: usize>(self) {
        let Bounded { tile: Tile { lanes, loops: [outer, middle, inner], a_row, c_row, add, .. }, a, b, c, .. } = self;
        let (a, b, c) = (a.as_ptr(), b.as_ptr(), c);
        // SAFETY: `register_tile` cut the slices at the last access of all loops, rows and vectors, and saw that c reaches as far;
        // pointers past it are not read.
        unsafe {
            let mut sums = [[V::zero(); VECTORS]; ROWS];
            for i in 0..outer.count {
                for j in 0..middle.count {
                    let mut a = a.add(i * outer.a + j * middle.a);
                    let mut b = b.add(i * outer.b + j * middle.b);
                    for _ in 0..inner.count {
                        let mut row = [V::zero(); VECTORS];
                        for (v, vector) in row.iter_mut().enumerate() {
                            *vector = V::load(b.add(v * V::LANES));
                        }
                        for (p, sums) in sums.iter_mut().enumerate() {
                            let number = V::splat(*a.add(p * a_row));
                            for (sum, &vector) in sums.iter_mut().zip(&row) {
                                *sum = number.mul_add(vector, *sum);
                            }
                        }
                        a = a.wrapping_add(inner.a);
                        b = b.wrapping_add(inner.b);
                    }
                }
            }
            let last = lanes - (VECTORS - 1) * V::LANES;
            for (p, sums) in sums.iter().enumerate() {
                for (v, &sum) in sums.iter().enumerate() {
                    let to = c.add(p * c_row + v * V::LANES);
                    let count = if v + 1 == VECTORS { last } else { V::LANES };
                    let before = if add { V::load_first(to, count) } else { V::zero() };
                    before.add(sum).store_first(to, count);
                }
            }
        }
    }
}

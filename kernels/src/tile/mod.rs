//! The one inner loop of matrix products and convolutions: a tile of sums of products, held in registers, and how its operands
//! are laid out.

mod pack;

use std::marker::PhantomData;

pub(crate) use pack::{pack_groups, pack_rows, transpose};

use crate::simd::{Kernel, Lanes, prefetch, run};
use crate::{Isa, Real};

/// A loop: how often, and how far a and b move each time.
#[derive(Clone, Copy, Debug)]
pub struct Loop {
    pub count: usize,
    pub a: usize,
    pub b: usize,
}

impl Loop {
    pub(crate) const ONCE: Loop = Loop { count: 1, a: 0, b: 0 };
}

/// `c[c_rows[p] + l] = Σ a[a_rows[p] + ..] b[.. + l]` over a nest of loops, outermost first, for every row p and all l below
/// `lanes`: a is one number per row, b a row of numbers. A few rows at a time are a tile, whose sums are held in registers.
#[derive(Clone, Copy, Debug)]
pub struct Tiles<'a> {
    pub lanes: usize,
    pub outer: [Loop; 2],
    pub inner: Loop,
    /// Where rows of a start, and those of c.
    pub a_rows: &'a [usize],
    pub c_rows: &'a [usize],
    /// Whether c is added to; else it is set.
    pub add: bool,
}

/// Rows of the tallest tile: each takes a register for its address.
const MOST_ROWS: usize = 10;
/// Steps of the innermost loop that b is asked for ahead of its use: the second-level cache answers within these of a wide tile.
const AHEAD: usize = 8;

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

/// Vectors of the widest tile.
pub(crate) fn most_vectors(isa: Isa) -> usize {
    vectors(isa, usize::MAX)
}

/// Rows of the tallest tile of so many vectors: registers hold the tile, a row of b and a number of a.
fn most_rows(isa: Isa, vectors: usize) -> usize {
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
pub(crate) fn parts(total: usize, most: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let count = total.div_ceil(most);
    (0..count).map(move |part| (part * total / count, (part + 1) * total / count - part * total / count))
}

crate::simd::compiled! {
    /// The tiles of one number type.
    pub trait RegisterTiles {
        fn register_tiles(tiles: &Tiles<'_>, isa: Isa, a: &[Self], b: &[Self], c: Target<'_, Self>);
    }
}

/// Where tiles are stored: places that nobody else reads or writes meanwhile, though others between them may be.
#[derive(Debug)]
pub struct Target<'a, T> {
    to: *mut T,
    len: usize,
    lent: PhantomData<&'a mut T>,
}

impl<T> Target<'_, T> {
    /// The first of `len` elements.
    pub(crate) fn reach(self, len: usize) -> *mut T {
        assert!(len <= self.len, "a target of {} elements, not {len}", self.len);
        self.to
    }
}

/// An array that several threads write to, each its own elements, which may lie between those of others.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a, T> {
    to: *mut T,
    len: usize,
    lent: PhantomData<&'a mut T>,
}

// SAFETY: nothing is reached but through `Shared::from`, whose callers answer for it.
unsafe impl<T: Send> Sync for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn of(to: &'a mut [T]) -> Shared<'a, T> {
        Shared { to: to.as_mut_ptr(), len: to.len(), lent: PhantomData }
    }

    /// The elements from `start` on.
    ///
    /// # Safety
    /// Those that are written through it are read and written by nobody else while it lives.
    pub(crate) unsafe fn from(self, start: usize) -> Target<'a, T> {
        let start = start.min(self.len);
        Target { to: self.to.wrapping_add(start), len: self.len - start, lent: PhantomData }
    }
}

/// Sets or adds to c. b must be readable in whole vectors.
fn register_tiles<T: Real>(tiles: &Tiles<'_>, isa: Isa, a: &[T], b: &[T], c: Target<'_, T>) {
    let vectors = tiles.lanes.div_ceil(lanes::<T>(isa));
    let loops = [tiles.outer[0], tiles.outer[1], tiles.inner];
    let reach = |step: fn(&Loop) -> usize| loops.iter().map(|each| each.count.saturating_sub(1) * step(each)).sum::<usize>();
    let last = |rows: &[usize]| rows.iter().copied().max().unwrap_or(0);
    // These bound every access: the loops' last iterations of the last row.
    assert!(last(tiles.a_rows) + reach(|each| each.a) < a.len(), "tiles beyond a");
    assert!(reach(|each| each.b) + vectors * lanes::<T>(isa) <= b.len(), "tiles beyond b");
    assert!(last(tiles.c_rows) + tiles.lanes <= c.len, "tiles beyond their target");
    assert!(tiles.a_rows.len() == tiles.c_rows.len() && matches!(vectors, 1 | 2 | 4), "tiles of {vectors} vectors");
    run(isa, Bounded { tiles, vectors, most_rows: most_rows(isa, vectors), a: a.as_ptr(), b: b.as_ptr(), c: c.to });
}

/// Tiles whose pointers reach as far as they do.
#[derive(Clone, Copy)]
struct Bounded<'a, T> {
    tiles: &'a Tiles<'a>,
    vectors: usize,
    most_rows: usize,
    a: *const T,
    b: *const T,
    c: *mut T,
}

impl<T: Real> Kernel<T> for Bounded<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) {
        let Tiles { a_rows, c_rows, .. } = self.tiles;
        macro_rules! rows {
            ($vectors:literal: $a:ident $c:ident $($rows:literal)*) => {
                match $a.len() {
                    $($rows if $vectors * ($rows + 1) < V::REGISTERS => self.tile::<V, $rows, $vectors>($a, $c),)*
                    rows => debug_assert!(false, "no tile of {rows} x {}", $vectors),
                }
            };
        }
        for (first, count) in parts(a_rows.len(), self.most_rows) {
            let (a, c) = (&a_rows[first..][..count], &c_rows[first..][..count]);
            // SAFETY: the caller enables V.
            unsafe {
                match self.vectors {
                    1 => rows!(1: a c 1 2 3 4 5 6 7 8 9 10),
                    2 => rows!(2: a c 1 2 3 4 5 6 7 8 9 10),
                    _ => rows!(4: a c 1 2 3 4 5 6),
                }
            }
        }
    }
}

impl<T: Real> Bounded<'_, T> {
    /// # Safety
    /// V is enabled.
    #[inline(always)]
    unsafe fn tile<V: Lanes<Element = T>, const ROWS: usize, const VECTORS: usize>(self, a_rows: &[usize], c_rows: &[usize]) {
        let &Tiles { lanes, outer: [outer, middle], inner, add, .. } = self.tiles;
        let (a, b, c) = (self.a, self.b, self.c);
        let (Some(a_rows), Some(c_rows)) = (a_rows.first_chunk::<ROWS>(), c_rows.first_chunk::<ROWS>()) else { return };
        // SAFETY: `register_tiles` saw that the slices reach as far as the last access of all loops, rows and vectors; pointers
        // past them are not read.
        unsafe {
            let mut rows = [a; ROWS];
            for p in 0..ROWS {
                rows[p] = a.wrapping_add(a_rows[p]);
            }
            if add {
                for start in c_rows {
                    for v in 0..VECTORS {
                        prefetch(c.wrapping_add(start + v * V::LANES));
                    }
                }
            }
            let mut sums = [[V::zero(); VECTORS]; ROWS];
            for i in 0..outer.count {
                for j in 0..middle.count {
                    let mut at = i * outer.a + j * middle.a;
                    let mut b = b.wrapping_add(i * outer.b + j * middle.b);
                    for _ in 0..inner.count {
                        let mut row = [V::zero(); VECTORS];
                        for (v, vector) in row.iter_mut().enumerate() {
                            prefetch(b.wrapping_add(AHEAD * inner.b + v * V::LANES));
                            *vector = V::load(b.add(v * V::LANES));
                        }
                        for p in 0..ROWS {
                            let number = V::splat(*rows[p].add(at));
                            for v in 0..VECTORS {
                                sums[p][v] = number.mul_add(row[v], sums[p][v]);
                            }
                        }
                        at += inner.a;
                        b = b.wrapping_add(inner.b);
                    }
                }
            }
            let last = lanes - (VECTORS - 1) * V::LANES;
            // Short loops that are unrolled whole: sums that are indexed by a variable would not be registers.
            for p in 0..ROWS {
                let to = c.wrapping_add(c_rows[p]);
                let beyond = to.wrapping_add((VECTORS - 1) * V::LANES);
                if add {
                    for (v, sum) in sums[p][..VECTORS - 1].iter_mut().enumerate() {
                        *sum = sum.add(V::load(to.wrapping_add(v * V::LANES)));
                    }
                    sums[p][VECTORS - 1] = sums[p][VECTORS - 1].add(V::load_first(beyond, last));
                }
                for (v, sum) in sums[p][..VECTORS - 1].iter().enumerate() {
                    sum.store(to.wrapping_add(v * V::LANES));
                }
                sums[p][VECTORS - 1].store_first(beyond, last);
            }
        }
    }
}

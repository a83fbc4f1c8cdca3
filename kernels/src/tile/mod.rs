//! The one inner loop of matrix products and convolutions: a tile of sums of products, held in registers, and how its operands
//! are laid out.

mod pack;

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{Ordering, compiler_fence};

pub(crate) use pack::{pack_groups, pack_rows, transpose};

use crate::simd::{Kernel, Lanes, load_from, prefetch, run, store_to};
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
/// Bytes of a cache line.
const LINE: usize = 64;
/// Steps of the innermost loop at once, where registers are few and a loop's own instructions hold up what it computes.
const STEPS: usize = 8;

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
    // As many tiles as it takes, the first of them a row taller than the others where heights differ.
    let rows = tiles.a_rows.len();
    let count = rows.div_ceil(most_rows(isa, vectors)).max(1);
    let (height, taller) = (rows / count, rows % count);
    let (tall, low) = (0..taller * (height + 1), taller * (height + 1)..rows);
    let of = |rows: Range<usize>| Bounded { tiles, rows, a: a.as_ptr(), b: b.as_ptr(), c: c.to };
    tiles_of(isa, [height + 1, vectors], of(tall));
    tiles_of(isa, [height, vectors], of(low));
}

/// Tiles of so many rows and vectors each.
fn tiles_of<T: Real>(isa: Isa, [rows, vectors]: [usize; 2], tiles: Bounded<'_, T>) {
    if tiles.rows.is_empty() {
        return;
    }
    macro_rules! sizes {
        ($($vectors:literal: $($rows:literal)*;)*) => {
            match [rows, vectors] {
                $($([$rows, $vectors] => run(isa, OfSize::<'_, T, $rows, $vectors>(tiles)),)*)*
                _ => debug_assert!(false, "no tile of {rows} x {vectors}"),
            }
        };
    }
    sizes! {
        1: 1 2 3 4 5 6 7 8 9 10;
        2: 1 2 3 4 5 6 7 8 9 10;
        4: 1 2 3 4 5 6;
    }
}

/// Tiles of some rows, whose pointers reach as far as they do.
struct Bounded<'a, T> {
    tiles: &'a Tiles<'a>,
    rows: Range<usize>,
    a: *const T,
    b: *const T,
    c: *mut T,
}

/// Tiles of one size: a function each, so that sums get registers whatever other sizes need.
struct OfSize<'a, T, const ROWS: usize, const VECTORS: usize>(Bounded<'a, T>);

impl<T: Real, const ROWS: usize, const VECTORS: usize> Kernel<T> for OfSize<'_, T, ROWS, VECTORS> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) {
        let OfSize(tiles) = self;
        // Sizes of wider instruction sets are not asked for.
        if VECTORS * (ROWS + 1) < V::REGISTERS {
            let rows = tiles.rows.clone();
            let (a_rows, c_rows) = (&tiles.tiles.a_rows[rows.clone()], &tiles.tiles.c_rows[rows]);
            for (a_rows, c_rows) in a_rows.as_chunks().0.iter().zip(c_rows.as_chunks().0) {
                // SAFETY: the caller enables V.
                unsafe { tiles.tile::<V, ROWS, VECTORS>(a_rows, c_rows) };
            }
        }
    }
}

impl<T: Real> Bounded<'_, T> {
    /// # Safety
    /// V is enabled.
    #[inline(always)]
    unsafe fn tile<V: Lanes<Element = T>, const ROWS: usize, const VECTORS: usize>(
        &self,
        a_rows: &[usize; ROWS],
        c_rows: &[usize; ROWS],
    ) {
        let &Tiles { lanes, outer: [outer, middle], inner, add, .. } = self.tiles;
        let (a, b, c) = (self.a, self.b, self.c);
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
                    let mut left = inner.count;
                    let width = VECTORS * V::LANES;
                    if V::REGISTERS == 16 && VECTORS > 1 && (inner.a, inner.b) == (1, width) {
                        while left >= STEPS {
                            for step in 0..STEPS {
                                multiply::<V, ROWS, VECTORS>(&rows, at + step, b.wrapping_add(step * width), &mut sums);
                                // Of the next step nothing is read ahead: there is no register for it.
                                compiler_fence(Ordering::SeqCst);
                            }
                            at += STEPS;
                            b = b.wrapping_add(STEPS * width);
                            left -= STEPS;
                        }
                    }
                    for _ in 0..left {
                        for v in 0..VECTORS {
                            if (v * V::LANES * size_of::<T>()).is_multiple_of(LINE) {
                                prefetch(b.wrapping_add(AHEAD * inner.b + v * V::LANES));
                            }
                        }
                        multiply::<V, ROWS, VECTORS>(&rows, at, b, &mut sums);
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
                    sums[p][VECTORS - 1] = sums[p][VECTORS - 1].add(load_from(beyond, last));
                }
                for (v, sum) in sums[p][..VECTORS - 1].iter().enumerate() {
                    sum.store(to.wrapping_add(v * V::LANES));
                }
                store_to(sums[p][VECTORS - 1], beyond, last);
            }
        }
    }
}

/// Adds to a tile's sums the products of its rows' numbers at a place with a row of b.
///
/// # Safety
/// V is enabled, and all of it can be read.
#[inline(always)]
unsafe fn multiply<V: Lanes, const ROWS: usize, const VECTORS: usize>(
    rows: &[*const V::Element; ROWS],
    at: usize,
    b: *const V::Element,
    sums: &mut [[V; VECTORS]; ROWS],
) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut row = [V::zero(); VECTORS];
        for (v, vector) in row.iter_mut().enumerate() {
            *vector = V::load(b.add(v * V::LANES));
        }
        for p in 0..ROWS {
            let number = V::splat(*rows[p].add(at));
            for v in 0..VECTORS {
                sums[p][v] = number.mul_add(row[v], sums[p][v]);
            }
        }
    }
}

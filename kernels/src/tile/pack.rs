//! Layouts of operands.

use super::{groups, lanes};
use crate::simd::{Kernel, Lanes, load_from, prefetch, run, store_to};
use crate::{Isa, Real};

/// `to[i * width + j] = from[i * row + j]` for i below `rows` and j below `columns`, zero from there to `width`.
pub(crate) fn pack_rows<T: Real>(isa: Isa, from: &[T], row: usize, [rows, columns]: [usize; 2], width: usize, to: &mut [T]) {
    assert!(columns <= width && rows * width <= to.len(), "a block beyond its place");
    assert!(rows == 0 || (rows - 1) * row + columns <= from.len(), "a block beyond its matrix");
    run(isa, Rows { from: from.as_ptr(), row, rows, groups: &[(0, columns, width)], to: to.as_mut_ptr() });
}

/// The same with the columns by groups of vectors, one group after the other: rows are read whole.
pub(crate) fn pack_groups<T: Real>(isa: Isa, from: &[T], row: usize, [rows, columns]: [usize; 2], to: &mut [T]) {
    let lanes = lanes::<T>(isa);
    assert!(rows * columns.next_multiple_of(lanes) <= to.len(), "a block beyond its place");
    assert!(rows == 0 || (rows - 1) * row + columns <= from.len(), "a block beyond its matrix");
    let group = |(first, vectors): (usize, usize)| (first, (vectors * lanes).min(columns - first), vectors * lanes);
    let groups: Vec<_> = groups::<T>(isa, columns).map(group).collect();
    run(isa, Rows { from: from.as_ptr(), row, rows, groups: &groups, to: to.as_mut_ptr() });
}

/// Rows to copy, with bounds checked; of groups of columns the first column, columns, and those with the zeros that follow.
struct Rows<'a, T> {
    from: *const T,
    row: usize,
    rows: usize,
    groups: &'a [(usize, usize, usize)],
    to: *mut T,
}

/// Rows that are asked for ahead of their copy: where they lie pages apart, the processor does not see them coming.
const ROWS_AHEAD: usize = 4;

impl<T: Real> Kernel<T> for Rows<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) {
        let Rows { from, row, rows, groups, to } = self;
        // SAFETY: the caller enables V; the last element of each matrix was checked.
        unsafe {
            for i in 0..rows {
                for &(first, columns, width) in groups {
                    let (from, to) = (from.add(i * row + first), to.add(first * rows + i * width));
                    for j in (0..width).step_by(V::LANES) {
                        prefetch(from.wrapping_add(ROWS_AHEAD * row + j));
                        let (here, there) = (columns.saturating_sub(j).min(V::LANES), (width - j).min(V::LANES));
                        if here == V::LANES {
                            V::load(from.add(j)).store(to.add(j));
                        } else {
                            V::load_first(from.wrapping_add(j), here).store_first(to.add(j), there);
                        }
                    }
                }
            }
        }
    }
}

/// `to[place(j) + i] = from[i * row + j]` for i below `rows` and j below `columns`.
pub(crate) fn transpose<T: Real>(
    isa: Isa,
    from: &[T],
    row: usize,
    [rows, columns]: [usize; 2],
    to: &mut [T],
    place: impl Fn(usize) -> usize,
) {
    assert!(rows == 0 || (rows - 1) * row + columns <= from.len(), "a block beyond its matrix");
    run(isa, Transposed { from: from.as_ptr(), row, rows, columns, to, place });
}

/// As [`transpose`], with the bounds of `from` checked.
struct Transposed<'a, T, P> {
    from: *const T,
    row: usize,
    rows: usize,
    columns: usize,
    to: &'a mut [T],
    place: P,
}

/// The widest vector's lanes.
const MOST_LANES: usize = 16;

impl<T: Real, P: Fn(usize) -> usize> Kernel<T> for Transposed<'_, T, P> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) {
        let Transposed { from, row, rows, columns, to, place } = self;
        // SAFETY: the caller enables V; `transpose` checked the last element of `from`, and slices check those of `to`.
        unsafe {
            for i in (0..rows).step_by(V::LANES) {
                let down = V::LANES.min(rows - i);
                for j in (0..columns).step_by(V::LANES) {
                    let across = V::LANES.min(columns - j);
                    let mut block = [V::zero(); MOST_LANES];
                    for (p, vector) in block.iter_mut().enumerate().take(V::LANES) {
                        if p < down {
                            let from = from.add((i + p) * row + j);
                            *vector = load_from(from, across);
                        }
                    }
                    exchange::<V, 8>(&mut block);
                    exchange::<V, 4>(&mut block);
                    exchange::<V, 2>(&mut block);
                    exchange::<V, 1>(&mut block);
                    for (q, vector) in block.iter().enumerate().take(V::LANES) {
                        if q < across {
                            let to = &mut to[place(j + q) + i..][..down];
                            store_to(*vector, to.as_mut_ptr(), down);
                        }
                    }
                }
            }
        }
    }
}

/// One level of a transposition: squares of DISTANCE x DISTANCE off the diagonal change places.
///
/// # Safety
/// V is enabled.
#[inline(always)]
unsafe fn exchange<V: Lanes, const DISTANCE: usize>(block: &mut [V; MOST_LANES]) {
    if DISTANCE < V::LANES {
        for first in 0..V::LANES {
            if first & DISTANCE == 0 {
                // SAFETY: the caller enables V.
                (block[first], block[first + DISTANCE]) = unsafe { block[first].exchange::<DISTANCE>(block[first + DISTANCE]) };
            }
        }
    }
}

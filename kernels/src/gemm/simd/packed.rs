//! Products of blocks that stay in cache (Goto and van de Geijn 2008): a block of B is packed by columns of one tile, a block of A
//! by rows of one, and tiles of C take a pair of them each. Parts of C are computed side by side; how it is cut depends on the
//! shape alone.

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::gemm::GemmShape;
use crate::tile::{Loop, Target, Tile, groups, lanes, most_rows, parts};
use crate::{Acc, Context, Isa, Real};

/// Vectors across a tile, as [`groups`] makes them: fewer numbers of A are read per product than with two.
const VECTORS: usize = 4;
/// Columns of A in a block, of f32; half as many of f64.
const DEPTH: usize = 256;
/// Rows of A in a block.
const ROWS: usize = 280;
/// Columns of B in a block that is read for many blocks of A, and in one that is read once.
const COLUMNS: [usize; 2] = [2048, 384];
/// Rows or columns of C in a part, and multiplications.
const PART: (usize, usize) = (256, 1 << 22);
/// Parts of C.
const PARTS: usize = 16;
/// Columns of C from which packing A pays, where its rows lie as they should.
const PACKED: usize = 96;

/// A matrix by its first element and the distances between rows and columns.
#[derive(Clone, Copy)]
struct Matrix<'a, T> {
    values: &'a [T],
    steps: [usize; 2],
}

impl<'a, T: Real> Matrix<'a, T> {
    fn from(self, row: usize, column: usize) -> Matrix<'a, T> {
        let start = (row * self.steps[0] + column * self.steps[1]).min(self.values.len());
        Matrix { values: &self.values[start..], ..self }
    }

    /// `rows` x `columns` elements in strips of columns, each row after row. A strip is given by its first column and its width;
    /// the last is filled up with zeros where it reaches beyond.
    fn pack(self, rows: usize, columns: usize, strips: impl Iterator<Item = (usize, usize)>, to: &mut [T]) {
        let [row_step, column_step] = self.steps;
        for (first, filled) in strips {
            let here = filled.min(columns - first);
            let to = &mut to[rows * first..][..rows * filled];
            let from = self.from(0, first).values;
            if column_step == 1 {
                for (row, to) in to.chunks_exact_mut(filled).enumerate() {
                    to[..here].copy_from_slice(&from[row * row_step..][..here]);
                    to[here..].fill(T::ZERO);
                }
                continue;
            }
            // A few rows at a time, whose cache lines stay while all columns are read.
            const AT_ONCE: usize = 16;
            for (block, to) in to.chunks_mut(AT_ONCE * filled).enumerate() {
                let from = &from[(block * AT_ONCE * row_step).min(from.len())..];
                for column in 0..here {
                    for (row, to) in to[column..].iter_mut().step_by(filled).enumerate() {
                        *to = from[row * row_step + column * column_step];
                    }
                }
                to.chunks_exact_mut(filled).for_each(|row| row[here..].fill(T::ZERO));
            }
        }
    }
}

/// C by its first element; parts of it are written by different threads.
#[derive(Clone, Copy)]
struct Place<T> {
    to: *mut T,
    len: usize,
    row: usize,
}

// SAFETY: threads write different elements, and none reads any but those it writes.
unsafe impl<T: Send> Sync for Place<T> {}

impl<T> Place<T> {
    fn from(self, row: usize, column: usize) -> Place<T> {
        let start = (row * self.row + column).min(self.len);
        Place { to: self.to.wrapping_add(start), len: self.len - start, ..self }
    }
}

pub(super) fn gemm_forward<T: Real>(cx: &Context, isa: Isa, shape: &GemmShape, a: &[T], b: &[T], c: &mut [T], acc: Acc) {
    let &GemmShape { m, n, k, c: [row, column], .. } = shape;
    let (a, b) = (Matrix { values: a, steps: shape.a }, Matrix { values: b, steps: shape.b });
    if m == 0 || n == 0 {
        return;
    }
    if column != 1 && n > 1 {
        if row == 1 || m == 1 {
            // Cᵀ = BᵀAᵀ.
            let swapped = |[row, column]: [usize; 2]| [column, row];
            let shape = GemmShape { m: n, n: m, a: swapped(shape.b), b: swapped(shape.a), c: [column, 1], k };
            return gemm_forward(cx, isa, &shape, b.values, a.values, c, acc);
        }
        let mut dense = cx.scratch(m * n);
        gemm_forward(cx, isa, &GemmShape { c: [n, 1], ..*shape }, a.values, b.values, &mut dense, Acc::Set);
        for (i, dense) in dense.chunks_exact(n).enumerate() {
            let to = c[i * row..].iter_mut().step_by(column);
            to.zip(dense).for_each(|(to, &value)| *to = if acc == Acc::Add { *to + value } else { value });
        }
        return;
    }
    if k == 0 {
        if acc == Acc::Set {
            c.chunks_mut(row.max(n)).take(m).for_each(|row| row[..n].fill(T::ZERO));
        }
        return;
    }
    // With one row the distance to the next is any.
    let c = Place { to: c.as_mut_ptr(), len: c.len(), row: if m == 1 { n } else { row } };
    let work = m.saturating_mul(n).saturating_mul(k) / PART.1;
    let count = (m.max(n) / PART.0).min(work).clamp(1, PARTS);
    let part = |(first, count): (usize, usize)| match m >= n {
        true => Part { cx, isa, m: count, n, k, a: a.from(first, 0), b, c: c.from(first, 0), acc }.run(),
        false => Part { cx, isa, m, n: count, k, a, b: b.from(0, first), c: c.from(0, first), acc }.run(),
    };
    match count {
        1 => part((0, m.max(n))),
        _ => {
            let all: Vec<_> = parts(m.max(n), m.max(n).div_ceil(count)).collect();
            all.into_par_iter().for_each(part);
        }
    }
}

/// A product that one thread computes.
struct Part<'a, T> {
    cx: &'a Context,
    isa: Isa,
    m: usize,
    n: usize,
    k: usize,
    a: Matrix<'a, T>,
    b: Matrix<'a, T>,
    c: Place<T>,
    acc: Acc,
}

impl<T: Real> Part<'_, T> {
    fn run(&self) {
        let &Part { cx, isa, m, n, k, a, b, .. } = self;
        let lanes = lanes::<T>(isa);
        let height = most_rows(isa, VECTORS);
        let depth = (DEPTH * size_of::<f32>() / size_of::<T>()).min(k);
        let once = m <= ROWS;
        let columns = COLUMNS[usize::from(once)];
        let packs_a = a.steps[1] != 1 || n >= PACKED;
        // One block of A or, where blocks of B are read once, all of them.
        let mut packed_a = cx.scratch(if packs_a { m.min(ROWS) * if once { k } else { depth } } else { 0 });
        let mut packed_b = cx.scratch(depth * columns.min(n.next_multiple_of(lanes)));
        let pack_a = |[i, p]: [usize; 2], [rows, depth]: [usize; 2], to: &mut [T]| {
            // Rows of A are columns of Aᵀ.
            let [row, column] = a.steps;
            let strips = (0..rows).step_by(height).map(|first| (first, height.min(rows - first)));
            Matrix { steps: [column, row], ..a.from(i, p) }.pack(depth, rows, strips, to);
        };
        if once && packs_a {
            for p in (0..k).step_by(depth) {
                let depth = depth.min(k - p);
                pack_a([0, p], [m, depth], &mut packed_a[m * p..][..m * depth]);
            }
        }
        for j in (0..n).step_by(columns) {
            let columns = columns.min(n - j);
            for p in (0..k).step_by(depth) {
                let depth = depth.min(k - p);
                let strips = groups::<T>(isa, columns).map(|(first, vectors)| (first, vectors * lanes));
                b.from(p, j).pack(depth, columns, strips, &mut packed_b);
                for i in (0..m).step_by(ROWS) {
                    let rows = ROWS.min(m - i);
                    let packed = match (packs_a, once) {
                        (false, _) => None,
                        (true, true) => Some(&packed_a[m * p..]),
                        (true, false) => {
                            pack_a([i, p], [rows, depth], &mut packed_a);
                            Some(&packed_a[..])
                        }
                    };
                    self.block([i, j, p], [rows, columns, depth], packed, &packed_b, height);
                }
            }
        }
    }

    /// A block of C by a block of A and one of B.
    fn block(
        &self,
        [i, j, p]: [usize; 3],
        [rows, columns, depth]: [usize; 3],
        packed_a: Option<&[T]>,
        packed_b: &[T],
        height: usize,
    ) {
        let &Part { isa, a, c, acc, .. } = self;
        let lanes = lanes::<T>(isa);
        let none = Loop { count: 1, a: 0, b: 0 };
        for (first, vectors) in groups::<T>(isa, columns) {
            let here = (vectors * lanes).min(columns - first);
            let b = &packed_b[first * depth..];
            for row in (0..rows).step_by(height) {
                let count = height.min(rows - row);
                let (a, a_row, a_step) = match packed_a {
                    Some(packed) => (&packed[row * depth..], 1, count),
                    None => (a.from(i + row, p).values, a.steps[0], 1),
                };
                let tile = Tile {
                    rows: count,
                    lanes: here,
                    loops: [none, none, Loop { count: depth, a: a_step, b: vectors * lanes }],
                    a_row,
                    c_row: c.row,
                    add: acc == Acc::Add || p > 0,
                };
                let c = c.from(i + row, j + first);
                // SAFETY: `GemmShape::check` saw that c holds m x n elements at these steps; parts have rows or columns of their
                // own.
                let to = unsafe { Target::at(c.to, c.len) };
                T::register_tile(tile, isa, a, b, to);
            }
        }
    }
}

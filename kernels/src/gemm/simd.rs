//! Products of blocks that stay in cache (Goto and van de Geijn 2008): a block of B is packed by columns of one tile, a block of A
//! by rows of one, and tiles of C take a pair of them each. Parts of C are computed side by side; how it is cut depends on the
//! shape alone.

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::gemm::GemmShape;
use crate::tile::{Loop, Shared, Tiles, groups, lanes, most_vectors, pack_groups, pack_rows, padded_channels, parts, transpose};
use crate::{Acc, Context, Isa, Real};

/// Columns of A in a block, of f32; half as many of f64.
const DEPTH: usize = 512;
/// Rows of A in a block, which stays in the second-level cache.
const ROWS: usize = 192;
/// Columns of B in a block that is read for many blocks of A.
const COLUMNS: usize = 2048;
/// Bytes of a block of B, the rows of C that it gives and those of A, where a block is read right after it is packed.
const TOGETHER: usize = 3 << 18;
/// Multiplications that are worth a thread, and columns.
const PART: (usize, usize) = (1 << 22, 256);
/// Parts of C that are computed side by side, where there are as many.
const PARTS: usize = 16;
/// Columns of C from which packing A pays, where its rows lie as they should.
const PACKED_A: usize = 96;
/// Rows of C from which packing B pays.
const PACKED_B: usize = 8;

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

    /// `rows` x `columns` elements, row after row of `width`, filled up with zeros.
    fn pack(self, isa: Isa, [rows, columns]: [usize; 2], width: usize, to: &mut [T]) {
        let [row, column] = self.steps;
        if column == 1 || columns == 1 {
            return pack_rows(isa, self.values, row, [rows, columns], width, to);
        }
        if columns < width {
            to[..rows * width].fill(T::ZERO);
        }
        if row == 1 || rows == 1 {
            return transpose(isa, self.values, column, [columns, rows], to, |i| i * width);
        }
        for (i, to) in to.chunks_exact_mut(width).take(rows).enumerate() {
            for (j, to) in to[..columns].iter_mut().enumerate() {
                *to = self.values[i * row + j * column];
            }
        }
    }
}

crate::simd::compiled! {
    /// The fast variant for one number type.
    pub trait GemmSimd {
        fn gemm_forward(cx: &Context, isa: Isa, shape: &GemmShape, a: &[Self], b: &[Self], c: &mut [Self], acc: Acc);
    }
}

fn gemm_forward<T: Real>(cx: &Context, isa: Isa, shape: &GemmShape, a: &[T], b: &[T], c: &mut [T], acc: Acc) {
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
    let c_row = if m == 1 { n } else { row };
    Product { cx, isa, m, n, k, a, b, c: Shared::of(c), c_row, acc }.run();
}

/// C = A B with rows of C in one piece each.
struct Product<'a, T> {
    cx: &'a Context,
    isa: Isa,
    m: usize,
    n: usize,
    k: usize,
    a: Matrix<'a, T>,
    b: Matrix<'a, T>,
    c: Shared<'a, T>,
    /// Distance between rows of C.
    c_row: usize,
    acc: Acc,
}

/// Some columns of a block of B: as vectors of one group after the other, or where they are.
#[derive(Clone, Copy)]
struct Columns<'a, T> {
    /// The first of them.
    first: usize,
    count: usize,
    packed: Option<&'a [T]>,
}

impl<T: Real> Product<'_, T> {
    /// Parts of A's columns, whose products are summed in registers.
    fn depths(&self) -> impl Iterator<Item = (usize, usize)> + Clone {
        parts(self.k, DEPTH * size_of::<f32>() / size_of::<T>())
    }

    /// Whether rows of A, and columns of B, are read where they are: what is read once, or lies as it should.
    fn unpacked(&self) -> [bool; 2] {
        [self.a.steps[1] == 1 && self.n < PACKED_A, self.b.steps[1] == 1 && self.m < PACKED_B]
    }

    /// Parts of the columns of C for so many threads.
    fn column_parts(&self, most: usize) -> Vec<(usize, usize)> {
        let work = self.m.saturating_mul(self.n).saturating_mul(self.k) / PART.0;
        let count = (self.n / PART.1).min(work).clamp(1, most);
        let lanes = most_vectors(self.isa) * lanes::<T>(self.isa);
        // Whole groups of vectors, but for the last part.
        let groups = parts(self.n.div_ceil(lanes), self.n.div_ceil(lanes).div_ceil(count));
        groups.map(|(first, count)| (first * lanes, (count * lanes).min(self.n - first * lanes))).collect()
    }

    fn run(&self) {
        if self.m <= ROWS {
            return for_each(self.column_parts(PARTS), |part| self.wide(part));
        }
        self.tall();
    }

    /// All rows of C, some columns: blocks of B are read once, right after they are packed.
    fn wide(&self, (first, count): (usize, usize)) {
        let &Product { cx, isa, m, k, a, b, .. } = self;
        let [a_stays, b_stays] = self.unpacked();
        let deepest = self.depths().map(|(_, depth)| depth).max().unwrap_or(0);
        let group = most_vectors(isa) * lanes::<T>(isa);
        let fitting = (TOGETHER / size_of::<T>()).saturating_sub(m * deepest) / (m + deepest).max(1);
        let columns = (fitting / group * group).clamp(group, 8 * group).min(count);
        let mut packed_a = cx.scratch(if a_stays { 0 } else { m * k });
        let mut packed_b = cx.scratch(if b_stays { 0 } else { deepest * padded_channels::<T>(isa, columns) });
        if !a_stays {
            for (p, depth) in self.depths() {
                a.from(0, p).pack(isa, [m, depth], depth, &mut packed_a[m * p..]);
            }
        }
        for j in (first..first + count).step_by(columns) {
            let columns = columns.min(first + count - j);
            for (p, depth) in self.depths() {
                if !b_stays {
                    self.pack(b.from(p, j), [depth, columns], &mut packed_b);
                }
                let a = if a_stays { a.from(0, p) } else { Matrix { values: &packed_a[m * p..], steps: [depth, 1] } };
                let packed = (!b_stays).then_some(&*packed_b);
                self.block([0, p], [m, depth], a, Columns { first: j, count: columns, packed });
            }
        }
    }

    /// Many rows of C: threads pack a block of B together and then take a block of A each.
    fn tall(&self) {
        let &Product { cx, isa, m, n, a, b, .. } = self;
        let [a_stays, _] = self.unpacked();
        let deepest = self.depths().map(|(_, depth)| depth).max().unwrap_or(0);
        let most = COLUMNS.min(padded_channels::<T>(isa, n));
        let mut packed_b = cx.scratch(deepest * most);
        let rows: Vec<_> = parts(m, ROWS).collect();
        for j in (0..n).step_by(most) {
            let all = Product { n: most.min(n - j), ..*self };
            for (p, depth) in self.depths() {
                let mut rest = &mut *packed_b;
                let mut places = Vec::new();
                for (first, count) in all.column_parts(PARTS) {
                    let (here, after) = rest.split_at_mut(depth * padded_channels::<T>(isa, count));
                    places.push((first, count, here));
                    rest = after;
                }
                for_each(places, |(first, count, to)| self.pack(b.from(p, j + first), [depth, count], to));
                let columns = all.column_parts(PARTS.div_ceil(rows.len()));
                let tasks = rows.iter().flat_map(|&rows| columns.iter().map(move |&columns| (rows, columns)));
                for_each(tasks.collect(), |((i, rows), (first, count))| {
                    let mut packed_a = cx.scratch(if a_stays { 0 } else { rows * depth });
                    let a = if a_stays {
                        a.from(i, p)
                    } else {
                        a.from(i, p).pack(isa, [rows, depth], depth, &mut packed_a);
                        Matrix { values: &packed_a, steps: [depth, 1] }
                    };
                    let columns = Columns { first: j + first, count, packed: Some(&packed_b[first * depth..]) };
                    self.block([i, p], [rows, depth], a, columns);
                });
            }
        }
    }

    /// Packs columns of B by groups of vectors.
    fn pack(&self, b: Matrix<'_, T>, [depth, columns]: [usize; 2], to: &mut [T]) {
        if b.steps[1] == 1 {
            return pack_groups(self.isa, b.values, b.steps[0], [depth, columns], to);
        }
        let lanes = lanes::<T>(self.isa);
        for (first, vectors) in groups::<T>(self.isa, columns) {
            let (width, here) = (vectors * lanes, (vectors * lanes).min(columns - first));
            b.from(0, first).pack(self.isa, [depth, here], width, &mut to[first * depth..]);
        }
    }

    /// Some rows and columns of C by as many rows of A, from its column p on.
    fn block(&self, [i, p]: [usize; 2], [rows, depth]: [usize; 2], a: Matrix<'_, T>, columns: Columns<'_, T>) {
        let &Product { cx, isa, b, c, c_row, acc, .. } = self;
        let lanes = lanes::<T>(isa);
        let (a_rows, c_rows): (Vec<usize>, Vec<usize>) = (0..rows).map(|row| (row * a.steps[0], row * c_row)).unzip();
        for (first, vectors) in groups::<T>(isa, columns.count) {
            let (width, here) = (vectors * lanes, (vectors * lanes).min(columns.count - first));
            let from = b.from(p, columns.first + first);
            // Vectors of the last columns would reach beyond the end of B where it is.
            let mut last = cx.scratch(if columns.packed.is_none() && here < width { depth * width } else { 0 });
            let (b, b_step) = match columns.packed {
                Some(packed) => (&packed[first * depth..], width),
                None if here == width => (from.values, b.steps[0]),
                None => {
                    from.pack(isa, [depth, here], width, &mut last);
                    (&*last, width)
                }
            };
            let inner = Loop { count: depth, a: 1, b: b_step };
            let add = acc == Acc::Add || p > 0;
            let tiles = Tiles { lanes: here, outer: [Loop::ONCE; 2], inner, a_rows: &a_rows, c_rows: &c_rows, add };
            // SAFETY: `GemmShape::check` saw that elements of C have places of their own; tasks have rows or columns of their
            // own.
            let to = unsafe { c.from(i * c_row + columns.first + first) };
            T::register_tiles(&tiles, isa, a.values, b, to);
        }
    }
}

/// Side by side, where there is more than one.
fn for_each<I: Send>(tasks: Vec<I>, task: impl Fn(I) + Sync + Send) {
    match tasks.len() {
        0 | 1 => tasks.into_iter().for_each(task),
        _ => tasks.into_par_iter().for_each(task),
    }
}

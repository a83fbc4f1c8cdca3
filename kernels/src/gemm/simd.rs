//! Products of blocks that stay in cache (Goto and van de Geijn 2008): a block of B is packed by columns of one tile, a block of A
//! by rows of one, and tiles of C take a pair of them each. Rectangles of C are computed side by side, each for itself: threads meet
//! once. How C is cut changes no bit, since every element is summed over the same blocks of A's columns.

use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

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
/// Multiplications that are worth a task.
const WORTH: usize = 1 << 22;
/// Tasks for each thread, so that none waits long for another.
const TASKS: usize = 4;
/// Rows or columns of C from which they are cut in two: each task packs its operands itself.
const CUT: usize = 128;
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

    fn deepest(&self) -> usize {
        self.depths().map(|(_, depth)| depth).max().unwrap_or(0)
    }

    /// Whether rows of A, and columns of B, are read where they are: what is read once, or lies as it should.
    fn unpacked(&self) -> [bool; 2] {
        [self.a.steps[1] == 1 && self.n < PACKED_A, self.b.steps[1] == 1 && self.m < PACKED_B]
    }

    /// The first row, and rows, of each task's rectangle of C, and the same of columns.
    fn cuts(&self) -> [Vec<(usize, usize)>; 2] {
        let &Product { isa, m, n, k, .. } = self;
        let work = m.saturating_mul(n).saturating_mul(k) / WORTH;
        let threads = rayon::current_num_threads();
        let tasks = if threads == 1 { 1 } else { (TASKS * threads).min(work) };
        let (mut down, mut across) = (1, 1);
        while down * across < tasks && (m / down).max(n / across) >= CUT {
            *(if m / down > n / across { &mut down } else { &mut across }) *= 2;
        }
        // Whole groups of vectors, but for the last columns.
        let width = most_vectors(isa) * lanes::<T>(isa);
        let groups = n.div_ceil(width);
        let columns = parts(groups, groups.div_ceil(across));
        let columns = columns.map(|(first, count)| (first * width, (count * width).min(n - first * width)));
        [parts(m, m.div_ceil(down)).collect(), columns.collect()]
    }

    fn run(&self) {
        let [rows, columns] = self.cuts();
        let tasks: Vec<_> = rows.iter().flat_map(|&rows| columns.iter().map(move |&columns| (rows, columns))).collect();
        let task = |(rows, columns): ((usize, usize), (usize, usize))| {
            if rows.1 <= ROWS { self.wide(rows, columns) } else { self.tall(rows, columns) }
        };
        match tasks[..] {
            [one] => task(one),
            _ => tasks.into_par_iter().with_max_len(1).for_each(task),
        }
    }

    /// Few rows of C: blocks of B are read once, right after they are packed.
    fn wide(&self, (top, m): (usize, usize), (first, count): (usize, usize)) {
        let &Product { cx, isa, k, a, b, .. } = self;
        let [a_stays, b_stays] = self.unpacked();
        let deepest = self.deepest();
        let group = most_vectors(isa) * lanes::<T>(isa);
        let fitting = (TOGETHER / size_of::<T>()).saturating_sub(m * deepest) / (m + deepest).max(1);
        let columns = (fitting / group * group).max(group).min(count);
        let mut packed_a = cx.scratch(if a_stays { 0 } else { m * k });
        let mut packed_b = cx.scratch(if b_stays { 0 } else { deepest * padded_channels::<T>(isa, columns) });
        if !a_stays {
            for (p, depth) in self.depths() {
                a.from(top, p).pack(isa, [m, depth], depth, &mut packed_a[m * p..]);
            }
        }
        for j in (first..first + count).step_by(columns) {
            let columns = columns.min(first + count - j);
            for (p, depth) in self.depths() {
                if !b_stays {
                    self.pack(b.from(p, j), [depth, columns], &mut packed_b);
                }
                let a = if a_stays { a.from(top, p) } else { Matrix { values: &packed_a[m * p..], steps: [depth, 1] } };
                let packed = (!b_stays).then_some(&*packed_b);
                self.block([top, p], [m, depth], a, Columns { first: j, count: columns, packed });
            }
        }
    }

    /// Many rows of C: a block of B is packed for many of A.
    fn tall(&self, (top, m): (usize, usize), (first, count): (usize, usize)) {
        let &Product { cx, isa, a, b, .. } = self;
        let [a_stays, _] = self.unpacked();
        let (deepest, most) = (self.deepest(), COLUMNS.min(padded_channels::<T>(isa, count)));
        let mut packed_a = cx.scratch(if a_stays { 0 } else { ROWS * deepest });
        let mut packed_b = cx.scratch(deepest * most);
        for j in (first..first + count).step_by(most) {
            let columns = most.min(first + count - j);
            for (p, depth) in self.depths() {
                self.pack(b.from(p, j), [depth, columns], &mut packed_b);
                for (i, rows) in parts(m, ROWS) {
                    let a = if a_stays {
                        a.from(top + i, p)
                    } else {
                        a.from(top + i, p).pack(isa, [rows, depth], depth, &mut packed_a);
                        Matrix { values: &packed_a, steps: [depth, 1] }
                    };
                    self.block([top + i, p], [rows, depth], a, Columns { first: j, count: columns, packed: Some(&packed_b) });
                }
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

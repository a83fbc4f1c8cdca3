use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use super::{Affine, BatchNormShape, Line, Mask, Normal, Upstream};
use crate::activation::Activation;
use crate::activation::simd::{derivative_times, value};
use crate::simd::{Kernel, Lanes, load, run, store};
use crate::{Acc, Isa, Real};

/// Numbers of x that one task works on: with what else it reads and writes they stay in the second-level cache.
const TASK: usize = 1 << 15;

/// Rows whose moments are taken at once: few enough for their rounding not to be seen after the merge in f64, and for a block of
/// columns to stay in the first-level cache between its two passes.
const GROUP: usize = 96;

/// Numbers of whole rows that one task works on.
fn task(c: usize) -> usize {
    (TASK / c).max(1) * c
}

/// Runs a block for every N neighbouring vectors of channels, whose constants and sums stay in registers from row to row, and
/// then for single ones, only the last of which may have fewer lanes than V. See [`for_lanes`](crate::simd::for_lanes).
macro_rules! for_columns {
    ($V:ident, $c:expr, |$at:ident, $lanes:ident, $N:ident| $body:expr) => {{
        let (c, mut start) = ($c, 0);
        {
            const $N: usize = 4;
            let $lanes = $V::LANES;
            while start + $N * $lanes <= c {
                let $at = start;
                $body;
                start += $N * $lanes;
            }
        }
        const $N: usize = 1;
        while start < c {
            let ($at, $lanes) = (start, $V::LANES.min(c - start));
            $body;
            start += $lanes;
        }
    }};
}

/// N neighbouring vectors.
///
/// # Safety
/// As [`load`].
#[inline(always)]
unsafe fn load_columns<V: Lanes, const N: usize>(from: &[V::Element], at: usize, lanes: usize) -> [V; N] {
    // SAFETY: the caller's contract.
    unsafe {
        let mut columns = [V::zero(); N];
        for (k, column) in columns.iter_mut().enumerate() {
            *column = load::<V>(from, at + k * V::LANES, lanes);
        }
        columns
    }
}

/// # Safety
/// As [`store`].
#[inline(always)]
unsafe fn store_columns<V: Lanes, const N: usize>(columns: [V; N], to: &mut [V::Element], at: usize, lanes: usize) {
    for (k, column) in columns.into_iter().enumerate() {
        // SAFETY: the caller's contract.
        unsafe { store::<V>(column, to, at + k * V::LANES, lanes) };
    }
}

/// Sets, or adds to, the vector at a place.
///
/// # Safety
/// As [`store`].
#[inline(always)]
unsafe fn put<V: Lanes>(value: V, to: &mut [V::Element], at: usize, lanes: usize, acc: Acc) {
    // SAFETY: the caller's contract.
    unsafe {
        let value = if acc == Acc::Add { value.add(load::<V>(to, at, lanes)) } else { value };
        store::<V>(value, to, at, lanes);
    }
}

/// Count, mean and sum of squared deviations from it, channel by channel.
struct Group {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Group {
    fn empty(c: usize) -> Group {
        Group { count: 0.0, mean: vec![0.0; c], squares: vec![0.0; c] }
    }

    /// With the rows of another group.
    #[inline(always)]
    fn merge(&mut self, other: &Group) {
        let (before, count) = (self.count, self.count + other.count);
        let share = other.count / count;
        let others = other.mean.iter().zip(&other.squares);
        for ((mean, squares), (other_mean, other_squares)) in self.mean.iter_mut().zip(&mut self.squares).zip(others) {
            let apart = other_mean - *mean;
            *mean += apart * share;
            *squares += other_squares + apart * apart * before * share;
        }
        self.count = count;
    }
}

/// The moments of some rows: group by group the mean first, then deviations from it, corrected by what is left of their sum.
struct Measure<'a, T> {
    c: usize,
    x: &'a [T],
}

impl<T: Real> Kernel<T> for Measure<'_, T> {
    type Output = Group;
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) -> Group {
        let Measure { c, x } = self;
        let (mut all, mut group) = (Group::empty(c), Group::empty(c));
        let [mut means, mut sums, mut squares] = [(); 3].map(|()| vec![T::ZERO; c]);
        for x in x.chunks(GROUP * c) {
            group.count = (x.len() / c) as f64;
            // SAFETY: the caller enables V; x is whole rows of c, which the other slices are long.
            unsafe {
                let count = V::splat(T::from_f64(group.count));
                for_columns!(V, c, |at, lanes, N| {
                    let mut mean = [V::zero(); N];
                    for row in (at..x.len()).step_by(c) {
                        for (k, mean) in mean.iter_mut().enumerate() {
                            *mean = mean.add(load::<V>(x, row + k * V::LANES, lanes));
                        }
                    }
                    for mean in &mut mean {
                        *mean = mean.div(count);
                    }
                    let (mut sum, mut square) = ([V::zero(); N], [V::zero(); N]);
                    for row in (at..x.len()).step_by(c) {
                        for k in 0..N {
                            let deviation = load::<V>(x, row + k * V::LANES, lanes).sub(mean[k]);
                            sum[k] = sum[k].add(deviation);
                            square[k] = deviation.mul_add(deviation, square[k]);
                        }
                    }
                    store_columns(mean, &mut means, at, lanes);
                    store_columns(sum, &mut sums, at, lanes);
                    store_columns(square, &mut squares, at, lanes);
                });
            }
            let measured = means.iter().zip(&sums).zip(&squares);
            for (((mean, sum), square), (to_mean, to_squares)) in measured.zip(group.mean.iter_mut().zip(&mut group.squares)) {
                let left = sum.to_f64() / group.count;
                *to_mean = mean.to_f64() + left;
                *to_squares = square.to_f64() - group.count * left * left;
            }
            all.merge(&group);
        }
        all
    }
}

pub(super) fn batchnorm_moments<T: Real>(isa: Isa, shape: &BatchNormShape, x: &[T], mean: &mut [T], variance: &mut [T]) {
    let c = shape.c;
    let groups = (TASK / (GROUP * c)).max(1) * GROUP * c;
    let parts: Vec<Group> = x.par_chunks(groups).map(|x| run(isa, Measure { c, x })).collect();
    let mut all = Group::empty(c);
    parts.iter().for_each(|part| all.merge(part));
    for (channel, (mean, variance)) in mean.iter_mut().zip(variance).enumerate() {
        *mean = T::from_f64(all.mean[channel]);
        *variance = T::from_f64(all.squares[channel] / all.count);
    }
}

pub(super) fn batchnorm_forward<T: Real>(
    isa: Isa,
    x: &[T],
    affine: Affine<'_, T>,
    (residual, relu): (Option<&[T]>, bool),
    y: &mut [T],
) {
    struct Forward<'a, T> {
        x: &'a [T],
        affine: Affine<'a, T>,
        residual: Option<&'a [T]>,
        relu: bool,
        y: &'a mut [T],
    }
    impl<T: Real> Kernel<T> for Forward<'_, T> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes<Element = T>>(self) {
            let Forward { x, affine: Affine { mean, slope, b }, residual, relu, y } = self;
            let c = b.len();
            // SAFETY: the caller enables V; the operator checked that all per-channel slices have one length, and all others are
            // whole rows of one number.
            unsafe {
                for_columns!(V, c, |at, lanes, N| {
                    let [mean, slope, b]: [[V; N]; 3] =
                        [load_columns(mean, at, lanes), load_columns(slope, at, lanes), load_columns(b, at, lanes)];
                    for row in (at..x.len()).step_by(c) {
                        for k in 0..N {
                            let here = row + k * V::LANES;
                            let mut sum = load::<V>(x, here, lanes).sub(mean[k]).mul_add(slope[k], b[k]);
                            if let Some(residual) = residual {
                                sum = sum.add(load::<V>(residual, here, lanes));
                            }
                            store::<V>(if relu { value(Activation::Relu, sum) } else { sum }, y, here, lanes);
                        }
                    }
                });
            }
        }
    }
    let size = task(affine.b.len());
    x.par_chunks(size).zip(y.par_chunks_mut(size)).enumerate().for_each(|(task, (x, y))| {
        let residual = residual.map(|residual| &residual[task * size..][..x.len()]);
        run(isa, Forward { x, affine, residual, relu, y });
    });
}

impl<'a, T: Real> Upstream<'a, T> {
    /// Of some rows.
    fn part(self, start: usize, len: usize) -> Upstream<'a, T> {
        let mask = match self.mask {
            Mask::Outputs(y) => Mask::Outputs(&y[start..][..len]),
            mask => mask,
        };
        Upstream { dy: &self.dy[start..][..len], mask }
    }

    /// Slope and β of a block of columns, for masks that are computed again.
    ///
    /// # Safety
    /// As [`load`].
    #[inline(always)]
    unsafe fn columns<V: Lanes<Element = T>, const N: usize>(self, at: usize, lanes: usize) -> [[V; N]; 2] {
        // SAFETY: the caller's contract.
        unsafe {
            match self.mask {
                Mask::Normalised(Affine { slope, b, .. }) => [load_columns(slope, at, lanes), load_columns(b, at, lanes)],
                Mask::Open | Mask::Outputs(_) => [[V::zero(); N]; 2],
            }
        }
    }

    /// The vector at a place, where the ReLU was on; `deviation` is x - mean.
    ///
    /// # Safety
    /// As [`load`].
    #[inline(always)]
    unsafe fn through<V: Lanes<Element = T>>(self, deviation: V, [slope, b]: [V; 2], at: usize, lanes: usize) -> V {
        // SAFETY: the caller's contract.
        unsafe {
            let dy = load::<V>(self.dy, at, lanes);
            match self.mask {
                Mask::Open => dy,
                Mask::Normalised(_) => derivative_times(Activation::Relu, deviation.mul_add(slope, b), dy),
                Mask::Outputs(y) => derivative_times(Activation::Relu, load::<V>(y, at, lanes), dy),
            }
        }
    }
}

/// Σ dy x̂ and Σ dy of some rows.
struct Sums<'a, T> {
    x: &'a [T],
    normal: &'a Normal<'a, T>,
    dy: Upstream<'a, T>,
    ds: Option<(&'a mut [T], Acc)>,
    sums: [&'a mut [T]; 2],
}

impl<T: Real> Kernel<T> for Sums<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) {
        let Sums { x, normal, dy, mut ds, sums: [dw, db] } = self;
        let c = dw.len();
        // SAFETY: as for Forward.
        unsafe {
            for_columns!(V, c, |at, lanes, N| {
                let mean: [V; N] = load_columns(normal.mean, at, lanes);
                let [slope, b] = dy.columns::<V, N>(at, lanes);
                let (mut by_w, mut by_b) = ([V::zero(); N], [V::zero(); N]);
                for row in (at..x.len()).step_by(c) {
                    for k in 0..N {
                        let here = row + k * V::LANES;
                        let deviation = load::<V>(x, here, lanes).sub(mean[k]);
                        let dy = dy.through(deviation, [slope[k], b[k]], here, lanes);
                        if let Some((ds, acc)) = &mut ds {
                            put(dy, ds, here, lanes, *acc);
                        }
                        by_w[k] = deviation.mul_add(dy, by_w[k]);
                        by_b[k] = by_b[k].add(dy);
                    }
                }
                let scale: [V; N] = load_columns(&normal.scale, at, lanes);
                for k in 0..N {
                    by_w[k] = by_w[k].mul(scale[k]);
                }
                store_columns(by_w, dw, at, lanes);
                store_columns(by_b, db, at, lanes);
            });
        }
    }
}

pub(super) fn batchnorm_backward_affine<T: Real>(
    isa: Isa,
    shape: &BatchNormShape,
    x: &[T],
    normal: &Normal<'_, T>,
    dy: Upstream<'_, T>,
    ds: Option<(&mut [T], Acc)>,
    gradients: [&mut [T]; 2],
) {
    let (c, size) = (shape.c, task(shape.c));
    let tasks = x.len().div_ceil(size);
    let ds: Vec<Option<(&mut [T], Acc)>> = match ds {
        None => (0..tasks).map(|_| None).collect(),
        Some((ds, acc)) => ds.chunks_mut(size).map(|ds| Some((ds, acc))).collect(),
    };
    let sum = |(task, ds): (usize, Option<(&mut [T], Acc)>)| {
        let start = task * size;
        let len = size.min(x.len() - start);
        let [mut dw, mut db] = [vec![T::ZERO; c], vec![T::ZERO; c]];
        run(isa, Sums { x: &x[start..][..len], normal, dy: dy.part(start, len), ds, sums: [&mut dw, &mut db] });
        [dw, db]
    };
    let parts: Vec<[Vec<T>; 2]> = ds.into_par_iter().enumerate().map(sum).collect();
    for (index, gradient) in gradients.into_iter().enumerate() {
        for (channel, gradient) in gradient.iter_mut().enumerate() {
            *gradient = T::from_f64(parts.iter().map(|part| part[index][channel].to_f64()).sum());
        }
    }
}

pub(super) fn batchnorm_backward_data<T: Real>(
    isa: Isa,
    x: &[T],
    line: Line<'_, T>,
    dy: Upstream<'_, T>,
    dx: &mut [T],
    acc: Acc,
) {
    struct Backward<'a, T>(&'a [T], Line<'a, T>, Upstream<'a, T>, &'a mut [T], Acc);
    impl<T: Real> Kernel<T> for Backward<'_, T> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes<Element = T>>(self) {
            let Backward(x, Line { mean, a, b, c: constant }, dy, dx, acc) = self;
            let c = a.len();
            // SAFETY: as for Forward.
            unsafe {
                for_columns!(V, c, |at, lanes, N| {
                    let [mean, a, b, constant]: [[V; N]; 4] = [
                        load_columns(mean, at, lanes),
                        load_columns(a, at, lanes),
                        load_columns(b, at, lanes),
                        load_columns(constant, at, lanes),
                    ];
                    let [slope, shift] = dy.columns::<V, N>(at, lanes);
                    for row in (at..x.len()).step_by(c) {
                        for k in 0..N {
                            let here = row + k * V::LANES;
                            let deviation = load::<V>(x, here, lanes).sub(mean[k]);
                            let dy = dy.through(deviation, [slope[k], shift[k]], here, lanes);
                            let value = dy.mul_add(a[k], deviation.mul_add(b[k], constant[k]));
                            put(value, dx, here, lanes, acc);
                        }
                    }
                });
            }
        }
    }
    let size = task(line.a.len());
    x.par_chunks(size).zip(dx.par_chunks_mut(size)).enumerate().for_each(|(task, (x, dx))| {
        run(isa, Backward(x, line, dy.part(task * size, x.len()), dx, acc));
    });
}

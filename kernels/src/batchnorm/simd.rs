use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use super::{BatchNormShape, Line, Normal};
use crate::simd::{Kernel, Lanes, for_lanes, load, run, store};
use crate::{Acc, Isa, Real};

/// Numbers of x that one task works on: they stay in the second-level cache between its two passes.
const TASK: usize = 1 << 15;

/// Numbers whose moments are taken at once: few enough for their rounding not to be seen after the merge in f64.
const GROUP: usize = 6 << 10;

/// Numbers of whole rows that one task works on.
fn task(c: usize) -> usize {
    (TASK / c).max(1) * c
}

/// Σ (x - from) of every channel into `sums`, and Σ (x - from)² into `squares`.
struct Deviations<'a, T> {
    x: &'a [T],
    from: &'a [T],
    sums: &'a mut [T],
    squares: &'a mut [T],
}

impl<T: Real> Kernel<T> for Deviations<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) {
        let Deviations { x, from, sums, squares } = self;
        // SAFETY: the caller enables V; from, sums and squares are one row long, and x is whole rows.
        unsafe {
            for_lanes!(V, from.len(), |at, lanes| {
                let from_here = load::<V>(from, at, lanes);
                let (mut sum, mut square) = (V::zero(), V::zero());
                for row in x.chunks_exact(from.len()) {
                    let deviation = load::<V>(row, at, lanes).sub(from_here);
                    sum = sum.add(deviation);
                    square = deviation.mul_add(deviation, square);
                }
                store::<V>(sum, sums, at, lanes);
                store::<V>(square, squares, at, lanes);
            });
        }
    }
}

/// Count, mean and sum of squared deviations from it, channel by channel.
struct Group {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Group {
    /// Of a few rows: the mean first, then deviations from it, corrected by what is left of their sum.
    fn of<T: Real>(isa: Isa, c: usize, x: &[T]) -> Group {
        let count = (x.len() / c) as f64;
        let (mut sums, mut squares) = (vec![T::ZERO; c], vec![T::ZERO; c]);
        run(isa, Deviations { x, from: &vec![T::ZERO; c], sums: &mut sums, squares: &mut squares });
        let mut mean: Vec<T> = sums.iter().map(|sum| T::from_f64(sum.to_f64() / count)).collect();
        run(isa, Deviations { x, from: &mean, sums: &mut sums, squares: &mut squares });
        let left: Vec<f64> = sums.iter().map(|sum| sum.to_f64() / count).collect();
        let squares = squares.iter().zip(&left).map(|(square, left)| square.to_f64() - count * left * left).collect();
        let mean = mean.drain(..).zip(&left).map(|(mean, left)| mean.to_f64() + left).collect();
        Group { count, mean, squares }
    }

    /// With the rows of another group.
    fn merge(&mut self, other: &Group) {
        let count = self.count + other.count;
        let share = other.count / count;
        for (channel, mean) in self.mean.iter_mut().enumerate() {
            let apart = other.mean[channel] - *mean;
            *mean += apart * share;
            self.squares[channel] += other.squares[channel] + apart * apart * self.count * share;
        }
        self.count = count;
    }
}

pub(super) fn batchnorm_moments<T: Real>(isa: Isa, shape: &BatchNormShape, x: &[T], mean: &mut [T], variance: &mut [T]) {
    let c = shape.c;
    let groups: Vec<Group> = x.par_chunks((GROUP / c).max(1) * c).map(|x| Group::of(isa, c, x)).collect();
    let mut all = Group { count: 0.0, mean: vec![0.0; c], squares: vec![0.0; c] };
    groups.iter().for_each(|group| all.merge(group));
    for (channel, (mean, variance)) in mean.iter_mut().zip(variance).enumerate() {
        *mean = T::from_f64(all.mean[channel]);
        *variance = T::from_f64(all.squares[channel] / all.count);
    }
}

/// `y = (x - mean) scale + b`, with γ in the scale.
pub(super) fn batchnorm_forward<T: Real>(isa: Isa, x: &[T], [mean, scale, b]: [&[T]; 3], y: &mut [T]) {
    struct Forward<'a, T>(&'a [T], [&'a [T]; 3], &'a mut [T]);
    impl<T: Real> Kernel<T> for Forward<'_, T> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes<Element = T>>(self) {
            let Forward(x, [mean, scale, b], y) = self;
            let c = b.len();
            // SAFETY: the caller enables V; the operator checked that all per-channel slices are c long, and x and y are whole
            // rows of one number.
            unsafe {
                for (x, y) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)) {
                    for_lanes!(V, c, |at, lanes| {
                        let deviation = load::<V>(x, at, lanes).sub(load::<V>(mean, at, lanes));
                        store::<V>(deviation.mul_add(load::<V>(scale, at, lanes), load::<V>(b, at, lanes)), y, at, lanes);
                    });
                }
            }
        }
    }
    let size = task(b.len());
    x.par_chunks(size).zip(y.par_chunks_mut(size)).for_each(|(x, y)| run(isa, Forward(x, [mean, scale, b], y)));
}

/// Σ dy x̂ and Σ dy of some rows.
struct Sums<'a, T> {
    x: &'a [T],
    normal: &'a Normal<'a, T>,
    dy: &'a [T],
    sums: [&'a mut [T]; 2],
}

impl<T: Real> Kernel<T> for Sums<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) {
        let Sums { x, normal, dy, sums: [dw, db] } = self;
        let c = dw.len();
        // SAFETY: as for Forward.
        unsafe {
            for_lanes!(V, c, |at, lanes| {
                let (mean, scale) = (load::<V>(normal.mean, at, lanes), load::<V>(&normal.scale, at, lanes));
                let (mut by_w, mut by_b) = (V::zero(), V::zero());
                for (x, dy) in x.chunks_exact(c).zip(dy.chunks_exact(c)) {
                    let dy = load::<V>(dy, at, lanes);
                    by_w = load::<V>(x, at, lanes).sub(mean).mul_add(dy, by_w);
                    by_b = by_b.add(dy);
                }
                store::<V>(by_w.mul(scale), dw, at, lanes);
                store::<V>(by_b, db, at, lanes);
            });
        }
    }
}

pub(super) fn batchnorm_backward_affine<T: Real>(
    isa: Isa,
    shape: &BatchNormShape,
    x: &[T],
    normal: &Normal<'_, T>,
    dy: &[T],
    gradients: [&mut [T]; 2],
) {
    let c = shape.c;
    let tasks: Vec<(&[T], &[T])> = x.chunks(task(c)).zip(dy.chunks(task(c))).collect();
    let sum = |&(x, dy): &(&[T], &[T])| {
        let [mut dw, mut db] = [vec![T::ZERO; c], vec![T::ZERO; c]];
        run(isa, Sums { x, normal, dy, sums: [&mut dw, &mut db] });
        [dw, db]
    };
    let parts: Vec<[Vec<T>; 2]> = tasks.par_iter().map(sum).collect();
    for (index, gradient) in gradients.into_iter().enumerate() {
        for (channel, gradient) in gradient.iter_mut().enumerate() {
            *gradient = T::from_f64(parts.iter().map(|part| part[index][channel].to_f64()).sum());
        }
    }
}

pub(super) fn batchnorm_backward_data<T: Real>(isa: Isa, x: &[T], line: Line<'_, T>, dy: &[T], dx: &mut [T], acc: Acc) {
    struct Backward<'a, T>(&'a [T], Line<'a, T>, &'a [T], &'a mut [T], Acc);
    impl<T: Real> Kernel<T> for Backward<'_, T> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes<Element = T>>(self) {
            let Backward(x, Line { mean, a, b, c }, dy, dx, acc) = self;
            let channels = a.len();
            // SAFETY: as for Forward.
            unsafe {
                for ((x, dy), dx) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)).zip(dx.chunks_exact_mut(channels)) {
                    for_lanes!(V, channels, |at, lanes| {
                        let deviation = load::<V>(x, at, lanes).sub(load::<V>(mean, at, lanes));
                        let value = deviation.mul_add(load::<V>(b, at, lanes), load::<V>(c, at, lanes));
                        let mut value = load::<V>(dy, at, lanes).mul_add(load::<V>(a, at, lanes), value);
                        if acc == Acc::Add {
                            value = value.add(load::<V>(dx, at, lanes));
                        }
                        store::<V>(value, dx, at, lanes);
                    });
                }
            }
        }
    }
    let size = task(line.a.len());
    let rows = x.par_chunks(size).zip(dy.par_chunks(size)).zip(dx.par_chunks_mut(size));
    rows.for_each(|((x, dy), dx)| run(isa, Backward(x, line, dy, dx, acc)));
}

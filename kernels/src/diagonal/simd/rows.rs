//! Passes over rows of x, four at a time: dot products, weighted sums, and the full-batch step made of them.

use crate::diagonal::DiagonalShape;
use crate::simd::{Kernel, Lanes, for_lanes, load, run, store};
use crate::steps::Rates;
use crate::{Acc, Isa, Real};

/// Rows that share one pass over β or over a gradient.
const ROWS: usize = 4;
/// Data that stay in the second-level cache beside everything else.
const BLOCK_BYTES: usize = 256 << 10;

/// `beta`: replicas x d elements of scratch.
pub(in crate::diagonal) fn diagonal_forward<T: Real>(
    isa: Isa,
    shape: &DiagonalShape,
    x: &[T],
    params: &[T],
    y: &mut [T],
    beta: &mut [T],
) {
    struct Forward<'a, T>(&'a DiagonalShape, &'a [T], &'a [T], &'a mut [T], &'a mut [T]);
    impl<T: Real> Kernel<T> for Forward<'_, T> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes<Element = T>>(self) {
            let Forward(shape, x, params, y, beta) = self;
            for (params, beta) in params.chunks_exact(2 * shape.d).zip(beta.chunks_exact_mut(shape.d)) {
                let (u, v) = params.split_at(shape.d);
                // SAFETY: the caller enables V; u, v and β have d elements.
                unsafe { multiply::<V>(u, v, beta) };
            }
            // Block by block, so that the rows come from the cache for every replica but the first.
            let block = (BLOCK_BYTES / size_of::<T>() / shape.stride).next_multiple_of(ROWS);
            for first in (0..shape.n).step_by(block) {
                for (beta, y) in beta.chunks_exact(shape.d).zip(y.chunks_exact_mut(shape.n)) {
                    let last = (first + block).min(shape.n);
                    for (group, y) in y[first..last].chunks_mut(ROWS).enumerate() {
                        let sample = |k| first + group * ROWS + k;
                        // SAFETY: the caller enables V; DiagonalShape::check saw n rows of x, and samples are below n.
                        y.copy_from_slice(&unsafe { dot_group::<V>(shape, x, sample, y.len(), beta) }[..y.len()]);
                    }
                }
            }
        }
    }
    run(isa, Forward(shape, x, params, y, beta));
}

#[expect(clippy::too_many_arguments, reason = "the operator's arguments, one scratch slice and the instruction set")]
pub(in crate::diagonal) fn diagonal_backward_weight<T: Real>(
    isa: Isa,
    shape: &DiagonalShape,
    x: &[T],
    params: &[T],
    dy: &[T],
    dparams: &mut [T],
    acc: Acc,
    dbeta: &mut [T],
) {
    struct Backward<'a, T>(&'a DiagonalShape, &'a [T], &'a [T], &'a [T], &'a mut [T], Acc, &'a mut [T]);
    impl<T: Real> Kernel<T> for Backward<'_, T> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes<Element = T>>(self) {
            let Backward(shape, x, params, dy, dparams, acc, dbeta) = self;
            dbeta.fill(T::ZERO);
            let (u, v) = params.split_at(shape.d);
            let (du, dv) = dparams.split_at_mut(shape.d);
            // SAFETY: the caller enables V; DiagonalShape::check saw n rows of x and 2d parameters, dy has n elements.
            unsafe {
                for (group, dy) in dy.chunks(ROWS).enumerate() {
                    accumulate_group::<V>(shape, x, |k| group * ROWS + k, dy, dbeta);
                }
                for (out, factor) in [(du, v), (dv, u)] {
                    match acc {
                        Acc::Set => multiply::<V>(dbeta, factor, out),
                        Acc::Add => multiply_add::<V>(dbeta, factor, out),
                    }
                }
            }
        }
    }
    run(isa, Backward(shape, x, params, dy, dparams, acc, dbeta));
}

/// `scratch`: 2d elements.
pub(in crate::diagonal) fn diagonal_gd<T: Real>(
    isa: Isa,
    shape: &DiagonalShape,
    x: &[T],
    y: &[T],
    lr: Rates<'_, T>,
    params: &mut [T],
    scratch: &mut [T],
) -> Option<usize> {
    struct Descent<'a, T>(&'a DiagonalShape, &'a [T], &'a [T], Rates<'a, T>, &'a mut [T], &'a mut [T]);
    impl<T: Real> Kernel<T> for Descent<'_, T> {
        type Output = Option<usize>;
        #[inline(always)]
        unsafe fn run<V: Lanes<Element = T>>(self) -> Option<usize> {
            let Descent(shape, x, y, lr, params, scratch) = self;
            // A loop and not `position`: its closure would be compiled without V's instruction set.
            for (step, lr) in lr.iter().enumerate() {
                // SAFETY: the caller enables V; the public function checked all lengths; indices are below n.
                if !unsafe { descend::<V>(shape, x, y, |k| k, shape.n, lr, params, scratch) } {
                    return Some(step);
                }
            }
            None
        }
    }
    run(isa, Descent(shape, x, y, lr, params, scratch))
}

/// One step on the samples `sample(0..count)`; false, with nothing changed, if a residual is not finite.
///
/// # Safety
/// V is enabled, the lengths fit the shape, every sample is below n and `scratch` has 2d elements.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the step's operands and one scratch slice")]
pub(super) unsafe fn descend<V: Lanes>(
    shape: &DiagonalShape,
    x: &[V::Element],
    y: &[V::Element],
    sample: impl Fn(usize) -> usize,
    count: usize,
    lr: V::Element,
    params: &mut [V::Element],
    scratch: &mut [V::Element],
) -> bool
where
    V::Element: Real,
{
    let zero = <V::Element as Real>::ZERO;
    let (beta, gradient) = scratch.split_at_mut(shape.d);
    let (u, v) = params.split_at_mut(shape.d);
    gradient.fill(zero);
    // SAFETY: the caller's contract.
    unsafe {
        multiply::<V>(u, v, beta);
        for first in (0..count).step_by(ROWS) {
            let rows = ROWS.min(count - first);
            let mut residuals = dot_group::<V>(shape, x, |k| sample(first + k), rows, beta);
            for (k, residual) in residuals[..rows].iter_mut().enumerate() {
                *residual -= y[sample(first + k)];
            }
            if !residuals[..rows].iter().all(|residual| residual.is_finite()) {
                return false;
            }
            accumulate_group::<V>(shape, x, |k| sample(first + k), &residuals[..rows], gradient);
        }
        let rate = V::splat(lr / V::Element::from_f64(count as f64));
        for_lanes!(V, shape.d, |at, lanes| {
            let step = rate.mul(load::<V>(gradient, at, lanes));
            let (old_u, old_v) = (load::<V>(u, at, lanes), load::<V>(v, at, lanes));
            store::<V>(step.mul_subtract_from(old_v, old_u), u, at, lanes);
            store::<V>(step.mul_subtract_from(old_u, old_v), v, at, lanes);
        });
    }
    true
}

/// x_sample·beta for up to [`ROWS`] samples.
///
/// # Safety
/// V is enabled, x holds the shape's rows, samples are below n, and `beta` has d elements.
#[inline(always)]
unsafe fn dot_group<V: Lanes>(
    shape: &DiagonalShape,
    x: &[V::Element],
    sample: impl Fn(usize) -> usize,
    rows: usize,
    beta: &[V::Element],
) -> [V::Element; ROWS]
where
    V::Element: Real,
{
    let mut sums = [<V::Element as Real>::ZERO; ROWS];
    // SAFETY: the caller's contract.
    unsafe {
        if rows == ROWS {
            sums = dot::<V, ROWS>(std::array::from_fn(|k| row(shape, x, sample(k))), beta);
        } else {
            for (k, sum) in sums[..rows].iter_mut().enumerate() {
                [*sum] = dot::<V, 1>([row(shape, x, sample(k))], beta);
            }
        }
    }
    sums
}

/// Each row's sum has the same order of additions whatever M is. Two sums per row, for the latency of their chain.
///
/// # Safety
/// V is enabled; every row has the length of `beta`.
#[inline(always)]
unsafe fn dot<V: Lanes, const M: usize>(rows: [&[V::Element]; M], beta: &[V::Element]) -> [V::Element; M]
where
    V::Element: Real,
{
    let whole = beta.len() - beta.len() % V::LANES;
    let mut dots = [<V::Element as Real>::ZERO; M];
    // SAFETY: the caller's contract; every vector starts below the length, and the last one is masked.
    unsafe {
        let mut sums = [[V::zero(); M]; 2];
        let mut at = 0;
        while at + 2 * V::LANES <= whole {
            for sums in &mut sums {
                add_products(sums, rows, beta, at, V::LANES);
                at += V::LANES;
            }
        }
        if at < whole {
            add_products(&mut sums[0], rows, beta, at, V::LANES);
        }
        if whole < beta.len() {
            add_products(&mut sums[1], rows, beta, whole, beta.len() - whole);
        }
        for m in 0..M {
            dots[m] = sums[0][m].add(sums[1][m]).sum();
        }
    }
    dots
}

/// One vector of [`dot`].
///
/// # Safety
/// As there; `at + lanes` is within the rows.
#[inline(always)]
unsafe fn add_products<V: Lanes, const M: usize>(
    sums: &mut [V; M],
    rows: [&[V::Element]; M],
    beta: &[V::Element],
    at: usize,
    lanes: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let factor = load::<V>(beta, at, lanes);
        for m in 0..M {
            sums[m] = load::<V>(rows[m], at, lanes).mul_add(factor, sums[m]);
        }
    }
}

/// `into += Σ_k coefficients[k] x_sample(k)` for up to [`ROWS`] samples.
///
/// # Safety
/// As [`dot_group`].
#[inline(always)]
unsafe fn accumulate_group<V: Lanes>(
    shape: &DiagonalShape,
    x: &[V::Element],
    sample: impl Fn(usize) -> usize,
    coefficients: &[V::Element],
    into: &mut [V::Element],
) where
    V::Element: Real,
{
    // SAFETY: the caller's contract.
    unsafe {
        if let Ok(coefficients) = <[V::Element; ROWS]>::try_from(coefficients) {
            accumulate::<V, ROWS>(std::array::from_fn(|k| row(shape, x, sample(k))), coefficients, into);
        } else {
            for (k, &coefficient) in coefficients.iter().enumerate() {
                accumulate::<V, 1>([row(shape, x, sample(k))], [coefficient], into);
            }
        }
    }
}

/// # Safety
/// V is enabled; every row has the length of `into`.
#[inline(always)]
unsafe fn accumulate<V: Lanes, const M: usize>(rows: [&[V::Element]; M], coefficients: [V::Element; M], into: &mut [V::Element]) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut factors = [V::zero(); M];
        for m in 0..M {
            factors[m] = V::splat(coefficients[m]);
        }
        for_lanes!(V, into.len(), |at, lanes| {
            let mut sum = load::<V>(into, at, lanes);
            for m in 0..M {
                sum = load::<V>(rows[m], at, lanes).mul_add(factors[m], sum);
            }
            store::<V>(sum, into, at, lanes);
        });
    }
}

/// `out = a∘b`.
///
/// # Safety
/// V is enabled; the lengths are equal.
#[inline(always)]
unsafe fn multiply<V: Lanes>(a: &[V::Element], b: &[V::Element], out: &mut [V::Element]) {
    // SAFETY: the caller's contract.
    unsafe {
        for_lanes!(V, a.len(), |at, lanes| store::<V>(load::<V>(a, at, lanes).mul(load::<V>(b, at, lanes)), out, at, lanes));
    }
}

/// `out += a∘b`.
///
/// # Safety
/// As [`multiply`].
#[inline(always)]
unsafe fn multiply_add<V: Lanes>(a: &[V::Element], b: &[V::Element], out: &mut [V::Element]) {
    // SAFETY: the caller's contract.
    unsafe {
        for_lanes!(V, a.len(), |at, lanes| {
            let sum = load::<V>(a, at, lanes).mul_add(load::<V>(b, at, lanes), load::<V>(out, at, lanes));
            store::<V>(sum, out, at, lanes);
        });
    }
}

fn row<'a, T>(shape: &DiagonalShape, x: &'a [T], sample: usize) -> &'a [T] {
    &x[sample * shape.stride..][..shape.d]
}

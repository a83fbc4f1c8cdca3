//! The pass over a batch: residuals of a block of rows, then the sum of the rows times their residuals.

use crate::Real;
use crate::deep_linear::Task;
use crate::simd::Lanes;

/// Rows that are read twice in a row, so that they come from the first-level cache the second time.
const BLOCK: usize = 64;
/// The most lanes of any vector. Predictions are made for as many rows at a time as a vector has lanes.
const MOST: usize = 16;
/// Independent sums of a gradient; row k of a block goes to sum k mod 4.
const SUMS: usize = 4;

/// `g = factor · Σ_k (p·x_k - y_k) x_k` over `count` samples, the first ones unless they are given; false, with g meaningless, if a residual is not
/// finite.
///
/// # Safety
/// V is enabled, `samples` has `count` elements, all samples are below n, and p and g have as many elements as a multiple of LANES that holds d, zero from d on.
#[inline(always)]
pub(super) unsafe fn gradient<V: Lanes>(
    task: &Task<'_, V::Element>,
    samples: Option<&[u32]>,
    count: usize,
    factor: V::Element,
    p: *const V::Element,
    g: *mut V::Element,
) -> bool
where
    V::Element: Real,
{
    let d = task.shape.d();
    // SAFETY: the caller's contract; the public function checked that x holds n rows and y n elements.
    unsafe {
        for at in (0..d).step_by(V::LANES) {
            V::zero().store(g.add(at));
        }
        let one = V::splat(V::Element::ONE);
        // Stays zero as long as every residual, which is added times zero, is finite.
        let mut verdict = V::zero();
        for first in (0..count).step_by(BLOCK) {
            let present = BLOCK.min(count - first);
            let mut rows = [task.x.as_ptr(); BLOCK];
            // Targets at first.
            let mut residuals = [V::Element::ZERO; BLOCK];
            for k in 0..present {
                let sample = samples.map_or(first + k, |samples| *samples.get_unchecked(first + k) as usize);
                rows[k] = task.x.as_ptr().add(sample * task.shape.stride);
                residuals[k] = *task.y.get_unchecked(sample);
            }
            // The last vector of predictions is filled up with a row that is there.
            for k in present..present.next_multiple_of(V::LANES) {
                (rows[k], residuals[k]) = (rows[0], residuals[0]);
            }
            for from in (0..present).step_by(V::LANES) {
                let residuals = residuals.as_mut_ptr().add(from);
                let residual = V::load(residuals).mul_subtract_from(one, predictions::<V>(rows.as_ptr().add(from), d, p));
                verdict = residual.mul_add(V::zero(), verdict);
                residual.store(residuals);
            }
            let (rows, residuals) = (&rows[..present], &residuals[..present]);
            for at in (0..d).step_by(V::LANES) {
                let added = if d - at < V::LANES {
                    weighted::<V, false>(rows, at, d - at, residuals)
                } else {
                    weighted::<V, true>(rows, at, V::LANES, residuals)
                };
                V::load(g.add(at)).add(added).store(g.add(at));
            }
        }
        let factor = V::splat(factor);
        for at in (0..d).step_by(V::LANES) {
            V::load(g.add(at)).mul(factor).store(g.add(at));
        }
        verdict.sum().is_finite()
    }
}

/// The dot products of LANES rows with p, one a lane.
///
/// # Safety
/// V is enabled; rows have d elements, p as in [`gradient`].
#[inline(always)]
unsafe fn predictions<V: Lanes>(rows: *const *const V::Element, d: usize, p: *const V::Element) -> V {
    // SAFETY: the caller's contract.
    unsafe {
        let mut sums = [V::zero(); MOST];
        for at in (0..d).step_by(V::LANES) {
            let p = V::load(p.add(at));
            if d - at < V::LANES {
                multiply_add::<V, false>(rows, at, d - at, p, &mut sums);
            } else {
                multiply_add::<V, true>(rows, at, V::LANES, p, &mut sums);
            }
        }
        if V::LANES > 8 {
            sums = halved::<V, 8>(&sums);
        }
        if V::LANES > 4 {
            sums = halved::<V, 4>(&sums);
        }
        halved::<V, 1>(&halved::<V, 2>(&sums))[0]
    }
}

/// One vector of every row, times p, onto the sums.
///
/// # Safety
/// As [`predictions`]; the rows have `at + lanes` elements.
#[inline(always)]
unsafe fn multiply_add<V: Lanes, const WHOLE: bool>(
    rows: *const *const V::Element,
    at: usize,
    lanes: usize,
    p: V,
    sums: &mut [V; MOST],
) {
    for (k, sum) in sums[..V::LANES].iter_mut().enumerate() {
        // SAFETY: the caller's contract.
        unsafe { *sum = load::<V, WHOLE>((*rows.add(k)).add(at), lanes).mul_add(p, *sum) }
    }
}

/// `Σ_k coefficients[k] · row_k` for one vector of the rows.
///
/// # Safety
/// V is enabled; the rows have `at + lanes` elements, and there are as many coefficients.
#[inline(always)]
unsafe fn weighted<V: Lanes, const WHOLE: bool>(
    rows: &[*const V::Element],
    at: usize,
    lanes: usize,
    coefficients: &[V::Element],
) -> V {
    // SAFETY: the caller's contract.
    unsafe {
        let mut sums = [V::zero(); SUMS];
        for (rows, coefficients) in rows.chunks(SUMS).zip(coefficients.chunks(SUMS)) {
            if rows.len() == SUMS {
                for m in 0..SUMS {
                    sums[m] = load::<V, WHOLE>(rows[m].add(at), lanes).mul_add(V::splat(coefficients[m]), sums[m]);
                }
            } else {
                for m in 0..rows.len() {
                    sums[m] = load::<V, WHOLE>(rows[m].add(at), lanes).mul_add(V::splat(coefficients[m]), sums[m]);
                }
            }
        }
        let [a, b, c, d] = sums;
        a.add(b).add(c.add(d))
    }
}

/// # Safety
/// V is enabled; `lanes` elements are there, LANES of them if WHOLE.
#[inline(always)]
unsafe fn load<V: Lanes, const WHOLE: bool>(from: *const V::Element, lanes: usize) -> V {
    // SAFETY: the caller's contract.
    unsafe { if WHOLE { V::load(from) } else { V::load_first(from, lanes) } }
}

/// One level of the tree that sums 2N vectors over their lanes.
///
/// # Safety
/// V is enabled.
#[inline(always)]
unsafe fn halved<V: Lanes, const N: usize>(sums: &[V; MOST]) -> [V; MOST] {
    let mut half = *sums;
    for k in 0..N {
        // SAFETY: the caller's contract.
        unsafe { half[k] = sums[2 * k].add_neighbours(sums[2 * k + 1]) }
    }
    half
}

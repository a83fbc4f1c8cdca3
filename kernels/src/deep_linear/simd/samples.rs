//! The pass over a batch: residuals and their weighted sum of rows.

use crate::Real;
use crate::deep_linear::Data;
use crate::simd::Lanes;

/// The most lanes of any vector. Rows are taken as many at a time as a vector has lanes: their dot products fill one.
const MOST: usize = 16;
/// Independent sums of a gradient; row k of a group goes to sum k mod 4.
const SUMS: usize = 4;

/// `g = factor · Σ_k (p·x_k - y_k) x_k` over the samples `sample(0..count)`; false, with g meaningless, if a residual is not
/// finite.
///
/// A last group with too few rows repeats one of its own, with a residual of zero.
///
/// # Safety
/// V is enabled, samples are below n, and p and g have as many elements as a multiple of LANES that holds d, zero from d on.
#[inline(always)]
pub(super) unsafe fn gradient<V: Lanes>(
    data: &Data<'_, V::Element>,
    sample: impl Fn(usize) -> usize,
    count: usize,
    factor: V::Element,
    p: *const V::Element,
    g: *mut V::Element,
) -> bool
where
    V::Element: Real,
{
    let d = data.shape.d();
    // SAFETY: the caller's contract; the public function checked that x holds n rows and y n elements.
    unsafe {
        for at in (0..d).step_by(V::LANES) {
            V::zero().store(g.add(at));
        }
        let one = V::splat(V::Element::ONE);
        // Stays zero as long as everything that is added times zero is finite.
        let mut verdict = V::zero();
        for first in (0..count).step_by(V::LANES) {
            let present = V::LANES.min(count - first);
            let mut rows = [data.x.as_ptr(); MOST];
            let mut numbers = [V::Element::ZERO; MOST];
            for k in 0..V::LANES {
                let sample = sample(first + if k < present { k } else { 0 });
                rows[k] = data.x.as_ptr().add(sample * data.shape.stride);
                numbers[k] = *data.y.get_unchecked(sample);
            }
            let mut residuals = V::load(numbers.as_ptr()).mul_subtract_from(one, predictions::<V>(&rows, d, p));
            verdict = residuals.mul_add(V::zero(), verdict);
            residuals.store(numbers.as_mut_ptr());
            if present < V::LANES {
                residuals = V::load_first(numbers.as_ptr(), present);
                residuals.store(numbers.as_mut_ptr());
            }
            for at in (0..d).step_by(V::LANES) {
                let added = if d - at < V::LANES {
                    weighted::<V, false>(&rows, at, d - at, &numbers)
                } else {
                    weighted::<V, true>(&rows, at, V::LANES, &numbers)
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
unsafe fn predictions<V: Lanes>(rows: &[*const V::Element; MOST], d: usize, p: *const V::Element) -> V {
    let mut sums: [V; MOST];
    // SAFETY: the caller's contract.
    unsafe {
        sums = [V::zero(); MOST];
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
#[inline(always)]
unsafe fn multiply_add<V: Lanes, const WHOLE: bool>(
    rows: &[*const V::Element; MOST],
    at: usize,
    lanes: usize,
    p: V,
    sums: &mut [V; MOST],
) {
    for k in 0..V::LANES {
        // SAFETY: the caller's contract.
        unsafe { sums[k] = load::<V, WHOLE>(rows[k].add(at), lanes).mul_add(p, sums[k]) }
    }
}

/// `Σ_k coefficients[k] · row_k` for one vector of LANES rows.
#[inline(always)]
unsafe fn weighted<V: Lanes, const WHOLE: bool>(
    rows: &[*const V::Element; MOST],
    at: usize,
    lanes: usize,
    coefficients: &[V::Element; MOST],
) -> V {
    // SAFETY: the caller's contract.
    unsafe {
        let mut sums = [V::zero(); SUMS];
        for k in 0..V::LANES {
            sums[k % SUMS] = load::<V, WHOLE>(rows[k].add(at), lanes).mul_add(V::splat(coefficients[k]), sums[k % SUMS]);
        }
        let [a, b, c, d] = sums;
        a.add(b).add(c.add(d))
    }
}

#[inline(always)]
unsafe fn load<V: Lanes, const WHOLE: bool>(from: *const V::Element, lanes: usize) -> V {
    // SAFETY: the caller's contract.
    unsafe { if WHOLE { V::load(from) } else { V::load_first(from, lanes) } }
}

/// One level of the tree that sums 2N vectors over their lanes.
#[inline(always)]
unsafe fn halved<V: Lanes, const N: usize>(sums: &[V; MOST]) -> [V; MOST] {
    let mut half = *sums;
    for k in 0..N {
        // SAFETY: the caller's contract.
        unsafe { half[k] = sums[2 * k].add_neighbours(sums[2 * k + 1]) }
    }
    half
}

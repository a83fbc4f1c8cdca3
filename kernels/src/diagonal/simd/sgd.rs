//! Fused batch-1 SGD. A step is one pass: it applies the update of sample t and, while u and v are at hand, sums the
//! prediction for sample t+1, so that each vector of parameters is loaded and stored at most once per step.
//!
//! A chain of latencies runs through the steps (sum, residual, update, next sum). Alone, a replica keeps as many pairs of
//! vectors (u, v) in registers as fit; in a group, replicas take turns, so that one's sum can overlap with another's update.
//! Both add in the same order.

use super::rows::descend;
use crate::diagonal::DiagonalShape;
use crate::simd::{Kernel, Lanes, run};
use crate::steps::{HostSteps, Replica, live};
use crate::{Isa, Real};

/// Independent sums of a prediction; vector k of a row goes to sum k mod 4.
const SUMS: usize = 4;
/// Replicas that take turns on one core.
const GROUP: usize = 2;

/// Elements of scratch that [`diagonal_sgd`] needs.
pub(in crate::diagonal) fn sgd_scratch<T: Real>(d: usize) -> usize {
    2 * GROUP * DiagonalShape::aligned_stride::<T>(d)
}

/// `scratch`: [`sgd_scratch`] elements on a 64-byte boundary.
#[expect(clippy::too_many_arguments, reason = "the operator's arguments, one scratch slice and the instruction set")]
pub(in crate::diagonal) fn diagonal_sgd<T: Real>(
    isa: Isa,
    shape: &DiagonalShape,
    x: &[T],
    y: &[T],
    steps: HostSteps<'_, T>,
    params: &mut [T],
    diverged: &mut [Option<usize>],
    scratch: &mut [T],
) {
    let mut live = live(2 * shape.d, params, diverged, |replica, replicas| steps.of(replica, replicas));
    if steps.batch > 1 {
        for replica in &mut live {
            run(isa, Batches { shape, x, y, batch: steps.batch, replica, scratch: &mut scratch[..2 * shape.d] });
        }
    } else if !steps.order.is_empty() {
        for group in live.chunks_mut(GROUP) {
            run(isa, Singles { shape, x, y, group, scratch });
        }
    }
}

struct Batches<'a, 'b, T> {
    shape: &'a DiagonalShape,
    x: &'a [T],
    y: &'a [T],
    batch: usize,
    replica: &'a mut Replica<'b, T>,
    scratch: &'a mut [T],
}

impl<T: Real> Kernel<T> for Batches<'_, '_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) {
        let Batches { shape, x, y, batch, replica, scratch } = self;
        for (step, (batch, lr)) in replica.order.chunks_exact(batch).zip(replica.lr.iter()).enumerate() {
            // SAFETY: the caller enables V; the public function checked all lengths and that indices are below n.
            let finite = unsafe { descend::<V>(shape, x, y, |k| batch[k] as usize, batch.len(), lr, replica.params, scratch) };
            if !finite {
                *replica.diverged = Some(step);
                return;
            }
        }
    }
}

/// One replica, or [`GROUP`] of them in turn; at least one step.
struct Singles<'a, 'b, T> {
    shape: &'a DiagonalShape,
    x: &'a [T],
    y: &'a [T],
    group: &'a mut [Replica<'b, T>],
    scratch: &'a mut [T],
}

impl<T: Real> Kernel<T> for Singles<'_, '_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) {
        let Singles { shape, x, y, group, scratch } = self;
        let vectors = shape.d / V::LANES;
        // u and v each from a 64-byte boundary on: vectors that straddle cache lines would cost more than these copies.
        let half = DiagonalShape::aligned_stride::<T>(shape.d);
        for (replica, copy) in group.iter().zip(scratch.chunks_exact_mut(2 * half)) {
            let (u, v) = replica.params.split_at(shape.d);
            copy[..shape.d].copy_from_slice(u);
            copy[half..half + shape.d].copy_from_slice(v);
        }
        // SAFETY: the caller enables V; `resident` is at most the number of whole vectors of a row; `scratch` has room for the
        // group's parameters.
        unsafe {
            match group {
                [alone] => {
                    // A 32-register set has room for more pairs than a 16-register one.
                    let resident = vectors.min(if V::REGISTERS == 32 { 12 } else { 4 }) / SUMS * SUMS;
                    match resident {
                        12 => train::<V, 1, 12>(shape, x, y, [alone], scratch),
                        8 => train::<V, 1, 8>(shape, x, y, [alone], scratch),
                        4 => train::<V, 1, 4>(shape, x, y, [alone], scratch),
                        _ => train::<V, 1, 0>(shape, x, y, [alone], scratch),
                    }
                }
                [first, second] => train::<V, GROUP, 0>(shape, x, y, [first, second], scratch),
                _ => unreachable!("groups have one or two replicas"),
            }
        }
        for (replica, copy) in group.iter_mut().zip(scratch.chunks_exact(2 * half)) {
            let (u, v) = replica.params.split_at_mut(shape.d);
            u.copy_from_slice(&copy[..shape.d]);
            v.copy_from_slice(&copy[half..half + shape.d]);
        }
    }
}

/// Trains G replicas in turn. The first K vectors of u and v, and the last one if it is not whole, stay in registers.
///
/// # Safety
/// V is enabled, `K·LANES <= d`, there are steps, `scratch` holds u and v of every replica at aligned places, and the public
/// function checked all lengths and indices.
#[inline(always)]
unsafe fn train<V: Lanes, const G: usize, const K: usize>(
    shape: &DiagonalShape,
    x: &[V::Element],
    y: &[V::Element],
    group: [&mut Replica<'_, V::Element>; G],
    scratch: &mut [V::Element],
) where
    V::Element: Real,
{
    // SAFETY: every row of x and every copy of u and v hold d elements; the rest is the caller's contract.
    unsafe {
        let row = |sample: u32| x.as_ptr().wrapping_add(sample as usize * shape.stride);
        let half = DiagonalShape::aligned_stride::<V::Element>(shape.d);
        let copies = scratch.as_mut_ptr();
        let mut parameters: [Parameters<V, K>; G] =
            std::array::from_fn(|g| Parameters::load(copies.wrapping_add(2 * g * half), half, shape.d));
        let mut current = [x.as_ptr(); G];
        let mut sums = [[V::zero(); SUMS]; G];
        for g in 0..G {
            current[g] = row(group[g].order[0]);
            sums[g] = parameters[g].pass::<false>(V::zero(), current[g], current[g]);
        }
        let mut diverged = [None; G];
        for t in 0..group[0].order.len() {
            for g in 0..G {
                if G > 1 && diverged[g].is_some() {
                    continue;
                }
                let order = group[g].order;
                let [a, b, c, d] = sums[g];
                let residual = a.add(b).add(c.add(d)).sum() - *y.get_unchecked(*order.get_unchecked(t) as usize);
                if !residual.is_finite() {
                    diverged[g] = Some(t);
                    continue;
                }
                let next = row(*order.get_unchecked((t + 1).min(order.len() - 1)));
                let rate = *group[g].lr.place(t) * residual;
                sums[g] = parameters[g].pass::<true>(V::splat(rate), current[g], next);
                current[g] = next;
            }
            if G == 1 && diverged[0].is_some() {
                break;
            }
        }
        for g in 0..G {
            *group[g].diverged = diverged[g];
            parameters[g].store();
        }
    }
}

/// u and v of one replica: K vectors of each in registers, the rest in memory, the last partial one in registers again.
struct Parameters<V: Lanes, const K: usize> {
    u: *mut V::Element,
    v: *mut V::Element,
    d: usize,
    resident: [[V; 2]; K],
    tail: [V; 2],
}

impl<V: Lanes, const K: usize> Parameters<V, K> {
    /// # Safety
    /// V is enabled, `u` and `v = u + half` point to d elements each, and `K·LANES <= d`.
    #[inline(always)]
    unsafe fn load(u: *mut V::Element, half: usize, d: usize) -> Self {
        let v = u.wrapping_add(half);
        let (whole, lanes) = (d - d % V::LANES, d % V::LANES);
        // SAFETY: the caller's contract; K·LANES and whole + lanes are at most d.
        unsafe {
            let mut resident = [[V::zero(); 2]; K];
            for (k, pair) in resident.iter_mut().enumerate() {
                let at = k * V::LANES;
                *pair = [V::load(u.wrapping_add(at)), V::load(v.wrapping_add(at))];
            }
            let tail = [V::load_first(u.wrapping_add(whole), lanes), V::load_first(v.wrapping_add(whole), lanes)];
            Parameters { u, v, d, resident, tail }
        }
    }

    /// # Safety
    /// As [`Parameters::load`].
    #[inline(always)]
    unsafe fn store(&self) {
        let (whole, lanes) = (self.d - self.d % V::LANES, self.d % V::LANES);
        // SAFETY: the same places that `load` read.
        unsafe {
            for (k, [u, v]) in self.resident.iter().enumerate() {
                u.store(self.u.wrapping_add(k * V::LANES));
                v.store(self.v.wrapping_add(k * V::LANES));
            }
            self.tail[0].store_first(self.u.wrapping_add(whole), lanes);
            self.tail[1].store_first(self.v.wrapping_add(whole), lanes);
        }
    }

    /// If UPDATE, `u -= rate·x∘v` and `v -= rate·x∘u`; then the partial sums of `next·(u∘v)`.
    ///
    /// # Safety
    /// V is enabled; `x` and `next` point to d elements.
    #[inline(always)]
    unsafe fn pass<const UPDATE: bool>(&mut self, rate: V, x: *const V::Element, next: *const V::Element) -> [V; SUMS] {
        let whole = self.d - self.d % V::LANES;
        // SAFETY: the caller's contract; every vector starts below `whole`, and the last one is masked.
        unsafe {
            let mut sums = [V::zero(); SUMS];
            for (k, pair) in self.resident.iter_mut().enumerate() {
                let at = k * V::LANES;
                *pair = updated::<V, UPDATE>(*pair, rate, V::load(x.wrapping_add(at)));
                sums[k % SUMS] = V::load(next.wrapping_add(at)).mul_add(pair[0].mul(pair[1]), sums[k % SUMS]);
            }
            let mut at = K * V::LANES;
            while at + SUMS * V::LANES <= whole {
                for sum in &mut sums {
                    *sum = self.in_memory::<UPDATE>(at, rate, x, next, *sum);
                    at += V::LANES;
                }
            }
            for sum in &mut sums {
                if at < whole {
                    *sum = self.in_memory::<UPDATE>(at, rate, x, next, *sum);
                    at += V::LANES;
                }
            }
            if whole < self.d {
                let lanes = self.d - whole;
                self.tail = updated::<V, UPDATE>(self.tail, rate, V::load_first(x.wrapping_add(whole), lanes));
                let next = V::load_first(next.wrapping_add(whole), lanes);
                sums[SUMS - 1] = next.mul_add(self.tail[0].mul(self.tail[1]), sums[SUMS - 1]);
            }
            sums
        }
    }

    /// One vector of [`Parameters::pass`] that lives in memory.
    ///
    /// # Safety
    /// As there; `at + LANES <= d`.
    #[inline(always)]
    unsafe fn in_memory<const UPDATE: bool>(
        &self,
        at: usize,
        rate: V,
        x: *const V::Element,
        next: *const V::Element,
        sum: V,
    ) -> V {
        // SAFETY: the caller's contract.
        unsafe {
            let (u, v) = (self.u.wrapping_add(at), self.v.wrapping_add(at));
            let pair = updated::<V, UPDATE>([V::load(u), V::load(v)], rate, V::load(x.wrapping_add(at)));
            if UPDATE {
                pair[0].store(u);
                pair[1].store(v);
            }
            V::load(next.wrapping_add(at)).mul_add(pair[0].mul(pair[1]), sum)
        }
    }
}

/// The pair (u, v) after a step, or as it is.
///
/// # Safety
/// V is enabled.
#[inline(always)]
unsafe fn updated<V: Lanes, const UPDATE: bool>([u, v]: [V; 2], rate: V, x: V) -> [V; 2] {
    if !UPDATE {
        return [u, v];
    }
    // SAFETY: the caller's contract.
    unsafe {
        let step = rate.mul(x);
        [step.mul_subtract_from(v, u), step.mul_subtract_from(u, v)]
    }
}

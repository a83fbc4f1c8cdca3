//! AVX2 and AVX-512 variants, written once over [`Lanes`](crate::simd::Lanes).
//!
//! A step's chain of latencies (forward, residual, update, next forward) is much longer than its arithmetic. Three things
//! shorten it: the update of a weight waits until the next step reads that weight, so that each is loaded and stored once
//! a step; `∇h` needs no residual, which enters only as a factor of the update; and replicas take turns, so that one's
//! chain overlaps with another's.
#![expect(clippy::needless_range_loop, reason = "g, k and i count through several arrays in step")]

mod deep;
mod shallow;

use crate::mlp::{Bias, Hidden, Replica, Task};
use crate::simd::{Kernel, Lanes, run};
use crate::{Context, Isa, Real};

pub(in crate::mlp) fn mlp_sgd<T: Real>(cx: &Context, isa: Isa, task: &Task<'_, T>, mut live: Vec<Replica<'_, T>>) {
    for group in live.chunks_mut(run(isa, TurnsOf(task))) {
        train(cx, isa, task, group.iter_mut().collect(), 0);
    }
}

/// Trains a group from step `from` on. When some of it diverge, the others go on from that step without them.
fn train<T: Real>(cx: &Context, isa: Isa, task: &Task<'_, T>, mut group: Vec<&mut Replica<'_, T>>, mut from: usize) {
    while from < task.lr.len() && !group.is_empty() {
        if group.len() == 3 {
            train(cx, isa, task, group.split_off(2), from);
        }
        from = run(isa, Group { cx, task, group: &mut group, from });
        group.retain(|replica| replica.diverged.is_none());
    }
}

/// How many replicas take turns on one core: as many as the registers and the first-level cache have room for.
struct TurnsOf<'a, T>(&'a Task<'a, T>);

impl<T: Real> Kernel<T> for TurnsOf<'_, T> {
    type Output = usize;
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) -> usize {
        let shape = &self.0.shape;
        match shape.widths {
            [1 | 2, _, 1] => shallow::TURNS,
            _ => deep::turns::<V>(shape),
        }
    }
}

/// Trains one, two or four replicas from a step on, until the end or the first divergence; returns the step it stopped at.
struct Group<'a, 'b, 'c, T> {
    cx: &'a Context,
    task: &'a Task<'a, T>,
    group: &'a mut [&'b mut Replica<'c, T>],
    from: usize,
}

impl<T: Real> Kernel<T> for Group<'_, '_, '_, T> {
    type Output = usize;
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) -> usize {
        let Group { cx, task, group, from } = self;
        let regularised = task.loss.clip.is_some() || task.loss.weight_decay != T::ZERO;
        // SAFETY: the caller enables V, and the public function checked all lengths and indices.
        unsafe { if regularised { choose::<V, true>(cx, task, group, from) } else { choose::<V, false>(cx, task, group, from) } }
    }
}

/// One hidden layer on one or two inputs is a kernel of its own.
///
/// # Safety
/// V is enabled, and the public function checked all lengths and indices.
#[inline(always)]
unsafe fn choose<V: Lanes, const REGULARISED: bool>(
    cx: &Context,
    task: &Task<'_, V::Element>,
    group: &mut [&mut Replica<'_, V::Element>],
    from: usize,
) -> usize
where
    V::Element: Real,
{
    // SAFETY: the caller's contract.
    unsafe {
        match (task.shape.widths, task.shape.bias) {
            ([1, _, 1], Bias::None) => shallow::train::<V, 1, false, REGULARISED>(cx, task, group, from),
            ([1, _, 1], _) => shallow::train::<V, 1, true, REGULARISED>(cx, task, group, from),
            ([2, _, 1], Bias::None) => shallow::train::<V, 2, false, REGULARISED>(cx, task, group, from),
            ([2, _, 1], _) => shallow::train::<V, 2, true, REGULARISED>(cx, task, group, from),
            _ => deep::train::<V, REGULARISED>(cx, task, group, from),
        }
    }
}

/// What relu takes the larger of, and what an activation must exceed to have a derivative: minus infinity makes it the identity.
fn floor<T: Real>(activation: Hidden) -> T {
    match activation {
        Hidden::Identity => T::from_f64(f64::NEG_INFINITY),
        Hidden::Relu => T::ZERO,
    }
}

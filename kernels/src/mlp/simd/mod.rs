//! AVX2 and AVX-512 variants, written once over [`Lanes`](crate::simd::Lanes).
//!
//! A step's chain of latencies (forward, residual, update, next forward) is much longer than its arithmetic. Three things
//! shorten it: the update of a weight waits until the next step reads that weight, so that each is loaded and stored once
//! a step; `∇h` needs no residual, which enters only as a factor of the update; and replicas take turns, so that one's
//! chain overlaps with another's.
#![expect(clippy::needless_range_loop, reason = "g, k and i count through several arrays in step")]

mod deep;
mod shallow;

use crate::mlp::{Bias, Hidden, Task};
use crate::simd::{Kernel, Lanes, run};
use crate::steps::Replica;
use crate::{Context, Isa, Real};

crate::simd::compiled! {
    /// The fast variants for one number type.
    pub trait MlpSimd {
        fn mlp_sgd(cx: &Context, isa: Isa, task: &Task<'_, Self>, live: Vec<Replica<'_, Self>>);
    }
}

fn mlp_sgd<T: Real>(cx: &Context, isa: Isa, task: &Task<'_, T>, mut live: Vec<Replica<'_, T>>) {
    // As many replicas take turns on one core as the registers and the first-level cache have room for.
    let turns = match task.shape.widths {
        [1 | 2, _, 1] => shallow::TURNS,
        _ => deep::turns(&task.shape, run(isa, Width::<T>::default())),
    };
    for group in live.chunks_mut(turns) {
        train(cx, isa, task, group.iter_mut().collect(), 0);
    }
}

/// Trains a group from step `from` on. When some of it diverge, the others go on from that step without them.
fn train<T: Real>(cx: &Context, isa: Isa, task: &Task<'_, T>, mut live: Vec<&mut Replica<'_, T>>, mut from: usize) {
    let regularised = task.rule.clip.is_some() || task.rule.weight_decay != T::ZERO;
    while live.first().is_some_and(|replica| from < replica.lr.len()) {
        if live.len() == 3 {
            train(cx, isa, task, live.split_off(2), from);
        }
        let descend = if regularised { group::<T, true> } else { group::<T, false> };
        from = descend(cx, isa, task, &mut live, from);
        live.retain(|replica| replica.diverged.is_none());
    }
}

/// Trains one, two or four replicas from a step on, until the end or the first divergence; returns the step it stopped at. One
/// hidden layer on one or two inputs is a kernel of its own.
fn group<T: Real, const REGULARISED: bool>(
    cx: &Context,
    isa: Isa,
    task: &Task<'_, T>,
    live: &mut [&mut Replica<'_, T>],
    from: usize,
) -> usize {
    match (task.shape.widths, task.shape.bias) {
        ([1, _, 1], Bias::None) => shallow::train::<T, 1, false, REGULARISED>(cx, isa, task, live, from),
        ([1, _, 1], _) => shallow::train::<T, 1, true, REGULARISED>(cx, isa, task, live, from),
        ([2, _, 1], Bias::None) => shallow::train::<T, 2, false, REGULARISED>(cx, isa, task, live, from),
        ([2, _, 1], _) => shallow::train::<T, 2, true, REGULARISED>(cx, isa, task, live, from),
        _ => deep::train::<T, REGULARISED>(cx, isa, task, live, from),
    }
}

/// Lanes of a vector of an instruction set, and its registers.
#[derive(Clone, Copy, Default)]
struct Width<T> {
    lanes: usize,
    registers: usize,
    element: std::marker::PhantomData<T>,
}

impl<T: Real> Kernel<T> for Width<T> {
    type Output = Width<T>;
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) -> Width<T> {
        Width { lanes: V::LANES, registers: V::REGISTERS, ..self }
    }
}

/// What relu takes the larger of, and what an activation must exceed to have a derivative: minus infinity makes it the identity.
fn floor<T: Real>(activation: Hidden) -> T {
    match activation {
        Hidden::Identity => T::from_f64(f64::NEG_INFINITY),
        Hidden::Relu => T::ZERO,
    }
}

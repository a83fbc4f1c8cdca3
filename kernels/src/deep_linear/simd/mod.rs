//! AVX2 and AVX-512 variants, written once over [`Lanes`](crate::simd::Lanes).
//!
//! A batch needs p before its samples and g after them: a chain of products down the layers, a pass over rows, a chain up. For
//! a single sample both chains start at once, x going up and 1 going down, and overlap in time. Replicas follow one another:
//! taking turns gains nothing, since what bounds a step is the number of its instructions.

mod network;
mod samples;

use super::Task;
use crate::simd::{Kernel, Lanes, prefetch, run};
use crate::steps::{Rates, Replica};
use crate::{Context, Isa, Real};
use network::{Layout, Network};
use samples::gradient;

crate::simd::compiled! {
    /// The fast variants for one number type.
    pub trait DeepLinearSimd {
        fn deep_linear_train(
            cx: &Context,
            isa: Isa,
            task: &Task<'_, Self>,
            batch: Option<usize>,
            replicas: Vec<Replica<'_, Self>>,
        );
    }
}

fn deep_linear_train<T: Real>(cx: &Context, isa: Isa, task: &Task<'_, T>, batch: Option<usize>, replicas: Vec<Replica<'_, T>>) {
    let layout = Layout::new::<T>(task.shape.widths);
    let mut scratch = cx.scratch(layout.len());
    for Replica { order, lr, params, diverged } in replicas {
        let training = Training { task, layout: &layout, lr, params, scratch: &mut scratch };
        *diverged = match batch {
            Some(1) => run(isa, Singles { training, order }),
            Some(batch) => run(isa, Batches { training, batch, order: Some(order) }),
            None => run(isa, Batches { training, batch: task.shape.n, order: None }),
        };
    }
}

/// What a replica is trained with; the public function checked all lengths.
struct Training<'a, T> {
    task: &'a Task<'a, T>,
    layout: &'a Layout,
    lr: Rates<'a, T>,
    params: &'a mut [T],
    /// Of the layout's length, from a 64-byte boundary on.
    scratch: &'a mut [T],
}

/// Runs `$train::<V, S>` with the number S of vectors that the network's vectors have in common.
macro_rules! with_common_length {
    ($V:ident, $kernel:ident.$train:ident()) => {
        match $kernel.training.layout.common_length::<$V>() {
            1 => $kernel.$train::<$V, 1>(),
            2 => $kernel.$train::<$V, 2>(),
            4 => $kernel.$train::<$V, 4>(),
            _ => $kernel.$train::<$V, 0>(),
        }
    };
}

/// Steps on several samples each.
struct Batches<'a, T> {
    training: Training<'a, T>,
    batch: usize,
    /// The samples of each step, below n; without it they are the first ones.
    order: Option<&'a [u32]>,
}

impl<T: Real> Kernel<T> for Batches<'_, T> {
    type Output = Option<usize>;
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) -> Option<usize> {
        // SAFETY: the caller enables V.
        unsafe { with_common_length!(V, self.train()) }
    }
}

impl<T: Real> Batches<'_, T> {
    /// The step that diverged.
    ///
    /// # Safety
    /// V is enabled; S is the layout's common length, or 0.
    #[inline(always)]
    unsafe fn train<V: Lanes<Element = T>, const S: usize>(self) -> Option<usize> {
        let Batches { training: Training { task, layout, lr, params, scratch }, batch, order } = self;
        let factor = task.rule.scale.factor::<T>() / T::from_f64(batch as f64);
        let depth = layout.depth();
        let mut network = Network::<V, S>::load(layout, params, scratch);
        // SAFETY: the caller's contract; samples are below n.
        unsafe {
            for (step, lr) in lr.iter().enumerate() {
                network.top();
                for l in (1..depth).rev() {
                    network.backward(l);
                }
                let samples = order.map(|order| order.get_unchecked(step * batch..(step + 1) * batch));
                let finite = gradient::<V>(task, samples, batch, factor, network.p(), network.input());
                // Before the verdict, so that every matrix has taken the step before this one.
                for l in 1..depth {
                    network.forward(l);
                }
                if !finite {
                    network.store(params);
                    return Some(step);
                }
                network.descend(&task.rule, lr, T::ONE);
            }
            network.settle();
        }
        network.store(params);
        None
    }
}

/// Steps on one sample each. With `f_0 = x` and `r = b_{L-1}·f_{L-1} - y`, the gradient is that of `f_0 = g` times `scale·r`.
struct Singles<'a, T> {
    training: Training<'a, T>,
    /// One sample for each step, below n.
    order: &'a [u32],
}

impl<T: Real> Kernel<T> for Singles<'_, T> {
    type Output = Option<usize>;
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) -> Option<usize> {
        // SAFETY: the caller enables V.
        unsafe { with_common_length!(V, self.train()) }
    }
}

impl<T: Real> Singles<'_, T> {
    /// The step that diverged.
    ///
    /// # Safety
    /// V is enabled; S is the layout's common length, or 0.
    #[inline(always)]
    unsafe fn train<V: Lanes<Element = T>, const S: usize>(self) -> Option<usize> {
        let Singles { training: Training { task, layout, lr, params, scratch }, order } = self;
        let factor = task.rule.scale.factor::<T>();
        let depth = layout.depth();
        let mut network = Network::<V, S>::load(layout, params, scratch);
        // SAFETY: the caller's contract; samples are below n.
        unsafe {
            let row = |sample: usize| task.x.as_ptr().add(sample * task.shape.stride);
            for (step, (&sample, lr)) in order.iter().zip(lr.iter()).enumerate() {
                let sample = sample as usize;
                if let Some(&next) = order.get(step + 1) {
                    prefetch(row(next as usize));
                    prefetch(task.y.as_ptr().add(next as usize));
                }
                network.set_input(row(sample));
                network.top();
                // Both chains side by side. The lower one ends at b_1.
                for l in 1..depth {
                    network.forward(l);
                    if depth - l > 1 {
                        network.backward(depth - l);
                    }
                }
                let residual = network.output() - *task.y.get_unchecked(sample);
                if !residual.is_finite() {
                    network.store(params);
                    return Some(step);
                }
                network.descend(&task.rule, lr, factor * residual);
            }
            network.settle();
        }
        network.store(params);
        None
    }
}

//! Lanes are features; replicas follow one another.

use super::{Column, MOST};
use crate::deep_diagonal::Task;
use crate::simd::{Kernel, Lanes, run};
use crate::steps::{Rates, Replica};
use crate::{Context, Isa, Real};

pub(super) fn train<T: Real>(cx: &Context, isa: Isa, task: &Task<'_, T>, live: Vec<Replica<'_, T>>) {
    let (d, depth) = (task.shape.d, task.shape.depth);
    // Whole vectors: what is beyond d is zero, and stays zero.
    let stride = d.next_multiple_of(MOST);
    let mut scratch = cx.scratch(3 * depth * stride);
    scratch.fill(T::ZERO);
    let (w, rest) = scratch.split_at_mut(depth * stride);
    let (z, a) = rest.split_at_mut(depth * stride);
    for Replica { order, lr, params, diverged } in live {
        for (to, from) in w.chunks_exact_mut(stride).zip(params.chunks_exact(d)) {
            to[..d].copy_from_slice(from);
        }
        *diverged = run(isa, Descent { task, order, lr, w, z, a, stride });
        for (from, to) in w.chunks_exact(stride).zip(params.chunks_exact_mut(d)) {
            to.copy_from_slice(&from[..d]);
        }
    }
}

/// All steps of a replica; the public function checked all lengths.
struct Descent<'a, T> {
    task: &'a Task<'a, T>,
    order: &'a [u32],
    lr: Rates<'a, T>,
    /// Depth x stride each.
    w: &'a mut [T],
    z: &'a mut [T],
    a: &'a mut [T],
    stride: usize,
}

impl<T: Real> Kernel<T> for Descent<'_, T> {
    type Output = Option<usize>;
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) -> Option<usize> {
        let Descent { task, order, lr, w, z, a, stride } = self;
        let (depth, activation) = (task.shape.depth, task.shape.activation);
        let [w, z, a] = [w, z, a].map(<[T]>::as_mut_ptr);
        let column =
            |at: usize| Column { w: w.wrapping_add(at), z: z.wrapping_add(at), a: a.wrapping_add(at), stride, depth, activation };
        let d = task.shape.d;
        for (step, (&sample, lr)) in order.iter().zip(lr.iter()).enumerate() {
            let row = task.shape.row(task.x, sample);
            // SAFETY: the caller enables V; all vectors lie within the strides, and those of x within its row.
            unsafe {
                let mut sums = [V::zero(); 2];
                for at in (0..d).step_by(V::LANES) {
                    let x = V::load_first(row.as_ptr().wrapping_add(at), V::LANES.min(d - at));
                    let sum = &mut sums[at / V::LANES % 2];
                    *sum = sum.add(column(at).forward(x));
                }
                let residual = sums[0].add(sums[1]).sum() - task.y[sample as usize];
                if !residual.is_finite() {
                    return Some(step);
                }
                let (delta, lr) = (V::splat(task.scale * residual), V::splat(lr));
                for at in (0..d).step_by(V::LANES) {
                    column(at).descend(delta, lr);
                }
            }
        }
        None
    }
}

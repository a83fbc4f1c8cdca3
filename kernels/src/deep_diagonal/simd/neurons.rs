//! Lanes are replicas of networks of one feature, each with its own samples and step sizes.

use super::{Column, MOST};
use crate::deep_diagonal::Task;
use crate::simd::{Kernel, Lanes, run};
use crate::steps::Replica;
use crate::{Context, Isa, Real};

pub(super) fn train<T: Real>(cx: &Context, isa: Isa, task: &Task<'_, T>, mut live: Vec<Replica<'_, T>>) {
    let mut scratch = cx.scratch(3 * task.shape.depth * MOST);
    for group in live.chunks_mut(run(isa, Width::<T>(std::marker::PhantomData))) {
        let mut group: Vec<&mut Replica<'_, T>> = group.iter_mut().collect();
        let mut from = 0;
        // When some diverge, the others go on from that step without them.
        while group.first().is_some_and(|replica| from < replica.order.len()) {
            scratch.fill(T::ZERO);
            from = run(isa, Descent { task, scratch: &mut scratch, group: &mut group, from });
            group.retain(|replica| replica.diverged.is_none());
        }
    }
}

/// Lanes of a vector.
struct Width<T>(std::marker::PhantomData<T>);

impl<T: Real> Kernel<T> for Width<T> {
    type Output = usize;
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) -> usize {
        V::LANES
    }
}

/// The steps of at most as many replicas as a vector has lanes, from one on, until the end or the first divergence.
struct Descent<'a, 'b, 'c, T> {
    task: &'a Task<'a, T>,
    /// w, z and a, depth x [`MOST`] each.
    scratch: &'a mut [T],
    group: &'a mut [&'b mut Replica<'c, T>],
    from: usize,
}

impl<T: Real> Kernel<T> for Descent<'_, '_, '_, T> {
    type Output = usize;
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) -> usize {
        let Descent { task, scratch, group, from } = self;
        let (depth, activation, steps) = (task.shape.depth, task.shape.activation, group[0].order.len());
        for (lane, replica) in group.iter().enumerate() {
            scratch.iter_mut().skip(lane).step_by(MOST).zip(&*replica.params).for_each(|(to, &w)| *to = w);
        }
        let w = scratch.as_mut_ptr();
        let [z, a] = [1, 2].map(|part| w.wrapping_add(part * depth * MOST));
        let column = Column { w, z, a, stride: MOST, depth, activation };
        // Lanes without a replica stay zero.
        let [mut x, mut y, mut lr, mut residuals] = [[T::ZERO; MOST]; 4];
        let mut stop = steps;
        for step in from..steps {
            for (lane, replica) in group.iter().enumerate() {
                let sample = replica.order[step] as usize;
                (x[lane], y[lane], lr[lane]) = (task.x[sample * task.shape.stride], task.y[sample], replica.lr.at(step));
            }
            // SAFETY: the caller enables V; all vectors lie within their MOST elements.
            unsafe {
                let residual = column.forward(V::load(x.as_ptr())).sub(V::load(y.as_ptr()));
                residual.store(residuals.as_mut_ptr());
                if !residuals.iter().all(|residual| residual.is_finite()) {
                    for (replica, residual) in group.iter_mut().zip(residuals) {
                        if !residual.is_finite() {
                            *replica.diverged = Some(step);
                        }
                    }
                    stop = step;
                    break;
                }
                column.descend(residual.mul(V::splat(task.scale)), V::load(lr.as_ptr()));
            }
        }
        for (lane, replica) in group.iter_mut().enumerate() {
            replica.params.iter_mut().zip(scratch.iter().skip(lane).step_by(MOST)).for_each(|(to, &w)| *to = w);
        }
        stop
    }
}

//! AVX2 and AVX-512 variants, written once over [`Lanes`](crate::simd::Lanes): the lanes of a vector are features, or, of a
//! single feature, replicas, whose lanes do not meet.

mod features;
mod neurons;

use super::Task;
use crate::activation::Activation;
use crate::activation::simd::{derivative_times, value};
use crate::simd::Lanes;
use crate::steps::Replica;
use crate::{Context, Isa, Real};

crate::simd::compiled! {
    /// The fast variants for one number type.
    pub trait DeepDiagonalSimd {
        fn deep_diagonal_sgd(cx: &Context, isa: Isa, task: &Task<'_, Self>, live: Vec<Replica<'_, Self>>);
    }
}

fn deep_diagonal_sgd<T: Real>(cx: &Context, isa: Isa, task: &Task<'_, T>, live: Vec<Replica<'_, T>>) {
    match task.shape.d {
        1 => neurons::train(cx, isa, task, live),
        _ => features::train(cx, isa, task, live),
    }
}

/// Elements of the longest vector.
const MOST: usize = 16;

/// One vector of every layer: all at `stride` elements from one layer to the next.
#[derive(Clone, Copy)]
struct Column<T> {
    /// w_l.
    w: *mut T,
    /// z_l.
    z: *mut T,
    /// a_{l-1}.
    a: *mut T,
    stride: usize,
    depth: usize,
    activation: Activation,
}

impl<T: Real> Column<T> {
    /// z_L from a_0, leaving all z and a.
    ///
    /// # Safety
    /// V is enabled, and a vector is at every pointer for every layer.
    #[inline(always)]
    unsafe fn forward<V: Lanes<Element = T>>(self, a: V) -> V {
        // SAFETY: the caller's contract.
        unsafe {
            let (mut a, mut z) = (a, V::zero());
            for at in (0..self.depth * self.stride).step_by(self.stride) {
                a.store(self.a.wrapping_add(at));
                z = V::load(self.w.wrapping_add(at)).mul(a);
                z.store(self.z.wrapping_add(at));
                if at + self.stride < self.depth * self.stride {
                    a = value(self.activation, z);
                }
            }
            z
        }
    }

    /// The step with δ_L, after [`Column::forward`].
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn descend<V: Lanes<Element = T>>(self, delta: V, lr: V) {
        // SAFETY: the caller's contract.
        unsafe {
            let mut delta = delta;
            for at in (0..self.depth * self.stride).step_by(self.stride).rev() {
                let (w, a) = (V::load(self.w.wrapping_add(at)), V::load(self.a.wrapping_add(at)));
                lr.mul(delta).mul_subtract_from(a, w).store(self.w.wrapping_add(at));
                if at > 0 {
                    delta = derivative_times(self.activation, V::load(self.z.wrapping_add(at - self.stride)), w.mul(delta));
                }
            }
        }
    }
}

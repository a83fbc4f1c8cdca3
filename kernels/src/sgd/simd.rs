use super::{Factors, Momentum};
use crate::simd::{Kernel, Lanes, for_lanes, load, run, store};
use crate::{Isa, Real};

pub(super) fn sgd_update<T: Real>(
    isa: Isa,
    momentum: Momentum,
    factors: Factors<T>,
    lr: T,
    gradient: &[T],
    buffer: &mut [T],
    params: &mut [T],
) {
    struct Update<'a, T>(Momentum, Factors<T>, T, &'a [T], &'a mut [T], &'a mut [T]);
    impl<T: Real> Kernel<T> for Update<'_, T> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes<Element = T>>(self) {
            let Update(momentum, factors, lr, gradient, buffer, params) = self;
            // SAFETY: the caller enables V; the operator checked that all slices have one length, of which the buffer's is
            // used only with momentum.
            unsafe {
                let (lr, share) = (V::splat(lr), V::splat(factors.momentum));
                let (undamped, decay) = (V::splat(factors.undamped), V::splat(factors.weight_decay));
                for_lanes!(V, params.len(), |at, lanes| {
                    let w = load::<V>(params, at, lanes);
                    let d = w.mul_add(decay, load::<V>(gradient, at, lanes));
                    let mut step = d;
                    if let Momentum::First | Momentum::Later = momentum {
                        let b = match momentum {
                            Momentum::Later => undamped.mul_add(d, share.mul(load::<V>(buffer, at, lanes))),
                            _ => d,
                        };
                        store::<V>(b, buffer, at, lanes);
                        step = if factors.nesterov { share.mul_add(b, d) } else { b };
                    }
                    store::<V>(lr.mul_subtract_from(step, w), params, at, lanes);
                });
            }
        }
    }
    run(isa, Update(momentum, factors, lr, gradient, buffer, params));
}

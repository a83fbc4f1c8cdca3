use super::Factors;
use crate::simd::{Kernel, Lanes, for_lanes, load, run, store};
use crate::{Isa, Real};

pub(super) fn adam_update<T: Real>(
    isa: Isa,
    factors: Factors<T>,
    corrected: &[T],
    gradient: &[T],
    m: &mut [T],
    v: &mut [T],
    params: &mut [T],
) {
    struct Update<'a, T>(Factors<T>, &'a [T], &'a [T], &'a mut [T], &'a mut [T], &'a mut [T]);
    impl<T: Real> Kernel<T> for Update<'_, T> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes<Element = T>>(self) {
            let Update(factors, corrected, gradient, m, v, params) = self;
            // SAFETY: the caller enables V; the operator checked that all slices have one length.
            unsafe {
                let (rate, decay) = (V::splat(corrected[0]), V::splat(factors.weight_decay));
                let (fresh1, beta2, fresh2) = (V::splat(factors.fresh1), V::splat(factors.beta2), V::splat(factors.fresh2));
                let (root, epsilon) = (V::splat(corrected[1]), V::splat(factors.epsilon));
                for_lanes!(V, params.len(), |at, lanes| {
                    let w = load::<V>(params, at, lanes);
                    let d = w.mul_add(decay, load::<V>(gradient, at, lanes));
                    let mean = load::<V>(m, at, lanes);
                    let mean = d.sub(mean).mul_add(fresh1, mean);
                    store::<V>(mean, m, at, lanes);
                    let square = d.mul(d).mul_add(fresh2, beta2.mul(load::<V>(v, at, lanes)));
                    store::<V>(square, v, at, lanes);
                    let step = mean.div(square.sqrt().div(root).add(epsilon));
                    store::<V>(rate.mul_subtract_from(step, w), params, at, lanes);
                });
            }
        }
    }
    run(isa, Update(factors, corrected, gradient, m, v, params));
}

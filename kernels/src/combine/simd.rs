use crate::simd::{Kernel, Lanes, for_lanes, load, run, store};
use crate::{Acc, Isa, Real};

pub(super) fn combine<T: Real, const N: usize>(isa: Isa, terms: [(T, &[T]); N], out: &mut [T], acc: Acc) {
    struct Combine<'a, T, const N: usize>([(T, &'a [T]); N], &'a mut [T], Acc);
    impl<T: Real, const N: usize> Kernel<T> for Combine<'_, T, N> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes<Element = T>>(self) {
            let Combine(terms, out, acc) = self;
            // SAFETY: the caller enables V; the operators checked that all slices are as long as `out`.
            unsafe {
                for_lanes!(V, out.len(), |at, lanes| {
                    let mut sum = V::zero();
                    for (factor, x) in &terms {
                        sum = load::<V>(x, at, lanes).mul_add(V::splat(*factor), sum);
                    }
                    if acc == Acc::Add {
                        sum = sum.add(load::<V>(out, at, lanes));
                    }
                    store::<V>(sum, out, at, lanes);
                });
            }
        }
    }
    run(isa, Combine(terms, out, acc));
}

pub(super) fn scale_add<T: Real>(isa: Isa, factor: T, (c, x): (T, &[T]), out: &mut [T]) {
    struct ScaleAdd<'a, T>(T, T, &'a [T], &'a mut [T]);
    impl<T: Real> Kernel<T> for ScaleAdd<'_, T> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes<Element = T>>(self) {
            let ScaleAdd(factor, c, x, out) = self;
            // SAFETY: the caller enables V; the operator checked that x is as long as `out`.
            unsafe {
                let (factor, c) = (V::splat(factor), V::splat(c));
                for_lanes!(V, out.len(), |at, lanes| {
                    let scaled = load::<V>(out, at, lanes).mul(factor);
                    store::<V>(load::<V>(x, at, lanes).mul_add(c, scaled), out, at, lanes);
                });
            }
        }
    }
    run(isa, ScaleAdd(factor, c, x, out));
}

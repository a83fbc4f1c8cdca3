use crate::simd::{Kernel, Lanes, for_lanes, load, run, store};
use crate::{Isa, Real};

pub(super) fn scale<T: Real>(isa: Isa, factor: T, gradient: &mut [T]) {
    struct Scale<'a, T>(T, &'a mut [T]);
    impl<T: Real> Kernel<T> for Scale<'_, T> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes<Element = T>>(self) {
            let Scale(factor, gradient) = self;
            // SAFETY: the caller enables V; vectors end within the gradient.
            unsafe {
                let factor = V::splat(factor);
                for_lanes!(V, gradient.len(), |at, lanes| {
                    store::<V>(load::<V>(gradient, at, lanes).mul(factor), gradient, at, lanes);
                });
            }
        }
    }
    run(isa, Scale(factor, gradient));
}

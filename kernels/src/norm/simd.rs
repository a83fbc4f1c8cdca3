use crate::simd::{Kernel, Lanes, for_lanes, load, run};
use crate::{Isa, Real};

/// Sums side by side, for the latency of their chains.
const SUMS: usize = 4;

pub(super) fn inner_product<T: Real>(isa: Isa, a: &[T], b: &[T]) -> T {
    struct InnerProduct<'a, T>(&'a [T], &'a [T]);
    impl<T: Real> Kernel<T> for InnerProduct<'_, T> {
        type Output = T;
        #[inline(always)]
        unsafe fn run<V: Lanes<Element = T>>(self) -> T {
            let InnerProduct(a, b) = self;
            // SAFETY: the caller enables V and gives slices of one length; vectors end within it.
            unsafe {
                let mut sums = [V::zero(); SUMS];
                for_lanes!(V, a.len(), |at, lanes| {
                    let sum = load::<V>(a, at, lanes).mul_add(load::<V>(b, at, lanes), sums[0]);
                    sums = [sums[1], sums[2], sums[3], sum];
                });
                sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum()
            }
        }
    }
    // A shorter b would be read beyond its end.
    let len = a.len().min(b.len());
    run(isa, InnerProduct(&a[..len], &b[..len]))
}

use crate::{Acc, Real};

pub(super) fn combine<T: Real, const N: usize>(terms: [(T, &[T]); N], out: &mut [T], acc: Acc) {
    for (i, out) in out.iter_mut().enumerate() {
        let mut sum = T::ZERO;
        for (factor, x) in terms {
            sum += factor * x[i];
        }
        *out = match acc {
            Acc::Set => sum,
            Acc::Add => *out + sum,
        };
    }
}

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

pub(super) fn scale_add<T: Real>(factor: T, (c, x): (T, &[T]), out: &mut [T]) {
    out.iter_mut().zip(x).for_each(|(out, &x)| *out = factor * *out + c * x);
}

use super::Factors;
use crate::Real;

pub(super) fn adam_update<T: Real>(
    factors: Factors<T>,
    corrected: &[T],
    gradient: &[T],
    m: &mut [T],
    v: &mut [T],
    params: &mut [T],
) {
    let (rate, root) = (corrected[0], corrected[1]);
    for (i, w) in params.iter_mut().enumerate() {
        let d = gradient[i] + factors.weight_decay * *w;
        m[i] += factors.fresh1 * (d - m[i]);
        v[i] = factors.beta2 * v[i] + factors.fresh2 * d * d;
        *w -= rate * (m[i] / (v[i].sqrt() / root + factors.epsilon));
    }
}

use super::Factors;
use crate::Real;

pub(super) fn adam_update<T: Real>(factors: Factors<T>, gradient: &[T], m: &mut [T], v: &mut [T], params: &mut [T]) {
    for (i, w) in params.iter_mut().enumerate() {
        let d = gradient[i] + factors.weight_decay * *w;
        m[i] += factors.fresh1 * (d - m[i]);
        v[i] = factors.beta2 * v[i] + factors.fresh2 * d * d;
        *w -= factors.rate * (m[i] / (v[i].sqrt() / factors.root + factors.epsilon));
    }
}

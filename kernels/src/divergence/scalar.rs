use super::NOT_DIVERGED;
use crate::Real;

pub(super) fn divergence_note<T: Real>(x: &[T], iteration: u32, first: &mut [u32]) {
    if first[0] == NOT_DIVERGED && !x.iter().all(|value| value.is_finite()) {
        first[0] = iteration;
    }
}

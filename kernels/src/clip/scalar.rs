use crate::Real;

pub(super) fn scale<T: Real>(factor: T, gradient: &mut [T]) {
    for g in gradient {
        *g *= factor;
    }
}

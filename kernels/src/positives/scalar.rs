use crate::Real;

pub(super) fn positives<T: Real>(x: &[T]) -> usize {
    x.iter().filter(|&&x| x > T::ZERO).count()
}

use crate::Real;

pub(super) fn mse_forward<T: Real>(factor: T, y: &[T], target: &[T]) -> T {
    let mut sum = T::ZERO;
    for (&y, &target) in y.iter().zip(target) {
        sum += (y - target) * (y - target);
    }
    factor * sum / T::from_f64(2.0 * y.len() as f64)
}

pub(super) fn mse_backward<T: Real>(factor: T, y: &[T], target: &[T], dy: &mut [T]) {
    let n = T::from_f64(y.len() as f64);
    for ((dy, &y), &target) in dy.iter_mut().zip(y).zip(target) {
        *dy = factor * (y - target) / n;
    }
}

pub(super) fn mse_backward_tangent<T: Real>(factor: T, y_tangent: &[T], dy_tangent: &mut [T]) {
    let n = T::from_f64(y_tangent.len() as f64);
    for (dy_tangent, &y_tangent) in dy_tangent.iter_mut().zip(y_tangent) {
        *dy_tangent = factor * y_tangent / n;
    }
}

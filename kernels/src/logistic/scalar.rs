use crate::Real;

pub(super) fn logistic_forward<T: Real>(y: &[T], target: &[T]) -> T {
    let mut sum = 0.0;
    for (&y, &target) in y.iter().zip(target) {
        let margin = (target * y).to_f64();
        sum += libm::log1p(libm::exp(-margin.abs())) + if margin < 0.0 { -margin } else { 0.0 };
    }
    T::from_f64(sum / y.len() as f64)
}

pub(super) fn logistic_backward<T: Real>(y: &[T], target: &[T], dy: &mut [T]) {
    let n = y.len() as f64;
    for ((&y, &target), dy) in y.iter().zip(target).zip(dy) {
        let target = target.to_f64();
        *dy = T::from_f64(-target * sigmoid(-target * y.to_f64()) / n);
    }
}

pub(super) fn logistic_backward_tangent<T: Real>(y: &[T], y_tangent: &[T], dy_tangent: &mut [T]) {
    let n = y.len() as f64;
    for ((&y, &y_tangent), dy_tangent) in y.iter().zip(y_tangent).zip(dy_tangent) {
        // The same for both targets.
        let y = y.to_f64();
        *dy_tangent = T::from_f64(sigmoid(y) * sigmoid(-y) * y_tangent.to_f64() / n);
    }
}

/// 1/(1 + e^-x) without overflow.
fn sigmoid(x: f64) -> f64 {
    let t = libm::exp(-x.abs());
    if x < 0.0 { t / (1.0 + t) } else { 1.0 / (1.0 + t) }
}

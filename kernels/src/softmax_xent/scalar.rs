use super::SoftmaxShape;
use crate::Real;

pub(super) fn softmax_xent_forward<T: Real>(shape: &SoftmaxShape, y: &[T], labels: &[u32]) -> T {
    let mut sum = 0.0;
    for (y, &label) in y.chunks_exact(shape.classes).zip(labels) {
        let (largest, place) = largest(y);
        // The largest term is 1 and left out, so that a confident and right prediction keeps the digits of its small loss.
        let mut others = 0.0;
        for (k, &y) in y.iter().enumerate() {
            if k != place {
                others += libm::exp(y.to_f64() - largest);
            }
        }
        sum += libm::log1p(others) + (largest - y[label as usize].to_f64());
    }
    T::from_f64(sum / shape.n as f64)
}

pub(super) fn softmax_xent_backward<T: Real>(shape: &SoftmaxShape, y: &[T], labels: &[u32], dy: &mut [T]) {
    let n = shape.n as f64;
    for ((y, &label), dy) in y.chunks_exact(shape.classes).zip(labels).zip(dy.chunks_exact_mut(shape.classes)) {
        let (largest, total) = normalizer(y);
        for (j, (&y, dy)) in y.iter().zip(dy).enumerate() {
            let hit = if j == label as usize { 1.0 } else { 0.0 };
            *dy = T::from_f64((libm::exp(y.to_f64() - largest) / total - hit) / n);
        }
    }
}

pub(super) fn softmax_xent_backward_tangent<T: Real>(shape: &SoftmaxShape, y: &[T], y_tangent: &[T], dy_tangent: &mut [T]) {
    let n = shape.n as f64;
    let rows = y.chunks_exact(shape.classes).zip(y_tangent.chunks_exact(shape.classes));
    for ((y, y_tangent), dy_tangent) in rows.zip(dy_tangent.chunks_exact_mut(shape.classes)) {
        let (largest, total) = normalizer(y);
        let mut mean = 0.0;
        for (&y, &y_tangent) in y.iter().zip(y_tangent) {
            mean += libm::exp(y.to_f64() - largest) / total * y_tangent.to_f64();
        }
        for ((&y, &y_tangent), dy_tangent) in y.iter().zip(y_tangent).zip(dy_tangent) {
            let p = libm::exp(y.to_f64() - largest) / total;
            *dy_tangent = T::from_f64(p * (y_tangent.to_f64() - mean) / n);
        }
    }
}

/// The largest logit and the sum of `e^(y - largest)`.
fn normalizer<T: Real>(y: &[T]) -> (f64, f64) {
    let (largest, _) = largest(y);
    let mut total = 0.0;
    for &y in y {
        total += libm::exp(y.to_f64() - largest);
    }
    (largest, total)
}

/// The largest logit and its place.
fn largest<T: Real>(y: &[T]) -> (f64, usize) {
    let mut best = (f64::NEG_INFINITY, 0);
    for (place, &y) in y.iter().enumerate() {
        if y.to_f64() > best.0 {
            best = (y.to_f64(), place);
        }
    }
    best
}

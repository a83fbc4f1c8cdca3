use super::DiagonalShape;
use crate::steps::Rates;
use crate::{Acc, Real};

pub(super) fn diagonal_forward<T: Real>(shape: &DiagonalShape, x: &[T], params: &[T], y: &mut [T]) {
    for (i, y) in y.iter_mut().enumerate() {
        *y = predict(shape, row(shape, x, i), params);
    }
}

pub(super) fn diagonal_backward_weight<T: Real>(
    shape: &DiagonalShape,
    x: &[T],
    params: &[T],
    dy: &[T],
    dparams: &mut [T],
    acc: Acc,
) {
    let (u, v) = params.split_at(shape.d);
    let (du, dv) = dparams.split_at_mut(shape.d);
    for j in 0..shape.d {
        let mut dbeta = T::ZERO;
        for (i, &dy) in dy.iter().enumerate() {
            dbeta += dy * row(shape, x, i)[j];
        }
        match acc {
            Acc::Set => (du[j], dv[j]) = (dbeta * v[j], dbeta * u[j]),
            Acc::Add => (du[j], dv[j]) = (du[j] + dbeta * v[j], dv[j] + dbeta * u[j]),
        }
    }
}

pub(super) fn diagonal_sgd<T: Real>(
    shape: &DiagonalShape,
    x: &[T],
    y: &[T],
    order: &[u32],
    batch: usize,
    lr: Rates<'_, T>,
    params: &mut [T],
) -> Option<usize> {
    for (step, (samples, lr)) in order.chunks_exact(batch).zip(lr.iter()).enumerate() {
        if !descend(shape, x, y, samples.iter().map(|&i| i as usize), batch, lr, params) {
            return Some(step);
        }
    }
    None
}

pub(super) fn diagonal_gd<T: Real>(shape: &DiagonalShape, x: &[T], y: &[T], lr: Rates<'_, T>, params: &mut [T]) -> Option<usize> {
    lr.iter().position(|lr| !descend(shape, x, y, 0..shape.n, shape.n, lr, params))
}

/// One step on `count` samples; false, with nothing changed, if a residual is not finite.
fn descend<T: Real>(
    shape: &DiagonalShape,
    x: &[T],
    y: &[T],
    samples: impl Iterator<Item = usize>,
    count: usize,
    lr: T,
    params: &mut [T],
) -> bool {
    let mut gradient = vec![T::ZERO; shape.d];
    for i in samples {
        let row = row(shape, x, i);
        let residual = predict(shape, row, params) - y[i];
        if !residual.is_finite() {
            return false;
        }
        for (gradient, &x) in gradient.iter_mut().zip(row) {
            *gradient += residual * x;
        }
    }
    let rate = lr / T::from_f64(count as f64);
    let (u, v) = params.split_at_mut(shape.d);
    for ((u, v), &gradient) in u.iter_mut().zip(v).zip(&gradient) {
        (*u, *v) = (*u - rate * gradient * *v, *v - rate * gradient * *u);
    }
    true
}

fn row<'a, T: Real>(shape: &DiagonalShape, x: &'a [T], i: usize) -> &'a [T] {
    &x[i * shape.stride..][..shape.d]
}

fn predict<T: Real>(shape: &DiagonalShape, row: &[T], params: &[T]) -> T {
    let (u, v) = params.split_at(shape.d);
    let mut sum = T::ZERO;
    for j in 0..shape.d {
        sum += row[j] * (u[j] * v[j]);
    }
    sum
}

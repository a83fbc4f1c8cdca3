use super::LinearShape;
use crate::{Acc, Real};

pub(super) fn linear_forward<T: Real>(shape: &LinearShape, x: &[T], w: &[T], b: Option<&[T]>, y: &mut [T], acc: Acc) {
    for (x, y) in x.chunks_exact(shape.inputs).zip(y.chunks_exact_mut(shape.outputs)) {
        for (j, (w, y)) in w.chunks_exact(shape.inputs).zip(y).enumerate() {
            let mut sum = T::ZERO;
            for (&x, &w) in x.iter().zip(w) {
                sum += x * w;
            }
            if let Some(b) = b {
                sum += b[j];
            }
            put(acc, sum, y);
        }
    }
}

pub(super) fn linear_backward_data<T: Real>(shape: &LinearShape, w: &[T], dy: &[T], dx: &mut [T], acc: Acc) {
    for (dy, dx) in dy.chunks_exact(shape.outputs).zip(dx.chunks_exact_mut(shape.inputs)) {
        for (k, dx) in dx.iter_mut().enumerate() {
            let mut sum = T::ZERO;
            for (j, &dy) in dy.iter().enumerate() {
                sum += dy * w[j * shape.inputs + k];
            }
            put(acc, sum, dx);
        }
    }
}

pub(super) fn linear_backward_weight<T: Real>(shape: &LinearShape, x: &[T], dy: &[T], dw: &mut [T], acc: Acc) {
    for (j, dw) in dw.chunks_exact_mut(shape.inputs).enumerate() {
        for (k, dw) in dw.iter_mut().enumerate() {
            let mut sum = T::ZERO;
            for i in 0..shape.n {
                sum += dy[i * shape.outputs + j] * x[i * shape.inputs + k];
            }
            put(acc, sum, dw);
        }
    }
}

pub(super) fn linear_backward_bias<T: Real>(shape: &LinearShape, dy: &[T], db: &mut [T], acc: Acc) {
    for (j, db) in db.iter_mut().enumerate() {
        let mut sum = T::ZERO;
        for dy in dy.chunks_exact(shape.outputs) {
            sum += dy[j];
        }
        put(acc, sum, db);
    }
}

fn put<T: Real>(acc: Acc, value: T, out: &mut T) {
    *out = match acc {
        Acc::Set => value,
        Acc::Add => *out + value,
    };
}

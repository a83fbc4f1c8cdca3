use super::{BatchNormShape, Line, Normal};
use crate::{Acc, Real};

/// The elements of one channel.
fn channel<T: Real>(x: &[T], c: usize, channel: usize) -> impl Iterator<Item = T> + Clone + '_ {
    x[channel..].iter().step_by(c).copied()
}

pub(super) fn batchnorm_moments<T: Real>(shape: &BatchNormShape, x: &[T], mean: &mut [T], variance: &mut [T]) {
    let rows = T::from_f64(shape.rows as f64);
    for (index, (mean, variance)) in mean.iter_mut().zip(variance).enumerate() {
        let values = channel(x, shape.c, index);
        *mean = values.clone().sum::<T>() / rows;
        *variance = values.map(|x| (x - *mean) * (x - *mean)).sum::<T>() / rows;
    }
}

pub(super) fn batchnorm_forward<T: Real>(x: &[T], normal: &Normal<'_, T>, [w, b]: [&[T]; 2], y: &mut [T]) {
    for (at, (y, &x)) in y.iter_mut().zip(x).enumerate() {
        let channel = at % w.len();
        *y = w[channel] * ((x - normal.mean[channel]) * normal.scale[channel]) + b[channel];
    }
}

pub(super) fn batchnorm_backward_affine<T: Real>(x: &[T], normal: &Normal<'_, T>, dy: &[T], [dw, db]: [&mut [T]; 2]) {
    let c = dw.len();
    for (index, (dw, db)) in dw.iter_mut().zip(db).enumerate() {
        let (x, dy) = (channel(x, c, index), channel(dy, c, index));
        *dw = x.zip(dy.clone()).map(|(x, dy)| dy * ((x - normal.mean[index]) * normal.scale[index])).sum();
        *db = dy.sum();
    }
}

pub(super) fn batchnorm_backward_data<T: Real>(x: &[T], line: Line<'_, T>, dy: &[T], dx: &mut [T], acc: Acc) {
    for (at, (dx, (&x, &dy))) in dx.iter_mut().zip(x.iter().zip(dy)).enumerate() {
        let channel = at % line.a.len();
        let value = line.a[channel] * dy + line.b[channel] * (x - line.mean[channel]) + line.c[channel];
        *dx = if acc == Acc::Add { *dx + value } else { value };
    }
}

use super::{Affine, BatchNormShape, Line, Mask, Normal, Upstream};
use crate::activation::scalar::where_on;
use crate::{Acc, Real};

/// The elements of one channel.
fn channel<T: Real>(x: &[T], c: usize, channel: usize) -> impl Iterator<Item = T> + Clone + '_ {
    x[channel..].iter().step_by(c).copied()
}

impl<T: Real> Affine<'_, T> {
    fn at(self, x: T, channel: usize) -> T {
        self.slope[channel] * (x - self.mean[channel]) + self.b[channel]
    }
}

impl<T: Real> Upstream<'_, T> {
    /// One element of the gradient by what the ReLU takes.
    fn at(self, index: usize, x: T, channel: usize) -> T {
        match self.mask {
            Mask::Open => self.dy[index],
            Mask::Normalised(affine) => where_on(affine.at(x, channel), self.dy[index]),
            Mask::Outputs(y) => where_on(y[index], self.dy[index]),
        }
    }
}

fn put<T: Real>(value: T, out: &mut T, acc: Acc) {
    *out = if acc == Acc::Add { *out + value } else { value };
}

pub(super) fn batchnorm_moments<T: Real>(shape: &BatchNormShape, x: &[T], mean: &mut [T], variance: &mut [T]) {
    let rows = T::from_f64(shape.rows as f64);
    for (index, (mean, variance)) in mean.iter_mut().zip(variance).enumerate() {
        let values = channel(x, shape.c, index);
        *mean = values.clone().sum::<T>() / rows;
        *variance = values.map(|x| (x - *mean) * (x - *mean)).sum::<T>() / rows;
    }
}

pub(super) fn batchnorm_forward<T: Real>(x: &[T], affine: Affine<'_, T>, (residual, relu): (Option<&[T]>, bool), y: &mut [T]) {
    for (index, (y, &x)) in y.iter_mut().zip(x).enumerate() {
        let normalised = affine.at(x, index % affine.b.len());
        let sum = residual.map_or(normalised, |residual| normalised + residual[index]);
        *y = if relu { where_on(sum, sum) } else { sum };
    }
}

pub(super) fn batchnorm_backward_affine<T: Real>(
    x: &[T],
    normal: &Normal<'_, T>,
    dy: Upstream<'_, T>,
    ds: Option<(&mut [T], Acc)>,
    [dw, db]: [&mut [T]; 2],
) {
    let c = dw.len();
    for channel in 0..c {
        let (mut by_w, mut by_b) = (T::ZERO, T::ZERO);
        for index in (channel..x.len()).step_by(c) {
            let dy = dy.at(index, x[index], channel);
            by_w += dy * ((x[index] - normal.mean[channel]) * normal.scale[channel]);
            by_b += dy;
        }
        (dw[channel], db[channel]) = (by_w, by_b);
    }
    if let Some((ds, acc)) = ds {
        for (index, (ds, &x)) in ds.iter_mut().zip(x).enumerate() {
            put(dy.at(index, x, index % c), ds, acc);
        }
    }
}

pub(super) fn batchnorm_backward_data<T: Real>(x: &[T], line: Line<'_, T>, dy: Upstream<'_, T>, dx: &mut [T], acc: Acc) {
    for (index, (dx, &x)) in dx.iter_mut().zip(x).enumerate() {
        let channel = index % line.a.len();
        let dy = dy.at(index, x, channel);
        put(line.a[channel] * dy + line.b[channel] * (x - line.mean[channel]) + line.c[channel], dx, acc);
    }
}

use super::{Activation, Point};
use crate::Real;

pub(crate) fn activation_forward<T: Real>(kind: Activation, x: &[T], y: &mut [T]) {
    for (&x, y) in x.iter().zip(y) {
        *y = match kind {
            Activation::Identity => x,
            Activation::Relu => where_on(x, x),
            Activation::Tanh => T::from_f64(libm::tanh(x.to_f64())),
            Activation::Swish => T::from_f64(swish(x.to_f64())),
        };
    }
}

pub(crate) fn activation_backward<T: Real>(kind: Activation, x: &[T], dy: &[T], dx: &mut [T]) {
    for ((&x, &dy), dx) in x.iter().zip(dy).zip(dx) {
        *dx = match kind {
            Activation::Identity => dy,
            Activation::Relu => where_on(x, dy),
            Activation::Tanh => T::from_f64(sech_squared(x.to_f64()) * dy.to_f64()),
            Activation::Swish => T::from_f64(Sigmoid::at(x.to_f64()).first() * dy.to_f64()),
        };
    }
}

pub(super) fn activation_backward_tangent<T: Real>(kind: Activation, point: Point<'_, T>, dx_tangent: &mut [T]) {
    for (i, dx_tangent) in dx_tangent.iter_mut().enumerate() {
        let (x, x_tangent) = (point.x[i].to_f64(), point.x_tangent[i].to_f64());
        let (dy, dy_tangent) = (point.dy[i].to_f64(), point.dy_tangent[i].to_f64());
        let (first, second) = match kind {
            Activation::Identity => {
                *dx_tangent = point.dy_tangent[i];
                continue;
            }
            Activation::Relu => {
                *dx_tangent = where_on(point.x[i], point.dy_tangent[i]);
                continue;
            }
            Activation::Tanh => {
                let first = sech_squared(x);
                (first, -2.0 * libm::tanh(x) * first)
            }
            Activation::Swish => {
                let sigmoid = Sigmoid::at(x);
                (sigmoid.first(), sigmoid.second())
            }
        };
        *dx_tangent = T::from_f64(second * x_tangent * dy + first * dy_tangent);
    }
}

/// `value` where ReLU is on, 0 where it is off, NaN where x is.
pub(crate) fn where_on<T: Real>(x: T, value: T) -> T {
    if x > T::ZERO {
        value
    } else if x <= T::ZERO {
        T::ZERO
    } else {
        x
    }
}

/// tanh' = 4t/(1 + t)² with t = e^(-2|x|), which keeps its digits where tanh is close to ±1.
fn sech_squared(x: f64) -> f64 {
    let t = libm::exp(-2.0 * x.abs());
    4.0 * t / ((1.0 + t) * (1.0 + t))
}

/// x σ(x); the limit of -∞ is 0.
fn swish(x: f64) -> f64 {
    let sigmoid = Sigmoid::at(x);
    x.max(sigmoid.x) * sigmoid.head * sigmoid.tail
}

/// σ(x) = head · tail, both without underflow, and 1 - σ(x).
struct Sigmoid {
    /// x between -1000 and 1000: beyond, swish and its derivatives are at their limits.
    x: f64,
    head: f64,
    tail: f64,
    complement: f64,
}

impl Sigmoid {
    fn at(x: f64) -> Sigmoid {
        let x = x.clamp(-1000.0, 1000.0);
        let root = libm::exp(-0.5 * x.abs());
        let t = root * root;
        let scale = 1.0 / (1.0 + t);
        match x > 0.0 {
            true => Sigmoid { x, head: scale, tail: 1.0, complement: t * scale },
            false => Sigmoid { x, head: root * scale, tail: root, complement: scale },
        }
    }

    fn first(&self) -> f64 {
        self.head * (1.0 + self.x * self.complement) * self.tail
    }

    fn second(&self) -> f64 {
        let slope = self.complement - self.head * self.tail;
        self.head * self.complement * (2.0 + self.x * slope) * self.tail
    }
}

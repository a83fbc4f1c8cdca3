use super::{Factors, Momentum};
use crate::Real;

pub(super) fn sgd_update<T: Real>(
    momentum: Momentum,
    factors: Factors<T>,
    lr: T,
    gradient: &[T],
    buffer: &mut [T],
    params: &mut [T],
) {
    for (i, (w, &g)) in params.iter_mut().zip(gradient).enumerate() {
        let d = g + factors.weight_decay * *w;
        let mut step = d;
        if let Momentum::First | Momentum::Later = momentum {
            buffer[i] = match momentum {
                Momentum::Later => factors.momentum * buffer[i] + factors.undamped * d,
                _ => d,
            };
            step = if factors.nesterov { d + factors.momentum * buffer[i] } else { buffer[i] };
        }
        *w -= lr * step;
    }
}

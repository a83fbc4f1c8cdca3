use super::Task;
use crate::Real;
use crate::activation::scalar::{activation_backward, activation_forward};
use crate::steps::Replica;

pub(super) fn wide_mlp_sgd<T: Real>(task: &Task<'_, T>, Replica { order, lr, params, diverged }: Replica<'_, T>) {
    let (inputs, hidden, activation) = (task.shape.inputs, task.shape.hidden, task.shape.activation);
    let (w1, w2) = params.split_at_mut(hidden * inputs);
    let (mut a, mut delta) = (vec![T::ZERO; hidden], vec![T::ZERO; hidden]);
    for (step, (&sample, lr)) in order.iter().zip(lr.iter()).enumerate() {
        let (x, y) = task.sample(sample);
        let z = products(w1, x);
        activation_forward(activation, &z, &mut a);
        let residuals: Vec<T> = products(w2, &a).iter().zip(y).map(|(&o, &y)| o - y).collect();
        if !residuals.iter().all(|residual| residual.is_finite()) {
            *diverged = Some(step);
            return;
        }
        let mut da = vec![T::ZERO; hidden];
        for (row, &residual) in w2.chunks_exact_mut(hidden).zip(&residuals) {
            let e = task.gain * residual;
            for ((w, da), &a) in row.iter_mut().zip(&mut da).zip(&a) {
                *da += e * *w;
                *w -= lr * e * a;
            }
        }
        activation_backward(activation, &z, &da, &mut delta);
        for (row, &delta) in w1.chunks_exact_mut(inputs).zip(&delta) {
            row.iter_mut().zip(x).for_each(|(w, &x)| *w -= lr * delta * x);
        }
    }
}

/// W x.
fn products<T: Real>(w: &[T], x: &[T]) -> Vec<T> {
    let product = |row: &[T]| row.iter().zip(x).map(|(&w, &x)| w * x).sum();
    w.chunks_exact(x.len()).map(product).collect()
}

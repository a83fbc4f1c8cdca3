use super::Task;
use crate::Real;
use crate::activation::scalar::{activation_backward, activation_forward};
use crate::steps::Replica;

pub(super) fn deep_diagonal_sgd<T: Real>(task: &Task<'_, T>, replica: Replica<'_, T>) {
    let (d, activation) = (task.shape.d, task.shape.activation);
    for (step, (&sample, lr)) in replica.order.iter().zip(replica.lr.iter()).enumerate() {
        let mut a = vec![task.shape.row(task.x, sample).to_vec()];
        let mut z = Vec::new();
        for (w, l) in replica.params.chunks_exact(d).zip(0..) {
            z.push(product(w, &a[l]));
            a.push(vec![T::ZERO; d]);
            activation_forward(activation, &z[l], &mut a[l + 1]);
        }
        let residual = z[z.len() - 1].iter().copied().sum::<T>() - task.y[sample as usize];
        if !residual.is_finite() {
            *replica.diverged = Some(step);
            return;
        }
        let mut delta = vec![task.scale * residual; d];
        for (l, w) in replica.params.chunks_exact_mut(d).enumerate().rev() {
            let below = product(w, &delta);
            w.iter_mut().zip(product(&delta, &a[l])).for_each(|(w, gradient)| *w -= lr * gradient);
            if l > 0 {
                activation_backward(activation, &z[l - 1], &below, &mut delta);
            }
        }
    }
}

fn product<T: Real>(a: &[T], b: &[T]) -> Vec<T> {
    a.iter().zip(b).map(|(&a, &b)| a * b).collect()
}

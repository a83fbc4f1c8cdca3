use super::Task;
use crate::Real;
use crate::steps::Replica;

/// Steps of `batch` samples in the replica's order, or of all of them.
pub(super) fn train<T: Real>(task: &Task<'_, T>, batch: Option<usize>, replica: Replica<'_, T>) {
    let all: Vec<u32> = (0..task.shape.n as u32).collect();
    *replica.diverged = replica.lr.iter().enumerate().position(|(step, lr)| {
        let samples = batch.map_or(&all[..], |batch| &replica.order[step * batch..][..batch]);
        !descend(task, samples, lr, replica.params)
    });
}

/// One step; false, with nothing changed, if a residual is not finite.
fn descend<T: Real>(task: &Task<'_, T>, samples: &[u32], lr: T, params: &mut [T]) -> bool {
    let (shape, rule) = (&task.shape, &task.rule);
    let layers: Vec<(usize, usize)> = shape.layers().collect();
    let depth = layers.len();
    let weights = split(&layers, params);

    let mut backward = vec![vec![T::ONE]; depth + 1];
    for l in (0..depth).rev() {
        let (inputs, outputs) = layers[l];
        backward[l] = (0..inputs).map(|i| (0..outputs).map(|o| weights[l][o * inputs + i] * backward[l + 1][o]).sum()).collect();
    }

    let factor = rule.scale.factor::<T>() / T::from_f64(samples.len() as f64);
    let mut gradient = vec![T::ZERO; shape.d()];
    for sample in samples.iter().map(|&sample| sample as usize) {
        let row = &task.x[sample * shape.stride..][..shape.d()];
        let residual = dot(row, &backward[0]) - task.y[sample];
        if !residual.is_finite() {
            return false;
        }
        for (gradient, &x) in gradient.iter_mut().zip(row) {
            *gradient += residual * x;
        }
    }
    gradient.iter_mut().for_each(|gradient| *gradient *= factor);

    let mut forward = vec![gradient];
    for (l, &(inputs, _)) in layers.iter().enumerate() {
        forward.push(weights[l].chunks_exact(inputs).map(|row| dot(row, &forward[l])).collect());
    }

    let squared_norm: T = (0..depth).map(|l| dot(&backward[l + 1], &backward[l + 1]) * dot(&forward[l], &forward[l])).sum();
    let coefficient = rule.coefficient(squared_norm.sqrt());
    for (l, weights) in weights.into_iter().enumerate() {
        for (row, &b) in weights.chunks_exact_mut(layers[l].0).zip(&backward[l + 1]) {
            for (w, &f) in row.iter_mut().zip(&forward[l]) {
                *w -= lr * (coefficient * (b * f) + rule.weight_decay * *w);
            }
        }
    }
    true
}

/// The matrices of a replica.
fn split<'a, T>(layers: &[(usize, usize)], mut params: &'a mut [T]) -> Vec<&'a mut [T]> {
    let mut weights = Vec::new();
    for (inputs, outputs) in layers {
        let (first, rest) = params.split_at_mut(inputs * outputs);
        weights.push(first);
        params = rest;
    }
    weights
}

fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    a.iter().zip(b).map(|(&a, &b)| a * b).sum()
}

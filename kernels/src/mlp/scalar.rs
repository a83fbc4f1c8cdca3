use super::{Hidden, MlpShape, Task};
use crate::Real;
use crate::steps::Replica;

pub(super) fn mlp_sgd<T: Real>(task: &Task<'_, T>, replica: &mut Replica<'_, T>) {
    for (step, (&sample, lr)) in replica.order.iter().zip(replica.lr.iter()).enumerate() {
        let activations = forward(&task.shape, replica.params, task.shape.row(task.x, sample));
        let residual = activations[activations.len() - 1][0] - task.y[sample as usize];
        if !residual.is_finite() {
            *replica.diverged = Some(step);
            return;
        }
        let gradient = backward(&task.shape, replica.params, &activations, task.rule.scale.factor::<T>() * residual);
        let norm = gradient.iter().map(|&g| g * g).sum::<T>().sqrt();
        let coefficient = task.rule.coefficient(norm);
        for (w, &g) in replica.params.iter_mut().zip(&gradient) {
            *w -= lr * (coefficient * g + task.rule.weight_decay * *w);
        }
    }
}

/// The input and the outputs of every layer.
pub(super) fn forward<T: Real>(shape: &MlpShape<'_>, params: &[T], x: &[T]) -> Vec<Vec<T>> {
    let mut activations = vec![x.to_vec()];
    let mut rest = params;
    for (index, layer) in shape.layers().enumerate() {
        let (weight, after) = rest.split_at(layer.outputs * layer.inputs);
        let (bias, after) = after.split_at(if layer.bias { layer.outputs } else { 0 });
        rest = after;
        let relu = shape.activation == Hidden::Relu && index + 2 < shape.widths.len();
        let mut outputs = vec![T::ZERO; layer.outputs];
        for (i, output) in outputs.iter_mut().enumerate() {
            let mut z = if layer.bias { bias[i] } else { T::ZERO };
            for (&w, &a) in weight[i * layer.inputs..].iter().zip(&activations[index]) {
                z += w * a;
            }
            // NaN is not below zero and stays.
            *output = if relu && z < T::ZERO { T::ZERO } else { z };
        }
        activations.push(outputs);
    }
    activations
}

/// `dy ∇h`, in the order of the parameters.
fn backward<T: Real>(shape: &MlpShape<'_>, params: &[T], activations: &[Vec<T>], dy: T) -> Vec<T> {
    let mut gradient = vec![T::ZERO; params.len()];
    let mut delta = vec![dy];
    let mut end = params.len();
    for (index, layer) in shape.layers().enumerate().rev() {
        let start = end - layer.params();
        let weight = &params[start..][..layer.outputs * layer.inputs];
        let input = &activations[index];
        let mut below = vec![T::ZERO; layer.inputs];
        for (i, &delta) in delta.iter().enumerate() {
            for j in 0..layer.inputs {
                gradient[start + i * layer.inputs + j] = delta * input[j];
                below[j] += weight[i * layer.inputs + j] * delta;
            }
            if layer.bias {
                gradient[start + layer.outputs * layer.inputs + i] = delta;
            }
        }
        if shape.activation == Hidden::Relu {
            for (below, &a) in below.iter_mut().zip(input) {
                *below = if a > T::ZERO { *below } else { T::ZERO };
            }
        }
        (delta, end) = (below, start);
    }
    gradient
}

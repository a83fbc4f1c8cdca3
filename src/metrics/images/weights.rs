//! The weights of a network of images, and how a batch moves them.

use std::sync::Arc;

use handgrad_kernels::Buffer;

use super::{Set, Snapshot};
use crate::error::{Result, refuse};
use crate::metrics::{Arguments, lanczos, once, rank};
use crate::nets::{Net, Objective, Parameter, Plan, Point};

/// The weights that metrics call those of layer k: of every stretch between hidden layers that has some, and of the outputs, the
/// last. Of residual networks these are the last convolutions of the groups of blocks, then the linear layer; of convnets all.
pub(super) fn last_weights(net: &Net<f32>) -> Vec<Parameter> {
    let mut ends: Vec<usize> = net.hidden().iter().map(|&node| net.range(node).end).collect();
    ends.push(net.params());
    let weights: Vec<Parameter> = net.parameters().into_iter().filter(|parameter| parameter.shape.len() > 1).collect();
    let mut start = 0;
    let last = |end: usize| {
        let within = weights.iter().rfind(|weight| (start..end).contains(&weight.range.start)).cloned();
        start = end;
        within
    };
    ends.into_iter().filter_map(last).collect()
}

impl Snapshot<'_> {
    /// The place of a layer's weights, counted from 1; by default the last.
    fn layer(&self, arguments: Arguments) -> Result<usize> {
        let all = self.measurer.weights.len();
        match arguments.layer.unwrap_or(all).checked_sub(1) {
            Some(layer) if layer < all => Ok(layer),
            _ => refuse!("a network with weights in {all} layers has none in layer {}", arguments.layer.unwrap_or(1)),
        }
    }

    fn weights(&self, arguments: Arguments) -> Result<&[f32]> {
        Ok(&self.params[self.measurer.weights[self.layer(arguments)?].range.clone()])
    }

    pub(super) fn weight_norm(&self, arguments: Arguments) -> Result<f64> {
        Ok(norm(self.weights(arguments)?))
    }

    /// ‖W - W(0)‖_F/‖W(0)‖_F.
    pub(super) fn relative_distance(&self, arguments: Arguments) -> Result<f64> {
        let weight = &self.measurer.weights[self.layer(arguments)?];
        let Some(initial) = self.initial.get(weight.range.clone()) else { return Ok(f64::NAN) };
        let now = &self.params[weight.range.clone()];
        let moved: Vec<f32> = now.iter().zip(initial).map(|(now, initial)| now - initial).collect();
        Ok(norm(&moved) / norm(initial))
    }

    /// Share of |w| <= threshold.
    pub(super) fn near_zero(&self, arguments: Arguments) -> Result<f64> {
        let weights = self.weights(arguments)?;
        if weights.iter().any(|weight| weight.is_nan()) {
            return Ok(f64::NAN);
        }
        let zero = weights.iter().filter(|weight| f64::from(weight.abs()) <= arguments.threshold).count();
        Ok(zero as f64 / weights.len() as f64)
    }

    /// Rank of a layer's weights as a matrix, outputs x everything else.
    pub(super) fn weight_rank(&self, arguments: Arguments) -> Result<f64> {
        let weights: Vec<f64> = self.weights(arguments)?.iter().map(|&weight| f64::from(weight)).collect();
        let outputs = self.measurer.weights[self.layer(arguments)?].shape[0];
        let rank = rank::rank(self.cx.host(), outputs, weights.len() / outputs, &weights, arguments.threshold)?;
        Ok(rank.map_or(f64::NAN, |rank| rank as f64))
    }

    /// ‖V̇_k‖, the mean over the batches of the training images in their order; what is left of them is a batch too.
    pub(super) fn velocity(&self, arguments: Arguments) -> Result<f64> {
        let layer = self.layer(arguments)?;
        Ok(once(&self.velocities, || self.all_velocities())?[layer])
    }

    fn all_velocities(&self) -> Result<Vec<f64>> {
        let (measurer, cx) = (self.measurer, self.cx);
        let batch = self.batch.clamp(1, self.data.n());
        let (mut plan, [params, _]) = (Plan::new(cx, Arc::clone(&measurer.net), batch)?, self.state()?);
        let mut gradient = Buffer::zeros(cx, self.params.len())?;
        let mut sums = vec![0.0; measurer.weights.len()];
        let mut batches = 0.0;
        self.batches(Set::Training, usize::MAX, batch, |batch| {
            let objective = Objective { loss: measurer.loss, point: Point::new(batch.n, batch.x, params), target: batch.target };
            plan.gradient(cx, &objective, gradient.view_mut())?;
            let gradient = gradient.to_vec()?;
            batches += 1.0;
            for (sum, weight) in sums.iter_mut().zip(&measurer.weights) {
                *sum += turning(&self.params[weight.range.clone()], &gradient[weight.range.clone()]);
            }
            Ok(())
        })?;
        Ok(sums.into_iter().map(|sum| sum / batches).collect())
    }
}

/// Norm of the gradient by the direction V = W/‖W‖_F of weights W, given that by W: ‖W‖·‖g - ⟨g, V⟩V‖.
fn turning(weights: &[f32], gradient: &[f32]) -> f64 {
    let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&value| f64::from(value)).collect() };
    let (weights, mut gradient) = (wide(weights), wide(gradient));
    let square = lanczos::dot(&weights, &weights);
    let along = lanczos::dot(&gradient, &weights) / square;
    gradient.iter_mut().zip(&weights).for_each(|(g, w)| *g -= along * w);
    (square * lanczos::dot(&gradient, &gradient)).sqrt()
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

//! What the composed training step needs of a network.

use std::sync::Arc;

use handgrad_kernels::diagonal::{DiagonalShape, diagonal_backward_weight, diagonal_forward};
use handgrad_kernels::{Acc, Buffer, Context, Real, View, ViewMut};

use super::{Net, Plan, Point};
use crate::error::Result;

/// A network whose passes are composed of the public operators.
#[derive(Debug)]
pub(super) enum Model<T: Real> {
    /// The diagonal network, x by stride, and its outputs.
    Diagonal(DiagonalShape, Buffer<T>),
    /// Layers, x dense.
    Layered(Box<Plan<T>>),
}

impl<T: Real> Model<T> {
    /// For batches of at most `batch` samples.
    pub(super) fn new(cx: &Context, shape: &DiagonalShape, net: Option<&Arc<Net<T>>>, batch: usize) -> Result<Model<T>> {
        Ok(match net {
            None => Model::Diagonal(DiagonalShape { replicas: 1, ..*shape }, Buffer::zeros(cx, batch)?),
            Some(net) => Model::Layered(Box::new(Plan::new(cx, Arc::clone(net), batch)?)),
        })
    }

    /// h(x_i) of n samples, in training.
    pub(super) fn forward(&mut self, cx: &Context, point: Point<'_, T>) -> Result<View<'_, T>> {
        match self {
            Model::Diagonal(shape, y) => {
                let Point { n, x, params, .. } = point;
                diagonal_forward(cx, &DiagonalShape { n, ..*shape }, x, params, y.view_mut().part(0, n)?)?;
                Ok(y.view().part(0, n)?)
            }
            Model::Layered(plan) => plan.forward_train(cx, point),
        }
    }

    /// Moves running statistics on by what the last [`Model::forward`] over n samples saw.
    pub(super) fn move_statistics(&self, cx: &Context, n: usize, share: Option<f64>, statistics: ViewMut<'_, T>) -> Result<()> {
        match self {
            Model::Diagonal(..) => Ok(()),
            Model::Layered(plan) => plan.move_statistics(cx, n, share, statistics),
        }
    }

    /// Running statistics.
    pub(super) fn statistics(&self) -> usize {
        match self {
            Model::Diagonal(..) => 0,
            Model::Layered(plan) => plan.net().statistics(),
        }
    }

    /// After [`Model::forward`] at the same point: the gradient of Σ_i dy_i h(x_i).
    pub(super) fn backward(
        &mut self,
        cx: &Context,
        point: Point<'_, T>,
        dy: View<'_, T>,
        gradient: ViewMut<'_, T>,
        acc: Acc,
    ) -> Result<()> {
        match self {
            Model::Diagonal(shape, _) => {
                let Point { n, x, params, .. } = point;
                Ok(diagonal_backward_weight(cx, &DiagonalShape { n, ..*shape }, x, params, dy, gradient, acc)?)
            }
            Model::Layered(plan) => plan.backward(cx, point, dy, gradient, acc),
        }
    }
}

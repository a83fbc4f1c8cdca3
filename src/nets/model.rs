//! What the composed training step needs of a network.

use std::sync::Arc;

use handgrad_kernels::diagonal::{DiagonalShape, diagonal_backward_weight, diagonal_forward};
use handgrad_kernels::{Acc, Context, Real};

use super::{Net, Plan};
use crate::error::Result;

/// A network whose passes are composed of the public operators.
#[derive(Debug)]
pub(super) enum Model<T> {
    /// The diagonal network, x by stride.
    Diagonal(DiagonalShape),
    /// Layers, x dense.
    Layered(Plan<T>),
}

impl<T: Real> Model<T> {
    /// For batches of at most `batch` samples.
    pub(super) fn new(shape: &DiagonalShape, net: Option<&Arc<Net<T>>>, batch: usize) -> Result<Model<T>> {
        Ok(match net {
            None => Model::Diagonal(DiagonalShape { replicas: 1, ..*shape }),
            Some(net) => Model::Layered(Plan::new(Arc::clone(net), batch)?),
        })
    }

    /// h(x_i) of n samples.
    pub(super) fn forward(&mut self, cx: &Context, n: usize, x: &[T], params: &[T], y: &mut [T]) -> Result<()> {
        match self {
            Model::Diagonal(shape) => {
                Ok(diagonal_forward(cx, &DiagonalShape { n, ..*shape }, x.into(), params.into(), y.into())?)
            }
            Model::Layered(plan) => {
                y.copy_from_slice(plan.forward(cx, n, x, params)?);
                Ok(())
            }
        }
    }

    /// After [`Model::forward`] on the same samples: the gradient of Σ_i dy_i h(x_i).
    pub(super) fn backward(
        &mut self,
        cx: &Context,
        (n, x, params): (usize, &[T], &[T]),
        dy: &[T],
        gradient: &mut [T],
        acc: Acc,
    ) -> Result<()> {
        match self {
            Model::Diagonal(shape) => {
                let shape = DiagonalShape { n, ..*shape };
                Ok(diagonal_backward_weight(cx, &shape, x.into(), params.into(), dy.into(), gradient.into(), acc)?)
            }
            Model::Layered(plan) => plan.backward(cx, (n, x, params), dy, gradient, acc),
        }
    }
}

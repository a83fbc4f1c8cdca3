//! Layers: stateless descriptors of what a network does to a batch, one file each.
//!
//! A layer computes y = f(x; w) row by row. Its backward pass turns dy = ∂L/∂y into dx and dw; its tangents are the derivatives
//! of both passes along a direction (ẇ, ẋ, dẏ), from which [`crate::nets::Plan`] makes exact Hessian-vector products.

mod activation;
mod linear;
mod scale;
mod sum;
mod weight_norm;

use handgrad_kernels::{Acc, Context, Real, View, ViewMut};

pub use activation::Activate;
pub use linear::Linear;
pub use scale::Scale;
pub use sum::Sum;
pub use weight_norm::{Gain, WeightNormLinear};

use crate::error::Result;

/// A named piece of a network's parameter vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// `weight`, `bias`, ...
    pub name: &'static str,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
}

impl Slot {
    /// A slot of a layer.
    pub fn new(name: &'static str, shape: &[usize]) -> Slot {
        Slot { name, shape: shape.to_vec() }
    }

    /// Numbers in it.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where a layer is evaluated: n samples x (n x inputs) and the layer's parameters w.
#[derive(Clone, Copy, Debug)]
pub struct At<'a, T: Real> {
    /// Samples.
    pub n: usize,
    /// Parameters, slot by slot.
    pub w: View<'a, T>,
    /// Inputs.
    pub x: View<'a, T>,
}

/// A direction at a point: derivatives of the parameters and of the inputs along it.
#[derive(Clone, Copy, Debug)]
pub struct Along<'a, T: Real> {
    /// ẇ.
    pub w: View<'a, T>,
    /// ẋ.
    pub x: View<'a, T>,
}

/// A layer. Everything is on the context's device; outputs under [`Acc::Set`] are never read; lengths are those of the descriptor
/// times n.
pub trait Layer<T: Real>: std::fmt::Debug + Send + Sync {
    /// Numbers per input row.
    fn inputs(&self) -> usize;
    /// Numbers per output row.
    fn outputs(&self) -> usize;

    /// Parameters, in their order; none by default.
    fn slots(&self) -> Vec<Slot> {
        Vec::new()
    }

    /// y = f(x; w).
    ///
    /// # Errors
    /// If a kernel refuses its arguments: there are no samples, say.
    fn forward(&self, cx: &Context, at: At<'_, T>, y: ViewMut<'_, T>) -> Result<()>;

    /// dx = (∂y/∂x)ᵀ dy.
    ///
    /// # Errors
    /// As [`Layer::forward`].
    fn backward_data(&self, cx: &Context, at: At<'_, T>, dy: View<'_, T>, dx: ViewMut<'_, T>) -> Result<()>;

    /// dw = (∂y/∂w)ᵀ dy, summed over the samples; nothing without parameters.
    ///
    /// # Errors
    /// As [`Layer::forward`].
    fn backward_weight(&self, _cx: &Context, _at: At<'_, T>, _dy: View<'_, T>, _dw: ViewMut<'_, T>, _acc: Acc) -> Result<()> {
        Ok(())
    }

    /// ẏ along (ẇ, ẋ).
    ///
    /// # Errors
    /// As [`Layer::forward`].
    fn forward_tangent(&self, cx: &Context, at: At<'_, T>, along: Along<'_, T>, y_tangent: ViewMut<'_, T>) -> Result<()>;

    /// The derivative of [`Layer::backward_data`] along (ẇ, ẋ, dẏ).
    ///
    /// # Errors
    /// As [`Layer::forward`].
    fn backward_data_tangent(
        &self,
        cx: &Context,
        at: At<'_, T>,
        along: Along<'_, T>,
        dy: View<'_, T>,
        dy_tangent: View<'_, T>,
        dx_tangent: ViewMut<'_, T>,
    ) -> Result<()>;

    /// The derivative of [`Layer::backward_weight`] under [`Acc::Set`] along (ẇ, ẋ, dẏ); nothing without parameters.
    ///
    /// # Errors
    /// As [`Layer::forward`].
    fn backward_weight_tangent(
        &self,
        _cx: &Context,
        _at: At<'_, T>,
        _along: Along<'_, T>,
        _dy: View<'_, T>,
        _dy_tangent: View<'_, T>,
        _dw_tangent: ViewMut<'_, T>,
    ) -> Result<()> {
        Ok(())
    }

    /// dw of every sample alone: row i goes to `rows[i·stride..]`. One [`Layer::backward_weight`] per sample by default.
    ///
    /// # Errors
    /// As [`Layer::forward`].
    fn sample_gradients(
        &self,
        cx: &Context,
        at: At<'_, T>,
        dy: View<'_, T>,
        mut rows: ViewMut<'_, T>,
        stride: usize,
    ) -> Result<()> {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        for i in 0..at.n {
            let one = At { n: 1, x: at.x.part(i * inputs, inputs)?, ..at };
            let dw = rows.part(i * stride, at.w.len())?;
            self.backward_weight(cx, one, dy.part(i * outputs, outputs)?, dw, Acc::Set)?;
        }
        Ok(())
    }
}

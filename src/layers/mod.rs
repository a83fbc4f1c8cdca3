//! Layers: stateless descriptors of what a network does to a batch, one file each.
//!
//! A layer computes y = f(x; w) row by row. Its backward pass turns dy = ∂L/∂y into dx and dw; its tangents are the derivatives
//! of both passes along a direction (ẇ, ẋ, dẏ), from which [`crate::nets::Plan`] makes exact Hessian-vector products.
//!
//! Batch normalisation is the one layer that looks at several rows at once, and only in training: see
//! [`Layer::forward_train`].

mod activation;
mod average_pool;
mod batch_norm;
mod conv2d;
mod linear;
mod multiply;
mod residual;
mod scale;
mod sum;
mod weight_norm;

use std::any::Any;

use handgrad_kernels::combine::combine;
use handgrad_kernels::{Acc, Buffer, Context, Real, View, ViewMut};

pub use activation::Activate;
pub use average_pool::AveragePool;
pub use batch_norm::{BatchNorm, Then};
pub use conv2d::Conv2d;
pub use linear::Linear;
pub use multiply::Multiply;
pub use residual::Residual;
pub use scale::Scale;
pub use sum::Sum;
pub use weight_norm::{Gain, WeightNorm};

use crate::error::{Result, refuse};

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

/// Where a layer is evaluated: n samples x (n x inputs), the layer's parameters w, and what few layers need besides.
#[derive(Clone, Copy, Debug)]
pub struct At<'a, T: Real> {
    /// Samples.
    pub n: usize,
    /// Parameters, slot by slot.
    pub w: View<'a, T>,
    /// Inputs.
    pub x: View<'a, T>,
    /// The second inputs of layers that have them, n x [`Layer::second_inputs`].
    pub second: View<'a, T>,
    /// Running statistics, slot by slot, for [`Layer::forward`].
    pub statistics: View<'a, T>,
    /// What [`Layer::forward_train`] left for the backward pass.
    pub saved: View<'a, T>,
    /// What it gave, for the backward pass.
    pub y: View<'a, T>,
}

impl<'a, T: Real> At<'a, T> {
    /// With nothing but samples and parameters.
    pub fn new(n: usize, w: View<'a, T>, x: View<'a, T>) -> At<'a, T> {
        let nothing = View::Host(&[]);
        At { n, w, x, second: nothing, statistics: nothing, saved: nothing, y: nothing }
    }
}

/// A direction at a point: derivatives of the parameters and of the inputs along it.
#[derive(Clone, Copy, Debug)]
pub struct Along<'a, T: Real> {
    /// ẇ.
    pub w: View<'a, T>,
    /// ẋ.
    pub x: View<'a, T>,
}

/// Where a gradient goes, and whether it is set there or added.
pub type Gradient<'a, T> = (ViewMut<'a, T>, Acc);

/// A layer. Everything is on the context's device; outputs under [`Acc::Set`] are never read; lengths are those of the descriptor
/// times n.
pub trait Layer<T: Real>: Any + std::fmt::Debug + Send + Sync {
    /// Numbers per input row.
    fn inputs(&self) -> usize;
    /// Numbers per output row.
    fn outputs(&self) -> usize;

    /// Numbers per row of the second input of a layer that joins two branches; none by default.
    fn second_inputs(&self) -> usize {
        0
    }

    /// Parameters, in their order; none by default.
    fn slots(&self) -> Vec<Slot> {
        Vec::new()
    }

    /// Running statistics of what went through in training, with the values that they start from; none by default.
    fn statistics(&self) -> Vec<(Slot, f64)> {
        Vec::new()
    }

    /// Numbers that [`Layer::forward_train`] leaves for the backward pass; none by default.
    fn saved(&self) -> usize {
        0
    }

    /// y = f(x; w), with the running statistics where there are any.
    ///
    /// # Errors
    /// If a kernel refuses its arguments: there are no samples, say.
    fn forward(&self, cx: &Context, at: At<'_, T>, y: ViewMut<'_, T>) -> Result<()>;

    /// The same in training, with the statistics of this batch where there are any; leaves [`Layer::saved`] numbers.
    ///
    /// # Errors
    /// As [`Layer::forward`].
    fn forward_train(&self, cx: &Context, at: At<'_, T>, y: ViewMut<'_, T>, _saved: ViewMut<'_, T>) -> Result<()> {
        self.forward(cx, at, y)
    }

    /// Moves the running statistics on by what [`Layer::forward_train`] saw: a share of the way there, by default the layer's own.
    ///
    /// # Errors
    /// As [`Layer::forward`].
    fn move_statistics(
        &self,
        _cx: &Context,
        _n: usize,
        _share: Option<f64>,
        _saved: View<'_, T>,
        _statistics: ViewMut<'_, T>,
    ) -> Result<()> {
        Ok(())
    }

    /// dx = (∂y/∂x)ᵀ dy, set or accumulated.
    ///
    /// # Errors
    /// As [`Layer::forward`].
    fn backward_data(&self, cx: &Context, at: At<'_, T>, dy: View<'_, T>, dx: ViewMut<'_, T>, acc: Acc) -> Result<()>;

    /// The same for the second input; nothing without one.
    ///
    /// # Errors
    /// As [`Layer::forward`].
    fn backward_second(&self, _cx: &Context, _at: At<'_, T>, _dy: View<'_, T>, _dx: ViewMut<'_, T>, _acc: Acc) -> Result<()> {
        Ok(())
    }

    /// dw = (∂y/∂w)ᵀ dy, summed over the samples; nothing without parameters.
    ///
    /// # Errors
    /// As [`Layer::forward`].
    fn backward_weight(&self, _cx: &Context, _at: At<'_, T>, _dy: View<'_, T>, _dw: ViewMut<'_, T>, _acc: Acc) -> Result<()> {
        Ok(())
    }

    /// All gradients at once, for layers whose passes share work; those by the inputs, dx and that by the second, are none where
    /// nobody asks for them.
    ///
    /// # Errors
    /// As [`Layer::forward`].
    fn backward(
        &self,
        cx: &Context,
        at: At<'_, T>,
        dy: View<'_, T>,
        [dx, second]: [Option<Gradient<'_, T>>; 2],
        (dw, acc): Gradient<'_, T>,
    ) -> Result<()> {
        second.map_or(Ok(()), |(ds, acc)| self.backward_second(cx, at, dy, ds, acc))?;
        self.backward_weight(cx, at, dy, dw, acc)?;
        dx.map_or(Ok(()), |(dx, acc)| self.backward_data(cx, at, dy, dx, acc))
    }

    /// ẏ along (ẇ, ẋ); refused by default, as the two derivatives that follow: exact products with the Hessian are for
    /// networks whose layers all have them.
    ///
    /// # Errors
    /// As [`Layer::forward`].
    fn forward_tangent(&self, _cx: &Context, _at: At<'_, T>, _along: Along<'_, T>, _y_tangent: ViewMut<'_, T>) -> Result<()> {
        no_tangent(self)
    }

    /// The derivative of [`Layer::backward_data`] under [`Acc::Set`] along (ẇ, ẋ, dẏ).
    ///
    /// # Errors
    /// As [`Layer::forward`].
    fn backward_data_tangent(
        &self,
        _cx: &Context,
        _at: At<'_, T>,
        _along: Along<'_, T>,
        _dy: View<'_, T>,
        _dy_tangent: View<'_, T>,
        _dx_tangent: ViewMut<'_, T>,
    ) -> Result<()> {
        no_tangent(self)
    }

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
            let second = at.second.part(i * self.second_inputs(), self.second_inputs())?;
            let one = At { n: 1, x: at.x.part(i * inputs, inputs)?, second, ..at };
            let dw = rows.part(i * stride, at.w.len())?;
            self.backward_weight(cx, one, dy.part(i * outputs, outputs)?, dw, Acc::Set)?;
        }
        Ok(())
    }
}

fn no_tangent<T: Real, L: Layer<T> + ?Sized>(layer: &L) -> Result<()> {
    refuse!("{layer:?}: no products with the Hessian for networks with this layer; leave out sharpness")
}

/// Lets `write` set dx, or what is added to it.
fn accumulated<T: Real>(
    cx: &Context,
    mut dx: ViewMut<'_, T>,
    acc: Acc,
    write: impl FnOnce(ViewMut<'_, T>) -> Result<()>,
) -> Result<()> {
    match acc {
        Acc::Set => write(dx),
        Acc::Add => {
            let mut more = Buffer::zeros(cx, dx.len())?;
            write(more.view_mut())?;
            Ok(combine(cx, [(T::ONE, more.view())], dx.reborrow(), Acc::Add)?)
        }
    }
}

/// The one number of a vector, brought to the host; 0 of one that has none.
fn number<T: Real>(w: View<'_, T>) -> Result<T> {
    Ok(w.to_vec()?.first().copied().unwrap_or(T::ZERO))
}

/// Sets the one number of a vector that has one.
fn put<T: Real>(value: impl FnOnce() -> Result<T>, mut to: ViewMut<'_, T>) -> Result<()> {
    if to.is_empty() {
        return Ok(());
    }
    Ok(to.copy_from_host(&[value()?])?)
}

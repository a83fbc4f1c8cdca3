use handgrad_kernels::combine::combine;
use handgrad_kernels::weightnorm::{
    Tangent, weightnorm_backward_direction, weightnorm_backward_direction_tangent, weightnorm_backward_gain,
    weightnorm_backward_gain_tangent, weightnorm_forward, weightnorm_forward_tangent,
};
use handgrad_kernels::{Acc, Buffer, Context, Real, View, ViewMut};

use super::{Along, At, Layer, Slot, number, put};
use crate::error::Result;

/// g of a weight-normalised layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gain {
    /// A number that training does not change.
    Frozen(f64),
    /// A parameter.
    Learned,
}

/// A layer with weights W = g·V/‖V‖_F in the place of its own; parameters: V, then g if it is learned, then what else the layer
/// has.
///
/// Norms and g go through the host: on a device every pass waits for them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightNorm<L> {
    /// The layer, whose first parameters are its weights W.
    pub layer: L,
    /// g.
    pub gain: Gain,
}

/// The pieces of a parameter vector, or of a direction in that space.
struct Parts<'a, T: Real> {
    direction: View<'a, T>,
    /// None if g is frozen.
    gain: Option<T>,
    rest: View<'a, T>,
}

impl<L> WeightNorm<L> {
    fn weights<T: Real>(&self) -> usize
    where
        L: Layer<T>,
    {
        self.layer.slots().first().map_or(0, Slot::len)
    }

    /// Numbers that g has among the parameters.
    fn gains(&self) -> usize {
        usize::from(self.gain == Gain::Learned)
    }

    fn parts<'a, T: Real>(&self, w: View<'a, T>) -> Result<Parts<'a, T>>
    where
        L: Layer<T>,
    {
        let rest = self.weights() + self.gains();
        Ok(Parts {
            direction: w.part(0, self.weights())?,
            gain: number(w.part(self.weights(), self.gains())?)?,
            rest: w.part(rest, w.len().saturating_sub(rest))?,
        })
    }

    /// g at a point, and its derivative along a direction.
    fn gain<T: Real>(&self, at: &Parts<'_, T>) -> T {
        match self.gain {
            Gain::Frozen(gain) => T::from_f64(gain),
            Gain::Learned => at.gain.unwrap_or(T::ONE),
        }
    }

    /// W and the rest, as the layer has them.
    fn effective<T: Real>(&self, cx: &Context, w: View<'_, T>) -> Result<Buffer<T>>
    where
        L: Layer<T>,
    {
        let parts = self.parts(w)?;
        let mut effective = Buffer::zeros(cx, self.weights() + parts.rest.len())?;
        let mut whole = effective.view_mut();
        let (weight, rest) = whole.split_at(self.weights())?;
        weightnorm_forward(cx, parts.direction, self.gain(&parts), weight)?;
        copy(cx, parts.rest, rest, Acc::Set)?;
        Ok(effective)
    }

    /// The same of a direction.
    fn effective_tangent<T: Real>(&self, cx: &Context, w: View<'_, T>, tangent: View<'_, T>) -> Result<Buffer<T>>
    where
        L: Layer<T>,
    {
        let (parts, along) = (self.parts(w)?, self.parts(tangent)?);
        let gain_tangent = along.gain.unwrap_or(T::ZERO);
        let mut effective = Buffer::zeros(cx, self.weights() + along.rest.len())?;
        let mut whole = effective.view_mut();
        let (weight, rest) = whole.split_at(self.weights())?;
        weightnorm_forward_tangent(cx, parts.direction, self.gain(&parts), along.direction, gain_tangent, weight)?;
        copy(cx, along.rest, rest, Acc::Set)?;
        Ok(effective)
    }
}

/// `to = from`, or `to = to + from`.
fn copy<T: Real>(cx: &Context, from: View<'_, T>, to: ViewMut<'_, T>, acc: Acc) -> Result<()> {
    Ok(combine(cx, [(T::ONE, from)], to, acc)?)
}

impl<T: Real, L: Layer<T>> Layer<T> for WeightNorm<L> {
    fn waits(&self) -> bool {
        true
    }

    fn inputs(&self) -> usize {
        self.layer.inputs()
    }

    fn outputs(&self) -> usize {
        self.layer.outputs()
    }

    fn slots(&self) -> Vec<Slot> {
        let mut slots = self.layer.slots();
        if self.gain == Gain::Learned {
            slots.insert(1.min(slots.len()), Slot::new("gain", &[1]));
        }
        slots
    }

    fn forward(&self, cx: &Context, at: At<'_, T>, y: ViewMut<'_, T>) -> Result<()> {
        self.layer.forward(cx, At { w: self.effective(cx, at.w)?.view(), ..at }, y)
    }

    fn backward_data(&self, cx: &Context, at: At<'_, T>, dy: View<'_, T>, dx: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        self.layer.backward_data(cx, At { w: self.effective(cx, at.w)?.view(), ..at }, dy, dx, acc)
    }

    fn backward_weight(&self, cx: &Context, at: At<'_, T>, dy: View<'_, T>, mut dw: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        let parts = self.parts(at.w)?;
        let effective = self.effective(cx, at.w)?;
        let mut gradient = Buffer::zeros(cx, effective.len())?;
        self.layer.backward_weight(cx, At { w: effective.view(), ..at }, dy, gradient.view_mut(), Acc::Set)?;
        let (weight, by_rest) =
            (gradient.view().part(0, self.weights())?, gradient.view().part(self.weights(), parts.rest.len())?);
        let (direction, mut rest) = dw.split_at(self.weights())?;
        let (gain, rest) = rest.split_at(self.gains())?;
        let v = parts.direction;
        weightnorm_backward_direction(cx, v, self.gain(&parts), weight, direction, acc)?;
        put(cx, || Ok(weightnorm_backward_gain(cx, v, weight)?), gain, acc)?;
        copy(cx, by_rest, rest, acc)
    }

    fn forward_tangent(&self, cx: &Context, at: At<'_, T>, along: Along<'_, T>, y_tangent: ViewMut<'_, T>) -> Result<()> {
        let (w, tangent) = (self.effective(cx, at.w)?, self.effective_tangent(cx, at.w, along.w)?);
        self.layer.forward_tangent(cx, At { w: w.view(), ..at }, Along { w: tangent.view(), ..along }, y_tangent)
    }

    fn backward_data_tangent(
        &self,
        cx: &Context,
        at: At<'_, T>,
        along: Along<'_, T>,
        dy: View<'_, T>,
        dy_tangent: View<'_, T>,
        dx_tangent: ViewMut<'_, T>,
    ) -> Result<()> {
        let (w, tangent) = (self.effective(cx, at.w)?, self.effective_tangent(cx, at.w, along.w)?);
        let (at, along) = (At { w: w.view(), ..at }, Along { w: tangent.view(), ..along });
        self.layer.backward_data_tangent(cx, at, along, dy, dy_tangent, dx_tangent)
    }

    fn backward_weight_tangent(
        &self,
        cx: &Context,
        at: At<'_, T>,
        along: Along<'_, T>,
        dy: View<'_, T>,
        dy_tangent: View<'_, T>,
        mut dw_tangent: ViewMut<'_, T>,
    ) -> Result<()> {
        let (parts, along_parts) = (self.parts(at.w)?, self.parts(along.w)?);
        let (w, tangent) = (self.effective(cx, at.w)?, self.effective_tangent(cx, at.w, along.w)?);
        let (at, along) = (At { w: w.view(), ..at }, Along { w: tangent.view(), ..along });
        let (mut gradient, mut gradient_tangent) = (Buffer::zeros(cx, w.len())?, Buffer::zeros(cx, w.len())?);
        self.layer.backward_weight(cx, at, dy, gradient.view_mut(), Acc::Set)?;
        self.layer.backward_weight_tangent(cx, at, along, dy, dy_tangent, gradient_tangent.view_mut())?;
        let (v, dw) = (parts.direction, gradient.view().part(0, self.weights())?);
        let weight_tangent = gradient_tangent.view().part(0, self.weights())?;
        let rest_tangent = gradient_tangent.view().part(self.weights(), parts.rest.len())?;
        let (direction, mut rest) = dw_tangent.split_at(self.weights())?;
        let (gain, rest) = rest.split_at(self.gains())?;
        let gain_tangent = along_parts.gain.unwrap_or(T::ZERO);
        let tangent = Tangent { v: along_parts.direction, g: gain_tangent, dw: weight_tangent };
        weightnorm_backward_direction_tangent(cx, v, self.gain(&parts), dw, tangent, direction, Acc::Set)?;
        let gain_of = || Ok(weightnorm_backward_gain_tangent(cx, v, dw, along_parts.direction, weight_tangent)?);
        put(cx, gain_of, gain, Acc::Set)?;
        copy(cx, rest_tangent, rest, Acc::Set)
    }
}

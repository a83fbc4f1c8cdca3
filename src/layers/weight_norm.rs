use handgrad_kernels::combine::combine;
use handgrad_kernels::weightnorm::{
    Length, Tangent, weightnorm_backward, weightnorm_backward_direction_tangent, weightnorm_backward_gain_tangent,
    weightnorm_forward, weightnorm_forward_tangent,
};
use handgrad_kernels::{Acc, Buffer, Context, Real, View, ViewMut};

use super::{Along, At, Gradient, Layer, Slot, number, put};
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
    /// Empty if g is frozen.
    gain: View<'a, T>,
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
            gain: w.part(self.weights(), self.gains())?,
            rest: w.part(rest, w.len().saturating_sub(rest))?,
        })
    }

    /// g at a point.
    fn gain<'a, T: Real>(&self, at: &Parts<'a, T>) -> Length<'a, T> {
        match self.gain {
            Gain::Frozen(gain) => Length::Number(T::from_f64(gain)),
            Gain::Learned => Length::Element(at.gain),
        }
    }

    /// The same, brought to the host.
    fn gain_on_host<T: Real>(&self, at: &Parts<'_, T>) -> Result<T> {
        match self.gain {
            Gain::Frozen(gain) => Ok(T::from_f64(gain)),
            Gain::Learned => number(at.gain),
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
        let gain_tangent = number(along.gain)?;
        let mut effective = Buffer::zeros(cx, self.weights() + along.rest.len())?;
        let mut whole = effective.view_mut();
        let (weight, rest) = whole.split_at(self.weights())?;
        weightnorm_forward_tangent(cx, parts.direction, self.gain_on_host(&parts)?, along.direction, gain_tangent, weight)?;
        copy(cx, along.rest, rest, Acc::Set)?;
        Ok(effective)
    }

    /// dw, with W and the rest as the layer has them.
    fn weight_gradient<T: Real>(
        &self,
        cx: &Context,
        at: At<'_, T>,
        effective: View<'_, T>,
        dy: View<'_, T>,
        (mut dw, acc): Gradient<'_, T>,
    ) -> Result<()>
    where
        L: Layer<T>,
    {
        let parts = self.parts(at.w)?;
        let mut gradient = Buffer::zeros(cx, effective.len())?;
        self.layer.backward_weight(cx, At { w: effective, ..at }, dy, gradient.view_mut(), Acc::Set)?;
        let (by_weight, by_rest) =
            (gradient.view().part(0, self.weights())?, gradient.view().part(self.weights(), parts.rest.len())?);
        let (direction, mut rest) = dw.split_at(self.weights())?;
        let (gain, rest) = rest.split_at(self.gains())?;
        let gain = (!gain.is_empty()).then_some(gain);
        weightnorm_backward(cx, parts.direction, self.gain(&parts), by_weight, direction, gain, acc)?;
        copy(cx, by_rest, rest, acc)
    }
}

/// `to = from`, or `to = to + from`.
fn copy<T: Real>(cx: &Context, from: View<'_, T>, to: ViewMut<'_, T>, acc: Acc) -> Result<()> {
    Ok(combine(cx, [(T::ONE, from)], to, acc)?)
}

impl<T: Real, L: Layer<T>> Layer<T> for WeightNorm<L> {
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

    fn backward_weight(&self, cx: &Context, at: At<'_, T>, dy: View<'_, T>, dw: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        self.weight_gradient(cx, at, self.effective(cx, at.w)?.view(), dy, (dw, acc))
    }

    fn backward(
        &self,
        cx: &Context,
        at: At<'_, T>,
        dy: View<'_, T>,
        [dx, _]: [Option<Gradient<'_, T>>; 2],
        dw: Gradient<'_, T>,
    ) -> Result<()> {
        let effective = self.effective(cx, at.w)?;
        self.weight_gradient(cx, at, effective.view(), dy, dw)?;
        let at = At { w: effective.view(), ..at };
        dx.map_or(Ok(()), |(dx, acc)| self.layer.backward_data(cx, at, dy, dx, acc))
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
        let gain_tangent = number(along_parts.gain)?;
        let tangent = Tangent { v: along_parts.direction, g: gain_tangent, dw: weight_tangent };
        weightnorm_backward_direction_tangent(cx, v, self.gain_on_host(&parts)?, dw, tangent, direction, Acc::Set)?;
        let gain_of = || Ok(weightnorm_backward_gain_tangent(cx, v, dw, along_parts.direction, weight_tangent)?);
        put(gain_of, gain)?;
        copy(cx, rest_tangent, rest, Acc::Set)
    }
}

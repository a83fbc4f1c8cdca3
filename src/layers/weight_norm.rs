use handgrad_kernels::weightnorm::{
    Tangent, weightnorm_backward_direction, weightnorm_backward_direction_tangent, weightnorm_backward_gain,
    weightnorm_backward_gain_tangent, weightnorm_forward, weightnorm_forward_tangent,
};
use handgrad_kernels::{Acc, Context, Real};

use super::{Along, At, Layer, Linear, Slot};
use crate::error::Result;

/// g of a weight-normalised layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gain {
    /// A number that training does not change.
    Frozen(f64),
    /// A parameter.
    Learned,
}

/// y = W x + b with W = g·V/‖V‖_F; parameters: V, then g if it is learned, then b if there is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightNormLinear {
    /// The layer with parameters W and b.
    pub linear: Linear,
    /// g.
    pub gain: Gain,
}

/// The pieces of a parameter vector, or of a direction in that space.
struct Parts<'a, T> {
    direction: &'a [T],
    /// None if g is frozen.
    gain: Option<T>,
    bias: &'a [T],
}

impl WeightNormLinear {
    fn weights(self) -> usize {
        self.linear.inputs * self.linear.outputs
    }

    fn parts<T: Real>(self, w: &[T]) -> Parts<'_, T> {
        let (direction, rest) = w.split_at(self.weights());
        match self.gain {
            Gain::Frozen(_) => Parts { direction, gain: None, bias: rest },
            Gain::Learned => Parts { direction, gain: Some(rest[0]), bias: &rest[1..] },
        }
    }

    /// g at a point, and its derivative along a direction.
    fn gain<T: Real>(self, at: &Parts<'_, T>) -> T {
        match self.gain {
            Gain::Frozen(gain) => T::from_f64(gain),
            Gain::Learned => at.gain.unwrap_or(T::ONE),
        }
    }

    /// W and b, as the linear layer has them.
    fn effective<T: Real>(self, cx: &Context, w: &[T]) -> Result<Vec<T>> {
        let parts = self.parts(w);
        let mut effective = vec![T::ZERO; self.weights()];
        weightnorm_forward(cx, parts.direction.into(), self.gain(&parts), (&mut effective).into())?;
        effective.extend_from_slice(parts.bias);
        Ok(effective)
    }

    /// Ẇ and ḃ.
    fn effective_tangent<T: Real>(self, cx: &Context, w: &[T], tangent: &[T]) -> Result<Vec<T>> {
        let (parts, along) = (self.parts(w), self.parts(tangent));
        let gain_tangent = along.gain.unwrap_or(T::ZERO);
        let mut effective = vec![T::ZERO; self.weights()];
        let (v, v_tangent) = (parts.direction.into(), along.direction.into());
        weightnorm_forward_tangent(cx, v, self.gain(&parts), v_tangent, gain_tangent, (&mut effective).into())?;
        effective.extend_from_slice(along.bias);
        Ok(effective)
    }
}

/// One value, set or accumulated.
fn put<T: Real>(to: &mut T, value: T, acc: Acc) {
    *to = if acc == Acc::Add { *to + value } else { value };
}

impl<T: Real> Layer<T> for WeightNormLinear {
    fn inputs(&self) -> usize {
        self.linear.inputs
    }

    fn outputs(&self) -> usize {
        self.linear.outputs
    }

    fn slots(&self) -> Vec<Slot> {
        let linear = &self.linear;
        let gain = (self.gain == Gain::Learned).then(|| Slot::new("gain", &[1]));
        let bias = linear.bias.then(|| Slot::new("bias", &[linear.outputs]));
        [Some(Slot::new("weight", &[linear.outputs, linear.inputs])), gain, bias].into_iter().flatten().collect()
    }

    fn forward(&self, cx: &Context, at: At<'_, T>, y: &mut [T]) -> Result<()> {
        self.linear.forward(cx, At { w: &self.effective(cx, at.w)?, ..at }, y)
    }

    fn backward_data(&self, cx: &Context, at: At<'_, T>, dy: &[T], dx: &mut [T]) -> Result<()> {
        self.linear.backward_data(cx, At { w: &self.effective(cx, at.w)?, ..at }, dy, dx)
    }

    fn backward_weight(&self, cx: &Context, at: At<'_, T>, dy: &[T], dw: &mut [T], acc: Acc) -> Result<()> {
        let parts = self.parts(at.w);
        let effective = self.effective(cx, at.w)?;
        let mut gradient = vec![T::ZERO; effective.len()];
        self.linear.backward_weight(cx, At { w: &effective, ..at }, dy, &mut gradient, Acc::Set)?;
        let (weight, bias) = gradient.split_at(self.weights());
        let (direction, rest) = dw.split_at_mut(self.weights());
        let (gain, biases) = rest.split_at_mut(usize::from(self.gain == Gain::Learned));
        let v = parts.direction.into();
        weightnorm_backward_direction(cx, v, self.gain(&parts), weight.into(), direction.into(), acc)?;
        if let [gain] = gain {
            put(gain, weightnorm_backward_gain(cx, v, weight.into())?, acc);
        }
        biases.iter_mut().zip(bias).for_each(|(to, &value)| put(to, value, acc));
        Ok(())
    }

    fn forward_tangent(&self, cx: &Context, at: At<'_, T>, along: Along<'_, T>, y_tangent: &mut [T]) -> Result<()> {
        let (w, tangent) = (self.effective(cx, at.w)?, self.effective_tangent(cx, at.w, along.w)?);
        self.linear.forward_tangent(cx, At { w: &w, ..at }, Along { w: &tangent, ..along }, y_tangent)
    }

    fn backward_data_tangent(
        &self,
        cx: &Context,
        at: At<'_, T>,
        along: Along<'_, T>,
        dy: &[T],
        dy_tangent: &[T],
        dx_tangent: &mut [T],
    ) -> Result<()> {
        let (w, tangent) = (self.effective(cx, at.w)?, self.effective_tangent(cx, at.w, along.w)?);
        let (at, along) = (At { w: &w, ..at }, Along { w: &tangent, ..along });
        self.linear.backward_data_tangent(cx, at, along, dy, dy_tangent, dx_tangent)
    }

    fn backward_weight_tangent(
        &self,
        cx: &Context,
        at: At<'_, T>,
        along: Along<'_, T>,
        dy: &[T],
        dy_tangent: &[T],
        dw_tangent: &mut [T],
    ) -> Result<()> {
        let (parts, along_parts) = (self.parts(at.w), self.parts(along.w));
        let (w, tangent) = (self.effective(cx, at.w)?, self.effective_tangent(cx, at.w, along.w)?);
        let (at, along) = (At { w: &w, ..at }, Along { w: &tangent, ..along });
        let (mut gradient, mut gradient_tangent) = (vec![T::ZERO; w.len()], vec![T::ZERO; w.len()]);
        self.linear.backward_weight(cx, at, dy, &mut gradient, Acc::Set)?;
        self.linear.backward_weight_tangent(cx, at, along, dy, dy_tangent, &mut gradient_tangent)?;
        let (weight, (weight_tangent, bias_tangent)) = (&gradient[..self.weights()], gradient_tangent.split_at(self.weights()));
        let (direction, rest) = dw_tangent.split_at_mut(self.weights());
        let (gain, biases) = rest.split_at_mut(usize::from(self.gain == Gain::Learned));
        let (v, dw) = (parts.direction.into(), weight.into());
        let gain_tangent = along_parts.gain.unwrap_or(T::ZERO);
        let tangent = Tangent { v: along_parts.direction.into(), g: gain_tangent, dw: weight_tangent.into() };
        weightnorm_backward_direction_tangent(cx, v, self.gain(&parts), dw, tangent, direction.into(), Acc::Set)?;
        if let [gain] = gain {
            *gain = weightnorm_backward_gain_tangent(cx, v, dw, along_parts.direction.into(), weight_tangent.into())?;
        }
        biases.copy_from_slice(bias_tangent);
        Ok(())
    }
}

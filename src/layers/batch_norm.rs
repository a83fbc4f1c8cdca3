use handgrad_kernels::activation::{Activation, activation_backward};
use handgrad_kernels::batchnorm::{
    After, BatchNormShape, Gate, Gated, Moments, batchnorm_backward_affine, batchnorm_backward_data, batchnorm_forward,
    batchnorm_moments,
};
use handgrad_kernels::combine::{combine, scale_add};
use handgrad_kernels::{Acc, Buffer, Context, Real, View, ViewMut};

use super::{At, Gradient, Layer, Slot, accumulated};
use crate::error::{Result, refuse};

/// y = γ (x - μ)/√(σ² + ε) + β, channel by channel; parameters: γ, then β. In training μ and σ² are the batch's, else the running
/// ones, which every batch moves by a tenth of the way to its own (σ² with n - 1 for n, as PyTorch has it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNorm {
    /// Pixels of an image.
    pub pixels: usize,
    /// Channels.
    pub channels: usize,
    /// What it does besides in the same passes over memory.
    pub then: Then,
}

/// The layers that a batch normalisation takes over from those that follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// None.
    Nothing,
    /// ReLU: max(0, y).
    Relu,
    /// A residual s, its second input, and ReLU: max(0, y + s).
    ResidualRelu,
}

/// ε, as PyTorch has it.
const EPSILON: f64 = 1e-5;
/// How far the running statistics move, as PyTorch has it.
const MOMENTUM: f64 = 0.1;

/// A vector that holds two of the layer's own, one after the other.
type Two<'a, T> = [View<'a, T>; 2];

impl BatchNorm {
    fn of(self, n: usize) -> BatchNormShape {
        BatchNormShape { rows: n * self.pixels, c: self.channels }
    }

    fn two<T: Real>(self, both: View<'_, T>) -> Result<Two<'_, T>> {
        Ok([both.part(0, self.channels)?, both.part(self.channels, self.channels)?])
    }

    /// Of μ and σ², as they are saved and as they run.
    fn moments<T: Real>(self, both: View<'_, T>) -> Result<Moments<'_, T>> {
        let [mean, variance] = self.two(both)?;
        Ok(Moments { mean, variance, epsilon: EPSILON })
    }

    /// y with the moments given.
    fn normalise<T: Real>(self, cx: &Context, at: At<'_, T>, moments: View<'_, T>, y: ViewMut<'_, T>) -> Result<()> {
        let residual = (self.then == Then::ResidualRelu).then_some(at.second);
        let after = After { residual, relu: self.then != Then::Nothing };
        Ok(batchnorm_forward(cx, &self.of(at.n), at.x, self.moments(moments)?, self.two(at.w)?, after, y)?)
    }

    /// The gradient by y, up to the ReLU.
    fn gated<'a, T: Real>(self, at: At<'a, T>, dy: View<'a, T>) -> Result<Gated<'a, T>> {
        let gate = match self.then {
            Then::Nothing => Gate::Open,
            Then::Relu => Gate::Normalised(self.two(at.w)?),
            Then::ResidualRelu => Gate::Outputs(at.y),
        };
        Ok(Gated { dy, gate })
    }

    /// ∂L/∂γ and ∂L/∂β of this batch, and the gradient by the residual where it is asked for.
    fn affine_gradient<T: Real>(
        self,
        cx: &Context,
        at: At<'_, T>,
        dy: Gated<'_, T>,
        ds: Option<Gradient<'_, T>>,
    ) -> Result<Buffer<T>> {
        let mut gradient = Buffer::zeros(cx, 2 * self.channels)?;
        let mut whole = gradient.view_mut();
        let (dw, db) = whole.split_at(self.channels)?;
        batchnorm_backward_affine(cx, &self.of(at.n), at.x, self.moments(at.saved)?, dy, ds, [dw, db])?;
        Ok(gradient)
    }

    fn data_gradient<T: Real>(
        self,
        cx: &Context,
        at: At<'_, T>,
        affine: View<'_, T>,
        dy: Gated<'_, T>,
        (dx, acc): Gradient<'_, T>,
    ) -> Result<()> {
        let ([w, _], [dw, db]) = (self.two(at.w)?, self.two(affine)?);
        Ok(batchnorm_backward_data(cx, &self.of(at.n), at.x, self.moments(at.saved)?, [w, dw, db], dy, dx, acc)?)
    }
}

impl<T: Real> Layer<T> for BatchNorm {
    fn inputs(&self) -> usize {
        self.pixels * self.channels
    }

    fn outputs(&self) -> usize {
        self.pixels * self.channels
    }

    fn second_inputs(&self) -> usize {
        match self.then {
            Then::Nothing | Then::Relu => 0,
            Then::ResidualRelu => self.pixels * self.channels,
        }
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::new("weight", &[self.channels]), Slot::new("bias", &[self.channels])]
    }

    fn statistics(&self) -> Vec<(Slot, f64)> {
        vec![(Slot::new("running_mean", &[self.channels]), 0.0), (Slot::new("running_var", &[self.channels]), 1.0)]
    }

    fn saved(&self) -> usize {
        2 * self.channels
    }

    fn forward(&self, cx: &Context, at: At<'_, T>, y: ViewMut<'_, T>) -> Result<()> {
        self.normalise(cx, at, at.statistics, y)
    }

    fn forward_train(&self, cx: &Context, at: At<'_, T>, y: ViewMut<'_, T>, mut saved: ViewMut<'_, T>) -> Result<()> {
        let shape = self.of(at.n);
        if shape.rows < 2 {
            return refuse!(
                "batch normalisation in training: 1 number per channel has no variance; take larger batches or images"
            );
        }
        let (mean, variance) = saved.split_at(self.channels)?;
        batchnorm_moments(cx, &shape, at.x, mean, variance)?;
        self.normalise(cx, at, saved.view(), y)
    }

    fn move_statistics(
        &self,
        cx: &Context,
        n: usize,
        share: Option<f64>,
        saved: View<'_, T>,
        mut statistics: ViewMut<'_, T>,
    ) -> Result<()> {
        let rows = (n * self.pixels) as f64;
        let (running_mean, running_variance) = statistics.split_at(self.channels)?;
        let [mean, variance] = self.two(saved)?;
        let share = share.unwrap_or(MOMENTUM);
        let keep = T::from_f64(1.0 - share);
        scale_add(cx, keep, (T::from_f64(share), mean), running_mean)?;
        Ok(scale_add(cx, keep, (T::from_f64(share * rows / (rows - 1.0)), variance), running_variance)?)
    }

    fn backward_data(&self, cx: &Context, at: At<'_, T>, dy: View<'_, T>, dx: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        let dy = self.gated(at, dy)?;
        self.data_gradient(cx, at, self.affine_gradient(cx, at, dy, None)?.view(), dy, (dx, acc))
    }

    fn backward_second(&self, cx: &Context, at: At<'_, T>, dy: View<'_, T>, ds: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        accumulated(cx, ds, acc, |ds| Ok(activation_backward(cx, Activation::Relu, at.y, dy, ds)?))
    }

    fn backward_weight(&self, cx: &Context, at: At<'_, T>, dy: View<'_, T>, dw: ViewMut<'_, T>, acc: Acc) -> Result<()> {
        let gradient = self.affine_gradient(cx, at, self.gated(at, dy)?, None)?;
        Ok(combine(cx, [(T::ONE, gradient.view())], dw, acc)?)
    }

    fn backward(
        &self,
        cx: &Context,
        at: At<'_, T>,
        dy: View<'_, T>,
        [dx, mut second]: [Option<Gradient<'_, T>>; 2],
        (dw, acc): Gradient<'_, T>,
    ) -> Result<()> {
        let dy = self.gated(at, dy)?;
        let ds = second.as_mut().map(|(ds, acc)| (ds.reborrow(), *acc));
        let gradient = self.affine_gradient(cx, at, dy, ds)?;
        combine(cx, [(T::ONE, gradient.view())], dw, acc)?;
        let Some(dx) = dx else { return Ok(()) };
        let dy = match &second {
            // What was set is what the gate lets through.
            Some((ds, Acc::Set)) => ds.view().into(),
            Some((_, Acc::Add)) | None => dy,
        };
        self.data_gradient(cx, at, gradient.view(), dy, dx)
    }

    /// There are none: what a sample adds depends on the others of its batch.
    fn sample_gradients(&self, _: &Context, _: At<'_, T>, _: View<'_, T>, _: ViewMut<'_, T>, _: usize) -> Result<()> {
        refuse!(
            "batch normalisation: no gradients of single samples, which depend on the whole batch; leave out ntk_rank and the like"
        )
    }
}

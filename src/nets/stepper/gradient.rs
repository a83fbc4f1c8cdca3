//! The gradient of an iteration.

use handgrad_kernels::combine::combine;
use handgrad_kernels::divergence::divergence_note;
use handgrad_kernels::{Acc, Buffer, Context, Real, View};

use super::{OP, Samples, Stepper};
use crate::error::Result;
use crate::loss::Loss;
use crate::nets::Point;
use crate::optim::{LabelNoise, Sam};

impl<T: Real> Stepper<T> {
    /// Leaves the gradient of the optimiser's kind, and notes whether a derivative of the loss is not finite.
    pub(super) fn gradient_at(&mut self, cx: &Context, data: Samples<'_, T>, batch: usize, params: View<'_, T>) -> Result<()> {
        self.plain_gradient(cx, data, batch, params)?;
        match self.optimiser.sam {
            Sam::Off => Ok(()),
            Sam::Batch { rho } => {
                let mut perturbed = std::mem::replace(&mut self.perturbed, Buffer::zeros(cx.host(), 0)?);
                let terms = [(T::ONE, params), (T::from_f64(rho), self.gradient.view())];
                combine(cx, terms, perturbed.view_mut(), Acc::Set)?;
                let done = self.plain_gradient(cx, data, batch, perturbed.view());
                self.perturbed = perturbed;
                done
            }
            Sam::Sample { rho } => self.sample_sharpness_gradient(cx, data, batch, params, T::from_f64(rho)),
        }
    }

    /// Leaves ∂L/∂h in `dy` and the gradient in `gradient`.
    fn plain_gradient(&mut self, cx: &Context, data: Samples<'_, T>, batch: usize, params: View<'_, T>) -> Result<()> {
        let (whole, n, targets) = (self.is_whole(batch), self.seen(batch), self.loss.targets(self.outputs));
        let Self { model, shape, x, target, sampled, dy, diverged, gradient, outputs, loss, optimiser, timetable, .. } = self;
        let x = if whole { data.x } else { x.view().part(0, n * shape.stride)? };
        let point = Point::new(n, x, params);
        let mut dy = dy.view_mut();
        let mut dy = dy.part(0, n * *outputs)?;
        let predictions = model.forward(cx, point)?;
        if !sampled.is_empty() {
            let (y, predictions) = (data.target.values()?.on_host(OP, "targets")?, predictions.on_host(OP, "predictions")?);
            let mut target = target.values_mut()?;
            let noisy = target.on_host(OP, "targets")?.iter_mut().zip(y).zip(predictions).zip(sampled.iter());
            noisy.for_each(|(((noisy, &y), &prediction), &factor)| *noisy = y + (prediction - y) * factor);
        }
        let as_they_are = whole && optimiser.label_noise == LabelNoise::Off;
        let target = if as_they_are { data.target } else { target.view().part(0, n * targets)? };
        loss.backward(cx, *outputs, predictions, target, dy.reborrow())?;
        model.backward(cx, point, dy.view(), gradient.view_mut(), Acc::Set)?;
        Ok(divergence_note(cx, dy.view(), timetable.iteration()?, diverged.view_mut())?)
    }

    /// Mean over samples of the gradient of sample i at w + ρ∇ℓ_i(w), ℓ_i the squared residual for the squared losses.
    fn sample_sharpness_gradient(
        &mut self,
        cx: &Context,
        data: Samples<'_, T>,
        batch: usize,
        params: View<'_, T>,
        rho: T,
    ) -> Result<()> {
        let (whole, n, targets) = (self.is_whole(batch), self.seen(batch), self.loss.targets(self.outputs));
        let Self { model, shape, x, target, dy, diverged, perturbed, ascent, gradient, outputs, loss, .. } = self;
        let (optimiser, noted) = (&self.optimiser, self.timetable.iteration()?);
        let x = if whole { data.x } else { x.view() };
        let as_they_are = whole && optimiser.label_noise == LabelNoise::Off;
        let target = if as_they_are { data.target } else { target.view() };
        let count = T::from_f64(n as f64);
        let reach = if *loss == Loss::HalfMse { (rho + rho) * count } else { rho * count };
        gradient.view_mut().on_host(OP, "gradient")?.fill(T::ZERO);
        for i in 0..n {
            let row = x.part(i * shape.stride, shape.stride)?;
            let push: Vec<T> = dy.view().part(i * *outputs, *outputs)?.on_host(OP, "dy")?.iter().map(|&dy| reach * dy).collect();
            let there = Point::new(1, row, params);
            model.forward(cx, there)?;
            model.backward(cx, there, (&push).into(), ascent.view_mut(), Acc::Set)?;
            combine(cx, [(T::ONE, params), (T::ONE, ascent.view())], perturbed.view_mut(), Acc::Set)?;
            let there = Point { params: perturbed.view(), ..there };
            let mut derivative = vec![T::ZERO; *outputs];
            let prediction = model.forward(cx, there)?;
            loss.backward(cx, *outputs, prediction, target.part(i * targets, targets)?, (&mut derivative).into())?;
            derivative.iter_mut().for_each(|derivative| *derivative = *derivative / count);
            divergence_note(cx, (&derivative).into(), noted, diverged.view_mut())?;
            model.backward(cx, there, (&derivative).into(), gradient.view_mut(), Acc::Add)?;
        }
        Ok(())
    }
}

//! One iteration composed of the public operators: slower than the fused kernels, and able to do all the options of
//! [`Optimiser`] on any network.

use std::sync::Arc;

use handgrad_kernels::adam::{Moments, adam_update};
use handgrad_kernels::clip::clip_by_norm;
use handgrad_kernels::diagonal::DiagonalShape;
use handgrad_kernels::sgd::sgd_update;
use handgrad_kernels::{Acc, Context, Real};

use super::Net;
use super::model::Model;
use crate::draws::Draws;
use crate::error::Result;
use crate::loss::Loss;
use crate::optim::{LabelNoise, Optimiser, Sam};
use crate::state::State;

/// Working memory of one replica's step.
#[derive(Debug)]
pub(super) struct Stepper<'a, T> {
    model: Model<T>,
    shape: DiagonalShape,
    params: usize,
    outputs: usize,
    loss: Loss,
    optimiser: &'a Optimiser,
    /// Targets of the iteration.
    y: Vec<T>,
    /// Factors 1 - n·c_i/B of the residuals in [`LabelNoise::Sampled`].
    sampled: Vec<T>,
    noise: Vec<f64>,
    predictions: Vec<T>,
    /// ∂L/∂h of every sample.
    dy: Vec<T>,
    perturbed: Vec<T>,
    ascent: Vec<T>,
    gradient: Vec<T>,
}

/// Iterations with batches of one size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Iterations<'a, T> {
    /// Samples: replicas x iterations x batch; empty for the whole data set.
    pub order: &'a [u32],
    /// Step sizes.
    pub rates: &'a [T],
}

impl<'a, T: Real> Stepper<'a, T> {
    /// For batches of at most `batch` samples.
    pub(super) fn new(
        shape: &DiagonalShape,
        net: Option<&Arc<Net<T>>>,
        batch: usize,
        loss: Loss,
        optimiser: &'a Optimiser,
    ) -> Result<Self> {
        let (most, sampled) = if optimiser.label_noise == LabelNoise::Sampled { (shape.n, shape.n) } else { (batch, 0) };
        let params = net.map_or(2 * shape.d, |net| net.params());
        let outputs = net.map_or(1, |net| net.outputs());
        let numbers = |count: usize| vec![T::ZERO; count];
        Ok(Stepper {
            model: Model::new(shape, net, most)?,
            shape: *shape,
            params,
            outputs,
            loss,
            optimiser,
            y: numbers(most * loss.targets(outputs)),
            sampled: numbers(sampled),
            noise: Vec::new(),
            predictions: numbers(most * outputs),
            dy: numbers(most * outputs),
            perturbed: numbers(params),
            ascent: numbers(params),
            gradient: numbers(params),
        })
    }

    /// `rates.len()` iterations of every replica whose entry of `diverged` is `None`.
    pub(super) fn train(
        &mut self,
        cx: &Context,
        data: (&[T], &[T]),
        draws: &[Draws],
        Iterations { order, rates }: Iterations<'_, T>,
        state: &mut State<T>,
        diverged: &mut [Option<usize>],
    ) -> Result<()> {
        let batch = order.len() / (rates.len() * diverged.len());
        // Inputs of the iteration: those of its batch, or all where they lie.
        let whole = self.is_whole(batch);
        let n = if whole { self.shape.n } else { batch };
        let mut fetched = cx.scratch(if whole { 0 } else { n * self.shape.stride });
        for (replica, diverged) in diverged.iter_mut().enumerate().filter(|(_, diverged)| diverged.is_none()) {
            for (iteration, &rate) in rates.iter().enumerate() {
                let samples = &order[(replica * rates.len() + iteration) * batch..][..batch];
                let step = state.step + iteration as u64;
                self.gather(data, samples, &draws[replica], step, &mut fetched);
                let x = if whole { data.0 } else { &fetched };
                let params = &mut state.params[replica * self.params..][..self.params];
                if !self.gradient_at(cx, n, x, params)? {
                    *diverged = Some(iteration);
                    break;
                }
                let memory = self.optimiser.rule.memory() * self.params;
                self.update(cx, rate, step, &mut state.memory[replica * memory..][..memory], params)?;
                if let Some(average) = state.average.get_mut(replica * self.params..(replica + 1) * self.params) {
                    let keep = T::from_f64(self.optimiser.weight_average);
                    average.iter_mut().zip(&*params).for_each(|(average, &w)| *average = keep * *average + (T::ONE - keep) * w);
                }
            }
        }
        Ok(())
    }

    /// Whether an iteration goes over the whole data set, whose inputs need no fetching.
    fn is_whole(&self, batch: usize) -> bool {
        batch == 0 || !self.sampled.is_empty()
    }

    /// Fetches the inputs of an iteration's batch, and the targets with their noise.
    fn gather(&mut self, (x, y): (&[T], &[T]), samples: &[u32], draws: &Draws, step: u64, fetched: &mut [T]) {
        let (stride, whole, targets) = (self.shape.stride, self.is_whole(samples.len()), self.loss.targets(self.outputs));
        if whole {
            self.y.copy_from_slice(y);
        } else {
            for (k, sample) in samples.iter().map(|&sample| sample as usize).enumerate() {
                fetched[k * stride..][..stride].copy_from_slice(&x[sample * stride..][..stride]);
                self.y[k * targets..][..targets].copy_from_slice(&y[sample * targets..][..targets]);
            }
        }
        let (variance, start) = match self.optimiser.label_noise {
            LabelNoise::Off => return,
            LabelNoise::Sampled => {
                self.sampled.fill(T::ONE);
                let weight = T::from_f64(self.shape.n as f64 / samples.len() as f64);
                samples.iter().for_each(|&sample| self.sampled[sample as usize] -= weight);
                return;
            }
            LabelNoise::Gaussian { variance } => (variance, step * y.len() as u64),
            LabelNoise::Static { variance } => (variance, 0),
        };
        self.noise.resize(y.len(), 0.0);
        draws.noise.fill_normal(start, &mut self.noise);
        let (noise, deviation) = (&self.noise, variance.sqrt());
        let xi = |place: usize| T::from_f64(deviation * noise[place]);
        if whole {
            self.y.iter_mut().enumerate().for_each(|(place, y)| *y += xi(place));
        } else {
            let places = samples.iter().flat_map(|&sample| (0..targets).map(move |k| sample as usize * targets + k));
            self.y.iter_mut().zip(places).for_each(|(y, place)| *y += xi(place));
        }
    }

    /// The gradient of the optimiser's kind; false if a derivative of the loss is not finite.
    fn gradient_at(&mut self, cx: &Context, n: usize, x: &[T], params: &[T]) -> Result<bool> {
        if !self.plain_gradient(cx, n, x, params)? {
            return Ok(false);
        }
        match self.optimiser.sam {
            Sam::Off => Ok(true),
            Sam::Batch { rho } => {
                let rho = T::from_f64(rho);
                let perturbed: Vec<T> = params.iter().zip(&self.gradient).map(|(&w, &g)| w + rho * g).collect();
                self.plain_gradient(cx, n, x, &perturbed)
            }
            Sam::Sample { rho } => self.sample_sharpness_gradient(cx, n, x, params, T::from_f64(rho)),
        }
    }

    /// Leaves ∂L/∂h in `dy` and the gradient in `gradient`.
    fn plain_gradient(&mut self, cx: &Context, n: usize, x: &[T], params: &[T]) -> Result<bool> {
        let Self { model, y, sampled, predictions, dy, gradient, outputs, loss, .. } = self;
        let (y, predictions, dy) =
            (&mut y[..n * loss.targets(*outputs)], &mut predictions[..n * *outputs], &mut dy[..n * *outputs]);
        model.forward(cx, n, x, params, predictions)?;
        for ((y, &prediction), &factor) in y.iter_mut().zip(&*predictions).zip(&*sampled) {
            *y = *y + (prediction - *y) * factor;
        }
        loss.backward(cx, *outputs, predictions, y, dy)?;
        model.backward(cx, (n, x, params), dy, gradient, Acc::Set)?;
        Ok(dy.iter().all(|derivative| derivative.is_finite()))
    }

    /// Mean over samples of the gradient of sample i at w + ρ∇ℓ_i(w), ℓ_i the squared residual for the squared losses.
    fn sample_sharpness_gradient(&mut self, cx: &Context, n: usize, x: &[T], params: &[T], rho: T) -> Result<bool> {
        let (outputs, stride, targets) = (self.outputs, self.shape.stride, self.loss.targets(self.outputs));
        let Self { model, y, dy, predictions, perturbed, ascent, gradient, loss, .. } = self;
        let count = T::from_f64(n as f64);
        let reach = if *loss == Loss::HalfMse { (rho + rho) * count } else { rho * count };
        gradient.fill(T::ZERO);
        for i in 0..n {
            let row = &x[i * stride..][..stride];
            let push: Vec<T> = dy[i * outputs..][..outputs].iter().map(|&derivative| reach * derivative).collect();
            let prediction = &mut predictions[..outputs];
            model.forward(cx, 1, row, params, prediction)?;
            model.backward(cx, (1, row, params), &push, ascent, Acc::Set)?;
            perturbed.iter_mut().zip(params).zip(&*ascent).for_each(|((p, &w), &a)| *p = w + a);
            model.forward(cx, 1, row, perturbed, prediction)?;
            let mut derivative = vec![T::ZERO; outputs];
            loss.backward(cx, outputs, prediction, &y[i * targets..][..targets], &mut derivative)?;
            derivative.iter_mut().for_each(|derivative| *derivative = *derivative / count);
            if !derivative.iter().all(|derivative| derivative.is_finite()) {
                return Ok(false);
            }
            model.backward(cx, (1, row, perturbed), &derivative, gradient, Acc::Add)?;
        }
        Ok(true)
    }

    fn update(&mut self, cx: &Context, rate: T, step: u64, memory: &mut [T], params: &mut [T]) -> Result<()> {
        let d = self.shape.d;
        if let Some(clip) = self.optimiser.clip {
            clip_by_norm(cx, T::from_f64(clip), (&mut self.gradient).into())?;
        }
        if self.optimiser.normalised {
            let norms = [0, d].map(|half| self.gradient[half..half + d].iter().map(|&g| g * g).sum::<T>().sqrt());
            if norms.iter().all(|&norm| norm > T::ZERO) {
                for (j, gradient) in self.gradient.iter_mut().enumerate() {
                    *gradient = *gradient / norms[usize::from(j >= d)];
                }
            }
        }
        let pull = self.balancing(params);
        let gradient = (&self.gradient).into();
        if let Some(rule) = self.optimiser.sgd_rule() {
            sgd_update(cx, &rule, rate.to_f64(), step == 0, gradient, memory.into(), (&mut *params).into())?;
        } else if let Some(rule) = self.optimiser.adam_rule() {
            let (m, v) = memory.split_at_mut(self.params);
            let moments = Moments { m: m.into(), v: v.into() };
            adam_update(cx, &rule, rate.to_f64(), step + 1, gradient, moments, (&mut *params).into())?;
        }
        params.iter_mut().zip(&pull).for_each(|(w, &pull)| *w -= pull);
        Ok(())
    }

    /// What [`Optimiser::balancedness`] takes from u and v; empty if it is off.
    fn balancing(&self, params: &[T]) -> Vec<T> {
        if self.optimiser.balancedness == 0.0 {
            return Vec::new();
        }
        let strength = T::from_f64(self.optimiser.balancedness);
        let (u, v) = params.split_at(self.shape.d);
        let larger = |a: T, b: T| if a.abs() > b.abs() { T::ONE } else { -T::ONE };
        let pull = |(&a, &b): (&T, &T)| strength * a * larger(a, b);
        u.iter().zip(v).map(pull).chain(v.iter().zip(u).map(pull)).collect()
    }
}

//! One iteration of a diagonal network composed of the public operators: slower than the fused kernels, and able to do all
//! the options of [`Optimiser`].

use handgrad_kernels::diagonal::{DiagonalShape, diagonal_backward_weight, diagonal_forward};
use handgrad_kernels::mse::{MseScale, mse_backward};
use handgrad_kernels::{Acc, Context, Real};

use crate::draws::Draws;
use crate::error::Result;
use crate::optim::{LabelNoise, Optimiser, Sam};
use crate::state::State;

/// Working memory of one replica's step.
#[derive(Debug)]
pub(super) struct Stepper<'a, T> {
    shape: DiagonalShape,
    optimiser: &'a Optimiser,
    /// Labels of the iteration.
    y: Vec<T>,
    /// Factors 1 - n·c_i/B of the residuals in [`LabelNoise::Sampled`].
    sampled: Vec<T>,
    noise: Vec<f64>,
    predictions: Vec<T>,
    residuals: Vec<T>,
    perturbed: Vec<T>,
    ascent: Vec<T>,
    gradient: Vec<T>,
}

impl<'a, T: Real> Stepper<'a, T> {
    pub(super) fn new(shape: &DiagonalShape, optimiser: &'a Optimiser) -> Self {
        let (n, sampled) = match optimiser.label_noise {
            _ if optimiser.is_plain() => (0, 0),
            LabelNoise::Sampled => (shape.n, shape.n),
            _ => (optimiser.batch_size(shape.n), 0),
        };
        let numbers = |count: usize| vec![T::ZERO; count];
        Stepper {
            shape: DiagonalShape { n, replicas: 1, ..*shape },
            optimiser,
            y: numbers(n),
            sampled: numbers(sampled),
            noise: Vec::new(),
            predictions: numbers(n),
            residuals: numbers(n),
            perturbed: numbers(2 * shape.d),
            ascent: numbers(2 * shape.d),
            gradient: numbers(2 * shape.d),
        }
    }

    /// `rates.len()` iterations of every replica whose entry of `diverged` is `None`; an empty order means the whole data set.
    #[expect(clippy::too_many_arguments, reason = "what a fused kernel takes, and the noise")]
    pub(super) fn train(
        &mut self,
        cx: &Context,
        data: (&[T], &[T]),
        draws: &[Draws],
        order: &[u32],
        rates: &[T],
        state: &mut State<T>,
        diverged: &mut [Option<usize>],
    ) -> Result<()> {
        let two_d = 2 * self.shape.d;
        let batch = order.len() / (rates.len() * diverged.len());
        // Inputs of the iteration: those of its batch, or all where they lie.
        let whole = self.is_whole(batch);
        let mut fetched = cx.scratch(if whole { 0 } else { self.shape.n * self.shape.stride });
        for (replica, diverged) in diverged.iter_mut().enumerate().filter(|(_, diverged)| diverged.is_none()) {
            let params = &mut state.params[replica * two_d..][..two_d];
            for (step, &rate) in rates.iter().enumerate() {
                let samples = &order[(replica * rates.len() + step) * batch..][..batch];
                self.gather(data, samples, &draws[replica], state.step + step as u64, &mut fetched);
                let x = if whole { data.0 } else { &fetched };
                if !self.gradient_at(cx, x, params)? {
                    *diverged = Some(step);
                    break;
                }
                self.update(params, rate);
                if let Some(average) = state.average.get_mut(replica * two_d..(replica + 1) * two_d) {
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

    /// Fetches the inputs of an iteration's batch, and the labels with their noise.
    fn gather(&mut self, (x, y): (&[T], &[T]), samples: &[u32], draws: &Draws, step: u64, fetched: &mut [T]) {
        let (stride, whole) = (self.shape.stride, self.is_whole(samples.len()));
        if whole {
            self.y.copy_from_slice(y);
        } else {
            for (k, sample) in samples.iter().map(|&sample| sample as usize).enumerate() {
                fetched[k * stride..][..stride].copy_from_slice(&x[sample * stride..][..stride]);
                self.y[k] = y[sample];
            }
        }
        match self.optimiser.label_noise {
            LabelNoise::Off => {}
            LabelNoise::Sampled => {
                self.sampled.fill(T::ONE);
                let weight = T::from_f64(y.len() as f64 / samples.len() as f64);
                samples.iter().for_each(|&sample| self.sampled[sample as usize] -= weight);
            }
            LabelNoise::Gaussian { variance } => {
                let (deviation, start) = (variance.sqrt(), step * y.len() as u64);
                self.noise.resize(y.len(), 0.0);
                draws.noise.fill_normal(start, &mut self.noise);
                let noise = &self.noise;
                let xi = |sample: usize| T::from_f64(deviation * noise[sample]);
                if whole {
                    self.y.iter_mut().enumerate().for_each(|(sample, y)| *y += xi(sample));
                } else {
                    self.y.iter_mut().zip(samples).for_each(|(y, &sample)| *y += xi(sample as usize));
                }
            }
        }
    }

    /// The gradient of the optimiser's kind; false if a residual is not finite.
    fn gradient_at(&mut self, cx: &Context, x: &[T], params: &[T]) -> Result<bool> {
        if !self.plain_gradient(cx, x, params)? {
            return Ok(false);
        }
        match self.optimiser.sam {
            Sam::Off => Ok(true),
            Sam::Batch { rho } => {
                let rho = T::from_f64(rho);
                let perturbed: Vec<T> = params.iter().zip(&self.gradient).map(|(&w, &g)| w + rho * g).collect();
                self.plain_gradient(cx, x, &perturbed)
            }
            Sam::Sample { rho } => self.sample_sharpness_gradient(cx, x, params, T::from_f64(rho)),
        }
    }

    /// Leaves y - target in `residuals`, divided by the batch size, and the gradient in `gradient`.
    fn plain_gradient(&mut self, cx: &Context, x: &[T], params: &[T]) -> Result<bool> {
        let Self { shape, y, sampled, predictions, residuals, gradient, .. } = self;
        diagonal_forward(cx, shape, x.into(), params.into(), predictions.into())?;
        for ((y, &prediction), &factor) in y.iter_mut().zip(&*predictions).zip(&*sampled) {
            *y = *y + (prediction - *y) * factor;
        }
        mse_backward(cx, MseScale::Half, (&*predictions).into(), (&*y).into(), residuals.into())?;
        diagonal_backward_weight(cx, shape, x.into(), params.into(), (&*residuals).into(), gradient.into(), Acc::Set)?;
        Ok(residuals.iter().all(|residual| residual.is_finite()))
    }

    /// Mean over samples of the gradient of sample i at w + 2ρ r_i ∇h(x_i).
    fn sample_sharpness_gradient(&mut self, cx: &Context, x: &[T], params: &[T], rho: T) -> Result<bool> {
        let Self { shape, y, residuals, perturbed, ascent, gradient, .. } = self;
        let count = T::from_f64(shape.n as f64);
        let one = DiagonalShape { n: 1, ..*shape };
        gradient.fill(T::ZERO);
        for i in 0..shape.n {
            let row = &x[i * shape.stride..][..shape.stride];
            let push = [(rho + rho) * residuals[i] * count];
            diagonal_backward_weight(cx, &one, row.into(), params.into(), (&push).into(), ascent.into(), Acc::Set)?;
            perturbed.iter_mut().zip(params).zip(&*ascent).for_each(|((p, &w), &a)| *p = w + a);
            let mut prediction = [T::ZERO];
            diagonal_forward(cx, &one, row.into(), (&*perturbed).into(), (&mut prediction).into())?;
            let residual = [(prediction[0] - y[i]) / count];
            if !residual[0].is_finite() {
                return Ok(false);
            }
            diagonal_backward_weight(
                cx,
                &one,
                row.into(),
                (&*perturbed).into(),
                (&residual).into(),
                (&mut *gradient).into(),
                Acc::Add,
            )?;
        }
        Ok(true)
    }

    fn update(&mut self, params: &mut [T], rate: T) {
        let d = self.shape.d;
        if self.optimiser.normalised {
            let norms = [0, d].map(|half| self.gradient[half..half + d].iter().map(|&g| g * g).sum::<T>().sqrt());
            if norms.iter().all(|&norm| norm > T::ZERO) {
                for (j, gradient) in self.gradient.iter_mut().enumerate() {
                    *gradient = *gradient / norms[usize::from(j >= d)];
                }
            }
        }
        let strength = T::from_f64(self.optimiser.balancedness);
        let larger = |a: T, b: T| if a.abs() > b.abs() { T::ONE } else { -T::ONE };
        let (u, v) = params.split_at_mut(d);
        for j in 0..d {
            (u[j], v[j]) = (
                u[j] - rate * self.gradient[j] - strength * u[j] * larger(u[j], v[j]),
                v[j] - rate * self.gradient[d + j] - strength * v[j] * larger(v[j], u[j]),
            );
        }
    }
}

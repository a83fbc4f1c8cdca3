//! One iteration of a diagonal network composed of the public operators: slower than the fused kernels, and able to do all
//! the options of [`Optimiser`].

use handgrad_kernels::diagonal::{DiagonalShape, diagonal_backward_weight, diagonal_forward};
use handgrad_kernels::mse::{MseScale, mse_backward};
use handgrad_kernels::{Acc, Context, Real};

use crate::error::Result;
use crate::optim::{Optimiser, Sam};
use crate::state::State;

/// Working memory of one replica's step.
#[derive(Debug)]
pub(super) struct Stepper<'a, T> {
    shape: DiagonalShape,
    optimiser: &'a Optimiser,
    x: Vec<T>,
    y: Vec<T>,
    predictions: Vec<T>,
    residuals: Vec<T>,
    perturbed: Vec<T>,
    ascent: Vec<T>,
    gradient: Vec<T>,
}

impl<'a, T: Real> Stepper<'a, T> {
    pub(super) fn new(shape: &DiagonalShape, optimiser: &'a Optimiser) -> Self {
        let n = if optimiser.is_plain() { 0 } else { optimiser.batch_size(shape.n) };
        let numbers = |count: usize| vec![T::ZERO; count];
        Stepper {
            shape: DiagonalShape { n, replicas: 1, ..*shape },
            optimiser,
            x: numbers(n * shape.stride),
            y: numbers(n),
            predictions: numbers(n),
            residuals: numbers(n),
            perturbed: numbers(2 * shape.d),
            ascent: numbers(2 * shape.d),
            gradient: numbers(2 * shape.d),
        }
    }

    /// `rates.len()` iterations of every replica whose entry of `diverged` is `None`; an empty order means the whole data set.
    pub(super) fn train(
        &mut self,
        cx: &Context,
        (x, y): (&[T], &[T]),
        order: &[u32],
        rates: &[T],
        state: &mut State<T>,
        diverged: &mut [Option<usize>],
    ) -> Result<()> {
        let (batch, two_d, stride) = (self.shape.n, 2 * self.shape.d, self.shape.stride);
        if order.is_empty() {
            self.x.copy_from_slice(&x[..batch * stride]);
            self.y.copy_from_slice(y);
        }
        for (replica, diverged) in diverged.iter_mut().enumerate().filter(|(_, diverged)| diverged.is_none()) {
            let params = &mut state.params[replica * two_d..][..two_d];
            for (step, &rate) in rates.iter().enumerate() {
                if !order.is_empty() {
                    let samples = &order[(replica * rates.len() + step) * batch..][..batch];
                    for (k, sample) in samples.iter().map(|&sample| sample as usize).enumerate() {
                        self.x[k * stride..][..stride].copy_from_slice(&x[sample * stride..][..stride]);
                        self.y[k] = y[sample];
                    }
                }
                if !self.gradient_at(cx, params)? {
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

    /// The gradient of the optimiser's kind; false if a residual is not finite.
    fn gradient_at(&mut self, cx: &Context, params: &[T]) -> Result<bool> {
        if !self.plain_gradient(cx, params)? {
            return Ok(false);
        }
        match self.optimiser.sam {
            Sam::Off => Ok(true),
            Sam::Batch { rho } => {
                let rho = T::from_f64(rho);
                let perturbed: Vec<T> = params.iter().zip(&self.gradient).map(|(&w, &g)| w + rho * g).collect();
                self.plain_gradient(cx, &perturbed)
            }
            Sam::Sample { rho } => self.sample_sharpness_gradient(cx, params, T::from_f64(rho)),
        }
    }

    /// Leaves y - target in `residuals`, divided by the batch size, and the gradient in `gradient`.
    fn plain_gradient(&mut self, cx: &Context, params: &[T]) -> Result<bool> {
        let Self { shape, x, y, predictions, residuals, gradient, .. } = self;
        diagonal_forward(cx, shape, (&*x).into(), params.into(), predictions.into())?;
        mse_backward(cx, MseScale::Half, (&*predictions).into(), (&*y).into(), residuals.into())?;
        diagonal_backward_weight(cx, shape, (&*x).into(), params.into(), (&*residuals).into(), gradient.into(), Acc::Set)?;
        Ok(residuals.iter().all(|residual| residual.is_finite()))
    }

    /// Mean over samples of the gradient of sample i at w + 2ρ r_i ∇h(x_i).
    fn sample_sharpness_gradient(&mut self, cx: &Context, params: &[T], rho: T) -> Result<bool> {
        let Self { shape, x, y, residuals, perturbed, ascent, gradient, .. } = self;
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

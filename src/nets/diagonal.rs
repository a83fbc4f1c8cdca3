//! Diagonal linear networks in training: the fused kernels where the update is plain, [`super::step`] where it is not.

use handgrad_kernels::diagonal::{DiagonalShape, Steps, diagonal_gd, diagonal_sgd};
use handgrad_kernels::{Buffer, Context, Real};

use super::step::Stepper;
use crate::data::Dataset;
use crate::draws::{Draws, Order};
use crate::error::Result;
use crate::optim::{Optimiser, Valley};
use crate::schedule::Schedule;
use crate::state::State;

/// Most steps, and most samples per replica, handed to a kernel at once; chunks bound the memory of orders and step sizes, and
/// change no bit.
const CHUNK: u64 = 4096;
/// See [`CHUNK`].
const CHUNK_SAMPLES: usize = 1 << 20;

/// One run of a diagonal network over a data set: what [`Diagonal::advance`] needs besides the state.
#[derive(Debug)]
pub struct Diagonal<T: Real> {
    shape: DiagonalShape,
    x: Buffer<T>,
    y: Vec<T>,
    schedule: Schedule,
    optimiser: Optimiser,
    steps: u64,
    gradient_scale: f64,
}

impl<T: Real> Diagonal<T> {
    /// Packs the data. `gradient_scale` multiplies every step size: 1 for the half mean squared error, 2 for the mean squared error.
    ///
    /// # Errors
    /// If the context's device has no room for the data.
    pub fn new(
        cx: &Context,
        data: &Dataset,
        schedule: Schedule,
        optimiser: Optimiser,
        steps: u64,
        gradient_scale: f64,
    ) -> Result<Diagonal<T>> {
        let (n, d) = (data.n(), data.d);
        let stride = DiagonalShape::aligned_stride::<T>(d);
        let mut x = vec![T::ZERO; n * stride];
        for (packed, row) in x.chunks_exact_mut(stride).zip(data.x.chunks_exact(d)) {
            packed.iter_mut().zip(row).for_each(|(packed, &value)| *packed = T::from_f64(value));
        }
        let shape = DiagonalShape { n, d, stride, replicas: 1 };
        let y = data.y.iter().map(|&value| T::from_f64(value)).collect();
        Ok(Diagonal { shape, x: Buffer::from_slice(cx, &x)?, y, schedule, optimiser, steps, gradient_scale })
    }

    /// Parameters of one replica, 2d.
    pub fn params(&self) -> usize {
        2 * self.shape.d
    }

    /// Trains every replica that has not diverged until `state.step` is `until`. `draws`: one per replica.
    ///
    /// # Errors
    /// If a kernel refuses its arguments.
    pub fn advance(&self, cx: &Context, state: &mut State<T>, draws: &[Draws], until: u64) -> Result<()> {
        let shape = DiagonalShape { replicas: state.replicas(), ..self.shape };
        let batch = self.optimiser.batch_size(shape.n);
        let mut stepper = Stepper::new(&shape, &self.optimiser);
        let (mut order, mut rates) = (Vec::new(), Vec::new());
        while state.step < until && !state.is_over() {
            let count = (until - state.step).min(CHUNK).min((CHUNK_SAMPLES / batch).max(1) as u64);
            rates.clear();
            rates.extend(
                (state.step..state.step + count).map(|i| T::from_f64(self.gradient_scale * self.schedule.at(i, self.steps))),
            );
            let full = matches!(draws, [Draws { order: Order::Full, .. }, ..]);
            order.resize(if full { 0 } else { shape.replicas * count as usize * batch }, 0);
            for (order, draws) in order.chunks_exact_mut(count as usize * batch).zip(draws) {
                draws.order.fill(state.step * batch as u64, order);
            }
            let mut diverged: Vec<Option<usize>> = state.diverged.iter().map(|at| at.map(|_| 0)).collect();
            if self.optimiser.is_plain() {
                let (x, y) = (self.x.view(), (&self.y).into());
                if full {
                    diagonal_gd(cx, &shape, x, y, &rates, (&mut state.params).into(), &mut diverged)?;
                } else {
                    let steps = Steps { order: &order, batch, lr: &rates };
                    diagonal_sgd(cx, &shape, x, y, steps, (&mut state.params).into(), &mut diverged)?;
                }
            } else {
                let data = (self.x.as_slice().unwrap_or_default(), self.y.as_slice());
                stepper.train(cx, data, draws, &order, &rates, state, &mut diverged)?;
            }
            for (at, found) in state.diverged.iter_mut().zip(diverged) {
                *at = at.or(found.map(|step| state.step + step as u64));
            }
            state.step += count;
        }
        state.step = until.max(state.step);
        Ok(())
    }

    /// Where full-batch GD from the measured parameters leads.
    ///
    /// # Errors
    /// If a kernel refuses its arguments.
    pub fn valley_floor(&self, cx: &Context, state: &State<T>, valley: Valley) -> Result<Vec<T>> {
        let shape = DiagonalShape { replicas: state.replicas(), ..self.shape };
        let mut params = state.measured().to_vec();
        let rates = vec![T::from_f64(valley.lr); valley.steps.min(CHUNK) as usize];
        let mut diverged: Vec<Option<usize>> = state.diverged.iter().map(|at| at.map(|_| 0)).collect();
        let mut left = valley.steps;
        while left > 0 {
            let rates = &rates[..left.min(CHUNK) as usize];
            diagonal_gd(cx, &shape, self.x.view(), (&self.y).into(), rates, (&mut params).into(), &mut diverged)?;
            left -= rates.len() as u64;
        }
        Ok(params)
    }

    /// The optimiser.
    pub fn optimiser(&self) -> &Optimiser {
        &self.optimiser
    }
}

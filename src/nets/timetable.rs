//! What changes from one iteration to the next, in memory where kernels read it: a recorded iteration has no arguments.

use std::ops::Range;

use handgrad_kernels::gather::{GatherShape, gather};
use handgrad_kernels::{Buffer, Context, Device, Rates, Real, View};

use super::stepper::Iterations;
use crate::error::Result;
use crate::optim::Optimiser;

/// Most iterations of a timetable.
pub(super) const STRETCH: usize = 64;

/// Numbers of a row before its samples: the place of the next row, the number of the iteration, and its step modulo 2^32.
const HEAD: usize = 3;

/// A stretch of iterations on the context's device.
#[derive(Debug)]
pub(super) struct Timetable<T: Real> {
    /// Numbers from one row to the next.
    stride: usize,
    /// Numbers of a step size.
    width: usize,
    rows: Buffer<u32>,
    rates: Buffer<T>,
    /// Rows turned to, on the CPU; the last one is at hand.
    turned: usize,
    there: Option<There<T>>,
}

/// What a CUDA device's timetable needs to count itself.
#[derive(Debug)]
struct There<T: Real> {
    /// The place of the next row.
    clock: Buffer<u32>,
    /// The row and the step size of the iteration at hand.
    row: Buffer<u32>,
    rate: Buffer<T>,
    zero: Buffer<u32>,
}

impl<T: Real> Timetable<T> {
    /// For batches of at most so many samples.
    pub(super) fn new(cx: &Context, batch: usize, optimiser: &Optimiser) -> Result<Timetable<T>> {
        let (stride, width) = (HEAD + batch, if optimiser.adam_rule().is_some() { 2 } else { 1 });
        let (rows, rates) = (Buffer::zeros(cx, STRETCH * stride)?, Buffer::zeros(cx, STRETCH * width)?);
        let there = match cx.device() {
            Device::Cpu => None,
            Device::Cuda(_) => {
                let [clock, row, zero] = [1, stride, 1].map(|len| Buffer::zeros(cx, len));
                Some(There { clock: clock?, row: row?, rate: Buffer::zeros(cx, width)?, zero: zero? })
            }
        };
        Ok(Timetable { stride, width, rows, rates, turned: 0, there })
    }

    /// Takes a stretch of the iterations, and stands before its first one.
    pub(super) fn fill(
        &mut self,
        optimiser: &Optimiser,
        iterations: Iterations<'_, Rates<'_, T>>,
        stretch: Range<usize>,
    ) -> Result<()> {
        let batch = iterations.batch();
        let mut rows = Vec::with_capacity(stretch.len() * self.stride);
        let mut rates = Vec::with_capacity(stretch.len() * self.width);
        for (place, iteration) in stretch.enumerate() {
            let (step, rate) = (iterations.step + iteration as u64, iterations.rates.at(iteration));
            rows.extend([place as u32 + 1, iteration as u32, step as u32]);
            rows.extend_from_slice(&iterations.order[iteration * batch..][..batch]);
            rows.resize((place + 1) * self.stride, 0);
            match optimiser.adam_rule() {
                Some(rule) => rates.extend(rule.corrected::<T>(rate.to_f64(), step + 1)?),
                None => rates.push(rate),
            }
        }
        self.rows.view_mut().part(0, rows.len())?.copy_from_host(&rows)?;
        self.rates.view_mut().part(0, rates.len())?.copy_from_host(&rates)?;
        self.turned = 0;
        self.there.as_mut().map_or(Ok(()), |there| Ok(there.clock.view_mut().copy_from_host(&[0])?))
    }

    /// Goes on to the next iteration, of so many samples.
    pub(super) fn turn(&mut self, cx: &Context, batch: usize) -> Result<()> {
        let Timetable { stride, width, rows, rates, turned, there } = self;
        let Some(There { clock, row, rate, zero }) = there else {
            *turned += 1;
            return Ok(());
        };
        let shape = GatherShape { n: STRETCH, width: HEAD + batch, stride: *stride };
        gather(cx, &shape, rows.view(), clock.view(), row.view_mut().part(0, HEAD + batch)?)?;
        let shape = GatherShape { n: STRETCH, width: *width, stride: *width };
        gather(cx, &shape, rates.view(), clock.view(), rate.view_mut())?;
        let shape = GatherShape { n: 1, width: 1, stride: 1 };
        Ok(gather(cx, &shape, row.view().part(0, 1)?, zero.view(), clock.view_mut())?)
    }

    /// Numbers of the row at hand.
    fn part(&self, start: usize, len: usize) -> Result<View<'_, u32>> {
        Ok(match &self.there {
            Some(there) => there.row.view().part(start, len)?,
            None => self.rows.view().part(self.place() * self.stride + start, len)?,
        })
    }

    /// The place of the row at hand on the CPU, of the first one before any was turned to.
    fn place(&self) -> usize {
        self.turned.saturating_sub(1)
    }

    /// The iteration's number.
    pub(super) fn iteration(&self) -> Result<View<'_, u32>> {
        self.part(1, 1)
    }

    /// The step, modulo 2^32.
    pub(super) fn step(&self) -> Result<View<'_, u32>> {
        self.part(2, 1)
    }

    /// The samples.
    pub(super) fn samples(&self, batch: usize) -> Result<View<'_, u32>> {
        self.part(HEAD, batch)
    }

    /// The step size as the optimiser's rule takes it.
    pub(super) fn rate(&self) -> Result<View<'_, T>> {
        Ok(match &self.there {
            Some(there) => there.rate.view(),
            None => self.rates.view().part(self.place() * self.width, self.width)?,
        })
    }
}

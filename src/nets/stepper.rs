//! One iteration composed of the public operators: slower than the fused kernels, and able to do all the options of
//! [`Optimiser`] on any network.

mod device;
mod gradient;

use std::ops::Range;
use std::sync::Arc;

use handgrad_kernels::adam::{Moments, adam_update};
use handgrad_kernels::clip::clip_by_norm;
use handgrad_kernels::combine::{combine, scale_add};
use handgrad_kernels::diagonal::DiagonalShape;
use handgrad_kernels::divergence::NOT_DIVERGED;
use handgrad_kernels::gather::{GatherShape, gather};
use handgrad_kernels::label_noise::{Noise, label_noise};
use handgrad_kernels::sgd::sgd_update;
use handgrad_kernels::{Acc, Buffer, Context, Device, Rates, Real, StepSizes, View};

use device::Here;

use super::model::Model;
use super::resident::Memory;
use super::timetable::{STRETCH, Timetable};
use super::{Net, Point};
use crate::data::images::{Augment, ClassNoise, augment};
use crate::draws::Draws;
use crate::error::Result;
use crate::loss::{Loss, TargetBuffer, Targets};
use crate::optim::{Batch, LabelNoise, Optimiser};

/// In errors.
const OP: &str = "training step";

/// Working memory of one replica's step.
#[derive(Debug)]
pub(super) struct Stepper<T: Real> {
    model: Model<T>,
    shape: DiagonalShape,
    params: usize,
    outputs: usize,
    loss: Loss,
    optimiser: Optimiser,
    /// Inputs of the iteration's batch.
    x: Buffer<T>,
    /// The same before augmentation, if there is any.
    plain_x: Buffer<T>,
    /// Targets of the iteration.
    target: TargetBuffer<T>,
    /// Factors 1 - n·c_i/B of the residuals in [`LabelNoise::Sampled`].
    sampled: Vec<T>,
    /// ∂L/∂h of every sample.
    dy: Buffer<T>,
    /// The first iteration in which that was not finite.
    diverged: Buffer<u32>,
    perturbed: Buffer<T>,
    ascent: Buffer<T>,
    gradient: Buffer<T>,
    timetable: Timetable<T>,
    recording: bool,
    here: Option<Here<T>>,
}

/// The training set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Samples<'a, T: Real> {
    pub x: View<'a, T>,
    pub target: Targets<'a, T>,
    /// Rows, columns and channels of images.
    pub image: Option<[usize; 3]>,
}

/// Iterations with batches of one size: of all replicas with their [`StepSizes`], or of one with its [`Rates`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Iterations<'a, R> {
    /// The first one's number.
    pub step: u64,
    /// Samples: replicas x iterations x batch; empty for the whole data set.
    pub order: &'a [u32],
    /// Step sizes.
    pub rates: R,
}

impl<'a, T: Real> Iterations<'a, StepSizes<'a, T>> {
    /// The iterations of one of so many replicas.
    fn of_replica(self, replica: usize, replicas: usize) -> Iterations<'a, Rates<'a, T>> {
        let len = self.order.len() / replicas;
        let rates = self.rates.of(replica, replicas);
        Iterations { step: self.step, order: &self.order[replica * len..][..len], rates }
    }
}

impl<T: Real> Iterations<'_, Rates<'_, T>> {
    /// Samples of each.
    pub fn batch(self) -> usize {
        self.order.len() / self.rates.len()
    }
}

/// The iterations of one replica.
#[derive(Clone, Copy, Debug)]
struct Task<'a, T: Real> {
    data: Samples<'a, T>,
    draws: &'a Draws,
    iterations: Iterations<'a, Rates<'a, T>>,
}

impl<T: Real> Stepper<T> {
    /// For batches of at most `batch` samples; `recording`: whether a device's iterations are recorded.
    pub(super) fn new(
        cx: &Context,
        shape: &DiagonalShape,
        net: Option<&Arc<Net<T>>>,
        batch: usize,
        loss: Loss,
        optimiser: &Optimiser,
        recording: bool,
    ) -> Result<Self> {
        let (most, sampled) = if optimiser.label_noise == LabelNoise::Sampled { (shape.n, shape.n) } else { (batch, 0) };
        let params = net.map_or(2 * shape.d, |net| net.params());
        let outputs = net.map_or(1, |net| net.outputs());
        let numbers = |count: usize| Buffer::zeros(cx, count);
        let targets = most * loss.targets(outputs);
        Ok(Stepper {
            model: Model::new(cx, shape, net, most)?,
            shape: *shape,
            params,
            outputs,
            loss,
            optimiser: optimiser.clone(),
            x: numbers(batch * shape.stride)?,
            plain_x: numbers(if optimiser.augment == Augment::None { 0 } else { batch * shape.stride })?,
            target: TargetBuffer::new(cx, loss, &vec![0.0; targets])?,
            sampled: vec![T::ZERO; sampled],
            dy: numbers(most * outputs)?,
            diverged: Buffer::from_slice(cx, &[NOT_DIVERGED])?,
            perturbed: numbers(params)?,
            ascent: numbers(params)?,
            gradient: numbers(params)?,
            timetable: Timetable::new(cx, if optimiser.batch == Batch::Full { 0 } else { batch }, optimiser)?,
            recording,
            here: None,
        })
    }

    /// The iterations of every replica whose entry of `diverged` is `None`.
    pub(super) fn train(
        &mut self,
        cx: &Context,
        data: Samples<'_, T>,
        draws: &[Draws],
        iterations: Iterations<'_, StepSizes<'_, T>>,
        memory: &mut Memory<'_, T>,
        diverged: &mut [Option<usize>],
    ) -> Result<()> {
        let replicas = diverged.len();
        for (replica, diverged) in diverged.iter_mut().enumerate().filter(|(_, diverged)| diverged.is_none()) {
            let task = Task { data, draws: &draws[replica], iterations: iterations.of_replica(replica, replicas) };
            *diverged = self.train_one(cx, task, &mut memory.of_replica(replica, replicas)?)?;
        }
        Ok(())
    }

    /// The iterations of one replica; the one in which it diverged, before which it stays.
    fn train_one(&mut self, cx: &Context, task: Task<'_, T>, memory: &mut Memory<'_, T>) -> Result<Option<usize>> {
        let count = task.iterations.rates.len();
        for start in (0..count).step_by(STRETCH) {
            let stretch = start..count.min(start + STRETCH);
            let diverged = match cx.device() {
                Device::Cpu => self.iterate(cx, task, stretch, memory)?,
                Device::Cuda(_) => self.iterate_there(cx, task, stretch, memory)?,
            };
            if diverged.is_some() {
                return Ok(diverged);
            }
        }
        Ok(None)
    }

    /// A stretch of iterations on the CPU, up to the one that diverges.
    fn iterate(
        &mut self,
        cx: &Context,
        task: Task<'_, T>,
        stretch: Range<usize>,
        memory: &mut Memory<'_, T>,
    ) -> Result<Option<usize>> {
        self.begin(task, stretch.clone())?;
        for iteration in stretch {
            let step = task.iterations.step + iteration as u64;
            self.gradient_of(cx, task, iteration, memory)?;
            if let Some(at) = self.divergence()? {
                return Ok(Some(at));
            }
            self.change(cx, task, step, memory)?;
            self.average(cx, step, memory)?;
        }
        Ok(None)
    }

    /// Stands before a stretch of iterations, none of which has diverged.
    fn begin(&mut self, task: Task<'_, T>, stretch: Range<usize>) -> Result<()> {
        self.diverged.view_mut().copy_from_host(&[NOT_DIVERGED])?;
        self.timetable.fill(&self.optimiser, task.iterations, stretch)
    }

    /// The average of iterates after a step, if there is one.
    fn average(&self, cx: &Context, step: u64, memory: &mut Memory<'_, T>) -> Result<()> {
        if let (false, Some(keep)) = (memory.average.is_empty(), self.optimiser.kept_average(step)) {
            let keep = T::from_f64(keep);
            scale_add(cx, keep, (T::ONE - keep, memory.params.view()), memory.average.reborrow())?;
        }
        Ok(())
    }

    /// The first half of an iteration: its batch, and the gradient of the optimiser's kind.
    fn gradient_of(&mut self, cx: &Context, task: Task<'_, T>, iteration: usize, memory: &Memory<'_, T>) -> Result<()> {
        self.timetable.turn(cx, task.iterations.batch())?;
        self.gather(cx, task, iteration)?;
        self.gradient_at(cx, task.data, task.iterations.batch(), memory.params.view())
    }

    /// The second half: what becomes of it.
    fn change(&mut self, cx: &Context, task: Task<'_, T>, step: u64, memory: &mut Memory<'_, T>) -> Result<()> {
        let seen = self.seen(task.iterations.batch());
        self.model.move_statistics(cx, seen, None, memory.statistics.reborrow())?;
        self.update(cx, step == 0, memory)
    }

    /// Running statistics of a network with these parameters, averaged over all batches of a data set in its order.
    pub(super) fn statistics(&mut self, cx: &Context, data: Samples<'_, T>, params: View<'_, T>, batch: usize) -> Result<Vec<T>> {
        let DiagonalShape { n, stride, .. } = self.shape;
        let mut statistics = Buffer::zeros(cx, self.model.statistics())?;
        for (index, start) in (0..n).step_by(batch).enumerate() {
            let seen = batch.min(n - start);
            self.model.forward(cx, Point::new(seen, data.x.part(start * stride, seen * stride)?, params))?;
            self.model.move_statistics(cx, seen, Some(1.0 / (index + 1) as f64), statistics.view_mut())?;
        }
        Ok(statistics.to_vec()?)
    }

    /// The first iteration that was noted to diverge.
    fn divergence(&self) -> Result<Option<usize>> {
        let noted = match self.diverged.as_slice() {
            Some(noted) => noted[0],
            None => self.diverged.to_vec()?[0],
        };
        Ok((noted != NOT_DIVERGED).then_some(noted as usize))
    }

    /// Whether an iteration goes over the whole data set, whose inputs need no fetching.
    fn is_whole(&self, batch: usize) -> bool {
        batch == 0 || !self.sampled.is_empty()
    }

    /// Samples that an iteration goes over.
    fn seen(&self, batch: usize) -> usize {
        if self.is_whole(batch) { self.shape.n } else { batch }
    }

    /// Fetches the inputs of an iteration's batch, and the targets with their noise.
    fn gather(&mut self, cx: &Context, task: Task<'_, T>, iteration: usize) -> Result<()> {
        let Task { data, draws, iterations } = task;
        let (batch, targets, n) = (iterations.batch(), self.loss.targets(self.outputs), self.shape.n);
        let samples = &iterations.order[iteration * batch..][..batch];
        let (whole, seen) = (self.is_whole(batch), self.seen(batch));
        if !whole {
            let there = self.timetable.samples(batch)?;
            let shape = GatherShape { n, width: self.shape.stride, stride: self.shape.stride };
            let to = if self.plain_x.is_empty() { &mut self.x } else { &mut self.plain_x };
            gather(cx, &shape, data.x, there, to.view_mut().part(0, batch * shape.width)?)?;
            self.target.gather(cx, data.target, targets, there)?;
        }
        self.disturb(cx, data, batch, draws)?;
        let (variance, step) = match self.optimiser.label_noise {
            LabelNoise::Off => return Ok(()),
            LabelNoise::Sampled => {
                self.sampled.fill(T::ONE);
                let weight = T::from_f64(n as f64 / samples.len() as f64);
                samples.iter().for_each(|&sample| self.sampled[sample as usize] -= weight);
                return Ok(());
            }
            LabelNoise::Gaussian { variance } => (variance, Some(self.timetable.step()?)),
            LabelNoise::Static { variance } => (variance, None),
        };
        let mut target = self.target.values_mut()?;
        let mut target = target.part(0, seen * targets)?;
        let items = if whole {
            combine(cx, [(T::ONE, data.target.values()?)], target.reborrow(), Acc::Set)?;
            None
        } else {
            Some(self.timetable.samples(batch)?)
        };
        let noise = Noise { deviation: variance.sqrt(), words: draws.noise.normals(), width: targets, period: data.target.len() };
        Ok(label_noise(cx, &noise, step, items, target)?)
    }

    /// Augments the images of a batch that was fetched, and replaces classes by random ones.
    fn disturb(&mut self, cx: &Context, data: Samples<'_, T>, batch: usize, draws: &Draws) -> Result<()> {
        let (samples, step) = (self.timetable.samples(batch)?, self.timetable.step()?);
        if let (false, Some(image)) = (self.plain_x.is_empty(), data.image) {
            let len = batch * self.shape.stride;
            let (plain, mut x) = (self.plain_x.view().part(0, len)?, self.x.view_mut());
            augment(cx, self.optimiser.augment, image, plain, samples, step, &draws.augment, x.part(0, len)?)?;
        }
        if self.optimiser.class_noise != ClassNoise::None {
            let mut classes = self.target.classes_mut()?;
            let classes = classes.part(0, batch)?;
            self.optimiser.class_noise.apply(cx, self.outputs, samples, step, &draws.noise, classes)?;
        }
        Ok(())
    }

    fn update(&mut self, cx: &Context, first: bool, memory: &mut Memory<'_, T>) -> Result<()> {
        let d = self.shape.d;
        if let Some(clip) = self.optimiser.clip {
            clip_by_norm(cx, T::from_f64(clip), self.gradient.view_mut())?;
        }
        if self.optimiser.normalised {
            let mut gradient = self.gradient.view_mut();
            let gradient = gradient.on_host(OP, "gradient")?;
            let norms = [0, d].map(|half| gradient[half..half + d].iter().map(|&g| g * g).sum::<T>().sqrt());
            if norms.iter().all(|&norm| norm > T::ZERO) {
                for (j, gradient) in gradient.iter_mut().enumerate() {
                    *gradient = *gradient / norms[usize::from(j >= d)];
                }
            }
        }
        let pull = self.balancing(memory.params.view())?;
        let (gradient, params) = (self.gradient.view(), memory.params.reborrow());
        if let Some(rule) = self.optimiser.sgd_rule() {
            sgd_update(cx, &rule, self.timetable.rate()?, first, gradient, memory.rule.reborrow(), params)?;
        } else if let Some(rule) = self.optimiser.adam_rule() {
            let (m, v) = memory.rule.split_at(self.params)?;
            adam_update(cx, &rule, self.timetable.rate()?, gradient, Moments { m, v }, params)?;
        }
        if !pull.is_empty() {
            memory.params.on_host(OP, "params")?.iter_mut().zip(&pull).for_each(|(w, &pull)| *w -= pull);
        }
        Ok(())
    }

    /// What [`Optimiser::balancedness`] takes from u and v; empty if it is off.
    fn balancing(&self, params: View<'_, T>) -> Result<Vec<T>> {
        if self.optimiser.balancedness == 0.0 {
            return Ok(Vec::new());
        }
        let strength = T::from_f64(self.optimiser.balancedness);
        let (u, v) = params.on_host(OP, "params")?.split_at(self.shape.d);
        let larger = |a: T, b: T| if a.abs() > b.abs() { T::ONE } else { -T::ONE };
        let pull = |(&a, &b): (&T, &T)| strength * a * larger(a, b);
        Ok(u.iter().zip(v).map(pull).chain(v.iter().zip(u).map(pull)).collect())
    }
}

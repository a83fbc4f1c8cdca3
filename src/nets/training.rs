//! Networks in training: the fused kernels where the update is plain, [`super::stepper`] where it is not.

mod build;
mod fused;
mod order;
mod rates;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handgrad_kernels::diagonal::DiagonalShape;
use handgrad_kernels::{self as kernels, Buffer, Context, Device, Real, Steps};

use super::method::{Fused, Method};
use super::resident::Resident;
use super::stepper::{Iterations, Samples, Stepper};
use super::{Architecture, Net};
use crate::data::Dataset;
use crate::draws::{Draws, Order};
use crate::error::Result;
use crate::loss::{Loss, TargetBuffer};
use crate::optim::{Optimiser, Valley};
use crate::schedule::Schedule;
use crate::state::State;

/// Most steps, and most samples per replica, handed to a kernel at once; chunks bound the memory of orders and step sizes, and
/// change no bit.
const CHUNK: u64 = 4096;
/// See [`CHUNK`].
const CHUNK_SAMPLES: usize = 1 << 20;

/// One run of a network over a data set: what [`Training::advance`] needs besides the state.
#[derive(Debug)]
pub struct Training<T: Real> {
    method: Method,
    /// The layers, unless the network is diagonal.
    net: Option<Arc<Net<T>>>,
    /// Of x, where the samples of all sets follow one another.
    shape: DiagonalShape,
    /// Samples of a set.
    n: usize,
    params: usize,
    x: Arc<Buffer<T>>,
    target: Arc<TargetBuffer<T>>,
    /// Rows, columns and channels of images.
    image: Option<[usize; 3]>,
    loss: Loss,
    replicas: Replicas,
    optimiser: Optimiser,
    steps: u64,
    /// Whether a device's composed steps are recorded.
    recording: bool,
    /// Working memory of composed steps, kept from one call to the next.
    stepper: Mutex<Option<Stepper<T>>>,
}

/// What replicas have of their own besides what they draw.
#[derive(Clone, Debug)]
enum Replicas {
    /// Nothing: the same data and schedule for all.
    Alike(Schedule),
    /// Data and schedule.
    Own(Vec<Own>),
}

/// The training samples of a data set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Set<'a> {
    /// Features.
    pub d: usize,
    /// Inputs, rows of d.
    pub x: &'a [f64],
    /// Targets.
    pub y: &'a [f64],
    /// Rows, columns and channels of images.
    pub image: Option<[usize; 3]>,
}

impl<'a> From<&'a Dataset> for Set<'a> {
    fn from(data: &'a Dataset) -> Set<'a> {
        Set { d: data.d, x: &data.x, y: &data.y, image: data.image }
    }
}

impl Set<'_> {
    fn n(&self) -> usize {
        self.x.len() / self.d.max(1)
    }
}

/// What a replica has of its own.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    /// Its step sizes.
    pub schedule: Schedule,
    /// The number of its data set.
    pub set: usize,
}

impl<T: Real> Training<T> {
    /// Packs the data.
    ///
    /// # Errors
    /// If the network, the loss and the data do not fit each other, or the context's device has no room for the data.
    pub fn new(
        cx: &Context,
        net: &Architecture,
        data: &Dataset,
        loss: Loss,
        schedule: Schedule,
        optimiser: Optimiser,
        steps: u64,
    ) -> Result<Training<T>> {
        Training::over(cx, net, &[data.into()], loss, Replicas::Alike(schedule), optimiser, steps)
    }

    /// The same for replicas with step sizes and data of their own: every set has as many samples, and more than one set is for
    /// random batches without label noise.
    ///
    /// # Errors
    /// As [`Training::new`], or if there is no set or the sets differ in size.
    pub(crate) fn of_own(
        cx: &Context,
        net: &Architecture,
        sets: &[Set<'_>],
        loss: Loss,
        own: Vec<Own>,
        optimiser: Optimiser,
        steps: u64,
    ) -> Result<Training<T>> {
        Training::over(cx, net, sets, loss, Replicas::Own(own), optimiser, steps)
    }

    /// Parameters of one replica.
    pub fn params(&self) -> usize {
        self.params
    }

    /// Numbers that its layers give for a sample.
    pub fn activations(&self) -> usize {
        let of_layers = |net: &Arc<Net<T>>| net.nodes().iter().map(|node| node.layer.outputs()).sum();
        self.net.as_ref().map_or(1, of_layers)
    }

    /// Where the running statistics of one replica start.
    pub fn initial_statistics(&self) -> Vec<f64> {
        self.net.as_ref().map_or_else(Vec::new, |net| net.initial_statistics())
    }

    /// What its steps run with on a context: the name of an instruction set, or `cuda` with its precision.
    pub fn variant(&self, cx: &Context) -> &'static str {
        if cx.device() != Device::Cpu {
            return cx.variant();
        }
        let variants = match &self.method {
            Method::Fused(Fused::Diagonal) => handgrad_kernels::diagonal::VARIANTS,
            Method::Fused(Fused::DeepDiagonal(..)) => handgrad_kernels::deep_diagonal::VARIANTS,
            Method::Fused(Fused::DeepLinear(..)) => handgrad_kernels::deep_linear::VARIANTS,
            Method::Fused(Fused::Mlp(..)) => handgrad_kernels::mlp::VARIANTS,
            Method::Fused(Fused::WideMlp(..)) => handgrad_kernels::wide_mlp::VARIANTS,
            Method::Composed if self.net.is_none() => handgrad_kernels::diagonal::VARIANTS,
            Method::Composed => handgrad_kernels::linear::VARIANTS,
        };
        variants.runs_under(cx.isa()).name()
    }

    /// Which code makes a step: the name of a fused kernel, or `composed`.
    pub fn method(&self) -> &'static str {
        match self.method {
            Method::Fused(Fused::Diagonal) => "diagonal",
            Method::Fused(Fused::DeepDiagonal(..)) => "deep_diagonal",
            Method::Fused(Fused::DeepLinear(..)) => "deep_linear",
            Method::Fused(Fused::Mlp(..)) => "mlp",
            Method::Fused(Fused::WideMlp(..)) => "wide_mlp",
            Method::Composed => "composed",
        }
    }

    /// What turns a step size into the kernel's: diagonal networks' steps are on the half mean squared error.
    fn rate_factor(&self) -> f64 {
        if self.method == Method::Fused(Fused::Diagonal) && self.loss == Loss::Mse { 2.0 } else { 1.0 }
    }

    /// The same run operator by operator, whatever fused kernel there is: the oracle of those kernels.
    ///
    /// # Errors
    /// If the data cannot be copied on the context's device.
    pub fn composed(self, cx: &Context) -> Result<Training<T>> {
        let mut x = Vec::with_capacity(self.shape.n * self.shape.d);
        for row in self.x.to_vec()?.chunks_exact(self.shape.stride) {
            x.extend_from_slice(&row[..self.shape.d]);
        }
        let shape = DiagonalShape { stride: self.shape.d, ..self.shape };
        Ok(Training {
            method: Method::Composed,
            shape,
            x: Arc::new(Buffer::from_slice(cx, &x)?),
            stepper: Mutex::default(),
            ..self
        })
    }

    /// The same with every operator of a device's steps launched by itself: the oracle of recorded steps.
    pub fn unrecorded(self) -> Training<T> {
        Training { recording: false, stepper: Mutex::default(), ..self }
    }

    /// Recordings that a device has made so far: one of sixteen steps and one of a single step where each was needed, for each size
    /// of a batch, and for each replica whose seed is part of a step.
    pub fn recordings(&self) -> usize {
        self.kept_stepper().as_ref().map_or(0, Stepper::recordings)
    }

    /// Trains every replica that has not diverged until `state.step` is `until`. `draws`: one per replica.
    ///
    /// # Errors
    /// If a kernel refuses its arguments.
    pub fn advance(&self, cx: &Context, state: &mut State<T>, draws: &[Draws], until: u64) -> Result<()> {
        let replicas = state.replicas();
        let full = matches!(draws, [Draws { order: Order::Full, .. }, ..]);
        let mut resident = Resident::new(cx, state)?;
        let mut stepper = self.kept_stepper().take();
        let (mut order, mut rates) = (Vec::new(), Vec::new());
        while state.step < until && !state.is_over() {
            let batches = self.optimiser.batches(state.step, self.n);
            let count = (until - state.step).min(CHUNK).min((CHUNK_SAMPLES / batches.size).max(1) as u64).min(batches.count);
            let lr = self.step_sizes(state.step..state.step + count, replicas, &mut rates);
            let samples = count as usize * batches.size;
            let drawn = self.drawn(cx, draws, batches.start, samples)?;
            order.resize(if full || drawn.is_some() { 0 } else { replicas * samples }, 0);
            for (replica, order) in order.chunks_exact_mut(samples).enumerate() {
                // What a diverged replica had is below n as well, and nobody trains on it.
                if state.diverged[replica].is_none() {
                    self.fill(cx, draws, replica, batches.start, order)?;
                }
            }
            let mut diverged: Vec<Option<usize>> = state.diverged.iter().map(|at| at.map(|_| 0)).collect();
            match &self.method {
                Method::Fused(fused) => {
                    let order = drawn.as_ref().map_or_else(|| (&order).into(), kernels::Order::from);
                    let steps = Steps { order, batch: batches.size, lr };
                    self.fused(cx, fused, full, steps, resident.memory(state).params, &mut diverged)?;
                }
                Method::Composed => {
                    let stepper = self.stepper_in(cx, &mut stepper)?;
                    let data = Samples { x: self.x.view(), target: self.target.view(), image: self.image };
                    let iterations = Iterations { step: state.step, order: &order, rates: lr };
                    stepper.train(cx, data, draws, iterations, &mut resident.memory(state), &mut diverged)?;
                }
            }
            for (at, found) in state.diverged.iter_mut().zip(diverged) {
                *at = at.or(found.map(|step| state.step + step as u64));
            }
            state.step += count;
        }
        *self.kept_stepper() = stepper;
        resident.back(state)?;
        state.step = until.max(state.step);
        Ok(())
    }

    /// The working memory that the last call left.
    fn kept_stepper(&self) -> MutexGuard<'_, Option<Stepper<T>>> {
        // It holds nothing between steps that a panic elsewhere could break.
        self.stepper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept, or a new one.
    fn stepper_in<'a>(&self, cx: &Context, kept: &'a mut Option<Stepper<T>>) -> Result<&'a mut Stepper<T>> {
        let new = match kept.take() {
            Some(stepper) => stepper,
            None => {
                let most = self.optimiser.batch_size(self.n);
                Stepper::new(cx, &self.shape, self.net.as_ref(), most, self.loss, &self.optimiser, self.recording)?
            }
        };
        Ok(kept.insert(new))
    }

    /// The running statistics that belong to the measured parameters: those of the state, or for an average of iterates those of the
    /// training set at it, batch by batch; replica by replica.
    ///
    /// # Errors
    /// If a kernel refuses its arguments.
    pub fn measured_statistics(&self, cx: &Context, state: &State<T>) -> Result<Vec<T>> {
        if !self.optimiser.averages() || state.statistics.is_empty() {
            return Ok(state.statistics.clone());
        }
        let most = self.optimiser.batch_size(self.n);
        let mut kept = self.kept_stepper();
        let stepper = self.stepper_in(cx, &mut kept)?;
        let data = Samples { x: self.x.view(), target: self.target.view(), image: self.image };
        let mut all = Vec::with_capacity(state.statistics.len());
        for params in state.measured().chunks_exact(self.params) {
            all.extend(stepper.statistics(cx, data, Buffer::from_slice(cx, params)?.view(), most)?);
        }
        Ok(all)
    }

    /// Where full-batch GD from the measured parameters leads.
    ///
    /// # Errors
    /// If a kernel refuses its arguments.
    pub fn valley_floor(&self, cx: &Context, state: &State<T>, valley: Valley) -> Result<Vec<T>> {
        let descent = Training {
            method: if self.net.is_none() { Method::Fused(Fused::Diagonal) } else { Method::Composed },
            net: self.net.clone(),
            x: Arc::clone(&self.x),
            target: Arc::clone(&self.target),
            replicas: Replicas::Alike(Schedule::Constant { peak: valley.lr }),
            optimiser: Optimiser::gd(),
            steps: valley.steps,
            stepper: Mutex::default(),
            ..*self
        };
        let (params, none) = (state.measured().to_vec(), Vec::new());
        let mut below = State { step: 0, params, average: none.clone(), memory: none, ..state.clone() };
        descent.advance(cx, &mut below, &vec![Draws::full(); state.replicas()], valley.steps)?;
        Ok(below.params)
    }

    /// The optimiser.
    pub fn optimiser(&self) -> &Optimiser {
        &self.optimiser
    }
}

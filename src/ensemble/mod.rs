//! Many small trainings of one network, each with its own step sizes, seed, start, noise and samples.
//!
//! Members train in groups, whose fused kernels interleave replicas where that is faster, and groups on the threads of the
//! current pool. What a member draws is a function of its seed and the step, and its arithmetic is that of a run alone, so that
//! its bits are the same alone, in any ensemble, and at any number of threads. A member that diverges is written down and costs
//! nothing more.
//!
//! ```
//! use handgrad::ensemble::{Ensemble, Measure, Member, Samples, Start};
//! use handgrad::nets::{Activation, Architecture, Bias};
//! use handgrad::{kernels::Context, loss::Loss, optim::Optimiser, schedule::Schedule};
//!
//! # fn main() -> handgrad::Result<()> {
//! // u tanh(wx) on y = x/2 + ε/10, at eight step sizes.
//! let net = Architecture::mlp(&[1, 1, 1], Bias::None, Activation::Tanh);
//! let optimiser = Optimiser::sgd();
//! let points = vec![100, 1_000];
//! let ensemble = Ensemble { net, loss: Loss::HalfMse, optimiser, sets: vec![], steps: 1_000, points, keep: false };
//! let member = |k: u64| Member {
//!     schedule: Schedule::Constant { peak: 0.1 * (k + 1) as f64 },
//!     seed: k,
//!     start: Start::At(vec![0.5, 0.5]),
//!     samples: Samples::Fresh { signal: 0.5 },
//!     noise: 0.1,
//! };
//! let members: Vec<Member> = (0..8).map(member).collect();
//! let product = Measure { count: 1, of: &|at| Ok(vec![at.params[0] * at.params[1]]) };
//! let trained = ensemble.train::<f32>(&Context::cpu()?, &members, product, &())?;
//! assert_eq!(trained.values.len(), 2 * 8); // points x members
//! # Ok(()) }
//! ```

mod check;
mod group;
mod metrics;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use handgrad_kernels::{Context, Device, Real};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::data::Dataset;
use crate::error::Result;
use crate::loss::Loss;
use crate::nets::Architecture;
use crate::optim::{Batch, Optimiser};
use crate::schedule::Schedule;
use crate::train::Progress;
pub use metrics::Named;

/// Most members of a group: enough for samples that they have in common to cost little.
const GROUP: usize = 16;
/// Most replicas that kernels interleave.
const TURNS: usize = 4;
/// Most members of a group on a device, which trains them at once: as many as fill it several times.
const DEVICE_GROUP: usize = 1 << 14;
/// Groups for each thread, if there are members enough: groups whose members diverge are done early.
const GROUPS_PER_THREAD: usize = 4;

/// What the members have in common.
#[derive(Clone, Debug)]
pub struct Ensemble {
    /// The network.
    pub net: Architecture,
    /// Loss over a step's samples.
    pub loss: Loss,
    /// Update rule and batches; label noise is the members' own.
    pub optimiser: Optimiser,
    /// The data sets that members train on.
    pub sets: Vec<Arc<Dataset>>,
    /// Steps.
    pub steps: u64,
    /// After how many steps members are measured, ascending; [`Evaluate::points`](crate::spec::Evaluate::points) spaces them evenly
    /// or logarithmically.
    pub points: Vec<u64>,
    /// Whether parameters at the end are returned.
    pub keep: bool,
}

/// One training.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Step sizes.
    pub schedule: Schedule,
    /// Seed of the order of samples and of noise; of fresh samples themselves.
    pub seed: u64,
    /// Parameters at first.
    pub start: Start,
    /// What it trains on.
    pub samples: Samples,
    /// Standard deviation of the noise that is added to the targets, anew in every step.
    pub noise: f64,
}

/// Parameters at first.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// The network's own for a seed.
    Seed(u64),
    /// These.
    At(Vec<f64>),
}

/// What a member trains on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Samples {
    /// A data set, by its number in [`Ensemble::sets`].
    Set(usize),
    /// New samples in every step, of a network with as many outputs as inputs: x is standard normal, the targets are
    /// signal·x + noise·ε with standard normal ε. Members of one seed see the same x and ε.
    Fresh {
        /// Share of x in the targets.
        signal: f64,
    },
}

/// A member where it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    /// Its number.
    pub member: usize,
    /// Steps done.
    pub step: u64,
    /// Parameters: averages if the optimiser averages.
    pub params: &'a [f64],
    /// Parameters at first.
    pub start: &'a [f64],
}

/// How members are measured.
#[derive(Clone, Copy)]
pub struct Measure<'a> {
    /// Numbers per member and point.
    pub count: usize,
    /// The numbers.
    pub of: &'a (dyn Fn(Measured<'_>) -> Result<Vec<f64>> + Sync),
}

/// What an ensemble leaves behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// Points x members x numbers of a measurement; NaN where a member had diverged.
    pub values: Vec<f64>,
    /// The step in which a member diverged.
    pub diverged: Vec<Option<u64>>,
    /// Of every member the parameters at the end, or before the step in which it diverged; empty unless they are kept.
    pub params: Vec<Vec<f64>>,
}

impl Ensemble {
    /// Trains every member in the number type T, and measures those that have not diverged.
    ///
    /// # Errors
    /// If there is nothing to train, or a number is out of range; the member and the number are named. If a kernel refuses its
    /// arguments, or a measurement fails.
    pub fn train<T: Real>(
        &self,
        cx: &Context,
        members: &[Member],
        measure: Measure<'_>,
        progress: &dyn Progress,
    ) -> Result<Trained> {
        self.check(members)?;
        let groups = self.groups(cx, members).into_par_iter();
        let done = groups.map(|group| self.train_group::<T>(cx, members, group, measure, progress));
        let count = measure.count;
        let mut trained = Trained {
            values: vec![f64::NAN; self.points.len() * members.len() * count],
            diverged: vec![None; members.len()],
            params: vec![Vec::new(); members.len()],
        };
        for done in done.collect::<Result<Vec<_>>>()? {
            for (place, &member) in done.members.iter().enumerate() {
                trained.diverged[member] = done.diverged[place];
                for point in 0..self.points.len() {
                    let to = &mut trained.values[(point * members.len() + member) * count..][..count];
                    to.copy_from_slice(&done.values[(point * done.members.len() + place) * count..][..count]);
                }
            }
            for (&member, params) in done.members.iter().zip(done.params) {
                trained.params[member] = params;
            }
        }
        Ok(trained)
    }

    /// Members that train together, by number: those with data of one size, unless they gain nothing from company.
    fn groups(&self, cx: &Context, members: &[Member]) -> Vec<Vec<usize>> {
        let threads = rayon::current_num_threads();
        let most = match cx.device() {
            Device::Cpu => {
                (members.len() / (GROUPS_PER_THREAD * threads)).clamp(TURNS, GROUP).min(members.len().div_ceil(threads))
            }
            Device::Cuda(_) => DEVICE_GROUP,
        };
        let (mut groups, mut together) = (Vec::new(), BTreeMap::<_, Vec<usize>>::new());
        for (index, member) in members.iter().enumerate() {
            match self.set_of(member) {
                Some(_) if self.optimiser.batch == Batch::Full || member.noise > 0.0 => groups.push(vec![index]),
                set => together.entry(set.map(|data| (data.n(), data.d))).or_default().push(index),
            }
        }
        groups.extend(together.values().flat_map(|together| together.chunks(most)).map(<[usize]>::to_vec));
        groups
    }

    /// The data set of a member; none if its samples are fresh.
    fn set_of(&self, member: &Member) -> Option<&Arc<Dataset>> {
        match member.samples {
            Samples::Set(set) => self.sets.get(set),
            Samples::Fresh { .. } => None,
        }
    }
}

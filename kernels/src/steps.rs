//! What the fused training operators share: their steps, the rule of a step on squared error, and their checks.

#[cfg(feature = "cuda")]
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use crate::clip::coefficient;
use crate::error::exact;
use crate::mse::MseScale;
use crate::{Error, Order, Real, Result};

/// What one call of a fused SGD operator does: which samples each step takes, and with which step size.
#[derive(Clone, Copy, Debug)]
pub struct Steps<'a, T> {
    /// Sample indices, replica by replica: replicas x steps x batch. Slices convert to it.
    pub order: Order<'a>,
    /// Samples per step.
    pub batch: usize,
    /// Step size of each step.
    pub lr: StepSizes<'a, T>,
}

/// [`Steps`] of an operator that runs on the CPU.
#[derive(Clone, Copy)]
pub(crate) struct HostSteps<'a, T> {
    pub(crate) order: &'a [u32],
    pub(crate) batch: usize,
    lr: StepSizes<'a, T>,
}

/// The step sizes of one call of a fused operator, which say how many steps there are.
#[derive(Clone, Copy, Debug)]
pub enum StepSizes<'a, T> {
    /// One for each step, the same for all replicas.
    Shared(&'a [T]),
    /// Every replica's own, replica by replica: replicas x steps.
    Each(&'a [T]),
    /// Every replica's own, the same at all of its steps.
    Constant {
        /// One for each replica.
        lr: &'a [T],
        /// How many steps.
        steps: usize,
    },
}

impl<'a, T: Copy> StepSizes<'a, T> {
    /// Those of one of so many replicas.
    ///
    /// # Panics
    /// If there are fewer replicas.
    pub fn of(&self, replica: usize, replicas: usize) -> Rates<'a, T> {
        let (lr, steps, [of_replica, of_step]) = self.strided(replicas);
        Rates { lr: &lr[replica * of_replica..], steps, stride: of_step }
    }

    /// The numbers, the steps of a replica, and the elements from one replica's numbers and from one step's to the next one's.
    pub(crate) fn strided(&self, replicas: usize) -> (&'a [T], usize, [usize; 2]) {
        match *self {
            StepSizes::Shared(lr) => (lr, lr.len(), [0, 1]),
            StepSizes::Each(lr) => (lr, lr.len() / replicas, [lr.len() / replicas, 1]),
            StepSizes::Constant { lr, steps } => (lr, steps, [1, 0]),
        }
    }

    /// Every replica has as many; returns how many.
    pub(crate) fn check(&self, op: &'static str, replicas: usize) -> Result<usize> {
        let (lr, steps, _) = self.strided(replicas);
        match self {
            StepSizes::Shared(_) => {}
            StepSizes::Each(_) => exact(op, "lr", lr.len(), replicas * steps, "replicas * steps")?,
            StepSizes::Constant { .. } => exact(op, "lr", lr.len(), replicas, "replicas")?,
        }
        Ok(steps)
    }
}

/// The step sizes of one replica.
#[derive(Clone, Copy, Debug)]
pub struct Rates<'a, T> {
    /// The first step's, and at least those of the others.
    lr: &'a [T],
    steps: usize,
    /// Elements from one step's to the next one's: 0 where all are one number.
    stride: usize,
}

impl<'a, T: Copy> Rates<'a, T> {
    /// How many steps there are.
    #[expect(clippy::len_without_is_empty, reason = "a number of steps")]
    pub fn len(self) -> usize {
        self.steps
    }

    /// That of a step.
    ///
    /// # Panics
    /// If there is no number for it.
    #[inline(always)]
    pub fn at(self, step: usize) -> T {
        self.lr[step * self.stride]
    }

    /// Where that of a step is.
    #[inline(always)]
    pub(crate) fn place(self, step: usize) -> *const T {
        self.lr.as_ptr().wrapping_add(step * self.stride)
    }

    /// One step's after another's.
    #[inline(always)]
    pub(crate) fn iter(self) -> impl Iterator<Item = T> + use<'a, T> {
        (0..self.steps).map(move |step| self.at(step))
    }
}

impl<'a, T: Copy> Steps<'a, T> {
    /// A batch is not empty, every replica has all its samples, and they are below `n`.
    pub(crate) fn check(&self, op: &'static str, n: usize, replicas: usize) -> Result<()> {
        if self.batch == 0 {
            return Err(Error::Shape { op, what: "batch", got: 0, expected: "at least 1".to_owned() });
        }
        let steps = self.lr.check(op, replicas)?;
        let samples = replicas.saturating_mul(steps).saturating_mul(self.batch);
        exact(op, "order", self.order.len(), samples, "replicas * steps * batch")?;
        self.order.check_below(op, n)
    }

    /// As [`Steps::check`], for operators that take one sample a step.
    pub(crate) fn check_singles(&self, op: &'static str, n: usize, replicas: usize) -> Result<()> {
        match self.batch {
            1 => self.check(op, n, replicas),
            got => Err(Error::Shape { op, what: "batch", got, expected: "1: one sample a step".to_owned() }),
        }
    }

    /// The same with the samples at hand.
    pub(crate) fn on_host(self, op: &'static str) -> Result<HostSteps<'a, T>> {
        Ok(HostSteps { order: self.order.on_host(op)?, batch: self.batch, lr: self.lr })
    }
}

impl<'a, T: Copy> HostSteps<'a, T> {
    /// The samples, steps x batch, and the step sizes of one of so many replicas.
    pub(crate) fn of(&self, replica: usize, replicas: usize) -> (&'a [u32], Rates<'a, T>) {
        let per_replica = self.order.len() / replicas;
        (&self.order[replica * per_replica..][..per_replica], self.lr.of(replica, replicas))
    }
}

/// The squared error that a step descends, and what happens to its gradient g: `w -= lr (c g + weight_decay w)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepRule<T> {
    /// Which multiple of the half mean squared error.
    pub scale: MseScale,
    /// The largest norm that the gradient of all parameters together, without decay, keeps: `c = min(1, clip / (‖g‖ + 1e-6))`,
    /// as `torch.nn.utils.clip_grad_norm_` has it. `None` leaves it as it is: c = 1.
    pub clip: Option<T>,
    /// Coefficient of the parameters themselves, biases included; 0 for none.
    pub weight_decay: T,
}

impl<T: Real> StepRule<T> {
    /// c for a gradient of this norm.
    #[inline(always)]
    pub(crate) fn coefficient(&self, norm: T) -> T {
        self.clip.map_or(T::ONE, |clip| coefficient(clip, norm))
    }
}

/// Sizes of a data set and of a group of networks with one output, to check a fused operator's arguments against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes<'a> {
    /// Inputs, then the outputs of every layer.
    pub widths: &'a [usize],
    pub n: usize,
    pub stride: usize,
    pub replicas: usize,
}

/// Lengths of a fused operator's arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    pub x: usize,
    pub y: usize,
    pub params: usize,
    pub diverged: usize,
}

impl Sizes<'_> {
    /// Sizes are positive, the last width is 1, and lengths are theirs; `params`: those of one replica, once there are widths.
    pub(crate) fn check(&self, op: &'static str, lengths: Lengths, params: impl Fn() -> usize) -> Result<()> {
        let refuse = |what, got, expected: String| Err(Error::Shape { op, what, got, expected });
        let (&[inputs, .., outputs], smallest) = (self.widths, self.widths.iter().min()) else {
            return refuse("the number of widths", self.widths.len(), "at least 2: inputs, hidden layers, 1".to_owned());
        };
        for (what, got, least) in [
            ("the smallest width", smallest.copied().unwrap_or(0), 1),
            ("n", self.n, 1),
            ("replicas", self.replicas, 1),
            ("stride", self.stride, inputs),
        ] {
            if got < least {
                return refuse(what, got, format!("at least {least}"));
            }
        }
        if outputs != 1 {
            return refuse("the last width", outputs, "1: one output".to_owned());
        }
        let rows = (self.n - 1) * self.stride + inputs;
        if lengths.x < rows {
            let formula = "at least (n-1)*stride + inputs";
            return Err(Error::Length { op, argument: "x", got: lengths.x, expected: rows, formula });
        }
        exact(op, "y", lengths.y, self.n, "n")?;
        exact(op, "params", lengths.params, self.replicas * params(), "replicas * parameters of one")?;
        exact(op, "diverged", lengths.diverged, self.replicas, "replicas")
    }
}

/// The checked arguments of a fused operator that its replicas share.
#[derive(Clone, Copy)]
pub struct Task<'a, S, T> {
    pub shape: S,
    pub x: &'a [T],
    pub y: &'a [T],
    pub rule: StepRule<T>,
}

/// A replica that takes part in a call.
pub struct Replica<'a, T> {
    pub order: &'a [u32],
    pub lr: Rates<'a, T>,
    pub params: &'a mut [T],
    pub diverged: &'a mut Option<usize>,
}

/// The replicas of `count` parameters each that have not diverged; `steps`: samples and step sizes of a replica, of how many.
pub(crate) fn live<'a, T>(
    count: usize,
    params: &'a mut [T],
    diverged: &'a mut [Option<usize>],
    steps: impl Fn(usize, usize) -> (&'a [u32], Rates<'a, T>),
) -> Vec<Replica<'a, T>> {
    let count_of_replicas = diverged.len();
    let replicas = params.chunks_exact_mut(count).zip(diverged).enumerate();
    let live = replicas.filter(|(_, (_, diverged))| diverged.is_none());
    live.map(|(replica, (params, diverged))| {
        let (order, lr) = steps(replica, count_of_replicas);
        Replica { order, lr, params, diverged }
    })
    .collect()
}

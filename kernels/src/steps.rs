//! What the fused training operators share: their steps, the rule of a step on squared error, and their checks.

#[cfg(feature = "cuda")]
pub(crate) mod cuda;

use crate::clip::coefficient;
use crate::error::exact;
use crate::mse::MseScale;
use crate::{Error, Real, Result};

/// What one call of a fused SGD operator does: which samples each step takes, and with which step size.
#[derive(Clone, Copy, Debug)]
pub struct Steps<'a, T> {
    /// Sample indices, replica by replica: replicas x steps x batch.
    pub order: &'a [u32],
    /// Samples per step.
    pub batch: usize,
    /// Step size of each step, shared by the replicas.
    pub lr: &'a [T],
}

impl<'a, T> Steps<'a, T> {
    /// A batch is not empty, every replica has all its samples, and they are below `n`.
    pub(crate) fn check(&self, op: &'static str, n: usize, replicas: usize) -> Result<()> {
        if self.batch == 0 {
            return Err(Error::Shape { op, what: "batch", got: 0, expected: "at least 1".to_owned() });
        }
        exact(op, "order", self.order.len(), replicas * self.lr.len() * self.batch, "replicas * steps * batch")?;
        // The largest first: unlike a search, that takes many indices at once.
        if self.order.iter().copied().max().is_none_or(|largest| (largest as usize) < n) {
            return Ok(());
        }
        match self.order.iter().position(|&index| index as usize >= n) {
            Some(position) => Err(Error::Index { op, argument: "order", position, got: self.order[position] as usize, limit: n }),
            None => Ok(()),
        }
    }

    /// The samples of one replica: steps x batch.
    pub(crate) fn order_of(&self, replica: usize) -> &'a [u32] {
        let per_replica = self.lr.len() * self.batch;
        &self.order[replica * per_replica..][..per_replica]
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
    pub lr: &'a [T],
}

/// A replica that takes part in a call.
pub struct Replica<'a, T> {
    pub order: &'a [u32],
    pub params: &'a mut [T],
    pub diverged: &'a mut Option<usize>,
}

/// The replicas of `count` parameters each that have not diverged.
pub(crate) fn live<'a, T>(
    count: usize,
    params: &'a mut [T],
    diverged: &'a mut [Option<usize>],
    order: impl Fn(usize) -> &'a [u32],
) -> Vec<Replica<'a, T>> {
    let replicas = params.chunks_exact_mut(count).zip(diverged).enumerate();
    let live = replicas.filter(|(_, (_, diverged))| diverged.is_none());
    live.map(|(replica, (params, diverged))| Replica { order: order(replica), params, diverged }).collect()
}

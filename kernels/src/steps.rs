//! What the fused training operators share: their steps, the rule of a step on squared error, and their checks.

#[cfg(feature = "cuda")]
pub(crate) mod cuda;

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
}

impl<'a, T> StepSizes<'a, T> {
    /// Those of one of so many replicas.
    pub(crate) fn of(&self, replica: usize, replicas: usize) -> &'a [T] {
        match self {
            StepSizes::Shared(lr) => lr,
            StepSizes::Each(lr) => {
                let steps = lr.len() / replicas;
                &lr[replica * steps..][..steps]
            }
        }
    }

    /// Every replica has as many; returns how many.
    pub(crate) fn check(&self, op: &'static str, replicas: usize) -> Result<usize> {
        match self {
            StepSizes::Shared(lr) => Ok(lr.len()),
            StepSizes::Each(lr) => {
                let steps = lr.len() / replicas;
                exact(op, "lr", lr.len(), replicas * steps, "replicas * steps").and(Ok(steps))
            }
        }
    }
}

impl<'a, T> Steps<'a, T> {
    /// A batch is not empty, every replica has all its samples, and they are below `n`.
    pub(crate) fn check(&self, op: &'static str, n: usize, replicas: usize) -> Result<()> {
        if self.batch == 0 {
            return Err(Error::Shape { op, what: "batch", got: 0, expected: "at least 1".to_owned() });
        }
        let steps = self.lr.check(op, replicas)?;
        exact(op, "order", self.order.len(), replicas * steps * self.batch, "replicas * steps * batch")?;
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

impl<'a, T> HostSteps<'a, T> {
    /// The samples, steps x batch, and the step sizes of one of so many replicas.
    pub(crate) fn of(&self, replica: usize, replicas: usize) -> (&'a [u32], &'a [T]) {
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
    /// Step size of each step.
    pub lr: &'a [T],
    pub params: &'a mut [T],
    pub diverged: &'a mut Option<usize>,
}

/// The replicas of `count` parameters each that have not diverged; `steps`: samples and step sizes of a replica, of how many.
pub(crate) fn live<'a, T>(
    count: usize,
    params: &'a mut [T],
    diverged: &'a mut [Option<usize>],
    steps: impl Fn(usize, usize) -> (&'a [u32], &'a [T]),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Context;
    use crate::diagonal::{DiagonalShape, diagonal_gd, diagonal_sgd};
    use crate::testing::{on, on_mut};

    fn refused(cx: &Context, lr: StepSizes<'_, f64>, order: Option<&[u32]>) -> String {
        let (shape, x, y) = (DiagonalShape::new(2, 3, 2), [1.0; 6], [1.0; 2]);
        let (mut params, mut diverged) = ([0.5; 12], [None; 2]);
        let (x, y) = (on(cx, &x), on(cx, &y));
        let done = match order {
            Some(order) => {
                let steps = Steps { order: order.into(), batch: 1, lr };
                diagonal_sgd(cx, &shape, x.view(), y.view(), steps, on_mut(cx, &mut params).view_mut(), &mut diverged)
            }
            None => diagonal_gd(cx, &shape, x.view(), y.view(), lr, on_mut(cx, &mut params).view_mut(), &mut diverged),
        };
        assert_eq!(params, [0.5; 12]);
        done.unwrap_err().to_string()
    }

    #[test]
    fn a_replica_has_its_own_step_sizes_or_those_of_all() {
        let lr = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!([0, 1, 2].map(|replica| StepSizes::Each(&lr).of(replica, 3)), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
        assert_eq!([0, 2].map(|replica| StepSizes::Shared(&lr).of(replica, 3)), [lr; 2]);
        let steps = Steps { order: (&[7, 8, 9, 10]).into(), batch: 2, lr: StepSizes::Each(&lr[..2]) };
        assert_eq!(steps.on_host("op").unwrap().of(1, 2), (&[9, 10][..], &[2.0][..]));
    }

    #[test]
    fn step_sizes_that_do_not_divide_among_the_replicas_are_refused() {
        let cx = Context::cpu().unwrap();
        let three = StepSizes::Each(&[0.1; 3]);
        let line = refused(&cx, three, None);
        assert!(line.contains("`lr` has 3 elements, expected 2 (replicas * steps)"), "{line}");
        assert!(refused(&cx, three, Some(&[0; 3])).contains("`lr` has 3 elements"));
        let line = refused(&cx, StepSizes::Each(&[0.1; 6]), Some(&[0; 4]));
        assert!(line.contains("`order` has 4 elements, expected 6 (replicas * steps * batch)"), "{line}");
    }
}

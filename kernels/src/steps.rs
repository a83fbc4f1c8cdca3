#[cfg(feature = "cuda")]
pub(crate) mod cuda;

use crate::error::exact;
use crate::{Error, Result};

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

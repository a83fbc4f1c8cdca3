//! The orders in which replicas see the samples, as functions of the position: drawn on the device that trains, for all replicas at
//! once.

#[cfg(feature = "cuda")]
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use crate::context::host;
use crate::error::positive;
use crate::permutation::{Permutation, permutation_fill};
use crate::philox::{Words, philox_below};
use crate::{Buffer, Context, Error, Isa, Result, Variants, View};

/// The instruction sets with a variant of their own: those of the operators that draw.
pub const VARIANTS: Variants = Variants { op: "order", isas: &[Isa::Scalar, Isa::Avx2, Isa::Avx512] };

/// How an order is drawn from random words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Index p is [`Words::below`] of p.
    Replacement,
    /// Every n indices are a permutation, [`Permutation::of_epoch`].
    Shuffled,
}

/// What the orders of a group of replicas have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// How they are drawn.
    pub sampling: Sampling,
    /// Samples of a replica.
    pub n: u32,
}

/// The order of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is drawn from.
    pub words: Words,
    /// Index of its first sample, which is added to what is drawn.
    pub first: u32,
}

/// Sample indices on a device, replica by replica, all of them below a known bound.
#[derive(Debug)]
pub struct Indices {
    indices: Buffer<u32>,
    below: usize,
}

impl Indices {
    /// Writes a list of the host over the indices from `start` on.
    ///
    /// # Errors
    /// If there are not so many, or the transfer fails.
    pub fn overwrite(&mut self, start: usize, list: &[u32]) -> Result<()> {
        self.indices.view_mut().part(start, list.len())?.copy_from_host(list)?;
        self.below = list.iter().map(|&index| index as usize + 1).fold(self.below, usize::max);
        Ok(())
    }

    /// A copy on the host.
    ///
    /// # Errors
    /// If the transfer fails.
    pub fn to_vec(&self) -> Result<Vec<u32>> {
        self.indices.to_vec()
    }
}

/// Where an operator finds the samples of its steps: a list on the host, or [`Indices`] on its device. Both convert to it.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    indices: View<'a, u32>,
    /// What the indices are known to be below.
    below: Option<usize>,
}

impl<'a, S: AsRef<[u32]> + ?Sized> From<&'a S> for Order<'a> {
    fn from(list: &'a S) -> Self {
        Order { indices: list.into(), below: None }
    }
}

impl<'a> From<&'a Indices> for Order<'a> {
    fn from(indices: &'a Indices) -> Self {
        Order { indices: indices.indices.view(), below: Some(indices.below) }
    }
}

impl<'a> Order<'a> {
    pub(crate) fn len(&self) -> usize {
        self.indices.len()
    }

    /// For an operator that runs on the CPU.
    pub(crate) fn on_host(&self, op: &'static str) -> Result<&'a [u32]> {
        host(op, "order", self.indices)
    }

    /// Refuses indices that are not below n.
    pub(crate) fn check_below(&self, op: &'static str, n: usize) -> Result<()> {
        if let Some(below) = self.below {
            let what = "the number of samples that the order is drawn from";
            return if below <= n {
                Ok(())
            } else {
                Err(Error::Shape { op, what, got: below, expected: format!("at most {n}") })
            };
        }
        let list = self.on_host(op)?;
        // The largest first: unlike a search, that takes many indices at once.
        if list.iter().copied().max().is_none_or(|largest| (largest as usize) < n) {
            return Ok(());
        }
        match list.iter().position(|&index| index as usize >= n) {
            Some(position) => Err(Error::Index { op, argument: "order", position, got: list[position] as usize, limit: n }),
            None => Ok(()),
        }
    }
}

/// The `count` indices of every source at the positions `start`, `start + 1`, ..., on the context's device. They are the same on
/// every device.
///
/// # Errors
/// If n is zero, indices have more than 32 bits, or the device has no room for them.
pub fn order_draw(cx: &Context, draw: Draw, sources: &[Source], start: u64, count: usize) -> Result<Indices> {
    const OP: &str = "order_draw";
    positive(OP, &[("n", draw.n as usize)])?;
    let below = sources.iter().map(|source| source.first as usize).max().unwrap_or_default() + draw.n as usize;
    if below > 1 << 32 {
        return Err(Error::Shape {
            op: OP,
            what: "the largest index",
            got: below - 1,
            expected: format!("at most {}", u32::MAX),
        });
    }
    let mut indices = Buffer::zeros(cx, sources.len() * count)?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        cuda::order_draw(device, OP, draw, sources, start, indices.view_mut())?;
        return Ok(Indices { indices, below });
    }
    if let Some(indices) = indices.as_mut_slice() {
        for (source, indices) in sources.iter().zip(indices.chunks_exact_mut(count.max(1))) {
            order_fill(cx, draw, &source.words, start, indices)?;
            indices.iter_mut().for_each(|index| *index += source.first);
        }
    }
    Ok(Indices { indices, below })
}

/// The indices that are drawn from these words at the positions `start`, `start + 1`, ..., on the host.
///
/// # Errors
/// If n is zero, or the context is not of the CPU.
pub fn order_fill(cx: &Context, draw: Draw, words: &Words, start: u64, out: &mut [u32]) -> Result<()> {
    let Draw { sampling, n } = draw;
    positive("order_fill", &[("n", n as usize)])?;
    match sampling {
        Sampling::Replacement => philox_below(cx, words, n, start, out.into()),
        Sampling::Shuffled => {
            let (mut position, mut left) = (start, out);
            while !left.is_empty() {
                let (epoch, place) = (position / u64::from(n), position % u64::from(n));
                let (now, later) = left.split_at_mut(left.len().min((u64::from(n) - place) as usize));
                permutation_fill(cx, &Permutation::of_epoch(words, epoch, n), place as u32, now.into())?;
                position += now.len() as u64;
                left = later;
            }
            Ok(())
        }
    }
}

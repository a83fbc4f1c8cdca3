//! What the iterations of a replica draw: which samples they see, and noise.

use handgrad_kernels::Context;
use handgrad_kernels::order::{self, Draw, order_fill};
use handgrad_kernels::philox::Words;

use crate::error::{Result, refuse};
use crate::optim::{Batch, Sampling};
use crate::rng::{Counter, RandomState, Stream};
use crate::spec::Seed;

/// A sequence of sample indices below n, as a function of the position in it: iteration · batch size + place in the batch.
#[derive(Clone, Debug)]
pub enum Order {
    /// All samples in every iteration; there is nothing to draw.
    Full,
    /// Written down beforehand.
    Listed(Vec<u32>),
    /// Uniform with replacement, from the order stream.
    Replacement {
        /// The replica's order stream.
        stream: Counter,
        /// Samples.
        n: u32,
    },
    /// A new permutation every n positions.
    Shuffled {
        /// The replica's order stream.
        stream: Counter,
        /// Samples.
        n: u32,
    },
    /// 0, 1, ..., n-1 and again.
    Fixed {
        /// Samples.
        n: u32,
    },
}

/// Everything random about the training of one replica.
#[derive(Clone, Debug)]
pub struct Draws {
    /// Samples of every iteration.
    pub order: Order,
    /// The noise stream; draw k of iteration i is at position i·n + k, n the number of samples.
    pub noise: Counter,
    /// The augmentation stream.
    pub augment: Counter,
}

impl Draws {
    /// The draws of a replica; for the paper's own, noise is drawn from our stream under the paper's seed.
    ///
    /// # Errors
    /// As [`Order::new`].
    pub fn new(batch: Batch, seed: Seed, paper_seed: u32, n: usize, steps: u64) -> Result<Draws> {
        let order = Order::new(batch, seed, paper_seed, n, steps)?;
        let key = match seed {
            Seed::Own(seed) => seed,
            Seed::Paper => u64::from(paper_seed),
        };
        Ok(Draws { order, noise: Counter::new(key, Stream::Noise), augment: Counter::new(key, Stream::Augment) })
    }

    /// The order that came with the data: one sample per iteration, or no samples for full batches.
    ///
    /// # Errors
    /// If it is shorter than the run, or the batches hold more than one sample.
    pub fn published(order: &[u32], batch: Batch, steps: u64) -> Result<Draws> {
        match batch {
            Batch::Full => Ok(Draws::full()),
            Batch::Random { size: 1, .. } if steps <= order.len() as u64 => Ok(Draws::listed(order.to_vec())),
            Batch::Random { size, .. } => refuse!(
                "the published order has {} iterations of one sample, the run asks for {steps} of {size}; add --set seeds.paper=false",
                order.len()
            ),
        }
    }

    /// Full batches and no noise.
    pub fn full() -> Draws {
        Draws { order: Order::Full, noise: Counter::new(0, Stream::Noise), augment: Counter::new(0, Stream::Augment) }
    }

    /// An order that was written down, and no noise.
    pub fn listed(order: Vec<u32>) -> Draws {
        Draws { order: Order::Listed(order), ..Draws::full() }
    }
}

/// 4 GiB of indices.
const MAX_DRAWS: u64 = 1 << 30;

impl Order {
    /// The order of a replica. The paper's is drawn with NumPy's `RandomState(paper_seed).randint(n)`, steps x batch in all.
    ///
    /// # Errors
    /// As [`Order::check_paper`] for the paper's; if there are more samples than indices.
    pub fn new(batch: Batch, seed: Seed, paper_seed: u32, n: usize, steps: u64) -> Result<Order> {
        let Ok(n) = u32::try_from(n) else {
            return refuse!("data: {n} samples, expected at most {} to draw from", u32::MAX);
        };
        let Batch::Random { size, sampling } = batch else { return Ok(Order::Full) };
        let own = match seed {
            Seed::Own(seed) => seed,
            Seed::Paper => {
                Order::check_paper(batch, steps)?;
                if sampling == Sampling::Replacement {
                    let mut numpy = RandomState::new(paper_seed);
                    return Ok(Order::Listed((0..steps as usize * size).map(|_| numpy.randint(n)).collect()));
                }
                u64::from(paper_seed)
            }
        };
        let stream = Counter::new(own, Stream::Order);
        Ok(match sampling {
            Sampling::Replacement => Order::Replacement { stream, n },
            Sampling::Shuffled | Sampling::Epochs | Sampling::DropLast => Order::Shuffled { stream, n },
            Sampling::Fixed => Order::Fixed { n },
        })
    }

    /// Whether the paper's order is defined: NumPy's draws are with replacement, and drawn in one go.
    ///
    /// # Errors
    /// If the sampling is shuffled or there are more than 2^30 draws.
    pub fn check_paper(batch: Batch, steps: u64) -> Result<()> {
        match batch {
            Batch::Random { sampling: Sampling::Shuffled | Sampling::Epochs | Sampling::DropLast, .. } => {
                refuse!(
                    "optimiser.batch.sampling is shuffled, but the paper's order is drawn with replacement; add --set seeds.paper=false"
                )
            }
            Batch::Random { size, .. } if steps.checked_mul(size as u64).is_none_or(|draws| draws > MAX_DRAWS) => {
                refuse!(
                    "steps: the paper's order of {steps} x {size} samples is drawn in one go, at most {MAX_DRAWS}; add --set seeds.paper=false"
                )
            }
            _ => Ok(()),
        }
    }

    /// How an order that is drawn is drawn, and from which words.
    pub(crate) fn drawn(&self) -> Option<(Draw, Words)> {
        match self {
            Order::Replacement { stream, n } => Some((Draw { sampling: order::Sampling::Replacement, n: *n }, stream.integers())),
            Order::Shuffled { stream, n } => Some((Draw { sampling: order::Sampling::Shuffled, n: *n }, stream.permutations())),
            Order::Full | Order::Listed(_) | Order::Fixed { .. } => None,
        }
    }

    /// Indices at the positions from `start` on; of a list, never more than it holds.
    ///
    /// # Errors
    /// If the context has no kernel that draws them.
    pub fn fill(&self, cx: &Context, start: u64, out: &mut [u32]) -> Result<()> {
        match self {
            Order::Full => {}
            Order::Listed(list) => out.copy_from_slice(&list[start as usize..][..out.len()]),
            Order::Replacement { .. } | Order::Shuffled { .. } => {
                if let Some((draw, words)) = self.drawn() {
                    order_fill(cx, draw, &words, start, out)?;
                }
            }
            Order::Fixed { n } => {
                out.iter_mut().zip(start..).for_each(|(index, position)| *index = (position % u64::from(*n)) as u32);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(order: &Order, start: u64, len: usize) -> Vec<u32> {
        let mut out = vec![u32::MAX; len];
        order.fill(&Context::cpu().unwrap(), start, &mut out).unwrap();
        out
    }

    #[test]
    fn an_order_is_a_function_of_the_position() {
        for sampling in [Sampling::Replacement, Sampling::Shuffled, Sampling::Fixed] {
            let order = Order::new(Batch::Random { size: 1, sampling }, Seed::Own(3), 0, 80, 1000).unwrap();
            let whole = drawn(&order, 0, 500);
            assert_eq!(drawn(&order, 123, 200), whole[123..323], "{sampling:?}");
            assert!(whole.iter().all(|&index| index < 80));
            let other = Order::new(Batch::Random { size: 1, sampling }, Seed::Own(4), 0, 80, 1000).unwrap();
            assert_eq!(drawn(&other, 0, 500) == whole, sampling == Sampling::Fixed, "{sampling:?}: seeds differ");
        }
    }

    #[test]
    fn shuffling_sees_every_sample_once_an_epoch() {
        let batch = Batch::Random { size: 4, sampling: Sampling::Shuffled };
        let order = Order::new(batch, Seed::Own(0), 0, 80, 1000).unwrap();
        for epoch in 0..3 {
            let mut indices = drawn(&order, epoch * 80, 80);
            assert_ne!(indices, (0..80).collect::<Vec<u32>>());
            indices.sort_unstable();
            assert_eq!(indices, (0..80).collect::<Vec<u32>>());
        }
    }

    #[test]
    fn the_papers_order_is_numpys() {
        let order = Order::new(Batch::Random { size: 1, sampling: Sampling::Replacement }, Seed::Paper, 1, 80, 8).unwrap();
        assert_eq!(drawn(&order, 0, 8), [37, 12, 72, 9, 75, 5, 79, 64]);
    }

    #[test]
    fn noise_is_keyed_by_the_own_or_the_papers_seed() {
        for (seed, key) in [(Seed::Own(3), 3), (Seed::Paper, 7)] {
            let noise = Draws::new(Batch::Full, seed, 7, 80, 8).unwrap().noise;
            assert_eq!(noise.normal_at(5), Counter::new(key, Stream::Noise).normal_at(5), "{seed}");
        }
    }
}

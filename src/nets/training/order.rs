//! Which samples the next steps take.

use handgrad_kernels::order::{Indices, Source, order_draw};
use handgrad_kernels::philox::Words;
use handgrad_kernels::{Context, Device, Real};

use super::{Method, Replicas, Training};
use crate::draws::Draws;
use crate::error::Result;

impl<T: Real> Training<T> {
    /// The samples of a replica at the positions from `start` on, listed on the host.
    pub(super) fn fill(&self, cx: &Context, draws: &[Draws], replica: usize, start: u64, out: &mut [u32]) -> Result<()> {
        draws[replica].order.fill(cx.host(), start, out)?;
        let first = self.first_row(replica);
        out.iter_mut().for_each(|index| *index += first);
        Ok(())
    }

    /// The `count` samples of each replica at the positions from `start` on, drawn where a fused kernel of a device trains on them;
    /// none where all orders are listed anyway.
    pub(super) fn drawn(&self, cx: &Context, draws: &[Draws], start: u64, count: usize) -> Result<Option<Indices>> {
        let first = draws.iter().find_map(|draws| draws.order.drawn());
        let Some((draw, _)) = first.filter(|_| cx.device() != Device::Cpu && self.method != Method::Composed) else {
            return Ok(None);
        };
        let words = |draws: &Draws| draws.order.drawn().filter(|(other, _)| *other == draw).map(|(_, words)| words);
        let source = |(replica, draws)| Source {
            words: words(draws).unwrap_or(Words { key: [0; 2], upper: [0; 2] }),
            first: self.first_row(replica),
        };
        let mut indices = order_draw(cx, draw, &draws.iter().enumerate().map(source).collect::<Vec<_>>(), start, count)?;
        // Orders that came with the data.
        let mut list = vec![0; count];
        for replica in (0..draws.len()).filter(|&replica| words(&draws[replica]).is_none()) {
            self.fill(cx, draws, replica, start, &mut list)?;
            indices.overwrite(replica * count, &list)?;
        }
        Ok(Some(indices))
    }

    /// Where the samples of a replica's data set begin.
    fn first_row(&self, replica: usize) -> u32 {
        match &self.replicas {
            Replicas::Alike(_) => 0,
            Replicas::Own(own) => (own[replica].set * self.n) as u32,
        }
    }
}

use handgrad_kernels::{Buffer, Context, Real, View};

use super::Source;
use super::program::Operation;
use crate::error::Result;

/// Which derivatives by the outputs of operations a backward pass leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// All.
    All,
    /// None: a buffer is used again as soon as its operation's turn is over.
    None,
}

/// Memory of derivatives of a loss by the outputs of every operation but the last.
#[derive(Debug)]
pub(super) struct Gradients<T: Real> {
    buffers: Vec<Buffer<T>>,
    /// The buffer of every operation.
    of: Vec<usize>,
}

impl<T: Real> Gradients<T> {
    /// Empty, until the first pass.
    pub(super) fn none() -> Gradients<T> {
        Gradients { buffers: Vec::new(), of: Vec::new() }
    }

    /// Allocates for batches of so many samples, if that was not done.
    pub(super) fn prepare(&mut self, cx: &Context, operations: &[Operation<T>], batch: usize, keep: Keep) -> Result<()> {
        if !self.of.is_empty() {
            return Ok(());
        }
        let numbers: Vec<usize> = operations.iter().map(|operation| batch * operation.layer.outputs()).collect();
        let (of, sizes) = match keep {
            Keep::All => ((0..numbers.len()).collect(), numbers),
            Keep::None => assigned(operations, &numbers),
        };
        let buffers = sizes.into_iter().map(|size| Buffer::zeros(cx, size));
        (self.buffers, self.of) = (buffers.collect::<std::result::Result<_, _>>()?, of);
        Ok(())
    }

    /// An operation's, with room for a whole batch.
    pub(super) fn view(&self, operation: usize) -> View<'_, T> {
        self.buffers[self.of[operation]].view()
    }

    /// An operation's, until it is put back.
    pub(super) fn take(&mut self, cx: &Context, operation: usize) -> Result<Buffer<T>> {
        let nothing = Buffer::zeros(cx.host(), 0)?;
        Ok(std::mem::replace(&mut self.buffers[self.of[operation]], nothing))
    }

    /// After [`Gradients::take`].
    pub(super) fn put_back(&mut self, operation: usize, buffer: Buffer<T>) {
        self.buffers[self.of[operation]] = buffer;
    }
}

/// A buffer for every operation such that none is used for two at a time, and the buffers' sizes. The derivatives by an operation's
/// outputs are there from the turn of the last one that takes them, which is the first of the pass, to its own.
fn assigned<T: Real>(operations: &[Operation<T>], numbers: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut of: Vec<Option<usize>> = vec![None; operations.len()];
    let (mut sizes, mut free): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    // Those by the last operation's outputs come from the loss.
    for (index, operation) in operations.iter().enumerate().rev() {
        for source in [operation.second, Some(operation.from)].into_iter().flatten() {
            let Source::Node(source) = source else { continue };
            if of[source].is_some() {
                continue;
            }
            // The smallest that is large enough, or else the largest, which grows.
            let fitting =
                free.iter().copied().filter(|&buffer| sizes[buffer] >= numbers[source]).min_by_key(|&buffer| sizes[buffer]);
            let buffer = fitting.or_else(|| free.iter().copied().max_by_key(|&buffer| sizes[buffer])).unwrap_or_else(|| {
                sizes.push(0);
                sizes.len() - 1
            });
            free.retain(|&other| other != buffer);
            sizes[buffer] = sizes[buffer].max(numbers[source]);
            of[source] = Some(buffer);
        }
        free.extend(of[index]);
    }
    (of.into_iter().map(Option::unwrap_or_default).collect(), sizes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::program::Program;
    use crate::nets::{Architecture, Resnet};

    /// Every pass of the tests of networks goes through both; here only that memory is saved, and that none is shared in use.
    #[test]
    fn few_buffers_serve_all_operations_one_at_a_time() {
        let resnet = Resnet { depth: 18, width: 4, classes: 10, image: [16, 16, 3], preactivation: false };
        let net = Architecture::Resnet(resnet).net::<f64>(768).unwrap().unwrap();
        for (Program { operations, .. }, buffers) in [(Program::plain(&net), 5), (Program::fused(&net), 4)] {
            let numbers: Vec<usize> = operations.iter().map(|operation| operation.layer.outputs()).collect();
            let (of, sizes) = assigned(&operations, &numbers);
            assert!(sizes.len() <= buffers && 5 * sizes.iter().sum::<usize>() < numbers.iter().sum(), "{sizes:?}");
            let last = operations.len() - 1;
            // From the last taker's turn to its own.
            let takers = |operation: usize| {
                let takes = |index: usize| {
                    let taker = &operations[index];
                    taker.from == Source::Node(operation) || taker.second == Some(Source::Node(operation))
                };
                (0..=last).rfind(|&index| takes(index)).unwrap()
            };
            for a in 0..last {
                assert!(sizes[of[a]] >= numbers[a], "operation {a}");
                for b in a + 1..last {
                    let apart = takers(a) < b;
                    assert!(of[a] != of[b] || apart, "operations {a} and {b} share buffer {}", of[a]);
                }
            }
        }
    }
}

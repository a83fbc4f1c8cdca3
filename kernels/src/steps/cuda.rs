//! What the launchers of fused training steps share.

use handgrad_cuda::{Buffer, Context, Launch};

use crate::device::{THREADS, kernel, size};
use crate::{Real, Result, StepRule, StepSizes};

/// What `diverged` holds on the device for a replica that has not: `NOT_DIVERGED` of replica.cuh.
pub(crate) const NOT_DIVERGED: u32 = u32::MAX;
/// What it holds there for one that had before.
const BEFORE: u32 = u32::MAX - 1;

/// Elements of shared memory for the residuals of a batch's samples: `BATCH_CHUNK` of replica.cuh.
pub(crate) const RESIDUALS: usize = 32;
/// Elements of shared memory for the sums of a block's warps.
pub(crate) const SCRATCH: usize = 32;
/// Shared memory of the flag that a residual was not finite.
pub(crate) const FLAG_BYTES: usize = 4;

/// Vectors up to which one warp per replica is enough: it does not wait at barriers.
const WIDTH_OF_A_WARP: usize = 32;
/// Parameters times samples of a step up to which it is, for wider vectors: most threads of a larger block would wait most of the
/// time, and registers that eight warps of one replica take are those of eight replicas.
const WORK_OF_A_WARP: usize = 1024;

/// Threads that a replica trains with: a function of the shape and the batch alone, for sums over a vector depend on it.
fn threads(widest: usize, work: usize) -> usize {
    if widest <= WIDTH_OF_A_WARP || work <= WORK_OF_A_WARP { 32 } else { THREADS }
}

/// The kernel of a fused training step, with a block per replica. `widest`: its longest vector; `work`: its parameters times the
/// samples of a step.
pub(crate) fn training<'a, T: Real>(
    device: &'a Context,
    code: &str,
    function: &str,
    replicas: usize,
    widest: usize,
    work: usize,
) -> Result<Launch<'a>> {
    Ok(kernel::<T>(device, code, function)?.grid([replicas, 1, 1]).block([threads(widest, work), 1, 1]))
}

/// Step sizes and divergences of the replicas of one launch.
pub(crate) struct Replicas<T> {
    steps: u32,
    pub(crate) lr: Buffer<T>,
    /// Elements from the step sizes of one replica to the next one's, 0 where all have the same.
    lr_stride: u32,
    /// Elements from one step's to the next one's, 0 where a replica has one for all.
    lr_step: u32,
    pub(crate) diverged: Buffer<u32>,
}

impl<T: Real> Replicas<T> {
    pub(crate) fn new(
        device: &Context,
        op: &'static str,
        lr: StepSizes<'_, T>,
        diverged: &[Option<usize>],
    ) -> Result<Replicas<T>> {
        lr.check(op, diverged.len())?;
        let (lr, steps, [of_replica, of_step]) = lr.strided(diverged.len());
        // Step numbers must stay below the marks.
        size(op, "steps", steps.saturating_add(2))?;
        let steps = size(op, "steps", steps)?;
        let marks: Vec<u32> = diverged.iter().map(|step| if step.is_some() { BEFORE } else { NOT_DIVERGED }).collect();
        Ok(Replicas {
            steps,
            lr_stride: size(op, "steps", of_replica)?,
            lr_step: size(op, "steps", of_step)?,
            lr: Buffer::from_host(device, lr)?,
            diverged: Buffer::from_host(device, &marks)?,
        })
    }

    /// How many steps there are, and where their sizes are, as all kernels take them.
    pub(crate) fn steps<'a>(&self, launch: Launch<'a>) -> Launch<'a> {
        launch.value(self.steps).value(self.lr_stride).value(self.lr_step)
    }

    /// Waits for the launch, and writes down which replicas it has seen diverge.
    pub(crate) fn write_back(&self, diverged: &mut [Option<usize>]) -> Result<()> {
        let mut marks = vec![NOT_DIVERGED; diverged.len()];
        self.diverged.copy_to_host(&mut marks)?;
        for (entry, mark) in diverged.iter_mut().zip(marks) {
            match mark {
                NOT_DIVERGED | BEFORE => {}
                step => *entry = Some(step as usize),
            }
        }
        Ok(())
    }
}

/// The layers of a network as kernels take them.
pub(crate) struct Weights {
    pub(crate) widths: Buffer<u32>,
    pub(crate) depth: u32,
    /// Of one replica.
    pub(crate) parameters: u32,
    widest: usize,
    all_widths: usize,
}

/// Where a replica's weights are while it trains, and the shared memory that this takes.
pub(crate) struct Shared {
    /// 1 in shared memory, 0 where they were.
    pub(crate) resident: u32,
    pub(crate) bytes: usize,
}

impl Weights {
    pub(crate) fn new(device: &Context, op: &'static str, widths: &[usize], parameters: usize) -> Result<Weights> {
        let sizes = widths.iter().map(|&width| size(op, "a width", width)).collect::<Result<Vec<u32>>>()?;
        Ok(Weights {
            widths: Buffer::from_host(device, &sizes)?,
            depth: size(op, "the number of widths", widths.len() - 1)?,
            parameters: size(op, "the number of parameters", parameters)?,
            widest: widths.iter().copied().max().unwrap_or_default(),
            all_widths: widths.iter().sum(),
        })
    }

    /// The longest vector.
    pub(crate) fn widest(&self) -> usize {
        self.widest
    }

    /// In shared memory if it has room for the weights beside two vectors of every layer, `others` elements and `bytes`.
    pub(crate) fn shared<T: Real>(&self, device: &Context, others: usize, bytes: usize) -> Shared {
        let without = (2 * self.all_widths + others) * size_of::<T>() + bytes;
        let with = without + self.parameters as usize * size_of::<T>();
        let resident = with <= device.shared_bytes_per_block();
        Shared { resident: resident.into(), bytes: if resident { with } else { without } }
    }
}

/// A rule as kernels take it: whether it clips, the multiple of the half squared error, the largest norm, the decay.
pub(crate) fn parts<T: Real>(rule: &StepRule<T>) -> (u32, T, T, T) {
    let StepRule { scale, clip, weight_decay } = *rule;
    (clip.is_some().into(), scale.factor(), clip.unwrap_or(T::ZERO), weight_decay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_replicas_have_a_warp_each() {
        // 1-100-1 with biases, 15-15-15-15-1 with batches of 32, a diagonal network of 200 features with batches of 1 and 8.
        assert_eq!([(100, 301), (15, 690 * 32), (200, 400), (200, 400 * 8)].map(|(w, n)| threads(w, n)), [32, 32, 32, 256]);
    }
}

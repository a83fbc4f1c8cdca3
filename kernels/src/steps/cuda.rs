//! What the launchers of fused training steps share.

use handgrad_cuda::{Buffer, Context};

use crate::device::{THREADS, size};
use crate::{Real, Result};

/// What `diverged` holds on the device for a replica that has not: `NOT_DIVERGED` of replica.cuh.
const NOT_DIVERGED: u32 = u32::MAX;
/// What it holds there for one that had before.
const BEFORE: u32 = u32::MAX - 1;

/// Vectors up to which one warp per replica is fastest: it does not wait at barriers.
const WIDTH_OF_A_WARP: usize = 64;

/// Threads of a replica whose longest vector has so many elements: by the shape alone, for sums over a vector depend on it.
pub(crate) fn threads(width: usize) -> usize {
    if width <= WIDTH_OF_A_WARP { 32 } else { THREADS }
}

/// Step sizes and divergences of the replicas of one launch.
pub(crate) struct Replicas<T> {
    pub(crate) lr: Buffer<T>,
    pub(crate) diverged: Buffer<u32>,
}

impl<T: Real> Replicas<T> {
    pub(crate) fn new(device: &Context, op: &'static str, lr: &[T], diverged: &[Option<usize>]) -> Result<Replicas<T>> {
        // Step numbers must stay below the marks.
        size(op, "steps", lr.len().saturating_add(2))?;
        let marks: Vec<u32> = diverged.iter().map(|step| if step.is_some() { BEFORE } else { NOT_DIVERGED }).collect();
        Ok(Replicas { lr: Buffer::from_host(device, lr)?, diverged: Buffer::from_host(device, &marks)? })
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

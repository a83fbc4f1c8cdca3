use handgrad_cuda::{Buffer, Context};

use super::{Choice, MistakesShape};
use crate::device::{chunks, on, summing};
use crate::norm::cuda::count;
use crate::{Real, Result, View};

pub(super) fn mistakes<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &MistakesShape,
    y: View<T>,
    labels: View<u32>,
) -> Result<usize> {
    let (y, labels) = (on(device, op, "y", y)?, on(device, op, "labels", labels)?);
    let by_sign: u32 = match shape.choice {
        Choice::Largest => 0,
        Choice::Sign => 1,
    };
    let chunks = chunks(shape.n);
    let mut partial = Buffer::<f64>::scratch(device, chunks)?;
    let launch = summing::<T, f64>(device, op, "mistakes_partial", chunks)?;
    let launch = launch.read(y).read(labels).write(&mut partial.as_slice_mut());
    let launch = launch.value(shape.n as u64).value(shape.outputs as u64).value(by_sign);
    // SAFETY: the caller checked that y has n * outputs elements, one a sample for a sign, and that there are n labels, which
    // are only compared; each block writes its own one of `partial`.
    unsafe { launch.queue() }?;
    count(device, &partial)
}

use handgrad_cuda::{Buffer, Context};

use crate::device::{chunks, on, summing};
use crate::norm::cuda::count;
use crate::{Real, Result, View};

pub(super) fn positives<T: Real>(device: &Context, op: &'static str, x: View<T>) -> Result<usize> {
    let x = on(device, op, "x", x)?;
    let chunks = chunks(x.len());
    let mut partial = Buffer::<f64>::scratch(device, chunks)?;
    let launch = summing::<T, f64>(device, op, "positives_partial", chunks)?;
    let launch = launch.read(x).write(&mut partial.as_slice_mut()).value(x.len() as u64);
    // SAFETY: x has as many elements as are passed, and each block writes its own one of `partial`.
    unsafe { launch.queue() }?;
    count(device, &partial)
}

use handgrad_cuda::{Buffer, Context, Slice};

use crate::device::{chunks, scalar, summing};
use crate::{Real, Result};

/// What a sum of products becomes.
#[derive(Clone, Copy)]
pub(crate) enum Take {
    Sum,
    Root,
}

/// `Σ_i a_i b_i`, or its root, left on the device; b has as many elements as a.
pub(crate) fn on_device<T: Real>(device: &Context, a: Slice<T>, b: Slice<T>, take: Take) -> Result<Buffer<T>> {
    let chunks = chunks(a.len());
    let (mut partial, mut total) = (Buffer::<T>::scratch(device, chunks)?, Buffer::<T>::scratch(device, 1)?);
    let launch = summing::<T, T>(device, "norm", "norm_partial", chunks)?;
    let launch = launch.read(a).read(b).write(&mut partial.as_slice_mut()).value(a.len() as u64);
    // SAFETY: b has as many elements as a, and each block writes its own one of `partial`.
    unsafe { launch.queue() }?;
    let root: u32 = match take {
        Take::Sum => 0,
        Take::Root => 1,
    };
    let launch = summing::<T, T>(device, "norm", "norm_total", 1)?;
    let launch = launch.read(partial.as_slice()).write(&mut total.as_slice_mut()).value(chunks as u64).value(root);
    // SAFETY: `partial` has `chunks` elements and `total` one.
    unsafe { launch.queue() }?;
    Ok(total)
}

/// `Σ_i a_i b_i`, or its root; b has as many elements as a.
pub(crate) fn sum_of_products<T: Real>(device: &Context, a: Slice<T>, b: Slice<T>, take: Take) -> Result<T> {
    scalar(&on_device(device, a, b, take)?)
}

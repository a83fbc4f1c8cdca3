use handgrad_cuda::{Buffer, Context, Slice, SliceMut};

use crate::device::{adds, chunks, scalar, summing};
use crate::{Acc, Real, Result};

/// What a sum of products becomes.
#[derive(Clone, Copy)]
pub(crate) enum Take {
    Sum,
    Root,
}

/// `Σ_i a_i b_i`, or its root, left on the device; b has as many elements as a.
pub(crate) fn on_device<T: Real>(device: &Context, a: Slice<T>, b: Slice<T>, take: Take) -> Result<Buffer<T>> {
    let mut total = Buffer::<T>::scratch(device, 1)?;
    put(device, a, b, take, total.as_slice_mut(), Acc::Set)?;
    Ok(total)
}

/// The same, set or accumulated in the one element of `out`.
pub(super) fn put<T: Real>(device: &Context, a: Slice<T>, b: Slice<T>, take: Take, out: SliceMut<T>, acc: Acc) -> Result<()> {
    let chunks = chunks(a.len());
    let mut partial = Buffer::<T>::scratch(device, chunks)?;
    let launch = summing::<T, T>(device, "norm", "norm_partial", chunks)?;
    let launch = launch.read(a).read(b).write(&mut partial.as_slice_mut()).value(a.len() as u64);
    // SAFETY: b has as many elements as a, and each block writes its own one of `partial`.
    unsafe { launch.queue() }?;
    total(device, &partial, take, out, acc)
}

/// The sum of what the blocks of a first launch left, or its root, set or accumulated in the one element of `out`.
fn total<T: Real>(device: &Context, partial: &Buffer<T>, take: Take, mut out: SliceMut<T>, acc: Acc) -> Result<()> {
    let root: u32 = match take {
        Take::Sum => 0,
        Take::Root => 1,
    };
    let launch = summing::<T, T>(device, "norm", "norm_total", 1)?;
    let launch = launch.read(partial.as_slice()).write(&mut out).value(partial.len() as u64).value(root).value(adds(acc));
    // SAFETY: as many elements of `partial` are read as it has, and `out` has one.
    Ok(unsafe { launch.queue() }?)
}

/// The sum of the whole numbers that the blocks of a first launch left.
pub(crate) fn count(device: &Context, partial: &Buffer<f64>) -> Result<usize> {
    let mut sum = Buffer::<f64>::scratch(device, 1)?;
    total(device, partial, Take::Sum, sum.as_slice_mut(), Acc::Set)?;
    Ok(scalar(&sum)? as usize)
}

/// `Σ_i a_i b_i`, or its root; b has as many elements as a.
pub(crate) fn sum_of_products<T: Real>(device: &Context, a: Slice<T>, b: Slice<T>, take: Take) -> Result<T> {
    scalar(&on_device(device, a, b, take)?)
}

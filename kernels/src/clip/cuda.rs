use handgrad_cuda::Context;

use crate::device::{elementwise, on_mut};
use crate::norm::cuda::{Take, on_device};
use crate::{Real, Result, ViewMut};

pub(super) fn clip_by_norm<T: Real>(device: &Context, op: &'static str, max_norm: T, gradient: ViewMut<T>) -> Result<()> {
    let mut gradient = on_mut(device, op, "gradient", gradient)?;
    let norm = on_device(device, gradient.as_slice(), gradient.as_slice(), Take::Root)?;
    let launch = elementwise::<T>(device, "clip", op, gradient.len())?;
    let launch = launch.read(norm.as_slice()).write(&mut gradient).value(gradient.len() as u64).value(max_norm);
    // SAFETY: the norm is one element, and the gradient has as many as are passed.
    Ok(unsafe { launch.queue() }?)
}

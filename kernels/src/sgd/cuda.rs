use handgrad_cuda::Context;

use super::{Factors, Momentum};
use crate::device::{elementwise, on, on_mut};
use crate::{Real, Result, View, ViewMut};

#[expect(clippy::too_many_arguments, reason = "the operator's own, after its name")]
pub(super) fn sgd_update<T: Real>(
    device: &Context,
    op: &'static str,
    momentum: Momentum,
    factors: Factors<T>,
    lr: View<T>,
    gradient: View<T>,
    momentum_buffer: ViewMut<T>,
    params: ViewMut<T>,
) -> Result<()> {
    let (gradient, mut params) = (on(device, op, "gradient", gradient)?, on_mut(device, op, "params", params)?);
    let (lr, mut buffer) = (on(device, op, "lr", lr)?, on_mut(device, op, "momentum_buffer", momentum_buffer)?);
    // As sgd.cu counts them.
    let state: u32 = match momentum {
        Momentum::None => 0,
        Momentum::First => 1,
        Momentum::Later => 2,
    };
    let launch = elementwise::<T>(device, "sgd", op, params.len())?;
    let launch = launch.read(gradient).read(lr).write(&mut buffer).write(&mut params).value(params.len() as u64);
    let launch = launch.value(state).value(u32::from(factors.nesterov));
    let launch = launch.value(factors.momentum).value(factors.undamped).value(factors.weight_decay);
    // SAFETY: the caller checked that lr is one number and that the gradient has as many elements as params, and so has the buffer
    // unless there is no momentum, under which the kernel does not touch it.
    Ok(unsafe { launch.queue() }?)
}

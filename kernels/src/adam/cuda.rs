use handgrad_cuda::Context;

use super::{Factors, Moments};
use crate::device::{elementwise, on, on_mut};
use crate::{Real, Result, View, ViewMut};

pub(super) fn adam_update<T: Real>(
    device: &Context,
    op: &'static str,
    factors: Factors<T>,
    corrected: View<T>,
    gradient: View<T>,
    moments: Moments<'_, T>,
    params: ViewMut<T>,
) -> Result<()> {
    let (gradient, mut params) = (on(device, op, "gradient", gradient)?, on_mut(device, op, "params", params)?);
    let (mut m, mut v) = (on_mut(device, op, "m", moments.m)?, on_mut(device, op, "v", moments.v)?);
    let corrected = on(device, op, "corrected", corrected)?;
    let Factors { fresh1, beta2, fresh2, epsilon, weight_decay } = factors;
    let launch = elementwise::<T>(device, "adam", op, params.len())?;
    let launch = launch.read(gradient).read(corrected).write(&mut m).write(&mut v).write(&mut params).value(params.len() as u64);
    let launch = launch.value(fresh1).value(beta2).value(fresh2).value(epsilon).value(weight_decay);
    // SAFETY: the caller checked that `corrected` has two numbers and that gradient, m and v have as many elements as params.
    Ok(unsafe { launch.queue() }?)
}

use handgrad_cuda::{Context, Launch};

use super::Length;
use crate::device::{adds, elementwise, on, on_mut};
use crate::norm::cuda::{Take, on_device};
use crate::{Acc, Real, Result, View, ViewMut};

pub(super) fn weightnorm_forward<T: Real>(
    device: &Context,
    op: &'static str,
    v: View<T>,
    g: Length<T>,
    w: ViewMut<T>,
) -> Result<()> {
    let (v, mut w) = (on(device, op, "v", v)?, on_mut(device, op, "w", w)?);
    let norm = on_device(device, v, v, Take::Root)?;
    let launch = elementwise::<T>(device, "weightnorm", op, v.len())?.read(v).read(norm.as_slice());
    let launch = length(device, op, launch, g)?.write(&mut w).value(v.len() as u64);
    // SAFETY: the norm is one element, and so is g where it is on the device; w has as many elements as v.
    Ok(unsafe { launch.queue() }?)
}

pub(super) fn weightnorm_backward<T: Real>(
    device: &Context,
    op: &'static str,
    v: View<T>,
    g: Length<T>,
    dw: View<T>,
    (dv, dg): (ViewMut<T>, Option<ViewMut<T>>),
    acc: Acc,
) -> Result<()> {
    let (v, dw, mut dv) = (on(device, op, "v", v)?, on(device, op, "dw", dw)?, on_mut(device, op, "dv", dv)?);
    let (norm, product) = (on_device(device, v, v, Take::Root)?, on_device(device, dw, v, Take::Sum)?);
    let launch = elementwise::<T>(device, "weightnorm", op, v.len())?.read(v).read(norm.as_slice());
    let launch = length(device, op, launch, g)?.read(dw).read(product.as_slice()).write(&mut dv);
    let launch = match dg {
        None => launch.null(),
        Some(dg) => launch.write(&mut on_mut(device, op, "dg", dg)?),
    };
    let launch = launch.value(v.len() as u64).value(adds(acc));
    // SAFETY: norm and product are one element each, and so are g and dg where they are there; dw and dv have as many as v.
    Ok(unsafe { launch.queue() }?)
}

/// g as kernels take it.
fn length<'a, T: Real>(device: &Context, op: &'static str, launch: Launch<'a>, g: Length<T>) -> Result<Launch<'a>> {
    Ok(match g {
        Length::Number(g) => launch.null().value(g),
        Length::Element(g) => launch.read(on(device, op, "g", g)?).value(T::ZERO),
    })
}

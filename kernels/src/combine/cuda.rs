use handgrad_cuda::{Context, Slice};

use super::MOST_TERMS;
use crate::device::{adds, elementwise, on, on_mut};
use crate::{Acc, Real, Result, View, ViewMut};

pub(super) fn combine<T: Real>(
    device: &Context,
    op: &'static str,
    terms: &[(T, View<T>)],
    out: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    let slices: Vec<Slice<T>> = terms.iter().map(|&(_, x)| on(device, op, "x", x)).collect::<Result<_>>()?;
    let mut out = on_mut(device, op, "out", out)?;
    let mut launch = elementwise::<T>(device, "combine", op, out.len())?;
    for term in 0..MOST_TERMS {
        launch = match slices.get(term) {
            Some(&slice) => launch.read(slice),
            None => launch.null(),
        };
    }
    let elements = out.len() as u64;
    launch = launch.write(&mut out).value(elements).value(terms.len() as u32).value(adds(acc));
    for term in 0..MOST_TERMS {
        launch = launch.value(terms.get(term).map_or(T::ZERO, |&(coefficient, _)| coefficient));
    }
    // SAFETY: the caller checked that all slices have as many elements; the kernel does not read terms beyond their number,
    // which is at most four.
    Ok(unsafe { launch.queue() }?)
}

pub(super) fn scale_by<T: Real>(
    device: &Context,
    op: &'static str,
    c: View<T>,
    x: View<T>,
    out: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    let (c, x, mut out) = (on(device, op, "c", c)?, on(device, op, "x", x)?, on_mut(device, op, "out", out)?);
    let elements = out.len();
    let launch = elementwise::<T>(device, "combine", op, elements)?.read(c).read(x).write(&mut out);
    let launch = launch.value(elements as u64).value(adds(acc));
    // SAFETY: the caller checked that both slices have as many elements, and that c has one.
    Ok(unsafe { launch.queue() }?)
}

pub(super) fn scale_add<T: Real>(
    device: &Context,
    op: &'static str,
    factor: T,
    (c, x): (T, View<T>),
    out: ViewMut<T>,
) -> Result<()> {
    let (x, mut out) = (on(device, op, "x", x)?, on_mut(device, op, "out", out)?);
    let elements = out.len();
    let launch = elementwise::<T>(device, "combine", op, elements)?.read(x).write(&mut out);
    let launch = launch.value(elements as u64).value(factor).value(c);
    // SAFETY: the caller checked that both slices have as many elements.
    Ok(unsafe { launch.queue() }?)
}

use handgrad_cuda::{Context, Launch};

use super::GatherShape;
use crate::device::{grid, on, on_mut};
use crate::{Element, Result, View, ViewMut};

pub(super) fn gather<T: Element>(
    device: &Context,
    op: &'static str,
    shape: &GatherShape,
    x: View<T>,
    indices: View<u32>,
    out: ViewMut<T>,
) -> Result<()> {
    let (x, indices, mut out) = (on(device, op, "x", x)?, on(device, op, "indices", indices)?, on_mut(device, op, "out", out)?);
    let elements = out.len();
    let launch = grid(Launch::new(device, op, &format!("gather_{}", size_of::<T>()))?, elements);
    let launch = launch.read(x).read(indices).write(&mut out).value(elements as u64);
    let launch = launch.value(shape.n as u64).value(shape.width as u64).value(shape.stride as u64);
    // SAFETY: the caller checked all lengths against the shape, and the kernel reads no row beyond n.
    Ok(unsafe { launch.queue() }?)
}

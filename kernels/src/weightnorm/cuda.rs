use handgrad_cuda::{Context, Slice};

use crate::device::{adds, elementwise, on, on_mut};
use crate::{Acc, Real, Result, View, ViewMut};

/// Terms that the kernel takes.
const MOST_TERMS: usize = 4;

/// `out = Σ_k c_k x_k` over one to four terms, set or accumulated, all as long as `out`.
pub(super) fn combine<T: Real>(
    device: &Context,
    op: &'static str,
    terms: &[(T, View<T>)],
    out: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    let slices: Vec<Slice<T>> = terms.iter().map(|&(_, x)| on(device, op, "a term", x)).collect::<Result<_>>()?;
    let mut out = on_mut(device, op, "the result", out)?;
    let mut launch = elementwise::<T>(device, "weightnorm", "weightnorm_combine", out.len())?;
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
    // SAFETY: the callers checked that all slices have as many elements; the kernel does not read terms beyond their number,
    // which is at most four.
    Ok(unsafe { launch.queue() }?)
}

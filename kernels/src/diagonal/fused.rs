#[cfg(feature = "cuda")]
use super::cuda;
use super::{DiagonalShape, StepSizes, Steps, VARIANTS, scalar, simd};
use crate::context::{host, host_mut};
use crate::error::exact;
use crate::{Context, Isa, Real, Result, View, ViewMut};

/// SGD on the half squared error, all `steps` at once per replica: with g = 1/B Σ_{i in batch} (x_i·(u∘v) - y_i) x_i,
/// `u -= lr·g∘v` and `v -= lr·g∘u`, both from the values before the step.
///
/// `x`: n rows of d (by stride); `y`: n; `params`: replicas x 2d, updated in place; `diverged`: one entry per replica.
/// A replica diverges at the first step with a residual that is not finite: the entry becomes that step's number within
/// this call, and the replica stays as it was before that step. A replica whose entry is `Some` on entry is left alone.
///
/// # Errors
/// If a length disagrees with the shape, an index of `order` is not below n, the batch is empty, or a view is not on the
/// context's device. Nothing has been updated then.
pub fn diagonal_sgd<T: Real>(
    cx: &Context,
    shape: &DiagonalShape,
    x: View<T>,
    y: View<T>,
    steps: Steps<'_, T>,
    params: ViewMut<T>,
    diverged: &mut [Option<usize>],
) -> Result<()> {
    const OP: &str = "diagonal_sgd";
    check(OP, shape, &x, &y, &params, diverged)?;
    steps.check(OP, shape.n, shape.replicas)?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::diagonal_sgd(device, OP, shape, [x, y], steps, params, diverged);
    }
    let (x, y, params) = (host(OP, "x", x)?, host(OP, "y", y)?, host_mut(OP, "params", params)?);
    let steps = steps.on_host(OP)?;
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => {
            for (replica, (params, diverged)) in params.chunks_exact_mut(2 * shape.d).zip(diverged).enumerate() {
                if diverged.is_none() {
                    let (order, lr) = steps.of(replica, shape.replicas);
                    *diverged = scalar::diagonal_sgd(shape, x, y, order, steps.batch, lr, params);
                }
            }
        }
        isa => simd::diagonal_sgd(isa, shape, x, y, steps, params, diverged, &mut cx.scratch(simd::sgd_scratch::<T>(shape.d))),
    }
    Ok(())
}

/// Gradient descent on the half mean squared error `1/(2n) ‖X(u∘v) - y‖²`, as many steps at once per replica as it has step sizes.
///
/// Arguments, divergence and errors as [`diagonal_sgd`].
///
/// # Errors
/// If a length disagrees with the shape or a view is not on the context's device.
pub fn diagonal_gd<T: Real>(
    cx: &Context,
    shape: &DiagonalShape,
    x: View<T>,
    y: View<T>,
    lr: StepSizes<'_, T>,
    params: ViewMut<T>,
    diverged: &mut [Option<usize>],
) -> Result<()> {
    const OP: &str = "diagonal_gd";
    check(OP, shape, &x, &y, &params, diverged)?;
    lr.check(OP, shape.replicas)?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::diagonal_gd(device, OP, shape, [x, y], lr, params, diverged);
    }
    let (x, y, params) = (host(OP, "x", x)?, host(OP, "y", y)?, host_mut(OP, "params", params)?);
    let mut scratch = cx.scratch(2 * shape.d);
    for (replica, (params, diverged)) in params.chunks_exact_mut(2 * shape.d).zip(diverged).enumerate() {
        if diverged.is_none() {
            let lr = lr.of(replica, shape.replicas);
            *diverged = match VARIANTS.runs_under(cx.isa()) {
                Isa::Scalar => scalar::diagonal_gd(shape, x, y, lr, params),
                isa => simd::diagonal_gd(isa, shape, x, y, lr, params, &mut scratch),
            };
        }
    }
    Ok(())
}

/// The checks that both kinds of step share.
fn check<T: Real>(
    op: &'static str,
    shape: &DiagonalShape,
    x: &View<T>,
    y: &View<T>,
    params: &ViewMut<T>,
    diverged: &[Option<usize>],
) -> Result<()> {
    shape.check(op, x.len(), params.len())?;
    exact(op, "y", y.len(), shape.n, "n")?;
    exact(op, "diverged", diverged.len(), shape.replicas, "replicas")
}

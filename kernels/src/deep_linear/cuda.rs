use handgrad_cuda::Context;

use super::DeepLinearShape;
use crate::device::{on, on_mut, size};
use crate::steps::cuda::{FLAG_BYTES, RESIDUALS, Replicas, SCRATCH, Weights, parts, training};
use crate::{Order, Real, Result, StepRule, StepSizes, View, ViewMut};

/// Steps of `batch` samples in this order, or, without one, of all samples; the arguments are checked.
#[expect(clippy::too_many_arguments, reason = "those of the operators, unpacked")]
pub(super) fn train<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &DeepLinearShape<'_>,
    rule: &StepRule<T>,
    [x, y]: [View<T>; 2],
    order: Option<(Order<'_>, usize)>,
    lr: StepSizes<'_, T>,
    params: ViewMut<T>,
    diverged: &mut [Option<usize>],
) -> Result<()> {
    let (x, y, mut params) = (on(device, op, "x", x)?, on(device, op, "y", y)?, on_mut(device, op, "params", params)?);
    let mut replicas = Replicas::new(device, op, lr, diverged)?;
    let weights = Weights::new(device, op, shape.widths, shape.params())?;
    let (clipped, scale, clip, weight_decay) = parts(rule);
    let (batch, order) = match order {
        Some((order, batch)) => (batch, Some(order.on(device)?)),
        None => (shape.n, None),
    };

    let shared = weights.shared::<T>(device, RESIDUALS + SCRATCH, FLAG_BYTES);
    let work = shape.params().saturating_mul(batch);
    let launch = training::<T>(device, "deep_linear", "deep_linear_sgd", shape.replicas, weights.widest(), work)?;
    let launch = launch.shared_bytes(shared.bytes).read(x).read(y);
    let launch = match &order {
        Some(order) => launch.read(order.as_slice()),
        None => launch.null(),
    };
    let launch = launch.read(replicas.lr.as_slice()).write(&mut params).write(&mut replicas.diverged.as_slice_mut());
    let launch = launch.read(weights.widths.as_slice()).value(weights.depth).value(weights.parameters);
    let launch = replicas.steps(launch.value(size(op, "stride", shape.stride)?));
    let launch = launch.value(size(op, "batch", batch)?).value(shared.resident);
    let launch = launch.value(clipped).value(scale).value(clip).value(weight_decay);
    // SAFETY: the caller checked all lengths against the shape, that there is an index for each sample of each step and replica,
    // and that all are below n; without an order the batch is n.
    unsafe { launch.queue() }?;
    replicas.write_back(diverged)
}

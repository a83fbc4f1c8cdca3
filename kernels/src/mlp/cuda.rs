use handgrad_cuda::Context;

use super::{Bias, Hidden, MlpShape};
use crate::device::{on, on_mut, size};
use crate::steps::cuda::{Replicas, SCRATCH, Weights, parts, training};
use crate::{Real, Result, StepRule, Steps, View, ViewMut};

/// Batch-1 steps; the arguments are checked.
#[expect(clippy::too_many_arguments, reason = "those of the operator")]
pub(super) fn mlp_sgd<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &MlpShape<'_>,
    rule: &StepRule<T>,
    [x, y]: [View<T>; 2],
    steps: Steps<'_, T>,
    params: ViewMut<T>,
    diverged: &mut [Option<usize>],
) -> Result<()> {
    let (x, y, mut params) = (on(device, op, "x", x)?, on(device, op, "y", y)?, on_mut(device, op, "params", params)?);
    let mut replicas = Replicas::new(device, op, steps.lr, diverged)?;
    let weights = Weights::new(device, op, shape.widths, shape.params())?;
    let order = steps.order.on(device)?;
    let (clipped, scale, clip, weight_decay) = parts(rule);
    // As mlp.cu counts them.
    let bias: u32 = match shape.bias {
        Bias::None => 0,
        Bias::First => 1,
        Bias::All => 2,
    };
    let relu: u32 = match shape.activation {
        Hidden::Identity => 0,
        Hidden::Relu => 1,
    };

    let shared = weights.shared::<T>(device, SCRATCH, 0);
    let launch = training::<T>(device, "mlp", op, shape.replicas, weights.widest(), shape.params())?.shared_bytes(shared.bytes);
    let launch = launch.read(x).read(y).read(order.as_slice()).read(replicas.lr.as_slice());
    let launch = launch.write(&mut params).write(&mut replicas.diverged.as_slice_mut()).read(weights.widths.as_slice());
    let launch = launch.value(weights.depth).value(weights.parameters).value(bias).value(relu);
    let launch = replicas.steps(launch.value(size(op, "stride", shape.stride)?));
    let launch = launch.value(shared.resident).value(clipped).value(scale).value(clip).value(weight_decay);
    // SAFETY: the caller checked all lengths against the shape, that there is an index for each step and replica, and that all
    // are below n.
    unsafe { launch.queue() }?;
    replicas.write_back(diverged)
}

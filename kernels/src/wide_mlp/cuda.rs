use handgrad_cuda::Context;

use super::WideMlpShape;
use crate::activation;
use crate::device::{THREADS, kernel, on, on_mut, size};
use crate::steps::cuda::{FLAG_BYTES, Replicas};
use crate::{Real, Result, Steps, View, ViewMut};

/// Most outputs and hidden units of a W₂ that a block has in registers: `ROWS_IN_REGISTERS` and `COLUMNS_IN_REGISTERS` of
/// wide_mlp.cu.
pub(crate) const IN_REGISTERS: [usize; 2] = [200, 224];
/// Vectors of hidden units, and of outputs, that are padded there: two activations and the partial sums of 8 warps, two errors.
const PADDED: [usize; 2] = [10, 2];

/// Where a replica's weights are while it trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// W₂ in registers, W₁ in shared memory.
    Registers,
    /// Both in shared memory.
    Shared,
    /// Where they were.
    Params,
}

impl Place {
    /// The fastest that there is room for, and the shared memory that it takes. It follows from the shape alone, for sums depend on
    /// it.
    fn of<T: Real>(shape: &WideMlpShape, room: usize) -> (Place, usize) {
        let WideMlpShape { inputs, hidden, outputs, .. } = *shape;
        let bytes = |weights: usize, [outputs_padded, hidden_padded]: [usize; 2]| {
            let vectors = 2 * (inputs + hidden + outputs) + PADDED[0] * hidden_padded + PADDED[1] * outputs_padded;
            (weights + vectors) * size_of::<T>() + FLAG_BYTES
        };
        let registers = bytes(hidden * inputs, IN_REGISTERS);
        if size_of::<T>() == size_of::<f32>() && outputs <= IN_REGISTERS[0] && hidden <= IN_REGISTERS[1] && registers <= room {
            return (Place::Registers, registers);
        }
        let shared = bytes(shape.params(), [outputs, hidden]);
        if shared <= room { (Place::Shared, shared) } else { (Place::Params, bytes(0, [outputs, hidden])) }
    }
}

/// The arguments are checked.
#[expect(clippy::too_many_arguments, reason = "those of the operator")]
pub(super) fn wide_mlp_sgd<T: Real>(
    device: &Context,
    op: &'static str,
    shape: &WideMlpShape,
    gain: T,
    [x, y]: [View<T>; 2],
    steps: Steps<'_, T>,
    params: ViewMut<T>,
    diverged: &mut [Option<usize>],
) -> Result<()> {
    let (x, y, mut params) = (on(device, op, "x", x)?, on(device, op, "y", y)?, on_mut(device, op, "params", params)?);
    let mut replicas = Replicas::new(device, op, steps.lr, diverged)?;
    let order = steps.order.on(device)?;
    // The kernels count a replica's weights in 32 bits.
    size(op, "the number of parameters", shape.params())?;

    let (place, bytes) = Place::of::<T>(shape, device.shared_bytes_per_block());
    let function = if place == Place::Registers { "wide_mlp_sgd_registers" } else { "wide_mlp_sgd" };
    let launch = kernel::<T>(device, "wide_mlp", function)?.grid([shape.replicas, 1, 1]).block([THREADS, 1, 1]);
    let launch = launch.shared_bytes(bytes).read(x).read(y).read(order.as_slice()).read(replicas.lr.as_slice());
    let launch = launch.write(&mut params).write(&mut replicas.diverged.as_slice_mut());
    let launch = launch.value(size(op, "inputs", shape.inputs)?).value(size(op, "hidden", shape.hidden)?);
    let launch = launch.value(size(op, "outputs", shape.outputs)?).value(activation::cuda::number(shape.activation));
    let launch = replicas.steps(launch.value(size(op, "stride", shape.stride)?)).value(gain);
    let launch = match place {
        Place::Registers => launch,
        Place::Shared => launch.value(1_u32),
        Place::Params => launch.value(0_u32),
    };
    // SAFETY: the caller checked all lengths against the shape, that there is an index for each step and replica, and that all
    // are below n.
    unsafe { launch.queue() }?;
    replicas.write_back(diverged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;

    #[test]
    fn weights_are_where_there_is_room_for_them() {
        let place = |[inputs, hidden, outputs]: [usize; 3], of: fn(&WideMlpShape, usize) -> (Place, usize)| {
            let activation = Activation::Relu;
            // The most that a block has on an H100.
            of(&WideMlpShape { inputs, hidden, outputs, activation, n: 1, stride: inputs, replicas: 1 }, 227 << 10).0
        };
        for (widths, single, double) in [
            ([1, 1, 1], Place::Registers, Place::Shared),
            ([200, 200, 200], Place::Registers, Place::Params),
            ([30, 224, 200], Place::Registers, Place::Params),
            ([20, 225, 7], Place::Shared, Place::Shared),
            ([20, 30, 201], Place::Shared, Place::Shared),
            ([300, 200, 3], Place::Params, Place::Params),
        ] {
            assert_eq!([place(widths, Place::of::<f32>), place(widths, Place::of::<f64>)], [single, double], "{widths:?}");
        }
    }
}

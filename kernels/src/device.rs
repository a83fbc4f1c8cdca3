//! What the launchers of device code share: operands on the device, sizes, grids and sums.

use handgrad_cuda::{self as cuda, Buffer, Launch, Slice, SliceMut};

use crate::{Acc, Device, Element, Error, Real, Result, View, ViewMut};

/// Threads of a block of element-wise kernels and of those that sum.
pub(crate) const THREADS: usize = 256;

/// Blocks of element-wise kernels: more would have nothing to do but to start.
const MOST_BLOCKS: usize = 4096;

/// Elements that a block sums in the first of two launches: `SUM_CHUNK` of sums.cuh.
const SUM_CHUNK: usize = 4096;

/// The elements behind a view, for an operator that runs on `device`.
pub(crate) fn on<'a, T: Element>(
    device: &cuda::Context,
    op: &'static str,
    argument: &'static str,
    view: View<'a, T>,
) -> Result<Slice<'a, T>> {
    match view {
        View::Cuda(slice) => Ok(slice),
        View::Host(_) => Err(on_the_host(device, op, argument)),
    }
}

/// As [`on`], to write to.
pub(crate) fn on_mut<'a, T: Element>(
    device: &cuda::Context,
    op: &'static str,
    argument: &'static str,
    view: ViewMut<'a, T>,
) -> Result<SliceMut<'a, T>> {
    match view {
        ViewMut::Cuda(slice) => Ok(slice),
        ViewMut::Host(_) => Err(on_the_host(device, op, argument)),
    }
}

fn on_the_host(device: &cuda::Context, op: &'static str, argument: &'static str) -> Error {
    let expected = Device::Cuda(device.ordinal()).to_string();
    Error::WrongDevice { op, argument, found: Device::Cpu.to_string(), expected }
}

/// A size as kernels take it.
pub(crate) fn size(op: &'static str, what: &'static str, got: usize) -> Result<u32> {
    u32::try_from(got).map_err(|_| Error::Shape { op, what, got, expected: format!("at most {} on a CUDA device", u32::MAX) })
}

/// The kernel `<function>_f32` or `<function>_f64` of a device code.
pub(crate) fn kernel<'a, T: Real>(device: &'a cuda::Context, code: &str, function: &str) -> Result<Launch<'a>> {
    Ok(Launch::new(device, code, &format!("{function}_{}", T::DTYPE.name()))?)
}

/// As [`kernel`], with a grid for a kernel that strides over `elements`.
pub(crate) fn elementwise<'a, T: Real>(
    device: &'a cuda::Context,
    code: &str,
    function: &str,
    elements: usize,
) -> Result<Launch<'a>> {
    Ok(grid(kernel::<T>(device, code, function)?, elements))
}

/// The grid of a kernel that strides over `elements`.
pub(crate) fn grid(launch: Launch<'_>, elements: usize) -> Launch<'_> {
    let blocks = elements.div_ceil(THREADS).clamp(1, MOST_BLOCKS);
    launch.grid([blocks, 1, 1]).block([THREADS, 1, 1])
}

/// As [`kernel`], for one of the two launches of a sum whose terms are of type `S`.
pub(crate) fn summing<'a, T: Real, S: Element>(
    device: &'a cuda::Context,
    code: &str,
    function: &str,
    blocks: usize,
) -> Result<Launch<'a>> {
    let launch = kernel::<T>(device, code, function)?.grid([blocks, 1, 1]).block([THREADS, 1, 1]);
    Ok(launch.shared_bytes(THREADS / 32 * size_of::<S>()))
}

/// Blocks of the first launch of a sum, each of which leaves one partial sum.
pub(crate) fn chunks(elements: usize) -> usize {
    elements.div_ceil(SUM_CHUNK)
}

/// The one element of a result.
pub(crate) fn scalar<T: Real>(result: &Buffer<T>) -> Result<T> {
    let mut value = [T::NAN];
    result.copy_to_host(&mut value)?;
    Ok(value[0])
}

/// 1 to accumulate, 0 to set.
pub(crate) fn adds(acc: Acc) -> u32 {
    match acc {
        Acc::Set => 0,
        Acc::Add => 1,
    }
}

#[cfg(test)]
mod tests {
    use handgrad_cuda::DeviceCode;

    use super::*;
    use crate::mse::{MseScale, mse_forward};
    use crate::testing::contexts;
    use crate::{Buffer, Context};

    /// The value of a constant in a file of device code.
    fn constant(file: &str, name: &str) -> String {
        let sources = DeviceCode::all().iter().map(|code| (code.file, code.source));
        let (_, text) = DeviceCode::headers().iter().copied().chain(sources).find(|(known, _)| *known == file).unwrap();
        let (_, rest) = text.split_once(&format!(" {name} = ")).unwrap_or_else(|| panic!("{file} has no {name}"));
        rest.split([',', ';']).next().unwrap().to_owned()
    }

    #[test]
    fn launchers_and_kernels_have_the_same_constants() {
        assert_eq!(constant("sums.cuh", "SUM_CHUNK"), SUM_CHUNK.to_string());
        assert_eq!(constant("sums.cuh", "SUM_THREADS"), THREADS.to_string());
        assert_eq!(constant("product.cuh", "PRODUCT_THREADS"), crate::gemm::cuda::THREADS.to_string());
        assert_eq!(constant("product.cuh", "DEPTH"), crate::gemm::cuda::DEPTH.to_string());
        assert_eq!(constant("batchnorm.cu", "ROWS_OF_BLOCK"), crate::batchnorm::cuda::ROWS.to_string());
        let [rows, columns] = crate::wide_mlp::cuda::IN_REGISTERS.map(|most| most.to_string());
        assert_eq!(
            [constant("wide_mlp.cu", "ROWS_IN_REGISTERS"), constant("wide_mlp.cu", "COLUMNS_IN_REGISTERS")],
            [rows, columns]
        );
        assert_eq!(constant("replica.cuh", "REPLICA_THREADS"), THREADS.to_string());
        assert_eq!(constant("replica.cuh", "BATCH_CHUNK"), crate::steps::cuda::RESIDUALS.to_string());
        assert_eq!(constant("replica.cuh", "NOT_DIVERGED"), format!("{:#x}", crate::steps::cuda::NOT_DIVERGED));
    }

    #[test]
    fn what_a_grid_is_too_small_for_comes_in_further_rounds() {
        let contexts = contexts();
        for device in contexts.iter().filter_map(Context::cuda) {
            let norm = cuda::Buffer::from_host(device, &[2.0f32]).unwrap();
            let mut gradient = cuda::Buffer::from_host(device, &[3.0f32; 1000]).unwrap();
            let launch = kernel::<f32>(device, "clip", "clip_by_norm").unwrap().grid([2, 1, 1]).block([64, 1, 1]);
            let launch = launch.read(norm.as_slice()).write(&mut gradient.as_slice_mut()).value(1000_u64).value(1.0f32);
            // SAFETY: the gradient has the 1000 elements that the kernel is told of, and the norm one.
            unsafe { launch.queue() }.unwrap();
            let mut got = [0.0f32; 1000];
            gradient.copy_to_host(&mut got).unwrap();
            assert_eq!(got, [3.0 * (1.0 / (2.0 + 1e-6)); 1000]);
        }
    }

    #[test]
    fn operands_on_another_device_are_refused() {
        let host = Context::cpu().unwrap();
        for cx in contexts().into_iter().filter(|cx| cx.device() != Device::Cpu) {
            let values = [1.0, 2.0];
            let on_card = Buffer::from_slice(&cx, &values).unwrap();
            let error = mse_forward(&cx, MseScale::Half, on_card.view(), (&values).into()).unwrap_err().to_string();
            assert!(error.contains("`target` lives on the CPU, but the context runs on CUDA device 0"), "{error}");
            let error = mse_forward(&host, MseScale::Half, on_card.view(), (&values).into()).unwrap_err().to_string();
            assert!(error.contains("`y` lives on a CUDA device, but the context runs on the CPU"), "{error}");
        }
    }

    #[test]
    fn sizes_beyond_the_kernels_are_refused() {
        assert_eq!(size("op", "n", u32::MAX as usize).unwrap(), u32::MAX);
        let error = size("op", "n", 1 << 32).unwrap_err().to_string();
        assert_eq!(error, "op: n is 4294967296, expected at most 4294967295 on a CUDA device");
    }
}

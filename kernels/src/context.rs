use std::sync::Mutex;

use crate::buffer::Chunk;
use crate::conv2d::Convolution;
use crate::{Element, Error, Isa, Precision, Result, View, ViewMut};

/// Where kernels run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// This machine's processor.
    Cpu,
    /// A CUDA device by ordinal.
    Cuda(usize),
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Device::Cpu => f.write_str("the CPU"),
            Device::Cuda(ordinal) => write!(f, "CUDA device {ordinal}"),
        }
    }
}

/// What a kernel needs besides its arguments: the device, the instruction set and scratch memory that is reused between calls.
///
/// It is `Sync`: threads may share one.
#[derive(Debug)]
pub struct Context {
    device: Device,
    isa: Isa,
    convolution: Convolution,
    precision: Precision,
    #[cfg(feature = "cuda")]
    cuda: Option<Cuda>,
    idle: Mutex<Vec<Vec<Chunk>>>,
}

/// A CUDA device and what computes beside it.
#[cfg(feature = "cuda")]
#[derive(Debug)]
struct Cuda {
    device: handgrad_cuda::Context,
    host: Box<Context>,
}

impl Context {
    /// The CPU with the instruction set of `HANDGRAD_ISA`, or the fastest one there is.
    ///
    /// # Errors
    /// If `HANDGRAD_ISA` names no instruction set or one that this processor lacks.
    pub fn cpu() -> Result<Context> {
        Context::cpu_with(Isa::from_environment()?)
    }

    /// The CPU with one instruction set.
    ///
    /// # Errors
    /// If this processor lacks it.
    pub fn cpu_with(isa: Isa) -> Result<Context> {
        Ok(Context {
            device: Device::Cpu,
            isa: isa.checked()?,
            convolution: Convolution::default(),
            precision: Precision::default(),
            #[cfg(feature = "cuda")]
            cuda: None,
            idle: Mutex::default(),
        })
    }

    /// Any device.
    ///
    /// # Errors
    /// As [`Context::cpu`]; for a CUDA device also if it is absent or the build lacks CUDA support.
    pub fn new(device: Device) -> Result<Context> {
        match device {
            Device::Cpu => Context::cpu(),
            #[cfg(feature = "cuda")]
            Device::Cuda(ordinal) => Context::on_cuda(handgrad_cuda::Context::new(ordinal)?),
            #[cfg(not(feature = "cuda"))]
            Device::Cuda(_) => Err(Error::NoCudaSupport),
        }
    }

    /// An opened CUDA device.
    ///
    /// # Errors
    /// As [`Context::cpu`].
    #[cfg(feature = "cuda")]
    pub fn on_cuda(cuda: handgrad_cuda::Context) -> Result<Context> {
        let device = Device::Cuda(cuda.ordinal());
        Ok(Context { device, cuda: Some(Cuda { device: cuda, host: Box::new(Context::cpu()?) }), ..Context::cpu()? })
    }

    /// With convolutions computed in one way, also by the processor beside a CUDA device.
    pub fn with_convolution(mut self, convolution: Convolution) -> Context {
        self.convolution = convolution;
        #[cfg(feature = "cuda")]
        if let Some(cuda) = self.cuda.take() {
            self.cuda = Some(Cuda { host: Box::new(cuda.host.with_convolution(convolution)), ..cuda });
        }
        self
    }

    /// How convolutions are computed.
    pub fn convolution(&self) -> Convolution {
        self.convolution
    }

    /// With products of f32 computed in one precision by the CUDA device; the processor beside it computes in f32.
    ///
    /// # Errors
    /// On the CPU, if it is another than f32.
    pub fn with_precision(self, precision: Precision) -> Result<Context> {
        match self.device {
            Device::Cpu if precision != Precision::F32 => Err(Error::Precision { got: precision.name() }),
            _ => Ok(Context { precision, ..self }),
        }
    }

    /// How products of f32 are computed.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Where kernels run.
    pub fn device(&self) -> Device {
        self.device
    }

    /// This machine's processor: the context itself, or beside a CUDA device what prepares its work and measures.
    pub fn host(&self) -> &Context {
        #[cfg(feature = "cuda")]
        if let Some(cuda) = &self.cuda {
            return &cuda.host;
        }
        self
    }

    /// What the bits of a result depend on: the name of the instruction set with the way of convolutions where one is asked for,
    /// or `cuda` with the precision where it is not f32.
    pub fn variant(&self) -> &'static str {
        match (self.device, self.isa, self.convolution) {
            (Device::Cuda(_), ..) => match self.precision {
                Precision::F32 => "cuda",
                Precision::F32x3 => "cuda-f32x3",
                Precision::Tf32 => "cuda-tf32",
                Precision::Bf16 => "cuda-bf16",
            },
            (_, isa, Convolution::Auto) | (_, isa @ Isa::Scalar, _) => isa.name(),
            (_, Isa::Avx2, Convolution::Direct) => "avx2-direct",
            (_, Isa::Avx2, Convolution::Winograd2) => "avx2-winograd2",
            (_, Isa::Avx2, Convolution::Winograd4) => "avx2-winograd4",
            (_, Isa::Avx512, Convolution::Direct) => "avx512-direct",
            (_, Isa::Avx512, Convolution::Winograd2) => "avx512-winograd2",
            (_, Isa::Avx512, Convolution::Winograd4) => "avx512-winograd4",
        }
    }

    /// The instruction set that kernels may use; an operator without that variant takes the next lower one.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Waits for all that was queued on a CUDA device; a CPU's operators return when they are done.
    ///
    /// # Errors
    /// If the device fails.
    pub fn synchronize(&self) -> Result<()> {
        #[cfg(feature = "cuda")]
        if let Some(cuda) = self.cuda() {
            cuda.synchronize()?;
        }
        Ok(())
    }

    /// The opened CUDA device, if this context is one.
    #[cfg(feature = "cuda")]
    pub fn cuda(&self) -> Option<&handgrad_cuda::Context> {
        self.cuda.as_ref().map(|cuda| &cuda.device)
    }

    /// The opened CUDA device with its precision, for products.
    #[cfg(feature = "cuda")]
    pub(crate) fn multiplier(&self) -> Option<crate::gemm::cuda::Multiplier<'_>> {
        self.cuda().map(|device| crate::gemm::cuda::Multiplier { device, precision: self.precision })
    }

    /// `len` elements of scratch memory, aligned to 64 bytes, of unspecified content; they go back when dropped.
    pub fn scratch<T: Element>(&self, len: usize) -> Scratch<'_, T> {
        let mut chunks = self.lock_idle().pop().unwrap_or_default();
        let needed = (len * size_of::<T>()).div_ceil(size_of::<Chunk>());
        if chunks.len() < needed {
            chunks.resize(needed, Chunk::ZERO);
        }
        Scratch { context: self, chunks, len, element: std::marker::PhantomData }
    }

    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Chunk>>> {
        // The list holds no invariant that a panic elsewhere could break.
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The context must be a CPU's: what follows has no other kernel.
    pub(crate) fn require_cpu(&self, op: &'static str) -> Result<()> {
        match self.device {
            Device::Cpu => Ok(()),
            device @ Device::Cuda(_) => Err(Error::Unsupported { op, device: device.to_string() }),
        }
    }
}

/// Scratch memory borrowed from a [`Context`].
#[derive(Debug)]
pub struct Scratch<'a, T: Element> {
    context: &'a Context,
    chunks: Vec<Chunk>,
    len: usize,
    element: std::marker::PhantomData<T>,
}

impl<T: Element> std::ops::Deref for Scratch<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &bytemuck::cast_slice(&self.chunks)[..self.len]
    }
}

impl<T: Element> std::ops::DerefMut for Scratch<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut bytemuck::cast_slice_mut(&mut self.chunks)[..self.len]
    }
}

impl<T: Element> Drop for Scratch<'_, T> {
    fn drop(&mut self) {
        self.context.lock_idle().push(std::mem::take(&mut self.chunks));
    }
}

/// The host slice behind a view, for an operator that runs on the CPU.
#[cfg_attr(not(feature = "cuda"), expect(unused_variables, reason = "without CUDA every view is the host's"))]
pub(crate) fn host<'a, T: Element>(op: &'static str, argument: &'static str, view: View<'a, T>) -> Result<&'a [T]> {
    match view {
        View::Host(slice) => Ok(slice),
        #[cfg(feature = "cuda")]
        View::Cuda(_) => Err(on_a_card(op, argument)),
    }
}

/// As [`host`], to write to.
#[cfg_attr(not(feature = "cuda"), expect(unused_variables, reason = "without CUDA every view is the host's"))]
pub(crate) fn host_mut<'a, T: Element>(op: &'static str, argument: &'static str, view: ViewMut<'a, T>) -> Result<&'a mut [T]> {
    match view {
        ViewMut::Host(slice) => Ok(slice),
        #[cfg(feature = "cuda")]
        ViewMut::Cuda(_) => Err(on_a_card(op, argument)),
    }
}

#[cfg(feature = "cuda")]
fn on_a_card(op: &'static str, argument: &'static str) -> Error {
    Error::WrongDevice { op, argument, found: "a CUDA device".to_owned(), expected: Device::Cpu.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_is_aligned_reused_and_sized() {
        let cx = Context::cpu().unwrap();
        let first = {
            let mut scratch = cx.scratch::<f64>(9);
            assert_eq!(scratch.len(), 9);
            scratch.fill(1.0);
            assert_eq!(scratch.as_ptr() as usize % 64, 0);
            scratch.as_ptr() as usize
        };
        let again = cx.scratch::<f32>(16);
        assert_eq!(again.as_ptr() as usize, first, "the same memory serves the next call");
        assert_eq!(again.len(), 16);
    }

    #[test]
    fn a_cuda_context_without_a_device_is_an_error_not_a_panic() {
        match Context::new(Device::Cuda(4096)) {
            Ok(_) => panic!("there is no such device"),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

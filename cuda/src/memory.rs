//! Memory of a device as bytes, which buffers and recorded graphs share.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use cudarc::driver::sys::{CUdeviceptr, CUresult};
use cudarc::driver::{CudaSlice, DevicePtr, DriverError, result};

use crate::stream::{Needed, Stream};
use crate::{Error, Result};

/// Device memory, freed in the order of its stream.
#[derive(Debug)]
pub(crate) struct Memory {
    slice: ManuallyDrop<CudaSlice<u8>>,
    stream: Arc<Stream>,
}

impl Memory {
    /// `bytes` of unspecified content, at least one; `None` where the device has no room for them.
    pub(crate) fn new(stream: &Arc<Stream>, bytes: usize) -> Result<Option<Arc<Memory>>> {
        const OPERATION: &str = "allocate a buffer";
        if let Some(memory) = stream.lock().as_ref().and_then(|recording| recording.idle(bytes)) {
            return Ok(Some(memory));
        }
        // A graph would own what is allocated while it is recorded.
        let mut recording = stream.not_recording(OPERATION)?;
        // SAFETY: bytes have no invalid values, and nothing here hands them to the host unwritten.
        match unsafe { stream.raw().alloc(bytes) } {
            Ok(slice) => {
                let memory = Arc::new(Memory { slice: ManuallyDrop::new(slice), stream: Arc::clone(stream) });
                if let Some(recording) = recording.as_mut() {
                    recording.keep(Arc::<Memory>::clone(&memory));
                }
                Ok(Some(memory))
            }
            Err(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => Ok(None),
            Err(error) => Err(Error::driver(stream.ordinal(), OPERATION)(error)),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.slice.len()
    }

    pub(crate) fn pointer(&self) -> CUdeviceptr {
        // The second value orders accesses by events, which are off.
        self.slice.device_ptr(self.stream.raw()).0
    }

    pub(crate) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Queues the filling of the first `bytes` with zeros.
    pub(crate) fn fill_with_zeros(self: &Arc<Self>, bytes: usize) -> Result<()> {
        let needs: Needed = Arc::<Memory>::clone(self);
        self.stream.queue("fill a buffer with zeros", [needs], |stream| {
            // SAFETY: the caller asks for no more than was allocated; the memory lives until work queued now is done.
            unsafe { result::memset_d8_async(self.pointer(), 0, bytes, stream) }
        })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the slice is not touched again.
        let slice = unsafe { ManuallyDrop::take(&mut self.slice) };
        let mut recording = self.stream.lock();
        match recording.as_mut() {
            // Freeing would become part of the graph: it keeps the memory instead, and frees it when it is dropped itself.
            Some(recording) if recording.begun => {
                recording.keep(Arc::new(Memory { slice: ManuallyDrop::new(slice), stream: Arc::clone(&self.stream) }));
            }
            _ => {
                let context = self.stream.raw().context();
                context.record_err(context.bind_to_thread());
                drop(slice);
            }
        }
    }
}

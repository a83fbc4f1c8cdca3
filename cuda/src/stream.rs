//! The queue of a context: work runs on the device in the order in which it was queued here.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::CUstream;
use cudarc::driver::{CudaContext, CudaStream, DriverError};

use crate::{Error, Result};

/// What queued work needs and the device cannot hold on to by itself.
pub(crate) type Needed = Arc<dyn Any + Send + Sync>;

/// A stream, and what the graph recorded from it must keep alive.
#[derive(Debug)]
pub(crate) struct Stream {
    raw: Arc<CudaStream>,
    /// `Some` while a graph is recorded. The lock is held while work is queued, so that another thread's work is either in
    /// the graph with all that it needs, or not in the graph.
    recording: Mutex<Option<Vec<Needed>>>,
}

impl Stream {
    pub(crate) fn new(context: &Arc<CudaContext>) -> Result<Arc<Stream>> {
        // Not the default stream: it cannot be captured into a graph, and other libraries' work
        // serialises with it.
        let raw = context.new_stream().map_err(Error::driver(context.ordinal(), "open a stream"))?;
        Ok(Arc::new(Stream { raw, recording: Mutex::default() }))
    }

    pub(crate) fn ordinal(&self) -> usize {
        self.raw.context().ordinal()
    }

    pub(crate) fn raw(&self) -> &Arc<CudaStream> {
        &self.raw
    }

    /// Makes the device current in this thread and queues work by `queue`; a graph being recorded takes hold of what it `needs`.
    pub(crate) fn queue(
        &self,
        operation: &'static str,
        needs: impl IntoIterator<Item = Needed>,
        queue: impl FnOnce(CUstream) -> Result<(), DriverError>,
    ) -> Result<()> {
        let mut recording = self.lock();
        self.raw
            .context()
            .bind_to_thread()
            .and_then(|()| queue(self.raw.cu_stream()))
            .map_err(Error::driver(self.ordinal(), operation))?;
        if let Some(held) = recording.as_mut() {
            held.extend(needs);
        }
        Ok(())
    }

    /// Queues work that cannot be part of a graph, such as a copy whose host memory is borrowed for the call only, and waits
    /// for it.
    pub(crate) fn queue_and_wait(
        &self,
        operation: &'static str,
        queue: impl FnOnce(CUstream) -> Result<(), DriverError>,
    ) -> Result<()> {
        // Held to the end: a recording begun meanwhile would make the driver refuse to wait.
        let _recording = self.not_recording(operation)?;
        self.raw
            .context()
            .bind_to_thread()
            .and_then(|()| queue(self.raw.cu_stream()))
            .and_then(|()| self.raw.synchronize())
            .map_err(Error::driver(self.ordinal(), operation))
    }

    /// The lock, where no graph is being recorded.
    pub(crate) fn not_recording(&self, operation: &'static str) -> Result<MutexGuard<'_, Option<Vec<Needed>>>> {
        let recording = self.lock();
        if recording.is_some() { Err(Error::Recording { operation }) } else { Ok(recording) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<Vec<Needed>>> {
        // The list is whole at every point where a panic could happen.
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

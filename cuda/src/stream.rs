//! The queue of a context: work runs on the device in the order in which it was queued here.

use std::any::Any;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use cudarc::driver::sys::CUstream;
use cudarc::driver::{CudaContext, CudaStream, DriverError};

use crate::memory::Memory;
use crate::{Error, Result};

/// What queued work needs and the device cannot hold on to by itself.
pub(crate) type Needed = Arc<dyn Any + Send + Sync>;

/// A stream, and the recording of a graph from it.
#[derive(Debug)]
pub(crate) struct Stream {
    raw: Arc<CudaStream>,
    /// `Some` while work is recorded or rehearsed. The lock is held while work is queued.
    recording: Mutex<Option<Recording>>,
    /// Told when that is over.
    over: Condvar,
}

/// Work that one thread records, or runs once before it does; what others queue meanwhile waits.
#[derive(Debug)]
pub(crate) struct Recording {
    thread: ThreadId,
    /// Whether work is recorded by now.
    pub(crate) begun: bool,
    /// What the graph must keep alive, each once.
    pub(crate) needed: Vec<Needed>,
}

impl Recording {
    /// Of this thread, with nothing in it.
    pub(crate) fn new() -> Recording {
        Recording { thread: thread::current().id(), begun: false, needed: Vec::new() }
    }

    pub(crate) fn keep(&mut self, needed: Needed) {
        if !self.needed.iter().any(|kept| Arc::ptr_eq(kept, &needed)) {
            self.needed.push(needed);
        }
    }

    /// Memory that nobody else has any more, and so, in the stream's order, nobody uses. Of exactly so many bytes: what work has
    /// left is then enough for the same work again, whichever it takes first.
    pub(crate) fn idle(&self, bytes: usize) -> Option<Arc<Memory>> {
        let idle = self.needed.iter().filter(|&kept| Arc::strong_count(kept) == 1);
        idle.filter_map(|kept| Arc::clone(kept).downcast::<Memory>().ok()).find(|memory| memory.bytes() == bytes)
    }
}

impl Stream {
    pub(crate) fn new(context: &Arc<CudaContext>) -> Result<Arc<Stream>> {
        // Not the default stream: it cannot be captured into a graph, and other libraries' work
        // serialises with it.
        let raw = context.new_stream().map_err(Error::driver(context.ordinal(), "open a stream"))?;
        Ok(Arc::new(Stream { raw, recording: Mutex::default(), over: Condvar::new() }))
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
        if let Some(recording) = recording.as_mut() {
            needs.into_iter().for_each(|needed| recording.keep(needed));
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
    pub(crate) fn not_recording(&self, operation: &'static str) -> Result<MutexGuard<'_, Option<Recording>>> {
        let recording = self.lock();
        match recording.as_ref() {
            Some(Recording { begun: true, .. }) => Err(Error::Recording { operation }),
            _ => Ok(recording),
        }
    }

    /// The lock, once no other thread records.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<Recording>> {
        let others = |recording: &mut Option<Recording>| {
            recording.as_ref().is_some_and(|recording| recording.thread != thread::current().id())
        };
        // What it holds is whole at every point where a panic could happen.
        let recording = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        self.over.wait_while(recording, others).unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the others go on.
    pub(crate) fn end_recording(&self, mut recording: MutexGuard<'_, Option<Recording>>) -> Option<Recording> {
        self.over.notify_all();
        recording.take()
    }
}

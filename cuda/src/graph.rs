//! Work recorded once and queued again and again at the price of one launch.

use cudarc::driver::CudaGraph;
use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};

use crate::stream::Needed;
use crate::{Context, Error, Result};

/// Launches recorded from a [`Context`], with the memory and the kernels that they need.
///
/// A launch of the graph reads and writes the same memory as the recorded launches did: only what is in that memory can change
/// from one launch to the next.
pub struct Graph {
    graph: CudaGraph,
    ordinal: usize,
    stream: std::sync::Arc<crate::stream::Stream>,
    /// Dropped after the graph that uses it.
    needed: Vec<Needed>,
}

// SAFETY: the driver does not tie a graph to a thread; `launch` takes it exclusively, so that no two threads use it at once.
unsafe impl Send for Graph {}

impl Context {
    /// Records what `work` queues on this context, instead of running it. What other threads queue on it meanwhile is recorded
    /// too.
    ///
    /// # Errors
    /// What `work` returns; [`Error::EmptyGraph`] when it queues nothing; [`Error::Recording`] within another recording;
    /// [`Error::Driver`]. Nothing has run then, and the context can be used as before.
    pub fn record<E: From<Error>>(&self, work: impl FnOnce() -> Result<(), E>) -> Result<Graph, E> {
        self.begin_recording()?;
        // Ends the recording also when `work` panics.
        let mut recording = Recording { context: self, open: true };
        work()?;
        Ok(recording.end()?)
    }

    fn begin_recording(&self) -> Result<()> {
        const OPERATION: &str = "record a graph";
        let stream = self.stream();
        let mut recording = stream.not_recording(OPERATION)?;
        // Thread-local: other threads' contexts may allocate and copy meanwhile.
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        stream.raw().begin_capture(mode).map_err(Error::driver(stream.ordinal(), OPERATION))?;
        *recording = Some(Vec::new());
        Ok(())
    }
}

struct Recording<'a> {
    context: &'a Context,
    open: bool,
}

impl Recording<'_> {
    fn end(&mut self) -> Result<Graph> {
        self.open = false;
        let stream = self.context.stream();
        let (ended, needed) = {
            let mut recording = stream.lock();
            (stream.raw().end_capture(CUgraphInstantiate_flags(0)), recording.take().unwrap_or_default())
        };
        let ordinal = stream.ordinal();
        let graph = ended.map_err(Error::driver(ordinal, "record a graph"))?;
        if needed.is_empty() {
            return Err(Error::EmptyGraph);
        }
        let graph = graph.ok_or(Error::EmptyGraph)?;
        Ok(Graph { graph, ordinal, stream: std::sync::Arc::clone(stream), needed })
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        if self.open {
            // The reason for giving up is already on its way to the caller.
            let _ = self.end();
        }
    }
}

impl Graph {
    /// Queues the recorded work on the context that it was recorded from.
    ///
    /// # Errors
    /// [`Error::Recording`], [`Error::Driver`].
    pub fn launch(&mut self) -> Result<()> {
        const OPERATION: &str = "launch a graph";
        let _recording = self.stream.not_recording(OPERATION)?;
        self.graph.launch().map_err(Error::driver(self.ordinal, OPERATION))
    }

    /// Moves what the graph needs to the device now, so that the first launch costs no more than the others.
    ///
    /// # Errors
    /// [`Error::Recording`], [`Error::Driver`].
    pub fn upload(&mut self) -> Result<()> {
        const OPERATION: &str = "upload a graph";
        let _recording = self.stream.not_recording(OPERATION)?;
        self.graph.upload().map_err(Error::driver(self.ordinal, OPERATION))
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("ordinal", &self.ordinal).field("needs", &self.needed.len()).finish_non_exhaustive()
    }
}

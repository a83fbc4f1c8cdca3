//! Work recorded once and queued again and again at the price of one launch.

use std::sync::Arc;

use cudarc::driver::CudaGraph;
use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};

use crate::stream::{Needed, Recording, Stream};
use crate::{Context, Error, Result};

/// In errors.
const OPERATION: &str = "record a graph";

/// Launches recorded from a [`Context`], with the memory and the kernels that they need.
///
/// A launch of the graph reads and writes the same memory as the recorded launches did: only what is in that memory can change
/// from one launch to the next.
pub struct Graph {
    graph: CudaGraph,
    ordinal: usize,
    stream: Arc<Stream>,
    /// Dropped after the graph that uses it.
    needed: Vec<Needed>,
}

// SAFETY: the driver does not tie a graph to a thread; `launch` takes it exclusively, so that no two threads use it at once.
unsafe impl Send for Graph {}

impl Context {
    /// Records what `work` queues on this context, instead of running it; what other threads queue waits meanwhile. It may use
    /// memory again that was given back before, but allocate none: see [`Context::run_and_record`].
    ///
    /// # Errors
    /// What `work` returns; [`Error::EmptyGraph`] when it queues nothing; [`Error::Recording`] within another recording;
    /// [`Error::Driver`]. Nothing has run then, and the context can be used as before.
    pub fn record<E: From<Error>>(&self, work: impl FnOnce() -> Result<(), E>) -> Result<Graph, E> {
        let mut open = Open::new(self)?;
        open.begin()?;
        work()?;
        Ok(open.end()?)
    }

    /// Runs `work` once, and then records it: what it allocates and gives back the first time serves it again the second time, and
    /// belongs to the graph.
    ///
    /// # Errors
    /// As [`Context::record`]; `work` may have run once then.
    pub fn run_and_record<E: From<Error>>(&self, mut work: impl FnMut() -> Result<(), E>) -> Result<Graph, E> {
        let mut open = Open::new(self)?;
        work()?;
        open.begin()?;
        work()?;
        Ok(open.end()?)
    }
}

/// A recording, which ends also when its work panics.
struct Open<'a> {
    stream: &'a Arc<Stream>,
    open: bool,
}

impl Open<'_> {
    fn new(context: &Context) -> Result<Open<'_>> {
        let stream = context.stream();
        let mut recording = stream.not_recording(OPERATION)?;
        match *recording {
            Some(_) => Err(Error::Recording { operation: OPERATION }),
            None => {
                *recording = Some(Recording::new());
                Ok(Open { stream, open: true })
            }
        }
    }

    fn begin(&mut self) -> Result<()> {
        let stream = self.stream;
        let mut recording = stream.lock();
        // Thread-local: other threads' contexts may allocate and copy meanwhile.
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        stream.raw().begin_capture(mode).map_err(Error::driver(stream.ordinal(), OPERATION))?;
        if let Some(recording) = recording.as_mut() {
            recording.begun = true;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Graph> {
        self.open = false;
        let (stream, ordinal) = (self.stream, self.stream.ordinal());
        let (ended, recording) = {
            let recording = stream.lock();
            let begun = recording.as_ref().is_some_and(|recording| recording.begun);
            let ended = if begun { stream.raw().end_capture(CUgraphInstantiate_flags(0)) } else { Ok(None) };
            (ended, stream.end_recording(recording))
        };
        let graph = ended.map_err(Error::driver(ordinal, OPERATION))?.ok_or(Error::EmptyGraph)?;
        let needed = recording.map_or_else(Vec::new, |recording| recording.needed);
        if needed.is_empty() {
            return Err(Error::EmptyGraph);
        }
        Ok(Graph { graph, ordinal, stream: Arc::clone(stream), needed })
    }
}

impl Drop for Open<'_> {
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

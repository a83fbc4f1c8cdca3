//! Points in the queue of a context: to measure between two of them, or to let another context wait.

use cudarc::driver::CudaEvent;
use cudarc::driver::sys::CUevent_flags;

use crate::{Context, Error, Result};

/// A point in the queue of a [`Context`], reached when all work queued before it is done.
#[derive(Debug)]
pub struct Event(CudaEvent);

impl Event {
    /// The point after all work queued so far.
    ///
    /// # Errors
    /// [`Error::Recording`], [`Error::Driver`].
    pub fn record(context: &Context) -> Result<Event> {
        const OPERATION: &str = "record an event";
        let stream = context.stream();
        let _recording = stream.not_recording(OPERATION)?;
        stream
            .raw()
            .record_event(Some(CUevent_flags::CU_EVENT_DEFAULT))
            .map(Event)
            .map_err(Error::driver(stream.ordinal(), OPERATION))
    }

    /// Waits until it is reached.
    ///
    /// # Errors
    /// [`Error::Driver`].
    pub fn synchronize(&self) -> Result<()> {
        self.0.synchronize().map_err(Error::driver(self.0.context().ordinal(), "wait for an event"))
    }

    /// Milliseconds on the device from `start` to this event, which it waits for.
    ///
    /// # Errors
    /// [`Error::Driver`], also when the two are of different devices.
    pub fn milliseconds_since(&self, start: &Event) -> Result<f32> {
        let measured = start.0.elapsed_ms(&self.0);
        measured.map_err(Error::driver(self.0.context().ordinal(), "measure the time between two events"))
    }

    pub(crate) fn raw(&self) -> &CudaEvent {
        &self.0
    }
}

//! An opened device.

use std::sync::Arc;

use cudarc::driver::result::{device, mem_pool};
use cudarc::driver::sys::CUmemPool_attribute;
use cudarc::driver::{CudaContext, DriverError};

use crate::launch::Limits;
use crate::module::Modules;
use crate::stream::Stream;
use crate::{DeviceInfo, Error, Event, Probe, Result, probe};

/// An opened CUDA device with one stream, on which all its work is queued in order.
///
/// Memory belongs to the context it was made in and keeps the device open as long as it lives. Two
/// contexts on one device have two streams, which nothing orders but [`Context::wait_for`].
#[derive(Debug)]
pub struct Context {
    device: DeviceInfo,
    limits: Limits,
    modules: Arc<Modules>,
    stream: Arc<Stream>,
}

impl Context {
    /// Opens device `ordinal`, counted from 0 as in [`Probe::Devices`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is no device that can be used, [`Error::NoSuchDevice`]
    /// when there are fewer, [`Error::Driver`] when the driver cannot open it (its compute mode may
    /// be exclusive, say).
    pub fn new(ordinal: usize) -> Result<Self> {
        let mut devices = match probe() {
            Probe::Devices(devices) => devices,
            found => return Err(Error::Unavailable { ordinal, found }),
        };
        let count = devices.len();
        if ordinal >= count {
            return Err(Error::NoSuchDevice { ordinal, count });
        }
        let device = devices.swap_remove(ordinal);

        let failed = Error::driver(ordinal, "open the device");
        let context = CudaContext::new(ordinal).map_err(&failed)?;
        // SAFETY: tracking orders one allocation's uses on several streams. Here each allocation is
        // made, used and freed on the one stream of its context, whose order is the program's.
        // Waits on tracked events would break graph capture.
        unsafe { context.disable_event_tracking() };
        keep_freed_memory(&context).map_err(&failed)?;
        let limits = Limits::of(&context).map_err(&failed)?;
        let stream = Stream::new(&context)?;
        Ok(Self { device, limits, modules: Arc::default(), stream })
    }

    /// Another context on the same device: a second stream, with the device code that is loaded already.
    ///
    /// # Errors
    /// [`Error::Driver`].
    pub fn fork(&self) -> Result<Self> {
        let stream = Stream::new(self.stream.raw().context())?;
        Ok(Self { device: self.device.clone(), limits: self.limits, modules: Arc::clone(&self.modules), stream })
    }

    /// The ordinal of the device.
    pub fn ordinal(&self) -> usize {
        self.device.ordinal
    }

    /// The device's name, compute capability and memory.
    pub fn device(&self) -> &DeviceInfo {
        &self.device
    }

    /// Dynamic shared memory that a block can have at most, in bytes.
    pub fn shared_bytes_per_block(&self) -> usize {
        self.limits.shared_bytes()
    }

    /// Waits until all work queued on the device by this context is done.
    ///
    /// # Errors
    /// [`Error::Driver`] when any of that work has failed.
    ///
    /// [`Error::Recording`] while a graph is recorded.
    pub fn synchronize(&self) -> Result<()> {
        const OPERATION: &str = "finish the queued work";
        let _recording = self.stream.not_recording(OPERATION)?;
        self.stream.raw().synchronize().map_err(Error::driver(self.ordinal(), OPERATION))
    }

    /// Lets work that is queued from now on wait, on the device, until `event` is reached.
    ///
    /// # Errors
    /// [`Error::Recording`], [`Error::Driver`].
    pub fn wait_for(&self, event: &Event) -> Result<()> {
        const OPERATION: &str = "wait for another stream";
        let _recording = self.stream.not_recording(OPERATION)?;
        self.stream.raw().wait(event.raw()).map_err(Error::driver(self.ordinal(), OPERATION))
    }

    pub(crate) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn modules(&self) -> &Modules {
        &self.modules
    }
}

/// Lets the device's pool keep memory that buffers give back, instead of returning it to the system whenever the host waits for
/// the device: asking the system again would cost more than most kernels. A device without pools allocates as it always did.
fn keep_freed_memory(context: &CudaContext) -> Result<(), DriverError> {
    if !context.has_async_alloc() {
        return Ok(());
    }
    let mut all = u64::MAX;
    let threshold = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the device is open; the attribute is a 64-bit integer.
    unsafe {
        let pool = device::get_default_mem_pool(context.cu_device())?;
        mem_pool::set_attribute(pool, threshold, (&raw mut all).cast())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::testing;

    /// A device, or `None` with the reason printed.
    pub(crate) fn device_or_skip() -> Option<Context> {
        testing::device()
    }

    #[test]
    fn an_opened_device_is_the_one_asked_for() {
        let Some(context) = device_or_skip() else {
            return;
        };
        let Probe::Devices(devices) = probe() else { panic!("the device vanished") };
        assert_eq!(context.ordinal(), 0);
        assert_eq!(context.device(), &devices[0]);
        assert!(!context.stream().raw().context().is_event_tracking());
        context.synchronize().unwrap();
    }

    #[test]
    fn an_ordinal_beyond_the_devices_is_refused() {
        let Some(_context) = device_or_skip() else {
            return;
        };
        let Probe::Devices(devices) = probe() else { panic!("the device vanished") };
        let count = devices.len();
        for ordinal in [count, usize::MAX] {
            assert_eq!(Context::new(ordinal).unwrap_err(), Error::NoSuchDevice { ordinal, count });
        }
    }
}

//! An opened device.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaStream};

use crate::{DeviceInfo, Error, Probe, Result, probe};

/// An opened CUDA device with one stream, on which all its work is queued in order.
///
/// Memory belongs to the context it was made in and keeps the device open as long as it lives. Two
/// contexts on one device have two streams, which nothing orders.
#[derive(Debug)]
pub struct Context {
    device: DeviceInfo,
    stream: Arc<CudaStream>,
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
        // Not the default stream: it cannot be captured into a graph, and other libraries' work
        // serialises with it.
        let stream = context.new_stream().map_err(&failed)?;
        Ok(Self { device, stream })
    }

    /// The ordinal of the device.
    pub fn ordinal(&self) -> usize {
        self.device.ordinal
    }

    /// The device's name, compute capability and memory.
    pub fn device(&self) -> &DeviceInfo {
        &self.device
    }

    /// Waits until all work queued on the device by this context is done.
    ///
    /// # Errors
    /// [`Error::Driver`] when any of that work has failed.
    pub fn synchronize(&self) -> Result<()> {
        self.stream.synchronize().map_err(Error::driver(self.ordinal(), "finish the queued work"))
    }

    pub(crate) fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Device 0, or `None` with the reason printed.
    pub(crate) fn device_or_skip() -> Option<Context> {
        match probe() {
            Probe::Devices(_) => Some(Context::new(0).unwrap()),
            found => {
                println!("SKIP: {found}");
                None
            }
        }
    }

    #[test]
    fn without_a_device_opening_one_says_what_was_found() {
        let found = probe();
        if let Probe::Devices(_) = found {
            println!("SKIP: {found}");
            return;
        }
        let error = Context::new(3).unwrap_err();
        assert_eq!(error, Error::Unavailable { ordinal: 3, found });
        let text = error.to_string();
        assert!(text.starts_with("cannot open CUDA device 3: ") && text.ends_with(", or run on the CPU"), "{text}");
    }

    #[test]
    fn an_opened_device_is_the_one_asked_for() {
        let Some(context) = device_or_skip() else {
            return;
        };
        let Probe::Devices(devices) = probe() else { panic!("the device vanished") };
        assert_eq!(context.ordinal(), 0);
        assert_eq!(context.device(), &devices[0]);
        assert!(!context.stream().context().is_event_tracking());
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

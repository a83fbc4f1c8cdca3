//! What can go wrong between the host and a CUDA device, each as one line that says what to do.

use cudarc::driver::DriverError;

use crate::Probe;
use crate::probe::error_name;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a device could not be opened or its memory not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No device can be used at all.
    #[error("cannot open CUDA device {ordinal}: {}; {}, or run on the CPU", .found.finding(), .found.advice())]
    Unavailable {
        /// The device asked for.
        ordinal: usize,
        /// What [`probe`](crate::probe()) found instead of devices.
        found: Probe,
    },

    /// There are devices, but not this one.
    #[error(
        "cannot open CUDA device {ordinal}: {count} found, so the ordinal must be below {count} \
         (CUDA_VISIBLE_DEVICES decides which devices are seen)"
    )]
    NoSuchDevice {
        /// The device asked for.
        ordinal: usize,
        /// How many devices there are.
        count: usize,
    },

    /// The driver refused a call, or reports that work queued earlier has failed.
    #[error(
        "CUDA device {ordinal}: failed to {operation}: error {code} ({name}); \
         if that does not explain it, look for an earlier kernel's fault with compute-sanitizer"
    )]
    Driver {
        /// The device.
        ordinal: usize,
        /// What was attempted.
        operation: &'static str,
        /// The driver's status code.
        code: u32,
        /// The driver's name of that code.
        name: String,
    },

    /// The device's memory is used up.
    #[error(
        "CUDA device {ordinal}: out of memory for a buffer of {len} x {element} = {bytes} bytes (the device has \
         {memory_bytes} in all); use a smaller batch or fewer replicas, or free memory held by other programs"
    )]
    OutOfMemory {
        /// The device.
        ordinal: usize,
        /// Elements asked for.
        len: usize,
        /// The element type.
        element: &'static str,
        /// Bytes asked for.
        bytes: usize,
        /// The memory of the device, in bytes.
        memory_bytes: u64,
    },

    /// A buffer whose size in bytes cannot be addressed.
    #[error("a buffer of {len} x {element} is larger than the address space; check the shape it comes from")]
    TooLarge {
        /// Elements asked for.
        len: usize,
        /// The element type.
        element: &'static str,
    },

    /// A copy between memories of different lengths.
    #[error("{operation}: {device} elements on the device, {host} on the host; a copy needs equal lengths")]
    Length {
        /// The copy and its direction.
        operation: &'static str,
        /// Elements on the device.
        device: usize,
        /// Elements on the host.
        host: usize,
    },

    /// A view that reaches beyond its device memory.
    #[error("{len} elements from offset {offset} do not fit in {within} elements of device memory; check the layout")]
    Range {
        /// First element of the view.
        offset: usize,
        /// Elements of the view.
        len: usize,
        /// Elements there are.
        within: usize,
    },
}

impl Error {
    /// Turns a driver status into an error of `operation` on device `ordinal`.
    pub(crate) fn driver(ordinal: usize, operation: &'static str) -> impl Fn(DriverError) -> Self {
        move |DriverError(status)| {
            let code = status as u32;
            Self::Driver { ordinal, operation, code, name: error_name(code) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_one_line_with_the_sizes_and_what_to_do() {
        let ordinal = 1;
        for (error, line) in [
            (
                Error::Unavailable { ordinal, found: Probe::NoDriver },
                "cannot open CUDA device 1: no CUDA driver library (libcuda.so.1) found; \
                 install an NVIDIA driver >= 580, or run on the CPU",
            ),
            (
                Error::NoSuchDevice { ordinal, count: 1 },
                "cannot open CUDA device 1: 1 found, so the ordinal must be below 1 \
                 (CUDA_VISIBLE_DEVICES decides which devices are seen)",
            ),
            (
                Error::Driver { ordinal, operation: "open the device", code: 46, name: "NAME".to_owned() },
                "CUDA device 1: failed to open the device: error 46 (NAME); if that does not \
                 explain it, look for an earlier kernel's fault with compute-sanitizer",
            ),
            (
                Error::OutOfMemory { ordinal, len: 5, element: "f32", bytes: 20, memory_bytes: 16 },
                "CUDA device 1: out of memory for a buffer of 5 x f32 = 20 bytes (the device has \
                 16 in all); use a smaller batch or fewer replicas, or free memory held by other programs",
            ),
            (
                Error::TooLarge { len: 5, element: "f32" },
                "a buffer of 5 x f32 is larger than the address space; check the shape it comes from",
            ),
            (
                Error::Length { operation: "copy to the host", device: 3, host: 4 },
                "copy to the host: 3 elements on the device, 4 on the host; a copy needs equal lengths",
            ),
            (
                Error::Range { offset: 2, len: 3, within: 4 },
                "3 elements from offset 2 do not fit in 4 elements of device memory; check the layout",
            ),
        ] {
            assert_eq!(error.to_string(), line);
        }
    }
}

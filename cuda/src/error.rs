//! What can go wrong between the host and a CUDA device, each as one line that says what to do.

use cudarc::driver::DriverError;

use crate::Probe;
use crate::probe::error_name;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

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

    /// Something that cannot be part of a graph, asked for while one is recorded.
    #[error("cannot {operation} while a graph is recorded: do it before or after the recording")]
    Recording {
        /// What was attempted.
        operation: &'static str,
    },

    /// A graph was recorded without any work.
    #[error("the graph recorded has no work in it: queue at least one kernel on the context while it is recorded")]
    EmptyGraph,

    /// The device cannot run the kernels at all.
    #[error(
        "CUDA device {ordinal} has compute capability {}.{}, the kernels need 8.0 or newer; run on the CPU",
        .capability.0, .capability.1
    )]
    DeviceTooOld {
        /// The device.
        ordinal: usize,
        /// Its compute capability.
        capability: (i32, i32),
    },

    /// There is no source of device code of this name.
    #[error("there is no device code `{code}`; there is: {}", .known.join(", "))]
    NoSuchCode {
        /// The name asked for.
        code: String,
        /// The names there are.
        known: Vec<&'static str>,
    },

    /// Nothing to run the device code from: no cubin for this device, and no compiler.
    #[error(
        "no kernels of `{code}` for {arch}: built in and up to date {}, and no compiler: {reason}",
        if .built_in.is_empty() { "is none".to_owned() } else { format!("are {}", .built_in.join(", ")) }
    )]
    NoCubin {
        /// The device code.
        code: &'static str,
        /// What the device needs.
        arch: String,
        /// What there is instead.
        built_in: Vec<&'static str>,
        /// Why it could not be compiled, and what to do.
        reason: String,
    },

    /// The compiler library is absent or no good.
    #[error("{reason}")]
    NoCompiler {
        /// Why, and what to do.
        reason: String,
    },

    /// The compiler refused the device code.
    #[error("`{code}` does not compile for {arch}: {}; correct its source", first_error(.log))]
    Compile {
        /// The device code.
        code: String,
        /// The architecture it was compiled for.
        arch: String,
        /// All that the compiler said.
        log: String,
    },

    /// The device code has no kernel of this name.
    #[error("`{code}` has no kernel `{kernel}`; look for its name in {code}.cu")]
    NoSuchKernel {
        /// The device code.
        code: &'static str,
        /// The name asked for.
        kernel: String,
    },

    /// A launch with more or fewer arguments than the kernel has.
    #[error("{kernel}: launched with {got} arguments, expected {expected}; compare the launcher with the kernel's signature")]
    ArgumentCount {
        /// The kernel.
        kernel: String,
        /// Arguments passed.
        got: usize,
        /// Arguments that the kernel has.
        expected: usize,
    },

    /// A launch with an argument of another size than the kernel's.
    #[error(
        "{kernel}: argument {position} (counted from 0) has {got} bytes, expected {expected}; \
         compare the launcher with the kernel's signature"
    )]
    ArgumentSize {
        /// The kernel.
        kernel: String,
        /// Which argument.
        position: usize,
        /// Bytes passed.
        got: usize,
        /// Bytes that the kernel reads.
        expected: usize,
    },

    /// An argument in the memory of another context.
    #[error(
        "{kernel}: argument {position} (counted from 0) belongs to another context than the launch, and nothing orders \
         the two; make it in this one"
    )]
    OtherContext {
        /// The kernel.
        kernel: String,
        /// Which argument.
        position: usize,
    },

    /// A launch that the device or the kernel cannot do.
    #[error("{kernel}: {what} is {got}, expected {expected}; choose another grid, block or tile for this shape")]
    Launch {
        /// The kernel.
        kernel: String,
        /// Which number.
        what: &'static str,
        /// The number asked for.
        got: usize,
        /// What is possible.
        expected: String,
    },

    /// A tensor map that the hardware cannot follow.
    #[error("tensor map: {what} is {got}, expected {expected}")]
    TensorMap {
        /// Which number.
        what: String,
        /// The number asked for.
        got: u64,
        /// What is possible.
        expected: String,
    },
}

/// The first line of a compiler's log that tells of an error, or the first one.
fn first_error(log: &str) -> &str {
    let lines = || log.lines().map(str::trim).filter(|line| !line.is_empty());
    lines().find(|line| line.contains("error")).or_else(|| lines().next()).unwrap_or("the compiler did not say why")
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
mod tests;

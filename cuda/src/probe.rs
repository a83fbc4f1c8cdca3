//! Which CUDA devices there are, found without ever panicking.
//!
//! The bindings panic where the driver library or one of its functions is missing, and read every
//! status as one of the codes they know. So the functions called here are looked up first and their
//! statuses read as integers; and a device is reported only when every function that this crate
//! needs is there.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::sync::OnceLock;
use std::{env, fmt};

use cudarc::driver::sys::{self, CUdevice_attribute, CUresult};

use crate::emulated;

/// CUDA version of the bindings' function list and of the compiled kernels, as the driver writes
/// it: 1000 major + 10 minor.
const REQUIRED_CUDA: c_int = 13_000;

/// Every driver function that this crate reaches through the bindings: one missing would be a panic
/// there.
const ENTRY_POINTS: [&str; 46] = [
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetDefaultMemPool",
    "cuDeviceGetName",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDeviceTotalMem_v2",
    "cuDriverGetVersion",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventElapsedTime_v2",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuFuncGetAttribute",
    "cuFuncGetParamInfo",
    "cuFuncSetAttribute",
    "cuGetErrorName",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuGraphUpload",
    "cuInit",
    "cuLaunchKernel",
    "cuMemAllocAsync",
    "cuMemAlloc_v2",
    "cuMemFreeAsync",
    "cuMemFree_v2",
    "cuMemPoolSetAttribute",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemsetD8Async",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuStreamBeginCapture_v2",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamEndCapture",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
    "cuTensorMapEncodeTiled",
];

/// A device as the driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Index of the device, counted from 0 over the devices that CUDA_VISIBLE_DEVICES leaves
    /// visible.
    pub ordinal: usize,
    /// Product name.
    pub name: String,
    /// Compute capability, major and minor: (9, 0) for Hopper.
    pub compute_capability: (i32, i32),
    /// Memory of the device in bytes, used or not.
    pub memory_bytes: u64,
}

/// What [`probe`] found. Displayed, it is one line that says so and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// There is no CUDA driver library on this machine.
    NoDriver,
    /// The library lacks a function that every driver of the required version has.
    DriverIncomplete {
        /// The missing function.
        function: &'static str,
    },
    /// The driver works, but is older than the kernels.
    DriverTooOld {
        /// The newest CUDA version it supports, major and minor.
        cuda: (i32, i32),
    },
    /// The driver refused to start or to describe a device.
    DriverError {
        /// The driver's status code.
        code: u32,
        /// The driver's name of that code.
        name: String,
    },
    /// The driver works and sees no device.
    NoDevice,
    /// `HANDGRAD_EMULATED=1` asks for the emulated device, which could not be made.
    NoEmulator {
        /// Why.
        reason: String,
    },
    /// The devices, by ordinal; at least one.
    Devices(Vec<DeviceInfo>),
}

/// Looks for CUDA devices. Never panics, whatever is installed; where there is no driver it costs a
/// few failed file look-ups. With `HANDGRAD_EMULATED=1` it makes the emulated device first ([`emulated`]).
pub fn probe() -> Probe {
    static EMULATED: OnceLock<Result<(), String>> = OnceLock::new();
    let emulated = EMULATED.get_or_init(|| {
        let wanted = env::var_os(emulated::VARIABLE).is_some_and(|value| value == "1");
        if wanted { emulated::open().map(|_| ()).map_err(|error| error.to_string()) } else { Ok(()) }
    });
    match emulated {
        Ok(()) => find(),
        Err(reason) => Probe::NoEmulator { reason: reason.clone() },
    }
}

/// As [`probe`], with whatever driver this process has.
pub(crate) fn find() -> Probe {
    match find_devices() {
        Ok(devices) if devices.is_empty() => Probe::NoDevice,
        Ok(devices) => Probe::Devices(devices),
        Err(reason) => reason,
    }
}

/// The devices, or the reason that there is none to be had.
fn find_devices() -> Result<Vec<DeviceInfo>, Probe> {
    // Starting and asking for the version are the two questions that drivers of every age answer:
    // they come first.
    // SAFETY: the types are those of the CUDA driver API; the pointer is to a live integer.
    let version = unsafe {
        let start: unsafe extern "C" fn(c_uint) -> c_uint = function("cuInit")?;
        check(start(0))?;
        let get_version: unsafe extern "C" fn(*mut c_int) -> c_uint = function("cuDriverGetVersion")?;
        let mut version = 0;
        check(get_version(&mut version))?;
        version
    };
    if version < REQUIRED_CUDA {
        return Err(Probe::DriverTooOld { cuda: (version / 1000, version % 1000 / 10) });
    }
    for name in ENTRY_POINTS {
        // SAFETY: only looked up, not called.
        unsafe { function::<unsafe extern "C" fn()>(name) }?;
    }
    // SAFETY: as above.
    let count = unsafe {
        let get_count: unsafe extern "C" fn(*mut c_int) -> c_uint = function("cuDeviceGetCount")?;
        let mut count = 0;
        check(get_count(&mut count))?;
        count
    };
    (0..count).map(describe).collect()
}

/// Asks the driver about device `index`.
fn describe(index: c_int) -> Result<DeviceInfo, Probe> {
    let (mut device, mut major, mut minor, mut memory_bytes) = (0, 0, 0, 0_usize);
    let mut name = [0_u8; 256];
    // SAFETY: the types are those of the CUDA driver API; the pointers are to live values, the
    // name's with its length.
    unsafe {
        let get: unsafe extern "C" fn(*mut c_int, c_int) -> c_uint = function("cuDeviceGet")?;
        let get_name: unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_uint = function("cuDeviceGetName")?;
        let get_attribute: unsafe extern "C" fn(*mut c_int, CUdevice_attribute, c_int) -> c_uint =
            function("cuDeviceGetAttribute")?;
        let get_memory: unsafe extern "C" fn(*mut usize, c_int) -> c_uint = function("cuDeviceTotalMem_v2")?;

        check(get(&mut device, index))?;
        check(get_name(name.as_mut_ptr().cast(), name.len() as c_int, device))?;
        check(get_attribute(&mut major, CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device))?;
        check(get_attribute(&mut minor, CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device))?;
        check(get_memory(&mut memory_bytes, device))?;
    }
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    Ok(DeviceInfo {
        ordinal: index as usize,
        name: String::from_utf8_lossy(name).into_owned(),
        compute_capability: (major, minor),
        memory_bytes: memory_bytes as u64,
    })
}

/// A function of the driver library, or why there is none.
///
/// # Safety
/// `F` must be the type of the C function `name`.
unsafe fn function<F: Copy>(name: &'static str) -> Result<F, Probe> {
    static PRESENT: OnceLock<bool> = OnceLock::new();
    // SAFETY: opens the driver library by its fixed names; what it runs when loaded is trusted as
    // the driver itself is.
    if !PRESENT.get_or_init(|| unsafe { sys::is_culib_present() }) {
        return Err(Probe::NoDriver);
    }
    // SAFETY: the library is present, and is never closed; the caller vouches for `F`.
    let symbol = unsafe { sys::culib().get::<F>(name) };
    symbol.map(|symbol| *symbol).map_err(|_| Probe::DriverIncomplete { function: name })
}

/// The meaning of a driver status.
fn check(code: c_uint) -> Result<(), Probe> {
    const SUCCESS: u32 = CUresult::CUDA_SUCCESS as u32;
    const NO_DEVICE: u32 = CUresult::CUDA_ERROR_NO_DEVICE as u32;
    match code {
        SUCCESS => Ok(()),
        NO_DEVICE => Err(Probe::NoDevice),
        _ => Err(Probe::DriverError { code, name: error_name(code) }),
    }
}

/// The driver's name of a status code, or `unnamed`.
pub(crate) fn error_name(code: u32) -> String {
    type GetErrorName = unsafe extern "C" fn(c_uint, *mut *const c_char) -> c_uint;
    let mut name = std::ptr::null();
    // SAFETY: the type is that of the CUDA driver API; a name that it writes is a C string that
    // lives for ever.
    unsafe {
        if let Ok(get_error_name) = function::<GetErrorName>("cuGetErrorName")
            && get_error_name(code, &mut name) == CUresult::CUDA_SUCCESS as u32
            && !name.is_null()
        {
            return CStr::from_ptr(name).to_string_lossy().into_owned();
        }
    }
    // A library that is not a working driver need not name even the reason that it gives.
    [CUresult::CUDA_ERROR_STUB_LIBRARY, CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH]
        .into_iter()
        .find(|known| *known as u32 == code)
        .map_or_else(|| "unnamed".to_owned(), |known| format!("{known:?}"))
}

impl Probe {
    /// What there is, without the consequence.
    pub(crate) fn finding(&self) -> String {
        match self {
            Self::NoDriver => "no CUDA driver library (libcuda.so.1) found".to_owned(),
            Self::DriverIncomplete { function } => {
                format!("the CUDA driver library found has no function {function}")
            }
            Self::DriverTooOld { cuda: (major, minor) } => format!(
                "the CUDA driver supports CUDA {major}.{minor}, the kernels need {}.{}",
                REQUIRED_CUDA / 1000,
                REQUIRED_CUDA % 1000 / 10
            ),
            Self::DriverError { code, name } => {
                format!("the CUDA driver answers error {code} ({name})")
            }
            Self::NoDevice => "the CUDA driver sees no device".to_owned(),
            Self::NoEmulator { reason } => reason.clone(),
            Self::Devices(devices) => {
                let listed: Vec<String> = devices.iter().map(DeviceInfo::to_string).collect();
                let noun = if devices.len() == 1 { "device" } else { "devices" };
                format!("{} CUDA {noun} found: {}", devices.len(), listed.join(", "))
            }
        }
    }

    /// What to do about it.
    pub(crate) fn advice(&self) -> &'static str {
        const STUB_LIBRARY: u32 = CUresult::CUDA_ERROR_STUB_LIBRARY as u32;
        const SYSTEM_DRIVER_MISMATCH: u32 = CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH as u32;
        match self {
            Self::NoDriver | Self::DriverTooOld { .. } => "install an NVIDIA driver >= 580",
            Self::DriverIncomplete { .. } => "put the libcuda.so.1 of an NVIDIA driver >= 580 first on LD_LIBRARY_PATH",
            Self::DriverError { code: STUB_LIBRARY, .. } => "take the CUDA toolkit's stubs folder off LD_LIBRARY_PATH",
            Self::DriverError { code: SYSTEM_DRIVER_MISMATCH, .. } => {
                "reboot or reinstall the driver (its library and kernel module differ)"
            }
            Self::DriverError { .. } => "repair the driver (nvidia-smi shows whether it works)",
            Self::NoDevice => "make one visible (nvidia-smi lists devices, CUDA_VISIBLE_DEVICES hides them)",
            Self::NoEmulator { .. } => "mend that, or unset HANDGRAD_EMULATED",
            Self::Devices(_) => "choose one by its ordinal",
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (finding, advice) = (self.finding(), self.advice());
        match self {
            Self::Devices(_) => write!(f, "{finding}; {advice}"),
            _ => write!(f, "{finding}: kernels run on the CPU; {advice} to use a GPU"),
        }
    }
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ordinal, name, compute_capability: (major, minor), memory_bytes } = self;
        let gibibytes = *memory_bytes as f64 / (1_u64 << 30) as f64;
        write!(f, "{ordinal} = {name} (compute capability {major}.{minor}, {gibibytes:.1} GiB)")
    }
}

#[cfg(test)]
mod tests;

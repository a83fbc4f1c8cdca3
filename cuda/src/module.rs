//! Device code loaded onto a device, and the kernels in it.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys::{self, CUfunction, CUfunction_attribute, CUmodule};
use cudarc::driver::{CudaContext, result};

use crate::nvrtc::Nvrtc;
use crate::{Arch, Context, DeviceCode, DeviceInfo, Error, Result, cache};

/// The oldest compute capability that the kernels are written for.
const OLDEST: (i32, i32) = (8, 0);

/// What has been loaded onto a device: each code and each kernel is looked up once.
#[derive(Debug, Default)]
pub(crate) struct Modules(Mutex<Loaded>);

#[derive(Debug, Default)]
struct Loaded {
    modules: HashMap<&'static str, Arc<Module>>,
    /// By code, then kernel.
    kernels: HashMap<&'static str, HashMap<String, Arc<Kernel>>>,
}

/// A loaded cubin.
#[derive(Debug)]
struct Module {
    code: &'static str,
    raw: CUmodule,
    context: Arc<CudaContext>,
}

// SAFETY: a module is a handle of the driver's, which is not tied to a thread and may be used by several at once.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

impl Module {
    fn load(context: &Arc<CudaContext>, code: &'static DeviceCode, device: &DeviceInfo) -> Result<Module> {
        let image = image(code, device)?;
        let load = || {
            context.bind_to_thread()?;
            // SAFETY: the driver reads the image within the call, by the sizes in its own header; it was built in, compiled just
            // now, or is whole by its digest.
            unsafe { result::module::load_data(image.as_ptr().cast()) }
        };
        let raw = load().map_err(Error::driver(device.ordinal, "load device code"))?;
        Ok(Module { code: code.name, raw, context: Arc::clone(context) })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // Queued work may still run the module's kernels.
        self.context.record_err(self.context.synchronize());
        // SAFETY: kernels and graphs hold on to their module, so nobody is left to launch it.
        self.context.record_err(unsafe { result::module::unload(self.raw) });
    }
}

/// What the driver can load: the cubin that is built in, or else one compiled here.
fn image(code: &'static DeviceCode, device: &DeviceInfo) -> Result<Vec<u8>> {
    let capability = device.compute_capability;
    if capability < OLDEST {
        return Err(Error::DeviceTooOld { ordinal: device.ordinal, capability });
    }
    if let Some(cubin) = code.cubin_for(capability) {
        return Ok(cubin.to_vec());
    }
    let arch = Arch::of_device(capability);
    let compiled = Nvrtc::open().and_then(|nvrtc| cache::cubin(&nvrtc, code, arch));
    compiled.map_err(|error| match error {
        Error::NoCompiler { reason } => {
            Error::NoCubin { code: code.name, arch: arch.to_string(), built_in: code.up_to_date(), reason }
        }
        other => other,
    })
}

/// A kernel of loaded device code.
#[derive(Debug)]
pub struct Kernel {
    name: String,
    module: Arc<Module>,
    raw: CUfunction,
    /// Sizes of its parameters in bytes.
    parameters: Vec<usize>,
    max_threads_per_block: usize,
    static_shared_bytes: usize,
    /// The most dynamic shared memory that it has been allowed so far.
    shared_allowed: Mutex<usize>,
}

// SAFETY: as for `Module`, which the kernel keeps loaded.
unsafe impl Send for Kernel {}
// SAFETY: as above.
unsafe impl Sync for Kernel {}

/// Dynamic shared memory that every kernel may use.
const SHARED_BYTES_OF_ALL: usize = 48 << 10;

impl Kernel {
    fn find(module: &Arc<Module>, name: &str) -> Result<Kernel> {
        let context = &module.context;
        let absent = || Error::NoSuchKernel { code: module.code, kernel: name.to_owned() };
        let failed = Error::driver(context.ordinal(), "look up a kernel");
        context.bind_to_thread().map_err(&failed)?;
        let entry = CString::new(name).map_err(|_| absent())?;
        // SAFETY: the module is loaded, and stays so as long as the kernel.
        let raw = unsafe { result::module::get_function(module.raw, entry) }.map_err(|error| match error.0 {
            sys::CUresult::CUDA_ERROR_NOT_FOUND => absent(),
            _ => failed(error),
        })?;
        // SAFETY: the kernel was just found.
        let attribute = |attribute| unsafe { result::function::get_function_attribute(raw, attribute) };
        let attribute = |which| attribute(which).map(|value| value.max(0) as usize).map_err(&failed);
        Ok(Kernel {
            name: name.to_owned(),
            module: Arc::clone(module),
            raw,
            parameters: parameters(raw).map_err(&failed)?,
            max_threads_per_block: attribute(CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
            static_shared_bytes: attribute(CUfunction_attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)?,
            shared_allowed: Mutex::new(SHARED_BYTES_OF_ALL),
        })
    }

    /// Its name in the source.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Threads that a block of it may have: fewer than the device's where it needs many registers.
    pub fn max_threads_per_block(&self) -> usize {
        self.max_threads_per_block
    }

    pub(crate) fn raw(&self) -> CUfunction {
        self.raw
    }

    pub(crate) fn parameters(&self) -> &[usize] {
        &self.parameters
    }

    pub(crate) fn static_shared_bytes(&self) -> usize {
        self.static_shared_bytes
    }

    /// Lets the kernel use `bytes` of dynamic shared memory, where it needs leave.
    pub(crate) fn allow_shared(&self, bytes: usize) -> Result<()> {
        let mut allowed = self.shared_allowed.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes <= *allowed {
            return Ok(());
        }
        let which = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let context = &self.module.context;
        context
            .bind_to_thread()
            // SAFETY: the kernel's module is loaded.
            .and_then(|()| unsafe { result::function::set_function_attribute(self.raw, which, bytes as i32) })
            .map_err(Error::driver(context.ordinal(), "allow a kernel more shared memory"))?;
        *allowed = bytes;
        Ok(())
    }
}

/// The sizes of a kernel's parameters.
fn parameters(kernel: CUfunction) -> Result<Vec<usize>, cudarc::driver::DriverError> {
    let mut sizes = Vec::new();
    loop {
        let (mut offset, mut size) = (0, 0);
        // SAFETY: the pointers are to live integers; the driver refuses an index beyond the last parameter.
        let status = unsafe { sys::cuFuncGetParamInfo(kernel, sizes.len(), &mut offset, &mut size) };
        match status {
            sys::CUresult::CUDA_SUCCESS => sizes.push(size),
            sys::CUresult::CUDA_ERROR_INVALID_VALUE => return Ok(sizes),
            _ => return Err(cudarc::driver::DriverError(status)),
        }
    }
}

impl Context {
    /// The kernel `name` of the device code `code`, loaded or compiled at the first use.
    ///
    /// # Errors
    /// [`Error::NoSuchCode`], [`Error::NoSuchKernel`], [`Error::DeviceTooOld`], [`Error::NoCubin`], [`Error::Compile`],
    /// [`Error::Driver`].
    pub fn kernel(&self, code: &str, name: &str) -> Result<Arc<Kernel>> {
        // Only whole entries are ever in it.
        let mut loaded = self.modules().0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kernel) = loaded.kernels.get(code).and_then(|kernels| kernels.get(name)) {
            return Ok(Arc::clone(kernel));
        }
        let code = DeviceCode::of(code)?;
        let module = match loaded.modules.get(code.name) {
            Some(module) => Arc::clone(module),
            None => {
                let module = Arc::new(Module::load(self.stream().raw().context(), code, self.device())?);
                loaded.modules.insert(code.name, Arc::clone(&module));
                module
            }
        };
        let kernel = Arc::new(Kernel::find(&module, name)?);
        loaded.kernels.entry(code.name).or_default().insert(name.to_owned(), Arc::clone(&kernel));
        Ok(kernel)
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process::Command;

    use super::*;

    fn device(compute_capability: (i32, i32)) -> DeviceInfo {
        DeviceInfo { ordinal: 0, name: "a device".to_owned(), compute_capability, memory_bytes: 1 << 30 }
    }

    #[test]
    fn every_code_has_an_image_for_the_devices_it_is_built_for() {
        for code in DeviceCode::all() {
            for capability in [(8, 0), (8, 9), (9, 0)] {
                let fitting = code.cubins().find(|(arch, _)| arch.runs_on(capability)).unwrap();
                assert_eq!(image(code, &device(capability)).unwrap(), fitting.1);
            }
        }
    }

    #[test]
    fn a_device_too_old_is_refused() {
        let code = DeviceCode::of("sgd").unwrap();
        let refused = Error::DeviceTooOld { ordinal: 0, capability: (7, 5) };
        assert_eq!(image(code, &device((7, 5))), Err(refused));
    }

    #[test]
    fn another_device_needs_the_compiler_and_a_line_says_so_without_it() {
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", "module::tests::without_a_compiler", "--ignored"])
            .env("HANDGRAD_NVRTC_DIR", "/nonexistent")
            .output();
        assert!(output.as_ref().unwrap().status.success(), "{output:?}");
    }

    #[test]
    #[ignore = "runs in a process of its own"]
    fn without_a_compiler() {
        let code = DeviceCode::of("sgd").unwrap();
        let text = image(code, &device((10, 0))).unwrap_err().to_string();
        let start = "no kernels of `sgd` for sm_100: built in and up to date are sm_80, sm_90a, and no compiler: \
                     HANDGRAD_NVRTC_DIR: /nonexistent has no libnvrtc-builtins.so.*; install";
        assert!(text.starts_with(start) && text.lines().count() == 1, "{text}");
    }

    #[test]
    fn another_device_gets_what_the_compiler_makes() {
        if let Err(reason) = Nvrtc::open() {
            crate::testing::skip("nvrtc", &reason.to_string());
            return;
        }
        let cubin = image(DeviceCode::of("sgd").unwrap(), &device((10, 0))).unwrap();
        assert!(cubin.starts_with(b"\x7fELF"));
    }
}

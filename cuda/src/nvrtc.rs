//! Compiling device code where the program runs, by NVIDIA's NVRTC, which is looked for only when it is needed.
//!
//! The bindings panic where the library or one of its functions is missing; so, as in the probe, functions are looked up and
//! statuses read as integers here.

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_uint, c_void};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{env, fs, ptr};

use cudarc::nvrtc::sys;
use libloading::Library;

use crate::{Arch, DeviceCode, Error, Result};

/// Options of every compilation, besides the architecture. Without contraction a multiplication and an addition are fused only
/// where the source says `fma`, so that the same source has the same bits on a processor.
pub const OPTIONS: [&str; 2] = ["--std=c++17", "--fmad=false"];

/// Folder of `libnvrtc.so.13` and `libnvrtc-builtins.so.13.*`, where they are not in the system's.
const FOLDER: &str = "HANDGRAD_NVRTC_DIR";

/// The compiler, opened.
#[derive(Clone, Copy, Debug)]
pub struct Nvrtc {
    library: &'static Library,
    version: (i32, i32),
}

type Status = c_uint;
type Program = *mut c_void;

impl Nvrtc {
    /// The library in the folder of `HANDGRAD_NVRTC_DIR`, or else the system's. It is looked for once.
    ///
    /// # Errors
    /// [`Error::NoCompiler`].
    pub fn open() -> Result<Nvrtc> {
        static OPENED: OnceLock<Result<Nvrtc, String>> = OnceLock::new();
        let opened = OPENED.get_or_init(|| {
            Nvrtc::of(match env::var_os(FOLDER) {
                Some(folder) => open_in(Path::new(&folder))?,
                None => open_installed()?,
            })
        });
        opened.clone().map_err(|reason| Error::NoCompiler { reason })
    }

    /// The library in a folder. It stays open to the end of the process.
    ///
    /// # Errors
    /// [`Error::NoCompiler`].
    pub fn open_in(folder: &Path) -> Result<Nvrtc> {
        open_in(folder).and_then(Nvrtc::of).map_err(|reason| Error::NoCompiler { reason })
    }

    fn of(library: &'static Library) -> Result<Nvrtc, String> {
        let nvrtc = Nvrtc { library, version: (0, 0) };
        let (mut major, mut minor) = (0, 0);
        // SAFETY: the type is that of the NVRTC API; the pointers are to live integers.
        unsafe {
            let version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> Status = nvrtc.function("nvrtcVersion")?;
            nvrtc.check("tell its version", version(&mut major, &mut minor))?;
        }
        Ok(Nvrtc { version: (major, minor), ..nvrtc })
    }

    /// Major and minor version.
    pub fn version(&self) -> (i32, i32) {
        self.version
    }

    /// The cubin of device code for an architecture.
    ///
    /// # Errors
    /// [`Error::Compile`] with the compiler's log, [`Error::NoCompiler`].
    pub fn compile(&self, code: &DeviceCode, arch: Arch) -> Result<Vec<u8>> {
        self.compile_source(code.file, code.source, DeviceCode::headers(), arch)
    }

    pub(crate) fn compile_source(&self, name: &str, source: &str, headers: &[(&str, &str)], arch: Arch) -> Result<Vec<u8>> {
        let failed = |log: String| Error::Compile { code: name.trim_end_matches(".cu").to_owned(), arch: arch.to_string(), log };
        let text = |text: &str| CString::new(text).map_err(|_| failed("error: a zero byte in the source".to_owned()));
        let unusable = |reason| Error::NoCompiler { reason };

        let (name, source) = (text(name)?, text(source)?);
        let included = headers.iter().map(|(name, _)| text(name)).collect::<Result<Vec<_>>>()?;
        let contents = headers.iter().map(|(_, contents)| text(contents)).collect::<Result<Vec<_>>>()?;
        let architecture = format!("--gpu-architecture={arch}");
        let options = OPTIONS.into_iter().chain([architecture.as_str()]).map(text).collect::<Result<Vec<_>>>()?;
        let (included, contents, options) = (pointers(&included), pointers(&contents), pointers(&options));

        type Create = unsafe extern "C" fn(
            *mut Program,
            *const c_char,
            *const c_char,
            c_int,
            *const *const c_char,
            *const *const c_char,
        ) -> Status;
        type Compile = unsafe extern "C" fn(Program, c_int, *const *const c_char) -> Status;
        // SAFETY: the types are those of the NVRTC API; all strings live to the end of this function, and the lists have the
        // lengths passed with them.
        unsafe {
            let create: Create = self.function("nvrtcCreateProgram").map_err(unusable)?;
            let compile: Compile = self.function("nvrtcCompileProgram").map_err(unusable)?;
            let mut program = OpenProgram { nvrtc: *self, program: ptr::null_mut() };
            let count = included.len() as c_int;
            let status =
                create(&mut program.program, source.as_ptr(), name.as_ptr(), count, contents.as_ptr(), included.as_ptr());
            self.check("take the source", status).map_err(unusable)?;
            let status = compile(program.program, options.len() as c_int, options.as_ptr());
            if let Err(reason) = self.check("compile", status) {
                let log = program.read("nvrtcGetProgramLogSize", "nvrtcGetProgramLog").map_err(unusable)?;
                let log = String::from_utf8_lossy(&log).trim_end_matches('\0').trim().to_owned();
                return Err(failed(if log.is_empty() { format!("error: {reason}") } else { log }));
            }
            program.read("nvrtcGetCUBINSize", "nvrtcGetCUBIN").map_err(unusable)
        }
    }

    /// A function of the library, or what is wrong.
    ///
    /// # Safety
    /// `F` must be the type of the C function `name`.
    unsafe fn function<F: Copy>(&self, name: &str) -> Result<F, String> {
        // SAFETY: the library is never closed; the caller vouches for `F`.
        let symbol = unsafe { self.library.get::<F>(name) };
        symbol.map(|symbol| *symbol).map_err(|_| format!("the NVRTC library found has no function {name}; {}", advice()))
    }

    fn check(&self, operation: &str, status: Status) -> Result<(), String> {
        if status == sys::nvrtcResult::NVRTC_SUCCESS as Status {
            return Ok(());
        }
        // SAFETY: the type is that of the NVRTC API; the name is a C string that lives for ever.
        let name = unsafe {
            self.function::<unsafe extern "C" fn(Status) -> *const c_char>("nvrtcGetErrorString")
                .ok()
                .map(|describe| describe(status))
                .filter(|name| !name.is_null())
                .map(|name| CStr::from_ptr(name).to_string_lossy().into_owned())
        };
        let name = name.unwrap_or_else(|| "unnamed".to_owned());
        Err(format!("NVRTC failed to {operation}: error {status} ({name}); {}", advice()))
    }
}

/// A program of the compiler's, destroyed when dropped.
struct OpenProgram {
    nvrtc: Nvrtc,
    program: Program,
}

impl OpenProgram {
    /// The bytes of a result whose size another function tells.
    ///
    /// # Safety
    /// The two functions must be a pair of the NVRTC API that tells a size and writes as many bytes.
    unsafe fn read(&self, size: &str, contents: &str) -> Result<Vec<u8>, String> {
        // SAFETY: the caller vouches for the types; `bytes` is as long as the library asked for.
        unsafe {
            let size: unsafe extern "C" fn(Program, *mut usize) -> Status = self.nvrtc.function(size)?;
            let contents: unsafe extern "C" fn(Program, *mut u8) -> Status = self.nvrtc.function(contents)?;
            let mut len = 0;
            self.nvrtc.check("tell the size of its result", size(self.program, &mut len))?;
            let mut bytes = vec![0; len];
            self.nvrtc.check("hand over its result", contents(self.program, bytes.as_mut_ptr()))?;
            Ok(bytes)
        }
    }
}

impl Drop for OpenProgram {
    fn drop(&mut self) {
        // SAFETY: the type is that of the NVRTC API; the program was created by it, or is null, which it refuses.
        unsafe {
            if let Ok(destroy) = self.nvrtc.function::<unsafe extern "C" fn(*mut Program) -> Status>("nvrtcDestroyProgram") {
                destroy(&mut self.program);
            }
        }
    }
}

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).collect()
}

fn open_installed() -> Result<&'static Library, String> {
    // SAFETY: opens the compiler by its fixed names; what it runs when loaded is trusted as the driver itself is. The second
    // call would panic where the first says no.
    unsafe {
        if sys::is_culib_present() {
            Ok(sys::culib())
        } else {
            Err(format!("no NVRTC library (libnvrtc.so.13) found; {}", advice()))
        }
    }
}

/// Opens the compiler in a folder that the system's search does not know, such as a Python wheel's.
fn open_in(folder: &Path) -> Result<&'static Library, String> {
    let find = |start: &str| -> Option<PathBuf> {
        let files = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        let begins = |name: &OsStr| name.to_string_lossy().starts_with(start);
        files.filter(|path| path.file_name().is_some_and(begins)).min()
    };
    let open = |start: &str| {
        let path = find(start).ok_or_else(|| format!("{FOLDER}: {} has no {start}*; {}", folder.display(), advice()))?;
        // SAFETY: as in `open_installed`; the folder is the user's own choice.
        let library = unsafe { Library::new(&path) };
        library.map_err(|error| format!("{FOLDER}: {} cannot be opened: {error}", path.display()))
    };
    // The compiler asks for its built-in functions by file name alone, which is found only if that file is open already.
    let builtins = open("libnvrtc-builtins.so.")?;
    let compiler = open("libnvrtc.so.")?;
    std::mem::forget(builtins);
    Ok(Box::leak(Box::new(compiler)))
}

fn advice() -> String {
    format!(
        "install the CUDA toolkit 13, or name the folder of libnvrtc.so.13 (the Python package nvidia-cuda-nvrtc has it) in {FOLDER}"
    )
}

#[cfg(test)]
mod tests;

//! A CUDA device without a GPU: the kernels compiled for the host, behind a driver of their own.
//!
//! [`open`] compiles the emulator and every kernel with the system's C++ compiler (once: the objects are kept beside the
//! running executable), and loads the result as this process's CUDA driver. From then on [`probe`](crate::probe()) finds one
//! device, and everything above it runs unchanged. Nothing else ever looks for the library, so that it cannot stand in for a
//! real driver by accident.
//!
//! What a GPU would do late, seldom or silently is an error at once, told on stderr with the kernel, block and thread: a
//! deadlock, a race in shared memory, an access out of bounds, an argument that is no device pointer. Environment variables,
//! read at each launch:
//!
//! | variable | effect |
//! |---|---|
//! | `HANDGRAD_EMULATED` | 1: [`probe`](crate::probe()) calls [`open`] first, so that any program runs on the emulated device |
//! | `HANDGRAD_EMULATOR_SEED` | not 0: threads run in an order drawn from it |
//! | `HANDGRAD_EMULATOR_LATE` | 1: an asynchronous copy lands only where it is waited for |
//! | `HANDGRAD_EMULATOR_THREADS` | OS threads that share the blocks of a launch; 1 if unset |
//!
//! Read when it is opened: `HANDGRAD_EMULATOR_CACHE` names another folder for what is compiled, `CXX` another compiler, and
//! `HANDGRAD_EMULATOR_RACES=1` adds the search for unordered accesses to shared memory, which takes ten times as long.

mod compiler;

use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use compiler::{Compiler, cache, digest, make_folder, strings, write};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use crate::probe::find;
use crate::{DeviceCode, Probe};

/// The environment variable that asks for the emulated device.
pub(crate) const VARIABLE: &str = "HANDGRAD_EMULATED";

/// The name of the emulated device.
pub const DEVICE_NAME: &str = "CUDA emulator";

/// An emulated device could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmulatorError {
    /// No C++ compiler was found.
    #[error("no C++ compiler found to build the CUDA emulator with (tried {tried}); install g++, or name one in CXX")]
    NoCompiler {
        /// The commands tried.
        tried: String,
    },

    /// The compiler refused a source.
    #[error("cannot compile {file} for the CUDA emulator with {compiler}:\n{messages}")]
    Compile {
        /// The source, or the library.
        file: String,
        /// The compiler.
        compiler: String,
        /// What it said.
        messages: String,
    },

    /// A patch fits no place or several of the source it is for.
    #[error("the patch of {file} replaces {from:?}, which must be there once, but is there {found} times")]
    Patch {
        /// The source.
        file: String,
        /// The text to replace.
        from: String,
        /// How often it is there.
        found: usize,
    },

    /// What is compiled could not be kept.
    #[error("cannot write {path} for the CUDA emulator: {reason}; name a folder to write to in HANDGRAD_EMULATOR_CACHE")]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },

    /// The library was compiled, but the system does not load it.
    #[error("cannot load the CUDA emulator {path}: {reason}")]
    Load {
        /// The library.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },

    /// The process has a CUDA driver already.
    #[error("cannot open the CUDA emulator: this process has {found}; open the emulator before anything looks for a device")]
    TooLate {
        /// What it has.
        found: String,
    },
}

/// The device that [`open`] has made available; it lasts as long as the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emulated {
    /// The library that stands for the driver.
    pub library: PathBuf,
}

/// A change of a kernel's source, to plant a mistake that the emulator or a test must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Patch<'a> {
    /// The name of the source or header, such as `linear.cu`.
    pub file: &'a str,
    /// Of a header: the only source that sees the change; `None` for all that include it.
    pub within: Option<&'a str>,
    /// The text to replace, which is there once.
    pub from: &'a str,
    /// What to put in its place.
    pub to: &'a str,
}

/// Makes the emulated device this process's only CUDA device. To be called before anything looks for a device; later calls
/// find it open and do nothing.
///
/// # Errors
/// See [`EmulatorError`].
pub fn open() -> Result<Emulated, EmulatorError> {
    open_patched(&[])
}

/// As [`open`], with changed kernels. A process has one emulated device: once it is open, patches have no effect.
///
/// # Errors
/// See [`EmulatorError`].
pub fn open_patched(patches: &[Patch<'_>]) -> Result<Emulated, EmulatorError> {
    static OPENED: Mutex<Option<Emulated>> = Mutex::new(None);
    // A panic elsewhere leaves it open or not, both of which are right.
    let mut opened = OPENED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(emulated) = opened.as_ref() {
        return Ok(emulated.clone());
    }
    refuse_a_loaded_driver()?;
    let library = build(patches)?;
    load(&library)?;
    // The bindings look for this name first; it leads to the library above.
    load(&library.with_file_name(ALIAS))?;
    match find() {
        Probe::Devices(devices) if devices.iter().all(|device| device.name == DEVICE_NAME) => {}
        found => return Err(EmulatorError::TooLate { found: format!("looked for a device before: {found}") }),
    }
    Ok(opened.insert(Emulated { library }).clone())
}

/// The driver's names, as every loader of it spells them.
const LIBRARY: &str = "libcuda.so.1";
const ALIAS: &str = "libcuda.so";

/// A file of the emulator or a kernel.
#[derive(Clone, Copy)]
struct Source {
    name: &'static str,
    text: &'static str,
}

macro_rules! sources {
    ($($name:ident: $folder:literal / $($file:literal),+;)+) => {
        $(const $name: &[Source] =
            &[$(Source { name: $file, text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $folder, "/", $file)) }),+];)+
    };
}
sources! {
    EMULATOR_HEADERS: "emulator" / "driver.h", "emulator.h", "launch.h", "memory.h", "races.h", "tensor.h", "worker.h";
    EMULATOR: "emulator" / "calls.cpp", "driver.cpp", "driver_launch.cpp", "driver_memory.cpp", "emulator.cpp", "fibers.cpp",
        "memory.cpp", "races.cpp", "tensor.cpp";
}

fn refuse_a_loaded_driver() -> Result<(), EmulatorError> {
    /// Of <dlfcn.h>: succeeds only for a library that is loaded.
    const RTLD_NOLOAD: c_int = 4;
    for name in [LIBRARY, ALIAS] {
        // SAFETY: nothing is loaded, so that no code runs.
        if unsafe { Library::open(Some(name), RTLD_NOW | RTLD_NOLOAD) }.is_ok() {
            return Err(EmulatorError::TooLate { found: format!("the CUDA driver {name} loaded") });
        }
    }
    Ok(())
}

fn load(path: &Path) -> Result<(), EmulatorError> {
    // SAFETY: this crate's own library, whose initialisers fill its table of kernels.
    match unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) } {
        Ok(library) => {
            // The bindings keep pointers into it.
            std::mem::forget(library);
            Ok(())
        }
        Err(error) => Err(EmulatorError::Load { path: path.to_owned(), reason: error.to_string() }),
    }
}

/// The library with the emulator, the driver and all kernels; compiles what is not in the cache.
fn build(patches: &[Patch<'_>]) -> Result<PathBuf, EmulatorError> {
    let compiler = Compiler::find()?;
    let sources = patched_sources(patches)?;
    let folder = folder(&compiler, headers())?;
    let objects = compile_all(&compiler, &folder, &sources)?;

    let linked = folder.join(digest(&sources));
    let (library, alias) = (linked.join(LIBRARY), linked.join(ALIAS));
    make_folder(&linked)?;
    if !library.exists() {
        let name = format!("-Wl,-soname,{LIBRARY}");
        compiler.run(&library, &[&["-shared", &name], &strings(&objects)[..], &["-pthread"]].concat())?;
    }
    if !alias.exists() {
        let name = format!("-Wl,-soname,{ALIAS}");
        let needed = ["-shared", &name, "-Wl,--no-as-needed", &library.to_string_lossy()].map(str::to_owned);
        compiler.run(&alias, &needed.each_ref().map(String::as_str))?;
    }
    Ok(library)
}

/// What kernels include, in an order in which a header comes after those that it includes.
fn kernel_headers() -> impl Iterator<Item = Source> + Clone {
    DeviceCode::headers().iter().map(|&(name, text)| Source { name, text })
}

/// What kernels and the emulator include.
fn headers() -> impl Iterator<Item = Source> + Clone {
    kernel_headers().chain(EMULATOR_HEADERS.iter().copied())
}

/// The names and texts of all sources. What a patch of a header changes is in the texts themselves: the header takes the place
/// of the lines that include it, so that only the sources that it reaches are compiled anew.
fn patched_sources(patches: &[Patch<'_>]) -> Result<Vec<(&'static str, String)>, EmulatorError> {
    let kernels = DeviceCode::all().iter().map(|code| Source { name: code.file, text: code.source });
    let sources = EMULATOR.iter().copied().chain(kernels);
    let known = |file| sources.clone().chain(kernel_headers()).any(|source| source.name == file);
    if let Some(patch) = patches.iter().find(|patch| !known(patch.file) || patch.within.is_some_and(|source| !known(source))) {
        return Err(EmulatorError::Patch { file: patch.file.to_owned(), from: patch.from.to_owned(), found: 0 });
    }
    let text_of = |source: Source| {
        let seen = patches.iter().filter(|patch| patch.within.is_none_or(|within| within == source.name)).copied();
        let seen: Vec<Patch<'_>> = seen.collect();
        let mut headers = Vec::new();
        let mut reached = Vec::new();
        for header in kernel_headers() {
            let text = patched(&header, &seen)?;
            if text != header.text {
                reached.push(header.name);
            }
            headers.push((header.name, text));
        }
        let includes = |text: &str, names: &[&str]| names.iter().any(|name| text.contains(&include(name)));
        while let Some((name, _)) = headers.iter().find(|(name, text)| !reached.contains(name) && includes(text, &reached)) {
            reached.push(name);
        }
        headers.retain(|(name, _)| reached.contains(name));
        Ok((source.name, inline(&patched(&source, &seen)?, &headers, &mut Vec::new())))
    };
    sources.clone().map(text_of).collect()
}

fn include(name: &str) -> String {
    format!("#include \"{name}\"\n")
}

/// The text with each of these headers in the place of the first line that includes it, and of no other: those that are `there`
/// already.
fn inline<'a>(text: &str, headers: &'a [(&'a str, String)], there: &mut Vec<&'a str>) -> String {
    let with_headers = |line: &str| match headers.iter().find(|(name, _)| line == include(name)) {
        None => line.to_owned(),
        Some((name, _)) if there.contains(name) => String::new(),
        Some((name, header)) => {
            there.push(name);
            inline(&header.replace("#pragma once\n", ""), headers, there)
        }
    };
    text.split_inclusive('\n').map(with_headers).collect()
}

/// The header that includes all others of the emulator; compiled before what includes it, which then takes half of the time.
const PRECOMPILED: &str = "tensor.h";

/// The folder for what this compiler makes of these headers, which are there.
fn folder(compiler: &Compiler, headers: impl Iterator<Item = Source> + Clone) -> Result<PathBuf, EmulatorError> {
    let texts: Vec<&str> = headers.clone().map(|header| header.text).collect();
    let folder = cache()?.join(digest(&(&compiler.version, &compiler.flags, compiler.watch, texts)));
    make_folder(&folder)?;
    for header in headers {
        write(&folder.join(header.name), header.text)?;
    }
    let precompiled = folder.join(format!("{PRECOMPILED}.gch"));
    // Clang refuses one that is older than its headers.
    if !precompiled.exists() && !compiler.version.contains("clang") {
        let header = folder.join(PRECOMPILED);
        let arguments = ["-x", "c++-header", &header.to_string_lossy()].map(str::to_owned);
        compiler.run(&precompiled, &arguments.iter().map(String::as_str).chain(compiler.watch).collect::<Vec<_>>())?;
    }
    Ok(folder)
}

/// The text of a source with the patches for it.
fn patched(source: &Source, patches: &[Patch<'_>]) -> Result<String, EmulatorError> {
    let mut text = source.text.to_owned();
    for patch in patches.iter().filter(|patch| patch.file == source.name) {
        let found = text.matches(patch.from).count();
        if found != 1 {
            return Err(EmulatorError::Patch { file: patch.file.to_owned(), from: patch.from.to_owned(), found });
        }
        text = text.replace(patch.from, patch.to);
    }
    Ok(text)
}

/// The objects of all sources, compiled side by side.
fn compile_all(compiler: &Compiler, folder: &Path, sources: &[(&str, String)]) -> Result<Vec<PathBuf>, EmulatorError> {
    let next = AtomicUsize::new(0);
    let objects = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((name, text)) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let object = compile(compiler, folder, name, text);
                    objects.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(object);
                }
            });
        }
    });
    objects.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into_iter().collect()
}

fn compile(compiler: &Compiler, folder: &Path, name: &str, text: &str) -> Result<PathBuf, EmulatorError> {
    let folder = folder.join(digest(&(name, text)));
    let (source, object) = (folder.join(name), folder.join("object.o"));
    if !object.exists() {
        make_folder(&folder)?;
        write(&source, text)?;
        let headers = folder.parent().unwrap_or(&folder);
        let (include, first) = (format!("-I{}", headers.display()), headers.join(PRECOMPILED));
        // What runs in kernels calls the emulator for each access to memory: see races.h.
        let watched = if EMULATOR.iter().any(|part| part.name == name) { None } else { compiler.watch };
        let arguments = ["-c", &include, "-include", &first.to_string_lossy(), "-x", "c++", &source.to_string_lossy()];
        let arguments = arguments.map(str::to_owned);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(watched).collect();
        compiler.run(&object, &arguments)?;
    }
    Ok(object)
}

#[cfg(test)]
mod tests;

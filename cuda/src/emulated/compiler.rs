//! The C++ compiler that makes the emulator, and the files that it makes.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, io};

use super::EmulatorError;

/// Calls the emulator at every access to memory.
pub(super) const FIND_RACES: &str = "-fsanitize=thread";

pub(super) struct Compiler {
    pub(super) command: String,
    pub(super) version: String,
    pub(super) flags: Vec<&'static str>,
    /// The flag that makes kernels tell the emulator of each access to memory.
    pub(super) watch: Option<&'static str>,
}

impl Compiler {
    pub(super) fn find() -> Result<Compiler, EmulatorError> {
        let named = env::var("CXX").ok().filter(|name| !name.is_empty());
        let candidates = || named.as_deref().into_iter().chain(["c++", "g++", "clang++"]);
        for command in candidates() {
            match Command::new(command).arg("--version").output() {
                Ok(output) if output.status.success() => {
                    let version = String::from_utf8_lossy(&output.stdout).into_owned();
                    let races = env::var("HANDGRAD_EMULATOR_RACES").as_deref() == Ok("1");
                    let watch = races.then_some(FIND_RACES);
                    return Ok(Compiler { command: command.to_owned(), version, flags: Self::flags(), watch });
                }
                _ => {}
            }
        }
        Err(EmulatorError::NoCompiler { tried: candidates().collect::<Vec<_>>().join(", ") })
    }

    fn flags() -> Vec<&'static str> {
        let mut flags = vec![
            "-std=c++17",
            "-O2",
            "-fPIC",
            "-fvisibility=hidden",
            // The only fused operations are those that a kernel writes, as on the device.
            "-ffp-contract=off",
            "-fno-math-errno",
            // Kernels keep different types in one shared memory.
            "-fno-strict-aliasing",
            // An index beyond a local array ends the launch, as does a stack that is used up.
            "-fsanitize=bounds,shift",
            "-fsanitize-undefined-trap-on-error",
            "-fstack-clash-protection",
        ];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            flags.extend(["-mavx2", "-mfma"]);
        }
        flags
    }

    /// Makes a file, which appears when it is whole: others may be making the same one.
    pub(super) fn run(&self, output: &Path, arguments: &[&str]) -> Result<(), EmulatorError> {
        let unfinished = unfinished(output);
        let mut command = Command::new(&self.command);
        let failed = |messages| {
            let file = arguments.last().and_then(|last| Path::new(last).file_name()).unwrap_or_default();
            EmulatorError::Compile { file: file.to_string_lossy().into_owned(), compiler: self.command.clone(), messages }
        };
        let made = command.args(&self.flags).args(arguments).arg("-o").arg(&unfinished).output();
        let made = made.map_err(|error| failed(error.to_string()))?;
        if !made.status.success() {
            return Err(failed(String::from_utf8_lossy(&made.stderr).into_owned()));
        }
        fs::rename(&unfinished, output).map_err(cannot_write(output))
    }
}

/// The folder for what is compiled.
pub(super) fn cache() -> Result<PathBuf, EmulatorError> {
    if let Some(named) = env::var_os("HANDGRAD_EMULATOR_CACHE") {
        return Ok(PathBuf::from(named));
    }
    // Not a folder that all users share: libraries are loaded from it.
    let executable = env::current_exe().map_err(cannot_write(Path::new("beside the executable")))?;
    Ok(executable.with_file_name("cuda-emulator"))
}

pub(super) fn digest(content: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

pub(super) fn strings(paths: &[PathBuf]) -> Vec<&str> {
    paths.iter().filter_map(|path| path.to_str()).collect()
}

pub(super) fn make_folder(path: &Path) -> Result<(), EmulatorError> {
    fs::create_dir_all(path).map_err(cannot_write(path))
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), EmulatorError> {
    let unfinished = unfinished(path);
    fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, path)).map_err(cannot_write(path))
}

/// A name that no other process or thread uses.
fn unfinished(path: &Path) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    path.with_extension(format!("{}-{count}", std::process::id()))
}

fn cannot_write(path: &Path) -> impl FnOnce(io::Error) -> EmulatorError {
    move |error| EmulatorError::Cache { path: path.to_owned(), reason: error.to_string() }
}

//! Cubins compiled on this machine, kept on disk between runs.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process};

use sha2::{Digest, Sha256};

use crate::device_code::hex;
use crate::nvrtc::Nvrtc;
use crate::{Arch, DeviceCode, Result};

const DIGEST_BYTES: usize = 32;

/// The cubin of `code` for `arch`: from the cache if it is there, or else compiled and put there.
///
/// # Errors
/// As [`Nvrtc::compile`]. A cache that cannot be written costs the time of compiling again, and is no error.
pub(crate) fn cubin(nvrtc: &Nvrtc, code: &DeviceCode, arch: Arch) -> Result<Vec<u8>> {
    let compile = || nvrtc.compile(code, arch);
    match folder() {
        Some(folder) => kept(&folder, &key(&code.digest(), nvrtc.version(), arch), compile),
        None => compile(),
    }
}

/// The name of a cubin in the cache. The digest covers source, headers and options.
fn key(digest: &str, (major, minor): (i32, i32), arch: Arch) -> String {
    hex(&Sha256::digest(format!("{digest} NVRTC {major}.{minor} {arch}")))
}

/// `$XDG_CACHE_HOME/handgrad/cubins`, below `~/.cache` where that is not set.
fn folder() -> Option<PathBuf> {
    let set = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    Some(cache.join("handgrad/cubins"))
}

/// What `make` made the last time, or makes now.
fn kept(folder: &Path, key: &str, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    let path = folder.join(format!("{key}.cubin"));
    if let Some(cubin) = fs::read(&path).ok().and_then(checked) {
        return Ok(cubin);
    }
    let cubin = make()?;
    let mut contents = Sha256::digest(&cubin).to_vec();
    contents.extend_from_slice(&cubin);
    // Renamed into place, so that another process never reads half of it.
    static WRITERS: AtomicUsize = AtomicUsize::new(0);
    let written = folder.join(format!("{key}.{}.{}.partial", process::id(), WRITERS.fetch_add(1, Ordering::Relaxed)));
    let stored =
        fs::create_dir_all(folder).and_then(|()| fs::write(&written, contents)).and_then(|()| fs::rename(&written, &path));
    if stored.is_err() {
        // Whatever is left of it is of no use.
        let _ = fs::remove_file(&written);
    }
    Ok(cubin)
}

/// The cubin behind its digest, if it is whole.
fn checked(contents: Vec<u8>) -> Option<Vec<u8>> {
    let (digest, cubin) = contents.split_at_checked(DIGEST_BYTES)?;
    (Sha256::digest(cubin).as_slice() == digest).then(|| cubin.to_vec())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::Error;

    #[test]
    fn a_cubin_is_made_once_and_again_when_its_file_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, made) = (folder.path().join("cubins"), Cell::new(0));
        let get = |key: &str| {
            let make = || {
                made.set(made.get() + 1);
                Ok(vec![7; 1000])
            };
            assert_eq!(kept(&folder, key, make).unwrap(), vec![7; 1000]);
            made.get()
        };
        assert_eq!([get("a"), get("a"), get("b"), get("a")], [1, 1, 2, 2]);

        let file = folder.join("a.cubin");
        let whole = fs::read(&file).unwrap();
        for (count, damaged) in
            [&whole[..900], &whole[..10], &[], &[&whole[..500], &[8], &whole[501..]].concat()].iter().enumerate()
        {
            fs::write(&file, damaged).unwrap();
            assert_eq!([get("a"), get("a")], [3 + count; 2]);
            assert_eq!(fs::read(&file).unwrap(), whole);
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "nothing partial is left");
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_no_error_and_a_failed_compilation_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "in the way").unwrap();
        assert_eq!(kept(&file, "a", || Ok(vec![1])).unwrap(), [1]);

        let failed = Error::NoCompiler { reason: "none".to_owned() };
        assert_eq!(kept(folder.path(), "a", || Err(failed.clone())), Err(failed));
        assert_eq!(kept(folder.path(), "a", || Ok(vec![2])).unwrap(), [2]);
    }

    #[test]
    fn source_version_and_architecture_have_keys_of_their_own() {
        let [generic, hopper] = Arch::BUILT_IN;
        let keys =
            [key("a", (13, 0), generic), key("b", (13, 0), generic), key("a", (13, 1), generic), key("a", (13, 0), hopper)];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key));
        }
    }
}

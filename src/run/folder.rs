//! A run's folder. Work happens in `DIR.partial/`, which is renamed to `DIR` at the end: that the folder exists is the mark of
//! a finished run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, refuse};
use crate::spec::Spec;

/// What `--out` and `--resume` lead to.
#[derive(Debug)]
pub enum Opened {
    /// The run is finished already and was asked to resume: nothing to do.
    Finished(PathBuf),
    /// There is work to do here.
    Work(RunFolder),
}

/// A folder that work is going on in; no other process can open it meanwhile.
#[derive(Debug)]
pub struct RunFolder {
    target: PathBuf,
    partial: PathBuf,
    /// Whether this process made it.
    new: bool,
    /// Released by the operating system when the process ends, however it ends.
    _lock: File,
}

impl RunFolder {
    /// Opens the folder of a run: new, or partial with `resume`.
    ///
    /// # Errors
    /// If the run is finished or partial without `resume`, partial with another spec, or in work elsewhere.
    pub fn open(target: &Path, spec: &Spec, resume: bool) -> Result<Opened> {
        // Without a trailing slash, for `.partial` to go behind the name.
        let target: &Path = &target.components().collect::<PathBuf>();
        let at = target.display();
        if target.exists() {
            if !target.join("spec.json").is_file() {
                return refuse!("{at} exists and is not a run's folder; give another --out");
            }
            if !resume {
                return refuse!(
                    "{at} holds a finished run; give another --out, or delete it to run again (--resume would leave it as it is)"
                );
            }
            let finished = target.join("spec.json");
            return match fs::read_to_string(&finished) {
                Ok(text) if Spec::from_json(&text, &finished.display().to_string())?.hash()? == spec.hash()? => {
                    Ok(Opened::Finished(target.to_owned()))
                }
                Ok(_) => refuse!("{at} holds a finished run of another spec; give another --out"),
                Err(error) => Err(Error::io("read", &finished)(error)),
            };
        }
        let partial = PathBuf::from(format!("{at}.partial"));
        let text = spec.to_json()?;
        let spec_file = partial.join("spec.json");
        let new = !partial.exists();
        let checkpoints = partial.join("checkpoints");
        if !new {
            let lock_file = partial.join("lock");
            if File::open(&lock_file).is_ok_and(|lock| lock.try_lock().is_err()) {
                return refuse!(
                    "{} is being worked on by another process; wait for it, or give another --out",
                    partial.display()
                );
            }
            if !resume {
                return refuse!("{} holds an unfinished run; continue it with --resume, or delete it", partial.display());
            }
            // A run that was killed before it wrote its spec has nothing else either.
            if let Ok(found) = fs::read_to_string(&spec_file)
                && Spec::from_json(&found, &spec_file.display().to_string())?.hash()? != spec.hash()?
            {
                return refuse!(
                    "{} holds an unfinished run of another spec; give the same options again, or another --out",
                    partial.display()
                );
            }
        }
        fs::create_dir_all(&checkpoints).map_err(Error::io("create", &checkpoints))?;
        let lock_file = partial.join("lock");
        let lock = File::create(&lock_file).map_err(Error::io("create", &lock_file))?;
        if lock.try_lock().is_err() {
            return refuse!("{} is being worked on by another process; wait for it, or give another --out", partial.display());
        }
        replace(&spec_file, text.as_bytes())?;
        Ok(Opened::Work(RunFolder { target: target.to_owned(), partial, new, _lock: lock }))
    }

    /// Removes the folder again if this process made it and no checkpoint is in it: what was refused leaves nothing behind, and
    /// what was computed stays.
    pub fn discard(self) {
        let empty = fs::read_dir(self.file("checkpoints")).is_ok_and(|mut entries| entries.next().is_none());
        if self.new && empty {
            // A folder that cannot be removed is no worse than the error that led here.
            let _ = fs::remove_dir_all(&self.partial);
        }
    }

    /// A file of the run in work.
    pub fn file(&self, name: &str) -> PathBuf {
        self.partial.join(name)
    }

    /// Where a group's checkpoint is kept until the run is finished.
    pub fn checkpoint(&self, run: &str, first_seed: impl std::fmt::Display) -> PathBuf {
        self.partial.join("checkpoints").join(format!("{run}.{first_seed}.safetensors"))
    }

    /// Marks the run as finished: checkpoints go, the folder gets its name.
    ///
    /// # Errors
    /// If a folder cannot be removed or renamed.
    pub fn finish(self) -> Result<PathBuf> {
        let checkpoints = self.file("checkpoints");
        fs::remove_dir_all(&checkpoints).map_err(Error::io("remove", &checkpoints))?;
        let lock = self.file("lock");
        fs::remove_file(&lock).map_err(Error::io("remove", &lock))?;
        fs::rename(&self.partial, &self.target).map_err(Error::io("rename", &self.partial))?;
        Ok(self.target)
    }
}

/// Replaces a file as a whole: a reader sees the old one or the new one. What is not a regular file is written to as it is.
///
/// # Errors
/// If it cannot be written or renamed; nothing is left behind then.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    // Through a link to what it points to.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if path.exists() && !path.is_file() {
        return fs::write(path, bytes).map_err(Error::io("write", path));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let done = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    done.map_err(|source| {
        // The error that counts is the first one.
        let _ = fs::remove_file(&temporary);
        Error::io("write", path)(source)
    })
}

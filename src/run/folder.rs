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
    /// Released by the operating system when the process ends, however it ends.
    _lock: File,
}

impl RunFolder {
    /// Opens the folder of a run: new, or partial with `resume`.
    ///
    /// # Errors
    /// If the run is finished or partial without `resume`, partial with another spec, or in work elsewhere.
    pub fn open(target: &Path, spec: &Spec, resume: bool) -> Result<Opened> {
        let at = target.display();
        if target.exists() {
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
        if partial.exists() {
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
        let checkpoints = partial.join("checkpoints");
        fs::create_dir_all(&checkpoints).map_err(Error::io("create", &checkpoints))?;
        let lock_file = partial.join("lock");
        let lock = File::create(&lock_file).map_err(Error::io("create", &lock_file))?;
        if lock.try_lock().is_err() {
            return refuse!("{} is being worked on by another process; wait for it, or give another --out", partial.display());
        }
        replace(&spec_file, text.as_bytes())?;
        Ok(Opened::Work(RunFolder { target: target.to_owned(), partial, _lock: lock }))
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

/// Replaces a file as a whole.
///
/// # Errors
/// If it cannot be written or renamed.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("new");
    fs::write(&temporary, bytes).map_err(Error::io("write", &temporary))?;
    fs::rename(&temporary, path).map_err(Error::io("rename", &temporary))
}

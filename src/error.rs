use std::path::{Path, PathBuf};

/// What the library refuses or fails at, in one line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something the user gave: the line says what, where, what was expected, what was found and what to do.
    #[error("{0}")]
    Input(String),
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// "read", "write", ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A signal asked the run to stop; its state is safe.
    #[error("stopped by a signal; the checkpoint is in {}, continue with --resume", .0.display())]
    Preempted(PathBuf),
    /// A numerical routine gave up.
    #[error("{0}")]
    Numerics(String),
    /// A kernel refused its arguments.
    #[error(transparent)]
    Kernel(#[from] handgrad_kernels::Error),
}

/// Result of a library call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The process exit code of the contract: 75 when pre-empted, otherwise 2.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Preempted(_) => 75,
            _ => 2,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    }
}

/// `Err(Error::Input(format!(...)))`.
macro_rules! refuse {
    ($($message:tt)*) => { Err($crate::Error::Input(format!($($message)*))) };
}
pub(crate) use refuse;

/// The known name nearest to a wrong one, as advice at the end of an error line; nothing if none is near.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let distances = known.into_iter().map(|name| (strsim::damerau_levenshtein(wrong, name), name));
    let closest = distances.filter(|&(distance, name)| distance <= 3.max(name.len() / 3) && distance < name.len()).min();
    closest.map_or(String::new(), |(_, name)| format!("; did you mean `{name}`?"))
}

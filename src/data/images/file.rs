//! Files that are read to a known length, plain or gzip.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::error::{Error, Result, refuse};

/// An open file; one whose name ends in `.gz` is unpacked while it is read.
pub(super) struct Input {
    path: PathBuf,
    gzip: bool,
    reader: Box<dyn Read>,
}

impl Input {
    /// Opens a file.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(path: &Path) -> Result<Input> {
        let file = BufReader::new(File::open(path).map_err(Error::io("read", path))?);
        let gzip = is_gzip(path);
        let reader: Box<dyn Read> = if gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        Ok(Input { path: path.to_owned(), gzip, reader })
    }

    /// The next N bytes, the file's header.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn header<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.up_to(N)?;
        <[u8; N]>::try_from(bytes.as_slice()).or_else(|_| {
            let (at, got) = (self.path.display(), bytes.len());
            refuse!("{at}: the file ends after {got} bytes, expected a header of {N}; fetch it again")
        })
    }

    /// All bytes that are left.
    ///
    /// # Errors
    /// Unless there are exactly `length`, which hold `what`.
    pub fn rest(mut self, length: usize, what: &str) -> Result<Vec<u8>> {
        let bytes = self.up_to(length.saturating_add(1))?;
        let (at, got) = (self.path.display(), bytes.len());
        match got {
            _ if got == length => Ok(bytes),
            _ if got < length => {
                refuse!("{at}: the file is cut short: {got} bytes, expected {length} ({what}); fetch it again")
            }
            _ => refuse!("{at}: the file is too long: more than {length} bytes, expected as many ({what}); fetch it again"),
        }
    }

    /// At most `limit` bytes. Memory grows with what is there, not with what a header promises.
    ///
    /// # Errors
    /// If the file cannot be read or unpacked.
    pub fn up_to(&mut self, limit: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.reader.by_ref().take(limit as u64).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) if self.gzip && unpacking(error.kind()) => {
                refuse!("{}: not a whole gzip file ({error}); fetch it again, or drop .gz from its name", self.path.display())
            }
            Err(error) => Err(Error::io("read", &self.path)(error)),
        }
    }
}

/// Whether the decoder reports an error in this way, and not the operating system.
fn unpacking(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
}

/// Whether a file is unpacked while it is read.
pub(super) fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// The file of a name in a folder, plain or else with `.gz`.
pub(super) fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(name), folder.join(format!("{name}.gz"))].into_iter().find(|path| path.is_file())
}

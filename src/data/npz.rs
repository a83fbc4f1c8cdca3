//! NumPy's .npz: a zip of .npy arrays.

mod npy;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, BufWriter, Cursor, Read, Seek, Write};
use std::path::{Path, PathBuf};

use npyz::WriterBuilder;

use crate::error::{Error, Result, nearest, refuse};

/// An array as f64, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Elements, last index fastest.
    pub values: Vec<f64>,
}

/// The arrays of one .npz file.
#[derive(Clone, Debug)]
pub struct Npz {
    path: PathBuf,
    /// An array that cannot be read is an error only where it is asked for.
    arrays: BTreeMap<String, Result<Array, String>>,
    /// Names of those that are stored as unsigned bytes.
    bytes: BTreeSet<String>,
}

impl Npz {
    /// Reads a file. Arrays of floats of 32 and 64 bits, integers of up to 64 bits and booleans are read. Memory grows with what
    /// the file holds, not with what it promises.
    ///
    /// # Errors
    /// If the file is missing or malformed; the message names it and the remedy.
    pub fn read(path: &Path) -> Result<Npz> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        if path.is_dir() {
            return refuse!("{}: this is a folder, expected a .npz file", path.display());
        }
        Npz::from_archive(path, BufReader::new(file))
    }

    /// Reads a file's bytes; `path` is what errors call it.
    ///
    /// # Errors
    /// As [`Npz::read`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Npz> {
        Npz::from_archive(path, Cursor::new(bytes))
    }

    fn from_archive(path: &Path, file: impl Read + Seek) -> Result<Npz> {
        let at = path.display();
        let malformed =
            |error: &dyn std::fmt::Display| Error::Input(format!("{at}: not a .npz file ({error}); write it with numpy.savez"));
        let mut archive = zip::ZipArchive::new(file).map_err(|error| malformed(&error))?;
        let (mut arrays, mut of_bytes) = (BTreeMap::new(), BTreeSet::new());
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index).map_err(|error| malformed(&error))?;
            let name = entry.name().map_err(|error| malformed(&error))?;
            let name = name.strip_suffix(".npy").unwrap_or(&name).to_owned();
            let size = entry.size();
            let array = npy::read(&mut entry, size).map_err(|error| malformed(&error))?;
            arrays.insert(
                name.clone(),
                array.map(|(array, is_bytes)| {
                    if is_bytes {
                        of_bytes.insert(name);
                    }
                    array
                }),
            );
        }
        Ok(Npz { path: path.to_owned(), arrays, bytes: of_bytes })
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An array that may be absent; if there, of `shape` (0 stands for any size of at least 1) and finite.
    ///
    /// # Errors
    /// If it has another shape or holds NaN or infinity.
    pub fn optional(&self, name: &str, shape: &[usize]) -> Result<Option<&Array>> {
        let at = self.path.display();
        let array = match self.arrays.get(name) {
            None => return Ok(None),
            Some(Err(why)) => return refuse!("{at}: array `{name}`: {why}"),
            Some(Ok(array)) => array,
        };
        let fits = array.shape.len() == shape.len()
            && array.shape.iter().zip(shape).all(|(&got, &want)| if want == 0 { got > 0 } else { got == want });
        if !fits {
            let want: Vec<String> =
                shape.iter().map(|&size| if size == 0 { "at least 1".into() } else { size.to_string() }).collect();
            return refuse!(
                "{at}: array `{name}` has shape {:?}, expected [{}]; save it in that shape",
                array.shape,
                want.join(", ")
            );
        }
        match array.values.iter().position(|value| !value.is_finite()) {
            Some(position) => {
                let value = array.values[position];
                refuse!("{at}: array `{name}` holds {value} at flat position {position}, expected finite numbers; clean the data")
            }
            None => Ok(Some(array)),
        }
    }

    /// Sizes of an array, if it is there and can be read.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.arrays.get(name)?.as_ref().ok().map(|array| array.shape.as_slice())
    }

    /// Whether an array is stored as unsigned bytes, as images are.
    pub fn is_bytes(&self, name: &str) -> bool {
        self.bytes.contains(name)
    }

    /// An array that must be there.
    ///
    /// # Errors
    /// As [`Npz::optional`], and if it is absent: the message lists what is there.
    pub fn required(&self, name: &str, shape: &[usize]) -> Result<&Array> {
        self.optional(name, shape)?.map_or_else(
            || {
                let have: Vec<&str> = self.arrays.keys().map(String::as_str).collect();
                let advice = nearest(name, have.iter().copied());
                refuse!("{}: there is no array `{name}`, only [{}]{advice}", self.path.display(), have.join(", "))
            },
            Ok,
        )
    }

    /// An array of indices below `limit`.
    ///
    /// # Errors
    /// As [`Npz::required`], and if an element is not an integer in range.
    pub fn indices(&self, name: &str, shape: &[usize], limit: usize) -> Result<Vec<u32>> {
        let array = self.required(name, shape)?;
        let index = |(position, &value): (usize, &f64)| match value >= 0.0 && value < limit as f64 && value.fract() == 0.0 {
            true => Ok(value as u32),
            false => {
                let at = self.path.display();
                let last = limit - 1;
                refuse!(
                    "{at}: array `{name}` holds {value} at flat position {position}, expected indices of samples: integers from 0 to {last}"
                )
            }
        };
        array.values.iter().enumerate().map(index).collect()
    }
}

/// Writes arrays of f64 to a new .npz file.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, arrays: &[(String, Array)]) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| Error::io("write", path)(std::io::Error::other(error.to_string()));
    let mut archive = zip::ZipWriter::new(BufWriter::new(File::create(path).map_err(Error::io("write", path))?));
    // The epoch of zip instead of the clock: equal arrays give equal files.
    let options = zip::write::SimpleFileOptions::default().last_modified_time(zip::DateTime::default());
    for (name, array) in arrays {
        let mut bytes = Vec::new();
        let shape: Vec<u64> = array.shape.iter().map(|&size| size as u64).collect();
        let mut writer = npyz::WriteOptions::new()
            .default_dtype()
            .shape(&shape)
            .writer(&mut bytes)
            .begin_nd()
            .map_err(|error| failed(&error))?;
        writer.extend(array.values.iter().copied()).map_err(|error| failed(&error))?;
        writer.finish().map_err(|error| failed(&error))?;
        archive.start_file(format!("{name}.npy"), options).map_err(|error| failed(&error))?;
        archive.write_all(&bytes).map_err(|error| failed(&error))?;
    }
    archive.finish().and_then(|mut file| Ok(file.flush()?)).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::npy::tests::npy;
    use super::*;

    fn saved(arrays: &[(&str, &[usize], &[f64])]) -> (tempfile::TempDir, Npz) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let arrays: Vec<(String, Array)> = arrays
            .iter()
            .map(|(name, shape, values)| (name.to_string(), Array { shape: shape.to_vec(), values: values.to_vec() }))
            .collect();
        write(&path, &arrays).unwrap();
        let npz = Npz::read(&path).unwrap();
        (folder, npz)
    }

    #[test]
    fn what_is_written_is_read() {
        let (_folder, npz) = saved(&[("x", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.5]), ("order", &[3], &[0.0, 1.0, 1.0])]);
        assert_eq!(npz.required("x", &[0, 3]).unwrap().values[5], 6.5);
        assert_eq!(npz.indices("order", &[0], 2).unwrap(), [0, 1, 1]);
        assert_eq!(npz.optional("y", &[2]).unwrap(), None);
    }

    #[test]
    fn refusals_say_what_was_expected() {
        let (_folder, npz) = saved(&[("x", &[2], &[1.0, f64::NAN]), ("order", &[2], &[0.5, 9.0])]);
        let line = |result: Result<&Array>| result.unwrap_err().to_string();
        assert!(line(npz.required("x", &[2, 0])).contains("has shape [2], expected [2, at least 1]"));
        assert!(line(npz.required("x", &[2])).contains("holds NaN at flat position 1"));
        assert!(line(npz.required("y", &[2])).contains("there is no array `y`, only [order, x]"));
        let error = npz.indices("order", &[0], 4).unwrap_err().to_string();
        assert!(
            error.contains("`order` holds 0.5 at flat position 0, expected indices of samples: integers from 0 to 3"),
            "{error}"
        );
    }

    /// An archive that says its one array has so many bytes.
    fn archive(npy: &[u8], says: u64) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        archive.start_file("x.npy", zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(npy).unwrap();
        let mut bytes = archive.finish().unwrap().into_inner();
        // The sizes in the member's own header and in the list at the end of the archive.
        let end = bytes.windows(4).rposition(|four| four == b"PK\x01\x02").unwrap();
        for at in [22, end + 24] {
            assert_eq!(bytes[at..at + 4], (npy.len() as u32).to_le_bytes());
            bytes[at..at + 4].copy_from_slice(&(says as u32).to_le_bytes());
        }
        bytes
    }

    #[test]
    fn memory_is_for_what_an_archive_holds() {
        let held = npy("|u1", "False", "(1000,)", &[1; 1000]);
        let size = held.len() as u64;
        let line = |archive: &[u8]| match Npz::parse(Path::new("a.npz"), archive) {
            Ok(npz) => npz.required("x", &[0]).map(|x| x.values.len().to_string()).unwrap_or_else(|error| error.to_string()),
            Err(error) => error.to_string(),
        };
        assert_eq!(line(&archive(&held, size)), "1000");
        for (says, want) in [
            (size - 1, "a.npz: array `x`: the archive has 999 bytes of it, expected 1000: '|u1' numbers of shape [1000]"),
            (size + 1, "the archive has 1001 bytes of it, expected 1000"),
            (0, "not a .npz file (File is larger than its declared uncompressed size)"),
        ] {
            let line = line(&archive(&held, says));
            assert!(line.contains(want) && !line.contains('\n'), "{line}\nexpected {want}");
        }
        // Both promise as much, and the array is shorter or longer.
        for (shape, says, want) in [
            (4_294_000_000, "4294000000", "the archive has 1000 bytes of it, expected 4294000000"),
            (900, "900", "not a .npz file (File is larger than its declared uncompressed size)"),
        ] {
            let held = npy("|u1", "False", &format!("({says},)"), &[1; 1000]);
            let line = line(&archive(&held, held.len() as u64 - 1000 + shape));
            assert!(line.contains(want) && !line.contains('\n'), "{line}\nexpected {want}");
        }
        // Cut short, it has no list of its members.
        let whole = archive(&held, size);
        for length in 0..whole.len() {
            let line = line(&whole[..length]);
            assert!(line.contains("not a .npz file") && !line.contains('\n'), "{length} bytes: {line}");
        }
    }

    #[test]
    fn malformed_files_are_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.npz");
        assert!(Npz::read(&path).unwrap_err().to_string().starts_with("cannot read"));
        std::fs::write(&path, b"not a zip").unwrap();
        assert!(Npz::read(&path).unwrap_err().to_string().contains("not a .npz file"));
    }
}

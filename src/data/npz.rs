//! NumPy's .npz: a zip of .npy arrays.

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
    /// Reads a file. Arrays of floats of 32 and 64 bits, integers of up to 64 bits and booleans are read.
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
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(|error| malformed(&error))?;
            arrays.insert(
                name.clone(),
                read_npy(&bytes).map(|(array, is_bytes)| {
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

/// An array, and whether it is stored as unsigned bytes.
fn read_npy(bytes: &[u8]) -> Result<(Array, bool), String> {
    let npy = npyz::NpyFile::new(bytes).map_err(|error| {
        format!("not a .npy array ({}); write it with numpy.save", error.to_string().lines().next().unwrap_or_default())
    })?;
    let shape: Vec<usize> = npy.shape().iter().map(|&size| size as usize).collect();
    let (order, dtype) = (npy.order(), npy.dtype().descr());
    let kind = dtype.trim_matches('\'').trim_start_matches(['<', '>', '|', '=']);
    let unreadable =
        |error| format!("{dtype} numbers of shape {shape:?} cannot be read ({error}); write it again with numpy.save");
    macro_rules! read {
        ($type:ty) => {
            npy.into_vec::<$type>().map_err(unreadable)?.into_iter().map(|value| value as f64).collect()
        };
    }
    let values: Vec<f64> = match kind {
        "f8" => read!(f64),
        "f4" => read!(f32),
        "i8" => read!(i64),
        "i4" => read!(i32),
        "i2" => read!(i16),
        "i1" => read!(i8),
        "u8" => read!(u64),
        "u4" => read!(u32),
        "u2" => read!(u16),
        "u1" => read!(u8),
        "b1" => npy.into_vec::<bool>().map_err(unreadable)?.into_iter().map(f64::from).collect(),
        _ => {
            return Err(format!(
                "type {dtype} is not read, expected floats of 32 or 64 bits, integers or booleans; convert with .astype(numpy.float64)"
            ));
        }
    };
    if shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size)) != Some(values.len()) {
        return Err(format!("{} numbers do not fill its shape {shape:?}; write it again with numpy.save", values.len()));
    }
    let values = if order == npyz::Order::Fortran { from_fortran(&shape, &values) } else { values };
    Ok((Array { shape, values }, kind == "u1"))
}

/// Row-major elements from column-major ones.
fn from_fortran(shape: &[usize], values: &[f64]) -> Vec<f64> {
    let mut strides = vec![1; shape.len()];
    for axis in 1..shape.len() {
        strides[axis] = strides[axis - 1] * shape[axis - 1];
    }
    let element = |mut flat: usize| {
        let mut place = 0;
        for axis in (0..shape.len()).rev() {
            place += flat % shape[axis] * strides[axis];
            flat /= shape[axis];
        }
        values[place]
    };
    (0..values.len()).map(element).collect()
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

    /// A .npy file of version 1.
    fn npy(dtype: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{dtype}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn numbers_of_every_type_and_byte_order_are_read() {
        let bytes = |numbers: &[&[u8]]| numbers.concat();
        for (dtype, data) in [
            ("<f8", bytes(&[&1f64.to_le_bytes(), &0f64.to_le_bytes()])),
            (">f8", bytes(&[&1f64.to_be_bytes(), &0f64.to_be_bytes()])),
            ("<f4", bytes(&[&1f32.to_le_bytes(), &0f32.to_le_bytes()])),
            (">i8", bytes(&[&1i64.to_be_bytes(), &0i64.to_be_bytes()])),
            ("<u8", bytes(&[&1u64.to_le_bytes(), &0u64.to_le_bytes()])),
            ("<i4", bytes(&[&1i32.to_le_bytes(), &0i32.to_le_bytes()])),
            (">u4", bytes(&[&1u32.to_be_bytes(), &0u32.to_be_bytes()])),
            ("<i2", bytes(&[&1i16.to_le_bytes(), &0i16.to_le_bytes()])),
            ("|u1", vec![1, 0]),
            ("|b1", vec![1, 0]),
        ] {
            assert_eq!(read_npy(&npy(dtype, "False", "(2,)", &data)).unwrap().0.values, [1.0, 0.0], "{dtype}");
        }
        let columns = read_npy(&npy("|i1", "True", "(2, 3)", &[1, 4, 2, 5, 3, 0xff])).unwrap().0;
        assert_eq!((columns.shape, columns.values), (vec![2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, -1.0]));
    }

    #[test]
    fn arrays_that_hold_no_numbers_say_what_to_do() {
        for (bytes, want) in [
            (npy("<c16", "False", "(1,)", &[0; 16]), "type '<c16' is not read, expected floats of 32 or 64 bits"),
            (npy("<f2", "False", "(1,)", &[0; 2]), "convert with .astype(numpy.float64)"),
            (npy("|O", "False", "(1,)", &[0; 8]), "type '|O' is not read"),
            (npy("<U3", "False", "(1,)", &[0; 12]), "type '<U3' is not read"),
            (npy("<f8", "False", "(2, 3)", &[0; 47]), "'<f8' numbers of shape [2, 3] cannot be read"),
            (npy("|b1", "False", "(1,)", &[7]), "'|b1' numbers of shape [1] cannot be read"),
            (npy("<f8", "False", "(-1,)", &[0; 8]), "not a .npy array (dimension cannot be negative)"),
            (b"rubbish".to_vec(), "not a .npy array (magic not found for NPY file); write it with numpy.save"),
        ] {
            let line = read_npy(&bytes).unwrap_err();
            assert!(line.contains(want) && !line.contains('\n'), "{line}\nexpected {want}");
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

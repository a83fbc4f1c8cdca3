//! NumPy's .npy: one array.

use std::io::{self, Read};

use super::Array;

/// Longer headers of arrays are refused; NumPy's own have about a hundred bytes, and it reads none beyond this size.
const MAX_HEADER: u64 = 10_000;

/// An array of `size` bytes, and whether it is stored as unsigned bytes; or why it is refused, if it could be unpacked at all.
pub(super) fn read(file: &mut impl Read, size: u64) -> io::Result<Result<(Array, bool), String>> {
    let (header, length) = match read_header(file)? {
        Ok(header) => header,
        Err(why) => return Ok(Err(why)),
    };
    let (dtype, shape) = (header.dtype().descr(), header.shape().to_vec());
    let kind = dtype.trim_matches('\'').trim_start_matches(['<', '>', '|', '=']);
    let width = match kind {
        "f8" | "i8" | "u8" => 8,
        "f4" | "i4" | "u4" => 4,
        "i2" | "u2" => 2,
        "i1" | "u1" | "b1" => 1,
        _ => {
            return Ok(Err(format!(
                "type {dtype} is not read, expected floats of 32 or 64 bits, integers or booleans; convert with .astype(numpy.float64)"
            )));
        }
    };
    let refused = |got: String, want: String| {
        Ok(Err(format!(
            "the archive has {got} bytes of it, expected {want}: {dtype} numbers of shape {shape:?}; write it again with numpy.savez"
        )))
    };
    let Some(want) = shape.iter().try_fold(width, |product: u64, &size| product.checked_mul(size)) else {
        return refused(size.saturating_sub(length).to_string(), "more than 2^64".to_owned());
    };
    if length.checked_add(want) != Some(size) {
        return refused(size.saturating_sub(length).to_string(), want.to_string());
    }
    // The archive's size is a promise as well.
    let mut bytes = Vec::new();
    file.take(want.saturating_add(1)).read_to_end(&mut bytes)?;
    let got = bytes.len() as u64;
    if got != want {
        return refused(if got > want { format!("more than {want}") } else { got.to_string() }, want.to_string());
    }
    let (order, npy) = (header.order(), npyz::NpyFile::with_header(header, bytes.as_slice()));
    macro_rules! read {
        ($type:ty) => {
            npy.into_vec::<$type>().map(|values| values.into_iter().map(|value| value as f64).collect())
        };
    }
    let values: io::Result<Vec<f64>> = match kind {
        "f8" => npy.into_vec::<f64>(),
        "f4" => read!(f32),
        "i8" => read!(i64),
        "i4" => read!(i32),
        "i2" => read!(i16),
        "i1" => read!(i8),
        "u8" => read!(u64),
        "u4" => read!(u32),
        "u2" => read!(u16),
        "u1" => read!(u8),
        _ => npy.into_vec::<bool>().map(|values| values.into_iter().map(f64::from).collect()),
    };
    let shape: Vec<usize> = shape.iter().map(|&size| size as usize).collect();
    Ok(match values {
        Err(error) => {
            Err(format!("{dtype} numbers of shape {shape:?} cannot be read ({error}); write it again with numpy.savez"))
        }
        Ok(values) if order == npyz::Order::Fortran => Ok((Array { values: from_fortran(&shape, &values), shape }, kind == "u1")),
        Ok(values) => Ok((Array { shape, values }, kind == "u1")),
    })
}

/// The header of an array, and its bytes.
fn read_header(file: &mut impl Read) -> io::Result<Result<(npyz::NpyHeader, u64), String>> {
    let mut bytes = Vec::new();
    file.take(12).read_to_end(&mut bytes)?;
    // The magic string, two numbers of the version, and the length of what follows, of 16 bits in version 1 and of 32 later.
    let length = match bytes[..] {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => 10 + u64::from(u16::from_le_bytes([a, b])),
        [0x93, b'N', b'U', b'M', b'P', b'Y', _, _, a, b, c, d] => 12 + u64::from(u32::from_le_bytes([a, b, c, d])),
        _ => 0,
    };
    if length > MAX_HEADER {
        return Ok(Err(format!(
            "not a .npy array (a header of {length} bytes, expected at most {MAX_HEADER}); write it with numpy.save"
        )));
    }
    file.take(length.saturating_sub(12)).read_to_end(&mut bytes)?;
    Ok(npyz::NpyHeader::from_reader(bytes.as_slice()).map(|header| (header, length)).map_err(|error| {
        format!("not a .npy array ({}); write it with numpy.save", error.to_string().lines().next().unwrap_or_default())
    }))
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A .npy file of version 1.
    pub(in crate::data::npz) fn npy(dtype: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{dtype}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
    }

    fn array(mut npy: &[u8]) -> Result<Array, String> {
        let size = npy.len() as u64;
        read(&mut npy, size).unwrap().map(|(array, _)| array)
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
            assert_eq!(array(&npy(dtype, "False", "(2,)", &data)).unwrap().values, [1.0, 0.0], "{dtype}");
        }
        let columns = array(&npy("|i1", "True", "(2, 3)", &[1, 4, 2, 5, 3, 0xff])).unwrap();
        assert_eq!((columns.shape, columns.values), (vec![2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, -1.0]));
    }

    #[test]
    fn arrays_that_hold_no_numbers_say_what_to_do() {
        for (bytes, want) in [
            (npy("<c16", "False", "(1,)", &[0; 16]), "type '<c16' is not read, expected floats of 32 or 64 bits"),
            (npy("<f2", "False", "(1,)", &[0; 2]), "convert with .astype(numpy.float64)"),
            (npy("|O", "False", "(1,)", &[0; 8]), "type '|O' is not read"),
            (npy("<U3", "False", "(1,)", &[0; 12]), "type '<U3' is not read"),
            (
                npy("<f8", "False", "(2, 3)", &[0; 47]),
                "has 47 bytes of it, expected 48: '<f8' numbers of shape [2, 3]; write it again",
            ),
            (npy("<f8", "False", "(2, 3)", &[0; 49]), "has 49 bytes of it, expected 48"),
            (npy("<f4", "False", "(1099511627776, 4)", &[0; 8]), "has 8 bytes of it, expected 17592186044416: '<f4' numbers"),
            (npy("<f8", "False", "(4294967296, 4294967296)", &[0; 8]), "has 8 bytes of it, expected more than 2^64"),
            (npy("<f8", "False", "(0, 3)", &[0; 8]), "has 8 bytes of it, expected 0"),
            (npy(&"x".repeat(10_000), "False", "(1,)", &[0; 8]), "bytes, expected at most 10000"),
            (npy(&"x".repeat(10_000), "False", "(1,)", &[0; 8])[..9_000].to_vec(), "bytes, expected at most 10000"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{".to_vec(), "a header of 4294967307 bytes, expected at most 10000"),
            (npy("<f8", "False", "(1,)", &[0; 8])[..40].to_vec(), "not a .npy array (failed to fill whole buffer)"),
            (npy("<f8", "False", &"(".repeat(9_000), &[0; 8]), "not a .npy array"),
            (npy("|b1", "False", "(1,)", &[7]), "'|b1' numbers of shape [1] cannot be read"),
            (npy("<f8", "False", "(-1,)", &[0; 8]), "not a .npy array (dimension cannot be negative)"),
            (b"rubbish".to_vec(), "not a .npy array (magic not found for NPY file); write it with numpy.save"),
        ] {
            let line = array(&bytes).unwrap_err();
            assert!(line.contains(want) && !line.contains('\n'), "{line}\nexpected {want}");
        }
    }
}

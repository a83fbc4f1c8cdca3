//! Descriptions of tensors for the hardware that copies tiles of them (TMA, compute capability 9.0 and newer).

use std::mem::MaybeUninit;
use std::sync::Arc;

use cudarc::driver::sys::{
    CUtensorMap, CUtensorMapFloatOOBfill, CUtensorMapInterleave, CUtensorMapL2promotion, CUtensorMapSwizzle,
    cuTensorMapEncodeTiled,
};

use crate::memory::Memory;
use crate::{Element, Error, Result, Slice};

/// How the rows of a tile are permuted in shared memory, so that reads of a column meet different banks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swizzle {
    /// As they are.
    None,
    /// Within 32 bytes.
    Bytes32,
    /// Within 64 bytes.
    Bytes64,
    /// Within 128 bytes.
    Bytes128,
}

impl Swizzle {
    /// The most bytes that a row of a tile may have.
    fn row_bytes(self) -> Option<u64> {
        match self {
            Swizzle::None => None,
            Swizzle::Bytes32 => Some(32),
            Swizzle::Bytes64 => Some(64),
            Swizzle::Bytes128 => Some(128),
        }
    }

    fn raw(self) -> CUtensorMapSwizzle {
        match self {
            Swizzle::None => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_NONE,
            Swizzle::Bytes32 => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_32B,
            Swizzle::Bytes64 => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_64B,
            Swizzle::Bytes128 => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
        }
    }
}

/// A tensor in device memory and the tiles that it is copied in. All lists go from the fastest dimension to the slowest: for a
/// matrix, columns first.
#[derive(Clone, Copy, Debug)]
pub struct TensorLayout<'a> {
    /// Elements along each dimension; 1 to 5 of them.
    pub sizes: &'a [u64],
    /// Elements from one index to the next along each dimension but the first, whose elements lie side by side.
    pub strides: &'a [u64],
    /// Elements of a tile along each dimension.
    pub tile: &'a [u32],
    /// How a tile lies in shared memory.
    pub swizzle: Swizzle,
}

/// A tensor map: what a kernel takes to copy tiles of one tensor. Elements beyond the tensor's edges read as zero.
#[derive(Clone, Debug)]
pub struct TensorMap {
    raw: CUtensorMap,
    memory: Arc<Memory>,
}

const MOST_DIMENSIONS: u64 = 5;
const MOST_ELEMENTS: u64 = 1 << 32;
const MOST_STRIDE_BYTES: u64 = (1 << 40) - 1;
const MOST_TILE: u64 = 256;
const ALIGNMENT: u64 = 16;

impl TensorMap {
    /// The map of a tensor within `elements`.
    ///
    /// # Errors
    /// [`Error::TensorMap`] for a layout that the hardware cannot follow or that reaches beyond `elements`,
    /// [`Error::Driver`].
    pub fn new<T: Element>(elements: Slice<'_, T>, layout: TensorLayout<'_>) -> Result<TensorMap> {
        let byte_strides = check(&layout, size_of::<T>() as u64, elements.pointer(), elements.len() as u64)?;
        // Every element, one after the other, along all dimensions.
        let steps = vec![1_u32; layout.sizes.len()];
        let stream = elements.memory().stream();
        let mut raw = MaybeUninit::<CUtensorMap>::zeroed();
        // SAFETY: `check` made the lists as long as the rank that is passed (strides one shorter) and the tensor part of
        // `elements`; the map is where the driver may write it, aligned by its type.
        let status = unsafe {
            cuTensorMapEncodeTiled(
                raw.as_mut_ptr(),
                T::TENSOR_TYPE,
                layout.sizes.len() as u32,
                elements.pointer() as *mut _,
                layout.sizes.as_ptr(),
                byte_strides.as_ptr(),
                layout.tile.as_ptr(),
                steps.as_ptr(),
                CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                layout.swizzle.raw(),
                CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
        };
        status.result().map_err(Error::driver(stream.ordinal(), "encode a tensor map"))?;
        // SAFETY: all zeros at first, and since then whatever the driver has written: an array of integers either way.
        Ok(TensorMap { raw: unsafe { raw.assume_init() }, memory: Arc::clone(elements.memory()) })
    }

    pub(crate) fn parts(&self) -> (CUtensorMap, Arc<Memory>) {
        (self.raw, Arc::clone(&self.memory))
    }
}

/// The strides in bytes, if the hardware can follow the layout and it stays within `len` elements at `address`.
fn check(layout: &TensorLayout<'_>, element_bytes: u64, address: u64, len: u64) -> Result<Vec<u64>> {
    let TensorLayout { sizes, strides, tile, swizzle } = *layout;
    let rank = sizes.len() as u64;
    within("the number of dimensions", rank, 1, MOST_DIMENSIONS)?;
    within("the number of strides", strides.len() as u64, rank - 1, rank - 1)?;
    within("the number of tile sizes", tile.len() as u64, rank, rank)?;
    multiple("the address", address, ALIGNMENT)?;
    for (i, (&size, &tile)) in sizes.iter().zip(tile).enumerate() {
        within(&format!("sizes[{i}]"), size, 1, MOST_ELEMENTS)?;
        within(&format!("tile[{i}]"), tile.into(), 1, MOST_TILE)?;
    }
    let row_bytes = u64::from(tile[0]) * element_bytes;
    multiple("a row of the tile in bytes", row_bytes, ALIGNMENT)?;
    if let Some(most) = swizzle.row_bytes() {
        within("a row of the tile in bytes, under this swizzle", row_bytes, 1, most)?;
    }
    let byte_strides: Vec<u64> = strides.iter().map(|stride| stride.saturating_mul(element_bytes)).collect();
    for (i, &bytes) in byte_strides.iter().enumerate() {
        within(&format!("strides[{i}] in bytes"), bytes, 1, MOST_STRIDE_BYTES)?;
        multiple(&format!("strides[{i}] in bytes"), bytes, ALIGNMENT)?;
    }
    // The index of the last element, plus one.
    let reach = |(&size, &stride): (&u64, &u64)| (size - 1).saturating_mul(stride);
    let needed = sizes[1..].iter().zip(strides).map(reach).fold(sizes[0], u64::saturating_add);
    within("the number of elements that the layout reaches", needed, 1, len)?;
    Ok(byte_strides)
}

fn within(what: &str, got: u64, least: u64, most: u64) -> Result<()> {
    if (least..=most).contains(&got) {
        return Ok(());
    }
    let expected = if least >= most { most.to_string() } else { format!("{least} to {most}") };
    Err(Error::TensorMap { what: what.to_owned(), got, expected })
}

fn multiple(what: &str, got: u64, of: u64) -> Result<()> {
    if got.is_multiple_of(of) {
        Ok(())
    } else {
        Err(Error::TensorMap { what: what.to_owned(), got, expected: format!("a multiple of {of}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Buffer;
    use crate::context::tests::device_or_skip;

    const MATRIX: TensorLayout = TensorLayout { sizes: &[100, 64], strides: &[104], tile: &[32, 64], swizzle: Swizzle::Bytes128 };

    #[test]
    fn a_layout_that_the_hardware_can_follow_is_accepted() {
        assert_eq!(check(&MATRIX, 4, 1 << 20, 104 * 63 + 100).unwrap(), [416]);
        let vector = TensorLayout { sizes: &[1], strides: &[], tile: &[4], swizzle: Swizzle::None };
        assert!(check(&vector, 4, 0, 1).unwrap().is_empty());
        let five = TensorLayout { sizes: &[4; 5], strides: &[4, 16, 64, 256], tile: &[4; 5], swizzle: Swizzle::Bytes32 };
        assert_eq!(check(&five, 8, 16, 1024).unwrap(), [32, 128, 512, 2048]);
    }

    #[test]
    fn every_limit_is_refused_by_name() {
        let layout = MATRIX;
        let len = 104 * 63 + 100;
        for (layout, element_bytes, address, len, says) in [
            (TensorLayout { sizes: &[], ..layout }, 4, 0, len, "the number of dimensions is 0, expected 1 to 5"),
            (TensorLayout { sizes: &[1; 6], ..layout }, 4, 0, len, "the number of dimensions is 6, expected 1 to 5"),
            (TensorLayout { strides: &[], ..layout }, 4, 0, len, "the number of strides is 0, expected 1"),
            (TensorLayout { tile: &[32], ..layout }, 4, 0, len, "the number of tile sizes is 1, expected 2"),
            (layout, 4, 8, len, "the address is 8, expected a multiple of 16"),
            (TensorLayout { sizes: &[0, 64], ..layout }, 4, 0, len, "sizes[0] is 0, expected 1 to 4294967296"),
            (TensorLayout { tile: &[32, 257], ..layout }, 4, 0, len, "tile[1] is 257, expected 1 to 256"),
            (TensorLayout { tile: &[3, 64], ..layout }, 4, 0, len, "a row of the tile in bytes is 12, expected a multiple of 16"),
            (layout, 8, 0, len, "a row of the tile in bytes, under this swizzle is 256, expected 1 to 128"),
            (TensorLayout { strides: &[101], ..layout }, 4, 0, len, "strides[0] in bytes is 404, expected a multiple of 16"),
            (TensorLayout { strides: &[0], ..layout }, 4, 0, len, "strides[0] in bytes is 0, expected 1 to 1099511627775"),
            (layout, 4, 0, len - 1, "the number of elements that the layout reaches is 6652, expected 1 to 6651"),
            (layout, 4, 0, 0, "the number of elements that the layout reaches is 6652, expected 0"),
        ] {
            assert_eq!(check(&layout, element_bytes, address, len).unwrap_err().to_string(), format!("tensor map: {says}"));
        }
    }

    #[test]
    fn the_driver_takes_what_is_checked() {
        let Some(context) = device_or_skip() else {
            return;
        };
        let buffer = Buffer::<f32>::zeros(&context, 104 * 64).unwrap();
        TensorMap::new(buffer.as_slice(), MATRIX).unwrap();
        let beyond = TensorMap::new(buffer.slice(4, 104 * 63).unwrap(), MATRIX).unwrap_err();
        assert!(beyond.to_string().contains("that the layout reaches is 6652, expected 1 to 6552"), "{beyond}");
    }
}

//! Memory on a device, and views of it.

use std::alloc::Layout;
use std::any::type_name;
use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::sys::{CUdeviceptr, CUstream, CUtensorMapDataType};
use cudarc::driver::{DriverError, result};

use crate::memory::Memory;
use crate::{Context, Error, Result};

mod sealed {
    /// Keeps [`Element`](super::Element) closed and the driver binding's own traits out of the
    /// public interface.
    pub trait Sealed: cudarc::driver::DeviceRepr {
        /// How a tensor map names the type.
        const TENSOR_TYPE: super::CUtensorMapDataType;
    }
}

/// A type that device memory can hold: `f32`, `f64`, `i32`, `u32`, `u8`.
pub trait Element: bytemuck::Pod + sealed::Sealed {}

macro_rules! elements {
    ($($element:ty: $tensor_type:ident),+) => {
        $(impl sealed::Sealed for $element {
            const TENSOR_TYPE: CUtensorMapDataType = CUtensorMapDataType::$tensor_type;
        }
        impl Element for $element {})+
    };
}
elements!(
    f32: CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
    f64: CU_TENSOR_MAP_DATA_TYPE_FLOAT64,
    i32: CU_TENSOR_MAP_DATA_TYPE_INT32,
    u32: CU_TENSOR_MAP_DATA_TYPE_UINT32,
    u8: CU_TENSOR_MAP_DATA_TYPE_UINT8
);

/// Memory for `len` elements on one device.
///
/// Nothing moves between host and device, or between devices, unless a `copy_*` function is called;
/// each of them returns when the copy is done, after all work queued before it. Memory comes from the
/// device's pool and goes back to it, so that making a buffer is cheap after the first of its size.
#[derive(Debug)]
pub struct Buffer<T> {
    memory: Arc<Memory>,
    len: usize,
    elements: PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    /// `len` zeros on the device of `context`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::TooLarge`], [`Error::Recording`], [`Error::Driver`].
    pub fn zeros(context: &Context, len: usize) -> Result<Self> {
        let buffer = Self::allocate(context, len)?;
        buffer.memory.fill_with_zeros(size_of::<T>() * len.max(1))?;
        Ok(buffer)
    }

    /// A copy of `source` on the device of `context`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::TooLarge`], [`Error::Recording`], [`Error::Driver`].
    pub fn from_host(context: &Context, source: &[T]) -> Result<Self> {
        let mut buffer = Self::allocate(context, source.len())?;
        buffer.copy_from_host(source)?;
        Ok(buffer)
    }

    /// Scratch memory for `len` elements on the device of `context`: whatever bits were there before.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::TooLarge`], [`Error::Recording`], [`Error::Driver`].
    pub fn scratch(context: &Context, len: usize) -> Result<Self> {
        Self::allocate(context, len)
    }

    fn allocate(context: &Context, len: usize) -> Result<Self> {
        let element = type_name::<T>();
        // At least one element, since the driver does not allocate zero bytes.
        let bytes = Layout::array::<T>(len.max(1)).map_err(|_| Error::TooLarge { len, element })?.size();
        // Any bits are a value of a Pod type, so that memory need not be filled first.
        let memory = Memory::new(context.stream(), bytes)?.ok_or_else(|| {
            let (ordinal, memory_bytes) = (context.ordinal(), context.device().memory_bytes);
            Error::OutOfMemory { ordinal, len, element, bytes, memory_bytes }
        })?;
        Ok(Self { memory, len, elements: PhantomData })
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether work queued by `context` can take it: it was made there.
    pub fn belongs_to(&self, context: &Context) -> bool {
        Arc::ptr_eq(self.memory.stream(), context.stream())
    }

    /// A view of all elements.
    pub fn as_slice(&self) -> Slice<'_, T> {
        Slice { pointer: self.memory.pointer(), len: self.len, memory: &self.memory, elements: PhantomData }
    }

    /// A view of all elements that may write them.
    pub fn as_slice_mut(&mut self) -> SliceMut<'_, T> {
        SliceMut::new(self.as_slice())
    }

    /// A view of `len` elements from `offset`.
    ///
    /// # Errors
    /// [`Error::Range`].
    pub fn slice(&self, offset: usize, len: usize) -> Result<Slice<'_, T>> {
        self.as_slice().slice(offset, len)
    }

    /// A view of `len` elements from `offset` that may write them.
    ///
    /// # Errors
    /// [`Error::Range`].
    pub fn slice_mut(&mut self, offset: usize, len: usize) -> Result<SliceMut<'_, T>> {
        self.slice(offset, len).map(SliceMut::new)
    }

    /// Copies all elements to `destination`, which has the same length.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Driver`].
    pub fn copy_to_host(&self, destination: &mut [T]) -> Result<()> {
        self.as_slice().copy_to_host(destination)
    }

    /// Overwrites all elements with `source`, which has the same length.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Driver`].
    pub fn copy_from_host(&mut self, source: &[T]) -> Result<()> {
        self.as_slice_mut().copy_from_host(source)
    }
}

/// A borrowed range of a [`Buffer`]: what `&[T]` is to a vector.
#[derive(Clone, Copy, Debug)]
pub struct Slice<'a, T> {
    pointer: CUdeviceptr,
    len: usize,
    memory: &'a Arc<Memory>,
    elements: PhantomData<&'a [T]>,
}

impl<'a, T: Element> Slice<'a, T> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The part of this view that has `len` elements from `offset`.
    ///
    /// # Errors
    /// [`Error::Range`].
    pub fn slice(self, offset: usize, len: usize) -> Result<Self> {
        let within = self.len;
        match offset.checked_add(len) {
            Some(end) if end <= within => {
                let pointer = self.pointer + (offset * size_of::<T>()) as CUdeviceptr;
                Ok(Self { pointer, len, ..self })
            }
            _ => Err(Error::Range { offset, len, within }),
        }
    }

    /// Copies all elements to `destination`, which has the same length.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Driver`].
    pub fn copy_to_host(&self, destination: &mut [T]) -> Result<()> {
        self.copy("copy to the host", destination.len(), |stream| {
            // SAFETY: `copy` checked the lengths and made the device current; `pointer` covers
            // `len` live elements, any bits are a value of a Pod type, and `copy` waits while
            // `destination` is still borrowed.
            unsafe { result::memcpy_dtoh_async(destination, self.pointer, stream) }
        })
    }

    /// Checks the lengths, makes the device current, queues the copy and waits for it: the driver
    /// may go on with page-locked host memory after the call that queues the copy has returned.
    fn copy(&self, operation: &'static str, host: usize, queue: impl FnOnce(CUstream) -> Result<(), DriverError>) -> Result<()> {
        if host != self.len {
            return Err(Error::Length { operation, device: self.len, host });
        }
        if self.is_empty() {
            return Ok(());
        }
        self.memory.stream().queue_and_wait(operation, queue)
    }

    /// The address on the device.
    pub(crate) fn pointer(&self) -> CUdeviceptr {
        self.pointer
    }

    /// What the elements are in.
    pub(crate) fn memory(&self) -> &'a Arc<Memory> {
        self.memory
    }
}

/// A borrowed range of a [`Buffer`] that may be written: what `&mut [T]` is to a vector.
#[derive(Debug)]
pub struct SliceMut<'a, T> {
    slice: Slice<'a, T>,
    exclusive: PhantomData<&'a mut [T]>,
}

impl<'a, T: Element> SliceMut<'a, T> {
    /// Of a slice whose elements nothing else can reach for `'a`.
    fn new(slice: Slice<'a, T>) -> Self {
        Self { slice, exclusive: PhantomData }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.slice.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.slice.is_empty()
    }

    /// The same elements, to be read.
    pub fn as_slice(&self) -> Slice<'_, T> {
        self.slice
    }

    /// The same view for a shorter time.
    pub fn reborrow(&mut self) -> SliceMut<'_, T> {
        SliceMut::new(self.slice)
    }

    /// The part of this view that has `len` elements from `offset`.
    ///
    /// # Errors
    /// [`Error::Range`].
    pub fn slice_mut(&mut self, offset: usize, len: usize) -> Result<SliceMut<'_, T>> {
        self.slice.slice(offset, len).map(SliceMut::new)
    }

    /// The elements before `middle` and those from it on, as two views that can be written side by
    /// side.
    ///
    /// # Errors
    /// [`Error::Range`].
    pub fn split_at_mut(&mut self, middle: usize) -> Result<(SliceMut<'_, T>, SliceMut<'_, T>)> {
        let head = self.slice.slice(0, middle)?;
        let tail = self.slice.slice(middle, self.slice.len - middle)?;
        Ok((SliceMut::new(head), SliceMut::new(tail)))
    }

    /// Overwrites all elements with `source`, which has the same length.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Driver`].
    pub fn copy_from_host(&mut self, source: &[T]) -> Result<()> {
        let pointer = self.slice.pointer;
        self.slice.copy("copy from the host", source.len(), |stream| {
            // SAFETY: `copy` checked the lengths and made the device current; `pointer` covers
            // `len` live elements borrowed by nobody else, and `copy` waits while `source` is still
            // borrowed.
            unsafe { result::memcpy_htod_async(pointer, source, stream) }
        })
    }
}

#[cfg(test)]
mod tests;

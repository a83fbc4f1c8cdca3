//! Memory on a device, and views of it.

use std::alloc::Layout;
use std::any::type_name;
use std::marker::PhantomData;

use cudarc::driver::sys::{CUdeviceptr, CUresult};
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DriverError, result};

use crate::{Context, Error, Result};

mod sealed {
    /// Keeps [`Element`](super::Element) closed and the driver binding's own traits out of the
    /// public interface.
    pub trait Sealed: cudarc::driver::DeviceRepr + cudarc::driver::ValidAsZeroBits {}
}

/// A type that device memory can hold: `f32`, `f64`, `i32`, `u32`, `u8`.
pub trait Element: bytemuck::Pod + sealed::Sealed {}

macro_rules! elements {
    ($($element:ty),+) => {
        $(impl sealed::Sealed for $element {}
        impl Element for $element {})+
    };
}
elements!(f32, f64, i32, u32, u8);

/// Memory for `len` elements on one device.
///
/// Nothing moves between host and device, or between devices, unless a `copy_*` function is called;
/// each of them returns when the copy is done, after all work queued before it.
#[derive(Debug)]
pub struct Buffer<T> {
    /// At least one element, since the driver does not allocate zero bytes.
    memory: CudaSlice<T>,
    len: usize,
}

impl<T: Element> Buffer<T> {
    /// `len` zeros on the device of `context`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::TooLarge`], [`Error::Driver`].
    pub fn zeros(context: &Context, len: usize) -> Result<Self> {
        let mut buffer = Self::allocate(context, len)?;
        context
            .stream()
            .memset_zeros(&mut buffer.memory)
            .map_err(Error::driver(context.ordinal(), "fill a buffer with zeros"))?;
        Ok(buffer)
    }

    /// A copy of `source` on the device of `context`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::TooLarge`], [`Error::Driver`].
    pub fn from_host(context: &Context, source: &[T]) -> Result<Self> {
        let mut buffer = Self::allocate(context, source.len())?;
        buffer.copy_from_host(source)?;
        Ok(buffer)
    }

    fn allocate(context: &Context, len: usize) -> Result<Self> {
        let (ordinal, element) = (context.ordinal(), type_name::<T>());
        let allocated = len.max(1);
        let bytes = Layout::array::<T>(allocated).map_err(|_| Error::TooLarge { len, element })?.size();
        // SAFETY: `zeros` and `from_host`, the only callers, write all `len` elements before a
        // caller can read one.
        let memory = unsafe { context.stream().alloc(allocated) }.map_err(|error| match error {
            DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY) => {
                let memory_bytes = context.device().memory_bytes;
                Error::OutOfMemory { ordinal, len, element, bytes, memory_bytes }
            }
            other => Error::driver(ordinal, "allocate a buffer")(other),
        })?;
        Ok(Self { memory, len })
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A view of all elements.
    pub fn as_slice(&self) -> Slice<'_, T> {
        let stream = self.memory.stream();
        let (pointer, _) = self.memory.device_ptr(stream);
        Slice { pointer, len: self.len, stream, elements: PhantomData }
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
    stream: &'a CudaStream,
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
        self.copy("copy to the host", destination.len(), || {
            // SAFETY: `copy` checked the lengths and made the device current; `pointer` covers
            // `len` live elements, any bits are a value of a Pod type, and `copy` waits while
            // `destination` is still borrowed.
            unsafe { result::memcpy_dtoh_async(destination, self.pointer, self.stream.cu_stream()) }
        })
    }

    /// Checks the lengths, makes the device current, queues the copy and waits for it: the driver
    /// may go on with page-locked host memory after the call that queues the copy has returned.
    fn copy(
        &self,
        operation: &'static str,
        host: usize,
        queue: impl FnOnce() -> std::result::Result<(), DriverError>,
    ) -> Result<()> {
        if host != self.len {
            return Err(Error::Length { operation, device: self.len, host });
        }
        if self.is_empty() {
            return Ok(());
        }
        let context = self.stream.context();
        context
            .bind_to_thread()
            .and_then(|()| queue())
            .and_then(|()| self.stream.synchronize())
            .map_err(Error::driver(context.ordinal(), operation))
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
        let Slice { pointer, stream, .. } = self.slice;
        self.slice.copy("copy from the host", source.len(), || {
            // SAFETY: `copy` checked the lengths and made the device current; `pointer` covers
            // `len` live elements borrowed by nobody else, and `copy` waits while `source` is still
            // borrowed.
            unsafe { result::memcpy_htod_async(pointer, source, stream.cu_stream()) }
        })
    }
}

#[cfg(test)]
mod tests;

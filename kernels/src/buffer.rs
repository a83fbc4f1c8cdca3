use std::marker::PhantomData;

use crate::{Context, Result};

#[cfg(feature = "cuda")]
mod element {
    /// What a buffer may hold: plain numbers that both the host and a card understand.
    pub trait Element: handgrad_cuda::Element {}
    impl<T: handgrad_cuda::Element> Element for T {}
}

#[cfg(not(feature = "cuda"))]
mod element {
    /// What a buffer may hold: plain numbers.
    pub trait Element: bytemuck::Pod + Send + Sync {}
    impl Element for f32 {}
    impl Element for f64 {}
    impl Element for u32 {}
    impl Element for i32 {}
    impl Element for u8 {}
}

pub use element::Element;

/// 64 bytes on a 64-byte boundary: one cache line, one AVX-512 vector.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Chunk([u8; 64]);

impl Chunk {
    pub(crate) const ZERO: Chunk = Chunk([0; 64]);
}

/// Elements on the host, aligned to 64 bytes, or on a card. Nothing travels between devices implicitly.
#[derive(Debug)]
pub struct Buffer<T: Element>(Storage<T>);

#[derive(Debug)]
enum Storage<T: Element> {
    Host {
        chunks: Vec<Chunk>,
        len: usize,
        element: PhantomData<T>,
    },
    #[cfg(feature = "cuda")]
    Cuda(handgrad_cuda::Buffer<T>),
}

impl<T: Element> Buffer<T> {
    /// `len` zeros on the context's device.
    ///
    /// # Errors
    /// If the device has no room for them.
    pub fn zeros(cx: &Context, len: usize) -> Result<Buffer<T>> {
        #[cfg(feature = "cuda")]
        if let Some(cuda) = cx.cuda() {
            return Ok(Buffer(Storage::Cuda(handgrad_cuda::Buffer::zeros(cuda, len)?)));
        }
        #[cfg(not(feature = "cuda"))]
        let _ = cx;
        Ok(Buffer::host_zeros(len))
    }

    /// A copy of `values` on the context's device.
    ///
    /// # Errors
    /// If the device has no room for it or the transfer fails.
    pub fn from_slice(cx: &Context, values: &[T]) -> Result<Buffer<T>> {
        #[cfg(feature = "cuda")]
        if let Some(cuda) = cx.cuda() {
            return Ok(Buffer(Storage::Cuda(handgrad_cuda::Buffer::from_host(cuda, values)?)));
        }
        #[cfg(not(feature = "cuda"))]
        let _ = cx;
        let mut buffer = Buffer::host_zeros(values.len());
        if let Some(slice) = buffer.as_mut_slice() {
            slice.copy_from_slice(values);
        }
        Ok(buffer)
    }

    fn host_zeros(len: usize) -> Buffer<T> {
        let chunks = vec![Chunk::ZERO; (len * size_of::<T>()).div_ceil(size_of::<Chunk>())];
        Buffer(Storage::Host { chunks, len, element: PhantomData })
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.0 {
            Storage::Host { len, .. } => *len,
            #[cfg(feature = "cuda")]
            Storage::Cuda(buffer) => buffer.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements, if they are on the host.
    pub fn as_slice(&self) -> Option<&[T]> {
        match &self.0 {
            Storage::Host { chunks, len, .. } => Some(&bytemuck::cast_slice(chunks)[..*len]),
            #[cfg(feature = "cuda")]
            Storage::Cuda(_) => None,
        }
    }

    /// The elements to write to, if they are on the host.
    pub fn as_mut_slice(&mut self) -> Option<&mut [T]> {
        match &mut self.0 {
            Storage::Host { chunks, len, .. } => Some(&mut bytemuck::cast_slice_mut(chunks)[..*len]),
            #[cfg(feature = "cuda")]
            Storage::Cuda(_) => None,
        }
    }

    /// A copy on the host.
    ///
    /// # Errors
    /// If the transfer from a card fails.
    pub fn to_vec(&self) -> Result<Vec<T>> {
        match &self.0 {
            Storage::Host { chunks, len, .. } => Ok(bytemuck::cast_slice(chunks)[..*len].to_vec()),
            #[cfg(feature = "cuda")]
            Storage::Cuda(buffer) => {
                let mut values = vec![T::zeroed(); buffer.len()];
                buffer.copy_to_host(&mut values)?;
                Ok(values)
            }
        }
    }

    /// All elements, to read, wherever they are.
    pub fn view(&self) -> View<'_, T> {
        match &self.0 {
            Storage::Host { chunks, len, .. } => View::Host(&bytemuck::cast_slice(chunks)[..*len]),
            #[cfg(feature = "cuda")]
            Storage::Cuda(buffer) => View::Cuda(buffer.as_slice()),
        }
    }

    /// All elements, to write, wherever they are.
    pub fn view_mut(&mut self) -> ViewMut<'_, T> {
        match &mut self.0 {
            Storage::Host { chunks, len, .. } => ViewMut::Host(&mut bytemuck::cast_slice_mut(chunks)[..*len]),
            #[cfg(feature = "cuda")]
            Storage::Cuda(buffer) => ViewMut::Cuda(buffer.as_slice_mut()),
        }
    }
}

/// Elements borrowed to read.
#[derive(Clone, Copy, Debug)]
pub enum View<'a, T: Element> {
    /// On the host.
    Host(&'a [T]),
    /// On a card.
    #[cfg(feature = "cuda")]
    Cuda(handgrad_cuda::Slice<'a, T>),
}

/// Elements borrowed to write.
#[derive(Debug)]
pub enum ViewMut<'a, T: Element> {
    /// On the host.
    Host(&'a mut [T]),
    /// On a card.
    #[cfg(feature = "cuda")]
    Cuda(handgrad_cuda::SliceMut<'a, T>),
}

impl<T: Element> View<'_, T> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            View::Host(slice) => slice.len(),
            #[cfg(feature = "cuda")]
            View::Cuda(slice) => slice.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Element> ViewMut<'_, T> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            ViewMut::Host(slice) => slice.len(),
            #[cfg(feature = "cuda")]
            ViewMut::Cuda(slice) => slice.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a, T: Element, S: AsRef<[T]> + ?Sized> From<&'a S> for View<'a, T> {
    fn from(slice: &'a S) -> Self {
        View::Host(slice.as_ref())
    }
}

impl<'a, T: Element, S: AsMut<[T]> + ?Sized> From<&'a mut S> for ViewMut<'a, T> {
    fn from(slice: &'a mut S) -> Self {
        ViewMut::Host(slice.as_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_buffers_are_aligned_and_sized() {
        let cx = Context::cpu().unwrap();
        for len in [0, 1, 15, 16, 17, 1000] {
            let values: Vec<f32> = (0..len).map(|i| i as f32 + 0.5).collect();
            let mut buffer = Buffer::from_slice(&cx, &values).unwrap();
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.is_empty(), len == 0);
            assert_eq!(buffer.to_vec().unwrap(), values);
            assert_eq!(buffer.as_slice().unwrap().as_ptr() as usize % 64, 0);
            if let Some(last) = buffer.as_mut_slice().unwrap().last_mut() {
                *last = 7.0;
                assert_eq!(buffer.to_vec().unwrap()[len - 1], 7.0);
            }
            assert_eq!(Buffer::<f64>::zeros(&cx, len).unwrap().to_vec().unwrap(), vec![0.0; len]);
        }
    }
}

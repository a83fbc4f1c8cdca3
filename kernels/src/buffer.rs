use std::marker::PhantomData;

use crate::{Context, Error, Result};

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

    /// Whether kernels of the context can take them: they are on the host and it is the CPU, or it is the device's context that
    /// they were made with.
    pub fn is_on(&self, cx: &Context) -> bool {
        match &self.0 {
            Storage::Host { .. } => cx.device() == crate::Device::Cpu,
            #[cfg(feature = "cuda")]
            Storage::Cuda(buffer) => cx.cuda().is_some_and(|cuda| buffer.belongs_to(cuda)),
        }
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
        self.view().to_vec()
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

impl<'a, T: Element> View<'a, T> {
    /// `len` elements from `offset` on.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn part(self, offset: usize, len: usize) -> Result<View<'a, T>> {
        match self {
            View::Host(slice) => {
                let part = offset.checked_add(len).and_then(|end| slice.get(offset..end));
                part.map(View::Host).ok_or_else(|| out_of_range(offset, len, slice.len()))
            }
            #[cfg(feature = "cuda")]
            View::Cuda(slice) => Ok(View::Cuda(slice.slice(offset, len)?)),
        }
    }

    /// The elements, if they are on the host; `op` and `argument` say in the error who needs them there.
    ///
    /// # Errors
    /// If they are on a card.
    pub fn on_host(self, op: &'static str, argument: &'static str) -> Result<&'a [T]> {
        crate::context::host(op, argument, self)
    }

    /// A copy on the host.
    ///
    /// # Errors
    /// If the transfer from a card fails.
    pub fn to_vec(self) -> Result<Vec<T>> {
        match self {
            View::Host(slice) => Ok(slice.to_vec()),
            #[cfg(feature = "cuda")]
            View::Cuda(slice) => {
                let mut values = vec![T::zeroed(); slice.len()];
                slice.copy_to_host(&mut values)?;
                Ok(values)
            }
        }
    }

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
    /// The same elements, to read.
    pub fn view(&self) -> View<'_, T> {
        match self {
            ViewMut::Host(slice) => View::Host(slice),
            #[cfg(feature = "cuda")]
            ViewMut::Cuda(slice) => View::Cuda(slice.as_slice()),
        }
    }

    /// The same elements for a shorter time.
    pub fn reborrow(&mut self) -> ViewMut<'_, T> {
        match self {
            ViewMut::Host(slice) => ViewMut::Host(slice),
            #[cfg(feature = "cuda")]
            ViewMut::Cuda(slice) => ViewMut::Cuda(slice.reborrow()),
        }
    }

    /// `len` elements from `offset` on.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn part(&mut self, offset: usize, len: usize) -> Result<ViewMut<'_, T>> {
        match self {
            ViewMut::Host(slice) => {
                let all = slice.len();
                let part = offset.checked_add(len).and_then(|end| slice.get_mut(offset..end));
                part.map(ViewMut::Host).ok_or_else(|| out_of_range(offset, len, all))
            }
            #[cfg(feature = "cuda")]
            ViewMut::Cuda(slice) => Ok(ViewMut::Cuda(slice.slice_mut(offset, len)?)),
        }
    }

    /// The elements before `middle` and those from it on.
    ///
    /// # Errors
    /// If there are fewer than `middle`.
    pub fn split_at(&mut self, middle: usize) -> Result<(ViewMut<'_, T>, ViewMut<'_, T>)> {
        match self {
            ViewMut::Host(slice) => {
                let all = slice.len();
                let halves = slice.split_at_mut_checked(middle).ok_or_else(|| out_of_range(0, middle, all))?;
                Ok((ViewMut::Host(halves.0), ViewMut::Host(halves.1)))
            }
            #[cfg(feature = "cuda")]
            ViewMut::Cuda(slice) => {
                let (before, after) = slice.split_at_mut(middle)?;
                Ok((ViewMut::Cuda(before), ViewMut::Cuda(after)))
            }
        }
    }

    /// As [`View::on_host`], to write to.
    ///
    /// # Errors
    /// If they are on a card.
    pub fn on_host(&mut self, op: &'static str, argument: &'static str) -> Result<&mut [T]> {
        crate::context::host_mut(op, argument, self.reborrow())
    }

    /// Overwrites all elements with those of the host, as many.
    ///
    /// # Errors
    /// If the lengths differ or the transfer to a card fails.
    pub fn copy_from_host(&mut self, values: &[T]) -> Result<()> {
        crate::error::exact("copy from the host", "values", values.len(), self.len(), "as many as the view")?;
        match self {
            ViewMut::Host(slice) => slice.copy_from_slice(values),
            #[cfg(feature = "cuda")]
            ViewMut::Cuda(slice) => slice.copy_from_host(values)?,
        }
        Ok(())
    }

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

fn out_of_range(offset: usize, len: usize, within: usize) -> Error {
    let expected = format!("at most the {within} elements of the view");
    Error::Shape { op: "part of a view", what: "its end", got: offset.saturating_add(len), expected }
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
    use crate::testing::contexts;

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

    #[test]
    fn buffers_are_where_they_were_made() {
        let host = Context::cpu().unwrap();
        for cx in contexts() {
            let (here, there) = (Buffer::<f32>::zeros(&host, 0).unwrap(), Buffer::<f32>::zeros(&cx, 3).unwrap());
            let is_cpu = cx.device() == crate::Device::Cpu;
            assert_eq!([here.is_on(&host), here.is_on(&cx), there.is_on(&host), there.is_on(&cx)], [true, is_cpu, is_cpu, true]);
            #[cfg(feature = "cuda")]
            if let Some(other) = cx.cuda().map(|cuda| Context::on_cuda(cuda.fork().unwrap()).unwrap()) {
                assert!(!there.is_on(&other));
            }
        }
    }

    #[test]
    fn parts_of_views_are_those_of_slices_on_every_device() {
        for cx in contexts() {
            let mut buffer = Buffer::from_slice(&cx, &[0u32, 1, 2, 3, 4]).unwrap();
            assert_eq!(buffer.view().part(1, 3).unwrap().part(1, 2).unwrap().to_vec().unwrap(), [2, 3]);
            assert!(buffer.view().part(5, 0).unwrap().is_empty());
            let mut whole = buffer.view_mut();
            let (mut before, mut after) = whole.split_at(2).unwrap();
            before.copy_from_host(&[10, 11]).unwrap();
            after.part(1, 1).unwrap().copy_from_host(&[13]).unwrap();
            assert_eq!((after.view().to_vec().unwrap(), after.reborrow().len()), (vec![2, 13, 4], 3));
            let error = whole.copy_from_host(&[1]).unwrap_err().to_string();
            assert!(error.contains("`values` has 1 elements, expected 5"), "{error}");
            assert_eq!(buffer.to_vec().unwrap(), [10, 11, 2, 13, 4]);
            for (offset, len) in [(5, 1), (0, 6), (usize::MAX, 2)] {
                assert!(buffer.view().part(offset, len).is_err() && buffer.view_mut().part(offset, len).is_err());
            }
            assert!(buffer.view_mut().split_at(6).is_err());
            assert_eq!(buffer.view().on_host("op", "x").is_ok(), cx.device() == crate::Device::Cpu);
            assert_eq!(buffer.view_mut().on_host("op", "x").is_ok(), cx.device() == crate::Device::Cpu);
        }
    }
}

//! Queuing a kernel, with every check that the host can make.

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::sys::{
    self, CUdevice_attribute, CUlaunchAttribute, CUlaunchAttributeID, CUlaunchAttributeValue,
    CUlaunchAttributeValue_union__bindgen_ty_1 as ClusterSize, CUlaunchConfig, CUtensorMap,
};
use cudarc::driver::{CudaContext, DriverError};

use crate::memory::Memory;
use crate::stream::Needed;
use crate::{Context, Element, Error, Kernel, Result, Slice, SliceMut, TensorMap};

/// What a device can launch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    threads_per_block: usize,
    block: [usize; 3],
    grid: [usize; 3],
    shared_bytes: usize,
}

impl Limits {
    pub(crate) fn of(context: &CudaContext) -> Result<Limits, DriverError> {
        let get = |attribute| context.attribute(attribute).map(|value| value.max(0) as usize);
        use CUdevice_attribute as A;
        Ok(Limits {
            threads_per_block: get(A::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
            block: [
                get(A::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X)?,
                get(A::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y)?,
                get(A::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z)?,
            ],
            grid: [
                get(A::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X)?,
                get(A::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y)?,
                get(A::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z)?,
            ],
            shared_bytes: get(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
        })
    }
}

impl Limits {
    pub(crate) fn shared_bytes(&self) -> usize {
        self.shared_bytes
    }
}

/// Blocks of a cluster that every device with clusters runs.
pub const MOST_OF_CLUSTER: usize = 8;

/// A number that a kernel can take by value: an [`Element`], or a 64-bit size.
pub trait Value: bytemuck::Pod {}
impl<T: Element> Value for T {}
impl Value for u64 {}

/// A launch being put together. Arguments are given in the order of the kernel's parameters.
///
/// ```no_run
/// # fn main() -> handgrad_cuda::Result<()> {
/// # use handgrad_cuda::{Buffer, Context, Launch};
/// let context = Context::new(0)?;
/// let (x, mut y) = (Buffer::from_host(&context, &[1.0_f32; 1000])?, Buffer::<f32>::zeros(&context, 1000)?);
/// let launch = Launch::new(&context, "example", "copy_f32")?
///     .grid([4, 1, 1])
///     .block([256, 1, 1])
///     .read(x.as_slice())
///     .write(&mut y.as_slice_mut())
///     .value(1000_u32);
/// // SAFETY: `copy_f32` reads and writes the elements below its last argument, which both buffers have.
/// unsafe { launch.queue()? };
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a launch does nothing until it is queued"]
pub struct Launch<'a> {
    context: &'a Context,
    kernel: Arc<Kernel>,
    grid: [usize; 3],
    block: [usize; 3],
    cluster: [usize; 3],
    shared_bytes: usize,
    arguments: Vec<Argument>,
    memories: Vec<Arc<Memory>>,
    /// The first argument that belongs to another context.
    stranger: Option<usize>,
}

#[derive(Debug)]
enum Argument {
    /// A pointer or a number: its bytes and how many they are.
    Word([u8; 8], usize),
    /// On the heap, so that its address obeys its alignment.
    TensorMap(Box<CUtensorMap>),
}

impl Argument {
    fn size(&self) -> usize {
        match self {
            Argument::Word(_, size) => *size,
            Argument::TensorMap(_) => size_of::<CUtensorMap>(),
        }
    }

    fn pointer(&mut self) -> *mut c_void {
        match self {
            Argument::Word(bytes, _) => bytes.as_mut_ptr().cast(),
            Argument::TensorMap(map) => (&raw mut **map).cast(),
        }
    }
}

impl<'a> Launch<'a> {
    /// One block of one thread of kernel `name` of the device code `code`, without shared memory.
    ///
    /// # Errors
    /// As [`Context::kernel`].
    pub fn new(context: &'a Context, code: &str, name: &str) -> Result<Self> {
        Ok(Self {
            context,
            kernel: context.kernel(code, name)?,
            grid: [1; 3],
            block: [1; 3],
            cluster: [1; 3],
            shared_bytes: 0,
            arguments: Vec::new(),
            memories: Vec::new(),
            stranger: None,
        })
    }

    /// Blocks along x, y and z.
    pub fn grid(mut self, blocks: [usize; 3]) -> Self {
        self.grid = blocks;
        self
    }

    /// Threads of a block along x, y and z.
    pub fn block(mut self, threads: [usize; 3]) -> Self {
        self.block = threads;
        self
    }

    /// Blocks of a cluster along x, y and z, at most [`MOST_OF_CLUSTER`], of which the grid has whole ones: they run at once and
    /// reach each other's shared memory. From compute capability 9.0 on.
    pub fn cluster(mut self, blocks: [usize; 3]) -> Self {
        self.cluster = blocks;
        self
    }

    /// Dynamic shared memory of a block in bytes.
    pub fn shared_bytes(mut self, bytes: usize) -> Self {
        self.shared_bytes = bytes;
        self
    }

    /// A pointer to elements that the kernel only reads.
    pub fn read<T: Element>(self, elements: Slice<'_, T>) -> Self {
        let memory = Arc::clone(elements.memory());
        self.argument(word(elements.pointer()), Some(memory))
    }

    /// A pointer to elements that the kernel may write.
    pub fn write<T: Element>(self, elements: &mut SliceMut<'_, T>) -> Self {
        self.read(elements.as_slice())
    }

    /// A null pointer, for elements that are not there.
    pub fn null(self) -> Self {
        self.argument(word(0_u64), None)
    }

    /// A number.
    pub fn value<V: Value>(self, value: V) -> Self {
        self.argument(word(value), None)
    }

    /// A tensor map, by value.
    pub fn tensor_map(self, map: &TensorMap) -> Self {
        let (raw, memory) = map.parts();
        self.argument(Argument::TensorMap(Box::new(raw)), Some(memory))
    }

    fn argument(mut self, argument: Argument, memory: Option<Arc<Memory>>) -> Self {
        if let Some(memory) = memory {
            if !Arc::ptr_eq(memory.stream(), self.context.stream()) {
                self.stranger.get_or_insert(self.arguments.len());
            }
            self.memories.push(memory);
        }
        self.arguments.push(argument);
        self
    }

    /// Queues the kernel.
    ///
    /// # Errors
    /// [`Error::ArgumentCount`], [`Error::ArgumentSize`] and [`Error::OtherContext`] for arguments that the kernel does not take;
    /// [`Error::Launch`] for a grid, a block or shared memory that there cannot be; [`Error::Driver`]. Nothing is queued then.
    ///
    /// # Safety
    /// With these arguments the kernel must stay within the elements it was given, write none that it was given to read, and
    /// not take one type for another. Types, counts and sizes of arguments are the launcher's promise; the driver's own
    /// record of the kernel's parameters only catches some slips.
    pub unsafe fn queue(mut self) -> Result<()> {
        self.check()?;
        self.kernel.allow_shared(self.shared_bytes)?;
        let [grid, block, cluster] = [self.grid, self.block, self.cluster].map(|sizes| sizes.map(|size| size as u32));
        let mut pointers: Vec<*mut c_void> = self.arguments.iter_mut().map(Argument::pointer).collect();
        let clusters = CUlaunchAttributeValue { clusterDim: ClusterSize { x: cluster[0], y: cluster[1], z: cluster[2] } };
        let id = CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
        let mut attribute = CUlaunchAttribute { id, pad: [0; 4], value: clusters };

        let (kernel, memories) = (&self.kernel, self.memories);
        let kept: Needed = Arc::<Kernel>::clone(kernel);
        let needs = memories.into_iter().map(|memory| memory as Needed).chain([kept]);
        self.context.stream().queue("launch a kernel", needs, |stream| {
            let config = CUlaunchConfig {
                gridDimX: grid[0],
                gridDimY: grid[1],
                gridDimZ: grid[2],
                blockDimX: block[0],
                blockDimY: block[1],
                blockDimZ: block[2],
                sharedMemBytes: self.shared_bytes as u32,
                hStream: stream,
                attrs: &raw mut attribute,
                // A device without clusters refuses even those of one block.
                numAttrs: u32::from(cluster != [1; 3]),
            };
            // SAFETY: there are as many arguments of such sizes as the kernel has parameters, and the driver copies them and the
            // configuration within the call; memory and module live until work queued now is done; the rest is the caller's
            // promise.
            unsafe { sys::cuLaunchKernelEx(&config, kernel.raw(), pointers.as_mut_ptr(), std::ptr::null_mut()).result() }
        })
    }

    fn check(&self) -> Result<()> {
        let kernel = || self.kernel.name().to_owned();
        let parameters = self.kernel.parameters();
        if self.arguments.len() != parameters.len() {
            return Err(Error::ArgumentCount { kernel: kernel(), got: self.arguments.len(), expected: parameters.len() });
        }
        for (position, (argument, &expected)) in self.arguments.iter().zip(parameters).enumerate() {
            if argument.size() != expected {
                return Err(Error::ArgumentSize { kernel: kernel(), position, got: argument.size(), expected });
            }
        }
        if let Some(position) = self.stranger {
            return Err(Error::OtherContext { kernel: kernel(), position });
        }

        let Limits { threads_per_block, block, grid, shared_bytes } = *self.context.limits();
        let threads = self.block.into_iter().fold(1, usize::saturating_mul);
        let dimensions = [("grid.x", 0), ("grid.y", 1), ("grid.z", 2)].map(|(what, i)| (what, self.grid[i], 1, grid[i]));
        let threads_of = [("block.x", 0), ("block.y", 1), ("block.z", 2)].map(|(what, i)| (what, self.block[i], 1, block[i]));
        let most_threads = threads_per_block.min(self.kernel.max_threads_per_block());
        let totals = [
            ("the number of threads of a block", threads, 1, most_threads),
            (
                "dynamic shared memory in bytes",
                self.shared_bytes,
                0,
                shared_bytes.saturating_sub(self.kernel.static_shared_bytes()),
            ),
        ];
        let blocks = self.cluster.into_iter().fold(1, usize::saturating_mul);
        let cluster = [("the number of blocks of a cluster", blocks, 1, MOST_OF_CLUSTER)];
        for (what, got, least, most) in dimensions.into_iter().chain(threads_of).chain(totals).chain(cluster) {
            if !(least..=most).contains(&got) {
                return Err(Error::Launch { kernel: kernel(), what, got, expected: format!("{least} to {most}") });
            }
        }
        let axes = [("grid.x", 0), ("grid.y", 1), ("grid.z", 2)].into_iter();
        match axes.map(|(what, i)| (what, self.grid[i], self.cluster[i])).find(|(_, grid, cluster)| grid % cluster != 0) {
            None => Ok(()),
            Some((what, got, cluster)) => {
                Err(Error::Launch { kernel: kernel(), what, got, expected: format!("a multiple of the cluster's {cluster}") })
            }
        }
    }
}

fn word<V: bytemuck::Pod>(value: V) -> Argument {
    let mut bytes = [0; 8];
    bytes[..size_of::<V>()].copy_from_slice(bytemuck::bytes_of(&value));
    Argument::Word(bytes, size_of::<V>())
}

#[cfg(test)]
mod tests;

//! The CUDA runtime of handgrad: which devices there are ([`probe`]), an opened device
//! ([`Context`]), its memory ([`Buffer`], [`Slice`], [`SliceMut`]), the device code ([`DeviceCode`]) and its kernels
//! ([`Launch`], [`Kernel`]), time and order ([`Event`]), work recorded once and run often ([`Graph`]).
//!
//! It builds and links with no CUDA installed: the driver library is looked for when the program
//! runs, and its absence is a value, not a panic. It knows no operator, and no other crate talks to
//! the driver.
//!
//! Kernels come as cubins that are built in, for the architectures of [`Arch::BUILT_IN`]. For another device, or while the
//! source of a kernel is being changed, they are compiled where the program runs, if the compiler ([`Nvrtc`]) is there.
//!
//! ```
//! use handgrad_cuda::{Buffer, Context, Probe, probe};
//!
//! let found = probe();
//! println!("{found}");
//! if let Probe::Devices(_) = found {
//!     let context = Context::new(0)?;
//!     let weights = Buffer::from_host(&context, &[1.0_f32, 2.0, 3.0])?;
//!     let mut tail = [0.0; 2];
//!     weights.slice(1, 2)?.copy_to_host(&mut tail)?;
//!     assert_eq!(tail, [2.0, 3.0]);
//! }
//! # Ok::<(), handgrad_cuda::Error>(())
//! ```

#![warn(missing_docs, clippy::undocumented_unsafe_blocks)]

mod arch;
mod buffer;
mod cache;
mod context;
mod device_code;
pub mod emulated;
mod error;
mod event;
mod graph;
#[cfg(test)]
mod instructions;
mod launch;
mod manifest;
mod memory;
mod module;
mod nvrtc;
mod probe;
mod stream;
mod tensor_map;
pub mod testing;

pub use arch::Arch;
pub use buffer::{Buffer, Element, Slice, SliceMut};
pub use context::Context;
pub use device_code::DeviceCode;
pub use error::{Error, Result};
pub use event::Event;
pub use graph::Graph;
pub use launch::{Launch, MOST_OF_CLUSTER, Value};
pub use manifest::{Built, Cubin, Manifest};
pub use module::Kernel;
pub use nvrtc::{Nvrtc, OPTIONS};
pub use probe::{DeviceInfo, Probe, probe};
pub use tensor_map::{Swizzle, TensorLayout, TensorMap};

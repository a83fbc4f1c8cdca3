//! The CUDA runtime of handgrad: which devices there are ([`probe`]), an opened device
//! ([`Context`]) and its memory ([`Buffer`], [`Slice`], [`SliceMut`]).
//!
//! It builds and links with no CUDA installed: the driver library is looked for when the program
//! runs, and its absence is a value, not a panic. It knows no operator, and no other crate talks to
//! the driver.
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

mod buffer;
mod context;
pub mod emulated;
mod error;
mod probe;

pub use buffer::{Buffer, Element, Slice, SliceMut};
pub use context::Context;
pub use error::{Error, Result};
pub use probe::{DeviceInfo, Probe, probe};

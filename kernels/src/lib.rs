//! Hand-written training kernels: every operator with a scalar definition that never changes, AVX2 and AVX-512
//! variants chosen at run time, and one contract for all of them. No layers, no experiments, no input or output.
//!
//! Every public function takes a [`Context`] first (device, instruction set, scratch memory), then the shape, the inputs and
//! the outputs. Slices convert to [`View`] and [`ViewMut`]:
//!
//! ```
//! use handgrad_kernels::{Context, diagonal::{DiagonalShape, diagonal_forward}};
//! # fn main() -> handgrad_kernels::Result<()> {
//! let cx = Context::cpu()?;
//! let shape = DiagonalShape::new(2, 3, 1); // two samples, three features, one replica
//! let x = [1.0, 0.0, 2.0, 0.0, 1.0, 0.0];
//! let params = [1.0, 2.0, 3.0, 0.5, 0.5, 0.5]; // u, then v
//! let mut y = [f64::NAN; 2];
//! diagonal_forward(&cx, &shape, (&x).into(), (&params).into(), (&mut y).into())?;
//! assert_eq!(y, [3.5, 1.0]);
//! # Ok(()) }
//! ```
//!
//! Operators on large arrays share their work among the threads of the rayon pool that they are called in. Bits depend on the
//! instruction set, never on the number of threads or on how replicas are grouped.

mod buffer;
mod context;
#[cfg(feature = "cuda")]
mod device;
mod error;
mod isa;
#[cfg(all(test, feature = "cuda"))]
mod planted;
mod precision;
mod real;
mod recorded;
mod simd;
mod steps;
mod tile;

pub mod activation;
pub mod adam;
pub mod avgpool;
pub mod batchnorm;
pub mod class_noise;
pub mod clip;
pub mod combine;
pub mod conv2d;
pub mod crop_flip;
pub mod deep_diagonal;
pub mod deep_linear;
pub mod diagonal;
pub mod divergence;
pub mod gather;
pub mod gemm;
pub mod label_noise;
pub mod linear;
pub mod logistic;
pub mod mistakes;
pub mod mlp;
pub mod mse;
pub mod norm;
pub mod order;
pub mod permutation;
pub mod philox;
pub mod positives;
pub mod sgd;
pub mod softmax_xent;
pub mod testing;
pub mod weightnorm;
pub mod wide_mlp;

pub use buffer::{Buffer, Element, View, ViewMut};
pub use context::{Context, Device, Scratch};
pub use error::{Error, Result};
#[cfg(feature = "cuda")]
pub use handgrad_cuda as cuda;
pub use isa::Isa;
pub use order::Order;
pub use precision::Precision;
pub use real::{Dtype, Real};
pub use recorded::Recorded;
pub use steps::{Rates, StepRule, StepSizes, Steps};

/// Whether a backward kernel overwrites its output or adds to it. Under [`Acc::Set`] the output is never read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acc {
    /// `out = value`
    Set,
    /// `out = out + value`
    Add,
}

/// Elements that one task of an elementwise operator works on: larger arrays are shared among rayon's threads. A multiple of all
/// vectors' lanes, so that no element is computed in another way for it.
pub(crate) const PIECE: usize = 1 << 15;

/// An operator and the fastest instruction set that it has a variant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variants {
    /// The operator's name, as in its module and its functions.
    pub op: &'static str,
    /// Every instruction set with its own variant, slowest first.
    pub isas: &'static [Isa],
}

impl Variants {
    /// The variant that runs under `isa`: the fastest one that does not ask for more.
    pub fn runs_under(&self, isa: Isa) -> Isa {
        self.isas.iter().copied().filter(|&have| have <= isa).max().unwrap_or(Isa::Scalar)
    }
}

/// Every operator of this crate with its variants.
pub const OPERATORS: &[Variants] = &[
    activation::VARIANTS,
    adam::VARIANTS,
    avgpool::VARIANTS,
    batchnorm::VARIANTS,
    class_noise::VARIANTS,
    clip::VARIANTS,
    combine::VARIANTS,
    conv2d::VARIANTS,
    crop_flip::VARIANTS,
    deep_diagonal::VARIANTS,
    deep_linear::VARIANTS,
    diagonal::VARIANTS,
    divergence::VARIANTS,
    gather::VARIANTS,
    gemm::VARIANTS,
    label_noise::VARIANTS,
    linear::VARIANTS,
    logistic::VARIANTS,
    mistakes::VARIANTS,
    mlp::VARIANTS,
    mse::VARIANTS,
    norm::VARIANTS,
    order::VARIANTS,
    permutation::VARIANTS,
    philox::VARIANTS,
    positives::VARIANTS,
    sgd::VARIANTS,
    softmax_xent::VARIANTS,
    weightnorm::VARIANTS,
    wide_mlp::VARIANTS,
];

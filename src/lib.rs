//! A from-scratch, autodiff-free engine for studying what SGD learns.
//!
//! Forward and backward passes are written by hand over the kernels of `handgrad-kernels`; a figure of a paper is a
//! declaration ([`spec::Spec`]) with the paper's claims as checks ([`claims`]). Same spec, version, instruction set and device:
//! same bits, at any number of threads, interrupted or not.
//!
//! ```
//! use handgrad::{experiments, kernels, run, spec::Scale};
//! # use std::{sync::atomic::AtomicBool, time::Duration};
//! # fn main() -> handgrad::Result<()> {
//! let figure = experiments::find("sparse/fig2")?;
//! let spec = (figure.declare)(Scale::Smoke).with_overrides(&["steps=200".into(), "seed=0..2".into()])?;
//! let options = run::Options {
//!     threads: 1,
//!     folder: None, // keep nothing
//!     stop: &AtomicBool::new(false),
//!     checkpoint_every: Duration::from_secs(60),
//!     progress: &(), // nobody is told
//! };
//! let (results, _) = run::execute(&kernels::Context::cpu()?, &spec, spec.data.load()?, &options)?;
//! let small = results.run("small").expect("declared above");
//! assert_eq!(small.replicas.len(), 3); // the paper's order and two seeds of our own
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

pub mod claims;
pub mod data;
pub mod draws;
pub mod ensemble;
mod error;
pub mod experiments;
pub mod gradcheck;
pub mod layers;
pub mod ledger;
pub mod loss;
pub mod metrics;
pub mod nets;
pub mod optim;
pub mod replay;
pub mod report;
pub mod rng;
pub mod run;
pub mod schedule;
pub mod spec;
pub mod state;
pub mod theory;
pub mod train;

pub use error::{Error, Result};
pub use handgrad_kernels as kernels;

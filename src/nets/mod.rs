//! Networks: what they are made of ([`Architecture`], [`Net`]), how they are laid out for a batch ([`Plan`]), and how they
//! train ([`Training`]).

mod architecture;
mod init;
mod method;
mod model;
mod net;
mod plan;
mod resident;
mod stepper;
mod training;

pub use architecture::{Activation, Architecture, Bias, WeightNorm};
pub use init::{Init, Law};
pub use net::{Net, Parameter};
pub use plan::{Objective, Plan, Point};
pub use training::Training;
pub(crate) use training::{Own, Set};

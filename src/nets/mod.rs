//! Networks: what they are made of ([`Architecture`], [`Net`]), how they are laid out for a batch ([`Plan`]), and how they
//! train ([`Training`]).

mod architecture;
mod convnet;
mod gradients;
mod graph;
mod init;
mod method;
mod model;
mod net;
mod plan;
mod program;
mod resident;
mod resnet;
mod state_dict;
mod stepper;
mod timetable;
mod training;

pub use architecture::{Activation, Architecture, Bias, WeightNorm};
pub use convnet::Convnet;
pub use init::{Init, Law};
pub use net::{Net, Node, Parameter, Source};
pub use plan::{Objective, Plan, Point};
pub(crate) use resident::There;
pub use resnet::Resnet;
pub use state_dict::{StateDict, write_gradients};
pub use training::Training;
pub(crate) use training::{Own, Set};

//! "The probabilistic stability of SGD" (Ziyin et al. 2023) in formulas: Lyapunov exponents, critical step sizes and phases.
//!
//! Exponents are natural logarithms of absolute values, m = E log|w_{t+1}/w_t| (the paper's equation 9 takes squares: twice
//! that). Steps are w -= λ·(mean gradient of the batch) on (wx - y)²/2, batches are drawn with replacement.

pub mod normal;
mod quadrature;
pub mod regression;
pub mod saddle;
pub mod tail;
pub mod trajectory;

pub use quadrature::{root, zeros};

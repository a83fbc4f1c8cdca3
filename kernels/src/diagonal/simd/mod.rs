//! AVX2 and AVX-512 variants, written once over [`Lanes`](crate::simd::Lanes).

mod rows;
mod sgd;

pub(super) use rows::{diagonal_backward_weight, diagonal_forward, diagonal_gd};
pub(super) use sgd::{diagonal_sgd, sgd_scratch};

//! Networks: parameters, initialisation and how they train.

mod diagonal;
mod step;

use serde::{Deserialize, Serialize};

pub use diagonal::Diagonal;

use crate::error::{Result, refuse};

/// A network and its initial parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Net {
    /// h(x) = Σ_j u_j v_j x_j, every u_j and every v_j at one value.
    Diagonal {
        /// Initial u_j.
        u: f64,
        /// Initial v_j.
        v: f64,
    },
}

impl Net {
    /// Refuses initial values that are not finite.
    ///
    /// # Errors
    /// If one is not.
    pub fn check(&self) -> Result<()> {
        let Net::Diagonal { u, v } = self;
        if u.is_finite() && v.is_finite() { Ok(()) } else { refuse!("net: u = {u} and v = {v}, expected finite numbers") }
    }

    /// Parameters in one vector: u, then v.
    pub fn initial(&self, d: usize) -> Vec<f64> {
        let Net::Diagonal { u, v } = self;
        [vec![*u; d], vec![*v; d]].concat()
    }
}

//! Networks: parameters, initialisation and how they train.

mod diagonal;
mod step;

use rand::RngExt;
use serde::{Deserialize, Serialize};

pub use diagonal::Diagonal;

use crate::error::{Result, refuse};
use crate::rng::{self, Stream};
use crate::spec::Seed;

/// A network and its initial parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Net {
    /// h(x) = Σ_j u_j v_j x_j, every u_j and every v_j at one value.
    Diagonal {
        /// Initial u_j.
        u: f64,
        /// Initial v_j.
        v: f64,
    },
    /// h(x) = Σ_j θ_j² x_j: the diagonal network with u = v = θ, which training keeps equal bit by bit. Every θ_j starts
    /// uniform in (low, high), from the init stream.
    Squared {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
}

impl Net {
    /// Refuses initial values that are not finite.
    ///
    /// # Errors
    /// If one is not, or there is nothing to draw from.
    pub fn check(&self) -> Result<()> {
        match *self {
            Net::Diagonal { u, v } if !(u.is_finite() && v.is_finite()) => {
                refuse!("net: u = {u} and v = {v}, expected finite numbers")
            }
            Net::Squared { low, high } if !(low < high && low.is_finite() && high.is_finite()) => {
                refuse!("net: low = {low} and high = {high}, expected finite numbers with low < high")
            }
            _ => Ok(()),
        }
    }

    /// Whether replicas of different seeds start at different parameters.
    pub fn is_random(&self) -> bool {
        matches!(self, Net::Squared { .. })
    }

    /// Parameters of a replica in one vector: u, then v.
    pub fn initial(&self, d: usize, seed: Seed) -> Vec<f64> {
        match *self {
            Net::Diagonal { u, v } => [vec![u; d], vec![v; d]].concat(),
            Net::Squared { low, high } => {
                let key = if let Seed::Own(seed) = seed { seed } else { 0 };
                let mut stream = rng::sequential(key, Stream::Init);
                let theta: Vec<f64> = (0..d).map(|_| low + (high - low) * stream.random::<f64>()).collect();
                theta.repeat(2)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_squared_network_starts_at_draws_of_the_seeds_init_stream() {
        let net = Net::Squared { low: 2.0, high: 3.0 };
        for seed in [4, 5] {
            let mut stream = rng::sequential(seed, Stream::Init);
            let theta: Vec<f64> = (0..3).map(|_| 2.0 + stream.random::<f64>()).collect();
            assert_eq!(net.initial(3, Seed::Own(seed)), [theta.clone(), theta].concat());
        }
    }
}

//! Arrays of the papers' own runs that no generator of ours can draw again: data, initial parameters and sample order as the
//! authors' code makes them at the paper's seed.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Dataset;
use super::npz::Npz;
use crate::error::Result;

/// Whose arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Published {
    /// Figure 6 of "SGD with large step sizes learns sparse features": 50 inputs on the unit sphere of 5 dimensions, labels of a
    /// 5-2-2-1 ReLU teacher, 1000 test samples; the start of a 5-10-10-1 student and 10,001 sample indices (seed 5).
    SparseFig6,
}

impl Published {
    /// A short name.
    pub fn name(self) -> &'static str {
        match self {
            Published::SparseFig6 => "the paper's teacher-student data (5-2-2-1 teacher, n = 50)",
        }
    }

    /// Unpacks the arrays.
    ///
    /// # Errors
    /// Never, as long as the program is whole.
    pub fn load(self) -> Result<Dataset> {
        let (name, bytes): (&str, &[u8]) = match self {
            Published::SparseFig6 => ("sparse-fig6.npz", include_bytes!("sparse-fig6.npz")),
        };
        let npz = Npz::parse(Path::new(name), bytes)?;
        let data = Dataset::from_npz(&npz)?;
        let init = npz.optional("init", &[0])?.map(|init| init.values.clone());
        let order = Some(npz.indices("order", &[0], data.n())?);
        Ok(Dataset { init, order, ..data })
    }
}

//! Arrays of the papers' own runs that no generator of ours can draw again: data, initial parameters and sample order as the
//! authors' code makes them at the paper's seed.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Dataset;
use super::npz::Npz;
use crate::error::Result;

/// Whose arrays, all of "SGD with large step sizes learns sparse features".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Published {
    /// Figures 4, 9 and 10: 12 points on a line; the start of a 1-100-1 network and 31,623 sample indices (seed 3).
    SparseFig4,
    /// Figures 5 and 11: 15 inputs on the unit circle, labels of 3 ReLU neurons, 1000 test samples; the start of a 2-20-1 student
    /// and 14,126 sample indices (seed 0).
    SparseFig5,
    /// Figure 6: 50 inputs on the unit sphere of 5 dimensions, labels of a 5-2-2-1 ReLU teacher, 1000 test samples; the start of
    /// a 5-10-10-1 student and 10,001 sample indices (seed 5).
    SparseFig6,
}

impl Published {
    /// A short name.
    pub fn name(self) -> &'static str {
        match self {
            Published::SparseFig4 => "the paper's 12 points on a line",
            Published::SparseFig5 => "the paper's teacher-student data (3 neurons, n = 15, d = 2)",
            Published::SparseFig6 => "the paper's teacher-student data (5-2-2-1 teacher, n = 50)",
        }
    }

    /// Unpacks the arrays.
    ///
    /// # Errors
    /// Never, as long as the program is whole.
    pub fn load(self) -> Result<Dataset> {
        let (name, bytes): (&str, &[u8]) = match self {
            Published::SparseFig4 => ("sparse-fig4.npz", include_bytes!("sparse-fig4.npz")),
            Published::SparseFig5 => ("sparse-fig5.npz", include_bytes!("sparse-fig5.npz")),
            Published::SparseFig6 => ("sparse-fig6.npz", include_bytes!("sparse-fig6.npz")),
        };
        let npz = Npz::parse(Path::new(name), bytes)?;
        let data = Dataset::from_npz(&npz)?;
        let init = npz.optional("init", &[0])?.map(|init| init.values.clone());
        let teacher_rows = npz.optional("teacher_rows", &[0, data.d])?.map(|rows| rows.values.clone());
        let order = Some(npz.indices("order", &[0], data.n())?);
        Ok(Dataset { init, order, teacher_rows, ..data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_fit_their_networks_and_runs() {
        for (figure, n, params, steps) in [
            (Published::SparseFig4, 12, 300, 31_623),
            (Published::SparseFig5, 15, 60, 14_126),
            (Published::SparseFig6, 50, 181, 10_001),
        ] {
            let data = figure.load().unwrap();
            let sizes = (data.n(), data.init.unwrap().len(), data.order.unwrap().len());
            assert_eq!(sizes, (n, params, steps), "{}", figure.name());
        }
    }

    /// h(x) = relu(w_3·x) - relu(w_1·x) - relu(w_2·x), in single precision.
    #[test]
    fn labels_of_figure_5_are_the_teachers() {
        let data = Published::SparseFig5.load().unwrap();
        let rows = data.teacher_rows.unwrap();
        for (x, y) in data.x.chunks_exact(2).chain(data.x_test.chunks_exact(2)).zip(data.y.iter().chain(&data.y_test)) {
            let neuron = |j: usize| (rows[2 * j] * x[0] + rows[2 * j + 1] * x[1]).max(0.0);
            assert!((neuron(2) - neuron(0) - neuron(1) - y).abs() <= 1e-6, "{x:?}");
        }
    }
}

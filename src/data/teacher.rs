//! Inputs on the unit sphere, labelled by a random ReLU network.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use super::{Dataset, filled};
use crate::rng::{self, Stream};

/// A dense layer x ↦ Wx + b.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dense {
    /// Entries of x.
    pub inputs: usize,
    /// W, out x in, row-major.
    pub weights: Vec<f64>,
    /// b, if the layer has biases.
    pub biases: Option<Vec<f64>>,
}

impl Dense {
    /// Wx + b.
    pub(crate) fn apply(&self, x: &[f64]) -> Vec<f64> {
        let products = self.weights.chunks_exact(self.inputs).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>());
        match &self.biases {
            Some(biases) => products.zip(biases).map(|(product, bias)| product + bias).collect(),
            None => products.collect(),
        }
    }
}

/// How the teacher is drawn; it has one output, and ReLU after every layer but the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Teacher {
    /// Weights N(0, 1); biases, if any, U(-1/√fan_in, 1/√fan_in) in every layer.
    Gaussian {
        /// Widths of the hidden layers, from the input on.
        hidden: Vec<usize>,
        /// Whether there are biases.
        biases: bool,
    },
    /// One hidden layer of unit vectors w_i, uniform on the sphere, with output weights ±1 and no biases.
    UnitNeurons {
        /// Hidden neurons.
        neurons: usize,
    },
}

/// Wider teachers than anybody draws; they would only exhaust the memory.
pub(super) const MAX_WIDTH: usize = 1 << 16;

impl Teacher {
    /// Whether every width is at least 1 and none exhausts the memory.
    pub(super) fn is_drawable(&self) -> bool {
        match self {
            Teacher::Gaussian { hidden, .. } => hidden.len() <= 64 && hidden.iter().all(|width| (1..=MAX_WIDTH).contains(width)),
            Teacher::UnitNeurons { neurons } => (1..=MAX_WIDTH).contains(neurons),
        }
    }

    /// Hidden neurons.
    pub(super) fn neurons(&self) -> usize {
        match self {
            Teacher::Gaussian { hidden, .. } => hidden.iter().sum(),
            Teacher::UnitNeurons { neurons } => *neurons,
        }
    }
}

/// n + `test` inputs x ~ N(0, I_d), each divided by its norm, their labels without noise, and the teacher that gave them.
///
/// Drawn from our data stream: x, x_test, then the teacher's layers from the input on, weights before biases.
pub(super) fn teacher_student(n: usize, test: usize, d: usize, law: &Teacher, seed: u64) -> (Dataset, Vec<Dense>) {
    let mut stream = rng::sequential(seed, Stream::Data);
    let (x, x_test) = (unit_rows(n, d, &mut stream), unit_rows(test, d, &mut stream));
    let teacher = draw(d, law, &mut stream);
    let labels = |x: &[f64]| x.chunks_exact(d).map(|x| output(&teacher, x)).collect();
    let teacher_rows = Some(teacher[0].weights.clone());
    let data = Dataset { d, y: labels(&x), y_test: labels(&x_test), x, x_test, teacher_rows, ..Dataset::default() };
    (data, teacher)
}

fn draw(d: usize, law: &Teacher, stream: &mut Xoshiro256PlusPlus) -> Vec<Dense> {
    match law {
        Teacher::Gaussian { hidden, biases } => {
            let widths: Vec<usize> = [d].into_iter().chain(hidden.iter().copied()).chain([1]).collect();
            let layer = |sizes: &[usize]| {
                let weights = filled(sizes[0] * sizes[1], |values| rng::standard_normals(stream, values));
                let bound = 1.0 / (sizes[0] as f64).sqrt();
                let biases = biases.then(|| (0..sizes[1]).map(|_| bound * (2.0 * stream.random::<f64>() - 1.0)).collect());
                Dense { inputs: sizes[0], weights, biases }
            };
            widths.windows(2).map(layer).collect()
        }
        Teacher::UnitNeurons { neurons } => {
            let first = unit_rows(*neurons, d, stream);
            let second = filled(*neurons, |values| rng::standard_normals(stream, values)).into_iter().map(f64::signum);
            vec![
                Dense { inputs: d, weights: first, biases: None },
                Dense { inputs: *neurons, weights: second.collect(), biases: None },
            ]
        }
    }
}

fn output(layers: &[Dense], x: &[f64]) -> f64 {
    let mut values = x.to_vec();
    for (depth, layer) in layers.iter().enumerate() {
        if depth > 0 {
            values.iter_mut().for_each(|value| *value = value.max(0.0));
        }
        values = layer.apply(&values);
    }
    values.iter().sum()
}

/// Rows uniform on the unit sphere.
fn unit_rows(count: usize, d: usize, stream: &mut Xoshiro256PlusPlus) -> Vec<f64> {
    let mut rows = filled(count * d, |values| rng::standard_normals(stream, values));
    for row in rows.chunks_exact_mut(d) {
        let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        row.iter_mut().for_each(|x| *x /= norm);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_on_the_sphere_and_labels_the_teachers() {
        for law in [Teacher::Gaussian { hidden: vec![2, 3], biases: true }, Teacher::UnitNeurons { neurons: 3 }] {
            let (data, teacher) = teacher_student(50, 20, 5, &law, 2);
            assert_eq!((data.n(), data.x.len(), data.x_test.len(), data.y_test.len()), (50, 250, 100, 20));
            for row in data.x.chunks_exact(5).chain(data.x_test.chunks_exact(5)) {
                assert!((row.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() <= 1e-15 * 5.0);
            }
            let labels: Vec<f64> = data.x.chunks_exact(5).map(|x| output(&teacher, x)).collect();
            assert_eq!(data.y, labels);
            assert!(data.y.iter().any(|&y| y != data.y[0]));
            assert_eq!((data, teacher), teacher_student(50, 20, 5, &law, 2));
        }
    }

    #[test]
    fn an_output_by_hand() {
        // Hidden (1·2 - 3·1 + 0.5, 2 + 1 - 1) = (-0.5, 2), so relu gives (0, 2): 7·0 - 3·2 + 0.25.
        let layers = [
            Dense { inputs: 2, weights: vec![1.0, -3.0, 1.0, 1.0], biases: Some(vec![0.5, -1.0]) },
            Dense { inputs: 2, weights: vec![7.0, -3.0], biases: Some(vec![0.25]) },
        ];
        assert_eq!(output(&layers, &[2.0, 1.0]), -5.75);
    }

    #[test]
    fn layers_follow_their_law() {
        let (_, teacher) = teacher_student(1, 0, 16, &Teacher::Gaussian { hidden: vec![400, 2], biases: true }, 0);
        assert_eq!(
            teacher.iter().map(|layer| (layer.inputs, layer.weights.len())).collect::<Vec<_>>(),
            [(16, 6400), (400, 800), (2, 2)]
        );
        let square = teacher[0].weights.iter().map(|w| w * w).sum::<f64>() / 6400.0;
        assert!((square - 1.0).abs() <= 5.0 * (2.0f64 / 6400.0).sqrt(), "{square}");
        let biases = teacher[0].biases.as_deref().unwrap();
        let largest = biases.iter().fold(0.0f64, |largest, bias| largest.max(bias.abs()));
        assert!(biases.len() == 400 && largest <= 0.25 && largest > 0.24, "{largest}");
        assert!(biases.iter().sum::<f64>().abs() / 400.0 <= 5.0 * 0.25 / (3.0f64 * 400.0).sqrt());

        let (_, unbiased) = teacher_student(1, 0, 3, &Teacher::Gaussian { hidden: vec![2], biases: false }, 0);
        assert!(unbiased.iter().all(|layer| layer.biases.is_none()));
        let (_, units) = teacher_student(1, 0, 2, &Teacher::UnitNeurons { neurons: 30 }, 0);
        assert!(units[0].weights.chunks_exact(2).all(|w| (w[0].hypot(w[1]) - 1.0).abs() <= 1e-15));
        assert!(units[1].weights.iter().all(|a| a.abs() == 1.0) && units[1].weights.iter().sum::<f64>().abs() < 30.0);
    }
}

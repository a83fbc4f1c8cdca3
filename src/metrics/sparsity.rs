//! Feature sparsity of a layer: the activations that its distinct neurons keep.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use crate::error::{Result, refuse};

/// Neurons whose correlations with later ones are computed together.
const BLOCK: usize = 64;

/// A layer's neurons on a set of samples, ready to be counted at any threshold.
#[derive(Clone, Debug)]
pub struct Features {
    samples: usize,
    neurons: usize,
    finite: bool,
    live: Vec<Neuron>,
}

/// A neuron that is positive on a sample.
#[derive(Clone, Debug)]
struct Neuron {
    /// Samples where it is not zero.
    nonzero: usize,
    /// Largest |correlation| with a live neuron after it; -∞ where there is none, or none that is defined.
    repeated: f64,
}

/// The feature sparsity coefficient and what it counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sparsity {
    /// Non-zero activations of the distinct neurons, over samples times all neurons; NaN if a feature is not finite.
    pub coefficient: f64,
    /// Neurons that are positive on at least one sample.
    pub live: usize,
    /// Live neurons that no later one repeats.
    pub distinct: usize,
}

impl Features {
    /// Features φ after the activation, n samples x m neurons, row-major.
    ///
    /// Every sample's row is divided by its Euclidean norm (zero rows stay). Then, over the samples, C is the matrix of Pearson
    /// correlations of the live neurons; that of a constant neuron (up to rounding) is not defined, and it repeats none.
    ///
    /// # Errors
    /// If a size is zero or φ does not have n·m entries.
    pub fn new(samples: usize, neurons: usize, features: &[f64]) -> Result<Features> {
        check(samples, neurons, features)?;
        let finite = features.iter().all(|value| value.is_finite());
        let mut normalised = features.to_vec();
        for row in normalised.chunks_exact_mut(neurons) {
            let norm = norm(row);
            row.iter_mut().for_each(|value| *value = if norm > 0.0 { *value / norm } else { 0.0 });
        }
        Ok(Features { finite, ..Features::as_they_are(samples, neurons, &normalised)? })
    }

    /// The same without the division of rows, as the deep networks' features are counted.
    ///
    /// # Errors
    /// As [`Features::new`].
    pub fn as_they_are(samples: usize, neurons: usize, features: &[f64]) -> Result<Features> {
        check(samples, neurons, features)?;
        let finite = features.iter().all(|value| value.is_finite());
        let column = |j: usize| -> Vec<f64> { features.chunks_exact(neurons).map(|row| row[j]).collect() };
        let mut live: Vec<Neuron> = Vec::new();
        // Centred columns of unit norm, or NaN if constant, one after another.
        let mut directions: Vec<f64> = Vec::new();
        for column in (0..neurons).map(column).filter(|column| column.iter().any(|&value| value > 0.0)) {
            let nonzero = column.iter().filter(|&&value| value != 0.0).count();
            live.push(Neuron { nonzero, repeated: f64::NEG_INFINITY });
            directions.extend(standardised(column));
        }
        let all = MatRef::from_row_major_slice(&directions, live.len(), samples);
        live.par_chunks_mut(BLOCK).enumerate().for_each(|(block, neurons)| {
            let (first, count) = (block * BLOCK, neurons.len());
            let rest = all.subrows(first, all.nrows() - first);
            let mut correlations = Mat::zeros(count, rest.nrows());
            matmul(&mut correlations, Accum::Replace, rest.subrows(0, count), rest.transpose(), 1.0, Par::Seq);
            for (i, neuron) in neurons.iter_mut().enumerate() {
                for j in i + 1..rest.nrows() {
                    // `max` passes over NaN, as `min` would, and rounding must not lift a correlation above 1.
                    neuron.repeated = neuron.repeated.max(correlations[(i, j)].abs()).min(1.0);
                }
            }
        });
        Ok(Features { samples, neurons, finite, live })
    }

    /// Neurons with |C_ij| > `threshold` for a later j are left out, and the rest are counted.
    ///
    /// That is the papers' greedy scan, which deletes the earlier neuron of a pair: neurons after the scanned one are all still
    /// there, and none before it is correlated with it, or that one would have been deleted.
    pub fn sparsity(&self, threshold: f64) -> Sparsity {
        let distinct = self.live.iter().filter(|neuron| neuron.repeated <= threshold);
        let (count, nonzero) = distinct.fold((0, 0), |(count, nonzero), neuron| (count + 1, nonzero + neuron.nonzero));
        let coefficient = if self.finite { nonzero as f64 / (self.samples * self.neurons) as f64 } else { f64::NAN };
        Sparsity { coefficient, live: self.live.len(), distinct: count }
    }
}

fn check(samples: usize, neurons: usize, features: &[f64]) -> Result<()> {
    if samples == 0 || neurons == 0 || samples.checked_mul(neurons) != Some(features.len()) {
        return refuse!(
            "feature_sparsity: {samples} samples of {neurons} neurons, {} features; expected at least 1 each and their product",
            features.len()
        );
    }
    Ok(())
}

/// ‖x‖₂ without overflow or underflow.
fn norm(x: &[f64]) -> f64 {
    let largest = x.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    largest * x.iter().map(|x| (x / largest).powi(2)).sum::<f64>().sqrt()
}

/// (x - mean)/‖x - mean‖; NaN if x is constant up to rounding.
fn standardised(mut x: Vec<f64>) -> Vec<f64> {
    let rounding = 8.0 * f64::EPSILON * norm(&x);
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    x.iter_mut().for_each(|value| *value -= mean);
    let norm = norm(&x);
    let divisor = if norm > rounding { norm } else { f64::NAN };
    x.iter_mut().for_each(|value| *value /= divisor);
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixtures;
    use crate::rng::{Stream, sequential, standard_normals};

    #[test]
    fn checkpoints_have_the_authors_coefficients() {
        let check = |figure: u32, layer: usize, neurons: usize, want: [f64; 3], at_99: (usize, usize)| {
            let Some(network) = fixtures::checkpoint(figure) else { return };
            let phi = network.features(layer);
            let features = Features::new(phi.len() / neurons, neurons, &phi).unwrap();
            for (threshold, want) in [0.95, 0.99, 0.999].into_iter().zip(want) {
                let got = features.sparsity(threshold).coefficient;
                assert!((got - want).abs() <= 1e-15, "figure {figure}, layer {layer}, {threshold}: {got} against {want}");
            }
            let at = features.sparsity(0.99);
            assert_eq!((at.live, at.distinct), at_99, "figure {figure}, layer {layer}");
        };
        check(4, 1, 100, [0.038_333_333_333_333_33, 0.071_666_666_666_666_67, 0.209_166_666_666_666_67], (81, 17));
        check(6, 1, 10, [0.356; 3], (10, 10));
        check(6, 2, 10, [0.242; 3], (9, 9));
    }

    /// The scan as the reference runs it, on correlations as NumPy computes them.
    fn greedy(samples: usize, neurons: usize, phi: &[f64], threshold: f64) -> Sparsity {
        let mut columns = vec![vec![0.0; samples]; neurons];
        for (i, row) in phi.chunks_exact(neurons).enumerate() {
            let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            (0..neurons).for_each(|j| columns[j][i] = if norm > 0.0 { row[j] / norm } else { 0.0 });
        }
        columns.retain(|column| column.iter().any(|&x| x > 0.0));
        let live = columns.len();
        let mean = |x: &[f64]| x.iter().sum::<f64>() / samples as f64;
        let covariance = |x: &[f64], y: &[f64]| {
            let (mx, my) = (mean(x), mean(y));
            x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum::<f64>() / (samples as f64 - 1.0)
        };
        let mut i = 0;
        while i < columns.len() {
            let correlated = |j: usize| {
                let (x, y) = (&columns[i], &columns[j]);
                let c = covariance(x, y) / covariance(x, x).sqrt() / covariance(y, y).sqrt();
                j != i && c.abs() > threshold
            };
            if (0..columns.len()).any(correlated) {
                columns.remove(i);
            } else {
                i += 1;
            }
        }
        let nonzero = columns.iter().flatten().filter(|&&x| x != 0.0).count();
        Sparsity { coefficient: nonzero as f64 / (samples * neurons) as f64, live, distinct: columns.len() }
    }

    #[test]
    fn the_greedy_scan_keeps_the_same_neurons() {
        let mut repeated = 0;
        for seed in 0..200 {
            let (samples, neurons) = (3 + seed as usize % 9, 1 + seed as usize % 13);
            let mut phi = vec![0.0; samples * neurons];
            standard_normals(&mut sequential(seed, Stream::Data), &mut phi);
            phi.iter_mut().for_each(|x| *x = x.max(0.0));
            // None is a correlation of neurons that are active once, -1/(n - 1), which rounding may put on either side.
            for threshold in [0.19, 0.47, 0.8, 0.95] {
                let got = Features::new(samples, neurons, &phi).unwrap().sparsity(threshold);
                assert_eq!(got, greedy(samples, neurons, &phi, threshold), "seed {seed}, threshold {threshold}");
                repeated += got.live - got.distinct;
            }
        }
        assert!(repeated > 500, "{repeated}");
    }

    #[test]
    fn a_case_by_hand() {
        // Rows (3, 4, 0, 0), (0, 0, 0, 2) and (5, 12, 0, 0), normalised (.6, .8), (1), (.38, .92): neurons 0 and 1 move together,
        // against neuron 3; neuron 2 is dead.
        let phi = [3.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 5.0, 12.0, 0.0, 0.0];
        let features = Features::new(3, 4, &phi).unwrap();
        // numpy.corrcoef: C01 = .88455, C03 = -.93513, C13 = -.99243.
        for (threshold, want) in [(0.9, (1.0, 1)), (0.93, (1.0, 1)), (0.95, (3.0, 2)), (0.99, (3.0, 2)), (0.995, (5.0, 3))] {
            let got = features.sparsity(threshold);
            assert_eq!((got.coefficient * 12.0, got.distinct, got.live), (want.0, want.1, 3), "{threshold}");
        }
    }

    #[test]
    fn the_earlier_of_a_pair_goes_and_the_last_of_a_chain_stays() {
        // Neurons 0, 1 and 2 are multiples of one another; 2 stays, with 3.
        let mut phi = Vec::new();
        for (a, b) in [(1.0, 4.0), (2.0, 1.0), (0.0, 3.0), (5.0, 0.5)] {
            phi.extend([a, 2.0 * a, 3.0 * a, b]);
        }
        let at = Features::new(4, 4, &phi).unwrap().sparsity(0.999_999);
        assert_eq!(at, Sparsity { coefficient: 7.0 / 16.0, live: 4, distinct: 2 });
    }

    #[test]
    fn constant_dead_and_single_neurons() {
        // Two constant neurons in the same proportion in every sample: no correlation is defined, both are kept.
        let constant = Features::new(3, 2, &[0.3, 0.1, 0.6, 0.2, 0.9, 0.3]).unwrap().sparsity(0.5);
        assert_eq!((constant.coefficient, constant.live, constant.distinct), (1.0, 2, 2));
        assert_eq!(Features::new(2, 2, &[0.0; 4]).unwrap().sparsity(0.5), Sparsity { coefficient: 0.0, live: 0, distinct: 0 });
        let negative = Features::new(2, 2, &[-1.0, 1.0, -2.0, 3.0]).unwrap().sparsity(1.0);
        assert_eq!(negative, Sparsity { coefficient: 2.0 / 4.0, live: 1, distinct: 1 }, "never positive: not live");
        let single = Features::new(3, 2, &[0.0, 1.0, 0.0, 0.0, 0.0, 5.0]).unwrap().sparsity(0.5);
        assert_eq!(single, Sparsity { coefficient: 2.0 / 6.0, live: 1, distinct: 1 });
        assert_eq!(Features::new(1, 2, &[1.0, 2.0]).unwrap().sparsity(0.5).distinct, 2);
        // The scale of a sample does not matter, however far it is from 1.
        let scaled = |scale: f64| Features::new(2, 3, &[scale, 2.0 * scale, 0.0, 1.0, 0.0, 3.0]).unwrap().sparsity(0.99);
        assert_eq!(scaled(1e200), scaled(1.0));
        assert_eq!(scaled(1e-200), scaled(1.0));
    }

    #[test]
    fn what_is_not_a_number_stays_so_and_wrong_sizes_are_refused() {
        assert!(Features::new(2, 2, &[1.0, f64::NAN, 0.0, 1.0]).unwrap().sparsity(0.5).coefficient.is_nan());
        assert!(Features::new(1, 2, &[1.0, f64::INFINITY]).unwrap().sparsity(0.5).coefficient.is_nan());
        assert!(Features::new(2, 2, &[1.0]).unwrap_err().to_string().contains("2 samples of 2 neurons, 1 features"));
        assert!(Features::new(0, 2, &[]).is_err());
    }
}

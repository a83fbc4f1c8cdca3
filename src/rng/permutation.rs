//! Shuffling without a stored permutation: a run resumes in the middle of an epoch from its step number alone.

use handgrad_kernels::permutation::Permutation;

use super::{Counter, Kind, Words};

impl Counter {
    /// The permutation of `0..n` for one epoch (an n of 0 is taken as 1). Its keys are three blocks of kind 3.
    #[must_use]
    pub fn permutation(&self, epoch: u64, n: u32) -> Permutation {
        Permutation::of_epoch(&self.permutations(), epoch, n)
    }

    /// The words of [`Counter::permutation`], for kernels.
    pub(crate) fn permutations(&self) -> Words {
        self.words(Kind::Permutation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    fn permutation(epoch: u64, n: u32) -> Permutation {
        Counter::new(7, Stream::Order).permutation(epoch, n)
    }

    fn items(epoch: u64, n: u32) -> Vec<u32> {
        let permutation = permutation(epoch, n);
        (0..n).map(|i| permutation.at(i)).collect()
    }

    /// Of counts that would all be equal in the mean.
    fn chi_square(counts: &[u32]) -> f64 {
        let mean = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
        counts.iter().map(|&count| (f64::from(count) - mean).powi(2) / mean).sum()
    }

    /// Values of an independent implementation: the order of an epoch is part of every result.
    #[test]
    fn items_stay() {
        let cases = [
            (0, 20, [12, 9, 16, 11, 17, 4, 13, 5]),
            (0, 1797, [1364, 1087, 790, 1234, 695, 942, 806, 733]),
            (1, 50_000, [49_236, 47_968, 8444, 22_341, 45_079, 10_815, 39_610, 15_636]),
        ];
        for (epoch, n, expected) in cases {
            assert_eq!(items(epoch, n)[..8], expected, "n = {n}, epoch {epoch}");
        }
    }

    #[test]
    fn epochs_seeds_and_streams_differ() {
        let base = items(0, 1000);
        let others = [
            items(1, 1000),
            items(1 << 32, 1000),
            {
                let other = Counter::new(8, Stream::Order).permutation(0, 1000);
                (0..1000).map(|i| other.at(i)).collect()
            },
            {
                let other = Counter::new(7, Stream::Augment).permutation(0, 1000);
                (0..1000).map(|i| other.at(i)).collect()
            },
        ];
        for other in others {
            // Two independent permutations agree in one place in the mean.
            assert!(base.iter().zip(&other).filter(|(a, b)| a == b).count() < 10);
        }
    }

    #[test]
    fn all_orders_of_four_are_equally_frequent() {
        let mut counts = std::collections::BTreeMap::new();
        for epoch in 0..48_000 {
            *counts.entry(items(epoch, 4)).or_insert(0) += 1;
        }
        let counts: Vec<u32> = counts.into_values().collect();
        assert_eq!(counts.len(), 24);
        // 23 degrees of freedom: mean 23, standard deviation 6.8.
        assert!((4.0..60.0).contains(&chi_square(&counts)), "{counts:?}");
    }

    #[test]
    fn places_and_distances_are_uniform() {
        for n in [2, 3, 5, 7, 9, 16, 20] {
            let size = n as usize;
            let mut places = vec![0; size];
            let mut distances = vec![0; size - 1];
            for epoch in 0..40_000 {
                let permutation = permutation(epoch, n);
                let (first, second) = (permutation.at(0), permutation.at(1));
                places[first as usize] += 1;
                distances[((n + second - first) % n) as usize - 1] += 1;
            }
            for counts in [places, distances] {
                let freedom = (counts.len() - 1) as f64;
                let bound = freedom + 4.5 * (2.0 * freedom).sqrt() + 6.0;
                assert!(chi_square(&counts) <= bound, "n = {n}: {counts:?}");
            }
        }
    }
}

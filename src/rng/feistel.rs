//! Shuffling without a stored permutation.

use super::{Counter, Kind, scale};

/// In a pair of rounds two items of one column stay together with probability 1 / columns, and keep their distance as
/// long as they do. Six pairs, on sides of 8 or more, let 8^-6 = 4e-6 of that through.
const ROUNDS: usize = 12;
const SMALLEST_SIDE: u32 = 8;
const KEY_BLOCKS: usize = ROUNDS / 4;

/// Items that go through the rounds side by side.
const LANES: usize = 8;

/// A random permutation of `0..n` computed item by item: `at(0), at(1), ..., at(n - 1)` visits every sample once, and a
/// run resumes in the middle of an epoch without a stored order.
///
/// A number below `rows * columns` is a pair: `row + rows * column`. Each pair of rounds adds to the row a keyed function
/// of the column, modulo `rows`, then to the column one of the row, modulo `columns`: a Feistel network, which is a
/// bijection whatever the functions are. Results not below n go through the network again, and this keeps the bijection
/// on `0..n` (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002). Both sides are close to the root
/// of n, so that it is rare for n above 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permutation {
    n: u32,
    rows: u32,
    columns: u32,
    keys: [u32; ROUNDS],
}

impl Permutation {
    /// The permutation of `0..n` for one epoch of the counter's seed and stream. An n of 0 is taken as 1.
    #[must_use]
    pub fn new(counter: Counter, epoch: u64, n: u32) -> Self {
        let n = n.max(1);
        // An even number of rows: with both numbers odd, every round would be an even permutation.
        let rows = ((n - 1).isqrt() + 1).next_multiple_of(2).max(SMALLEST_SIDE);
        let first = epoch.wrapping_mul(KEY_BLOCKS as u64);
        let blocks: [[u32; 4]; KEY_BLOCKS] =
            std::array::from_fn(|i| counter.block(Kind::Permutation, first.wrapping_add(i as u64)));
        Self { n, rows, columns: n.div_ceil(rows).max(SMALLEST_SIDE), keys: std::array::from_fn(|i| blocks[i / 4][i % 4]) }
    }

    /// The item in place `i`, which counts modulo n.
    #[must_use]
    pub fn at(&self, i: u32) -> u32 {
        let i = i % self.n;
        self.below(self.once([[i % self.rows], [i / self.rows]])[0])
    }

    /// The items in the places from `first` on; places count modulo n.
    pub fn fill(&self, first: u32, out: &mut [u32]) {
        let mut place = first % self.n;
        let (mut row, mut column) = (place % self.rows, place / self.rows);
        for items in out.chunks_mut(LANES) {
            let (mut rows, mut columns) = ([0; LANES], [0; LANES]);
            for (lane_row, lane_column) in rows.iter_mut().zip(&mut columns) {
                (*lane_row, *lane_column) = (row, column);
                (place, row) = (place + 1, row + 1);
                if place == self.n {
                    (place, row, column) = (0, 0, 0);
                } else if row == self.rows {
                    (row, column) = (0, column + 1);
                }
            }
            let together = self.once([rows, columns]);
            items.iter_mut().zip(together).for_each(|(item, number)| *item = self.below(number));
        }
    }

    /// One pass of pairs (rows, columns), side by side: for each of them it is one long chain of dependent operations.
    fn once<const L: usize>(&self, [mut rows, mut columns]: [[u32; L]; 2]) -> [u32; L] {
        for keys in self.keys.as_chunks::<2>().0 {
            for (row, column) in rows.iter_mut().zip(&columns) {
                *row = add_modulo(*row, mix(*column, keys[0]), self.rows);
            }
            for (row, column) in rows.iter().zip(&mut columns) {
                *column = add_modulo(*column, mix(*row, keys[1]), self.columns);
            }
        }
        std::array::from_fn(|lane| rows[lane] + self.rows * columns[lane])
    }

    /// The item below n that a pass leads to, after as many more as that takes.
    fn below(&self, mut item: u32) -> u32 {
        while item >= self.n {
            [item] = self.once([[item % self.rows], [item / self.rows]]);
        }
        item
    }
}

/// `x + y` modulo `size`, after taking the uniform word `y` to `0..size`.
fn add_modulo(x: u32, word: u32, size: u32) -> u32 {
    let sum = x + scale(word, size);
    if sum < size { sum } else { sum - size }
}

/// The round function: a word whose upper bits depend on all of `x` and `key`.
fn mix(x: u32, key: u32) -> u32 {
    let product = (x ^ key).wrapping_mul(0x85EB_CA6B);
    (product ^ (product >> 13)).wrapping_mul(0xC2B2_AE35)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    fn permutation(epoch: u64, n: u32) -> Permutation {
        Permutation::new(Counter::new(7, Stream::Order), epoch, n)
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

    #[test]
    fn items_come_one_by_one_or_together() {
        for n in [1, 2, 7, 64, 65, 1000] {
            let permutation = permutation(3, n);
            for first in [0, 1, n / 2, n - 1] {
                let mut together = vec![u32::MAX; 37];
                permutation.fill(first, &mut together);
                let alone: Vec<u32> = (0..37).map(|k| permutation.at(first + k)).collect();
                assert_eq!(together, alone, "n = {n} from {first}");
            }
        }
    }

    #[test]
    fn every_item_appears_once() {
        for n in [1, 2, 3, 4, 7, 9, 80, 1000, 65_536, 65_537] {
            for epoch in [0, 1, u64::MAX] {
                let mut items = items(epoch, n);
                items.sort_unstable();
                assert!(items.into_iter().eq(0..n), "n = {n}, epoch {epoch}");
            }
        }
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
    fn the_largest_range_keeps_its_bounds() {
        let permutation = permutation(3, u32::MAX);
        let mut seen: Vec<u32> = (0..1000).chain(u32::MAX - 1000..u32::MAX).map(|i| permutation.at(i)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 2000);
        assert!(seen.iter().all(|&item| item < u32::MAX));
    }

    #[test]
    fn places_count_modulo_n() {
        assert_eq!(permutation(0, 80).at(80 + 3), permutation(0, 80).at(3));
        assert_eq!([permutation(5, 0).at(0), permutation(5, 0).at(9)], [0, 0]);
    }

    #[test]
    fn epochs_seeds_and_streams_differ() {
        let base = items(0, 1000);
        let others = [
            items(1, 1000),
            items(1 << 32, 1000),
            {
                let other = Permutation::new(Counter::new(8, Stream::Order), 0, 1000);
                (0..1000).map(|i| other.at(i)).collect()
            },
            {
                let other = Permutation::new(Counter::new(7, Stream::Augment), 0, 1000);
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

//! Random permutations of `0..n` computed place by place: every item appears once in places 0 to n - 1, and nothing is stored.
//!
//! A number below `rows · columns` is a pair: `row + rows · column`. Each pair of rounds adds to the row a keyed function of the
//! column, modulo `rows`, then to the column one of the row, modulo `columns`: a Feistel network, which is a bijection whatever
//! the functions are. Results not below n go through the network again, and this keeps the bijection on `0..n` (Black and
//! Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002). Both sides are close to the root of n, so that it is rare for
//! n above 64.

#[cfg(feature = "cuda")]
mod cuda;
mod scalar;
mod simd;

use crate::context::host_mut;
use crate::philox::{Words, scale};
use crate::{Context, Isa, Result, Variants, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "permutation", isas: &[Isa::Scalar, Isa::Avx2, Isa::Avx512] };

/// Rounds of the network, each with a key.
///
/// In a pair of rounds two items of one column stay together with probability 1 / columns, and keep their distance as long as
/// they do. Six pairs, on sides of 8 or more, let 8^-6 = 4e-6 of that through.
pub const ROUNDS: usize = 12;
const SMALLEST_SIDE: u32 = 8;
/// Blocks of random words that are the keys of one permutation.
const KEY_BLOCKS: usize = ROUNDS / 4;

/// A random permutation of `0..n`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permutation {
    n: u32,
    rows: u32,
    columns: u32,
    keys: [u32; ROUNDS],
}

impl Permutation {
    /// The permutation of `0..n` that belongs to a random key for each round. An n of 0 is taken as 1.
    #[must_use]
    pub fn new(n: u32, keys: [u32; ROUNDS]) -> Permutation {
        let n = n.max(1);
        // An even number of rows: with both numbers odd, every round would be an even permutation.
        let rows = ((n - 1).isqrt() + 1).next_multiple_of(2).max(SMALLEST_SIDE);
        Permutation { n, rows, columns: n.div_ceil(rows).max(SMALLEST_SIDE), keys }
    }

    /// The permutation of `0..n` of an epoch of a sequence of random words, whose blocks in order are the keys of its epochs.
    #[must_use]
    pub fn of_epoch(words: &Words, epoch: u64, n: u32) -> Permutation {
        let first = epoch.wrapping_mul(KEY_BLOCKS as u64);
        let blocks: [[u32; 4]; KEY_BLOCKS] = std::array::from_fn(|i| words.block(first.wrapping_add(i as u64)));
        Permutation::new(n, std::array::from_fn(|i| blocks[i / 4][i % 4]))
    }

    /// Both sides of the network.
    #[cfg(feature = "cuda")]
    pub(crate) fn sides(&self) -> [u32; 2] {
        [self.rows, self.columns]
    }

    /// The item in place `i`, which counts modulo n.
    #[must_use]
    pub fn at(&self, i: u32) -> u32 {
        scalar::at(self, i % self.n)
    }
}

/// The items in the places `first`, `first + 1`, ...; places count modulo n. They are the same for every instruction set.
///
/// # Errors
/// If the view is not on the context's device.
pub fn permutation_fill(cx: &Context, permutation: &Permutation, first: u32, out: ViewMut<u32>) -> Result<()> {
    const OP: &str = "permutation_fill";
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::permutation_fill(device, OP, permutation, first, out);
    }
    let out = host_mut(OP, "out", out)?;
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::permutation_fill(permutation, first, out),
        isa => simd::permutation_fill(isa, permutation, first, out),
    }
    Ok(())
}

/// `x + y` modulo `size`, after taking the uniform word `y` to `0..size`; x is below `size`.
#[inline(always)]
fn add_modulo(x: u32, word: u32, size: u32) -> u32 {
    let sum = x + scale(word, size);
    // Below size, the difference wraps to a number that is larger.
    sum.min(sum.wrapping_sub(size))
}

/// The round function: a word whose upper bits depend on all of `x` and `key`.
#[inline(always)]
fn mix(x: u32, key: u32) -> u32 {
    let product = (x ^ key).wrapping_mul(0x85EB_CA6B);
    (product ^ (product >> 13)).wrapping_mul(0xC2B2_AE35)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cases, contexts, on_mut, variant};

    fn permutation(n: u32) -> Permutation {
        Permutation::new(n, Cases::new(u64::from(n)).indices(ROUNDS, u32::MAX as usize).try_into().unwrap())
    }

    #[test]
    fn every_variant_gives_the_same_items_wherever_it_starts() {
        for cx in contexts() {
            for n in [1, 2, 7, 64, 65, 101, 1000, 1025, 65_537, u32::MAX] {
                let permutation = permutation(n);
                for first in [0, 1, n / 2, n - 1] {
                    for len in [0, 1, 31, 64, 65, 200] {
                        let mut got = vec![u32::MAX; len];
                        permutation_fill(&cx, &permutation, first, on_mut(&cx, &mut got).view_mut()).unwrap();
                        let places = (0..len as u64).map(|k| ((u64::from(first) + k) % u64::from(n)) as u32);
                        assert!(places.map(|place| permutation.at(place)).eq(got), "{} n = {n} from {first}", variant(&cx));
                    }
                }
            }
        }
    }

    #[test]
    fn every_item_appears_once() {
        for cx in contexts() {
            for n in [1, 2, 3, 4, 7, 9, 80, 1000, 65_536, 65_537] {
                let mut items = vec![u32::MAX; n as usize];
                permutation_fill(&cx, &permutation(n), 0, on_mut(&cx, &mut items).view_mut()).unwrap();
                items.sort_unstable();
                assert!(items.into_iter().eq(0..n), "{} n = {n}", variant(&cx));
            }
        }
    }

    #[test]
    fn the_largest_range_keeps_its_bounds() {
        let permutation = permutation(u32::MAX);
        let mut seen: Vec<u32> = (0..1000).chain(u32::MAX - 1000..u32::MAX).map(|i| permutation.at(i)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 2000);
        assert!(seen.iter().all(|&item| item < u32::MAX));
    }

    #[test]
    fn places_count_modulo_n() {
        assert_eq!(permutation(80).at(80 + 3), permutation(80).at(3));
        let empty = Permutation::new(0, [1; ROUNDS]);
        assert_eq!([empty.at(0), empty.at(9)], [0, 0]);
    }
}

//! Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw,
//! "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).

const ROUNDS: usize = 10;
const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const LOW_HALF: u64 = 0xFFFF_FFFF;

/// Blocks that one call of [`blocks`] computes.
pub(super) const LANES: usize = 8;

/// One block: four random words, a pure function of `counter` and `key`.
#[must_use]
pub fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    rounds(counter.map(u64::from), key)
}

/// `map` of the words of the [`LANES`] blocks `first`, `first + 1`, ... in order, where the counter of a block is
/// `[low half of its index, high half, upper[0], upper[1]]`.
#[inline]
pub(super) fn blocks(first: u64, upper: [u32; 2], key: [u32; 2], map: impl Fn(u32) -> u32) -> [u32; 4 * LANES] {
    let upper = upper.map(u64::from);
    // Stored word by word, not block by block, so that the loop over lanes becomes vector instructions.
    let mut words = [[0; LANES]; 4];
    for lane in 0..LANES {
        let index = first.wrapping_add(lane as u64);
        let block = rounds([index & LOW_HALF, index >> 32, upper[0], upper[1]], key);
        for (row, word) in words.iter_mut().zip(block) {
            row[lane] = map(word);
        }
    }
    std::array::from_fn(|i| words[i % 4][i / 4])
}

/// The ten rounds. A word lives in the low half of a `u64`, which is where vector multiplication wants it.
#[inline(always)]
fn rounds(mut counter: [u64; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let [a, b, c, d] = counter;
        let left = MULTIPLIERS[0].wrapping_mul(a);
        let right = MULTIPLIERS[1].wrapping_mul(c);
        counter =
            [(right >> 32) ^ b ^ u64::from(key[0]), right & LOW_HALF, (left >> 32) ^ d ^ u64::from(key[1]), left & LOW_HALF];
        key = [key[0].wrapping_add(KEY_STEPS[0]), key[1].wrapping_add(KEY_STEPS[1])];
    }
    counter.map(|word| word as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers distributed with Random123.
    #[test]
    fn known_answers() {
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox4x32_10(counter, key), expected);
        }
    }

    #[test]
    fn many_blocks_equal_one_at_a_time() {
        let (upper, key) = ([0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
        for first in [0, 5, u64::from(u32::MAX) - 3, 1 << 61] {
            for (lane, words) in blocks(first, upper, key, |word| word).chunks(4).enumerate() {
                let index = first + lane as u64;
                let counter = [index as u32, (index >> 32) as u32, upper[0], upper[1]];
                assert_eq!(words, philox4x32_10(counter, key));
            }
        }
    }
}

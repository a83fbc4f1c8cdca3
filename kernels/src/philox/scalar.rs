use super::{Words, scale};

pub(super) const ROUNDS: usize = 10;
pub(super) const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
pub(super) const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// One block: four random words, a pure function of `counter` and `key`.
#[must_use]
pub fn philox4x32_10(counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    let [mut a, mut b, mut c, mut d] = counter;
    for _ in 0..ROUNDS {
        let left = MULTIPLIERS[0] * u64::from(a);
        let right = MULTIPLIERS[1] * u64::from(c);
        [a, b, c, d] = [(right >> 32) as u32 ^ b ^ key[0], right as u32, (left >> 32) as u32 ^ d ^ key[1], left as u32];
        key = [key[0].wrapping_add(KEY_STEPS[0]), key[1].wrapping_add(KEY_STEPS[1])];
    }
    [a, b, c, d]
}

pub(super) fn philox_below(words: &Words, n: u32, start: u64, out: &mut [u32]) {
    let skipped = (start % 4) as usize;
    let (first, rest) = out.split_at_mut(out.len().min(4 - skipped));
    first.copy_from_slice(&words.block(start / 4)[skipped..][..first.len()]);
    for (four, block) in rest.chunks_mut(4).zip(start / 4 + 1..) {
        four.copy_from_slice(&words.block(block)[..four.len()]);
    }
    out.iter_mut().for_each(|word| *word = scale(*word, n));
}

//! Blocks side by side, written as loops over lanes that the compiler turns into vectors of the enabled instruction set.

use super::scalar::{KEY_STEPS, MULTIPLIERS, ROUNDS};
use super::{Words, scale};
use crate::Isa;

/// Blocks side by side: two vectors of 512 bits for each word of a block, so that one's multiplications overlap the other's.
const LANES: usize = 16;
const LOW_HALF: u64 = 0xFFFF_FFFF;

pub(super) fn philox_below(isa: Isa, words: &Words, n: u32, start: u64, out: &mut [u32]) {
    #[target_feature(enable = "avx2")]
    fn avx2(words: &Words, n: u32, start: u64, out: &mut [u32]) {
        fill(words, n, start, out);
    }
    #[target_feature(enable = "avx512f,avx2")]
    fn avx512(words: &Words, n: u32, start: u64, out: &mut [u32]) {
        fill(words, n, start, out);
    }
    match isa {
        Isa::Scalar => unreachable!("operators run their scalar variant themselves"),
        // SAFETY: Context::cpu_with checked that the processor has it.
        Isa::Avx2 => unsafe { avx2(words, n, start, out) },
        // SAFETY: as above.
        Isa::Avx512 => unsafe { avx512(words, n, start, out) },
    }
}

#[inline(always)]
fn fill(words: &Words, n: u32, start: u64, mut out: &mut [u32]) {
    let mut block = start / 4;
    let mut skipped = (start % 4) as usize;
    while !out.is_empty() {
        let (now, later) = out.split_at_mut(out.len().min(4 * LANES - skipped));
        now.copy_from_slice(&blocks(words, n, block)[skipped..][..now.len()]);
        (out, block, skipped) = (later, block.wrapping_add(LANES as u64), 0);
    }
}

/// The integers of the blocks `first`, `first + 1`, ... A word lives in the low half of a `u64`, which is where vector
/// multiplication wants it.
#[inline(always)]
fn blocks(words: &Words, n: u32, first: u64) -> [u32; 4 * LANES] {
    let (mut a, mut b) = ([0; LANES], [0; LANES]);
    let (mut c, mut d) = ([u64::from(words.upper[0]); LANES], [u64::from(words.upper[1]); LANES]);
    for lane in 0..LANES {
        let index = first.wrapping_add(lane as u64);
        (a[lane], b[lane]) = (index & LOW_HALF, index >> 32);
    }
    let mut key = words.key;
    for _ in 0..ROUNDS {
        for lane in 0..LANES {
            let left = MULTIPLIERS[0] * (a[lane] & LOW_HALF);
            let right = MULTIPLIERS[1] * (c[lane] & LOW_HALF);
            a[lane] = (right >> 32) ^ b[lane] ^ u64::from(key[0]);
            b[lane] = right & LOW_HALF;
            c[lane] = (left >> 32) ^ d[lane] ^ u64::from(key[1]);
            d[lane] = left & LOW_HALF;
        }
        key = [key[0].wrapping_add(KEY_STEPS[0]), key[1].wrapping_add(KEY_STEPS[1])];
    }
    // In the blocks' order only now: a loop over lanes becomes vectors, one over blocks does not.
    let mut integers = [[0; LANES]; 4];
    for lane in 0..LANES {
        integers[0][lane] = scale(a[lane] as u32, n);
        integers[1][lane] = scale(b[lane] as u32, n);
        integers[2][lane] = scale(c[lane] as u32, n);
        integers[3][lane] = scale(d[lane] as u32, n);
    }
    let mut out = [0; 4 * LANES];
    for (lane, four) in out.chunks_exact_mut(4).enumerate() {
        four.copy_from_slice(&[integers[0][lane], integers[1][lane], integers[2][lane], integers[3][lane]]);
    }
    out
}

//! Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3"
//! (SC 2011): a block of four random words is a pure function of a counter and a key.

#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod scalar;
mod simd;

pub use scalar::philox4x32_10;

use std::f64::consts::TAU;

use crate::context::host_mut;
use crate::{Context, Isa, Result, Variants, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "philox", isas: &[Isa::Scalar, Isa::Avx2, Isa::Avx512] };

/// One sequence of random words: word p is word p mod 4 of the block at counter `[b mod 2^32, b / 2^32, upper[0], upper[1]]`,
/// b = floor(p / 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// The generator's key.
    pub key: [u32; 2],
    /// The counter's upper words.
    pub upper: [u32; 2],
}

impl Words {
    /// Block b: words 4b to 4b + 3.
    #[must_use]
    pub fn block(&self, block: u64) -> [u32; 4] {
        philox4x32_10([block as u32, (block >> 32) as u32, self.upper[0], self.upper[1]], self.key)
    }

    /// Word p.
    #[must_use]
    pub fn word(&self, position: u64) -> u32 {
        self.block(position / 4)[(position % 4) as usize]
    }

    /// A uniform integer in `0..n`: `floor(word(p) n / 2^32)`, 0 if n is 0.
    #[must_use]
    pub fn below(&self, position: u64, n: u32) -> u32 {
        scale(self.word(position), n)
    }

    /// A uniform number in [0, 1), a multiple of 2^-53, of words 2p and 2p + 1.
    #[must_use]
    pub fn uniform(&self, position: u64) -> f64 {
        uniforms(self.block(position / 2))[(position % 2) as usize]
    }

    /// Standard normal numbers 2p and 2p + 1, of block p, by the method of Box and Muller: with u and v the block's uniform numbers,
    /// sqrt(-2 ln(1 - u)) times cos(2πv), and times sin(2πv). No absolute value exceeds 8.6.
    #[must_use]
    pub fn normals(&self, pair: u64) -> [f64; 2] {
        let [u, v] = uniforms(self.block(pair));
        // From the libm crate, not the C library, so that the bits are the same on every machine.
        let radius = (-2.0 * libm::log(1.0 - u)).sqrt();
        let (sin, cos) = libm::sincos(TAU * v);
        [radius * cos, radius * sin]
    }
}

/// Two numbers in [0, 1) from the upper 53 bits of two words each, low word first.
#[must_use]
pub fn uniforms([a, b, c, d]: [u32; 4]) -> [f64; 2] {
    [(a, b), (c, d)].map(|(low, high)| {
        let bits = u64::from(high) << 32 | u64::from(low);
        (bits >> 11) as f64 * (0.5 * f64::EPSILON)
    })
}

/// The position of an item's draw in a step, which counts modulo 2^32, for all draws of a step that belong to items:
/// step·2^32 + item.
#[must_use]
pub fn item_position(step: u32, item: u32) -> u64 {
    u64::from(step) << 32 | u64::from(item)
}

/// Integers in `0..n`: `out[i] = floor(word(start + i) n / 2^32)`, 0 if n is 0. Bits are the same for every instruction set.
///
/// # Errors
/// If the view is not on the context's device.
pub fn philox_below(cx: &Context, words: &Words, n: u32, start: u64, out: ViewMut<u32>) -> Result<()> {
    const OP: &str = "philox_below";
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::philox_below(device, OP, words, n, start, out);
    }
    let out = host_mut(OP, "out", out)?;
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::philox_below(words, n, start, out),
        isa => simd::philox_below(isa, words, n, start, out),
    }
    Ok(())
}

/// `floor(word n / 2^32)`: a uniform word taken to `0..n`.
#[inline(always)]
#[must_use]
pub fn scale(word: u32, n: u32) -> u32 {
    ((u64::from(word) * u64::from(n)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{contexts, on_mut, variant};

    const WORDS: Words = Words { key: [0xa409_3822, 0x299f_31d0], upper: [0x1319_8a2e, 0x0370_7344] };

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
            let words = Words { key, upper: [counter[2], counter[3]] };
            assert_eq!(words.block(u64::from(counter[1]) << 32 | u64::from(counter[0])), expected);
        }
    }

    #[test]
    fn every_variant_draws_the_same_integers_wherever_it_starts() {
        for cx in contexts() {
            for start in [0, 1, 2, 3, 17, 63, 64, 65, 4 * (1 << 32) - 21, (1 << 63) + 7, u64::MAX - 400] {
                for len in [0, 1, 2, 3, 5, 63, 64, 65, 127, 128, 129, 301] {
                    for n in [0, 1, 80, u32::MAX] {
                        let mut got = vec![u32::MAX; len];
                        philox_below(&cx, &WORDS, n, start, on_mut(&cx, &mut got).view_mut()).unwrap();
                        let word = |p: u64| WORDS.block(p / 4)[(p % 4) as usize];
                        let want = (start..start + len as u64).map(|p| ((u64::from(word(p)) * u64::from(n)) >> 32) as u32);
                        assert!(want.eq(got.iter().copied()), "{} from {start}, {len} below {n}", variant(&cx));
                    }
                }
            }
        }
    }

    #[test]
    fn integers_reach_both_ends() {
        assert_eq!(scale(u32::MAX, u32::MAX), u32::MAX - 1);
        assert_eq!([scale(0, 80), scale(u32::MAX, 80), scale(u32::MAX, 1), scale(u32::MAX, 0)], [0, 79, 0, 0]);
    }
}

//! Random numbers: every draw belongs to a named [`Stream`] of one seed.
//!
//! Order, noise and augmentation come from [`Counter`] and its [`Permutation`]s, pure functions of (seed, stream, position):
//! a run resumes from a step number alone, and any device can draw any item. Initialisation and data come from the
//! generator of [`sequential`]. [`RandomState`] draws what NumPy's legacy generator does, for data sets that were
//! published as a NumPy seed.

mod numpy;
mod permutation;

use handgrad_kernels::Context;
use handgrad_kernels::philox::{Words, philox_below};
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;

pub use handgrad_kernels::permutation::Permutation;
pub use handgrad_kernels::philox::philox4x32_10;
pub use numpy::RandomState;

use crate::error::Result;

/// What a random number is used for.
///
/// The streams of one seed are independent: drawing more from one, or differently, leaves the others as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Initial parameters.
    Init = 0,
    /// Generated data and teachers.
    Data = 1,
    /// Which sample each step sees.
    Order = 2,
    /// Label, gradient and parameter noise.
    Noise = 3,
    /// Crops and flips.
    Augment = 4,
}

impl Stream {
    /// The name in specifications and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Data => "data",
            Self::Order => "order",
            Self::Noise => "noise",
            Self::Augment => "augment",
        }
    }

    /// The number in the third counter word. It is part of every result and never changes.
    #[must_use]
    pub const fn id(self) -> u32 {
        self as u32
    }
}

/// The fourth counter word: draws of different kinds never share a word, even at equal positions.
#[derive(Clone, Copy)]
enum Kind {
    Word = 0,
    Uniform = 1,
    Normal = 2,
    Permutation = 3,
    Sequential = 4,
}

/// Counter-based draws: each is a pure function of (seed, stream, position).
///
/// The position p of a draw is `step * items_per_step + item`, so that a step can be drawn without those before it.
/// Philox4x32-10 runs with the seed as its key (low half first) and the counter
/// `[block low, block high, stream id, kind]`:
///
/// | draw | kind | block | words of the block |
/// |---|---|---|---|
/// | word, integer | 0 | p / 4 | p % 4 |
/// | uniform | 1 | p / 2 | 2 (p % 2) and the next |
/// | normal | 2 | p / 2 | all four |
///
/// Draws of different kinds are independent even at equal positions. `fill_*` writes exactly the draws that `*_at` gives
/// at `start`, `start + 1`, ...; one long fill beats many short ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    key: [u32; 2],
    stream: Stream,
}

impl Counter {
    /// The draws of `stream` under `seed`.
    #[must_use]
    pub const fn new(seed: u64, stream: Stream) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], stream }
    }

    /// A uniform 32-bit word.
    #[must_use]
    pub fn u32_at(&self, position: u64) -> u32 {
        self.integers().word(position)
    }

    /// A uniform integer in `0..n` (0 if n is 0): `floor(word * n / 2^32)`.
    ///
    /// There is no rejection, so that a draw is one word. The price: each probability is off by less than 2^-32, all of
    /// them together by at most n / 2^32.
    #[must_use]
    pub fn below_at(&self, position: u64, n: u32) -> u32 {
        self.integers().below(position, n)
    }

    /// The integers of [`Counter::below_at`] at positions `start`, `start + 1`, ...
    ///
    /// # Errors
    /// If the context has no kernel for it.
    pub fn fill_below(&self, cx: &Context, start: u64, n: u32, out: &mut [u32]) -> Result<()> {
        Ok(philox_below(cx, &self.integers(), n, start, out.into())?)
    }

    /// A uniform number in [0, 1): a multiple of 2^-53.
    #[must_use]
    pub fn uniform_at(&self, position: u64) -> f64 {
        self.uniforms().uniform(position)
    }

    /// A standard normal number, of [`Words::normals`].
    #[must_use]
    pub fn normal_at(&self, position: u64) -> f64 {
        self.normals().normals(position / 2)[(position % 2) as usize]
    }

    /// The normal numbers of positions `start`, `start + 1`, ...
    pub fn fill_normal(&self, start: u64, out: &mut [f64]) {
        fill(start, out, |pair| self.normals().normals(pair));
    }

    /// The words of [`Counter::u32_at`] and [`Counter::below_at`], for kernels.
    pub(crate) fn integers(&self) -> Words {
        self.words(Kind::Word)
    }

    /// The words of [`Counter::uniform_at`], for kernels.
    pub(crate) fn uniforms(&self) -> Words {
        self.words(Kind::Uniform)
    }

    /// The words of [`Counter::normal_at`], for kernels.
    pub(crate) fn normals(&self) -> Words {
        self.words(Kind::Normal)
    }

    fn words(&self, kind: Kind) -> Words {
        Words { key: self.key, upper: [self.stream.id(), kind as u32] }
    }

    fn block(&self, kind: Kind, index: u64) -> [u32; 4] {
        self.words(kind).block(index)
    }
}

/// The sequential generator for initialisation and data: xoshiro256++, started from two Philox blocks (kind 4) of the
/// seed and stream.
#[must_use]
pub fn sequential(seed: u64, stream: Stream) -> Xoshiro256PlusPlus {
    let counter = Counter::new(seed, stream);
    let mut state = [0; 32];
    for (index, half) in state.chunks_exact_mut(16).enumerate() {
        let words = counter.block(Kind::Sequential, index as u64);
        for (bytes, word) in half.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
    }
    Xoshiro256PlusPlus::from_seed(state)
}

/// Fills `out` with standard normal numbers, in order, from a sequential generator.
pub fn standard_normals<R: Rng + ?Sized>(rng: &mut R, out: &mut [f64]) {
    out.fill_with(|| StandardNormal.sample(rng));
}

/// Writes the draws `start..` where `group(g)` gives those at `N g .. N (g + 1)`.
fn fill<T: Copy, const N: usize>(start: u64, mut out: &mut [T], group: impl Fn(u64) -> [T; N]) {
    let mut index = start / N as u64;
    let mut skip = (start % N as u64) as usize;
    while !out.is_empty() {
        let (now, later) = out.split_at_mut(out.len().min(N - skip));
        now.copy_from_slice(&group(index)[skip..skip + now.len()]);
        out = later;
        skip = 0;
        index += 1;
    }
}

#[cfg(test)]
mod tests {
    use handgrad_kernels::philox::uniforms;

    use super::*;

    const SEED: u64 = 0x0123_4567_89ab_cdef;
    const STREAMS: [Stream; 5] = [Stream::Init, Stream::Data, Stream::Order, Stream::Noise, Stream::Augment];

    /// Words and uniforms of an independent Philox, normals from 60 digits.
    #[test]
    fn draws_are_those_of_the_documented_counters() {
        let noise = Counter::new(SEED, Stream::Noise);
        let words = [0x4f1c_02a1, 0x4169_88c3, 0x2e66_62d0, 0xf08d_6a0e, 0xefd9_4150, 0xb679_1cd7];
        for (position, word) in words.into_iter().enumerate() {
            assert_eq!(noise.u32_at(position as u64), word);
        }
        assert_eq!(noise.uniform_at(4), f64::from_bits(0x3fed_e2d0_0a37_1b17));
        assert_eq!(noise.uniform_at(5), f64::from_bits(0x3fed_61d2_c3d8_355d));
        let normals = [
            (0, -0.557_625_255_350_882_3, 0xbfe1_d810_eb64_fb67),
            (1, -0.324_885_556_070_312_4, 0xbfd4_caec_c990_f1ee),
            // Another library's logarithm, and its cosine, differ here in the last bit.
            (916, 0.861_449_478_061_107_6, 0x3feb_90fe_7eed_b821),
            (1_000_001, -0.554_946_796_720_332_1, 0xbfe1_c21f_c8dd_e195),
        ];
        for (position, expected, bits) in normals {
            let normal = noise.normal_at(position);
            let error = (normal - expected).abs();
            assert!(error <= 2e-16, "position {position}: off by {error:e}");
            assert_eq!(normal.to_bits(), bits, "position {position}");
        }
    }

    #[test]
    fn fill_equals_at_for_every_start_and_length() {
        let cx = Context::cpu().unwrap();
        let counter = Counter::new(SEED, Stream::Order);
        for start in [0, 1, 2, 3, 17, 31, 32, 33, 4 * (1 << 32) - 21, (1 << 63) + 7] {
            for length in [0, 1, 2, 3, 5, 15, 31, 32, 33, 64, 101] {
                let positions = start..start + length as u64;
                let mut integers = vec![0; length];
                counter.fill_below(&cx, start, 80, &mut integers).unwrap();
                assert!(positions.clone().map(|p| counter.below_at(p, 80)).eq(integers));
                let mut normals = vec![0.0; length];
                counter.fill_normal(start, &mut normals);
                assert!(positions.map(|p| counter.normal_at(p)).eq(normals));
            }
        }
    }

    #[test]
    fn seeds_streams_and_kinds_share_no_word() {
        let mut seen = std::collections::HashSet::new();
        for seed in [0, 1, 1 << 32, u64::MAX] {
            for stream in STREAMS {
                for kind in [Kind::Word, Kind::Uniform, Kind::Normal, Kind::Permutation, Kind::Sequential] {
                    for index in [0, 1, 1 << 32] {
                        let block = Counter::new(seed, stream).block(kind, index);
                        assert!(seen.insert(block), "{seed} {stream:?} {index}");
                    }
                }
            }
        }
    }

    #[test]
    fn stream_names_and_numbers_stay() {
        let names = STREAMS.map(|stream| (stream.as_str(), stream.id()));
        let expected = [("init", 0), ("data", 1), ("order", 2), ("noise", 3), ("augment", 4)];
        assert_eq!(names, expected);
    }

    #[test]
    fn integers_are_uniform() {
        let mut counts = [0_u32; 80];
        let mut draws = vec![0; 80_000];
        Counter::new(SEED, Stream::Order).fill_below(&Context::cpu().unwrap(), 5, 80, &mut draws).unwrap();
        for draw in draws {
            counts[draw as usize] += 1;
        }
        let chi_square: f64 = counts.iter().map(|&count| (f64::from(count) - 1000.0).powi(2) / 1000.0).sum();
        // 79 degrees of freedom: mean 79, standard deviation 12.6.
        assert!((35.0..135.0).contains(&chi_square), "{chi_square}");
    }

    #[test]
    fn uniforms_reach_both_ends() {
        assert_eq!(uniforms([u32::MAX; 4]), [1.0 - 0.5 * f64::EPSILON; 2]);
        assert_eq!(uniforms([0; 4]), [0.0; 2]);
    }

    #[test]
    fn normals_have_the_moments_of_the_normal_law() {
        let mut counter_based = vec![0.0; 1 << 17];
        Counter::new(SEED, Stream::Noise).fill_normal(1, &mut counter_based);
        let mut ziggurat = vec![0.0; 1 << 17];
        standard_normals(&mut sequential(SEED, Stream::Init), &mut ziggurat);
        for normals in [counter_based, ziggurat] {
            let mean = |f: &dyn Fn(&[f64]) -> f64| normals.windows(2).map(f).sum::<f64>() / (normals.len() - 1) as f64;
            // Each bound is about five standard errors: sqrt(variance of the statistic / 2^17).
            let checks = [
                ("mean", mean(&|x| x[0]), 0.0, 0.014),
                ("variance", mean(&|x| x[0] * x[0]), 1.0, 0.02),
                ("third moment", mean(&|x| x[0].powi(3)), 0.0, 0.054),
                ("fourth moment", mean(&|x| x[0].powi(4)), 3.0, 0.136),
                ("neighbours", mean(&|x| x[0] * x[1]), 0.0, 0.014),
                ("squares of neighbours", mean(&|x| (x[0] * x[1]).powi(2)), 1.0, 0.04),
            ];
            for (what, value, expected, tolerance) in checks {
                assert!((value - expected).abs() <= tolerance, "{what}: {value}");
            }
        }
    }

    /// The state's derivation, xoshiro256++ and the ziggurat are all part of the results.
    #[test]
    fn sequential_normals_stay() {
        let cases: [(u64, [u64; 8]); 2] = [
            (
                0,
                [
                    0xbfdb_d911_c976_e2a4,
                    0x3ffd_4e04_89c8_28af,
                    0x3fd9_f157_45f2_599b,
                    0x3ff4_570c_0682_6676,
                    0x3fd3_cccb_4977_245c,
                    0xbfe7_8b74_519c_a65c,
                    0xbfc8_abec_df67_a643,
                    0x3fbc_b8ee_4944_d04e,
                ],
            ),
            (
                1,
                [
                    0x3fe5_4beb_8b1b_e94f,
                    0x3ff7_0b03_6f9d_45b3,
                    0xbffd_873c_a860_1e47,
                    0x3ff5_179e_7402_4db5,
                    0xbfcc_5a79_a5a2_fcab,
                    0x3fa5_3e32_6b3c_997d,
                    0x3fe3_416a_b3e3_d7bd,
                    0x3ff8_c8c3_cc4f_d65b,
                ],
            ),
        ];
        for (seed, expected) in cases {
            let mut normals = [0.0; 8];
            standard_normals(&mut sequential(seed, Stream::Init), &mut normals);
            assert_eq!(normals.map(f64::to_bits), expected);
        }
        let first = STREAMS.map(|stream| sequential(0, stream).next_u64());
        let distinct: std::collections::HashSet<_> = first.iter().collect();
        assert_eq!(distinct.len(), STREAMS.len());
    }
}

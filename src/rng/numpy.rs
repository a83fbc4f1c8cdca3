//! NumPy's legacy generator.

use rand_mt::Mt;

/// `numpy.random.RandomState(seed)`: the draws of NumPy's legacy generator, value for value.
///
/// MT19937 seeded by one integer, the polar method for normals, rejection under a bit mask for integers. NumPy keeps this
/// generator frozen (NEP 19), so a data set published as a seed can be drawn again.
///
/// Words, uniforms and integers are the same everywhere. A normal goes through the C library's logarithm, in NumPy as
/// here: with glibc 2.28 or newer on a processor with fused multiply-add it is the same bit for bit. Without that
/// instruction about one in ten thousand differs in its last bit; another C library may differ more often.
#[derive(Clone, Debug)]
pub struct RandomState {
    words: Mt,
    /// The second normal of a pair, waiting for the next call.
    spare: Option<f64>,
}

impl RandomState {
    /// `RandomState(seed)` for an integer seed; NumPy accepts the same range.
    #[must_use]
    pub fn new(seed: u32) -> Self {
        Self { words: Mt::new(seed), spare: None }
    }

    /// `random_sample()`: uniform in [0, 1), a multiple of 2^-53.
    pub fn random_sample(&mut self) -> f64 {
        let high = u64::from(self.words.next_u32() >> 5);
        let low = u64::from(self.words.next_u32() >> 6);
        (high << 26 | low) as f64 * (0.5 * f64::EPSILON)
    }

    /// `standard_normal()`: the polar method of Marsaglia makes two numbers from a point of the unit disc; the one of the
    /// second coordinate comes first.
    pub fn standard_normal(&mut self) -> f64 {
        if let Some(normal) = self.spare.take() {
            return normal;
        }
        loop {
            let x = 2.0 * self.random_sample() - 1.0;
            let y = 2.0 * self.random_sample() - 1.0;
            let square = x * x + y * y;
            if square < 1.0 && square != 0.0 {
                // Not the libm crate's logarithm: one in fourteen of its results differs from glibc's.
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(factor * x);
                return factor * y;
            }
        }
    }

    /// `standard_normal(size)`: fills `out` in row-major order.
    pub fn standard_normals(&mut self, out: &mut [f64]) {
        out.fill_with(|| self.standard_normal());
    }

    /// `randint(high)`: a uniform integer in `0..high`, by NumPy's default type int64. A `high` of 1 draws nothing; 0,
    /// which NumPy refuses, is taken as 1.
    pub fn randint(&mut self, high: u32) -> u32 {
        let largest = high.saturating_sub(1);
        if largest == 0 {
            return 0;
        }
        let mask = u32::MAX >> largest.leading_zeros();
        loop {
            let value = self.words.next_u32() & mask;
            if value <= largest {
                return value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six normals: three pairs of the polar method.
    #[test]
    fn normals_are_numpys() {
        let cases: [(u32, [u64; 6]); 3] = [
            (
                0,
                [
                    0x3ffc_398e_f3e5_cfa5,
                    0x3fd9_9c2c_facc_8953,
                    0x3fef_51d2_5222_c9ab,
                    0x4001_ed59_69e3_314e,
                    0x3ffd_e184_7cb1_3dda,
                    0xbfef_45dc_42a5_8c82,
                ],
            ),
            (
                1,
                [
                    0x3ff9_fd51_9065_7c50,
                    0xbfe3_9382_2fb7_d9ad,
                    0xbfe0_e6c8_7254_8fd2,
                    0xbff1_2ae1_255c_b80c,
                    0x3feb_b16b_5735_117d,
                    0xc002_698d_1ecc_a259,
                ],
            ),
            (
                42,
                [
                    0x3fdf_ca2a_28a9_307c,
                    0xbfc1_b2a5_05de_052a,
                    0x3fe4_b9dd_5024_5e68,
                    0x3ff8_5e54_8e01_aa2b,
                    0xbfcd_f8bc_df57_a640,
                    0xbfcd_f833_2670_db3b,
                ],
            ),
        ];
        for (seed, expected) in cases {
            let mut normals = [0.0; 6];
            RandomState::new(seed).standard_normals(&mut normals);
            assert_eq!(normals.map(f64::to_bits), expected, "seed {seed}");
        }
    }

    /// The first normal whose last bit depends on the choice of logarithm.
    #[test]
    fn the_logarithm_is_numpys() {
        let mut normals = [0.0; 123];
        RandomState::new(0).standard_normals(&mut normals);
        assert_eq!(normals[122].to_bits(), 0x3fd3_1655_9128_8f8b);
    }

    #[test]
    fn integers_are_numpys() {
        let mut state = RandomState::new(1);
        let draws: [u32; 20] = std::array::from_fn(|_| state.randint(80));
        let expected = [37, 12, 72, 9, 75, 5, 79, 64, 16, 1, 76, 71, 6, 25, 50, 20, 18, 11, 28, 29];
        assert_eq!(draws, expected);
        let mut state = RandomState::new(u32::MAX);
        let draws: [u32; 3] = std::array::from_fn(|_| state.randint(1_000_000_000));
        assert_eq!(draws, [419_326_371, 479_346_978, 697_429_004]);
    }

    #[test]
    fn uniforms_are_numpys() {
        let mut state = RandomState::new(42);
        let draws: [u64; 4] = std::array::from_fn(|_| state.random_sample().to_bits());
        let expected = [0x3fd7_f877_1e5f_51ec, 0x3fee_6c40_68bb_d654, 0x3fe7_6c7e_8f1e_6751, 0x3fe3_2835_d663_2cb0];
        assert_eq!(draws, expected);
    }

    /// The second normal of a pair waits while other draws go on.
    #[test]
    fn mixed_draws_are_numpys() {
        let mut state = RandomState::new(7);
        assert_eq!(state.standard_normal().to_bits(), 0x3ffb_0c64_ae2d_eb29);
        assert_eq!([state.randint(1), state.randint(1000)], [0, 348]);
        assert_eq!(state.standard_normal().to_bits(), 0xbfdd_d1ea_fa1d_414d);
        assert_eq!(state.randint(64), 57);
        assert_eq!(state.random_sample().to_bits(), 0x3fe1_3b5b_b10e_3428);
        assert_eq!(state.randint(u32::MAX), 2_152_296_008);
        assert_eq!(state.randint((1 << 31) + 1), 372_560_217);
    }
}

//! SGD on one-dimensional regression that a weight interpolates: w - w* is multiplied by 1 - λ·mean(x²) in every step.

use super::normal::mean_log_one_minus_square;
use super::quadrature::{over_mean_squares, root};

/// What two levels of a quadrature agree to.
const EXACT: f64 = 1e-14;

/// m(λ) = E log|1 - (λ/S) Σ x_j²| for x ~ N(0, 1) and batches of S: closed form for S = 1, else a quadrature. Error below 1e-12.
#[must_use]
pub fn exponent(lambda: f64, batch: u64) -> f64 {
    if batch == 1 {
        return mean_log_one_minus_square(lambda);
    }
    over_mean_squares(batch, lambda.recip(), EXACT, |_, distance| (lambda * distance).ln())
}

/// m(λ) = (1/N) Σ log|1 - λx_i²| of a finite data set, batches of 1, from the squares x_i² (equation 7); -∞ at λ = 1/x_i².
#[must_use]
pub fn exponent_of_data(lambda: f64, squares: &[f64]) -> f64 {
    // Summed as far as one product neither overflows nor vanishes: a logarithm costs as much as twenty products.
    let logarithm = |part: &[f64]| part.iter().map(|square| (1.0 - lambda * square).abs()).product::<f64>().ln();
    let largest = squares.iter().fold(1.0, |most, square| f64::max(most, (1.0 - lambda * square).abs()));
    match largest < 1e30 {
        true => squares.chunks(8).map(logarithm).sum::<f64>() / squares.len() as f64,
        false => squares.iter().map(|square| (1.0 - lambda * square).abs().ln()).sum::<f64>() / squares.len() as f64,
    }
}

/// The largest λ at which SGD on Gaussian data converges in probability, m(λ) = 0. Error below 1e-11.
#[must_use]
pub fn critical(batch: u64) -> f64 {
    let mut high = 2.0;
    while exponent(high, batch) < 0.0 {
        high *= 2.0;
    }
    root(1.0, high, |lambda| exponent(lambda, batch))
}

/// Largest step sizes that are stable in a moment, from E x² and E x⁴.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MomentBounds {
    /// E w² falls: 2S E x²/(E x⁴ + (S-1) (E x²)²).
    pub mean_square: f64,
    /// The same as printed in equations 4 and 21, which count (S-1)² cross terms and one of E x⁴:
    /// 2S² E x²/(E x⁴ + (S-1)² (E x²)²). Right for S = 1 only; for S > 1 it can exceed that of gradient descent.
    pub mean_square_printed: f64,
    /// Equation 22, for Gaussian data, which says it is the same: (2/E x²)·S²/(3S + (S-1)²).
    pub mean_square_gaussian_printed: f64,
    /// A stationary distribution stays: (2/E x²)/(1 + 1/S).
    pub stationary: f64,
    /// Gradient descent: 2/E x².
    pub gradient_descent: f64,
}

impl MomentBounds {
    /// The bounds for batches of S.
    #[must_use]
    pub fn new(batch: u64, second: f64, fourth: f64) -> Self {
        let s = batch as f64;
        let others = (s - 1.0) * second * second;
        Self {
            mean_square: 2.0 * s * second / (fourth + others),
            mean_square_printed: 2.0 * s * s * second / (fourth + (s - 1.0) * others),
            mean_square_gaussian_printed: 2.0 / second * s * s / (3.0 * s + (s - 1.0).powi(2)),
            stationary: 2.0 / second / (1.0 + 1.0 / s),
            gradient_descent: 2.0 / second,
        }
    }

    /// For x ~ N(0, 1).
    #[must_use]
    pub fn gaussian(batch: u64) -> Self {
        Self::new(batch, 1.0, 3.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy and mpmath: (S, λ, m).
    const EXPONENTS: [(u64, f64, f64); 18] = [
        (1, 0.1, -0.124_672_245_513_671_38),
        (1, 0.25, -0.345_590_638_972_113_95),
        (1, 0.5, -0.484_626_765_823_264_86),
        (1, 1.0, -0.416_991_636_869_388_56),
        (1, 1.5, -0.266_164_571_930_680_44),
        (1, 2.0, -0.116_246_992_054_498_52),
        (1, 2.5, 0.020_624_592_802_888_458),
        (1, 3.0, 0.143_858_758_242_988_16),
        (1, 4.0, 0.355_852_973_447_826_3),
        (2, 1.0, -0.697_174_883_2),
        (4, 0.25, -0.329_578_985_360_609),
        (4, 0.5, -0.797_760_039_318_103_5),
        (4, 1.0, -1.011_448_129_370_219_8),
        (4, 1.5, -0.731_920_632_416_203_3),
        (4, 2.0, -0.394_349_766_470_132_15),
        (4, 2.5, -0.089_763_731_474_055_97),
        (4, 3.0, 0.171_440_229_256_183_85),
        (8, 1.0, -1.342_730_852_8),
    ];

    #[test]
    fn exponents_and_critical_step_sizes_are_those_of_scipy() {
        for (batch, lambda, want) in EXPONENTS {
            let got = exponent(lambda, batch);
            // Two of them are known to ten digits.
            let tolerance = if [2, 8].contains(&batch) { 1e-10 } else { 1e-12 };
            assert!((got - want).abs() <= tolerance, "S = {batch}, λ = {lambda}: {got} against {want}");
        }
        for (batch, want) in [(1, 2.421_249_521_036_836), (4, 2.662_995_668_706_913), (64, 2.068_811_215_878_114)] {
            let got = critical(batch);
            assert!((got - want).abs() <= 1e-10, "S = {batch}: {got} against {want}");
        }
    }

    #[test]
    fn the_quadrature_is_the_closed_form() {
        for lambda in [1e-3, 0.02, 0.3, 1.0, 2.0, 7.0, 300.0] {
            let quadrature = over_mean_squares(1, 1.0 / lambda, EXACT, |_, distance| (lambda * distance).ln());
            let error = (quadrature - exponent(lambda, 1)).abs();
            assert!(error <= 1e-12, "{lambda}: {error:e}");
        }
        // Batches without end are gradient descent.
        assert!((exponent(1.5, 100_000_000) - 0.5_f64.ln()).abs() <= 1e-6);
    }

    /// m is least at λ = .58545770602.
    #[test]
    fn the_minimum() {
        let (at, least) = (0.585_457_706_022_17, -0.490_714_128_453_761_56);
        assert!((exponent(at, 1) - least).abs() <= 1e-14);
        assert!(exponent(at * 1.001, 1) > least && exponent(at / 1.001, 1) > least);
    }

    #[test]
    fn a_data_set_of_draws_tends_to_the_law() {
        let mut x = vec![0.0; 200_000];
        crate::rng::standard_normals(&mut crate::rng::sequential(0, crate::rng::Stream::Data), &mut x);
        let squares: Vec<f64> = x.iter().map(|x| x * x).collect();
        for lambda in [0.1, 1.0, 2.5] {
            let (got, want) = (exponent_of_data(lambda, &squares), exponent(lambda, 1));
            assert!((got - want).abs() <= 0.015, "{lambda}: {got} against {want}");
        }
        assert_eq!(exponent_of_data(0.25, &[4.0, 1.0]), f64::NEG_INFINITY);
        // By hand, and where a product would overflow.
        assert!((exponent_of_data(1.0, &[3.0, 1.5]) - 0.5 * (2.0_f64.ln() + 0.5_f64.ln())).abs() <= 1e-16);
        let large = exponent_of_data(1e200, &[1.0, 1.0, 1.0]);
        assert!((large - 200.0 * 10.0_f64.ln()).abs() <= 1e-10, "{large}");
    }

    /// The specification's table, to the digits given; by hand for S = 2: 2·2/(3 + 1) = 1, printed 8/(3 + 1) = 2.
    #[test]
    fn moment_bounds() {
        for (batch, right, printed, gaussian, stationary) in [
            (1, 0.6667, 0.6667, 0.6667, 1.0),
            (2, 1.0, 2.0, 1.1429, 1.3333),
            (4, 1.3333, 2.6667, 1.5238, 1.6),
            (8, 1.6, 2.4615, 1.7534, 1.7778),
            (16, 1.7778, 2.2456, 1.8755, 1.8824),
            (64, 1.9394, 2.0624, 1.9688, 1.9692),
        ] {
            let bounds = MomentBounds::gaussian(batch);
            let pairs = [
                (bounds.mean_square, right),
                (bounds.mean_square_printed, printed),
                (bounds.mean_square_gaussian_printed, gaussian),
                (bounds.stationary, stationary),
                (bounds.gradient_descent, 2.0),
            ];
            assert!(pairs.iter().all(|(got, want)| (got - want).abs() <= 5.1e-5), "S = {batch}: {pairs:?}");
        }
    }
}

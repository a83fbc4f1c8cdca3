//! The saddle w = u = 0 of (uwx - y)²/2: with χ = xy, averaged over the batch, w - u is multiplied by 1 - λχ in every step and
//! w + u by 1 + λχ.

use serde::Serialize;

use super::normal::mean_log;
use super::quadrature::over_mean_squares;

/// The law of χ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Saddle {
    /// χ is 1 or a, with probability 1/2 each; batches of 1.
    TwoPoint {
        /// The other value.
        a: f64,
    },
    /// x ~ N(0, 1), y = μx + (1-μ)ε with ε ~ N(0, 4).
    Gaussian {
        /// The signal's share μ.
        mu: f64,
        /// Samples per step.
        batch: u64,
    },
}

/// Standard deviation of ε.
pub const NOISE: f64 = 2.0;

/// Lyapunov exponents of w - u and of w + u.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exponents {
    /// m₋ = E log|1 - λχ|.
    pub minus: f64,
    /// m₊ = E log|1 + λχ|.
    pub plus: f64,
}

/// What SGD does near the saddle (Figure 1b).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Phase {
    /// w - u vanishes, in mean square too: λ < 2E χ/E χ². It learns.
    Ia,
    /// w - u vanishes in probability only. It learns.
    Ib,
    /// w + u vanishes: what is learned has the wrong sign.
    II,
    /// Both vanish: SGD converges to the saddle.
    III,
    /// Neither vanishes.
    IV,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Phase; 5] = [Phase::Ia, Phase::Ib, Phase::II, Phase::III, Phase::IV];

    /// The phase of two exponents. III wins where it overlaps with the mean-square region, as it does a little.
    #[must_use]
    pub fn of(exponents: Exponents, mean_square: bool) -> Self {
        match (exponents.minus < 0.0, exponents.plus < 0.0) {
            (true, true) => Phase::III,
            (true, false) if mean_square => Phase::Ia,
            (true, false) => Phase::Ib,
            (false, true) => Phase::II,
            (false, false) => Phase::IV,
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Saddle {
    /// m₋ and m₊ at λ, to about 1e-12; -∞ where a value of χ makes w - u or w + u vanish in one step.
    #[must_use]
    pub fn exponents(self, lambda: f64) -> Exponents {
        self.exponents_to(lambda, 1e-14)
    }

    /// The same, where two levels of the quadrature agree to `tolerance`.
    #[must_use]
    pub fn exponents_to(self, lambda: f64, tolerance: f64) -> Exponents {
        match self {
            Saddle::TwoPoint { a } => {
                let of = |sign: f64| 0.5 * ((1.0 + sign * lambda).abs().ln() + (1.0 + sign * lambda * a).abs().ln());
                Exponents { minus: of(-1.0), plus: of(1.0) }
            }
            Saddle::Gaussian { mu, batch } => {
                // Given q = mean x², χ ~ N(μq, NOISE²(1-μ)²q/S).
                let spread = lambda * NOISE * (1.0 - mu).abs() / (batch as f64).sqrt();
                let of = |slope: f64| {
                    over_mean_squares(batch, -slope.recip(), tolerance, |q, distance| {
                        // |1 + slope·q|, from the distance to its zero where it has one among the q.
                        let centre = if slope < 0.0 { -slope * distance } else { 1.0 + slope * q };
                        mean_log(centre, spread * q.sqrt())
                    })
                };
                Exponents { minus: of(-lambda * mu), plus: of(lambda * mu) }
            }
        }
    }

    /// E (w - u)² falls for λ below 2E χ/E χ²; E χ² of a batch is (E χ₁² + (S-1) (E χ₁)²)/S.
    #[must_use]
    pub fn mean_square_bound(self) -> f64 {
        match self {
            Saddle::TwoPoint { a } => 2.0 * (1.0 + a) / (1.0 + a * a),
            Saddle::Gaussian { mu, batch } => {
                let s = batch as f64;
                2.0 * s * mu / (3.0 * mu * mu + (NOISE * (1.0 - mu)).powi(2) + (s - 1.0) * mu * mu)
            }
        }
    }

    /// The exponents and the phase at λ.
    #[must_use]
    pub fn phase(self, lambda: f64) -> (Exponents, Phase) {
        let exponents = self.exponents(lambda);
        (exponents, Phase::of(exponents, lambda < self.mean_square_bound()))
    }
}

/// Intervals of λ.
pub type Intervals = Vec<(f64, f64)>;

/// Where m₋ < 0 and where m₊ < 0 for the two-point law, in closed form: open intervals of λ > 0, which end at the roots of
/// |(1 ∓ λ)(1 ∓ λa)| = 1.
#[must_use]
pub fn two_point_intervals(a: f64) -> [Intervals; 2] {
    if a < -1.0 {
        // λχ = (λ|a|)·{-1/|a|, -1}: both exponents swap.
        let scaled = |intervals: Intervals| intervals.into_iter().map(|(low, high)| (low / -a, high / -a)).collect();
        let [minus, plus] = two_point_intervals(a.recip());
        return [scaled(plus), scaled(minus)];
    }
    if a == 0.0 {
        return [vec![(0.0, 2.0)], vec![]];
    }
    // The products are 1 at |λ| = (1 + a)/|a|, and -1 at the others, where these are real; `near` without cancellation.
    let (sum, square) = (1.0 + a, 1.0 - 6.0 * a + a * a);
    let meets = sum / a.abs();
    let others = (square >= 0.0).then(|| (4.0 / (sum + square.sqrt()), (sum + square.sqrt()) / (2.0 * a.abs())));
    match others {
        Some((near, far)) if a < 0.0 => [vec![(0.0, near)], vec![(meets, far)]],
        Some((near, far)) => [vec![(0.0, near), (far, meets)], vec![]],
        None => [vec![(0.0, meets)], vec![]],
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::SQRT_2;

    use super::*;
    use crate::theory::zeros;

    /// The specification: (a, Ia bound, L1, L-, L2).
    const NEGATIVE: [(f64, f64, f64, f64, f64); 5] = [
        (-1.0, 0.0, 0.0, SQRT_2, SQRT_2),
        (-0.6, 0.588_24, 0.666_667, 1.522_588, 2.189_255),
        (-0.5, 0.8, 1.0, 1.561_553, 2.561_553),
        (-0.4, 1.034_48, 1.5, 1.608_495, 3.108_495),
        (-0.1, 1.782_18, 9.0, 1.844_289, 10.844_289),
    ];

    #[test]
    fn two_point_boundaries_are_those_of_the_specification() {
        let near = |got: f64, want: f64| (got - want).abs() <= 1e-5;
        for (a, bound, first, minus, second) in NEGATIVE {
            let [of_minus, of_plus] = two_point_intervals(a);
            assert!(near(Saddle::TwoPoint { a }.mean_square_bound(), bound), "a = {a}");
            assert!(of_minus.len() == 1 && near(of_minus[0].1, minus), "a = {a}: {of_minus:?}");
            assert!(of_plus.len() == 1 && near(of_plus[0].0, first) && near(of_plus[0].1, second), "a = {a}: {of_plus:?}");
        }
        let [of_minus, of_plus] = two_point_intervals(0.1);
        assert!(of_plus.is_empty() && of_minus.len() == 2, "{of_minus:?}");
        assert!(near(of_minus[0].1, 2.298_438) && near(of_minus[1].0, 8.701_562) && near(of_minus[1].1, 11.0));
        for (a, end) in [(0.0, 2.0), (0.2, 6.0), (0.5, 3.0), (1.0, 2.0)] {
            assert_eq!(two_point_intervals(a)[0].len(), 1, "a = {a}");
            assert!(near(two_point_intervals(a)[0][0].1, end), "a = {a}");
        }
        // The triple point.
        let triple = (5.0_f64.sqrt() - 3.0) / 2.0;
        let [minus, plus] = two_point_intervals(triple);
        assert!((minus[0].1 - plus[0].0).abs() <= 1e-12 && near(minus[0].1, 1.618_034));
    }

    /// Every closed form against the signs of the exponents on a grid.
    #[test]
    fn two_point_intervals_are_where_the_exponents_are_negative() {
        for a in [-7.0, -2.5, -1.0, -0.7, -0.3, -0.05, 0.0, 0.05, 0.15, 0.3, 0.9, 1.0, 2.0, 5.0, 6.5, 20.0] {
            let [minus, plus] = two_point_intervals(a);
            let inside = |intervals: &Intervals, lambda: f64| intervals.iter().any(|&(low, high)| low < lambda && lambda < high);
            for k in 1..4000 {
                let lambda = 0.003_123_456 * f64::from(k);
                let exponents = Saddle::TwoPoint { a }.exponents(lambda);
                let near = minus.iter().chain(&plus).any(|&(low, high)| (low - lambda).abs().min((high - lambda).abs()) < 1e-9);
                assert!(near || (exponents.minus < 0.0) == inside(&minus, lambda), "a = {a}, λ = {lambda}: {minus:?}");
                assert!(near || (exponents.plus < 0.0) == inside(&plus, lambda), "a = {a}, λ = {lambda}: {plus:?}");
            }
        }
    }

    #[test]
    fn phases_of_the_two_point_law_are_those_simulated() {
        let phase = |a: f64, lambda: f64| Saddle::TwoPoint { a }.phase(lambda).1;
        let at = [0.5, 0.9, 1.2, 2.0, 3.0].map(|lambda| phase(-0.5, lambda));
        assert_eq!(at, [Phase::Ia, Phase::Ib, Phase::III, Phase::II, Phase::IV]);
        assert_eq!([1.0, 3.0, 4.5].map(|lambda| phase(-0.2, lambda)), [Phase::Ia, Phase::IV, Phase::II]);
        assert_eq!([2.0, 2.5, 3.5].map(|lambda| phase(0.5, lambda)), [Phase::Ia, Phase::Ib, Phase::IV]);
        // χ = 1 ends w - u in one step.
        assert_eq!(Saddle::TwoPoint { a: -0.2 }.exponents(1.0).minus, f64::NEG_INFINITY);
    }

    /// Signs of the exponents from left to right of every zero.
    fn boundaries(mu: f64, batch: u64) -> [Vec<f64>; 2] {
        let saddle = Saddle::Gaussian { mu, batch };
        let points: Vec<f64> = (0..160).map(|k| 0.004 * 1.055_f64.powi(k)).take_while(|&lambda| lambda < 16.0).collect();
        let of = |side: fn(Exponents) -> f64| zeros(&points, |lambda| side(saddle.exponents_to(lambda, 1e-11)));
        [of(|e| e.minus), of(|e| e.plus)]
    }

    #[test]
    fn boundaries_of_gaussian_data_are_those_of_the_specification() {
        // (μ, S, Ia bound, zeros of m+, zero of m-).
        let rows: [(f64, u64, f64, &[f64], f64); 10] = [
            (0.02, 1, 0.010_409, &[0.010_403, 0.770_237], 0.790_666),
            (0.06, 1, 0.033_849, &[0.033_625, 0.778_524], 0.845_260),
            (0.1, 1, 0.061_162, &[0.059_716, 0.782_834], 0.904_682),
            (0.2, 1, 0.149_254, &[0.142_083, 0.760_030], 1.077_750),
            (0.3, 1, 0.269_058, &[0.361_297, 0.565_868], 1.292_662),
            (0.4, 1, 0.416_67, &[], 1.556_466),
            (0.9, 1, 0.728_74, &[], 2.614_660),
            (0.06, 4, 0.134_983, &[0.133_144, 1.603_337], 1.814_633),
            (0.06, 16, 0.533_452, &[0.509_052, 2.910_594], 3.682_838),
            (0.06, 128, 3.837_697, &[], 11.203_089),
        ];
        for (mu, batch, bound, plus, minus) in rows {
            let [of_minus, of_plus] = boundaries(mu, batch);
            assert!((Saddle::Gaussian { mu, batch }.mean_square_bound() - bound).abs() <= 5e-6, "{mu} {batch}");
            let near = |got: &[f64], want: &[f64]| {
                got.len() == want.len() && got.iter().zip(want).all(|(got, want)| (got - want).abs() <= 1e-6)
            };
            assert!(near(&of_plus, plus) && near(&of_minus, &[minus]), "{mu} {batch}: {of_plus:?} {of_minus:?}");
        }
    }

    #[test]
    fn phases_of_gaussian_data_are_those_of_the_specification() {
        use Phase::{III, IV, Ia, Ib};
        let lambdas = [0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0];
        for (mu, phases) in [
            (0.1, [Ia, III, III, III, III, Ib, IV, IV, IV]),
            (0.4, [Ia, Ia, Ia, Ia, Ib, Ib, Ib, Ib, IV]),
            (0.9, [Ia, Ia, Ia, Ia, Ia, Ib, Ib, Ib, Ib]),
        ] {
            let found = lambdas.map(|lambda| Saddle::Gaussian { mu, batch: 1 }.phase(lambda).1);
            assert_eq!(found, phases, "μ = {mu}");
        }
        // III and the mean-square region overlap: III wins.
        let overlap = Saddle::Gaussian { mu: 0.2, batch: 1 };
        assert!(0.145 < overlap.mean_square_bound());
        assert_eq!(overlap.phase(0.145).1, III);
        assert_eq!(Saddle::Gaussian { mu: 0.06, batch: 128 }.phase(0.5).1, Ia);
        // The tip of III: μ = .30790, λ = .46343.
        assert_eq!(Saddle::Gaussian { mu: 0.307_89, batch: 1 }.phase(0.463_43).1, III);
        let tip = Saddle::Gaussian { mu: 0.307_91, batch: 1 };
        assert!((1..200).all(|k| tip.exponents(0.005 * f64::from(k)).plus > 0.0));
    }

    /// μ = 1: χ = x², and m₋ is that of regression. μ = 0: both exponents agree.
    #[test]
    fn ends_of_the_range_of_mu() {
        for lambda in [0.3, 1.0, 2.5] {
            for batch in [1, 4] {
                let regression = crate::theory::regression::exponent(lambda, batch);
                let minus = Saddle::Gaussian { mu: 1.0, batch }.exponents(lambda).minus;
                assert!((minus - regression).abs() <= 1e-11, "{lambda} {batch}: {minus} against {regression}");
                let Exponents { minus, plus } = Saddle::Gaussian { mu: 0.0, batch }.exponents(lambda);
                assert!((minus - plus).abs() <= 1e-13, "{lambda} {batch}");
                let Exponents { minus, plus } = Saddle::Gaussian { mu: -0.3, batch }.exponents(lambda);
                assert!(minus > plus, "a negative μ turns the signs");
            }
        }
    }
}

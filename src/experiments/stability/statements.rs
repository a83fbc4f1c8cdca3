//! What the statements of the text are checked with: walks of one or a few numbers, drawn from a seed.

use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

use crate::claims::{Claim, Evidence};
use crate::run::line;
use crate::theory::regression::MomentBounds;
use crate::theory::saddle::NOISE;
use crate::theory::{root, tail};

pub(super) fn normal(stream: &mut impl Rng) -> f64 {
    StandardNormal.sample(stream)
}

/// Proposition 3: the share of walks that have not reached w* after 0, 1, ... steps with λ = 1/x_1², of n samples.
pub(super) fn away(stream: &mut impl Rng, n: u32, steps: usize, walks: usize) -> Vec<f64> {
    let mut away = vec![0.0; steps];
    for _ in 0..walks {
        // x_i² = i, so that λ = 1 and the first sample ends the walk.
        let mut distance = 1.0_f64;
        for share in &mut away {
            *share += f64::from(u8::from(distance != 0.0)) / walks as f64;
            distance *= 1.0 - f64::from(1 + stream.random_range(0..n));
        }
    }
    away
}

/// Equation 8: half the width in λ of where m < 0 around 1/x², with one outlier beside.
pub(super) fn half_width(square: f64, outlier: f64) -> f64 {
    // log|1 - λx²| + log|1 - λ·outlier| in terms of δ = λ - 1/x².
    let m = |delta: f64| (delta * square).abs().ln() + (1.0 - (delta + square.recip()) * outlier).abs().ln();
    let furthest = 0.5 / square;
    0.5 * (root(0.0, furthest, m) - root(-furthest, 0.0, m))
}

/// A walk near a minimum in two dimensions: x has variances `h`, w -= λ x (xᵀw). Kept at norm 1 beside its logarithm.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    pub w: [f64; 2],
    pub log_norm: f64,
}

impl Walk {
    pub fn step(&mut self, stream: &mut impl Rng, h: [f64; 2], lambda: f64) {
        let x = h.map(|h| h.sqrt() * normal(stream));
        let product = lambda * (x[0] * self.w[0] + x[1] * self.w[1]);
        let w = [self.w[0] - product * x[0], self.w[1] - product * x[1]];
        let norm = w[0].hypot(w[1]);
        self.log_norm += norm.ln();
        self.w = w.map(|w| w / norm);
    }
}

/// Appendix A.3's bounding walk: back to `start` with probability 1/n, else z -> az + b. Slope of log P(z >= level j) over
/// log level j, for j that have enough visits; and the largest z.
pub(super) fn tail_of_walk(stream: &mut impl Rng, n: u32, (start, a, b): (f64, f64, f64), steps: usize) -> (f64, f64) {
    let (mut z, mut largest, mut counts) = (start, start, vec![0usize; 200]);
    let mut index = 0;
    for _ in 0..steps {
        (z, index) = if stream.random_range(0..n) == 0 { (start, 0) } else { (a * z + b, index + 1) };
        counts[index.min(199)] += 1;
        largest = z.max(largest);
    }
    let mut above = steps;
    let mut points = Vec::new();
    for (j, count) in counts.into_iter().enumerate() {
        // Where levels already grow by a, and before counts are few.
        if j >= 5 && above >= 1000 {
            points.push((tail::level(start, a, b, j as i32).ln(), (above as f64).ln()));
        }
        above -= count;
    }
    (line(&points).map_or(f64::NAN, |(slope, _)| -slope), largest)
}

/// The top Lyapunov exponent at the saddle of |U·W·x - y|²/2 with x in d dimensions: a hidden neuron's (w, u) follows
/// w += λ(u·y)x, u += λ(w·x)y with y = μx + (1-μ)ε.
pub(super) fn saddle_exponent(stream: &mut impl Rng, d: usize, mu: f64, lambda: f64, steps: u64) -> f64 {
    let mut draw = || normal(stream);
    let mut w: Vec<f64> = (0..d).map(|_| draw()).collect();
    let mut u: Vec<f64> = (0..d).map(|_| draw()).collect();
    let (mut x, mut y) = (vec![0.0; d], vec![0.0; d]);
    let mut sum = 0.0;
    // The first tenth turns the start into the direction that grows most.
    let transient = steps / 10;
    for step in 0..steps {
        for (x, y) in x.iter_mut().zip(&mut y) {
            *x = draw();
            *y = mu * *x + (1.0 - mu) * NOISE * draw();
        }
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (to_w, to_u) = (lambda * dot(&u, &y), lambda * dot(&w, &x));
        w.iter_mut().zip(&x).for_each(|(w, x)| *w += to_w * x);
        u.iter_mut().zip(&y).for_each(|(u, y)| *u += to_u * y);
        let norm = (dot(&w, &w) + dot(&u, &u)).sqrt();
        w.iter_mut().chain(&mut u).for_each(|value| *value /= norm);
        sum += if step >= transient { norm.ln() } else { 0.0 };
    }
    sum / (steps - transient) as f64
}

/// Of a data set's squares: x_min² times the last zero of m, less 1, as a logarithm. There all other factors are at their
/// largest, so that the window around 1/x_min² is as narrow as their product is large.
pub(super) fn log_last_window(squares: &[f64]) -> f64 {
    let least = squares.iter().copied().fold(f64::INFINITY, f64::min);
    -squares.iter().filter(|&&square| square > least).map(|square| (square / least - 1.0).abs().ln()).sum::<f64>()
}

/// The bounds of convergence in mean square that the text prints, against what they say: at the bound E w² neither grows nor falls.
pub(super) fn moments() -> Vec<Claim> {
    let batches = [1u64, 2, 4, 8, 16, 64];
    // E[(1 - λQ)²] = 1 - 2λ + λ²(1 + 2/S) for the mean Q of S squares of N(0, 1).
    let exact = |what: &str, of: fn(&MomentBounds) -> f64| {
        let off = |batch: u64| {
            let (lambda, s) = (of(&MomentBounds::gaussian(batch)), batch as f64);
            (-2.0 * lambda + lambda * lambda * (1.0 + 2.0 / s)).abs()
        };
        let held = batches.iter().filter(|&&batch| off(batch) <= 1e-12).count();
        Evidence::grid(format!("{what}: E[w²] is multiplied by 1, Gaussian data, S from 1 to 64"), held, batches.len(), "")
    };
    // One outlier's square c beside zeros: E[x²] = c/N, E[x⁴] = c²/N.
    let outlier = |what: &str, of: fn(f64, f64) -> f64| {
        let cases = [(10.0, 1e2), (100.0, 1e4), (1000.0, 1e6)];
        let held =
            cases.iter().filter(|&&(n, c)| (MomentBounds::new(1, c / n, c * c / n).mean_square / of(n, c) - 1.0).abs() <= 1e-12);
        Evidence::grid(format!("{what}, three outliers"), held.count(), cases.len(), "")
    };
    let below =
        batches.iter().map(|&batch| MomentBounds::gaussian(batch)).filter(|of| of.mean_square_printed <= of.gradient_descent);
    let below = Evidence::grid("at most that of gradient descent, S from 1 to 64", below.count(), batches.len(), "");
    vec![
        Claim::all(
            "moments",
            "E[w²] converges for λ below 2S²E[x²]/(E[x⁴] + (S-1)²E[x²]²)",
            "equations 4 and 21 as printed",
            vec![exact("equation 4", |of| of.mean_square_printed), below],
        ),
        Claim::all(
            "moments-gaussian",
            "for Gaussian data that is (2/E[x²])·S²/(3S + (S-1)²)",
            "equation 22 as printed, another number",
            vec![exact("equation 22", |of| of.mean_square_gaussian_printed)],
        ),
        Claim::all(
            "moments-right",
            "the bound is 2S E[x²]/(E[x⁴] + (S-1)E[x²]²)",
            "ours",
            vec![exact("with S(S-1) cross terms and S fourth moments", |of| of.mean_square)],
        ),
        Claim::all(
            "outlier",
            "with an extreme outlier c the bound is 2/(Nc), an order of magnitude below that in probability",
            "equation 27 and section 4.1 as printed",
            vec![outlier("equation 27", |n, c| 2.0 / (n * c))],
        ),
        Claim::all(
            "outlier-right",
            "it is 2/c, of the order of the first zero of m",
            "ours",
            vec![outlier("2/c", |_, c| 2.0 / c)],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Stream, sequential};
    use crate::theory::regression::exponent_of_data;
    use crate::theory::saddle::Saddle;

    #[test]
    fn windows_are_where_the_exponent_is_negative() {
        let width = half_width(4.0, 400.0);
        assert!((400.0 * width - 1.0).abs() <= 0.02, "{width}");
        // Solved by hand for small windows: 1/(outlier - x²).
        assert!((half_width(4.0, 1e6) * (1e6 - 4.0) - 1.0).abs() <= 1e-5);
        let squares = [0.5, 2.0, 3.0];
        let last = (1.0 + log_last_window(&squares).exp()) / 0.5;
        let product = |lambda: f64| 3.0 * exponent_of_data(lambda, &squares);
        assert!(product(2.0 + 0.3 * (last - 2.0)) < 0.0 && product(2.0 + 3.0 * (last - 2.0)) > 0.0, "{last}");
    }

    #[test]
    fn the_saddle_in_one_dimension_is_that_of_the_theory() {
        for (mu, lambda) in [(0.06, 0.1), (0.06, 1.5), (0.5, 1.0)] {
            let exponents = Saddle::Gaussian { mu, batch: 1 }.exponents(lambda);
            let found = saddle_exponent(&mut sequential(3, Stream::Order), 1, mu, lambda, 400_000);
            assert!((found - exponents.minus.max(exponents.plus)).abs() <= 0.01, "{found} against {exponents:?}");
        }
    }

    #[test]
    fn walks_shrink_and_tails_are_known() {
        let stream = &mut sequential(1, Stream::Order);
        let mut walk = Walk { w: [0.0, 1.0], log_norm: 0.0 };
        (0..100_000).for_each(|_| walk.step(stream, [1.0, 0.0], 0.1));
        assert_eq!(walk.log_norm, 0.0, "nothing pulls at the second coordinate");
        let (slope, _) = tail_of_walk(stream, 3, (1.0, 1.5, 1.0), 1_000_000);
        assert!((slope / tail::tail_exponent(3, 1.5).unwrap() - 1.0).abs() <= 0.03, "{slope}");
        assert!((tail_of_walk(stream, 3, (0.1, 0.5, 1.0), 10_000).1 - 2.0).abs() <= 1e-3);
        let shares = away(stream, 10, 12, 20_000);
        assert!((shares[0] - 1.0).abs() <= 1e-9 && (shares[11] - 0.9_f64.powi(11)).abs() <= 0.015, "{shares:?}");
    }
}

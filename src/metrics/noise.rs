//! The noise of single-sample SGD as noise of the labels (sparse-features, section 2.1): at residuals r, drawing sample k is
//! adding ξ_i = r_i·(1 - n·[i = k]) to the labels.

use crate::data::Dataset;
use crate::run::nan_max;

/// ξ for the draw of sample k (equation 3).
fn label_noise(residuals: &[f64], k: usize) -> Vec<f64> {
    let n = residuals.len() as f64;
    residuals.iter().enumerate().map(|(i, r)| r * (1.0 - if i == k { n } else { 0.0 })).collect()
}

/// Mean over the n draws of a function of ξ.
fn mean_over_draws(residuals: &[f64], of: impl Fn(&[f64]) -> f64) -> f64 {
    let n = residuals.len();
    (0..n).map(|k| of(&label_noise(residuals, k))).sum::<f64>() / n as f64
}

/// Largest entry of E ξ, relative to max |r|.
pub(super) fn mean_error(residuals: &[f64]) -> f64 {
    let largest = residuals.iter().fold(0.0, |largest: f64, r| largest.max(r.abs()));
    let error = |i: usize| mean_over_draws(residuals, |xi| xi[i]).abs() / largest;
    (0..residuals.len()).map(error).fold(0.0, nan_max)
}

/// E‖ξ‖²/(n(n-1)) relative to 2L, less 1, with L = ‖r‖²/(2n): zero by Lemma 2.
pub(super) fn variance_error(residuals: &[f64]) -> f64 {
    let n = residuals.len() as f64;
    let train_loss = residuals.iter().map(|r| r * r).sum::<f64>() / (2.0 * n);
    let variance = mean_over_draws(residuals, |xi| xi.iter().map(|x| x * x).sum());
    (variance / (n * (n - 1.0)) / (2.0 * train_loss) - 1.0).abs()
}

/// Largest entry of Cov ξ - (n·diag(r²) - r rᵀ), relative to n·max r².
pub(super) fn covariance_error(residuals: &[f64]) -> f64 {
    let n = residuals.len();
    let mut covariance = vec![0.0; n * n];
    for k in 0..n {
        let xi = label_noise(residuals, k);
        for (i, row) in covariance.chunks_exact_mut(n).enumerate() {
            row.iter_mut().zip(&xi).for_each(|(entry, x)| *entry += xi[i] * x / n as f64);
        }
    }
    let exact = |i: usize, j: usize| {
        let diagonal = if i == j { n as f64 * residuals[i] * residuals[i] } else { 0.0 };
        diagonal - residuals[i] * residuals[j]
    };
    let scale = residuals.iter().fold(0.0, |largest: f64, r| largest.max(r * r)) * n as f64;
    let errors = covariance.iter().enumerate().map(|(at, entry)| (entry - exact(at / n, at % n)).abs() / scale);
    errors.fold(0.0, nan_max)
}

/// tr Cov(r_i φ_i) over L·‖φ‖²_F, where φ_i = ∇h(x_i) and i is uniform: 1 would make equation 7 as printed right.
pub(super) fn gradient_ratio(data: &Dataset, u: &[f64], v: &[f64], residuals: &[f64], train_loss: f64) -> f64 {
    let (n, d) = (data.n() as f64, data.d);
    let mut gradient = vec![0.0; 2 * d];
    let (mut second, mut norm) = (0.0, 0.0);
    for (x, r) in data.x.chunks_exact(d).zip(residuals) {
        for j in 0..d {
            let (by_u, by_v) = (x[j] * v[j], x[j] * u[j]);
            gradient[j] += r * by_u / n;
            gradient[d + j] += r * by_v / n;
            let square = by_u * by_u + by_v * by_v;
            norm += square;
            second += r * r * square / n;
        }
    }
    (second - gradient.iter().map(|g| g * g).sum::<f64>()) / (train_loss * norm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_samples_by_hand() {
        // r = (1, 3): ξ is (-1, 3) or (1, -3); mean 0, covariance [[1, -3], [-3, 9]] = 2 diag(1, 9) - r rᵀ, L = 10/4.
        let r = [1.0, 3.0];
        assert_eq!((label_noise(&r, 0), label_noise(&r, 1)), (vec![-1.0, 3.0], vec![1.0, -3.0]));
        assert_eq!((mean_error(&r), variance_error(&r), covariance_error(&r)), (0.0, 0.0, 0.0));
        for error in [mean_error(&[1.0, f64::NAN]), covariance_error(&[1.0, f64::NAN]), variance_error(&[1.0, f64::NAN])] {
            assert!(error.is_nan(), "{error}");
        }
    }

    #[test]
    fn the_gradient_ratio_by_hand() {
        // x = 1 and 2, u = 1, v = 1: φ = (1, 1), (2, 2), ‖φ‖² = 10. r = (1, -1), L = 1/2: second moment (2 + 8)/2 = 5, mean
        // gradient (-1/2, -1/2), so the trace is 4.5.
        let data = Dataset { d: 1, x: vec![1.0, 2.0], y: vec![0.0, 3.0], ..Dataset::default() };
        assert_eq!(gradient_ratio(&data, &[1.0], &[1.0], &[1.0, -1.0], 0.5), 4.5 / 5.0);
    }
}

//! Gradient descent on least squares, F(β) = ‖Xβ - y‖²/(2n): section 2.2's convergent, two-periodic and divergent step sizes.

use faer::{Mat, Side};

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::run::nan_max;

/// For every fraction, the factor by which one step with η = fraction·2/λ_max multiplies the error along the top eigenvector of
/// XᵀX/n: measured over `steps` steps of gradient descent from β = 0, on average and with the largest departure from that. In
/// theory 1 - 2·fraction.
///
/// # Errors
/// If the eigenvalues do not converge.
pub(super) fn error_factors(data: &Dataset, fractions: &[f64], steps: usize) -> Result<Vec<(f64, f64)>> {
    let (n, d) = (data.n(), data.d);
    let x = Mat::from_fn(n, d, |i, j| data.x[i * d + j]);
    let gram = Mat::from_fn(n, n, |i, k| (x.row(i) * x.row(k).transpose()) / n as f64);
    let eigen = gram.self_adjoint_eigen(Side::Lower).map_err(|error| {
        Error::Numerics(format!("least squares: the eigenvalues did not converge ({error:?}); check that the data are finite"))
    })?;
    let (top, direction) = (eigen.S().column_vector()[n - 1], x.transpose() * eigen.U().col(n - 1));
    let y = faer::Col::from_fn(n, |i| data.y[i]);
    // Interpolation has Xβ = y, so that the error along the direction Xᵀw is wᵀ(Xβ - y).
    let error = |beta: &faer::Col<f64>| (eigen.U().col(n - 1).transpose() * (&x * beta - &y)) / direction.norm_l2();
    let descend = |&fraction: &f64| {
        let rate = fraction * 2.0 / top;
        let mut beta = faer::Col::<f64>::zeros(d);
        let mut factors = Vec::with_capacity(steps);
        let mut before = error(&beta);
        for _ in 0..steps {
            let gradient = x.transpose() * (&x * &beta - &y);
            beta -= faer::Scale(rate / n as f64) * gradient;
            let after = error(&beta);
            factors.push(after / before);
            before = after;
        }
        let mean = factors.iter().sum::<f64>() / steps as f64;
        (mean, factors.iter().map(|factor| (factor - mean).abs()).fold(0.0, nan_max))
    };
    Ok(fractions.iter().map(descend).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Data, Generator};

    #[test]
    fn factors_are_those_of_the_theory_on_generic_data() {
        let recipe = Data::SparseRegression { n: 8, d: 12, support: 3, test: 0, generator: Generator::Xoshiro, seed: 5 };
        let data = recipe.load().unwrap();
        for fraction in [0.9, 0.99, 1.0, 1.01] {
            let (mean, spread) = error_factors(&data, &[fraction], 20).unwrap()[0];
            assert!((mean - (1.0 - 2.0 * fraction)).abs() <= 1e-11 && spread <= 1e-10, "{fraction}: {mean} {spread:e}");
        }
    }
}

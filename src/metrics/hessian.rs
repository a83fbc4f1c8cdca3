//! Curvature of a diagonal network's training loss L(u, v) = ‖X(u∘v) - y‖²/(2n).

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, SelfAdjointEvdParams, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::matmul;
use faer::{Accum, Auto, Mat, Par, Spec};

use crate::data::Dataset;
use crate::error::{Error, Result};

/// Eigenvalues of the Hessian, ascending: `[[V A V, V A U + D], [U A V + D, U A U]]` with A = XᵀX/n, D = diag(Xᵀr/n). NaN if it
/// is not finite.
///
/// # Errors
/// If the decomposition does not converge.
pub(super) fn eigenvalues(data: &Dataset, u: &[f64], v: &[f64], residuals: &[f64]) -> Result<Vec<f64>> {
    let (n, d) = (data.n(), data.d);
    let features = Mat::from_fn(n, 2 * d, |i, j| data.x[i * d + j % d] * if j < d { v[j] } else { u[j - d] });
    let mut hessian = Mat::<f64>::zeros(2 * d, 2 * d);
    // One thread: the bits must not depend on how many there are.
    matmul(hessian.as_mut(), Accum::Replace, features.transpose(), &features, 1.0 / n as f64, Par::Seq);
    for j in 0..d {
        let mixed = residuals.iter().enumerate().map(|(i, r)| r * data.x[i * d + j]).sum::<f64>() / n as f64;
        hessian[(d + j, j)] += mixed;
        hessian[(j, d + j)] += mixed;
    }
    if !hessian.is_all_finite() {
        return Ok(vec![f64::NAN; 2 * d]);
    }
    let params: Spec<SelfAdjointEvdParams, f64> = <SelfAdjointEvdParams as Auto<f64>>::auto().into();
    let scratch = self_adjoint_evd_scratch::<f64>(2 * d, ComputeEigenvectors::No, Par::Seq, params);
    let mut values = Diag::<f64>::zeros(2 * d);
    let mut memory = MemBuffer::new(scratch);
    self_adjoint_evd(hessian.as_ref(), values.as_mut(), None, Par::Seq, MemStack::new(&mut memory), params).map_err(|error| {
        Error::Numerics(format!("hessian: the eigenvalues did not converge ({error:?}); check that the parameters are finite"))
    })?;
    Ok(values.column_vector().iter().copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extreme_eigenvalues_bound_the_curvature_and_are_those_of_a_case_by_hand() {
        // One sample x = 2, y = 3, u = 1, v = 0.5: r = -2; H = [[4v², 4uv + 2r], [.., 4u²]] = [[1, -2], [-2, 4]], eigenvalues 0, 5.
        let data = Dataset { d: 1, x: vec![2.0], y: vec![3.0], ..Dataset::default() };
        let values = eigenvalues(&data, &[1.0], &[0.5], &[-2.0]).unwrap();
        assert!((values[0]).abs() <= 1e-14 && (values[1] - 5.0).abs() <= 1e-14, "{values:?}");

        let data = crate::data::Data::Quadratic { n: 1, x_min: 1.0, x_max: 1.0, theta_star: 1.0, seed: 0 };
        assert!(eigenvalues(&data.load().unwrap(), &[f64::NAN], &[1.0], &[0.0]).unwrap()[0].is_nan());
    }

    #[test]
    fn trace_and_quadratic_form_agree_with_differences_of_the_loss() {
        let recipe = crate::data::Data::SparseRegression {
            n: 5,
            d: 7,
            support: 2,
            test: 0,
            generator: crate::data::Generator::Xoshiro,
            seed: 1,
        };
        let data = recipe.load().unwrap();
        let w: Vec<f64> = (0..14).map(|k| (k as f64 * 0.7).sin()).collect();
        let residuals = |w: &[f64]| -> Vec<f64> {
            let beta: Vec<f64> = (0..7).map(|j| w[j] * w[7 + j]).collect();
            data.x.chunks_exact(7).zip(&data.y).map(|(x, y)| x.iter().zip(&beta).map(|(x, b)| x * b).sum::<f64>() - y).collect()
        };
        let loss = |w: &[f64]| residuals(w).iter().map(|r| r * r).sum::<f64>() / 10.0;
        let values = eigenvalues(&data, &w[..7], &w[7..], &residuals(&w)).unwrap();
        let step = 1e-3;
        let second = |direction: &dyn Fn(usize) -> f64| {
            let at = |sign: f64| loss(&w.iter().enumerate().map(|(k, w)| w + sign * step * direction(k)).collect::<Vec<_>>());
            (at(1.0) - 2.0 * at(0.0) + at(-1.0)) / (step * step)
        };
        let trace: f64 = (0..14).map(|k| second(&|j| f64::from(u8::from(j == k)))).sum();
        assert!((values.iter().sum::<f64>() / trace - 1.0).abs() <= 1e-5, "{trace}");
        // Squares of the eigenvalues: those of every entry, by polarisation.
        let entry = |a: usize, b: usize| {
            let along = |sign: f64| second(&|j| f64::from(u8::from(j == a)) + sign * f64::from(u8::from(j == b)));
            if a == b { second(&|j| f64::from(u8::from(j == a))) } else { (along(1.0) - along(-1.0)) / 4.0 }
        };
        let squares: f64 = (0..14).flat_map(|a| (0..14).map(move |b| (a, b))).map(|(a, b)| entry(a, b).powi(2)).sum();
        assert!((values.iter().map(|value| value * value).sum::<f64>() / squares - 1.0).abs() <= 1e-4, "{squares}");
        assert!(values[0] < 0.0 && values.is_sorted());
    }
}

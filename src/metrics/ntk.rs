//! The neural tangent kernel's feature matrix of a diagonal network and its rank.
//!
//! Row i is the gradient of h(x_i): `[x_i∘v, x_i∘u]`. Columns j and d+j are parallel, so the singular values are those of
//! `X·diag(s)`, s_j = √(u_j² + v_j²), and with X = QR factored once those of `R·diag(s)`.

use faer::Mat;

pub(super) use super::rank::count as rank;
use super::rank::decompose;
use crate::error::Result;

/// The factor R of the inputs that the feature matrix is taken on.
#[derive(Clone, Debug)]
pub struct DiagonalNtk {
    r: Mat<f64>,
    /// Euclidean norm of each column of R, which is that of the inputs' column.
    norms: Vec<f64>,
}

impl DiagonalNtk {
    /// Factors the inputs, rows of d features.
    pub fn new(x: &[f64], d: usize) -> DiagonalNtk {
        let inputs = Mat::from_fn(x.len() / d, d, |i, j| x[i * d + j]);
        let r = inputs.qr().thin_R().to_owned();
        let norms = (0..d).map(|j| r.col(j).norm_l2()).collect();
        DiagonalNtk { r, norms }
    }

    /// Singular values, descending, d of them (fewer only if there are fewer inputs).
    ///
    /// Columns whose norm is at most `negligible` times the largest column's are left out, and zeros stand for them: by Weyl's
    /// inequality no singular value moves by more than √d·negligible·σ₁. With `negligible = 0` only zero columns are. All are NaN
    /// if a column is not finite.
    ///
    /// # Errors
    /// If the decomposition does not converge.
    pub fn singular_values(&self, u: &[f64], v: &[f64], negligible: f64) -> Result<Vec<f64>> {
        let scales: Vec<f64> = u.iter().zip(v).map(|(u, v)| u.hypot(*v)).collect();
        let norm = |j: usize| scales[j] * self.norms[j];
        let count = self.r.nrows().min(scales.len());
        if !(0..scales.len()).all(|j| norm(j).is_finite()) {
            return Ok(vec![f64::NAN; count]);
        }
        let largest = (0..scales.len()).map(norm).fold(0.0, f64::max);
        let kept: Vec<usize> = (0..scales.len()).filter(|&j| norm(j) > negligible * largest).collect();
        if kept.is_empty() {
            return Ok(vec![0.0; count]);
        }
        let features = Mat::from_fn(self.r.nrows(), kept.len(), |i, k| self.r[(i, kept[k])] * scales[kept[k]]);
        let mut values = decompose(features.as_ref(), usize::MAX)?;
        values.resize(count, 0.0);
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use faer::Auto;
    use faer::linalg::svd::SvdParams;

    use super::*;
    use crate::data::npz::Npz;

    /// Eight (u, v) late in the paper's runs with LAPACK's counts, if the fixtures are there.
    fn snapshots() -> Option<(DiagonalNtk, Npz)> {
        let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/golden");
        if !golden.exists() {
            println!("SKIP: {} is absent", golden.display());
            return None;
        }
        let data = Npz::read(&golden.join("sparse-features-fig2.npz")).unwrap();
        let x = &data.required("x_test", &[1000, 200]).unwrap().values[..400 * 200];
        Some((DiagonalNtk::new(x, 200), Npz::read(&golden.join("sparse-features-fig2-snapshots.npz")).unwrap()))
    }

    #[test]
    fn counts_are_lapacks_where_divide_and_conquer_miscounts() {
        let Some((ntk, snapshots)) = snapshots() else { return };
        let (u, v) = (snapshots.required("u", &[8, 200]).unwrap(), snapshots.required("v", &[8, 200]).unwrap());
        let lapack = &snapshots.required("ntk_rank_1e15", &[8]).unwrap().values;
        let mut by_default = Vec::new();
        for (k, &want) in lapack.iter().enumerate() {
            let (u, v) = (&u.values[k * 200..][..200], &v.values[k * 200..][..200]);
            for negligible in [0.0, 1e-19] {
                let got = rank(&ntk.singular_values(u, v, negligible).unwrap(), 1e-15);
                assert_eq!(got, want as usize, "snapshot {k}, negligible {negligible:e}");
            }
            let features = Mat::from_fn(200, 200, |i, j| ntk.r[(i, j)] * u[j].hypot(v[j]));
            let default = <SvdParams as Auto<f64>>::auto().recursion_threshold;
            by_default.push(rank(&decompose(features.as_ref(), default).unwrap(), 1e-15) as f64);
        }
        assert_ne!(&by_default, lapack, "faer's default counts as LAPACK does; the implicit-QR path is no longer needed");
    }

    #[test]
    fn singular_values_are_those_of_the_whole_feature_matrix() {
        let (rows, d) = (14, 7);
        let x: Vec<f64> = (0..rows * d).map(|i| ((i * i) as f64 * 0.7).sin()).collect();
        let (u, v): (Vec<f64>, Vec<f64>) = (0..d).map(|j| ((j as f64).cos(), 0.3 * j as f64)).unzip();
        let features = Mat::from_fn(rows, 2 * d, |i, j| x[i * d + j % d] * if j < d { v[j] } else { u[j - d] });
        // Independent of faer's decomposition: eigenvalue sums. Σσ² and Σσ⁴ are the traces of the Gram matrix and its square.
        let gram = &features * features.transpose();
        let (trace, trace_squared): (f64, f64) =
            ((0..rows).map(|i| gram[(i, i)]).sum(), (&gram * &gram).diagonal().column_vector().iter().sum());
        let values = DiagonalNtk::new(&x, d).singular_values(&u, &v, 0.0).unwrap();
        assert_eq!(values.len(), d);
        let power = |p: i32| values.iter().map(|value| value.powi(p)).sum::<f64>();
        assert!((power(2) / trace - 1.0).abs() <= 1e-13, "{} against {trace}", power(2));
        assert!((power(4) / trace_squared - 1.0).abs() <= 1e-13);
        assert!(values.is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn huge_parameters_do_not_overflow() {
        let ntk = DiagonalNtk::new(&[1.0, 2.0, 3.0, 4.0], 2);
        let (small, huge) =
            (ntk.singular_values(&[1.0, 2.0], &[0.0, 0.0], 0.0), ntk.singular_values(&[1e200, 2e200], &[0.0, 0.0], 0.0));
        for (small, huge) in small.unwrap().iter().zip(huge.unwrap()) {
            assert!((huge / 1e200 / small - 1.0).abs() <= 1e-14, "{huge} against {small}");
        }
        assert!(ntk.singular_values(&[f64::INFINITY, 1.0], &[0.0, 0.0], 0.0).unwrap()[0].is_nan());
    }

    #[test]
    fn dead_networks_have_rank_zero() {
        let ntk = DiagonalNtk::new(&[1.0, 2.0, 3.0, 4.0], 2);
        let values = ntk.singular_values(&[0.0, 0.0], &[0.0, 0.0], 0.0).unwrap();
        assert_eq!((values.as_slice(), rank(&values, 1e-15)), ([0.0, 0.0].as_slice(), 0));
        assert_eq!(rank(&ntk.singular_values(&[0.0, 1.0], &[0.0, 0.0], 0.0).unwrap(), 1e-15), 1);
    }
}

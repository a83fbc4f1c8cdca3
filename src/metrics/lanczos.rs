//! Extreme eigenvalues of a symmetric operator that is only ever applied, never stored.

use crate::error::{Error, Result, refuse};
use crate::rng::{self, Stream};

/// Residual accepted, relative to the operator's norm.
const TOLERANCE: f64 = 1e-10;
/// Vectors of the size of the operator that are kept at most.
const MAX_ITERATIONS: usize = 300;

/// An extreme eigenvalue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extreme {
    /// Ritz value θ; NaN if the operator gave numbers that are not finite.
    pub value: f64,
    /// ‖Aq - θq‖ of its unit Ritz vector q: an eigenvalue of A is this near θ.
    pub residual: f64,
    /// Applications of the operator.
    pub iterations: usize,
}

/// Largest eigenvalue of a symmetric n x n operator; `apply(x, y)` writes y = A·x.
///
/// Lanczos with full reorthogonalisation from a fixed random start, until the residual is 1e-10 of the norm of A as far as it is
/// seen; the value's own error is then at most that, and mostly its square over the gap to the next eigenvalue.
///
/// # Errors
/// If n is 0, or the residual is larger after 300 iterations.
pub fn top_eigenvalue(n: usize, apply: impl FnMut(&[f64], &mut [f64])) -> Result<Extreme> {
    top_eigenvalue_to(TOLERANCE, n, apply)
}

/// Smallest eigenvalue, as [`top_eigenvalue`]: the largest one of -A, negated.
///
/// # Errors
/// As [`top_eigenvalue`].
pub fn bottom_eigenvalue(n: usize, mut apply: impl FnMut(&[f64], &mut [f64])) -> Result<Extreme> {
    let top = top_eigenvalue(n, |x, y| {
        apply(x, y);
        y.iter_mut().for_each(|y| *y = -*y);
    })?;
    Ok(Extreme { value: -top.value, ..top })
}

/// [`top_eigenvalue`] with another tolerance.
pub(super) fn top_eigenvalue_to(tolerance: f64, n: usize, mut apply: impl FnMut(&[f64], &mut [f64])) -> Result<Extreme> {
    if n == 0 {
        return refuse!("lanczos: the operator has size 0, expected at least 1");
    }
    let mut next = vec![0.0; n];
    rng::standard_normals(&mut rng::sequential(0, Stream::Init), &mut next);
    let mut norm = dot(&next, &next).sqrt();
    let (mut basis, mut diagonal, mut off_diagonal) = (Vec::<Vec<f64>>::new(), Vec::new(), Vec::new());
    let mut value = f64::NEG_INFINITY;
    for iterations in 1..=MAX_ITERATIONS.min(n) {
        basis.push(next.iter().map(|w| w / norm).collect());
        let q = &basis[iterations - 1];
        apply(q, &mut next);
        diagonal.push(dot(q, &next));
        // Twice is enough: what rounding leaves of the basis after the first pass is gone after the second.
        for _ in 0..2 {
            for q in &basis {
                let along = dot(q, &next);
                next.iter_mut().zip(q).for_each(|(w, q)| *w -= along * q);
            }
        }
        norm = dot(&next, &next).sqrt();
        if !norm.is_finite() {
            return Ok(Extreme { value: f64::NAN, residual: f64::NAN, iterations });
        }
        let scale = row_sums(&diagonal, &off_diagonal).fold(norm, f64::max);
        let last;
        (value, last) = top_of_tridiagonal(&diagonal, &off_diagonal, scale, value);
        let residual = norm * last;
        // After n iterations the basis is whole.
        if residual <= tolerance * scale || iterations == n {
            return Ok(Extreme { value, residual, iterations });
        }
        off_diagonal.push(norm);
    }
    Err(Error::Numerics(format!(
        "lanczos: the top eigenvalue of an operator of size {n} has not converged after {MAX_ITERATIONS} iterations \
         (estimate {value:e}); expected a symmetric operator, check that it is one"
    )))
}

/// Σ_k |T_jk| of every row j.
fn row_sums<'a>(diagonal: &'a [f64], off_diagonal: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    let off = |j: Option<usize>| j.and_then(|j| off_diagonal.get(j)).map_or(0.0, |off| off.abs());
    diagonal.iter().enumerate().map(move |(j, diagonal)| diagonal.abs() + off(j.checked_sub(1)) + off(Some(j)))
}

/// Largest eigenvalue of a tridiagonal matrix, by bisection between `below` and `scale`, and the size of the last entry of its
/// unit eigenvector.
fn top_of_tridiagonal(diagonal: &[f64], off_diagonal: &[f64], scale: f64, below: f64) -> (f64, f64) {
    let (mut low, mut high) = (below.max(-scale), scale);
    while high - low > f64::EPSILON * scale {
        let middle = low + (high - low) / 2.0;
        if pivots(diagonal, off_diagonal, middle).all(|pivot| pivot > 0.0) {
            high = middle;
        } else {
            low = middle;
        }
    }
    // (T - θ)s = 0 from the last row up: s_{j+1} = s_j b_j / d_{j+1}. From the first row down, what rounding does to a pivot would
    // be as large as the pivot where the entries are small, and these are the ones that matter.
    let mut pivots: Vec<f64> = pivots(diagonal, off_diagonal, high).collect();
    pivots.reverse();
    let (mut entry, mut square) = (1.0, 1.0);
    for (off, pivot) in off_diagonal.iter().zip(&pivots[1..]) {
        entry *= off / pivot;
        square += entry * entry;
    }
    (high, entry / square.sqrt())
}

/// Pivots of θ - T from the last row up: all positive if and only if θ is above every eigenvalue.
fn pivots<'a>(diagonal: &'a [f64], off_diagonal: &'a [f64], theta: f64) -> impl Iterator<Item = f64> + 'a {
    let mut below = f64::INFINITY;
    diagonal.iter().enumerate().rev().map(move |(j, diagonal)| {
        let off = off_diagonal.get(j).copied().unwrap_or(0.0);
        below = theta - diagonal - off * off / below;
        below
    })
}

/// x·y in a fixed order that vectorises.
pub(super) fn dot(x: &[f64], y: &[f64]) -> f64 {
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<8>(), y.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (x, y) in x.iter().zip(y) {
        sums.iter_mut().zip(x.iter().zip(y)).for_each(|(sum, (x, y))| *sum += x * y);
    }
    sums.iter().sum::<f64>() + x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::{Mat, Side};

    fn apply(matrix: &Mat<f64>) -> impl FnMut(&[f64], &mut [f64]) {
        |x, y| {
            for (i, y) in y.iter_mut().enumerate() {
                *y = x.iter().enumerate().map(|(j, x)| matrix[(i, j)] * x).sum();
            }
        }
    }

    fn random(n: usize, seed: u64) -> Mat<f64> {
        let mut values = vec![0.0; n * n];
        rng::standard_normals(&mut rng::sequential(seed, Stream::Data), &mut values);
        Mat::from_fn(n, n, |i, j| values[i * n + j] + values[j * n + i])
    }

    /// Both ends against all eigenvalues of the dense matrix.
    fn compare(name: &str, matrix: &Mat<f64>) {
        let values = matrix.self_adjoint_eigenvalues(Side::Lower).unwrap();
        let scale = values.iter().fold(f64::MIN_POSITIVE, |scale, value| scale.max(value.abs()));
        let (top, bottom) =
            (top_eigenvalue(matrix.nrows(), apply(matrix)).unwrap(), bottom_eigenvalue(matrix.nrows(), apply(matrix)).unwrap());
        for (got, want) in [(top, values[values.len() - 1]), (bottom, values[0])] {
            let error = (got.value - want).abs() / scale;
            assert!(error <= 1e-13 * matrix.nrows() as f64, "{name}: {got:?} against {want}, error {error:e}");
        }
    }

    #[test]
    fn both_ends_are_those_of_the_dense_decomposition() {
        for n in [1, 2, 3, 17, 120] {
            compare("random", &random(n, n as u64));
        }
        let basis = random(40, 9).qr().compute_Q();
        let with = |values: &dyn Fn(usize) -> f64| &basis * Mat::from_fn(40, 40, |i, j| values(j) * basis[(i, j)]).transpose();
        let symmetric = |matrix: Mat<f64>| Mat::from_fn(40, 40, |i, j| (matrix[(i, j)] + matrix[(j, i)]) / 2.0);
        compare("degenerate ends", &symmetric(with(&|j| if j < 20 { 3.0 } else { -1.0 })));
        compare("negative definite", &symmetric(with(&|j| -1e-6 - j as f64)));
        compare("a wide spectrum", &symmetric(with(&|j| 10f64.powi(-(j as i32)))));
        compare("close to one another", &symmetric(with(&|j| 1.0 + 1e-9 * j as f64)));
        compare("zero", &Mat::zeros(5, 5));
        compare("diagonal", &Mat::from_fn(5, 5, |i, j| if i == j { i as f64 - 2.0 } else { 0.0 }));
        compare("huge", &(random(10, 3) * 1e100));
        compare("tiny", &(random(10, 3) * 1e-100));
    }

    #[test]
    fn few_applications_suffice_for_a_large_operator() {
        // Eigenvalues 0.5 cos(πk/n) and one of 2: the gap makes every application gain a digit.
        let n = 10_000;
        let values: Vec<f64> = (0..n).map(|k| if k == 77 { 2.0 } else { 0.5 * (k as f64 * 0.01).cos() }).collect();
        let top = top_eigenvalue(n, |x, y| y.iter_mut().zip(x.iter().zip(&values)).for_each(|(y, (x, a))| *y = a * x)).unwrap();
        assert!((top.value - 2.0).abs() <= 1e-14 && top.iterations <= 20 && top.residual <= 2e-10, "{top:?}");
    }

    #[test]
    fn the_residual_is_that_of_the_ritz_pair() {
        // One step from the fixed start q: θ = q·Aq and the residual is ‖Aq - θq‖.
        let matrix = random(30, 4);
        let mut start = vec![0.0; 30];
        rng::standard_normals(&mut rng::sequential(0, Stream::Init), &mut start);
        let norm = dot(&start, &start).sqrt();
        let q: Vec<f64> = start.iter().map(|q| q / norm).collect();
        let mut image = vec![0.0; 30];
        apply(&matrix)(&q, &mut image);
        let theta = dot(&q, &image);
        let residual = image.iter().zip(&q).map(|(w, q)| (w - theta * q).powi(2)).sum::<f64>().sqrt();
        let first = top_eigenvalue_to(10.0, 30, apply(&matrix)).unwrap();
        assert!((first.value / theta - 1.0).abs() <= 1e-12 && (first.residual / residual - 1.0).abs() <= 1e-12, "{first:?}");
        // Further on, some eigenvalue is within the residual, and the residual is no gross overestimate.
        let values = matrix.self_adjoint_eigenvalues(Side::Lower).unwrap();
        let rough = top_eigenvalue_to(1e-2, 30, apply(&matrix)).unwrap();
        let distance = values.iter().map(|value| (value - rough.value).abs()).fold(f64::INFINITY, f64::min);
        assert!(rough.iterations < 30 && distance <= rough.residual && rough.residual <= 1e-2 * 50.0, "{rough:?} {distance}");
    }

    #[test]
    fn what_cannot_be_answered_is_said() {
        assert!(top_eigenvalue(0, |_, _| ()).unwrap_err().to_string().contains("size 0"));
        assert!(top_eigenvalue(3, |_, y| y.fill(f64::NAN)).unwrap().value.is_nan());
        assert!(bottom_eigenvalue(3, |_, y| y.fill(f64::INFINITY)).unwrap().value.is_nan());
        // Eigenvalues that crowd at the top, as 1 - (k/n)⁴, are not told apart to 1e-10 in 300 iterations.
        let n = 2000;
        let crowded = |x: &[f64], y: &mut [f64]| {
            y.iter_mut().enumerate().for_each(|(k, y)| *y = (1.0 - (k as f64 / n as f64).powi(4)) * x[k]);
        };
        let line = top_eigenvalue(n, crowded).unwrap_err().to_string();
        assert!(line.contains("size 2000") && line.contains("after 300 iterations"), "{line}");
    }
}

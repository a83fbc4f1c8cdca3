//! Singular values and numerical rank.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::ldlt::factor::{LdltParams, cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::svd::{ComputeSvdVectors, SvdParams, svd, svd_scratch};
use faer::{Accum, Auto, ColMut, ColRef, Mat, MatMut, MatRef, Par, Spec};

use handgrad_kernels::Context;

use super::lanczos::{self, dot};
use crate::error::{Error, Result, refuse};

/// Singular values of a row-major matrix, descending, min(rows, columns) of them; NaN if an entry is not finite.
///
/// # Errors
/// If the matrix does not have rows·columns entries or the decomposition does not converge.
pub fn singular_values(rows: usize, columns: usize, matrix: &[f64]) -> Result<Vec<f64>> {
    decompose(view(rows, columns, matrix)?, usize::MAX)
}

/// How many singular values σ have σ/σ₁ > `threshold`; nothing if an entry is not finite, 0 for a matrix of zeros.
///
/// The eigenvalues of the Gram matrix AAᵀ or AᵀA, whichever is smaller, are σ². Those above μ = (threshold·σ₁)² are counted
/// without computing any: they are the positive pivots of Gram - μ = LDLᵀ (Sylvester's law of inertia). σ₁² comes from Lanczos.
/// Forming the Gram matrix, σ₁² and the factors together are wrong by less than e = 2·(rows + columns)·ε·‖A‖²_F, so the count is
/// taken at μ - e and at μ + e (or 1e-6·μ, if that is more). Where the two agree no singular value is near the threshold, and
/// they are the count. Where they do not, or e is not small against μ (thresholds below about 1e-5 for a few hundred rows), or
/// a factor grows, [`singular_values`] are counted, at about ten times the cost.
///
/// # Errors
/// As [`singular_values`].
pub fn rank(cx: &Context, rows: usize, columns: usize, matrix: &[f64], threshold: f64) -> Result<Option<usize>> {
    let features = view(rows, columns, matrix)?;
    if let Some(count) = count_by_inertia(cx, rows, columns, matrix, threshold)? {
        return Ok(Some(count));
    }
    let values = decompose(features, usize::MAX)?;
    Ok(values.iter().all(|value| value.is_finite()).then(|| count(&values, threshold)))
}

/// Singular values, in descending order, above `threshold` times the first; strictly, as the papers' codes count.
pub(super) fn count(singular_values: &[f64], threshold: f64) -> usize {
    let largest = singular_values.first().copied().unwrap_or(0.0);
    singular_values.iter().filter(|&&value| value / largest > threshold).count()
}

/// A row-major matrix as faer's.
pub(super) fn view(rows: usize, columns: usize, matrix: &[f64]) -> Result<MatRef<'_, f64>> {
    if rows.checked_mul(columns) != Some(matrix.len()) {
        return refuse!("matrix: it has {} entries, expected {rows} x {columns}", matrix.len());
    }
    Ok(MatRef::from_row_major_slice(matrix, rows, columns))
}

/// Singular values by implicit QR iteration below `recursion_threshold` columns. Above it faer divides and conquers, which adds
/// spurious values near 8·ε·σ₁; and it must not run in parallel, or the bits would depend on the number of threads.
pub(super) fn decompose(matrix: MatRef<'_, f64>, recursion_threshold: usize) -> Result<Vec<f64>> {
    let (rows, columns) = matrix.shape();
    let size = rows.min(columns);
    if !matrix.is_all_finite() {
        return Ok(vec![f64::NAN; size]);
    }
    let largest = matrix.norm_max();
    if largest == 0.0 {
        return Ok(vec![0.0; size]);
    }
    // A power of two, which rounds nothing: squares must not overflow, nor all vanish.
    let unit = largest.log2().floor().max(-1000.0).exp2();
    let scaled = Mat::from_fn(rows, columns, |i, j| matrix[(i, j)] / unit);
    let mut params = <SvdParams as Auto<f64>>::auto();
    params.recursion_threshold = recursion_threshold;
    let params: Spec<SvdParams, f64> = params.into();
    let none = ComputeSvdVectors::No;
    let mut memory = MemBuffer::new(svd_scratch::<f64>(rows, columns, none, none, Par::Seq, params));
    let mut values = Diag::<f64>::zeros(size);
    svd(scaled.as_ref(), values.as_mut(), None, None, Par::Seq, MemStack::new(&mut memory), params).map_err(|error| {
        Error::Numerics(format!(
            "rank: the singular values of a {rows}x{columns} matrix did not converge ({error:?}); check that it is finite"
        ))
    })?;
    Ok(values.column_vector().iter().map(|value| value * unit).collect())
}

/// Tolerance of σ₁²; the count allows for it.
const LANCZOS_TOLERANCE: f64 = 1e-6;

/// The count of [`rank`] where the Gram matrix decides it.
fn count_by_inertia(cx: &Context, rows: usize, columns: usize, matrix: &[f64], threshold: f64) -> Result<Option<usize>> {
    let trace = dot(matrix, matrix);
    let square = threshold * threshold;
    let n = rows.min(columns);
    // tr(Gram) + n·μ or more: σ₁² is at most the trace.
    let size = trace * (1.0 + n as f64 * square);
    let rounding = 2.0 * (rows + columns) as f64 * f64::EPSILON * size;
    // No smaller than what costs nothing: it leaves factors without pivoting room to grow.
    let error = rounding.max(1e-6 * square * trace);
    let growth = error / (n as f64 * f64::EPSILON);
    // Squares must not overflow, nor vanish.
    if !((1e-200..=1e200).contains(&trace) && threshold < 1.0 && 10.0 * rounding <= square * trace) {
        return Ok(None);
    }
    let features = MatRef::from_row_major_slice(matrix, rows, columns);
    // Scratch of the context: fresh pages for every rank cost as much as a factor.
    let (mut gram, mut factors) = (cx.scratch::<f64>(n * n), cx.scratch::<f64>(n * n));
    gram_into(if rows <= columns { features } else { features.transpose() }, &mut gram);
    let top = lanczos::top_eigenvalue_to(LANCZOS_TOLERANCE, n, |x, y| {
        let gram = MatRef::from_column_major_slice(&gram, n, n);
        matmul(ColMut::from_slice_mut(y), Accum::Replace, gram, ColRef::from_slice(x), 1.0, Par::Seq);
    })?;
    let mut above = |shift| positive_pivots(&gram, n, shift, growth, &mut factors);
    let fewest = above(square * (top.value + top.residual) + error);
    let most = above(square * top.value - error);
    Ok(fewest.filter(|_| fewest == most))
}

/// A·Aᵀ.
pub(super) fn gram(a: MatRef<'_, f64>) -> Vec<f64> {
    let mut gram = vec![0.0; a.nrows() * a.nrows()];
    gram_into(a, &mut gram);
    gram
}

fn gram_into(a: MatRef<'_, f64>, gram: &mut [f64]) {
    let n = a.nrows();
    let (lower, whole) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
    let product = MatMut::from_column_major_slice_mut(gram, n, n);
    triangular::matmul(product, lower, Accum::Replace, a, whole, a.transpose(), whole, 1.0, Par::Seq);
    for j in 1..n {
        let (before, column) = gram.split_at_mut(j * n);
        for (value, mirrored) in column.iter_mut().zip(before.iter().skip(j).step_by(n)) {
            *value = *mirrored;
        }
    }
}

/// Positive pivots of `gram` - shift = LDLᵀ, written to `factors`; nothing if one is zero or tr |L||D||L|ᵀ is above `limit`: times
/// n·ε/2 it bounds the rounding error of the factors, which are not pivoted.
fn positive_pivots(gram: &[f64], n: usize, shift: f64, limit: f64, factors: &mut [f64]) -> Option<usize> {
    factors.copy_from_slice(gram);
    factors.iter_mut().step_by(n + 1).for_each(|diagonal| *diagonal -= shift);
    let params: Spec<LdltParams, f64> = Spec::default();
    let mut memory = MemBuffer::new(cholesky_in_place_scratch::<f64>(n, Par::Seq, params));
    let matrix = MatMut::from_column_major_slice_mut(factors, n, n);
    cholesky_in_place(matrix, Default::default(), Par::Seq, MemStack::new(&mut memory), params).ok()?;
    let (mut positive, mut growth) = (0, 0.0);
    for (k, column) in factors.chunks_exact(n).enumerate() {
        let (pivot, below) = (column[k], &column[k + 1..]);
        positive += usize::from(pivot > 0.0);
        growth += pivot.abs() * (1.0 + dot(below, below));
    }
    (growth <= limit).then_some(positive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixtures;
    use crate::rng::{Stream, sequential, standard_normals};

    /// The count of all singular values.
    fn oracle(rows: usize, columns: usize, matrix: &[f64], threshold: f64) -> usize {
        count(&singular_values(rows, columns, matrix).unwrap(), threshold)
    }

    fn normals(count: usize, seed: u64) -> Vec<f64> {
        let mut values = vec![0.0; count];
        standard_normals(&mut sequential(seed, Stream::Data), &mut values);
        values
    }

    /// A row-major matrix with these singular values and random singular vectors.
    fn with_spectrum(rows: usize, columns: usize, values: &[f64], seed: u64) -> Vec<f64> {
        let orthogonal = |n: usize, seed| {
            let random = normals(n * n, seed);
            Mat::from_fn(n, n, |i, j| random[i * n + j]).qr().compute_Q()
        };
        let (left, right) = (orthogonal(rows, seed), orthogonal(columns, seed + 1000));
        let middle = Mat::from_fn(rows, columns, |i, j| if i == j { values[i] } else { 0.0 });
        let matrix = left * middle * right.transpose();
        (0..rows * columns).map(|at| matrix[(at / columns, at % columns)]).collect()
    }

    fn rank_of(rows: usize, columns: usize, matrix: &[f64], threshold: f64) -> Result<Option<usize>> {
        rank(&Context::cpu().unwrap(), rows, columns, matrix, threshold)
    }

    fn by_inertia(rows: usize, columns: usize, matrix: &[f64], threshold: f64) -> Option<usize> {
        count_by_inertia(&Context::cpu().unwrap(), rows, columns, matrix, threshold).unwrap()
    }

    #[test]
    fn singular_values_are_those_of_an_independent_decomposition() {
        // mpmath with 50 digits.
        let want = [1.537_417_492_024_139, 0.167_414_579_866_164_17, 6.774_588_485_847_549e-3, 1.155_313_954_532_290_2e-4];
        let entry = |i: usize, j: usize| 1.0 / (i as f64 + j as f64 + 1.0 + 0.1 * i as f64 * j as f64);
        let tall: Vec<f64> = (0..24).map(|at| entry(at / 4, at % 4)).collect();
        let wide: Vec<f64> = (0..24).map(|at| entry(at / 6, at % 6)).collect();
        for got in [singular_values(6, 4, &tall).unwrap(), singular_values(4, 6, &wide).unwrap()] {
            let near = got.iter().zip(want).all(|(got, want)| (got - want).abs() <= 4e-15);
            assert!(got.len() == 4 && near, "{got:?}");
        }
        assert_eq!(singular_values(2, 3, &[0.0; 6]).unwrap(), [0.0, 0.0]);
        assert!(singular_values(2, 2, &[1.0, f64::NAN, 0.0, 1.0]).unwrap().iter().all(|value| value.is_nan()));
        assert!(singular_values(2, 2, &[1.0, f64::INFINITY, 0.0, 1.0]).unwrap().iter().all(|value| value.is_nan()));
        for scale in [1e-300, 1.0, 1e300] {
            let got = singular_values(1, 2, &[3.0 * scale, 4.0 * scale]).unwrap()[0] / scale;
            assert!((got - 5.0).abs() <= 2e-15, "{got}");
        }
        assert!(singular_values(2, 2, &[1.0]).unwrap_err().to_string().contains("1 entries, expected 2 x 2"));
    }

    #[test]
    fn checkpoints_have_the_authors_ranks() {
        for (figure, want) in [(4, 88), (6, 130)] {
            let Some(network) = fixtures::checkpoint(figure) else { return };
            let (parameters, gradients) = network.gradients();
            let rows = gradients.len() / parameters;
            assert_eq!(by_inertia(rows, parameters, &gradients, 1e-4), Some(want), "figure {figure}");
            let values = singular_values(rows, parameters, &gradients).unwrap();
            for threshold in [1e-1, 1e-2, 1e-3, 1e-4, 3e-5, 1e-5, 1e-12] {
                let all = count(&values, threshold);
                assert_eq!(
                    rank_of(rows, parameters, &gradients, threshold).unwrap(),
                    Some(all),
                    "figure {figure}, {threshold:e}"
                );
            }
        }
    }

    #[test]
    fn known_spectra_are_counted_by_inertia() {
        for (rows, columns) in [(40, 40), (25, 60), (60, 25), (150, 130), (1, 7), (7, 1), (2, 2)] {
            let size = rows.min(columns);
            let spectra: [(&str, &dyn Fn(usize) -> f64); 5] = [
                ("geometric", &|j| 10f64.powf(-0.19 * j as f64)),
                ("rank deficient", &|j| if 3 * j < size { 1.3 + j as f64 } else { 0.0 }),
                ("flat", &|_| 2.5),
                ("one large", &|j| if j == 0 { 1.0 } else { 3e-4 }),
                ("a step just around 1e-4", &|j| if 2 * j < size { 1.0 } else { 0.999e-4 }),
            ];
            for (name, values) in spectra {
                let mut values: Vec<f64> = (0..size).map(values).collect();
                values.sort_by(|a, b| b.total_cmp(a));
                let matrix = with_spectrum(rows, columns, &values, rows as u64);
                for threshold in [0.5, 1e-2, 1e-4, 2e-5] {
                    let want = values.iter().filter(|&&value| value > threshold * values[0]).count();
                    let at = format!("{name}, {rows}x{columns}, {threshold:e}");
                    let decided = by_inertia(rows, columns, &matrix, threshold);
                    assert!(decided.is_none_or(|count| count == want), "{at}: {decided:?}");
                    assert!(decided.is_some() || threshold > 0.1, "{at}");
                    assert_eq!(oracle(rows, columns, &matrix, threshold), want, "{at}");
                }
            }
        }
    }

    #[test]
    fn near_the_threshold_the_singular_values_decide() {
        // One value at (1 + gap)·threshold·σ₁: where the Gram matrix answers it is right, and close by it does not.
        let (size, threshold) = (60, 1e-4);
        let mut undecided = 0;
        for gap in [-1e-2, -1e-3, -1e-5, -1e-7, -1e-9, 1e-9, 1e-7, 1e-5, 1e-3, 1e-2] {
            let mut values: Vec<f64> = (0..size).map(|j| 0.9f64.powi(j)).collect();
            values[size as usize - 1] = (1.0 + gap) * threshold;
            let matrix = with_spectrum(60, 60, &values, 7);
            let want = if gap > 0.0 { 60 } else { 59 };
            let decided = by_inertia(60, 60, &matrix, threshold);
            assert!(decided.is_none_or(|count| count == want), "gap {gap:e}: {decided:?}");
            assert!(decided.is_some() || gap.abs() <= 1e-4, "gap {gap:e} is wide enough");
            undecided += usize::from(decided.is_none());
            assert_eq!(rank_of(60, 60, &matrix, threshold).unwrap(), Some(want), "gap {gap:e}");
        }
        assert!(undecided >= 4, "{undecided}");
    }

    #[test]
    fn random_matrices_have_the_rank_that_their_singular_values_have() {
        for seed in 0..60 {
            let (rows, columns) = (1 + seed as usize * 7 % 50, 1 + seed as usize * 11 % 43);
            // Columns of very different sizes, some zero, and a repeated row.
            let mut matrix = normals(rows * columns, seed);
            for (at, value) in matrix.iter_mut().enumerate() {
                *value *= if at % columns % 5 == 4 { 0.0 } else { 10f64.powf(-0.3 * (at % columns) as f64) };
            }
            matrix.copy_within(..columns, (rows - 1) * columns);
            for threshold in [0.0, 1e-12, 1e-6, 1e-5, 1e-4, 1e-2, 0.3, 1.0, 2.0] {
                let want = oracle(rows, columns, &matrix, threshold);
                assert_eq!(rank_of(rows, columns, &matrix, threshold).unwrap(), Some(want), "seed {seed}, {threshold:e}");
            }
        }
    }

    #[test]
    fn the_error_bound_holds() {
        // The Gram matrix's eigenvalues against squares of singular values that are known: within e, which is what is claimed, and
        // for e a thousand times smaller the claim would be false.
        for (size, decay) in [(30, 0.5f64), (120, 0.9), (120, 0.2)] {
            let values: Vec<f64> = (0..size).map(|j| decay.powi(j)).collect();
            let n = size as usize;
            let matrix = with_spectrum(n, n, &values, 3);
            let gram = gram(view(n, n, &matrix).unwrap());
            let trace: f64 = values.iter().map(|value| value * value).sum();
            let error = 4.0 * n as f64 * f64::EPSILON * trace;
            let mut eigenvalues =
                MatRef::from_column_major_slice(&gram, n, n).self_adjoint_eigenvalues(faer::Side::Lower).unwrap();
            eigenvalues.reverse();
            let worst = eigenvalues.iter().zip(&values).map(|(got, value)| (got - value * value).abs()).fold(0.0, f64::max);
            assert!(worst <= error && worst > error / 1e3, "{size}, {decay}: {worst:e} against {error:e}");
        }
    }

    #[test]
    fn factors_that_grow_are_given_up() {
        // [[δ, 1], [1, 0]] - 0: the second pivot is -1/δ.
        let mut factors = vec![0.0; 4];
        let gram = [1e-9, 1.0, 1.0, 0.0];
        assert_eq!(positive_pivots(&gram, 2, 0.0, 10.0, &mut factors), None);
        assert_eq!(positive_pivots(&gram, 2, 0.0, 1e10, &mut factors), Some(1));
        assert_eq!(positive_pivots(&[1.0, 1.0, 1.0, 1.0], 2, 1.0, 10.0, &mut factors), None, "a zero pivot");
        assert_eq!(positive_pivots(&[f64::NAN; 4], 2, 0.0, 10.0, &mut factors), None);
    }

    #[test]
    fn empty_zero_and_broken_matrices() {
        assert_eq!(rank_of(0, 3, &[], 1e-4).unwrap(), Some(0));
        assert_eq!(rank_of(2, 3, &[0.0; 6], 1e-4).unwrap(), Some(0));
        assert_eq!(rank_of(2, 2, &[1.0, f64::NAN, 0.0, 1.0], 1e-4).unwrap(), None);
        assert_eq!(rank_of(2, 2, &[1.0, f64::INFINITY, 0.0, 1.0], 1e-4).unwrap(), None);
        assert_eq!(rank_of(1, 1, &[-2.0], 1e-4).unwrap(), Some(1));
        for scale in [1e-250, 1e250] {
            assert_eq!(rank_of(2, 2, &[scale, 0.0, 0.0, 1e-5 * scale], 1e-4).unwrap(), Some(1));
        }
        assert!(rank_of(2, 3, &[0.0; 5], 1e-4).unwrap_err().to_string().contains("5 entries, expected 2 x 3"));
    }
}

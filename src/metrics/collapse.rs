//! Neural collapse (Papyan, Han and Donoho 2020).

use super::{lanczos, weights};
use crate::error::{Result, refuse};

/// Directions along which class means differ by less than this share of the largest difference (squared) hold none of them.
const NEGLIGIBLE: f64 = 1e-10;

/// NC1 = tr(Σ_W Σ_B⁺)/C of n rows of d features in C classes: with μ_c the mean of class c and μ that of all rows,
/// Σ_W = 1/n Σ_i (h_i - μ_(c_i))(h_i - μ_(c_i))ᵀ and Σ_B = 1/C Σ_c (μ_c - μ)(μ_c - μ)ᵀ.
///
/// 0 if every class has collapsed to its mean; NaN if a feature is not finite or the means do not differ.
///
/// # Errors
/// If there are no rows, not as many classes as rows, or the decomposition does not converge.
pub fn nc1(d: usize, features: &[f64], classes: &[usize]) -> Result<f64> {
    let n = classes.len();
    if n == 0 || d == 0 || features.len() != n * d {
        return refuse!("nc1: {} features of {n} rows of {d}, expected at least 1 each and their product", features.len());
    }
    if !features.iter().all(|feature| feature.is_finite()) {
        return Ok(f64::NAN);
    }
    // Classes that no row has are none.
    let mut present = classes.to_vec();
    present.sort_unstable();
    present.dedup();
    let mut means = vec![0.0; present.len() * d];
    let mut counts = vec![0.0; present.len()];
    let place = |class: &usize| present.partition_point(|other| other < class);
    for (row, class) in features.chunks_exact(d).zip(classes) {
        let class = place(class);
        counts[class] += 1.0;
        means[class * d..][..d].iter_mut().zip(row).for_each(|(mean, feature)| *mean += feature);
    }
    means.chunks_exact_mut(d).zip(&counts).for_each(|(mean, count)| mean.iter_mut().for_each(|sum| *sum /= count));
    let mut all = vec![0.0; d];
    for row in features.chunks_exact(d) {
        all.iter_mut().zip(row).for_each(|(all, feature)| *all += feature / n as f64);
    }
    let apart: Vec<f64> = means.chunks_exact(d).flat_map(|mean| mean.iter().zip(&all).map(|(mean, all)| mean - all)).collect();
    // With apart = U S Vᵀ, Σ_B = V S² Vᵀ/C: V comes from U and S, those of the small side, as vᵣ = apartᵀuᵣ/sᵣ.
    let columns: Vec<f64> = (0..d).flat_map(|j| apart.iter().skip(j).step_by(d).copied()).collect();
    let squares = weights::spectrum(d, present.len(), &columns)?;
    let vectors = weights::right_vectors(d, present.len(), &columns)?;
    let largest = squares[0];
    if largest == 0.0 {
        return Ok(f64::NAN);
    }
    let mut sum = 0.0;
    for (&square, u) in squares.iter().zip(vectors.chunks_exact(present.len())).filter(|(s, _)| **s > NEGLIGIBLE * largest) {
        // The variance along v within classes over its eigenvalue s²/C of Σ_B, over C.
        let v: Vec<f64> = columns.chunks_exact(present.len()).map(|column| lanczos::dot(column, u) / square.sqrt()).collect();
        let along = |row: &[f64], mean: &[f64]| (0..d).map(|j| (row[j] - mean[j]) * v[j]).sum::<f64>();
        let rows = features.chunks_exact(d).zip(classes);
        let variance = rows.map(|(row, class)| along(row, &means[place(class) * d..][..d]).powi(2)).sum::<f64>() / n as f64;
        sum += variance / square;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two classes at ±e_1, whose rows lie at ±a along e_1 and ±b along e_2 of their mean.
    fn clusters(a: f64, b: f64) -> (Vec<f64>, Vec<usize>) {
        let offsets = [[a, 0.0], [-a, 0.0], [0.0, b], [0.0, -b]];
        let rows = [1.0, -1.0].into_iter().flat_map(|mean| offsets.map(|[x, y]| [mean + x, y]));
        (rows.flatten().collect(), vec![3, 3, 3, 3, 7, 7, 7, 7])
    }

    #[test]
    fn collapsed_clusters_have_none() {
        let (features, classes) = clusters(0.0, 0.0);
        assert_eq!(nc1(2, &features, &classes).unwrap(), 0.0);
        // What is orthogonal to the differences of the means does not count.
        let (features, classes) = clusters(0.0, 5.0);
        assert!(nc1(2, &features, &classes).unwrap() <= 1e-15);
    }

    #[test]
    fn constructed_clusters_have_one() {
        // Σ_W = a²/2 along e_1, Σ_B = 1 along it, C = 2: NC1 = a²/4.
        let (features, classes) = clusters(2.0, 0.3);
        assert!((nc1(2, &features, &classes).unwrap() - 1.0).abs() <= 1e-14);
    }

    #[test]
    fn it_does_not_depend_on_the_coordinates() {
        let (features, classes) = clusters(1.3, 0.7);
        let whole = nc1(2, &features, &classes).unwrap();
        // Any invertible map, into three dimensions.
        let mapped: Vec<f64> =
            features.chunks_exact(2).flat_map(|row| [2.0 * row[0] + row[1], row[1] - row[0], 0.5 * row[0] + 4.0]).collect();
        let seen = nc1(3, &mapped, &classes).unwrap();
        assert!((whole - 1.3f64.powi(2) / 4.0).abs() <= 1e-14);
        // The pseudoinverse sees only the span of the means, so that this holds for maps which keep it orthogonal to the rest.
        assert!(seen.is_finite() && seen > 0.0);
        let turned: Vec<f64> =
            features.chunks_exact(2).flat_map(|row| [0.6 * row[0] - 0.8 * row[1], 2.0, 0.8 * row[0] + 0.6 * row[1]]).collect();
        assert!((nc1(3, &turned, &classes).unwrap() - whole).abs() <= 1e-13);
        let scaled: Vec<f64> = features.iter().map(|feature| 7.0 * feature + 1.0).collect();
        assert!((nc1(2, &scaled, &classes).unwrap() - whole).abs() <= 1e-13);
    }

    #[test]
    fn what_has_no_classes_is_undefined() {
        assert!(nc1(1, &[1.0, 2.0], &[0, 0]).unwrap().is_nan());
        assert!(nc1(1, &[1.0, f64::NAN], &[0, 1]).unwrap().is_nan());
        assert!(nc1(2, &[1.0], &[0]).is_err() && nc1(1, &[], &[]).is_err());
    }
}

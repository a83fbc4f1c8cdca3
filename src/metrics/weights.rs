//! Spectra, ranks and norms of one layer's weights W, out x in in row-major order.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, SelfAdjointEvdParams, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::matmul;
use faer::{Accum, Auto, ColMut, ColRef, Mat, MatRef, Par, Spec};

use super::{lanczos, rank};
use crate::error::{Error, Result, refuse};

/// WᵀW, in x in.
///
/// # Errors
/// If W does not have out·in entries.
pub fn gram(outputs: usize, inputs: usize, weights: &[f64]) -> Result<Vec<f64>> {
    Ok(rank::gram(rank::view(outputs, inputs, weights)?.transpose()))
}

/// Eigenvalues of WᵀW, descending, one for each input: the squares of W's singular values, then zeros; NaN if W is not finite.
///
/// # Errors
/// If W does not have out·in entries or the decomposition does not converge.
pub fn spectrum(outputs: usize, inputs: usize, weights: &[f64]) -> Result<Vec<f64>> {
    let mut values = rank::singular_values(outputs, inputs, weights)?;
    values.iter_mut().for_each(|value| *value *= *value);
    let rest = if values.first().is_some_and(|value| value.is_nan()) { f64::NAN } else { 0.0 };
    values.resize(inputs, rest);
    Ok(values)
}

/// Residual of [`top_eigenvalue`], relative to it; its own error is mostly the square of that over the gap to the next one.
const TOLERANCE: f64 = 1e-6;

/// The largest eigenvalue of WᵀW alone, by Lanczos; NaN if W is not finite.
///
/// # Errors
/// If W does not have out·in entries or the iteration does not converge.
pub fn top_eigenvalue(outputs: usize, inputs: usize, weights: &[f64]) -> Result<f64> {
    let weights = rank::view(outputs, inputs, weights)?;
    let mut images = vec![0.0; outputs];
    let top = lanczos::top_eigenvalue_to(TOLERANCE, inputs, |x, y| {
        matmul(ColMut::from_slice_mut(&mut images), Accum::Replace, weights, ColRef::from_slice(x), 1.0, Par::Seq);
        matmul(ColMut::from_slice_mut(y), Accum::Replace, weights.transpose(), ColRef::from_slice(&images), 1.0, Par::Seq);
    })?;
    Ok(top.value)
}

/// The right singular vectors of W, in x in: row k belongs to the k-th largest eigenvalue of WᵀW; NaN if W is not finite.
///
/// # Errors
/// As [`spectrum`].
pub fn right_vectors(outputs: usize, inputs: usize, weights: &[f64]) -> Result<Vec<f64>> {
    let gram = gram(outputs, inputs, weights)?;
    let gram = MatRef::from_column_major_slice(&gram, inputs, inputs);
    if !gram.is_all_finite() {
        return Ok(vec![f64::NAN; inputs * inputs]);
    }
    let params: Spec<SelfAdjointEvdParams, f64> = <SelfAdjointEvdParams as Auto<f64>>::auto().into();
    let scratch = self_adjoint_evd_scratch::<f64>(inputs, ComputeEigenvectors::Yes, Par::Seq, params);
    let (mut values, mut vectors) = (Diag::<f64>::zeros(inputs), Mat::<f64>::zeros(inputs, inputs));
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    // One thread: the bits must not depend on how many there are.
    self_adjoint_evd(gram, values.as_mut(), Some(vectors.as_mut()), Par::Seq, stack, params).map_err(|error| {
        Error::Numerics(format!("weights: the vectors of a {outputs}x{inputs} matrix did not converge ({error:?})"))
    })?;
    // Eigenvalues ascend.
    Ok((0..inputs).rev().flat_map(|k| (0..inputs).map(move |i| (i, k))).map(|at| vectors[at]).collect())
}

/// ‖VᵀV - WWᵀ‖_F for the layer V (`above` x `width`) that reads the outputs of W (`width` x `below`). Gradient flow of linear and of
/// homogeneous networks conserves the matrix, or its diagonal.
///
/// # Errors
/// If V or W does not have its number of entries.
pub fn balancedness(above: usize, width: usize, below: usize, next: &[f64], weights: &[f64]) -> Result<f64> {
    let (next, own) = (gram(above, width, next)?, rank::gram(rank::view(width, below, weights)?));
    Ok(next.iter().zip(own).map(|(next, own)| (next - own).powi(2)).sum::<f64>().sqrt())
}

/// ‖W[:, first..]‖_F: the weights of the inputs from `first` on, as those that no target depends on.
///
/// # Errors
/// If W does not have out·in entries or there is no input `first` to `inputs`.
pub fn norm_of_inputs(outputs: usize, inputs: usize, weights: &[f64], first: usize) -> Result<f64> {
    let weights: MatRef<'_, f64> = rank::view(outputs, inputs, weights)?;
    if first > inputs {
        return refuse!("weights: the norm from input {first} on, expected at most {inputs}");
    }
    Ok(weights.subcols(first, inputs - first).norm_l2())
}

/// ‖W‖²_F / σ₁²; NaN if W is zero or not finite.
///
/// # Errors
/// As [`spectrum`].
pub fn stable_rank(outputs: usize, inputs: usize, weights: &[f64]) -> Result<f64> {
    let values = rank::singular_values(outputs, inputs, weights)?;
    let largest = values.first().copied().unwrap_or(f64::NAN);
    Ok(values.iter().map(|value| (value / largest).powi(2)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 3 x 4.
    const W: [f64; 12] = [1.0, 2.0, -1.0, 0.5, 0.0, 3.0, 1.0, -2.0, 2.0, -1.0, 0.25, 1.0];
    /// 2 x 3.
    const NEXT: [f64; 6] = [1.0, -2.0, 0.5, 0.5, 1.0, 3.0];

    fn close(got: &[f64], want: &[f64]) {
        let scale = want.iter().fold(f64::MIN_POSITIVE, |scale, want| scale.max(want.abs()));
        let near = got.iter().zip(want).all(|(got, want)| (got - want).abs() <= 1e-14 * scale);
        assert!(got.len() == want.len() && near, "{got:?} against {want:?}");
    }

    #[test]
    fn values_are_those_of_numpy() {
        let by_hand = [5.0, 0.0, -0.5, 2.5, 0.0, 14.0, 0.75, -6.0, -0.5, 0.75, 2.0625, -2.25, 2.5, -6.0, -2.25, 5.25];
        close(&gram(3, 4, &W).unwrap(), &by_hand);
        close(&spectrum(3, 4, &W).unwrap(), &[17.362_516_076_618_63, 6.419_000_143_870_88, 2.530_983_779_510_488, 0.0]);
        close(&[balancedness(2, 3, 4, &NEXT, &W).unwrap()], &[16.550_231_305_030_15]);
        close(&[norm_of_inputs(3, 4, &W, 2).unwrap()], &[2.704_163_456_597_992]);
        close(&[stable_rank(3, 4, &W).unwrap()], &[1.515_477_358_459_234_3]);
        let top = top_eigenvalue(3, 4, &W).unwrap();
        assert!((top / 17.362_516_076_618_63 - 1.0).abs() <= 1e-12, "{top}");
    }

    #[test]
    fn right_vectors_are_orthonormal_and_have_the_eigenvalues() {
        let (vectors, spectrum) = (right_vectors(3, 4, &W).unwrap(), spectrum(3, 4, &W).unwrap());
        let gram = gram(3, 4, &W).unwrap();
        for (k, row) in vectors.chunks_exact(4).enumerate() {
            for (i, other) in vectors.chunks_exact(4).enumerate() {
                let want = f64::from(u8::from(i == k));
                assert!((lanczos::dot(row, other) - want).abs() <= 1e-14, "{k}, {i}");
                let image = lanczos::dot(&gram[4 * i..][..4], row);
                assert!((image - spectrum[k] * row[i]).abs() <= 1e-13, "{k}, {i}: {image}");
            }
        }
    }

    #[test]
    fn simple_cases() {
        // W of two equal rows; V = Wᵀ would balance only a W with VᵀV = WWᵀ, as V = R·Wᵀ with a rotation R does.
        assert_eq!(balancedness(2, 2, 2, &[0.0, 2.0, -1.0, 0.0], &[1.0, 0.0, 0.0, 2.0]).unwrap(), 0.0);
        assert_eq!(balancedness(1, 1, 2, &[3.0], &[2.0, 1.0]).unwrap(), 4.0);
        assert_eq!(spectrum(1, 3, &[2.0, 0.0, 0.0]).unwrap(), [4.0, 0.0, 0.0]);
        assert_eq!(spectrum(3, 1, &[2.0, 0.0, 0.0]).unwrap(), [4.0]);
        assert_eq!(stable_rank(2, 2, &[1.0, 0.0, 0.0, 1.0]).unwrap(), 2.0);
        assert_eq!(norm_of_inputs(2, 2, &W[..4], 2).unwrap(), 0.0);
    }

    #[test]
    fn what_is_not_a_number_stays_so_and_wrong_sizes_are_refused() {
        let mut broken = W;
        broken[7] = f64::NAN;
        assert!(gram(3, 4, &broken).unwrap().iter().any(|value| value.is_nan()));
        assert!(spectrum(3, 4, &broken).unwrap().iter().all(|value| value.is_nan()));
        assert!(balancedness(2, 3, 4, &NEXT, &broken).unwrap().is_nan());
        assert!(norm_of_inputs(3, 4, &broken, 3).unwrap().is_nan());
        assert!(top_eigenvalue(3, 4, &broken).unwrap().is_nan() && top_eigenvalue(2, 2, &[0.0; 4]).unwrap() == 0.0);
        assert!(right_vectors(3, 4, &broken).unwrap().iter().all(|value| value.is_nan()));
        assert!(stable_rank(3, 4, &broken).unwrap().is_nan() && stable_rank(2, 2, &[0.0; 4]).unwrap().is_nan());
        assert!(gram(3, 3, &W).unwrap_err().to_string().contains("12 entries, expected 3 x 3"));
        assert!(norm_of_inputs(3, 4, &W, 5).unwrap_err().to_string().contains("from input 5 on, expected at most 4"));
        assert!(balancedness(2, 2, 4, &NEXT, &W).is_err());
    }
}

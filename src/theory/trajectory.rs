//! Lyapunov exponents as measured from runs: m_w from distances to w*, m_L = 2m_w from losses.

/// A mean over independent runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// Standard deviation of the mean; NaN for a single run.
    pub standard_error: f64,
    /// Runs.
    pub runs: usize,
}

impl Estimate {
    /// The mean of values, one per run; None without any.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let runs = values.len();
        let value = values.iter().sum::<f64>() / runs as f64;
        let squares = values.iter().map(|other| (other - value).powi(2)).sum::<f64>();
        let standard_error = (squares / (runs as f64 - 1.0) / runs as f64).sqrt();
        (runs > 0).then_some(Self { value, standard_error, runs })
    }

    /// Whether `expected` is within so many standard errors.
    #[must_use]
    pub fn agrees(&self, expected: f64, errors: f64) -> bool {
        (self.value - expected).abs() <= errors * self.standard_error
    }
}

/// The growth of a logarithm per step, over runs: mean of (end - start)/steps. Of log|w - w*| (or the logarithm of any norm of
/// w - w*) it is m_w, of log L it is m_L.
#[must_use]
pub fn growth(logarithms: &[(f64, f64)], steps: u64) -> Option<Estimate> {
    let rates: Vec<f64> = logarithms.iter().map(|(start, end)| (end - start) / steps as f64).collect();
    Estimate::of(&rates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Stream, sequential, standard_normals};
    use crate::theory::regression::exponent;

    /// 200 runs of 1000 steps: m_w and m_L agree with the closed form within their own errors, and these are not idle.
    #[test]
    fn exponents_of_trajectories_agree_with_the_law() {
        for lambda in [0.3, 1.5, 2.6] {
            let ends: Vec<(f64, f64)> = (0..200)
                .map(|seed| {
                    let mut x = vec![0.0; 1000];
                    standard_normals(&mut sequential(seed, Stream::Order), &mut x);
                    (0.5, x.iter().map(|x| (1.0 - lambda * x * x).abs().ln()).sum::<f64>() + 0.5)
                })
                .collect();
            let losses: Vec<(f64, f64)> = ends.iter().map(|(start, end)| (2.0 * start, 2.0 * end)).collect();
            let (m_w, m_l) = (growth(&ends, 1000).unwrap(), growth(&losses, 1000).unwrap());
            assert!(m_w.agrees(exponent(lambda, 1), 4.0), "{m_w:?}");
            assert!(m_l.agrees(2.0 * exponent(lambda, 1), 4.0) && m_l.standard_error < 0.02, "{m_l:?}");
            assert!(!m_w.agrees(exponent(lambda, 1) + 0.03, 4.0), "{m_w:?}");
        }
    }

    #[test]
    fn by_hand() {
        let estimate = growth(&[(0.0, 2.0), (1.0, 5.0), (2.0, 8.0)], 2).unwrap();
        assert_eq!((estimate.value, estimate.runs), (2.0, 3));
        assert!((estimate.standard_error - (1.0_f64 / 3.0).sqrt()).abs() <= 1e-15);
        assert!(growth(&[], 5).is_none() && growth(&[(0.0, 1.0)], 1).unwrap().standard_error.is_nan());
    }
}

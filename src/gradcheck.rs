//! Verifying gradients by central differences in f64: for our layers and nets, and for anybody's in their own tests.
//!
//! ```
//! use handgrad::gradcheck::check;
//! // f(a, b) = a² b has the gradient (2ab, a²).
//! let at = [1.5, -0.5];
//! let gradient = [2.0 * at[0] * at[1], at[0] * at[0]];
//! let report = check("a²b", &at, &gradient, |p| Ok::<_, ()>(p[0] * p[0] * p[1])).unwrap();
//! assert!(report.passed(), "{report}");
//! ```

use handgrad_kernels::diagonal::{DiagonalShape, diagonal_backward_weight, diagonal_forward};
use handgrad_kernels::mse::{MseScale, mse_backward, mse_forward};
use handgrad_kernels::{Acc, Context, Isa};

use crate::error::Result;
use crate::rng::{self, Stream};

/// Largest relative error that passes: central differences in f64 are good to about 1e-10 on smooth functions of size 1.
pub const TOLERANCE: f64 = 1e-7;

/// How far a gradient is from central differences.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Report {
    /// What was checked.
    pub name: String,
    /// Parameters compared.
    pub parameters: usize,
    /// Largest |analytic - numeric|, divided by the largest |numeric|; NaN if any number is NaN.
    pub error: f64,
    /// The parameter where it is largest.
    pub worst: usize,
    /// The gradient given there.
    pub analytic: f64,
    /// The central difference there.
    pub numeric: f64,
}

impl Report {
    /// Whether the error is within [`TOLERANCE`]; NaN is not.
    pub fn passed(&self) -> bool {
        self.error <= TOLERANCE
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Report { name, parameters, error, worst, analytic, numeric } = self;
        let verdict = if self.passed() { "ok  " } else { "FAIL" };
        write!(
            f,
            "{verdict} {name}: {parameters} parameters, error {error:.1e} at {worst} (analytic {analytic:.9e}, numeric {numeric:.9e})"
        )
    }
}

/// Compares a gradient with `(value(p + h e_j) - value(p - h e_j)) / 2h`, h = ∛ε·max(1, |p_j|), in every parameter.
///
/// A gradient whose length differs from the parameters' fails with error NaN; so does one with NaN.
///
/// # Errors
/// The first error of `value`.
pub fn check<E>(name: &str, at: &[f64], gradient: &[f64], mut value: impl FnMut(&[f64]) -> Result<f64, E>) -> Result<Report, E> {
    let mut point = at.to_vec();
    let mut numeric = Vec::with_capacity(at.len());
    for j in 0..at.len() {
        let step = f64::EPSILON.cbrt() * at[j].abs().max(1.0);
        let mut shifted = |to: f64| {
            point[j] = to;
            value(&point)
        };
        let (above, below) = (at[j] + step, at[j] - step);
        numeric.push((shifted(above)? - shifted(below)?) / (above - below));
        point[j] = at[j];
    }
    let scale = numeric.iter().fold(f64::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
    let mut report =
        Report { name: name.to_owned(), parameters: at.len(), error: f64::NAN, worst: 0, analytic: f64::NAN, numeric: f64::NAN };
    if gradient.len() != at.len() {
        return Ok(report);
    }
    for (j, (&analytic, &numeric)) in gradient.iter().zip(&numeric).enumerate() {
        let error = (analytic - numeric).abs() / scale;
        if j == 0 || error > report.error || error.is_nan() {
            report = Report { error, worst: j, analytic, numeric, ..report };
        }
        if error.is_nan() {
            break;
        }
    }
    Ok(report)
}

/// Checks every gradient of this crate, with every instruction set of this machine, at sizes that fill no vector evenly.
///
/// # Errors
/// If a kernel refuses its arguments.
pub fn all() -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for isa in Isa::available() {
        let cx = Context::cpu_with(isa)?;
        for (n, d) in [(1, 1), (1, 17), (5, 9), (7, 33)] {
            for (scale, loss) in [(MseScale::Half, "half-mse"), (MseScale::Full, "mse")] {
                reports.push(diagonal(&cx, n, d, scale, &format!("diagonal {loss} {isa} f64 n={n} d={d}"))?);
            }
        }
    }
    Ok(reports)
}

/// The loss of a diagonal network in its parameters, on random data.
fn diagonal(cx: &Context, n: usize, d: usize, scale: MseScale, name: &str) -> Result<Report> {
    let mut numbers = vec![0.0; n * d + n + 2 * d];
    rng::standard_normals(&mut rng::sequential(n as u64, Stream::Data), &mut numbers);
    let (x, rest) = numbers.split_at(n * d);
    let (target, params) = rest.split_at(n);
    let shape = DiagonalShape::new(n, d, 1);
    let predictions = |params: &[f64]| -> Result<Vec<f64>> {
        let mut y = vec![f64::NAN; n];
        diagonal_forward(cx, &shape, x.into(), params.into(), (&mut y).into())?;
        Ok(y)
    };
    let (mut dy, mut gradient) = (vec![f64::NAN; n], vec![f64::NAN; 2 * d]);
    mse_backward(cx, scale, (&predictions(params)?).into(), target.into(), (&mut dy).into())?;
    diagonal_backward_weight(cx, &shape, x.into(), params.into(), (&dy).into(), (&mut gradient).into(), Acc::Set)?;
    check(name, params, &gradient, |params| Ok(mse_forward(cx, scale, (&predictions(params)?).into(), target.into())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// f(p) = Σ_j (j+1) p_j³ p_0.
    fn value(p: &[f64]) -> Result<f64, ()> {
        Ok(p.iter().enumerate().map(|(j, p_j)| (j + 1) as f64 * p_j.powi(3)).sum::<f64>() * p[0])
    }

    fn gradient(p: &[f64]) -> Vec<f64> {
        let sum: f64 = p.iter().enumerate().map(|(j, p_j)| (j + 1) as f64 * p_j.powi(3)).sum();
        let cubic = |(j, p_j): (usize, &f64)| 3.0 * (j + 1) as f64 * p_j * p_j * p[0];
        let mut gradient: Vec<f64> = p.iter().enumerate().map(cubic).collect();
        gradient[0] += sum;
        gradient
    }

    #[test]
    fn a_right_gradient_passes_and_a_wrong_one_does_not() {
        let at = [0.7, -1.3, 2.1];
        let right = gradient(&at);
        assert!(check("right", &at, &right, value).unwrap().passed());
        let wrong = |change: fn(&mut Vec<f64>)| {
            let mut wrong = right.clone();
            change(&mut wrong);
            check("wrong", &at, &wrong, value).unwrap()
        };
        assert!(!wrong(|g| g.iter_mut().for_each(|g| *g *= 1.001)).passed());
        assert!(!wrong(|g| g[1] = 0.0).passed());
        assert!(!wrong(|g| g[0] -= 1e-3).passed());
        assert!(!wrong(|g| g.truncate(2)).passed());
        let nan = wrong(|g| g[1] = f64::NAN);
        assert!(!nan.passed() && nan.worst == 1, "{nan}");
    }

    #[test]
    fn every_gradient_of_this_crate_passes() {
        for report in all().unwrap() {
            assert!(report.passed(), "{report}");
        }
    }
}

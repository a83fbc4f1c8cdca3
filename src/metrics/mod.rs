//! What is measured, by name. A name may carry a threshold: `l0@1e-50`.

mod hessian;
mod measurer;
mod noise;
mod ntk;

pub use measurer::{Measurer, Snapshot};
pub use ntk::DiagonalNtk;

use crate::error::{Error, Result, nearest, refuse};

/// A metric: its name, what it is, and how it is computed from one replica at one iteration.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Name without threshold.
    pub name: &'static str,
    /// Whether the name carries a threshold.
    pub threshold: bool,
    /// Formula.
    pub about: &'static str,
    value: fn(&Snapshot<'_>, f64) -> Result<f64>,
}

/// Every metric of diagonal networks.
pub const METRICS: &[Definition] = &[
    Definition {
        name: "train_loss",
        threshold: false,
        about: "‖X(u∘v) - y‖²/(2n) on the training set",
        value: |s, _| Ok(s.train_loss),
    },
    Definition { name: "test_loss", threshold: false, about: "the same on the test set", value: |s, _| Ok(s.test_loss) },
    Definition {
        name: "ntk_rank",
        threshold: true,
        about: "singular values σ of [X∘v, X∘u] with σ/σ₁ > threshold; X: the first 2d test inputs",
        value: |s, threshold| match s.spectrum()? {
            [] => Ok(f64::NAN),
            [first, ..] if first.is_nan() => Ok(f64::NAN),
            spectrum => Ok(ntk::rank(spectrum, threshold) as f64),
        },
    },
    Definition {
        name: "l0",
        threshold: true,
        about: "‖u∘v‖₀: entries with |u_j v_j| > threshold",
        value: |s, threshold| Ok(s.predictor().filter(|beta| beta.abs() > threshold).count() as f64),
    },
    Definition { name: "l1", threshold: false, about: "‖u∘v‖₁", value: |s, _| Ok(s.predictor().map(f64::abs).sum()) },
    Definition {
        name: "balancedness",
        threshold: false,
        about: "max_j |u_j² - v_j²|",
        value: |s, _| Ok(s.imbalance().fold(0.0, f64::max)),
    },
    Definition {
        name: "balancedness_mean",
        threshold: false,
        about: "mean_j |u_j² - v_j²|",
        value: |s, _| Ok(s.imbalance().sum::<f64>() / s.imbalance().count() as f64),
    },
    Definition {
        name: "teacher_distance",
        threshold: false,
        about: "‖u∘v - β*‖₂; needs the teacher β*",
        value: |s, _| Ok(s.teacher_errors(|_| true).map(|error| error * error).sum::<f64>().sqrt()),
    },
    Definition {
        name: "support_error",
        threshold: false,
        about: "root mean square of u_j v_j - β*_j over the support of β*",
        value: |s, _| Ok(s.root_mean_square(|teacher| teacher != 0.0)),
    },
    Definition {
        name: "log_off_support",
        threshold: false,
        about: "mean of ln|u_j v_j| off the support of β*",
        value: |s, _| Ok(s.log_off_support()),
    },
    Definition {
        name: "small_columns",
        threshold: true,
        about: "j with √(u_j² + v_j²) < threshold: columns j and d+j of φ, relative to ‖X_j‖",
        value: |s, threshold| Ok(s.scales().filter(|&scale| scale < threshold).count() as f64),
    },
    Definition {
        name: "feature_norm",
        threshold: false,
        about: "‖φ‖_F on the training inputs",
        value: |s, _| Ok(s.feature_norm()),
    },
    Definition {
        name: "hessian_min",
        threshold: false,
        about: "smallest eigenvalue of the Hessian of the training loss",
        value: |s, _| Ok(s.curvature()?.first().copied().unwrap_or(f64::NAN)),
    },
    Definition {
        name: "hessian_max",
        threshold: false,
        about: "its largest eigenvalue",
        value: |s, _| Ok(s.curvature()?.last().copied().unwrap_or(f64::NAN)),
    },
    Definition {
        name: "noise_ratio",
        threshold: false,
        about: "tr Cov(r_i ∇h(x_i)) / (L ‖φ‖²_F) over a uniform sample i",
        value: |s, _| Ok(noise::gradient_ratio(s.data, s.u, s.v, s.residuals(), s.train_loss)),
    },
    Definition {
        name: "noise_mean_error",
        threshold: false,
        about: "max |E ξ| / max |r| over the n draws of Proposition 1",
        value: |s, _| Ok(noise::mean_error(s.residuals())),
    },
    Definition {
        name: "noise_variance_error",
        threshold: false,
        about: "|E‖ξ‖²/(2n(n-1)L) - 1|, zero by Lemma 2",
        value: |s, _| Ok(noise::variance_error(s.residuals())),
    },
    Definition {
        name: "noise_covariance_error",
        threshold: false,
        about: "max |Cov ξ - (n diag(r²) - r rᵀ)| / (n max r²)",
        value: |s, _| Ok(noise::covariance_error(s.residuals())),
    },
    Definition { name: "first_parameter", threshold: false, about: "u_1: θ of the quadratic toy", value: |s, _| Ok(s.u[0]) },
];

/// A metric of a spec, ready to be computed.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    definition: &'static Definition,
    threshold: f64,
}

impl Metric {
    /// Its value; NaN where it is undefined (no test set).
    ///
    /// # Errors
    /// If the singular value decomposition does not converge.
    pub fn of(&self, snapshot: &Snapshot<'_>) -> Result<f64> {
        (self.definition.value)(snapshot, self.threshold)
    }

    /// How many singular values are above this metric's threshold.
    pub(crate) fn count(&self, singular_values: &[f64]) -> usize {
        ntk::rank(singular_values, self.threshold)
    }

    /// The threshold of a rank, if it is one.
    pub(crate) fn rank_threshold(&self) -> Option<f64> {
        (self.definition.name == "ntk_rank").then_some(self.threshold)
    }
}

/// Finds a metric by name.
///
/// # Errors
/// If there is none of that name, or a threshold is missing, superfluous or not a number >= 0.
pub fn parse(name: &str) -> Result<Metric> {
    let (base, threshold) = name.split_once('@').map_or((name, None), |(base, threshold)| (base, Some(threshold)));
    let Some(definition) = METRICS.iter().find(|definition| definition.name == base) else {
        return refuse!("metric `{name}` is unknown{}", nearest(base, METRICS.iter().map(|definition| definition.name)));
    };
    match (definition.threshold, threshold) {
        (false, None) => Ok(Metric { definition, threshold: 0.0 }),
        (false, Some(_)) => refuse!("metric `{name}` takes no threshold; write `{base}`"),
        (true, None) => refuse!("metric `{name}` needs a threshold, as in `{base}@1e-15`"),
        (true, Some(text)) => match text.parse::<f64>() {
            Ok(threshold) if threshold.is_finite() && threshold >= 0.0 => Ok(Metric { definition, threshold }),
            _ => Err(Error::Input(format!(
                "metric `{name}`: threshold `{text}` is not a finite number >= 0, as in `{base}@1e-15`"
            ))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(parse("l0@1e-50").is_ok());
        for (name, want) in [
            ("train_lost", "did you mean `train_loss`?"),
            ("l0", "needs a threshold"),
            ("l1@3", "takes no threshold"),
            ("ntk_rank@x", "threshold `x` is not a finite number"),
            ("ntk_rank@-1", "not a finite number >= 0"),
        ] {
            let line = parse(name).unwrap_err().to_string();
            assert!(line.contains(want), "{line}");
        }
    }
}

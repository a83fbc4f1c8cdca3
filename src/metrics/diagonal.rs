//! Metrics of diagonal networks.

use std::cell::OnceCell;

use handgrad_kernels::Context;
use handgrad_kernels::diagonal::{DiagonalShape, diagonal_forward};

use super::{Definition, Takes, Value, hessian, noise, ntk};
use super::{DiagonalNtk, Metric};
use crate::data::Dataset;
use crate::error::Result;
use crate::loss::{Loss, Targets};

/// Every metric of diagonal networks.
pub(super) const METRICS: &[Definition] = &[
    Definition {
        name: "train_loss",
        takes: Takes::Nothing,
        about: "the loss on the training set: ‖X(u∘v) - y‖²/(2n), or twice that for mse",
        value: Value::Diagonal(|s, _| Ok(s.train_loss)),
    },
    Definition {
        name: "test_loss",
        takes: Takes::Nothing,
        about: "the same on the test set",
        value: Value::Diagonal(|s, _| Ok(s.test_loss)),
    },
    Definition {
        name: "ntk_rank",
        takes: Takes::Threshold,
        about: "singular values σ of [X∘v, X∘u] with σ/σ₁ > threshold; X: the first 2d test inputs",
        value: Value::Diagonal(|s, arguments| match s.spectrum()? {
            [] => Ok(f64::NAN),
            [first, ..] if first.is_nan() => Ok(f64::NAN),
            spectrum => Ok(ntk::rank(spectrum, arguments.threshold) as f64),
        }),
    },
    Definition {
        name: "l0",
        takes: Takes::Threshold,
        about: "‖u∘v‖₀: entries with |u_j v_j| > threshold",
        value: Value::Diagonal(|s, arguments| Ok(s.predictor().filter(|beta| beta.abs() > arguments.threshold).count() as f64)),
    },
    Definition {
        name: "l1",
        takes: Takes::Nothing,
        about: "‖u∘v‖₁",
        value: Value::Diagonal(|s, _| Ok(s.predictor().map(f64::abs).sum())),
    },
    Definition {
        name: "balancedness",
        takes: Takes::Nothing,
        about: "max_j |u_j² - v_j²|",
        value: Value::Diagonal(|s, _| Ok(s.imbalance().fold(0.0, f64::max))),
    },
    Definition {
        name: "balancedness_mean",
        takes: Takes::Nothing,
        about: "mean_j |u_j² - v_j²|",
        value: Value::Diagonal(|s, _| Ok(s.imbalance().sum::<f64>() / s.imbalance().count() as f64)),
    },
    Definition {
        name: "teacher_distance",
        takes: Takes::Nothing,
        about: "‖u∘v - β*‖₂; needs the teacher β*",
        value: Value::Diagonal(|s, _| Ok(s.teacher_errors(|_| true).map(|error| error * error).sum::<f64>().sqrt())),
    },
    Definition {
        name: "support_error",
        takes: Takes::Nothing,
        about: "root mean square of u_j v_j - β*_j over the support of β*",
        value: Value::Diagonal(|s, _| Ok(s.root_mean_square(|teacher| teacher != 0.0))),
    },
    Definition {
        name: "log_off_support",
        takes: Takes::Nothing,
        about: "mean of ln|u_j v_j| off the support of β*",
        value: Value::Diagonal(|s, _| Ok(s.log_off_support())),
    },
    Definition {
        name: "small_columns",
        takes: Takes::Threshold,
        about: "j with √(u_j² + v_j²) < threshold: columns j and d+j of φ, relative to ‖X_j‖",
        value: Value::Diagonal(|s, arguments| Ok(s.scales().filter(|&scale| scale < arguments.threshold).count() as f64)),
    },
    Definition {
        name: "feature_norm",
        takes: Takes::Nothing,
        about: "‖φ‖_F on the training inputs",
        value: Value::Diagonal(|s, _| Ok(s.feature_norm())),
    },
    Definition {
        name: "hessian_min",
        takes: Takes::Nothing,
        about: "smallest eigenvalue of the Hessian of the training loss",
        value: Value::Diagonal(|s, _| Ok(s.curvature()?.first().copied().unwrap_or(f64::NAN))),
    },
    Definition {
        name: "hessian_max",
        takes: Takes::Nothing,
        about: "its largest eigenvalue",
        value: Value::Diagonal(|s, _| Ok(s.curvature()?.last().copied().unwrap_or(f64::NAN))),
    },
    Definition {
        name: "noise_ratio",
        takes: Takes::Nothing,
        about: "tr Cov(r_i ∇h(x_i)) / (L ‖φ‖²_F) over a uniform sample i",
        value: Value::Diagonal(|s, _| Ok(noise::gradient_ratio(s.data, s.u, s.v, s.residuals(), s.train_loss))),
    },
    Definition {
        name: "noise_mean_error",
        takes: Takes::Nothing,
        about: "max |E ξ| / max |r| over the n draws of Proposition 1",
        value: Value::Diagonal(|s, _| Ok(noise::mean_error(s.residuals()))),
    },
    Definition {
        name: "noise_variance_error",
        takes: Takes::Nothing,
        about: "|E‖ξ‖²/(2n(n-1)L) - 1|, zero by Lemma 2",
        value: Value::Diagonal(|s, _| Ok(noise::variance_error(s.residuals()))),
    },
    Definition {
        name: "noise_covariance_error",
        takes: Takes::Nothing,
        about: "max |Cov ξ - (n diag(r²) - r rᵀ)| / (n max r²)",
        value: Value::Diagonal(|s, _| Ok(noise::covariance_error(s.residuals()))),
    },
    Definition {
        name: "first_parameter",
        takes: Takes::Nothing,
        about: "u_1: θ of the quadratic toy",
        value: Value::Diagonal(|s, _| Ok(s.u[0])),
    },
];

/// One replica at one iteration.
#[derive(Debug)]
pub struct Snapshot<'a> {
    pub(in crate::metrics) data: &'a Dataset,
    pub(in crate::metrics) u: &'a [f64],
    pub(in crate::metrics) v: &'a [f64],
    /// The loss on the training set.
    pub train_loss: f64,
    /// The same on the test set; NaN without one.
    pub test_loss: f64,
    ntk: Option<&'a DiagonalNtk>,
    negligible: f64,
    spectrum: OnceCell<Vec<f64>>,
    residuals: OnceCell<Vec<f64>>,
    curvature: OnceCell<Vec<f64>>,
}

impl Snapshot<'_> {
    /// u_j v_j.
    pub(in crate::metrics) fn predictor(&self) -> impl Iterator<Item = f64> {
        self.u.iter().zip(self.v).map(|(u, v)| u * v)
    }

    /// |u_j² - v_j²|.
    pub(in crate::metrics) fn imbalance(&self) -> impl Iterator<Item = f64> {
        self.u.iter().zip(self.v).map(|(u, v)| (u * u - v * v).abs())
    }

    /// √(u_j² + v_j²).
    pub(in crate::metrics) fn scales(&self) -> impl Iterator<Item = f64> {
        self.u.iter().zip(self.v).map(|(u, v)| u.hypot(*v))
    }

    /// u_j v_j - β*_j wherever β*_j is `wanted`; without a teacher NaN.
    pub(in crate::metrics) fn teacher_errors(&self, wanted: impl Fn(f64) -> bool) -> impl Iterator<Item = f64> {
        let teacher = self.data.teacher.as_deref().unwrap_or(&[f64::NAN]).iter().copied().cycle();
        self.predictor().zip(teacher).filter(move |(_, teacher)| wanted(*teacher)).map(|(beta, teacher)| beta - teacher)
    }

    /// Root mean square of these errors; NaN if there are none.
    pub(in crate::metrics) fn root_mean_square(&self, wanted: impl Fn(f64) -> bool) -> f64 {
        let (count, sum) = self.teacher_errors(wanted).fold((0.0, 0.0), |(count, sum), error| (count + 1.0, sum + error * error));
        f64::sqrt(sum / count)
    }

    /// Mean of ln|u_j v_j| over the j with β*_j = 0; NaN if there are none.
    pub(in crate::metrics) fn log_off_support(&self) -> f64 {
        let logs = self.teacher_errors(|teacher| teacher == 0.0).map(|beta| beta.abs().ln());
        let (count, sum) = logs.fold((0.0, 0.0), |(count, sum), log| (count + 1.0, sum + log));
        sum / count
    }

    /// ‖[X∘v, X∘u]‖_F on the training inputs.
    pub(in crate::metrics) fn feature_norm(&self) -> f64 {
        let rows = self.data.x.chunks_exact(self.data.d);
        let square = |row: &[f64]| row.iter().zip(self.scales()).map(|(x, scale)| (x * scale).powi(2)).sum::<f64>();
        rows.map(square).sum::<f64>().sqrt()
    }

    /// X(u∘v) - y.
    pub(in crate::metrics) fn residuals(&self) -> &[f64] {
        self.residuals.get_or_init(|| {
            let prediction = |row: &[f64]| row.iter().zip(self.predictor()).map(|(x, beta)| x * beta).sum::<f64>();
            self.data.x.chunks_exact(self.data.d).zip(&self.data.y).map(|(row, y)| prediction(row) - y).collect()
        })
    }

    /// Eigenvalues of the Hessian of the training loss, ascending.
    pub(in crate::metrics) fn curvature(&self) -> Result<&[f64]> {
        if let Some(curvature) = self.curvature.get() {
            return Ok(curvature);
        }
        let curvature = hessian::eigenvalues(self.data, self.u, self.v, self.residuals())?;
        Ok(self.curvature.get_or_init(|| curvature))
    }

    /// Singular values of the NTK feature matrix, descending; empty without inputs to take it on.
    pub(in crate::metrics) fn spectrum(&self) -> Result<&[f64]> {
        if let Some(spectrum) = self.spectrum.get() {
            return Ok(spectrum);
        }
        let spectrum = self.ntk.map_or(Ok(Vec::new()), |ntk| ntk.singular_values(self.u, self.v, self.negligible))?;
        Ok(self.spectrum.get_or_init(|| spectrum))
    }
}

/// Columns this far below a rank's threshold, relative to the largest, cannot move a count: see [`DiagonalNtk::singular_values`].
const NEGLIGIBLE: f64 = 1e-4;

/// Measures diagonal networks on one data set.
#[derive(Debug)]
pub(super) struct Measurer {
    ntk: Option<DiagonalNtk>,
    loss: Loss,
}

impl Measurer {
    /// The NTK is taken on the first 2d test inputs.
    pub(super) fn new(data: &Dataset, loss: Loss) -> Measurer {
        let rows = (2 * data.d).min(data.x_test.len() / data.d);
        let ntk = (rows > 0).then(|| DiagonalNtk::new(&data.x_test[..rows * data.d], data.d));
        Measurer { ntk, loss }
    }

    /// Values of `wanted[r]` for every replica r of `params` (2d each, u then v).
    pub(super) fn measure(&self, cx: &Context, data: &Dataset, params: &[f64], wanted: &[Vec<Metric>]) -> Result<Vec<Vec<f64>>> {
        let d = data.d;
        let train = self.losses(cx, &data.x, &data.y, params, d)?;
        let test = self.losses(cx, &data.x_test, &data.y_test, params, d)?;
        let replicas = params.chunks_exact(2 * d).zip(train.into_iter().zip(test)).zip(wanted);
        let values = replicas.map(|((w, (train_loss, test_loss)), wanted)| {
            let (u, v) = w.split_at(d);
            let least = wanted.iter().filter_map(Metric::rank_threshold).fold(f64::INFINITY, f64::min);
            let negligible = if least.is_finite() { least * NEGLIGIBLE } else { 0.0 };
            let snapshot = Snapshot {
                data,
                u,
                v,
                train_loss,
                test_loss,
                ntk: self.ntk.as_ref(),
                negligible,
                spectrum: OnceCell::new(),
                residuals: OnceCell::new(),
                curvature: OnceCell::new(),
            };
            wanted.iter().map(|metric| metric.of_diagonal(&snapshot)).collect()
        });
        values.collect()
    }

    /// The loss of every replica; NaN if there are no samples.
    fn losses(&self, cx: &Context, x: &[f64], y: &[f64], params: &[f64], d: usize) -> Result<Vec<f64>> {
        let (n, replicas) = (y.len(), params.len() / (2 * d));
        if n == 0 || replicas == 0 {
            return Ok(vec![f64::NAN; replicas]);
        }
        let mut predictions = cx.scratch::<f64>(replicas * n);
        let shape = DiagonalShape::new(n, d, replicas);
        diagonal_forward(cx, &shape, x.into(), params.into(), (&mut *predictions).into())?;
        let target = Targets::Values(y.into());
        predictions.chunks_exact(n).map(|predictions| self.loss.forward(cx, 1, predictions.into(), target)).collect()
    }
}

use std::cell::OnceCell;

use handgrad_kernels::Context;
use handgrad_kernels::diagonal::{DiagonalShape, diagonal_forward};
use handgrad_kernels::mse::{MseScale, mse_forward};

use super::{DiagonalNtk, Metric, hessian};
use crate::data::Dataset;
use crate::error::Result;

/// Measures diagonal networks on one data set, in f64 whatever they were trained in.
#[derive(Debug)]
pub struct Measurer {
    data: Dataset,
    ntk: Option<DiagonalNtk>,
}

/// One replica at one iteration.
#[derive(Debug)]
pub struct Snapshot<'a> {
    pub(super) data: &'a Dataset,
    pub(super) u: &'a [f64],
    pub(super) v: &'a [f64],
    /// ‖X(u∘v) - y‖²/(2n) on the training set.
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
    pub(super) fn predictor(&self) -> impl Iterator<Item = f64> {
        self.u.iter().zip(self.v).map(|(u, v)| u * v)
    }

    /// |u_j² - v_j²|.
    pub(super) fn imbalance(&self) -> impl Iterator<Item = f64> {
        self.u.iter().zip(self.v).map(|(u, v)| (u * u - v * v).abs())
    }

    /// √(u_j² + v_j²).
    pub(super) fn scales(&self) -> impl Iterator<Item = f64> {
        self.u.iter().zip(self.v).map(|(u, v)| u.hypot(*v))
    }

    /// u_j v_j - β*_j wherever β*_j is `wanted`; without a teacher NaN.
    pub(super) fn teacher_errors(&self, wanted: impl Fn(f64) -> bool) -> impl Iterator<Item = f64> {
        let teacher = self.data.teacher.as_deref().unwrap_or(&[f64::NAN]).iter().copied().cycle();
        self.predictor().zip(teacher).filter(move |(_, teacher)| wanted(*teacher)).map(|(beta, teacher)| beta - teacher)
    }

    /// Root mean square of these errors; NaN if there are none.
    pub(super) fn root_mean_square(&self, wanted: impl Fn(f64) -> bool) -> f64 {
        let (count, sum) = self.teacher_errors(wanted).fold((0.0, 0.0), |(count, sum), error| (count + 1.0, sum + error * error));
        f64::sqrt(sum / count)
    }

    /// Mean of ln|u_j v_j| over the j with β*_j = 0; NaN if there are none.
    pub(super) fn log_off_support(&self) -> f64 {
        let logs = self.teacher_errors(|teacher| teacher == 0.0).map(|beta| beta.abs().ln());
        let (count, sum) = logs.fold((0.0, 0.0), |(count, sum), log| (count + 1.0, sum + log));
        sum / count
    }

    /// ‖[X∘v, X∘u]‖_F on the training inputs.
    pub(super) fn feature_norm(&self) -> f64 {
        let rows = self.data.x.chunks_exact(self.data.d);
        let square = |row: &[f64]| row.iter().zip(self.scales()).map(|(x, scale)| (x * scale).powi(2)).sum::<f64>();
        rows.map(square).sum::<f64>().sqrt()
    }

    /// X(u∘v) - y.
    pub(super) fn residuals(&self) -> &[f64] {
        self.residuals.get_or_init(|| {
            let prediction = |row: &[f64]| row.iter().zip(self.predictor()).map(|(x, beta)| x * beta).sum::<f64>();
            self.data.x.chunks_exact(self.data.d).zip(&self.data.y).map(|(row, y)| prediction(row) - y).collect()
        })
    }

    /// Eigenvalues of the Hessian of the training loss, ascending.
    pub(super) fn curvature(&self) -> Result<&[f64]> {
        if let Some(curvature) = self.curvature.get() {
            return Ok(curvature);
        }
        let curvature = hessian::eigenvalues(self.data, self.u, self.v, self.residuals())?;
        Ok(self.curvature.get_or_init(|| curvature))
    }

    /// Singular values of the NTK feature matrix, descending; empty without inputs to take it on.
    pub(super) fn spectrum(&self) -> Result<&[f64]> {
        if let Some(spectrum) = self.spectrum.get() {
            return Ok(spectrum);
        }
        let spectrum = self.ntk.map_or(Ok(Vec::new()), |ntk| ntk.singular_values(self.u, self.v, self.negligible))?;
        Ok(self.spectrum.get_or_init(|| spectrum))
    }
}

/// Columns this far below a rank's threshold, relative to the largest, cannot move a count: see [`DiagonalNtk::singular_values`].
const NEGLIGIBLE: f64 = 1e-4;

impl Measurer {
    /// Prepares the data; the NTK is taken on the first 2d test inputs.
    pub fn new(data: Dataset) -> Measurer {
        let rows = (2 * data.d).min(data.x_test.len() / data.d);
        let ntk = (rows > 0).then(|| DiagonalNtk::new(&data.x_test[..rows * data.d], data.d));
        Measurer { data, ntk }
    }

    /// The data set.
    pub fn data(&self) -> &Dataset {
        &self.data
    }

    /// Values of `wanted[r]` for every replica r of `params` (2d each, u then v).
    ///
    /// # Errors
    /// If a kernel refuses its arguments or a singular value decomposition does not converge.
    pub fn measure(&self, cx: &Context, params: &[f64], wanted: &[Vec<Metric>]) -> Result<Vec<Vec<f64>>> {
        let d = self.data.d;
        let train = losses(cx, &self.data.x, &self.data.y, params, d)?;
        let test = losses(cx, &self.data.x_test, &self.data.y_test, params, d)?;
        let replicas = params.chunks_exact(2 * d).zip(train.into_iter().zip(test)).zip(wanted);
        let values = replicas.map(|((w, (train_loss, test_loss)), wanted)| {
            let (u, v) = w.split_at(d);
            let least = wanted.iter().filter_map(Metric::rank_threshold).fold(f64::INFINITY, f64::min);
            let negligible = if least.is_finite() { least * NEGLIGIBLE } else { 0.0 };
            let snapshot = Snapshot {
                data: &self.data,
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
            wanted.iter().map(|metric| metric.of(&snapshot)).collect()
        });
        values.collect()
    }
}

/// Half mean squared error of every replica; NaN if there are no samples.
fn losses(cx: &Context, x: &[f64], y: &[f64], params: &[f64], d: usize) -> Result<Vec<f64>> {
    let (n, replicas) = (y.len(), params.len() / (2 * d));
    if n == 0 || replicas == 0 {
        return Ok(vec![f64::NAN; replicas]);
    }
    let mut predictions = cx.scratch::<f64>(replicas * n);
    let shape = DiagonalShape::new(n, d, replicas);
    diagonal_forward(cx, &shape, x.into(), params.into(), (&mut *predictions).into())?;
    let loss = |predictions: &[f64]| Ok(mse_forward(cx, MseScale::Half, predictions.into(), y.into())?);
    predictions.chunks_exact(n).map(loss).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::parse;

    #[test]
    fn values_by_hand() {
        let data = Dataset {
            d: 2,
            x: vec![1.0, 0.0, 0.0, 2.0],
            y: vec![1.0, 1.0],
            x_test: vec![1.0, 1.0, 1.0, -1.0],
            y_test: vec![0.0, 0.0],
            teacher: Some(vec![0.5, 0.0]),
        };
        let measurer = Measurer::new(data);
        // u = (2, 1), v = (0.5, 0.25): β = (1, 0.25), train residuals (0, -0.5), test predictions (1.25, 0.75).
        let cases = [
            ("train_loss", 0.0625),
            ("test_loss", (1.5625 + 0.5625) / 4.0),
            ("l0@0.5", 1.0),
            ("l0@0.1", 2.0),
            ("l1", 1.25),
            ("balancedness", 3.75),
            ("balancedness_mean", (3.75 + 0.9375) / 2.0),
            ("ntk_rank@1e-15", 2.0),
            ("teacher_distance", 0.3125f64.sqrt()),
            ("support_error", 0.5),
            ("log_off_support", 0.25f64.ln()),
            ("small_columns@1.5", 1.0),
            ("feature_norm", (4.25f64 + 4.0 * 1.0625).sqrt()),
            ("first_parameter", 2.0),
            // The Hessian falls into [[1/8, 1/2], [1/2, 2]] and [[1/8, 1/2 - 1/2], [0, 2]].
            ("hessian_min", 0.0),
            ("hessian_max", 2.125),
            // Gradients 0 and -g, |g|² = 17/16: second moment 17/32, less that of the mean, 17/64; over 1/16 · 17/2.
            ("noise_ratio", 0.5),
        ];
        let wanted = vec![cases.map(|(name, _)| parse(name).unwrap()).to_vec()];
        let values = measurer.measure(&Context::cpu().unwrap(), &[2.0, 1.0, 0.5, 0.25], &wanted).unwrap();
        for ((name, want), value) in cases.into_iter().zip(&values[0]) {
            assert!((value - want).abs() <= 1e-15, "{name}: {value} against {want}");
        }
    }

    #[test]
    fn what_needs_a_test_set_or_a_teacher_is_undefined_without() {
        let measurer = Measurer::new(Dataset { d: 1, x: vec![1.0], y: vec![1.0], x_test: vec![], y_test: vec![], teacher: None });
        let names = ["test_loss", "ntk_rank@1e-15", "teacher_distance", "support_error", "log_off_support"];
        let wanted = vec![names.map(|name| parse(name).unwrap()).to_vec()];
        let values = measurer.measure(&Context::cpu().unwrap(), &[1.0, 1.0], &wanted).unwrap();
        assert!(values[0].iter().all(|value| value.is_nan()), "{values:?}");
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let data = Dataset { d: 1, x: vec![1.0, 2.0], y: vec![1.0, 3.0], x_test: vec![], y_test: vec![], teacher: None };
        let names =
            ["train_loss", "hessian_min", "noise_ratio", "noise_mean_error", "noise_variance_error", "noise_covariance_error"];
        let wanted = vec![names.map(|name| parse(name).unwrap()).to_vec()];
        let values = Measurer::new(data).measure(&Context::cpu().unwrap(), &[f64::NAN, 1.0], &wanted).unwrap();
        assert!(values[0].iter().all(|value| value.is_nan()), "{values:?}");
    }
}

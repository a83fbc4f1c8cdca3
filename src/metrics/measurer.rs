use std::sync::Arc;

use handgrad_kernels::Context;

use super::{Metric, diagonal, images, layered};
use crate::data::Dataset;
use crate::error::{Result, refuse};
use crate::loss::Loss;
use crate::nets::Architecture;

/// Measures networks of one architecture on one data set, in f64 whatever they were trained in; networks of images in f32. The
/// samples that a CUDA device needs are copied there at its first use, and stay.
#[derive(Debug)]
pub struct Measurer {
    data: Arc<Dataset>,
    family: Family,
}

/// Replicas to measure, one after another.
#[derive(Clone, Copy, Debug)]
pub struct Replicas<'a> {
    /// Parameters.
    pub params: &'a [f64],
    /// Parameters that they started from, or none.
    pub initial: &'a [f64],
    /// Running statistics, of networks that have them.
    pub statistics: &'a [f64],
    /// Samples of an iteration of their training.
    pub batch: usize,
}

impl<'a> Replicas<'a> {
    /// Of networks without running statistics and a known start, in training by single samples.
    pub fn new(params: &'a [f64]) -> Replicas<'a> {
        Replicas { params, initial: &[], statistics: &[], batch: 1 }
    }
}

#[derive(Debug)]
enum Family {
    Diagonal(diagonal::Measurer),
    Layered(layered::Measurer),
    Images(images::Measurer),
}

impl Measurer {
    /// Prepares the data.
    ///
    /// # Errors
    /// If the network, the loss and the data do not fit each other.
    pub fn new(data: Arc<Dataset>, net: &Architecture, loss: Loss) -> Result<Measurer> {
        net.check_data(data.d, loss, data.outputs())?;
        let family = match net {
            Architecture::Resnet(resnet) => Family::Images(images::Measurer::new(&data, resnet.net()?, loss)?),
            Architecture::Convnet(convnet) => Family::Images(images::Measurer::new(&data, convnet.net()?, loss)?),
            _ => match net.net::<f64>(data.d)? {
                None => Family::Diagonal(diagonal::Measurer::new(&data, loss)),
                Some(layers) => Family::Layered(layered::Measurer::new(&data, layers, loss)?),
            },
        };
        Ok(Measurer { data, family })
    }

    /// The data set.
    pub fn data(&self) -> &Dataset {
        &self.data
    }

    /// Values of `wanted[r]` for every replica r. On a CUDA device the passes over the data run there, in the same number types as
    /// on the CPU, products of f32 in the context's precision; losses and counts are summed in f64.
    ///
    /// # Errors
    /// If a kernel refuses its arguments, a metric is not defined for the network, or an eigenvalue or singular value
    /// decomposition does not converge.
    pub fn measure(&self, cx: &Context, replicas: Replicas<'_>, wanted: &[Vec<Metric>]) -> Result<Vec<Vec<f64>>> {
        let Replicas { params, initial, .. } = replicas;
        match &self.family {
            Family::Images(measurer) => measurer.measure(cx, &self.data, replicas, wanted),
            Family::Diagonal(measurer) => measurer.measure(cx.host(), &self.data, params, wanted),
            Family::Layered(measurer) => measurer.measure(cx, &self.data, params, initial, wanted),
        }
    }

    /// The margins of all training images, as the metric `margin` takes their mean, of one replica.
    ///
    /// # Errors
    /// As [`Measurer::measure`]; only networks of images have them.
    pub fn margins(&self, cx: &Context, replica: Replicas<'_>) -> Result<Vec<f64>> {
        match &self.family {
            Family::Images(measurer) => measurer.margins(cx, &self.data, replica),
            _ => refuse!("margins are taken of networks of images only"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::parse;
    use crate::nets::{Activation, Bias};

    /// Of a diagonal network.
    fn measurer(data: Dataset) -> Measurer {
        Measurer::new(Arc::new(data), &Architecture::Diagonal { u: 0.1, v: 0.0 }, Loss::HalfMse).unwrap()
    }

    #[test]
    fn values_by_hand() {
        let data = Dataset {
            d: 2,
            x: vec![1.0, 0.0, 0.0, 2.0],
            y: vec![1.0, 1.0],
            x_test: vec![1.0, 1.0, 1.0, -1.0],
            y_test: vec![0.0, 0.0],
            teacher: Some(vec![0.5, 0.0]),
            ..Dataset::default()
        };
        let measurer = measurer(data);
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
        let values = measurer.measure(&Context::cpu().unwrap(), Replicas::new(&[2.0, 1.0, 0.5, 0.25]), &wanted).unwrap();
        for ((name, want), value) in cases.into_iter().zip(&values[0]) {
            assert!((value - want).abs() <= 1e-15, "{name}: {value} against {want}");
        }
    }

    #[test]
    fn what_needs_a_test_set_or_a_teacher_is_undefined_without() {
        let measurer = measurer(Dataset { d: 1, x: vec![1.0], y: vec![1.0], ..Dataset::default() });
        let names = ["test_loss", "ntk_rank@1e-15", "teacher_distance", "support_error", "log_off_support"];
        let wanted = vec![names.map(|name| parse(name).unwrap()).to_vec()];
        let values = measurer.measure(&Context::cpu().unwrap(), Replicas::new(&[1.0, 1.0]), &wanted).unwrap();
        assert!(values[0].iter().all(|value| value.is_nan()), "{values:?}");
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let data = Dataset { d: 1, x: vec![1.0, 2.0], y: vec![1.0, 3.0], ..Dataset::default() };
        let names =
            ["train_loss", "hessian_min", "noise_ratio", "noise_mean_error", "noise_variance_error", "noise_covariance_error"];
        let wanted = vec![names.map(|name| parse(name).unwrap()).to_vec()];
        let values = measurer(data).measure(&Context::cpu().unwrap(), Replicas::new(&[f64::NAN, 1.0]), &wanted).unwrap();
        assert!(values[0].iter().all(|value| value.is_nan()), "{values:?}");
    }

    #[test]
    fn values_of_a_perceptron_by_hand() {
        // h(x) = 2 relu(x_1 - x_2) - relu(x_2) + 0.5 on four points.
        let net = Architecture::mlp(&[2, 2, 1], Bias::All, Activation::Relu);
        let params = [1.0, -1.0, 0.0, 1.0, 0.0, 0.0, 2.0, -1.0, 0.5];
        let data = Dataset {
            d: 2,
            x: vec![1.0, 0.0, 0.0, 1.0, 3.0, 1.0, -1.0, -2.0],
            y: vec![2.5, 0.0, 3.0, 2.0],
            x_test: vec![2.0, 0.0],
            y_test: vec![4.0],
            teacher_rows: Some(vec![1.0, 0.0]),
            support: Some(1),
            ..Dataset::default()
        };
        let mut initial = params;
        initial[0] += 3.0;
        initial[3] += 4.0;
        initial[7] += 2.0;
        let cases = [
            // Predictions 2.5, -0.5, 3.5, 2.5.
            ("train_loss", 0.75 / 4.0),
            ("test_loss", 0.25),
            // Features (1, 0), (0, 1), (2, 1), (1, 0).
            ("active", 5.0 / 8.0),
            ("sparsity@0.99", 5.0 / 8.0),
            // Rows (1, 0) (0, 1) (2, 1)/√5 (1, 0): correlation of the columns below -0.9.
            ("sparsity.1@0.9", 2.0 / 8.0),
            // W_2ᵀW_2 - W_1W_1ᵀ = [[4, -2], [-2, 1]] - [[2, -1], [-1, 1]].
            ("layer_balancedness", 6f64.sqrt()),
            ("layer_balancedness.1", 6f64.sqrt()),
            ("weight_norm", 5f64.sqrt()),
            ("weight_norm.1", 3f64.sqrt()),
            ("irrelevant_norm", 2f64.sqrt()),
            ("weight_rank.1@0.1", 2.0),
            ("stable_rank", 1.0),
            // W_1ᵀW_1 = [[1, -1], [-1, 2]].
            ("top_eigenvalue.1", (3.0 + 5f64.sqrt()) / 2.0),
            ("top_eigenvalue", 5.0),
            // 4.5 for 4.
            ("test_error", 0.0),
            ("initial_distance", 5.0),
            ("initial_distance.2", 2.0),
            // cos = 1/√2 and 0, importance 2√2 and 1.
            ("clustering", 2.0 / (8f64.sqrt() + 1.0)),
            // One test input: one row.
            ("ntk_rank@1e-4", 1.0),
        ];
        let wanted = vec![cases.map(|(name, _)| parse(name).unwrap()).to_vec()];
        let measurer = Measurer::new(Arc::new(data), &net, Loss::Mse).unwrap();
        let values = measurer
            .measure(&Context::cpu().unwrap(), Replicas { initial: &initial, ..Replicas::new(&params) }, &wanted)
            .unwrap();
        for ((name, want), value) in cases.into_iter().zip(&values[0]) {
            assert!((value - want).abs() <= 1e-12, "{name}: {value} against {want}");
        }
    }

    #[test]
    fn the_test_error_counts_wrong_classes() {
        let net = Architecture::mlp(&[2, 2], Bias::None, Activation::Identity);
        let (x_test, y_test) = (vec![1.0, 0.0, 0.0, 2.0, 3.0, 1.0, 0.0, 1.0], vec![0.0, 1.0, 1.0, 1.0]);
        let data = Dataset { d: 2, x: vec![1.0, 0.0], y: vec![0.0], x_test, y_test, ..Dataset::default() };
        let measurer = Measurer::new(Arc::new(data), &net, Loss::SoftmaxXent).unwrap();
        let (params, wanted) = ([1.0, 0.0, 0.0, 1.0], vec![vec![parse("test_error").unwrap()]]);
        let values = measurer.measure(&Context::cpu().unwrap(), Replicas::new(&params), &wanted).unwrap();
        assert_eq!(values, [[0.25]]);
    }

    #[test]
    fn sharpness_is_the_top_eigenvalue_of_least_squares() {
        // h(x) = w·x with mean squared error: the Hessian is 2/n XᵀX = [[1, 0], [0, 4]].
        let net = Architecture::mlp(&[2, 1], Bias::None, Activation::Identity);
        let data = Dataset { d: 2, x: vec![1.0, 0.0, 0.0, 2.0], y: vec![1.0, 1.0], ..Dataset::default() };
        let measurer = Measurer::new(Arc::new(data), &net, Loss::Mse).unwrap();
        let wanted = vec![vec![parse("sharpness").unwrap()]];
        let values = measurer
            .measure(&Context::cpu().unwrap(), Replicas { initial: &[0.0, 0.0], ..Replicas::new(&[0.3, -0.7]) }, &wanted)
            .unwrap();
        assert!((values[0][0] - 4.0).abs() <= 1e-9, "{values:?}");
    }

    #[test]
    fn metrics_of_another_family_or_layer_are_refused() {
        let net = Architecture::mlp(&[2, 3, 1], Bias::All, Activation::Relu);
        let line = |name: &str| parse(name).unwrap().check(&net).unwrap_err().to_string();
        assert!(line("l0@0.1").contains("`l0` is not defined for multilayer networks"));
        assert!(line("weight_norm.3").contains("the network has layers 1 to 2"));
        let diagonal = Architecture::Diagonal { u: 0.1, v: 0.0 };
        assert!(parse("sparsity@0.9").unwrap().check(&diagonal).is_err());
        assert!(parse("train_loss").unwrap().check(&net).is_ok() && parse("train_loss").unwrap().check(&diagonal).is_ok());
    }
}

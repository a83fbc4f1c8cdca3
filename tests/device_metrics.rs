//! Metrics on a CUDA device, a real one or the emulated one, against the CPU.

use std::process::{Command, Stdio};
use std::sync::Arc;

use handgrad::data::Dataset;
use handgrad::kernels::testing::{Cases, is_emulated};
use handgrad::kernels::{Context, Precision, cuda};
use handgrad::loss::Loss;
use handgrad::metrics::{self, Measurer, Replicas};
use handgrad::nets::{Activation, Architecture, Bias, Convnet, Resnet};
use handgrad::spec::Seed;

fn device() -> Option<Context> {
    cuda::testing::device().map(|device| Context::on_cuda(device).unwrap())
}

/// What is measured: two replicas of a network on a data set.
struct Problem {
    net: Architecture,
    data: Arc<Dataset>,
    loss: Loss,
    names: &'static [&'static str],
}

impl Problem {
    /// n training and `tests` test samples with the targets of the loss, of as many classes as outputs.
    fn new(
        net: Architecture,
        image: Option<[usize; 3]>,
        [d, outputs]: [usize; 2],
        [n, tests]: [usize; 2],
        loss: Loss,
    ) -> Problem {
        let mut cases = Cases::new(3);
        let mut samples = |n: usize| {
            let x = cases.reals(n * d);
            let classes = cases.indices(n, outputs.max(2));
            let targets = |&class: &u32| match (loss, outputs) {
                (Loss::SoftmaxXent, _) => vec![f64::from(class)],
                (_, 1) => vec![f64::from(2 * class) - 1.0],
                _ => (0..outputs as u32).map(|place| f64::from(u8::from(place == class))).collect(),
            };
            (x, classes.iter().flat_map(targets).collect())
        };
        let ((x, y), (x_test, y_test)) = (samples(n), samples(tests));
        let data = Dataset { d, x, y, x_test, y_test, image, classes: image.map(|_| outputs), ..Dataset::default() };
        Problem { net, data: Arc::new(data), loss, names: &[] }
    }

    fn measurer(&self) -> Measurer {
        Measurer::new(Arc::clone(&self.data), &self.net, self.loss).unwrap()
    }

    /// The metrics of both replicas, one after the other.
    fn measured(&self, cx: &Context, measurer: &Measurer) -> Vec<f64> {
        let params: Vec<f64> = [4, 5].iter().flat_map(|&seed| self.net.initial(self.data.d, Seed::Own(seed))).collect();
        let moved: Vec<f64> = params.iter().enumerate().map(|(at, value)| value + 0.05 * (at as f64).sin()).collect();
        let layers = self.net.net::<f64>(self.data.d).unwrap().unwrap();
        let statistics: Vec<f64> = [layers.initial_statistics(), layers.initial_statistics()].concat();
        let statistics: Vec<f64> = statistics.iter().enumerate().map(|(at, value)| value + 0.01 * (at as f64).sin()).collect();
        let wanted: Vec<_> = self.names.iter().map(|name| metrics::parse(name).unwrap()).collect();
        let replicas = Replicas { params: &moved, initial: &params, statistics: &statistics, batch: 8 };
        measurer.measure(cx, replicas, &[wanted.clone(), wanted]).unwrap().concat()
    }

    /// A device gives what the CPU gives, and the same bits again from samples that are there by then.
    fn follows_the_cpu(&self, cx: &Context, tolerance: f64) -> Vec<f64> {
        let want = self.measured(&Context::cpu().unwrap(), &self.measurer());
        let measurer = self.measurer();
        let got = self.measured(cx, &measurer);
        let names = self.names.iter().cycle();
        for ((name, got), want) in names.zip(&got).zip(&want) {
            let error = (got - want).abs() / want.abs().max(1.0);
            println!("{name}: {want}, off by {error:e}");
            assert!(error <= tolerance, "{name}: {got} against {want}");
        }
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&self.measured(cx, &measurer)), bits(&got));
        got
    }
}

/// Losses that are sums of numbers near 1 are the CPU's to f32's 6e-8, some tens of times: 18 layers each add theirs.
const F32: f64 = 5e-6;

#[test]
fn residual_networks_are_measured_as_on_the_cpu() {
    let Some(cx) = device() else { return };
    let net = Architecture::Resnet(Resnet { depth: 18, width: 2, classes: 3, image: [4, 4, 1], preactivation: false });
    // More than a batch, and no multiple of it.
    let problem = Problem {
        names: &[
            "train_loss",
            "train_error",
            "test_loss",
            "test_error",
            "active.1",
            "active",
            "sparsity.2@0.9",
            "sparsity.4@0.95",
            "feature_rank@1e-3",
            "nc1",
            "weight_norm",
        ],
        ..Problem::new(net, Some([4, 4, 1]), [16, 3], [267, 19], Loss::SoftmaxXent)
    };
    let got = problem.follows_the_cpu(&cx, F32);
    assert!(got[..10].iter().all(|&value| value > 0.05) && got[5] < 0.95, "{got:?}");
}

#[test]
fn products_are_in_the_precision_of_the_context() {
    let Some(cx) = device() else { return };
    let net = Architecture::Resnet(Resnet { depth: 18, width: 2, classes: 3, image: [4, 4, 1], preactivation: false });
    let data = Problem::new(net, Some([4, 4, 1]), [16, 3], [19, 3], Loss::SoftmaxXent);
    let problem = Problem { names: &["train_loss"], ..data };
    let want = problem.measured(&cx, &problem.measurer())[0];
    let got = problem.measured(&cx.with_precision(Precision::Bf16).unwrap(), &problem.measurer())[0];
    println!("{got} in bf16, {want} in f32");
    assert!((1e-6..=0.03).contains(&(got - want).abs()), "{got} in bf16, {want} in f32");
}

#[test]
fn convolutional_networks_are_measured_as_on_the_cpu() {
    let Some(cx) = device() else { return };
    let (channels, strides) = (vec![3, 4], vec![1, 2]);
    let net = Architecture::Convnet(Convnet { image: [6, 6, 1], channels, strides, hidden: 6, classes: 2, scale: 0.5 });
    let names = &[
        "train_loss",
        "train_error",
        "test_error",
        "margin",
        "margin_deviation",
        "velocity.1",
        "velocity",
        "rho",
        "sparsity@0.9",
        "nc1",
    ];
    let problem = Problem { names, ..Problem::new(net, Some([6, 6, 1]), [36, 2], [21, 5], Loss::Mse) };
    let got = problem.follows_the_cpu(&cx, F32);
    assert!(got[..8].iter().all(|value| value.abs() > 1e-4), "{got:?}");
}

#[test]
fn perceptrons_are_measured_as_on_the_cpu() {
    let Some(cx) = device() else { return };
    let mlp = |widths: &[usize], activation| Architecture::mlp(widths, Bias::All, activation);
    for (net, outputs, loss) in [
        (mlp(&[5, 9, 7, 3], Activation::Relu), 3, Loss::SoftmaxXent),
        (mlp(&[5, 33, 1], Activation::Tanh), 1, Loss::Logistic),
        (mlp(&[5, 9, 3], Activation::Relu), 3, Loss::Mse),
        (mlp(&[5, 9, 1], Activation::Relu), 1, Loss::HalfMse),
    ] {
        let all: &[&str] = &[
            "train_loss",
            "test_loss",
            "test_error",
            "sparsity@0.9",
            "sparsity.1@0.99",
            "active",
            "weight_norm",
            "sharpness",
            "initial_distance.1",
            "ntk_rank@1e-4",
        ];
        let names = if outputs == 1 { all } else { &all[..all.len() - 1] };
        let got = Problem { names, ..Problem::new(net, None, [5, outputs], [67, 31], loss) }.follows_the_cpu(&cx, 1e-12);
        assert!(got.iter().all(|value| value.abs() > 0.01), "{got:?}");
    }
}

/// Diagonal networks are measured by the processor beside the device; a set that is not there is no number.
#[test]
fn what_a_device_does_not_measure_is_the_cpus() {
    let Some(cx) = device() else { return };
    let data = Dataset { d: 2, x: vec![1.0, 0.0, 0.0, 2.0], y: vec![1.0, 1.0], ..Dataset::default() };
    let wanted = [["train_loss", "test_loss"].map(|name| metrics::parse(name).unwrap()).to_vec()];
    let perceptron = Architecture::mlp(&[2, 1], Bias::None, Activation::Identity);
    for (net, params) in [(Architecture::Diagonal { u: 0.1, v: 0.0 }, &[2.0, 1.0, 0.5, 0.25][..]), (perceptron, &[1.0, 0.25])] {
        let measurer = Measurer::new(Arc::new(data.clone()), &net, Loss::HalfMse).unwrap();
        let values = measurer.measure(&cx, Replicas::new(params), &wanted).unwrap().concat();
        assert!(values[0] == 0.0625 && values[1].is_nan(), "{values:?}");
    }
}

/// One measurer serves contexts one after another: samples that another one has are copied again.
#[test]
fn every_context_has_samples_of_its_own() {
    let Some(cx) = device() else { return };
    let other = Context::on_cuda(cx.cuda().unwrap().fork().unwrap()).unwrap();
    let net = Architecture::mlp(&[5, 4, 3], Bias::All, Activation::Relu);
    let names = &["train_loss", "test_error"];
    let problem = Problem { names, ..Problem::new(net, None, [5, 3], [11, 7], Loss::SoftmaxXent) };
    let measurer = problem.measurer();
    let want = problem.measured(&cx, &measurer);
    assert!(problem.measured(&other, &measurer) == want && problem.measured(&cx, &measurer) == want);
    problem.measured(&Context::cpu().unwrap(), &measurer);
    assert!(problem.measured(&other, &measurer) == want);
}

/// The command with a small figure: every number of its table is the CPU's but for what rounding does to the training.
#[test]
fn a_figure_on_a_device_has_the_cpus_table() {
    let Some(cx) = device() else { return };
    let folder = tempfile::tempdir().unwrap();
    let table = |device: &str| {
        let out = folder.path().join(device);
        let mut command = Command::new(env!("CARGO_BIN_EXE_handgrad"));
        command.args(["run", "sparse/fig4", "--scale", "smoke", "--seeds", "1", "--threads", "1", "--device", device]);
        command.args(["--set", "steps=40", "--set", "evaluate.first=2", "--set", "evaluate.grid=4", "--out"]).arg(&out);
        if is_emulated(&cx) {
            let objects = std::env::current_exe().unwrap().with_file_name("cuda-emulator");
            command.env("HANDGRAD_EMULATED", "1").env("HANDGRAD_EMULATOR_CACHE", objects);
        }
        assert!(command.stdout(Stdio::null()).status().unwrap().success());
        std::fs::read_to_string(out.join("metrics.csv")).unwrap()
    };
    let (want, got) = (table("cpu"), table("cuda"));
    assert!(want.contains(",train_loss,") && want.contains(",sparsity") && want.lines().count() > 20, "{want}");
    assert_eq!(got.lines().count(), want.lines().count());
    for (got, want) in got.lines().zip(want.lines()).skip(1) {
        let ((place, got), (wanted, want)) = (got.rsplit_once(',').unwrap(), want.rsplit_once(',').unwrap());
        let (got, want): (f64, f64) = (got.parse().unwrap(), want.parse().unwrap());
        assert_eq!(place, wanted);
        assert!((got - want).abs() <= 1e-4 * want.abs(), "{place}: {got} against {want}");
    }
}

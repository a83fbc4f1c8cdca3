//! Networks of images in training on a CUDA device, a real one or the emulated one, against the CPU and against PyTorch.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::golden;
use handgrad::data::images::{Augment, ClassNoise, Source};
use handgrad::data::npz::Npz;
use handgrad::data::{Data, Dataset};
use handgrad::draws::Draws;
use handgrad::kernels::{Context, Precision, Real, cuda};
use handgrad::loss::Loss;
use handgrad::nets::{Architecture, Convnet, Resnet, Training};
use handgrad::optim::{Batch, Optimiser, Rule, Sampling, Swa};
use handgrad::replay::{Files, Replay, replay_images};
use handgrad::rng::{Counter, Stream};
use handgrad::schedule::Schedule;
use handgrad::spec::{Dtype, Seed};
use handgrad::state::State;
use safetensors::{SafeTensors, tensor::TensorView};

fn device() -> Option<Context> {
    cuda::testing::device().map(|device| Context::on_cuda(device).unwrap())
}

fn digits() -> Dataset {
    Data::images(Source::Digits, Some(40), Some(10)).load().unwrap()
}

fn resnet(preactivation: bool) -> Architecture {
    Architecture::Resnet(Resnet { depth: 18, width: 4, classes: 10, image: [8, 8, 1], preactivation })
}

fn momentum(size: usize) -> Optimiser {
    Optimiser {
        batch: Batch::Random { size, sampling: Sampling::DropLast },
        rule: Rule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: false },
        weight_decay: 5e-4,
        ..Optimiser::gd()
    }
}

/// Whose iterates from the second on are averaged, every other one.
fn averaged(size: usize) -> Optimiser {
    Optimiser { swa: Some(Swa { start: 1, every: 2 }), ..momentum(size) }
}

/// What is trained, and how.
struct Problem {
    net: Architecture,
    optimiser: Optimiser,
    steps: u64,
}

/// How a problem is trained.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Straight,
    InStretches,
    Unrecorded,
}

/// The state after the steps, and the statistics of what is measured.
fn trained<T: Real>(cx: &Context, problem: &Problem, way: Way) -> (State<T>, Vec<T>) {
    let &Problem { ref net, ref optimiser, steps } = problem;
    let (data, seed) = (digits(), Seed::Own(5));
    let schedule = Schedule::Constant { peak: 0.01 };
    let training = Training::<T>::new(cx, net, &data, Loss::SoftmaxXent, schedule, optimiser.clone(), steps).unwrap();
    let training = if way == Way::Unrecorded { training.unrecorded() } else { training };
    let start = State::<T>::new(&[seed], |seed| net.initial(data.d, seed), optimiser);
    let mut state = start.with_statistics(&training.initial_statistics());
    let draws = Draws::new(optimiser.batch, seed, 0, data.n(), steps).unwrap();
    for until in [if way == Way::InStretches { 1 } else { steps }, steps] {
        training.advance(cx, &mut state, std::slice::from_ref(&draws), until).unwrap();
    }
    assert_eq!((state.step, state.diverged[0]), (steps, None));
    let recorded = way != Way::Unrecorded && cx.cuda().is_some();
    // After the first step sixteen at once where there are as many, and no average to follow each; then one by one.
    let sixteens = if optimiser.swa.is_none() { (steps - 1) / 16 } else { 0 };
    let recordings = [sixteens, steps - 1 - 16 * sixteens].iter().filter(|&&count| count > 0).count();
    assert_eq!(training.recordings(), if recorded { recordings } else { 0 });
    let statistics = training.measured_statistics(cx, &state).unwrap();
    (state, statistics)
}

/// The largest distance between numbers; NaN if any is.
fn distance<T: Real>(got: &[T], want: &[T]) -> f64 {
    assert_eq!(got.len(), want.len());
    let distances = got.iter().zip(want).map(|(got, want)| (got.to_f64() - want.to_f64()).abs());
    distances.fold(0.0, |most: f64, distance| if most.is_nan() || distance <= most { most } else { distance })
}

/// Trains on a device as on the CPU.
fn follows<T: Real>(cx: &Context, problem: &Problem, tolerance: f64) {
    let what = format!("{:?} {}", problem.net, T::DTYPE.name());
    let (want, want_measured) = trained::<T>(&Context::cpu().unwrap(), problem, Way::Straight);
    let (got, got_measured) = trained::<T>(cx, problem, Way::Straight);
    for (part, got, want) in [
        ("parameters", &got.params, &want.params),
        ("averages", &got.average, &want.average),
        ("statistics", &got.statistics, &want.statistics),
        ("measured statistics", &got_measured, &want_measured),
    ] {
        let error = distance(got, want);
        println!("{what}: {part} {error:e}");
        assert!(error <= tolerance, "{what}: {part} are {error:e} apart");
    }
    let start: Vec<T> = problem.net.initial(digits().d, Seed::Own(5)).into_iter().map(T::from_f64).collect();
    let moved = distance(&want.params, &start);
    assert!(moved > 100.0 * tolerance, "{what}: no parameter moved by more than {moved}");
}

fn repeats(cx: &Context, problem: &Problem) {
    let straight = trained::<f32>(cx, problem, Way::Straight);
    for (way, what) in [(Way::InStretches, "in stretches"), (Way::Unrecorded, "where no step is recorded")] {
        assert!(trained::<f32>(cx, problem, way) == straight, "{:?}: other bits {what}", problem.net);
    }
}

#[test]
fn residual_networks_follow_the_cpu_within_rounding() {
    let Some(cx) = device() else { return };
    follows::<f64>(&cx, &Problem { net: resnet(false), optimiser: momentum(20), steps: 20 }, 1e-13);
    follows::<f64>(&cx, &Problem { net: resnet(true), optimiser: momentum(7), steps: 2 }, 1e-13);
    // Later on, rounding flips inputs of ReLUs.
    follows::<f32>(&cx, &Problem { net: resnet(false), optimiser: averaged(12), steps: 3 }, 1e-5);
}

#[test]
fn residual_networks_repeat_their_bits() {
    let Some(cx) = device() else { return };
    let augment = Augment::CropFlip { padding: 2 };
    for class_noise in [ClassNoise::None, ClassNoise::Dynamic { probability: 0.5 }, ClassNoise::Static { probability: 0.5 }] {
        let optimiser = Optimiser { augment, class_noise, ..averaged(5) };
        repeats(&cx, &Problem { net: resnet(false), optimiser, steps: 4 });
    }
    let rounded = cx.with_precision(Precision::Bf16).unwrap();
    repeats(&rounded, &Problem { net: resnet(false), optimiser: averaged(5), steps: 2 });
}

/// The first step with rounded factors, in units of their rounding, which f32 is thousands of times below: the statistics, nine
/// tenths of which are as they were, and the move of the parameters, of which 18 layers and the inputs of ReLUs that rounding flips
/// make some eighty.
#[test]
fn a_step_in_tf32_or_bf16_is_off_by_their_rounding() {
    let problem = Problem { net: resnet(false), optimiser: momentum(20), steps: 1 };
    let (want, _) = trained::<f32>(&Context::cpu().unwrap(), &problem, Way::Straight);
    let start: Vec<f32> = problem.net.initial(digits().d, Seed::Own(5)).into_iter().map(|value| value as f32).collect();
    let zeros = vec![0.0; want.statistics.len()];
    let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
    for (precision, epsilon) in [(Precision::Tf32, 2_f64.powi(-11)), (Precision::Bf16, 2_f64.powi(-8))] {
        let Some(cx) = device() else { return };
        let (got, _) = trained::<f32>(&cx.with_precision(precision).unwrap(), &problem, Way::Straight);
        let statistics = apart(&got.statistics, &want.statistics) / apart(&want.statistics, &zeros) / epsilon;
        let moves = apart(&got.params, &want.params) / apart(&want.params, &start) / epsilon;
        println!("{precision:?}: statistics {statistics}, moves {moves}");
        assert!((0.02..=0.4).contains(&statistics), "{precision:?}: statistics are off by {statistics} of the rounding");
        assert!((8.0..=240.0).contains(&moves), "{precision:?}: moves are off by {moves} of the rounding");
    }
}

/// What is drawn on the device is what is drawn on the CPU: other windows or classes would be far from rounding.
#[test]
fn augmented_images_and_random_classes_follow_the_cpu_within_rounding() {
    let Some(cx) = device() else { return };
    for class_noise in [ClassNoise::Static { probability: 0.5 }, ClassNoise::Dynamic { probability: 0.5 }] {
        let optimiser = Optimiser { augment: Augment::CropFlip { padding: 2 }, class_noise, ..momentum(7) };
        follows::<f64>(&cx, &Problem { net: resnet(false), optimiser, steps: 3 }, 1e-13);
    }
}

/// Weights and ρ of the weight-normalised convnet, whose norms stay on the device.
#[test]
fn weight_normalised_convolutions_follow_the_cpu_within_rounding() {
    let Some(cx) = device() else { return };
    let (channels, strides) = (vec![5, 6], vec![1, 2]);
    let convnet = Convnet { image: [8, 8, 1], channels, strides, hidden: 12, classes: 10, scale: 0.2 };
    let problem = Problem { net: Architecture::Convnet(convnet), optimiser: momentum(6), steps: 10 };
    follows::<f64>(&cx, &problem, 1e-13);
    follows::<f32>(&cx, &problem, 1e-5);
    repeats(&cx, &problem);
}

/// Steps of PyTorch's in f64. The first loss has f32's last digits. Later ones depend on which inputs of ReLUs rounding flips: they
/// are no farther off than twice the farthest of six runs in f64 from weights off by 2^-20, as f32 sums of a thousand numbers are,
/// and up to the fourth than ten times the farthest of PyTorch's own in f32. With products in f32x3, which the emulated device takes
/// minutes for, two steps are no farther off than twice PyTorch's in f32.
#[test]
fn pytorch_is_followed_as_closely_as_rounding_lets_it_follow_itself() {
    let (Some(_), Some(golden)) = (device(), golden()) else { return };
    let text = std::fs::read_to_string(golden.join("resnet18-w16.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let losses = |name: &str| -> Vec<f64> { serde_json::from_value(expected[name].clone()).unwrap() };
    let want = losses("losses_f64");
    let npz = Npz::read(&golden.join("resnet18-w16.npz")).unwrap();
    let narrow = Resnet { depth: 18, width: 16, classes: 10, image: [32, 32, 3], preactivation: false };
    // How far each loss is off.
    let errors = |cx: &Context, dtype: Dtype, steps: usize, init: PathBuf| -> Vec<f64> {
        let options = Replay {
            net: Architecture::Resnet(narrow),
            loss: Loss::SoftmaxXent,
            schedule: Schedule::Constant { peak: 0.1 },
            total: None,
            steps: Some(steps),
            batch: 16,
            clip: None,
            weight_decay: 5e-4,
            momentum: 0.9,
            dtype,
        };
        let files = Files { init, save: None, gradients: None };
        let (lines, evaluated, summary) = replay_images(cx, &npz, narrow, &options, &files, &()).unwrap();
        assert!(!summary.diverged && evaluated.is_finite() && lines.len() == steps);
        lines.iter().zip(&want).map(|(line, want)| (line.train_loss - want).abs()).collect()
    };
    let init = golden.join("resnet18-w16-init.safetensors");
    let (folder, host) = (tempfile::tempdir().unwrap(), Context::cpu().unwrap());
    let mut farthest = [0.0; 5];
    for seed in 0..6 {
        let other = folder.path().join("init.safetensors");
        perturb(&init, 2f64.powi(-20), seed, &other);
        for (most, error) in farthest.iter_mut().zip(errors(&host, Dtype::F64, 5, other)) {
            *most = error.max(*most);
        }
    }
    let theirs: Vec<f64> = losses("losses_f32_torch").iter().zip(&want).map(|(theirs, want)| (theirs - want).abs()).collect();
    let farthest_of_theirs = theirs.iter().copied().fold(0.0, f64::max);
    let hold = |precision: Precision, tolerances: &[f64]| {
        let cx = device().unwrap().with_precision(precision).unwrap();
        let errors = errors(&cx, Dtype::F32, tolerances.len(), init.clone());
        for (step, (error, tolerance)) in errors.into_iter().zip(tolerances).enumerate() {
            println!("{precision:?}, step {step}: {error:e}, expected at most {tolerance:e}");
            assert!(error <= *tolerance, "{precision:?}, step {step}: {error:e}, expected at most {tolerance:e}");
        }
    };
    let of_f32 = farthest.iter().enumerate().map(|(step, farthest)| match step {
        0 => 1e-5,
        1..4 => (2.0 * farthest).min(10.0 * farthest_of_theirs),
        _ => 2.0 * farthest,
    });
    hold(Precision::F32, &of_f32.collect::<Vec<f64>>());
    hold(Precision::F32x3, &[1e-5, 2.0 * theirs[1]]);
}

/// Writes the numbers of a file times 1 + size·u, u uniform in [-1, 1).
fn perturb(file: &Path, size: f64, seed: u64, to: &Path) {
    let (bytes, draws) = (std::fs::read(file).unwrap(), Counter::new(seed, Stream::Noise));
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut position = 0;
    // In an order that is the same on every run.
    let named: BTreeMap<&str, TensorView<'_>> = tensors.iter().collect();
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = named
        .into_iter()
        .filter(|(_, tensor)| tensor.dtype() == safetensors::Dtype::F32)
        .map(|(name, tensor)| {
            let numbers = tensor.data().chunks_exact(4).flat_map(|number| {
                position += 1;
                let factor = 1.0 + size * (2.0 * draws.uniform_at(position) - 1.0);
                (factor * f64::from(f32::from_le_bytes(number.try_into().unwrap()))).to_le_bytes()
            });
            (name.to_owned(), tensor.shape().to_vec(), numbers.collect())
        })
        .collect();
    let views =
        data.iter().map(|(name, shape, data)| (name, TensorView::new(safetensors::Dtype::F64, shape.clone(), data).unwrap()));
    safetensors::serialize_to_file(views, None, to).unwrap();
}

//! Residual networks: five steps of PyTorch's in f64, gradients of whole networks, and steps that stop and go on.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::golden;
use handgrad::data::images::{Augment, ClassNoise, Source};
use handgrad::data::npz::Npz;
use handgrad::data::{Data, Dataset};
use handgrad::draws::Draws;
use handgrad::kernels::conv2d::Convolution;
use handgrad::kernels::testing::{Cases, cpu_contexts};
use handgrad::kernels::{Context, Isa};
use handgrad::loss::{Loss, TargetBuffer};
use handgrad::nets::{Architecture, Net, Objective, Plan, Point, Resnet, StateDict, Training};
use handgrad::optim::{Batch, Optimiser, Rule, Sampling, Swa};
use handgrad::replay::{Files, Line, Replay, replay_images};
use handgrad::schedule::Schedule;
use handgrad::spec::{Dtype, Seed};
use handgrad::state::State;

/// The network of the fixture.
const NARROW: Resnet = Resnet { depth: 18, width: 16, classes: 10, image: [32, 32, 3], preactivation: false };

/// The losses of the fixture's steps and of the evaluation after them, weights and first gradients of our replay of it.
struct Replayed {
    lines: Vec<Line>,
    evaluated: f64,
    after: StateDict,
    gradients: StateDict,
    net: Net<f64>,
}

fn replayed(cx: &Context, golden: &Path, dtype: Dtype, (batch, steps): (usize, usize)) -> Replayed {
    let folder = tempfile::tempdir().unwrap();
    let npz = Npz::read(&golden.join("resnet18-w16.npz")).unwrap();
    let options = Replay {
        net: Architecture::Resnet(NARROW),
        loss: Loss::SoftmaxXent,
        schedule: Schedule::Constant { peak: 0.1 },
        total: None,
        steps: Some(steps),
        batch,
        clip: None,
        weight_decay: 5e-4,
        momentum: 0.9,
        dtype,
    };
    let [save, gradients] = ["after", "gradients"].map(|name| folder.path().join(name));
    let init = golden.join("resnet18-w16-init.safetensors");
    let files = Files { init, save: Some(save.clone()), gradients: Some(gradients.clone()) };
    let (lines, evaluated, summary) = replay_images(cx, &npz, NARROW, &options, &files, &()).unwrap();
    assert!(!summary.diverged);
    let net = Architecture::Resnet(NARROW).net::<f64>(3072).unwrap().unwrap();
    let after = StateDict::read(&save, &net).unwrap();
    // Gradients have no running statistics beside them.
    let bytes = std::fs::read(&gradients).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.len(), 62);
    let mut params = Vec::new();
    for parameter in net.parameters() {
        let tensor = tensors.tensor(&parameter.name).unwrap();
        let wide = |data: &[u8]| -> Vec<f64> {
            match dtype {
                Dtype::F64 => bytemuck::allocation::pod_collect_to_vec(data),
                Dtype::F32 => bytemuck::allocation::pod_collect_to_vec::<u8, f32>(data).into_iter().map(f64::from).collect(),
            }
        };
        // Norms and sums do not depend on the layout.
        params.extend(wide(tensor.data()));
    }
    Replayed { lines, evaluated, after, gradients: StateDict { params, statistics: Vec::new() }, net }
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// The largest relative error over named norms. PyTorch's counter of batches is none of ours.
fn worst(names: &serde_json::Value, got: impl Fn(&str) -> f64) -> (f64, String) {
    let ours = names.as_object().unwrap().iter().filter(|(name, _)| !name.ends_with("num_batches_tracked"));
    let errors = ours.map(|(name, want)| {
        let want = want.as_f64().unwrap();
        ((got(name) - want).abs() / want.abs().max(1e-300), name.clone())
    });
    errors.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

/// However convolutions are computed. In f32 a gradient jumps where rounding takes the input of a ReLU across 0. The fixture's 16
/// images have inputs of 1.4e-7 and 1.7e-6 in the last group; to flip the first, as PyTorch's own f32 does, is an error of 1.8e-2
/// in the norm of one tensor, to flip the second one of 2.5e-3. Without a flip the error is below 1e-6.
#[test]
fn pytorch_is_followed_for_five_steps() {
    let Some(golden) = golden() else { return };
    let text = std::fs::read_to_string(golden.join("resnet18-w16.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    // The scalar definition takes a minute; every operator is compared with it in its own tests.
    let isas = cpu_contexts().into_iter().map(|cx| cx.isa()).filter(|&isa| isa != Isa::Scalar);
    let ways = [Convolution::Direct, Convolution::Winograd2, Convolution::Winograd4];
    for (isa, way) in isas.flat_map(|isa| ways.map(|way| (isa, way))) {
        let cx = &Context::cpu_with(isa).unwrap().with_convolution(way);
        let Replayed { lines, evaluated, after, gradients, net } = replayed(cx, &golden, Dtype::F64, (16, 5));
        let want = numbers(&expected["losses_f64"]);
        assert_eq!(lines.len(), want.len());
        let errors: Vec<f64> = lines.iter().zip(&want).map(|(line, want)| (line.train_loss / want - 1.0).abs()).collect();
        let eval_error = (evaluated / expected["eval_loss_first_batch_after"].as_f64().unwrap() - 1.0).abs();
        let parameters = net.parameters();
        let gradient_of = |name: &str| {
            let parameter = parameters.iter().find(|parameter| parameter.name == name).unwrap();
            &gradients.params[parameter.range.clone()]
        };
        let first = worst(&expected["first_gradient_norm"], |name| norm(gradient_of(name)));
        for (name, want) in expected["first_gradient_sum"].as_object().unwrap() {
            let gradient = gradient_of(name);
            let bound = 1e-8 * norm(gradient) * (gradient.len() as f64).sqrt();
            let error = (gradient.iter().sum::<f64>() - want.as_f64().unwrap()).abs();
            assert!(error <= bound, "sum of the gradient of {name}: error {error:e}, expected at most {bound:e}");
        }
        let statistics = net.named_statistics();
        let last = worst(&expected["after_norm"], |name| {
            let of = |parameters: &[handgrad::nets::Parameter], values: &[f64]| {
                let parameter = parameters.iter().find(|parameter| parameter.name == name)?;
                Some(norm(&values[parameter.range.clone()]))
            };
            of(&parameters, &after.params).or_else(|| of(&statistics, &after.statistics)).unwrap()
        });
        println!("{}: losses {errors:?}, evaluation {eval_error:e}, first gradients {first:?}, after {last:?}", cx.variant());
        assert!(errors.iter().all(|&error| error <= 1e-9), "{errors:?}");
        assert!(eval_error <= 1e-8, "{eval_error:e}");
        assert!(first.0 <= 1e-8, "{first:?}");
        assert!(last.0 <= 1e-8, "{last:?}");
        let single = replayed(cx, &golden, Dtype::F32, (16, 5));
        let error = (single.lines[0].train_loss / want[0] - 1.0).abs();
        let norm_of = |gradients: &StateDict, name: &str| {
            let parameter = parameters.iter().find(|parameter| parameter.name == name).unwrap();
            norm(&gradients.params[parameter.range.clone()])
        };
        let first = worst(&expected["first_gradient_norm"], |name| norm_of(&single.gradients, name));
        println!("{}, f32: first loss {error:e}, first gradients {first:?}", cx.variant());
        assert!(error <= 1e-5, "{error:e}");
        const FLIPPED: f64 = 2.5e-2;
        assert!(first.0 <= FLIPPED, "{first:?}: more than a flipped ReLU, see above");
        // Two images hardly have an input of a ReLU so near 0, but for the largest rounding.
        let bound = if way == Convolution::Winograd4 { FLIPPED } else { 1e-3 };
        let few = |dtype| replayed(cx, &golden, dtype, (2, 1)).gradients;
        let (double, single) = (few(Dtype::F64), few(Dtype::F32));
        for parameter in &parameters {
            let (want, got) = (norm_of(&double, &parameter.name), norm_of(&single, &parameter.name));
            assert!((got / want - 1.0).abs() <= bound, "{} {}: {got}, not {want}", cx.variant(), parameter.name);
        }
    }
}

/// Gradients of whole networks along random directions: central differences, with steps halved until one has no kink of a ReLU
/// between its ends.
#[test]
fn gradients_of_whole_networks() {
    let mut cases = Cases::new(11);
    for (depth, preactivation, loss) in [(18, false, Loss::SoftmaxXent), (18, true, Loss::SoftmaxXent), (34, false, Loss::Mse)] {
        let resnet = Resnet { depth, width: 2, classes: 3, image: [8, 8, 3], preactivation };
        let architecture = Architecture::Resnet(resnet);
        let net = Arc::new(architecture.net::<f64>(192).unwrap().unwrap());
        for n in [3, 4] {
            let x: Vec<f64> = cases.reals(n * 192);
            let target: Vec<f64> = match loss {
                Loss::SoftmaxXent => (0..n).map(|i| (i % 3) as f64).collect(),
                _ => cases.reals(n * 3),
            };
            let params = architecture.initial(192, Seed::Own(n as u64));
            for cx in cpu_contexts() {
                let target = TargetBuffer::new(&cx, loss, &target).unwrap();
                let mut plan = Plan::new(&cx, Arc::clone(&net), n).unwrap();
                let mut at = |params: &[f64], gradient: Option<&mut Vec<f64>>| {
                    let point = Point::new(n, (&x).into(), params.into());
                    let objective = Objective { loss, point, target: target.view() };
                    if let Some(gradient) = gradient {
                        plan.gradient(&cx, &objective, gradient.into()).unwrap();
                    }
                    plan.loss(&cx, &objective).unwrap()
                };
                let mut gradient = vec![f64::NAN; params.len()];
                at(&params, Some(&mut gradient));
                for _ in 0..3 {
                    let direction: Vec<f64> = cases.reals(params.len());
                    let want: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
                    let mut moved = |step: f64| {
                        let params: Vec<f64> = params.iter().zip(&direction).map(|(w, d)| w + step * d).collect();
                        at(&params, None)
                    };
                    let error = |step: f64| {
                        let got = (moved(step) - moved(-step)) / (2.0 * step);
                        (got - want).abs() / want.abs().max(1e-3)
                    };
                    let steps = (0..12).map(|halvings| 1e-4 * 0.5f64.powi(halvings));
                    let best = steps.map(error).fold(f64::INFINITY, f64::min);
                    assert!(best <= 1e-6, "resnet{depth} preactivation {preactivation} n = {n} {}: {best:e}", cx.variant());
                }
            }
        }
    }
}

/// A narrow network on digits, with everything that a state holds.
fn training(cx: &Context, net: &Architecture, data: &Dataset, optimiser: &Optimiser) -> (Training<f32>, State<f32>, [Draws; 1]) {
    let schedule = Schedule::Cosine { peak: 0.05, floor: 0.0 };
    let training = Training::<f32>::new(cx, net, data, Loss::SoftmaxXent, schedule, optimiser.clone(), 100).unwrap();
    let seed = Seed::Own(5);
    let state = State::new(&[seed], |seed| net.initial(data.d, seed), optimiser).with_statistics(&training.initial_statistics());
    let draws = Draws::new(optimiser.batch, seed, 0, data.n(), 100).unwrap();
    (training, state, [draws])
}

fn digits() -> (Architecture, Dataset, Optimiser) {
    let data = Data::images(Source::Digits, Some(200), Some(50)).load().unwrap();
    let net = Resnet { depth: 18, width: 3, classes: 10, image: [8, 8, 1], preactivation: false };
    let optimiser = Optimiser {
        batch: Batch::Random { size: 16, sampling: Sampling::DropLast },
        rule: Rule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: false },
        weight_decay: 5e-4,
        augment: Augment::CropFlip { padding: 1 },
        class_noise: ClassNoise::Dynamic { probability: 0.1 },
        ..Optimiser::gd()
    };
    (Architecture::Resnet(net), data, optimiser)
}

#[test]
fn a_hundred_steps_are_fifty_and_fifty_at_any_number_of_threads() {
    let (net, data, optimiser) = digits();
    for cx in cpu_contexts().iter().filter(|cx| cx.isa() != Isa::Scalar) {
        let on = |threads: usize, stop: Option<u64>| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (first, mut state, draws) = training(cx, &net, &data, &optimiser);
                if let Some(stop) = stop {
                    first.advance(cx, &mut state, &draws, stop).unwrap();
                }
                // What goes on knows nothing but the state.
                let (second, ..) = training(cx, &net, &data, &optimiser);
                second.advance(cx, &mut state, &draws, 100).unwrap();
                state
            })
        };
        let whole = on(1, None);
        assert!(whole.diverged[0].is_none() && whole.params.iter().chain(&whole.statistics).all(|value| value.is_finite()));
        assert_eq!(whole, on(1, Some(50)), "{}", cx.variant());
        assert_eq!(whole, on(2, Some(50)), "{}", cx.variant());
        assert_eq!(whole, on(2, Some(37)), "{}", cx.variant());
    }
}

/// The statistics of an average of iterates are those of the training set there: of one batch, its moments.
#[test]
fn averaged_weights_have_statistics_of_their_own() {
    let (net, data, optimiser) = digits();
    let batch = Batch::Random { size: data.n(), sampling: Sampling::Fixed };
    let swa = Some(Swa { start: 2, every: 3 });
    let plain = Optimiser { batch, augment: Augment::None, class_noise: ClassNoise::None, ..optimiser };
    let optimiser = Optimiser { swa, ..plain.clone() };
    let cx = Context::cpu().unwrap();
    let (training_of_mean, mut state, draws) = training(&cx, &net, &data, &optimiser);
    let (training_of_last, mut last, _) = training(&cx, &net, &data, &plain);
    let mut mean = vec![0.0f64; last.params.len()];
    for step in 1..=9 {
        training_of_mean.advance(&cx, &mut state, &draws, step).unwrap();
        training_of_last.advance(&cx, &mut last, &draws, step).unwrap();
        // Iterations 2, 5 and 8 count, after their updates.
        if step % 3 == 0 {
            mean.iter_mut().zip(&last.params).for_each(|(mean, &w)| *mean += f64::from(w) / 3.0);
        }
    }
    assert_eq!(state.params, last.params);
    let far = state.average.iter().zip(&mean).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
    assert!(far <= 1e-6, "{far:e}");
    assert_eq!(training_of_last.measured_statistics(&cx, &last).unwrap(), last.statistics);

    let layers = Arc::new(net.net::<f32>(data.d).unwrap().unwrap());
    let mut plan = Plan::new(&cx, Arc::clone(&layers), data.n()).unwrap();
    let x: Vec<f32> = data.x.iter().map(|&x| x as f32).collect();
    plan.forward_train(&cx, Point::new(data.n(), (&x).into(), (&state.average).into())).unwrap();
    let mut want = vec![0.0f32; layers.statistics()];
    plan.move_statistics(&cx, data.n(), Some(1.0), (&mut want).into()).unwrap();
    assert_eq!(training_of_mean.measured_statistics(&cx, &state).unwrap(), want);
    assert!(want != last.statistics);
}

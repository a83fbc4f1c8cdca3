//! Training on a CUDA device, a real one or the emulated one, against the CPU.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use handgrad::Result;
use handgrad::data::Dataset;
use handgrad::draws::{Draws, Order};
use handgrad::ensemble::{Ensemble, Measure, Member, Samples, Start};
use handgrad::gradcheck;
use handgrad::kernels::testing::{Cases, is_emulated};
use handgrad::kernels::{Buffer, Context, Isa, Real, cuda};
use handgrad::loss::{Loss, TargetBuffer};
use handgrad::nets::{Activation, Architecture, Bias, Convnet, Objective, Plan, Point, Training, WeightNorm};
use handgrad::optim::{Batch, LabelNoise, Optimiser, Rule, Sam, Sampling};
use handgrad::schedule::Schedule;
use handgrad::spec::Seed;
use handgrad::state::State;

const STEPS: u64 = 50;
const SEEDS: [Seed; 2] = [Seed::Own(0), Seed::Own(1)];

fn device() -> Option<Context> {
    cuda::testing::device().map(|device| Context::on_cuda(device).unwrap())
}

struct Problem {
    net: Architecture,
    data: Dataset,
    loss: Loss,
    optimiser: Optimiser,
}

fn problem(net: Architecture, d: usize, loss: Loss, optimiser: Optimiser) -> Problem {
    problem_of(net, d, loss, optimiser, 5)
}

fn problem_of(net: Architecture, d: usize, loss: Loss, optimiser: Optimiser, seed: u64) -> Problem {
    let (n, mut cases) = (12, Cases::new(seed));
    let outputs = match &net {
        Architecture::Mlp { widths, .. } if loss.squared().is_some() => widths[widths.len() - 1],
        _ => 1,
    };
    let (x, y): (Vec<f64>, Vec<f64>) = (cases.reals(n * d), cases.reals(n * outputs));
    let y = match loss {
        Loss::HalfMse | Loss::Mse => y,
        Loss::Logistic => y.iter().map(|y| y.signum()).collect(),
        Loss::SoftmaxXent => cases.indices(n, 3).iter().map(|&class| f64::from(class)).collect(),
    };
    Problem { net, data: Dataset { d, x, y, ..Dataset::default() }, loss, optimiser }
}

/// Whose steps are one kernel each.
fn fused() -> [Problem; 9] {
    let diagonal = || Architecture::Diagonal { u: 0.3, v: 0.2 };
    let linear = |widths: &[usize]| Architecture::mlp(widths, Bias::None, Activation::Identity);
    let relu = |widths: &[usize], bias| Architecture::mlp(widths, bias, Activation::Relu);
    let clipped = |optimiser| Optimiser { clip: Some(0.5), weight_decay: 0.01, ..optimiser };
    [
        problem(diagonal(), 33, Loss::HalfMse, Optimiser::sgd()),
        problem(diagonal(), 33, Loss::Mse, Optimiser::gd()),
        problem(diagonal(), 7, Loss::HalfMse, Optimiser::minibatch_sgd(5)),
        problem(linear(&[15, 15, 15, 15, 1]), 15, Loss::Mse, clipped(Optimiser::minibatch_sgd(4))),
        problem(linear(&[7, 5, 1]), 7, Loss::Mse, Optimiser::gd()),
        problem(relu(&[1, 33, 1], Bias::First), 1, Loss::HalfMse, Optimiser::sgd()),
        problem(relu(&[5, 10, 10, 1], Bias::All), 5, Loss::HalfMse, clipped(Optimiser::sgd())),
        problem(relu(&[7, 33, 5], Bias::None), 7, Loss::Mse, Optimiser::sgd()),
        problem(Architecture::mlp(&[3, 9, 40], Bias::None, Activation::Tanh), 3, Loss::HalfMse, Optimiser::minibatch_sgd(1)),
    ]
}

/// Whose steps are composed of operators: every layer that a device has, every loss, every rule and option.
fn composed() -> [Problem; 12] {
    let mlp = |widths: &[usize], activation| Architecture::mlp(widths, Bias::All, activation);
    let momentum = Rule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: true };
    let (batch, gd, noisy) =
        (Optimiser::minibatch_sgd(5), Optimiser::gd(), |label_noise| Optimiser { label_noise, ..batch_of_4() });
    [
        problem(mlp(&[3, 17, 1], Activation::Tanh), 3, Loss::Mse, Optimiser { rule: momentum, ..batch.clone() }),
        problem(mlp(&[3, 8, 5, 1], Activation::Swish), 3, Loss::HalfMse, Optimiser { rule: Rule::adam(), ..Optimiser::sgd() }),
        problem(mlp(&[3, 9, 3], Activation::Relu), 3, Loss::SoftmaxXent, Optimiser { clip: Some(0.1), ..batch.clone() }),
        problem(mlp(&[3, 9, 3], Activation::Tanh), 3, Loss::SoftmaxXent, gd.clone()),
        problem(mlp(&[3, 9, 1], Activation::Identity), 3, Loss::Logistic, Optimiser { weight_average: 0.8, ..batch.clone() }),
        problem(normed(true), 3, Loss::HalfMse, Optimiser { weight_decay: 0.01, ..batch.clone() }),
        problem(normed(false), 3, Loss::Mse, noisy(LabelNoise::Gaussian { variance: 0.3 })),
        problem(mlp(&[3, 9, 3], Activation::Tanh), 3, Loss::Mse, noisy(LabelNoise::Gaussian { variance: 0.3 })),
        problem(
            mlp(&[3, 9, 1], Activation::Tanh),
            3,
            Loss::Mse,
            Optimiser { batch: Batch::Full, ..noisy(LabelNoise::Static { variance: 0.3 }) },
        ),
        problem(mlp(&[3, 9, 1], Activation::Tanh), 3, Loss::Mse, Optimiser { sam: Sam::Batch { rho: 0.05 }, ..gd }),
        problem(Architecture::Diagonal { u: 0.3, v: 0.2 }, 33, Loss::HalfMse, Optimiser { rule: momentum, ..batch_of_4() }),
        problem(deep_diagonal(), 7, Loss::HalfMse, batch),
    ]
}

/// A weight-normalised perceptron of 3 inputs.
fn normed(learned: bool) -> Architecture {
    match Architecture::mlp(&[3, 9, 1], Bias::All, Activation::Relu) {
        Architecture::Mlp { widths, bias, activation, init, .. } => {
            Architecture::Mlp { widths, bias, activation, init, weight_norm: Some(WeightNorm { gain: 1.2, learned }) }
        }
        other => other,
    }
}

fn deep_diagonal() -> Architecture {
    Architecture::DeepDiagonal { depth: 3, activation: Activation::Tanh, mean: 0.5, deviation: 0.5 }
}

fn batch_of_4() -> Optimiser {
    Optimiser::minibatch_sgd(4)
}

/// The parameters, or their average, after the steps of each stretch.
fn trained<T: Real>(cx: &Context, problem: &Problem, until: &[u64]) -> Result<Vec<T>> {
    let Problem { net, data, loss, optimiser } = problem;
    let schedule = Schedule::Constant { peak: 0.02 };
    let training = Training::<T>::new(cx, net, data, *loss, schedule, optimiser.clone(), STEPS)?;
    let draws: Vec<Draws> =
        SEEDS.iter().map(|&seed| Draws::new(optimiser.batch, seed, 0, data.n(), STEPS)).collect::<Result<_>>()?;
    let mut state = State::<T>::new(&SEEDS, |seed| net.initial(data.d, seed), optimiser);
    for &until in until {
        training.advance(cx, &mut state, &draws, until)?;
    }
    assert_eq!((state.step, &state.diverged[..]), (STEPS, &[None; 2][..]));
    Ok(state.measured().to_vec())
}

fn follows<T: Real>(cx: &Context, problems: &[Problem], tolerance: f64) {
    let scalar = Context::cpu_with(Isa::Scalar).unwrap();
    for problem in problems {
        let want: Vec<T> = trained(&scalar, problem, &[STEPS]).unwrap();
        let got: Vec<T> = trained(cx, problem, &[STEPS]).unwrap();
        let what = format!("{:?} {:?} {}", problem.net, problem.optimiser.batch, T::DTYPE.name());
        for (got, want) in got.iter().zip(&want) {
            let error = (got.to_f64() - want.to_f64()).abs();
            assert!(error <= tolerance, "{what}: {got} against {want}");
        }
        let start = problem.net.initial(problem.data.d, SEEDS[0]);
        let moved = start.iter().zip(&want).map(|(start, want)| (start - want.to_f64()).abs()).fold(0.0, f64::max);
        assert!(moved > 1e-3, "{what}: no parameter moved by more than {moved}");
        let bits = |params: &[T]| params.iter().map(|value| value.to_f64().to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&got), bits(&trained(cx, problem, &[1, 20, STEPS]).unwrap()), "{what}: again, in stretches");
    }
}

#[test]
fn networks_follow_the_cpu_within_rounding() {
    let Some(cx) = device() else { return };
    follows::<f64>(&cx, &fused(), 1e-13);
    follows::<f32>(&cx, &fused(), 2e-5);
}

#[test]
fn layers_follow_the_cpu_within_rounding() {
    let Some(cx) = device() else { return };
    follows::<f64>(&cx, &composed(), 1e-13);
    follows::<f32>(&cx, &composed(), 5e-5);
}

/// The state after the steps of each stretch, and how many steps were recorded.
fn state_after<T: Real>(cx: &Context, problem: &Problem, recording: bool, until: &[u64]) -> (State<T>, usize) {
    let Problem { net, data, loss, optimiser } = problem;
    let (schedule, steps) = (Schedule::Cosine { peak: 0.02, floor: 0.001 }, until[until.len() - 1]);
    let training = Training::<T>::new(cx, net, data, *loss, schedule, optimiser.clone(), steps).unwrap();
    let training = if recording { training } else { training.unrecorded() };
    let draws = SEEDS.map(|seed| Draws::new(optimiser.batch, seed, 0, data.n(), steps).unwrap());
    let mut state = State::<T>::new(&SEEDS, |seed| net.initial(data.d, seed), optimiser);
    for &until in until {
        training.advance(cx, &mut state, &draws, until).unwrap();
    }
    assert_eq!(state.diverged, [None; 2]);
    (state, training.recordings())
}

/// A recorded step takes its samples, its number and its step size from memory, and counts itself.
#[test]
fn recorded_steps_have_the_bits_of_those_launched_operator_by_operator() {
    let Some(cx) = device() else { return };
    let epochs = Optimiser { batch: Batch::Random { size: 5, sampling: Sampling::Epochs }, ..Optimiser::gd() };
    let two_sizes = problem(Architecture::mlp(&[3, 8, 1], Bias::All, Activation::Tanh), 3, Loss::Mse, epochs);
    for problem in composed().iter().chain([&two_sizes]) {
        let (want, launched) = state_after::<f32>(&cx, problem, false, &[150]);
        let (got, recorded) = state_after::<f32>(&cx, problem, true, &[1, 70, 150]);
        let what = format!("{:?} {:?}", problem.net, problem.optimiser);
        // Of sixteen steps and of one, for each seed that is part of them; averages follow every step, and an epoch here is two
        // batches and one of another size.
        let lengths = if problem.optimiser.weight_average > 0.0 { 1 } else { 2 };
        let seeds = if problem.optimiser.label_noise == LabelNoise::Off { 1 } else { 2 };
        let expected = lengths * seeds;
        assert_eq!((launched, recorded), (0, expected), "{what}");
        assert!(got == want, "{what}");
    }
}

/// Of layers whose gradients by single numbers stay on the device, and of those that are made of other operators there.
#[test]
fn gradients_on_a_device_are_central_differences() {
    let Some(cx) = device() else { return };
    let (channels, strides) = (vec![3, 2], vec![2, 1]);
    let convnet = Convnet { image: [9, 10, 2], channels, strides, hidden: 5, classes: 3, scale: 0.4 };
    for net in [normed(true), normed(false), deep_diagonal(), Architecture::Convnet(convnet)] {
        let (n, loss, layers) = (3, Loss::Mse, Arc::new(net.net::<f64>(3).unwrap().unwrap()));
        let (mut cases, inputs) = (Cases::new(9), layers.inputs());
        let (x, target): (Vec<f64>, Vec<f64>) = (cases.reals(n * inputs), cases.reals(n * layers.outputs()));
        let (x, target) = (Buffer::from_slice(&cx, &x).unwrap(), TargetBuffer::new(&cx, loss, &target).unwrap());
        let params = net.initial(inputs, SEEDS[1]);
        let here = Buffer::from_slice(&cx, &params).unwrap();
        let objective = Objective { loss, point: Point::new(n, x.view(), here.view()), target: target.view() };
        let mut plan = Plan::new(&cx, layers, n).unwrap();
        let mut gradient = Buffer::from_slice(&cx, &vec![f64::NAN; params.len()]).unwrap();
        plan.gradient(&cx, &objective, gradient.view_mut()).unwrap();
        let report = gradcheck::check(&format!("{net:?}"), &params, &gradient.to_vec().unwrap(), |params| -> Result<f64> {
            let there = Buffer::from_slice(&cx, params)?;
            plan.loss(&cx, &Objective { point: Point { params: there.view(), ..objective.point }, ..objective })
        });
        let report = report.unwrap();
        println!("{report}");
        assert!(report.passed(), "{report}");
    }
}

/// A device notes where a run diverged and looks at it from time to time: the iteration and all that is left are the CPU's.
#[test]
fn a_diverging_run_stops_where_the_cpus_does() {
    let Some(cx) = device() else { return };
    let host = Context::cpu_with(Isa::Scalar).unwrap();
    let momentum = Rule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: false };
    let net = Architecture::mlp(&[3, 9, 1], Bias::All, Activation::Identity);
    let optimiser = Optimiser { rule: momentum, weight_average: 0.5, ..Optimiser::gd() };
    let Problem { net, data, loss, optimiser } = problem(net, 3, Loss::Mse, optimiser);
    let run = |cx: &Context, schedule: &Schedule, recording: bool| {
        let training = Training::<f64>::new(cx, &net, &data, loss, schedule.clone(), optimiser.clone(), 200).unwrap();
        let training = if recording { training } else { training.unrecorded() };
        let mut state = State::<f64>::new(&SEEDS, |seed| net.initial(data.d, seed), &optimiser);
        training.advance(cx, &mut state, &[Draws::full(), Draws::full()], 200).unwrap();
        state
    };
    // In the first steps, and in the middle of a later stretch.
    let later = Schedule::decayed(0.01, 0.5, 0.003);
    for schedule in [Schedule::Constant { peak: 3.0 }, Schedule::Constant { peak: 1e200 }, later] {
        let (want, got) = (run(&host, &schedule, true), run(&cx, &schedule, true));
        println!("diverged at {:?}", want.diverged);
        assert!(want.diverged.iter().all(|at| at.is_some_and(|at| at < 120)), "{:?}", want.diverged);
        assert_eq!(got.diverged, want.diverged);
        let launched = run(&cx, &schedule, false);
        let bits = |state: &State<f64>| {
            [&state.params, &state.memory, &state.average].map(|part| part.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
        };
        assert_eq!((bits(&got), got.diverged.clone()), (bits(&launched), launched.diverged));
        let same =
            |got: f64, want: f64| got == want || (got.is_nan() && want.is_nan()) || (got - want).abs() <= 1e-9 * want.abs();
        for (got, want) in [(&got.params, &want.params), (&got.memory, &want.memory), (&got.average, &want.average)] {
            assert!(got.iter().zip(want).all(|(&got, &want)| same(got, want)), "{got:?} {want:?}");
        }
    }
}

/// The same draws with the samples of so many steps written down.
fn listed(cx: &Context, draws: &Draws, batch: usize, steps: u64) -> Draws {
    let mut list = vec![0; steps as usize * batch];
    draws.order.fill(cx.host(), 0, &mut list).unwrap();
    Draws { order: Order::Listed(list), ..draws.clone() }
}

/// A device draws the orders of fused steps itself, except those that were written down.
#[test]
fn drawn_orders_train_to_the_bits_of_listed_ones() {
    let Some(cx) = device() else { return };
    let seeds = [Seed::Own(7), Seed::Own(1 << 40), Seed::Own(2)];
    for Problem { net, data, loss, optimiser } in fused() {
        let Batch::Random { size, .. } = optimiser.batch else { continue };
        let mut ends = Vec::new();
        for sampling in [Sampling::Replacement, Sampling::Shuffled] {
            let optimiser = Optimiser { batch: Batch::Random { size, sampling }, ..optimiser.clone() };
            let schedule = Schedule::Constant { peak: 0.02 };
            let training = Training::<f32>::new(&cx, &net, &data, loss, schedule, optimiser.clone(), STEPS).unwrap();
            let trained = |draws: &[Draws]| {
                let mut state = State::<f32>::new(&seeds, |seed| net.initial(data.d, seed), &optimiser);
                for until in [3, STEPS] {
                    training.advance(&cx, &mut state, draws, until).unwrap();
                }
                assert_eq!(state.diverged, [None; 3]);
                state.params
            };
            let drawn = seeds.map(|seed| Draws::new(optimiser.batch, seed, 0, data.n(), STEPS).unwrap());
            let all = drawn.each_ref().map(|draws| listed(&cx, draws, size, STEPS));
            let some = [all[0].clone(), drawn[1].clone(), all[2].clone()];
            let end = trained(&drawn);
            assert!(trained(&all) == end && trained(&some) == end, "{net:?} {sampling:?}");
            ends.push(end);
        }
        assert!(ends[0] != ends[1], "{net:?}: two ways to draw");
    }
}

/// Every member of an ensemble on a device sees its own data in its own order.
#[test]
fn members_have_the_bits_of_runs_on_their_data_in_their_order() {
    let Some(cx) = device() else { return };
    let (net, loss, optimiser) = (Architecture::Diagonal { u: 0.3, v: 0.2 }, Loss::HalfMse, Optimiser::sgd());
    let data = |seed| Arc::new(problem_of(net.clone(), 7, loss, optimiser.clone(), seed).data);
    let sets: Vec<Arc<Dataset>> = (5..8).map(data).collect();
    let member = |index: u64| Member {
        schedule: Schedule::Constant { peak: if index == 11 { 1e9 } else { 0.01 * (index + 1) as f64 } },
        seed: index / 2,
        start: Start::Seed(0),
        samples: Samples::Set(index as usize % 3),
        noise: 0.0,
    };
    let members: Vec<Member> = (0..21).map(member).collect();
    let ensemble = Ensemble { net, loss, optimiser, sets, steps: STEPS, points: vec![], keep: true };
    let trained = ensemble.train::<f64>(&cx, &members, Measure { count: 0, of: &|_| Ok(vec![]) }, &()).unwrap();
    let Ensemble { net, loss, optimiser, sets, .. } = ensemble;
    for (index, member) in members.iter().enumerate() {
        let (data, schedule) = (&sets[index % 3], member.schedule.clone());
        let training = Training::<f64>::new(&cx, &net, data, loss, schedule, optimiser.clone(), STEPS).unwrap();
        let draws = Draws::new(optimiser.batch, Seed::Own(member.seed), 0, data.n(), STEPS).unwrap();
        let mut alone = State::<f64>::new(&SEEDS[..1], |seed| net.initial(data.d, seed), &optimiser);
        training.advance(&cx, &mut alone, &[listed(&cx, &draws, 1, STEPS)], STEPS).unwrap();
        assert_eq!((trained.diverged[index], &trained.params[index]), (alone.diverged[0], &alone.params), "member {index}");
    }
    assert_eq!(trained.diverged.iter().flatten().count(), 1);
}

/// Killed at a checkpoint and resumed, the command leaves the files of one run straight through; a checkpoint of a device is not
/// continued on the processor, whose bits differ.
#[test]
fn a_killed_run_on_a_device_resumes_to_the_same_bytes() {
    let Some(cx) = device() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = |out: &str, device: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handgrad"));
        command.args(["run", "sparse/fig2", "--seeds", "2", "--threads", "1", "--device", device, "--set", "steps=160"]);
        let rule = "optimiser.rule={\"kind\":\"sgd\",\"momentum\":0.5,\"dampening\":0.0,\"nesterov\":false}";
        command.args(["--set", rule, "--set", "schedule.peak=0.01", "--set", "evaluate.first=5", "--set", "evaluate.grid=40"]);
        command.args(["--checkpoint-every", "0", "--out"]).arg(folder.path().join(out)).args(more).stdout(Stdio::null());
        if is_emulated(&cx) {
            let objects = std::env::current_exe().unwrap().with_file_name("cuda-emulator");
            command.env("HANDGRAD_EMULATED", "1").env("HANDGRAD_EMULATOR_CACHE", objects);
        }
        command
    };
    assert!(run("whole", "cuda", &[]).status().unwrap().success());
    let checkpoints = || {
        let files = std::fs::read_dir(folder.path().join("killed.partial").join("checkpoints"));
        files.map_or(0, |files| files.filter(|file| file.as_ref().is_ok_and(|file| file.path().is_file())).count())
    };
    let mut child = run("killed", "cuda", &[]).spawn().unwrap();
    while checkpoints() < 2 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "the run must be unfinished when it is killed");
    let other = run("killed", "cpu", &["--resume"]).stderr(Stdio::piped()).output().unwrap();
    let line = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(other.status.code() == Some(2) && line.contains("computed with cuda, this process uses"), "{line}");
    assert!(run("killed", "cuda", &["--resume"]).status().unwrap().success());
    for name in ["metrics.csv", "arrays.npz"] {
        let [whole, killed] = ["whole", "killed"].map(|run| std::fs::read(folder.path().join(run).join(name)).unwrap());
        assert!(whole == killed, "{name} differs");
    }
}

#[test]
fn what_a_device_has_no_kernel_for_is_refused() {
    let Some(cx) = device() else { return };
    let refused = |net: Architecture, optimiser| {
        trained::<f64>(&cx, &problem(net, 3, Loss::Mse, optimiser), &[STEPS]).unwrap_err().to_string()
    };
    let diagonal = || Architecture::Diagonal { u: 0.3, v: 0.2 };
    for (error, what) in [
        (refused(diagonal(), Optimiser { label_noise: LabelNoise::Sampled, ..batch_of_4() }), "label noise from the sampling"),
        (refused(diagonal(), Optimiser { normalised: true, ..Optimiser::gd() }), "normalised gradients"),
        (refused(diagonal(), Optimiser { balancedness: 0.1, ..Optimiser::gd() }), "balancedness"),
        (refused(diagonal(), Optimiser { sam: Sam::Sample { rho: 0.1 }, ..Optimiser::gd() }), "the sharpness-aware gradient"),
    ] {
        assert!(error.starts_with(&format!("CUDA device 0: there is no kernel for {what}")), "{error}");
    }
}

//! Training on a CUDA device, a real one or the emulated one, against the CPU.

use handgrad::Result;
use handgrad::data::Dataset;
use handgrad::draws::Draws;
use handgrad::kernels::testing::Cases;
use handgrad::kernels::{Context, Isa, Real, cuda};
use handgrad::loss::Loss;
use handgrad::nets::{Activation, Architecture, Bias, Training};
use handgrad::optim::Optimiser;
use handgrad::schedule::Schedule;
use handgrad::spec::Seed;
use handgrad::state::State;

const STEPS: u64 = 50;
const SEEDS: [Seed; 3] = [Seed::Own(0), Seed::Own(1), Seed::Own(2)];

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
    let (n, mut cases) = (12, Cases::new(5));
    Problem { net, data: Dataset { d, x: cases.reals(n * d), y: cases.reals(n), ..Dataset::default() }, loss, optimiser }
}

fn problems() -> [Problem; 7] {
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
    ]
}

/// The parameters after the steps of each stretch.
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
    assert_eq!((state.step, &state.diverged[..]), (STEPS, &[None; 3][..]));
    Ok(state.params)
}

fn follows<T: Real>(cx: &Context, tolerance: f64) {
    let scalar = Context::cpu_with(Isa::Scalar).unwrap();
    for problem in problems() {
        let want: Vec<T> = trained(&scalar, &problem, &[STEPS]).unwrap();
        let got: Vec<T> = trained(cx, &problem, &[STEPS]).unwrap();
        let what = format!("{:?} {:?} {}", problem.net, problem.optimiser.batch, T::DTYPE.name());
        for (got, want) in got.iter().zip(&want) {
            let error = (got.to_f64() - want.to_f64()).abs();
            assert!(error <= tolerance, "{what}: {got} against {want}");
        }
        let start = problem.net.initial(problem.data.d, SEEDS[0]);
        let moved = start.iter().zip(&want).map(|(start, want)| (start - want.to_f64()).abs()).fold(0.0, f64::max);
        assert!(moved > 1e-3, "{what}: no parameter moved by more than {moved}");
        let bits = |params: &[T]| params.iter().map(|value| value.to_f64().to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&got), bits(&trained(cx, &problem, &[STEPS]).unwrap()), "{what}: the same run twice");
        assert_eq!(bits(&got), bits(&trained(cx, &problem, &[1, 20, STEPS]).unwrap()), "{what}: in stretches");
    }
}

#[test]
fn networks_follow_the_cpu_within_rounding() {
    let Some(cx) = device() else { return };
    follows::<f64>(&cx, 1e-13);
    follows::<f32>(&cx, 2e-5);
}

#[test]
fn what_only_layers_can_train_is_refused() {
    let Some(cx) = device() else { return };
    let tanh = problem(Architecture::mlp(&[3, 4, 1], Bias::All, Activation::Tanh), 3, Loss::Mse, Optimiser::sgd());
    let error = trained::<f64>(&cx, &tanh, &[STEPS]).unwrap_err().to_string();
    assert!(error.contains("CUDA device 0: it trains networks whose whole step is one kernel"), "{error}");
    let relu = problem(Architecture::mlp(&[3, 4, 1], Bias::All, Activation::Relu), 3, Loss::Mse, Optimiser::minibatch_sgd(2));
    assert!(trained::<f64>(&cx, &relu, &[STEPS]).is_err(), "the fused kernel of perceptrons takes one sample");
}

//! The options of an optimiser against their formulas, written out in plain loops that share no code with the engine.

use handgrad::data::Dataset;
use handgrad::draws::Draws;
use handgrad::kernels::Context;
use handgrad::kernels::testing::{Cases, cpu_contexts};
use handgrad::loss::Loss;
use handgrad::nets::{Architecture, Training};
use handgrad::optim::{Batch, LabelNoise, Optimiser, Sam, Sampling, Valley};
use handgrad::rng::{Counter, Stream};
use handgrad::schedule::Schedule;
use handgrad::spec::Seed;
use handgrad::state::State;

const N: usize = 6;
const D: usize = 11;
const STEPS: usize = 60;
const LR: f64 = 0.05;

fn data() -> Dataset {
    let mut cases = Cases::new(4);
    Dataset { d: D, x: cases.reals(N * D), y: cases.reals(N), ..Dataset::default() }
}

const NET: Architecture = Architecture::Diagonal { u: 0.1, v: 0.0 };

fn training(cx: &Context, data: &Dataset, schedule: Schedule, optimiser: &Optimiser, steps: u64) -> Training<f64> {
    Training::new(cx, &NET, data, Loss::HalfMse, schedule, optimiser.clone(), steps).unwrap()
}

fn initial() -> Vec<f64> {
    Cases::new(5).reals(2 * D)
}

/// Residual of sample i at w = (u, v).
fn residual(data: &Dataset, w: &[f64], i: usize) -> f64 {
    (0..D).map(|j| data.x[i * D + j] * w[j] * w[D + j]).sum::<f64>() - data.y[i]
}

/// Adds `scale · r_i ∇h(x_i)`, the residual taken at `at`, the gradient of h at `at` too.
fn add_gradient(data: &Dataset, at: &[f64], i: usize, scale: f64, into: &mut [f64]) {
    let factor = scale * residual(data, at, i);
    for j in 0..D {
        into[j] += factor * data.x[i * D + j] * at[D + j];
        into[D + j] += factor * data.x[i * D + j] * at[j];
    }
}

/// The mean gradient over samples.
fn gradient(data: &Dataset, at: &[f64], samples: &[usize]) -> Vec<f64> {
    let mut gradient = vec![0.0; 2 * D];
    samples.iter().for_each(|&i| add_gradient(data, at, i, 1.0 / samples.len() as f64, &mut gradient));
    gradient
}

/// Final parameters and their average.
fn reference(data: &Dataset, optimiser: &Optimiser, batches: &[Vec<usize>]) -> (Vec<f64>, Vec<f64>) {
    let mut w = initial();
    let mut average = w.clone();
    let noise = Counter::new(2, Stream::Noise);
    for (step, samples) in batches.iter().enumerate() {
        let xi = |i: usize| match optimiser.label_noise {
            LabelNoise::Off => 0.0,
            LabelNoise::Gaussian { variance } => variance.sqrt() * noise.normal_at((step * N + i) as u64),
            LabelNoise::Static { variance } => variance.sqrt() * noise.normal_at(i as u64),
            LabelNoise::Sampled => {
                let drawn = samples.iter().filter(|&&sample| sample == i).count();
                residual(data, &w, i) * (1.0 - (N * drawn) as f64 / samples.len() as f64)
            }
        };
        let data = &Dataset { y: (0..N).map(|i| data.y[i] + xi(i)).collect(), ..data.clone() };
        let all: Vec<usize> = (0..N).collect();
        let samples = if optimiser.label_noise == LabelNoise::Sampled { &all } else { samples };
        let mut g = gradient(data, &w, samples);
        match optimiser.sam {
            Sam::Off => {}
            Sam::Batch { rho } => {
                let pushed: Vec<f64> = w.iter().zip(&g).map(|(w, g)| w + rho * g).collect();
                g = gradient(data, &pushed, samples);
            }
            Sam::Sample { rho } => {
                g.fill(0.0);
                for &i in samples {
                    let mut pushed = w.clone();
                    add_gradient(data, &w, i, 2.0 * rho, &mut pushed);
                    add_gradient(data, &pushed, i, 1.0 / samples.len() as f64, &mut g);
                }
            }
        }
        if optimiser.normalised {
            for half in g.chunks_exact_mut(D) {
                let norm = half.iter().map(|g| g * g).sum::<f64>().sqrt();
                half.iter_mut().for_each(|g| *g /= norm);
            }
        }
        let sign = |a: f64, b: f64| if a.abs() > b.abs() { 1.0 } else { -1.0 };
        let old = w.clone();
        for j in 0..D {
            let c = optimiser.balancedness;
            w[j] = old[j] - LR * g[j] - c * old[j] * sign(old[j], old[D + j]);
            w[D + j] = old[D + j] - LR * g[D + j] - c * old[D + j] * sign(old[D + j], old[j]);
        }
        let a = optimiser.weight_average;
        average.iter_mut().zip(&w).for_each(|(average, w)| *average = a * *average + (1.0 - a) * w);
    }
    (w, average)
}

fn close(what: &str, got: &[f64], want: &[f64]) {
    let error = got.iter().zip(want).map(|(got, want)| (got - want).abs()).fold(0.0, f64::max);
    assert!(error <= 1e-12, "{what}: largest error {error:e}");
    assert!(got.iter().all(|value| value.is_finite()), "{what}: {got:?}");
}

#[test]
fn every_option_is_its_formula() {
    let sgd = |size| Optimiser { batch: Batch::Random { size, sampling: Sampling::Shuffled }, ..Optimiser::sgd() };
    let label_noise = LabelNoise::Gaussian { variance: 0.3 };
    let (gd, data) = (Optimiser::gd(), data());
    let moved = reference(&data, &gd, &vec![(0..N).collect(); STEPS]).0;
    for (name, optimiser) in [
        ("gd", gd.clone()),
        ("sgd", sgd(1)),
        ("sgd, batch 4", sgd(4)),
        ("normalised", Optimiser { normalised: true, ..gd.clone() }),
        ("balancedness", Optimiser { balancedness: 0.01, ..gd.clone() }),
        ("n-SAM", Optimiser { sam: Sam::Batch { rho: 0.3 }, ..gd.clone() }),
        ("1-SAM", Optimiser { sam: Sam::Sample { rho: 0.3 }, ..gd.clone() }),
        ("1-SAM, batch 4", Optimiser { sam: Sam::Sample { rho: 0.3 }, ..sgd(4) }),
        ("weight average", Optimiser { weight_average: 0.9, ..gd.clone() }),
        ("weight average of sgd", Optimiser { weight_average: 0.9, ..sgd(1) }),
        ("gaussian label noise", Optimiser { label_noise, ..gd.clone() }),
        ("gaussian label noise, sgd", Optimiser { label_noise, ..sgd(2) }),
        ("static label noise", Optimiser { label_noise: LabelNoise::Static { variance: 0.3 }, ..gd.clone() }),
        ("static label noise, sgd", Optimiser { label_noise: LabelNoise::Static { variance: 0.3 }, ..sgd(2) }),
        ("sampled label noise", Optimiser { label_noise: LabelNoise::Sampled, ..sgd(1) }),
        ("sampled label noise, batch 9 of 6", Optimiser { label_noise: LabelNoise::Sampled, ..sgd(9) }),
        ("sampled label noise, batch 4", Optimiser { label_noise: LabelNoise::Sampled, ..sgd(4) }),
        (
            "all at once",
            Optimiser { normalised: true, balancedness: 0.01, sam: Sam::Batch { rho: 0.1 }, weight_average: 0.5, ..sgd(3) },
        ),
    ] {
        let size = optimiser.batch_size(N);
        let draws = Draws::new(optimiser.batch, Seed::Own(2), 0, N, STEPS as u64).unwrap();
        let mut indices: Vec<u32> = (0..STEPS * size).map(|k| (k % N) as u32).collect();
        draws.order.fill(&Context::cpu().unwrap(), 0, &mut indices).unwrap();
        let batches: Vec<Vec<usize>> =
            indices.chunks_exact(size).map(|batch| batch.iter().map(|&i| i as usize).collect()).collect();
        let (want, average) = reference(&data, &optimiser, &batches);
        if !["gd", "weight average"].contains(&name) {
            let difference = want.iter().zip(&moved).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(difference > 1e-4, "{name} must differ from plain gd to test anything: {difference:e}");
        }
        for cx in cpu_contexts() {
            let schedule = Schedule::Constant { peak: LR };
            let net = training(&cx, &data, schedule, &optimiser, STEPS as u64);
            let mut state = State::new(&[Seed::Own(2), Seed::Own(2)], |_| initial(), &optimiser);
            let draws = [draws.clone(), draws.clone()];
            // In two stretches: what a step needs must be in the state.
            net.advance(&cx, &mut state, &draws, 23).unwrap();
            net.advance(&cx, &mut state, &draws, STEPS as u64).unwrap();
            assert_eq!(state.step, STEPS as u64);
            let what = format!("{name} {}", cx.isa());
            close(&what, &state.params[..2 * D], &want);
            assert_eq!(state.params[..2 * D], state.params[2 * D..], "{what}: replicas of one seed are equal");
            if optimiser.weight_average > 0.0 {
                close(&format!("{what}, average"), &state.measured()[..2 * D], &average);
            }
        }
    }
}

#[test]
fn valley_projection_is_gradient_descent_from_the_iterate() {
    let data = data();
    let valley = Valley { lr: LR, steps: STEPS as u64 };
    let optimiser = Optimiser { valley_projection: Some(valley), ..Optimiser::gd() };
    let want = reference(&data, &Optimiser::gd(), &vec![(0..N).collect(); STEPS]).0;
    for cx in cpu_contexts() {
        let net = training(&cx, &data, Schedule::Constant { peak: 0.0 }, &optimiser, 1);
        let state = State::new(&[Seed::Own(0)], |_| initial(), &optimiser);
        close("valley", &net.valley_floor(&cx, &state, valley).unwrap(), &want);
        assert_eq!(state.params, initial(), "the iterate itself stays");
    }
}

#[test]
fn divergence_on_the_composed_path_is_found_too() {
    let data = data();
    for cx in cpu_contexts() {
        for optimiser in [Optimiser::gd(), Optimiser { balancedness: 1e-9, ..Optimiser::gd() }] {
            let net = training(&cx, &data, Schedule::Constant { peak: 50.0 }, &optimiser, 1000);
            let mut state = State::new(&[Seed::Own(0)], |_| initial(), &optimiser);
            net.advance(&cx, &mut state, &[Draws::new(Batch::Full, Seed::Own(0), 0, N, 1000).unwrap()], 1000).unwrap();
            let step = state.diverged[0].expect("a step size far beyond stability");
            assert!(step < 50 && state.is_over() && state.step == 1000, "{step}");
            assert!(state.params.iter().all(|value| !value.is_nan()));
        }
    }
}

#[test]
fn replicas_draw_for_themselves() {
    let data = data();
    let batch = Batch::Random { size: 2, sampling: Sampling::Shuffled };
    let optimiser = Optimiser { batch, label_noise: LabelNoise::Gaussian { variance: 0.3 }, ..Optimiser::sgd() };
    let cx = Context::cpu().unwrap();
    let trained = |seeds: &[Seed]| {
        let net = training(&cx, &data, Schedule::Constant { peak: LR }, &optimiser, 20);
        let draws: Vec<Draws> = seeds.iter().map(|&seed| Draws::new(batch, seed, 0, N, 20).unwrap()).collect();
        let mut state = State::new(seeds, |_| initial(), &optimiser);
        net.advance(&cx, &mut state, &draws, 20).unwrap();
        state.params
    };
    let (first, second) = (trained(&[Seed::Own(2)]), trained(&[Seed::Own(3)]));
    assert_ne!(first, second);
    assert_eq!(trained(&[Seed::Own(2), Seed::Own(3)]), [first, second].concat());
}

//! The dynamics of ρ and the normalised layers V_k (equations 13 to 17) on small ReLU networks: signs, stationary ρ, and when
//! SGD's margins fluctuate. Gradient descent follows the flow with small steps; a step of SGD sees one sample.

use super::network::{Loss, Network, Normalised, Samples, samples};
use super::regression::norm;
use super::{PAPER, course, last};
use crate::claims::{Claim, Direction, Evidence, each, paired};
use crate::data::Data;
use crate::error::Result;
use crate::experiments::{Figure, simulated};
use crate::nets::{Activation, Architecture, Bias};
use crate::optim::{Batch, Optimiser, Sampling};
use crate::report::plot::{self, Axis};
use crate::run::{Results, Simulated, nan_max};
use crate::schedule::Schedule;
use crate::spec::{Evaluate, Metric, Panel, Run, Scale, Spec};
use crate::train::Progress;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "janus/flow",
    paper: PAPER,
    about: "the dynamics of ρ and normalised layers, square and logistic loss: signs, stationary ρ, fluctuations of margins; the toy abx",
    declare,
    expect,
    simulate: Some(simulate),
    check: super::check,
    draw,
};

const WIDTHS: [usize; 4] = [6, 8, 8, 1];
const N: usize = 5;
/// λ of the runs with decay.
const DECAY: f64 = 0.01;
/// abx: steps of SGD on (abx ∓ 1)² from (4, 1).
const ABX: (f64, u64) = (0.008, 2_000);

fn declare(scale: Scale) -> Spec {
    let steps = match scale {
        Scale::Smoke => 1_000,
        Scale::Laptop => 10_000,
        Scale::Paper => 50_000,
    };
    let run = |name: &str, label: &str, steps: u64, peak: f64, lambda: f64| {
        let single = Batch::Random { size: 1, sampling: Sampling::Fixed };
        let batch = if name.starts_with("sgd") { single } else { Batch::Full };
        let optimiser = Optimiser { batch, weight_decay: 2.0 * lambda, ..Optimiser::gd() };
        Run::new(name, label, steps, Schedule::Constant { peak }, optimiser)
    };
    let net = Architecture::mlp(&WIDTHS, Bias::None, Activation::Relu);
    let mut spec =
        simulated(&FIGURE, "Dynamics of normalised networks, Appendix D", scale, Data::Own { n: N, d: WIDTHS[0] }, net, &[]);
    let only =
        |name: &str, runs: &[&str]| Metric { only: runs.iter().map(|&run| run.to_owned()).collect(), ..Metric::always(name) };
    spec.metrics = vec![
        only("loss", &["gd", "sgd"]),
        only("rho", &["gd", "sgd"]),
        only("fluctuation", &["gd", "sgd"]),
        only("stationarity", &["gd", "sgd"]),
        only("printed_change", &["start"]),
        only("right_change", &["start"]),
        only("euler", &["start"]),
        only("growth", &["start"]),
        only("invariant", &["abx"]),
    ];
    spec.runs = vec![
        run("gd-square", "GD, square loss, λ = 0.01", steps, 0.03, DECAY),
        run("gd-square-free", "GD, square loss, λ = 0", steps, 0.03, 0.0),
        run("gd-logistic-free", "GD, logistic loss, λ = 0", steps, 0.03, 0.0),
        run("sgd-square", "SGD, square loss, λ = 0.01", steps, 0.03, DECAY),
        run("sgd-square-free", "SGD, square loss, λ = 0", steps, 0.03, 0.0),
        run("sgd-logistic-free", "SGD, logistic loss, λ = 0", steps, 0.03, 0.0),
        run("start", "single steps", 1, 1e-3, DECAY),
        run("abx", "f = abx", 1, ABX.0, 0.0),
    ];
    spec.evaluate = Evaluate::even(1, 41);
    spec.panels = vec![Panel::new("loss", "loss", true)];
    spec
}

/// The standard deviation of a sample's ρf over as many updates as there are samples, around the straight line from first to last,
/// which is the training that goes on; the largest of all samples'.
fn fluctuation(state: &Normalised, samples: &Samples, mut update: impl FnMut(&mut Normalised, usize)) -> f64 {
    let mut state = state.clone();
    let margins = |state: &Normalised| state.margins(samples).iter().map(|margin| state.rho * margin).collect::<Vec<f64>>();
    let mut rows = vec![margins(&state)];
    for i in 0..N {
        update(&mut state, i);
        rows.push(margins(&state));
    }
    let spread = |n: usize| {
        let (first, last) = (rows[0][n], rows[N][n]);
        let off = rows.iter().enumerate().map(|(k, row)| row[n] - first - (last - first) * k as f64 / N as f64);
        (off.map(|off| off * off).sum::<f64>() / N as f64).sqrt()
    };
    (0..N).map(spread).fold(0.0, nan_max)
}

fn simulate(spec: &Spec, run: &Run, seed: u64, progress: &dyn Progress) -> Result<Simulated> {
    let samples = samples(N, WIDTHS[0], seed);
    let start = Normalised { rho: 5.0, net: Network::draw(&WIDTHS, seed) };
    let (eta, lambda) = (run.schedule.at(0, run.steps), run.optimiser.weight_decay / 2.0);
    match run.name.as_str() {
        "start" => return Ok(Simulated::once(single_steps(&start, &samples, lambda, eta), Vec::new())),
        "abx" => return Ok(Simulated::once(vec![abx(eta, ABX.1)], Vec::new())),
        _ => {}
    }
    let loss = if run.name.contains("logistic") { Loss::Logistic } else { Loss::Square };
    let full = run.optimiser.batch == Batch::Full;
    let update = |state: &mut Normalised, i: usize| {
        let batch = if full { &samples[..] } else { &samples[i % N..i % N + 1] };
        state.step(batch, loss, lambda, eta);
    };
    Simulated::along(
        spec,
        run,
        progress,
        start,
        |state, i| update(state, i as usize),
        |state| {
            let margins = state.margins(&samples);
            let mean = |of: fn(f64) -> f64| margins.iter().map(|&margin| of(margin)).sum::<f64>() / N as f64;
            let (mu, square) = (mean(|f| f), mean(|f| f * f));
            let apart = (mu - state.rho * (square + lambda)).abs() / mu.abs();
            Ok(vec![state.loss(&samples, loss, lambda), state.rho, fluctuation(state, &samples, update), apart])
        },
        |state| [vec![state.rho], state.net.layers.concat()].concat(),
    )
}

/// From a start: relative changes of the loss in a printed and in a right step of both losses (the worse of the two), errors of
/// <V_k, ∂f/∂V_k> = f, and of |V_k + g|² = 1 + |g|² for the gradient g under weight normalisation.
fn single_steps(start: &Normalised, samples: &Samples, lambda: f64, eta: f64) -> Vec<f64> {
    type Step = fn(&mut Normalised, &[(Vec<f64>, f64)], Loss, f64, f64);
    let change = |step: Step, loss: Loss| {
        let mut after = start.clone();
        step(&mut after, samples, loss, lambda, eta);
        after.loss(samples, loss, lambda) / start.loss(samples, loss, lambda) - 1.0
    };
    let both = [Loss::Square, Loss::Logistic];
    let [printed, right] = [Normalised::printed_step as Step, Normalised::step].map(|step| both.map(|loss| change(step, loss)));
    let euler = samples.iter().map(|(x, _)| {
        let (value, gradients) = start.net.gradient(x);
        let layers = start.net.layers.iter().zip(&gradients);
        let off = layers.map(|(v, g)| (v.iter().zip(g).map(|(v, g)| v * g).sum::<f64>() - value).abs() / value.abs());
        if value == 0.0 { 0.0 } else { off.fold(0.0, nan_max) }
    });
    let (_, flow) = start.flow(samples, Loss::Square, 0.0);
    let growth = start.net.layers.iter().zip(&flow).map(|(v, g)| {
        let moved: Vec<f64> = v.iter().zip(g).map(|(v, g)| v + g).collect();
        ((norm(&moved).powi(2) - 1.0) / norm(g).powi(2) - 1.0).abs()
    });
    vec![printed[0].min(printed[1]), right[0].max(right[1]), euler.fold(0.0, nan_max), growth.fold(0.0, nan_max)]
}

/// The largest error over a run of (a² - b²)_{t+1} = (a² - b²)_t (1 - (ηg)²) with g = 2(abx - y)x, relatively.
fn abx(eta: f64, steps: u64) -> f64 {
    let (mut a, mut b, mut worst) = (4.0_f64, 1.0_f64, 0.0);
    for t in 0..steps {
        let label = if t % 2 == 0 { -1.0 } else { 1.0 };
        let g = 2.0 * (a * b - label);
        let before = a * a - b * b;
        (a, b) = (a - eta * g * b, b - eta * g * a);
        worst = nan_max(worst, ((a * a - b * b) / (before * (1.0 - (eta * g).powi(2))) - 1.0).abs());
    }
    worst
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let start = |what: &str, metric: &str, question: fn(f64) -> bool| last(results, "start", what, metric, question);
    let fluctuates =
        |run: &str| last(results, run, "ρf of some sample moves by more than 1e-3", "fluctuation", |spread| spread > 1e-3);
    let rests =
        |run: &str| last(results, run, "ρf of every sample moves by less than 1e-3", "fluctuation", |spread| spread < 1e-3);
    let falls = |run: &str| -> Evidence {
        each(results, &format!("{run}: loss at the end below a twentieth of the start"), run, |of, replica| {
            let share = of.last(replica, "loss")? / of.series(replica, "loss").first()?.1;
            Some((share < 0.05, share))
        })
    };
    Ok(vec![
        Claim::all(
            "signs",
            "the steps of ρ and V_k in equations 1 and 17 descend",
            "equations 1 and 17 as printed",
            vec![start("the loss falls in a printed step, both losses", "printed_change", |change| change < 0.0)],
        ),
        Claim::all(
            "signs-right",
            "with plus before both sums over samples, and η, they do: the flow of equations 15 and 16",
            "ours",
            vec![
                start("the loss falls in a right step, both losses", "right_change", |change| change < 0.0),
                falls("gd-square-free"),
            ],
        ),
        Claim::all(
            "structure",
            "⟨V_k, ∂f/∂V_k⟩ = f in every layer",
            "equation 14, by the structural property of the gradient",
            vec![start("to 1e-10", "euler", |error| error <= 1e-10).every()],
        ),
        Claim::all(
            "normalisation",
            "a step under weight normalisation with frozen g raises |V|² by exactly η²|gradient|²",
            "Figure A.8 and section D.5, made exact",
            vec![start("to 1e-9", "growth", |error| error <= 1e-9).every()],
        ),
        Claim::all(
            "stationary",
            "at the end of training μ = ρ(M + λ)",
            "prediction 1, Appendix C",
            ["gd-square", "gd-square-free"]
                .map(|run| last(results, run, "|μ - ρ(M + λ)| at most 1% of μ", "stationarity", |apart| apart <= 0.01))
                .to_vec(),
        ),
        Claim::all(
            "square",
            "with the square loss SGD's margins fluctuate with decay, and not without",
            "predictions 1 and 2",
            vec![fluctuates("sgd-square"), rests("sgd-square-free")],
        ),
        Claim::all(
            "logistic",
            "with the logistic loss they fluctuate without decay too",
            "prediction 5",
            vec![fluctuates("sgd-logistic-free")],
        ),
        Claim::all(
            "full-batch",
            "there is no such noise for batches of all samples, whatever λ",
            "prediction 2",
            ["gd-square", "gd-square-free", "gd-logistic-free"].map(rests).to_vec(),
        ),
        Claim::all(
            "full-batch-less",
            "what fluctuates for batches of all samples fluctuates less than SGD's",
            "ours",
            [("gd-square", "sgd-square"), ("gd-logistic-free", "sgd-logistic-free")]
                .map(|(gd, sgd)| paired(results, "fluctuation", gd, Direction::Below, sgd))
                .to_vec(),
        ),
        Claim::all(
            "abx",
            "on (abx - y)² a step multiplies a² - b² by exactly 1 - (ηg)²",
            "the invariant of Appendix B of the support paper",
            vec![last(results, "abx", "to 1e-12 over 2000 steps", "invariant", |error| error <= 1e-12).every()],
        ),
    ])
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let metrics = [
        ("loss", "Loss", true),
        ("rho", "ρ", false),
        ("fluctuation", "Fluctuation of ρf within an epoch", true),
        ("stationarity", "|μ - ρ(M + λ)|/μ", true),
    ];
    let panel = |(metric, title, log): (&str, &str, bool)| {
        let runs = results.runs.iter().zip(&spec.runs).take(6).enumerate();
        // The stationary ρ is that of the square loss.
        let shown = runs.filter(|(_, (run, _))| metric != "stationarity" || run.name.contains("square"));
        let curves = shown.map(|(colour, (run, declared))| course(run, metric, &declared.label, colour)).collect();
        super::panel(title, Axis::linear("update"), if log { Axis::log("") } else { Axis::linear("") }, curves)
    };
    let footnote = format!(
        "ReLU networks {WIDTHS:?}, {N} samples with random labels, |V_k| = 1, η = 0.03. Medians over {} seeds, bands: 10th to 90th percentile.",
        spec.seeds.own.len()
    );
    Ok(plot::Figure { title: spec.title.clone(), columns: 2, panels: metrics.map(panel).to_vec(), footnote: Some(footnote) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_invariant_of_abx_is_exact_and_its_check_sees_what_is_not() {
        assert!(abx(0.008, 2_000) <= 1e-12);
        assert!(abx(f64::NAN, 2).is_nan());
        // Values of an independent implementation after 100 and 500 steps.
        let difference = |steps: u64| {
            let (mut a, mut b) = (4.0_f64, 1.0_f64);
            for t in 0..steps {
                let g = 2.0 * (a * b - if t % 2 == 0 { -1.0 } else { 1.0 });
                (a, b) = (a - 0.008 * g * b, b - 0.008 * g * a);
            }
            a * a - b * b
        };
        assert!((difference(100) - 14.373_375).abs() <= 1e-6 && (difference(500) - 12.637_663).abs() <= 1e-6);
    }
}

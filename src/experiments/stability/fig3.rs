//! Figure 3: phases of the saddle for Gaussian data, over μ and λ for batches of 1 and over batches and λ for μ = 0.06. Every
//! seed simulates SGD at points of its own in either plane.

use rand::RngExt;

use super::{PAPER, neuron, phases, run, simulated};
use crate::claims::{Claim, each};
use crate::data::Data;
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Activation;
use crate::report::plot::{self, Axis, Curve, Style};
use crate::rng::{Stream, sequential};
use crate::run::{Results, Simulated};
use crate::spec::{Panel, Run, Scale, Spec};
use crate::theory::saddle::{NOISE, Phase, Saddle};
use crate::train::Progress;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "stability/fig3",
    paper: PAPER,
    about: "phases of the saddle for Gaussian data, over noise and batch size: exponents, and SGD simulated at random points",
    declare,
    expect,
    simulate: Some(simulate),
    check: Figure::ANY,
    draw,
};

/// μ of the right panel.
const MU: f64 = 0.06;
/// Points per seed and plane.
const POINTS: usize = 40;

fn declare(scale: Scale) -> Spec {
    let steps = match scale {
        Scale::Smoke => 2_000,
        Scale::Laptop => 10_000,
        Scale::Paper => 100_000,
    };
    let mut spec = simulated(
        &FIGURE,
        "Phases of SGD at the saddle, Gaussian data, Figure 3",
        scale,
        Data::Own { n: 0, d: 1 },
        neuron(&[1, 1, 1], Activation::Identity),
        &["agrees", "phase_ii", "overlap", "batch_ends_iii"],
    );
    spec.runs = vec![run("mu", "over μ, S = 1", steps, 1.0), run("batch", "over S, μ = 0.06", steps, 1.0)];
    spec.panels = vec![Panel::new("agrees", "share of points where SGD does what the exponents say", false)];
    spec
}

/// A point of a plane: uniform in μ, or logarithmic in S; λ up to 2.
fn point(stream: &mut impl rand::Rng, plane: &str) -> (Saddle, f64) {
    let (place, lambda) = (stream.random::<f64>(), 2.0 * stream.random::<f64>());
    let saddle = match plane {
        "mu" => Saddle::Gaussian { mu: place, batch: 1 },
        _ => Saddle::Gaussian { mu: MU, batch: (128.0_f64.powf(place)).round() as u64 },
    };
    (saddle, lambda.max(1e-3))
}

/// Mean growth per step of log|w - u| and log|w + u|, each with its standard error.
fn growth(saddle: Saddle, lambda: f64, steps: u64, stream: &mut impl rand::Rng) -> [(f64, f64); 2] {
    let Saddle::Gaussian { mu, batch } = saddle else { return [(f64::NAN, f64::NAN); 2] };
    let mut normal = || -> f64 { rand_distr::Distribution::sample(&rand_distr::StandardNormal, stream) };
    let mut sums = [[0.0; 2]; 2];
    for _ in 0..steps {
        let chi = (0..batch).map(|_| {
            let (x, epsilon) = (normal(), NOISE * normal());
            x * (mu * x + (1.0 - mu) * epsilon)
        });
        let chi = chi.sum::<f64>() / batch as f64;
        for (sums, sign) in sums.iter_mut().zip([-1.0, 1.0]) {
            let log = (1.0 + sign * lambda * chi).abs().ln();
            *sums = [sums[0] + log, sums[1] + log * log];
        }
    }
    let n = steps as f64;
    sums.map(|[sum, squares]| (sum / n, ((squares / n - (sum / n).powi(2)) / n).sqrt()))
}

fn simulate(_: &Spec, run: &Run, seed: u64, progress: &dyn Progress) -> Result<Simulated> {
    let mut stream = sequential(seed, Stream::Order);
    let (mut params, mut agree, mut second, mut overlap, mut ended) = (Vec::new(), 0, 0, 0, 0);
    for _ in 0..POINTS {
        let (saddle, lambda) = point(&mut stream, &run.name);
        let (exponents, phase) = saddle.phase(lambda);
        // As much work for large batches as for small ones.
        let Saddle::Gaussian { mu, batch } = saddle else { continue };
        let found = growth(saddle, lambda, (run.steps / batch).max(200), &mut stream);
        let matches = |(mean, error): (f64, f64), m: f64| (mean - m).abs() <= 4.5 * error;
        agree += usize::from(matches(found[0], exponents.minus) && matches(found[1], exponents.plus));
        second += usize::from(phase == Phase::II);
        // At the upper end of mean-square stability, for μ where III exists and S = 1.
        let mu = if run.name == "mu" { 0.3 * mu } else { mu };
        let edge = Saddle::Gaussian { mu, batch: 1 };
        overlap += usize::from(edge.exponents_to(0.999 * edge.mean_square_bound(), 1e-9).plus < 0.0);
        let larger = Saddle::Gaussian { mu: MU, batch: 128 }.exponents_to(lambda, 1e-9);
        ended += usize::from(larger.plus >= 0.0);
        progress.advanced(run.steps / POINTS as u64, f64::NAN);
        params.extend([mu, batch as f64, lambda, found[0].0, found[1].0]);
    }
    let shares = [agree, second, overlap, ended].map(|count| count as f64 / POINTS as f64);
    Ok(Simulated::once(shares.to_vec(), params))
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let ask = |run: &str, what: &str, metric: &str, question: fn(f64) -> bool| {
        each(results, &format!("{run}: {what}"), run, |of, replica| {
            let value = of.last(replica, metric)?;
            Some((question(value), value))
        })
    };
    let simulated =
        |run| ask(run, "exponents of SGD within 4.5 standard errors at 95% of the points", "agrees", |share| share >= 0.95);
    Ok(vec![
        Claim::all(
            "exponents",
            "w - u vanishes in probability if and only if E log|1 - λxy| < 0, w + u if and only if E log|1 + λxy| < 0",
            "Proposition 2",
            vec![simulated("mu"), simulated("batch")],
        ),
        Claim::all(
            "no-phase-ii",
            "phase II disappears for infinitely many samples",
            "section 4.2",
            vec![ask("mu", "no point in phase II", "phase_ii", |share| share == 0.0).every()],
        ),
        Claim::all(
            "exclusive",
            "convergence to the saddle (III) and convergence in mean square (Ia) exclude each other",
            "section 4.2",
            vec![
                ask("mu", "m₊ >= 0 at the end of mean-square stability, for μ below 0.3", "overlap", |share| share == 0.0)
                    .every(),
            ],
        ),
        Claim::all(
            "batch",
            "with larger batches it becomes harder to converge to the low-rank solution",
            "section 4.2, Figure 3",
            vec![
                ask("batch", "m₊ >= 0 at S = 128 for every λ drawn from (0, 2)", "batch_ends_iii", |share| share == 1.0).every(),
            ],
        ),
    ])
}

fn draw(spec: &Spec, _: &Results) -> Result<plot::Figure> {
    let fine = if spec.scale == Scale::Smoke { 16 } else { 120 };
    let of = |saddle: Saddle, lambda: f64| {
        let exponents = saddle.exponents_to(lambda, 1e-6);
        Phase::of(exponents, lambda < saddle.mean_square_bound())
    };
    let lambda = || Axis { range: Some((0.01, 3.0)), ..Axis::log("step size λ") };
    let edge = |label: &str, points: Vec<(f64, f64)>| Curve { style: Style::Dashed, ..super::curve(label, 6, points) };
    let bound = "upper end of mean-square stability of w - u";
    let over_mu = (1..200).map(|k| 0.005 * f64::from(k)).map(|mu| (mu, Saddle::Gaussian { mu, batch: 1 }.mean_square_bound()));
    let over_batch = (1..=128).map(|batch| (batch as f64, Saddle::Gaussian { mu: MU, batch }.mean_square_bound()));
    let mut left = phases(
        "S = 1",
        (Axis { range: Some((0.0, 1.0)), ..Axis::linear("signal share μ") }, fine),
        (lambda(), fine),
        |mu, lambda| of(Saddle::Gaussian { mu, batch: 1 }, lambda),
    );
    left.curves.push(edge(bound, over_mu.collect()));
    left.legend = true;
    let mut right = phases(
        "μ = 0.06",
        (Axis { range: Some((1.0, 128.0)), ..Axis::log("batch size S") }, fine),
        (lambda(), fine),
        |batch, lambda| of(Saddle::Gaussian { mu: MU, batch: batch.round() as u64 }, lambda),
    );
    right.curves.push(edge(bound, over_batch.collect()));
    let footnote = "y = μx + (1-μ)ε, x ~ N(0, 1), ε ~ N(0, 4), infinitely many samples. I: w - u vanishes (Ia: in mean square too), II: w + u, III: both, IV: neither. III is drawn over Ia.";
    Ok(plot::Figure { title: spec.title.clone(), columns: 2, panels: vec![left, right], footnote: Some(footnote.to_owned()) })
}

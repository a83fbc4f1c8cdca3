//! Lemma 1: with weight decay SGD has no equilibrium unless all layers have rank 2 at most. It rests on per-sample gradients of
//! rank 1, which fully connected layers have and convolutions do not; and on equations 6 and 21, whose signs are wrong.

use super::network::Network;
use super::regression::norm;
use super::{PAPER, last};
use crate::claims::Claim;
use crate::data::Data;
use crate::error::Result;
use crate::experiments::{Figure, simulated};
use crate::metrics::rank::singular_values;
use crate::nets::{Activation, Architecture, Bias};
use crate::optim::Optimiser;
use crate::report::plot::{self, Axis, Curve, Style};
use crate::rng::{Stream, sequential, standard_normals};
use crate::run::{Results, Simulated, nan_max};
use crate::schedule::Schedule;
use crate::spec::{Metric, Panel, Run, Scale, Spec};
use crate::train::Progress;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "janus/lemma1",
    paper: PAPER,
    about: "ranks of per-sample gradients, of fully connected layers and of a convolution; equations 6 and 21",
    declare,
    expect,
    simulate: Some(simulate),
    check: super::check,
    draw,
};

const WIDTHS: [usize; 5] = [8, 12, 10, 6, 1];
/// The convolution: 3x3 on this side, 2 channels in and 16 out.
const SIDE: usize = 8;
const CHANNELS: (usize, usize) = (2, 16);
const PATCH: usize = 9 * CHANNELS.0;
/// Singular values count above this share of the first.
const TOLERANCE: f64 = 1e-10;

fn declare(scale: Scale) -> Spec {
    let net = Architecture::mlp(&WIDTHS, Bias::None, Activation::Relu);
    let mut spec =
        simulated(&FIGURE, "Ranks of per-sample gradients, Lemma 1", scale, Data::Own { n: 0, d: WIDTHS[0] }, net, &[]);
    let only = |name: &str, run: &str| Metric::always(name).only(run);
    spec.metrics = vec![
        only("largest_rank", "dense"),
        only("rank", "convolution"),
        only("stationary", "equations"),
        only("stationary_printed", "equations"),
        only("ridge", "equations"),
        only("ridge_printed", "equations"),
    ];
    let run = |name: &str, label: &str| Run::new(name, label, 1, Schedule::Constant { peak: 0.1 }, Optimiser::sgd());
    spec.runs = vec![
        run("dense", "fully connected layers"),
        run("convolution", "a 3x3 convolution"),
        run("equations", "equations 6 and 21"),
    ];
    spec.panels = vec![Panel::new("rank", "rank", false)];
    spec
}

fn normals(stream: &mut impl rand::Rng, count: usize) -> Vec<f64> {
    let mut values = vec![0.0; count];
    standard_normals(stream, &mut values);
    values
}

fn rank(values: &[f64]) -> f64 {
    let first = values.first().copied().unwrap_or(f64::NAN);
    values.iter().filter(|&&value| value > TOLERANCE * first).count() as f64
}

/// ∂f/∂K of f = Σ_cp a_cp σ((K * x)_cp), K (channels out x patch): a sum of outer products over positions.
fn convolution(stream: &mut impl rand::Rng) -> Vec<f64> {
    let image = normals(stream, CHANNELS.0 * SIDE * SIDE);
    let kernel = normals(stream, CHANNELS.1 * PATCH);
    let places = SIDE - 2;
    let head = normals(stream, CHANNELS.1 * places * places);
    let mut gradient = vec![0.0; kernel.len()];
    for place in 0..places * places {
        let (row, column) = (place / places, place % places);
        let at = |k: usize| (k / 9) * SIDE * SIDE + (row + k % 9 / 3) * SIDE + column + k % 3;
        let patch: Vec<f64> = (0..PATCH).map(|k| image[at(k)]).collect();
        for (channel, (weights, to)) in kernel.chunks_exact(PATCH).zip(gradient.chunks_exact_mut(PATCH)).enumerate() {
            let active = weights.iter().zip(&patch).map(|(w, x)| w * x).sum::<f64>() > 0.0;
            let back = if active { head[channel * places * places + place] } else { 0.0 };
            to.iter_mut().zip(&patch).for_each(|(to, x)| *to += back * x);
        }
    }
    gradient
}

fn simulate(_: &Spec, run: &Run, seed: u64, _: &dyn Progress) -> Result<Simulated> {
    let stream = &mut sequential(seed, Stream::Data);
    match run.name.as_str() {
        "dense" => {
            let net = Network::draw(&WIDTHS, seed);
            let (_, gradients) = net.gradient(&normals(stream, WIDTHS[0]));
            let (mut largest, mut kept) = (0.0, Vec::new());
            for (gradient, pair) in gradients.iter().zip(WIDTHS.windows(2)) {
                let values = singular_values(pair[1], pair[0], gradient)?;
                // A dead sample has no gradient at all.
                largest =
                    if values.first().is_some_and(|&first| first > 0.0) { nan_max(largest, rank(&values)) } else { largest };
                kept = if kept.len() < values.len() { values } else { kept };
            }
            Ok(Simulated::once(vec![largest], kept))
        }
        "convolution" => {
            let values = singular_values(CHANNELS.1, PATCH, &convolution(stream))?;
            Ok(Simulated::once(vec![rank(&values)], values))
        }
        _ => Ok(Simulated::once(equations(stream), Vec::new())),
    }
}

/// What the solutions of equations 21 and 6, right and printed, leave of the equations that they solve, relatively.
fn equations(stream: &mut impl rand::Rng) -> Vec<f64> {
    const SIZE: usize = 5;
    let (first, second) = (normals(stream, SIZE * SIZE), normals(stream, SIZE * SIZE));
    let [l_i, f_i, l_j, f_j] = [0.0; 4].map(|_: f64| normals(stream, 1)[0]);
    // Equation 20: l_i(∂_i - V f_i) = l_j(∂_j - V f_j).
    let stationary = |sign: f64| {
        let v = first.iter().zip(&second).map(|(a, b)| (l_i * a + sign * l_j * b) / (l_i * f_i - l_j * f_j));
        let sides = v.zip(first.iter().zip(&second)).map(|(v, (a, b))| (l_i * (a - v * f_i), l_j * (b - v * f_j)));
        let (left, right): (Vec<f64>, Vec<f64>) = sides.unzip();
        let apart: Vec<f64> = left.iter().zip(&right).map(|(a, b)| a - b).collect();
        norm(&apart) / (norm(&left) + norm(&right))
    };
    // (Wx - y)xᵀ + λW = 0, whose solution is W = yxᵀ/(λ + |x|²) by Sherman and Morrison.
    let (x, y, lambda) = (normals(stream, SIZE), normals(stream, SIZE), 0.3);
    let square = norm(&x).powi(2);
    let ridge = |sign: f64| {
        let w = |k: usize, j: usize| sign * y[k] * x[j] / (lambda + square);
        let residual = |k: usize| sign * y[k] * square / (lambda + square) - y[k];
        let left: Vec<f64> =
            (0..SIZE * SIZE).map(|e| residual(e / SIZE) * x[e % SIZE] + lambda * w(e / SIZE, e % SIZE)).collect();
        norm(&left) / (norm(&x) * norm(&y))
    };
    vec![stationary(-1.0), stationary(1.0), ridge(1.0), ridge(-1.0)]
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let solves = |what: &str, metric: &str| last(results, "equations", what, metric, |left| left <= 1e-12).every();
    let full = CHANNELS.1.min(PATCH) as f64;
    Ok(vec![
        Claim::all(
            "rank-one",
            "the gradient of a sample has rank 1 in every layer: fully connected",
            "Lemma 1",
            vec![last(results, "dense", "rank of ∂f/∂V_k at most 1 in all layers", "largest_rank", |rank| rank <= 1.0).every()],
        ),
        Claim::all(
            "convolution",
            "also in convolutions, so that the lemma covers the paper's network",
            "Lemma 1, section 2",
            vec![last(results, "convolution", "rank of ∂f/∂K at most 1", "rank", |rank| rank <= 1.0)],
        ),
        Claim::all(
            "convolution-right",
            "there it has full rank: positions share the weights",
            "ours",
            vec![last(
                results,
                "convolution",
                &format!("rank of ∂f/∂K, {} x {PATCH}, is {full}", CHANNELS.1),
                "rank",
                |rank| rank == full,
            )],
        ),
        Claim::all(
            "equation-21",
            "V_k = (l_i ∂_i + l_j ∂_j)/(l_i f_i - l_j f_j) solves equation 20",
            "equation 21 as printed",
            vec![solves("what it leaves at most 1e-12", "stationary_printed")],
        ),
        Claim::all(
            "equation-21-right",
            "with a minus before the j term it does",
            "ours",
            vec![solves("what it leaves at most 1e-12", "stationary")],
        ),
        Claim::all(
            "equation-6",
            "W = -yxᵀ(λI + xxᵀ)⁻¹ is stationary for a sample",
            "equation 6 as printed",
            vec![solves("what it leaves at most 1e-12", "ridge_printed")],
        ),
        Claim::all("equation-6-right", "without the minus it is", "ours", vec![solves("what it leaves at most 1e-12", "ridge")]),
    ])
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let spectrum = |(colour, (run, declared)): (usize, (&crate::run::RunResults, &Run))| -> Vec<Curve> {
        let of = |(index, replica): (usize, &crate::run::Replica)| {
            let first = replica.params.first().copied().unwrap_or(f64::NAN);
            let points = replica.params.iter().enumerate().map(|(k, value)| ((k + 1) as f64, (value / first).max(1e-18)));
            Curve {
                style: Style::Points,
                ..super::curve(if index == 0 { &declared.label } else { "" }, colour, points.collect())
            }
        };
        run.replicas.iter().enumerate().map(of).collect()
    };
    let curves = results.runs.iter().zip(&spec.runs).take(2).enumerate().flat_map(spectrum).collect();
    let y = Axis { range: Some((1e-18, 2.0)), ..Axis::log("over the first") };
    let panels = vec![super::panel("Singular values of ∂f/∂V for one sample", Axis::linear("index"), y, curves)];
    let footnote = format!(
        "{} seeds; the widest of the layers {WIDTHS:?}, and 3x3 kernels from {} to {} channels.",
        spec.seeds.own.len(),
        CHANNELS.0,
        CHANNELS.1
    );
    Ok(plot::Figure { title: spec.title.clone(), columns: 1, panels, footnote: Some(footnote) })
}

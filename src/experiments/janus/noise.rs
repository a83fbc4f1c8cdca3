//! SGD's asymptotic noise under weight decay (section 4): with the samples in a fixed order the iterates end in a cycle of one
//! epoch, which every start reaches; "deterministic chaos" it is not. Without decay, and for gradient descent, the cycle is a point.

use super::regression::{Law, Problem, distance, norm};
use super::{PAPER, last};
use crate::claims::{Claim, each};
use crate::data::Data;
use crate::error::Result;
use crate::experiments::{Figure, simulated};
use crate::nets::{Activation, Architecture, Bias};
use crate::optim::{Batch, Optimiser, Sampling};
use crate::report::plot::{self, Axis, Curve, Style};
use crate::run::{Results, Simulated, quantile};
use crate::schedule::Schedule;
use crate::spec::{Panel, Run, Scale, Spec};
use crate::train::Progress;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "janus/noise",
    paper: PAPER,
    about: "regression in a fixed order: SGD's asymptotic noise by weight decay, a cycle of one epoch",
    declare,
    expect,
    simulate: Some(simulate),
    check: super::check,
    draw,
};

const N: usize = 10;
const DECAYS: [f64; 4] = [0.0, 0.001, 0.01, 0.1];
/// Epochs that arrays.npz keeps of the cycle.
const KEPT: usize = 3;

fn declare(scale: Scale) -> Spec {
    let run = |name: String, label: String, batch: Batch, lambda: f64| {
        let optimiser = Optimiser { batch, weight_decay: 2.0 * lambda, ..Optimiser::gd() };
        Run::new(&name, &label, 1, Schedule::Constant { peak: 0.5 }, optimiser)
    };
    let single = Batch::Random { size: 1, sampling: Sampling::Fixed };
    let net = Architecture::mlp(&[N + 1, N + 1], Bias::None, Activation::Identity);
    let metrics = ["within_epoch", "drift", "separation"];
    let mut spec =
        simulated(&FIGURE, "SGD's asymptotic noise is a cycle, section 4", scale, Data::Own { n: N, d: N + 1 }, net, &metrics);
    spec.runs = DECAYS.map(|lambda| run(format!("decay-{lambda}"), format!("SGD, λ = {lambda}"), single, lambda)).to_vec();
    spec.runs.push(run("gd".to_owned(), "GD, λ = 0.1".to_owned(), Batch::Full, 0.1));
    spec.panels = vec![Panel::new("within_epoch", "spread of W within an epoch", true)];
    spec
}

fn simulate(spec: &Spec, run: &Run, seed: u64, _: &dyn Progress) -> Result<Simulated> {
    let problem = Problem::draw(N, N + 1, Law::default(), seed);
    let eta = run.schedule.at(0, run.steps) * problem.unit_of_steps()?;
    let (batch, lambda) = (run.optimiser.batch_size(N), run.optimiser.weight_decay / 2.0);
    let start = if lambda > 0.0 { problem.fixed_point(batch, eta, lambda) } else { problem.ridge(0.0)? };
    let size = norm(&start);
    // Iterates of some epochs.
    let mut w = start.clone();
    let mut iterates = Vec::new();
    for _ in 0..KEPT {
        for first in (0..N).step_by(batch) {
            problem.step(&mut w, first..(first + batch).min(N), eta, lambda);
            iterates.push(w.clone());
        }
    }
    let cycle = &iterates[..N.div_ceil(batch)];
    let mean: Vec<f64> = (0..w.len()).map(|k| cycle.iter().map(|w| w[k]).sum::<f64>() / cycle.len() as f64).collect();
    let spread = (cycle.iter().map(|w| distance(w, &mean).powi(2)).sum::<f64>() / cycle.len() as f64).sqrt();
    let drift = distance(&w, &start) / size;
    // Chaos would part two starts that are close: what is left of their distance after many epochs.
    let epochs = if spec.scale == Scale::Smoke { 50 } else { 500 };
    let mut pair = [problem.start(0.1, seed), problem.start(0.1, seed + 1)];
    let before = distance(&pair[0], &pair[1]);
    for w in &mut pair {
        (0..epochs).for_each(|_| problem.epoch(w, batch, eta, lambda));
    }
    let left = distance(&pair[0], &pair[1]) / before;
    let kept = (0..KEPT * N).map(|i| distance(&iterates[i * iterates.len() / (KEPT * N)], &mean) / size);
    Ok(Simulated::once(vec![spread / size, drift, left], kept.collect()))
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let name = |lambda: f64| format!("decay-{lambda}");
    let grows = |small: f64, large: f64| {
        each(results, &format!("spread at λ = {large} above that at {small}"), &name(large), |run, replica| {
            let other = results.run(&name(small))?;
            let (below, above) = (other.last(other.survivor(replica.seed)?, "within_epoch")?, run.last(replica, "within_epoch")?);
            Some((below < above, above))
        })
    };
    let vanishes = |run: &str| last(results, run, "spread within an epoch below 1e-12", "within_epoch", |spread| spread < 1e-12);
    let cycle = |lambda: f64| {
        last(results, &name(lambda), "W after three epochs at most 1e-11 from before", "drift", |drift| drift <= 1e-11)
    };
    let parts = |lambda: f64| last(results, &name(lambda), "two starts part", "separation", |left| left > 1.0);
    let meets = |lambda: f64| last(results, &name(lambda), "two starts approach", "separation", |left| left < 1.0).every();
    Ok(vec![
        Claim::all(
            "noise",
            "SGD never reaches equilibrium with weight decay, and its fluctuations grow with λ",
            "sections 1 and 2.1",
            DECAYS.windows(2).map(|pair| grows(pair[0], pair[1])).collect(),
        ),
        Claim::all(
            "none",
            "there is none without decay, nor for batches of all samples",
            "predictions 1 and 2",
            vec![vanishes(&name(0.0)), vanishes("gd")],
        ),
        Claim::all(
            "chaos",
            "the noise is better described as deterministic chaos",
            "section 4",
            DECAYS[1..].iter().map(|&lambda| parts(lambda)).collect(),
        ),
        Claim::all(
            "cycle",
            "it is a cycle of one epoch, which every start approaches",
            "ours",
            DECAYS[1..].iter().flat_map(|&lambda| [cycle(lambda), meets(lambda)]).collect(),
        ),
    ])
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let runs = || results.runs.iter().zip(&spec.runs).enumerate();
    let courses = runs().filter_map(|(colour, (run, declared))| {
        let replica = run.replicas.first()?;
        let points = replica.params.iter().enumerate().map(|(t, &y)| ((t + 1) as f64, y)).collect();
        Some(super::curve(&declared.label, colour, points))
    });
    let of = |lambda: &f64| {
        let run = results.run(&format!("decay-{lambda}"))?;
        let values: Vec<f64> = run.own().filter_map(|replica| run.last(replica, "within_epoch")).collect();
        Some((*lambda, quantile(&values, 0.5)?))
    };
    let spreads: Vec<(f64, f64)> = DECAYS.iter().filter_map(of).filter(|&(lambda, _)| lambda > 0.0).collect();
    let panels = vec![
        super::panel(
            "Distance from the cycle's mean, one seed",
            Axis::linear("update"),
            Axis::linear("over ‖W‖"),
            courses.collect(),
        ),
        super::panel(
            "Spread of W within an epoch",
            Axis::log("weight decay λ"),
            Axis::log("over ‖W‖, medians"),
            vec![Curve { style: Style::Points, ..super::curve("SGD", 0, spreads) }],
        ),
    ];
    let footnote =
        format!("N = {N}, d = {}, η = 0.5/σ_max(X)², three epochs in the same order; {} seeds.", N + 1, spec.seeds.own.len());
    Ok(plot::Figure { title: spec.title.clone(), columns: 2, panels, footnote: Some(footnote) })
}

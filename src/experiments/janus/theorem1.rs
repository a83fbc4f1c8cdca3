//! Theorem 1: outside the span of the data every update multiplies W by 1 - 2ηλ, so that an epoch has the factor
//! (1 - 2ηλ)^(N/B); SGD with a constant step size ends near the solution of gradient descent, at a distance of the order of η.

use super::regression::{Law, Problem, distance, norm};
use super::{DECAY, PAPER, course, last};
use crate::claims::{Claim, Evidence, each};
use crate::data::Data;
use crate::error::Result;
use crate::experiments::{Figure, simulated};
use crate::nets::{Activation, Architecture, Bias};
use crate::optim::{Batch, Optimiser, Sampling};
use crate::report::plot::{self, Axis, Curve, Style};
use crate::run::{Results, Simulated, quantile};
use crate::schedule::Schedule;
use crate::spec::{Evaluate, Panel, Run, Scale, Spec};
use crate::train::Progress;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "janus/theorem1",
    paper: PAPER,
    about: "regression: decay outside the span of the data by batch size, and the solutions that SGD and GD end at",
    declare,
    expect,
    simulate: Some(simulate),
    check: super::check,
    draw,
};

const N: usize = 10;
const BATCHES: [usize; 4] = [1, 2, 5, 10];
/// Step sizes of batches of 1, as shares of 1/σ_max(X)²; the first is that of all batches.
const STEPS: [f64; 3] = [0.5, 0.25, 0.125];

fn declare(scale: Scale) -> Spec {
    let epochs = if scale == Scale::Smoke { 100 } else { 1_000 };
    let run = |name: String, label: String, batch: usize, peak: f64| {
        let optimiser = Optimiser {
            batch: Batch::Random { size: batch, sampling: Sampling::Fixed },
            weight_decay: 2.0 * DECAY,
            ..Optimiser::gd()
        };
        Run::new(&name, &label, epochs + 1, Schedule::Constant { peak }, optimiser)
    };
    let net = Architecture::mlp(&[N + 1, N + 1], Bias::None, Activation::Identity);
    let metrics = ["outside_norm", "exponent", "exponent_printed", "exponent_remark", "gap", "gap_small"];
    let mut spec =
        simulated(&FIGURE, "Decay outside the span of the data, Theorem 1", scale, Data::Own { n: N, d: N + 1 }, net, &metrics);
    spec.runs = BATCHES.map(|batch| run(format!("B={batch}"), format!("B = {batch}"), batch, STEPS[0])).to_vec();
    spec.runs.extend(STEPS[1..].iter().map(|&peak| run(format!("step-{peak}"), format!("B = 1, η·σ² = {peak}"), 1, peak)));
    spec.evaluate = Evaluate::even(1, 51);
    spec.panels = vec![Panel::new("outside_norm", "‖W(I - π)‖", true)];
    spec
}

fn simulate(spec: &Spec, run: &Run, seed: u64, progress: &dyn Progress) -> Result<Simulated> {
    let problem = Problem::draw(N, N + 1, Law::default(), seed);
    let eta = run.schedule.at(0, run.steps) * problem.unit_of_steps()?;
    let (batch, lambda) = (run.optimiser.batch_size(N), run.optimiser.weight_decay / 2.0);
    let limit = problem.fixed_point(batch, eta, lambda);
    let apart = |c: f64| -> Result<f64> {
        let ridge = problem.ridge(c)?;
        Ok(distance(&limit, &ridge) / norm(&ridge))
    };
    let gaps = [apart(N as f64 * lambda)?, apart(lambda)?];
    let start = problem.start(1.0, seed);
    let first = norm(&problem.outside_span(&start));
    // The logarithm of what is left per epoch, in units of those of the factors (1 - 2ηλ), (1 - ηλ) and (1 - ηλ/B).
    let factors = [2.0 * eta * lambda, eta * lambda, eta * lambda / batch as f64];
    Simulated::along(
        spec,
        run,
        progress,
        (start, 0u64),
        |(w, epoch), _| {
            problem.epoch(w, batch, eta, lambda);
            *epoch += 1;
        },
        |(w, epoch)| {
            let outside = norm(&problem.outside_span(w));
            let rate = if *epoch == 0 { 0.0 } else { (outside / first).ln() / *epoch as f64 };
            Ok([outside].into_iter().chain(factors.map(|factor| rate / (-factor).ln_1p())).chain(gaps).collect())
        },
        |_| limit.clone(),
    )
}

/// The text's example: samples e1 and e2 with labels 0, and its W.
fn example() -> (Problem, Vec<f64>) {
    let problem = Problem::new(3, 2, vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0], vec![0.0; 4]);
    (problem, vec![1.0, 0.0, 1.0, 0.0, 1.0, -1.0])
}

/// First diagonal entry of W, and of its last column, after epochs in batches.
fn worked(batch: usize, eta: f64, epochs: usize) -> [f64; 2] {
    let (problem, mut w) = example();
    (0..epochs).for_each(|_| problem.epoch(&mut w, batch, eta, DECAY));
    [w[0], w[2]]
}

/// The same after a step along the sum of the samples' gradients instead of their mean, as in section A.2.
fn worked_sum(eta: f64) -> [f64; 2] {
    let (problem, w) = example();
    let gradient = problem.gradient(&w, 0..2);
    [0, 2].map(|k| w[k] - 2.0 * eta * (gradient[k] + DECAY * w[k]))
}

fn examples() -> Evidence {
    // The text's gradients have no factor 2: half of η. Then the same as in equation 5.
    let cases = [
        (worked(1, 0.05, 1), [0.898_101, 0.998_001]),
        (worked(2, 0.05, 1), [0.949, 0.999]),
        (worked_sum(0.05), [0.899, 0.999]),
        (worked(1, 0.1, 1), [0.796_404, 0.996_004]),
        (worked(2, 0.1, 1), [0.898, 0.998]),
        (worked_sum(0.1), [0.798, 0.998]),
        ([0.0, worked(1, 0.05, 10)[1]], [0.0, 0.980_188_864_829_534_7]),
        ([0.0, worked(2, 0.1, 10)[1]], [0.0, 0.980_179_043_351_949_5]),
    ];
    let held = cases.iter().filter(|(got, want)| got.iter().zip(want).all(|(got, want)| (got - want).abs() <= 1e-12)).count();
    let detail = format!("last column after an epoch: {} with SGD, {} with GD", worked(1, 0.05, 1)[1], worked(2, 0.05, 1)[1]);
    Evidence::grid("one and ten epochs in both conventions, to 1e-12", held, cases.len(), detail)
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let exponents = |metric: &str, what: &str, of: fn(usize) -> f64| -> Vec<Evidence> {
        let ask = |batch: usize| {
            let wanted = of(batch);
            let what = format!("exponent of {what} per epoch is {wanted} to 1e-10");
            last(results, &format!("B={batch}"), &what, metric, move |found| (found - wanted).abs() <= 1e-10 * wanted).every()
        };
        BATCHES.iter().map(|&batch| ask(batch)).collect()
    };
    let epochs = |batch: usize| N as f64 / batch as f64;
    let geometric = |name: &str, what: &str, wanted: bool| {
        each(results, &format!("{name}: {what}"), name, |run, replica| {
            let series = run.within(replica, "exponent", 1..);
            let (first, last) = (series.first()?.1, series.last()?.1);
            let spread = (last / first - 1.0).abs();
            Some(((spread <= 1e-9) == wanted, spread))
        })
        .every()
    };
    // At equal numbers of updates: an epoch has N/B of them.
    let equal = |batch: usize| {
        let name = format!("B={batch}");
        each(results, &format!("{name}: logarithm per update that of B=1, to 1e-10"), &name, |run, replica| {
            let other = results.run("B=1")?;
            let single = other.last(other.survivor(replica.seed)?, "exponent")?;
            let ratio = run.last(replica, "exponent")? * batch as f64 / single;
            Some(((ratio - 1.0).abs() <= 1e-10, ratio))
        })
        .every()
    };
    let halves = |small: &str, large: &str| {
        each(results, &format!("gap of {small} within 0.4 and 0.6 of that of {large}"), small, |run, replica| {
            let other = results.run(large)?;
            let ratio = run.last(replica, "gap")? / other.last(other.survivor(replica.seed)?, "gap")?;
            Some(((0.4..=0.6).contains(&ratio), ratio))
        })
    };
    let gap =
        |name: &str, metric: &str, what: &str, limit: f64| last(results, name, what, metric, move |gap| gap <= limit).every();
    Ok(vec![
        Claim::all(
            "rate",
            "outside the span of the data an epoch multiplies W by (1 - 2ηλ)^(N/B)",
            "equation 9, with the loss of equation 2",
            exponents("exponent", "1 - 2ηλ", epochs),
        ),
        Claim::all(
            "rate-printed",
            "the factor is (1 - ηλ)^(N/B)",
            "Theorem 1 as printed",
            exponents("exponent_printed", "1 - ηλ", epochs),
        ),
        Claim::all(
            "rate-remark",
            "for batches of B it is (1 - ηλ/B)^(N/B)",
            "first remark, as printed",
            exponents("exponent_remark", "1 - ηλ/B", epochs)[1..].to_vec(),
        ),
        Claim::all(
            "kinds",
            "the rate is exponential for SGD and linear for GD",
            "abstract",
            vec![
                geometric("B=1", "an epoch's factor is the same at first and at last", true),
                geometric("B=10", "it changes", false),
            ],
        ),
        Claim::all(
            "kinds-right",
            "both are geometric; the ratio of their logarithms is N/B per epoch, and 1 per update",
            "ours",
            BATCHES
                .map(|batch| geometric(&format!("B={batch}"), "an epoch's factor is the same at first and at last", true))
                .into_iter()
                .chain(BATCHES[1..].iter().map(|&batch| equal(batch)))
                .collect(),
        ),
        Claim::all("example", "the worked example of two samples", "Appendix A", vec![examples()]),
        Claim::all(
            "same-solution",
            "SGD and GD converge to the same regularised solution",
            "Theorem 1",
            vec![gap("B=1", "gap", "SGD's limit within 1e-6 of ridge(Nλ), relatively", 1e-6)],
        ),
        Claim::all(
            "solution-order",
            "SGD's limit misses it by an amount proportional to η",
            "ours",
            vec![halves("step-0.25", "B=1"), halves("step-0.125", "step-0.25")],
        ),
        Claim::all(
            "minimiser",
            "the flow of equation 3 minimises the loss of equation 2: its solution is ridge(λ)",
            "equations 2 and 3 as printed",
            vec![gap("B=10", "gap_small", "GD's limit within 1e-6 of ridge(λ), relatively", 1e-6)],
        ),
        Claim::all(
            "minimiser-right",
            "it is ridge(Nλ): equation 3 has the mean of the samples' gradients, equation 2 their sum",
            "ours",
            vec![gap("B=10", "gap", "GD's limit within 1e-9 of ridge(Nλ), relatively", 1e-9)],
        ),
    ])
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let (mut epochs, mut updates) = (Vec::new(), Vec::new());
    for (colour, &batch) in BATCHES.iter().enumerate() {
        let Some(run) = results.run(&format!("B={batch}")) else { continue };
        // What is left of the first seed's, for which the line of the theory is exact.
        let Some(replica) = run.replicas.first() else { continue };
        let series = run.series(replica, "outside_norm");
        let Some(&(_, first)) = series.first() else { continue };
        let of = |share: f64| series.iter().map(|&(epoch, left)| (epoch as f64 * share, left / first)).collect::<Vec<_>>();
        epochs.push(super::curve(&format!("B = {batch}"), colour, of(1.0)));
        updates.push(super::curve(&format!("B = {batch}"), colour, of((N / batch) as f64)));
    }
    let gaps = |metric: &str, label: &str, colour: usize| {
        let of = |(name, step): (String, f64)| {
            let run = results.run(&name)?;
            let values: Vec<f64> = run.own().filter_map(|replica| run.last(replica, metric)).collect();
            Some((step, quantile(&values, 0.5)?))
        };
        let runs =
            [("B=1".to_owned(), STEPS[0])].into_iter().chain(STEPS[1..].iter().map(|step| (format!("step-{step}"), *step)));
        Curve { style: Style::Points, ..super::curve(label, colour, runs.filter_map(of).collect()) }
    };
    let mut distances = vec![gaps("gap", "to ridge(Nλ)", 0), gaps("gap_small", "to ridge(λ)", 1)];
    if let Some(&(_, largest)) = distances[0].points.first() {
        let line = STEPS.iter().map(|step| (*step, largest * step / STEPS[0])).collect();
        distances.push(Curve { style: Style::Dashed, ..super::curve("∝ η", 7, line) });
    }
    let exponent = BATCHES.iter().enumerate().filter_map(|(colour, batch)| {
        let run = results.run(&format!("B={batch}"))?;
        let mut drawn = course(run, "exponent", &format!("B = {batch}"), colour);
        // Before the first epoch there is none.
        drawn.points.retain(|&(epoch, _)| epoch > 0.0);
        drawn.band = None;
        Some(drawn)
    });
    let panels = vec![
        super::panel("‖W(I - π)‖ over its start, one seed", Axis::linear("epoch"), Axis::log(""), epochs),
        super::panel("The same over updates", Axis::linear("update"), Axis::log(""), updates),
        super::panel(
            "Exponent of 1 - 2ηλ per epoch: N/B",
            Axis::linear("epoch"),
            Axis { range: Some((0.0, 11.0)), ..Axis::linear("") },
            exponent.collect(),
        ),
        super::panel("Distance of SGD's limit, B = 1", Axis::log("η·σ_max(X)²"), Axis::log("relative, medians"), distances),
    ];
    let footnote =
        format!("N = {N} samples of d = {} inputs, square W from N(0, 1), λ = {DECAY}; {} seeds.", N + 1, spec.seeds.own.len());
    Ok(plot::Figure { title: spec.title.clone(), columns: 2, panels, footnote: Some(footnote) })
}

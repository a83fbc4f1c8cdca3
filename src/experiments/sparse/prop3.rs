//! Propositions 3 and 7: a network with one parameter, h(x) = θ²x, on inputs of one sign. For step sizes in an interval its loss
//! neither converges nor diverges, and the iterate bounces from one side of θ* to the other. The toy is a diagonal network with
//! u = v = θ, and F is half of its loss. Every seed draws its inputs, its start in (0, θ*) and its order.

use super::lemmas::lemmas;
use super::quadratic::{BAND, epsilon, printed_bounds, scaled_bounds, step, step_sizes};
use super::{PAPER, base};
use crate::claims::{Claim, Evidence, each};
use crate::data::Data;
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Architecture;
use crate::optim::Optimiser;
use crate::report::plot::{self, Axis, Curve, Style};
use crate::run::{Replica, Results, RunResults, quantile};
use crate::schedule::Schedule;
use crate::spec::{Evaluate, Metric, Panel, Run, Scale, Seeds, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/prop3",
    paper: PAPER,
    about: "the quadratic toy: two-periodic bouncing, the bounds of Proposition 7, Lemmas 8 to 14 on a grid",
    declare,
    expect,
    simulate: None,
    check,
    draw,
};

const THETA: &str = "first_parameter";
/// Iterations; the slowest escape from θ* takes about half of them.
const STEPS: u64 = 128;

fn declare(scale: Scale) -> Spec {
    let seeds = match scale {
        Scale::Smoke => 100,
        Scale::Laptop | Scale::Paper => 1000,
    };
    let run = |name: &str, theta_star: f64, [x_min, x_max]: [f64; 2], peak: f64, seed: u64| Run {
        data: Some(Data::Quadratic { n: 100, x_min, x_max, theta_star, seed }),
        net: Some(Architecture::Squared { low: 0.0, high: theta_star }),
        ..Run::new(
            name,
            &format!("θ* = {theta_star}, x in [{x_min}, {x_max}], η = {peak}"),
            STEPS + 1,
            Schedule::Constant { peak },
            Optimiser::sgd(),
        )
    };
    Spec {
        data: Data::Quadratic { n: 100, x_min: 1.0, x_max: 1.05, theta_star: 1.0, seed: 0 },
        net: Architecture::Squared { low: 0.0, high: 1.0 },
        seeds: Seeds { paper: false, own: (0..seeds).collect(), own_data: true },
        runs: vec![
            Run { data: None, net: None, ..run("unit", 1.0, [1.0, 1.05], 1.1, 0) },
            run("theta-2", 2.0, [1.0, 1.05], 0.275, 10_000),
            run("small-x", 1.0, [0.03, 0.0315], 1200.0, 20_000),
        ],
        evaluate: Evaluate::even(STEPS + 1, 0),
        metrics: vec![Metric::always(THETA), Metric::always("train_loss")],
        panels: vec![Panel::new("train_loss", "2F(θ_t)", true)],
        ..base(&FIGURE, "Loss stabilisation of the quadratic toy, Propositions 3 and 7", scale)
    }
}

/// What Proposition 7 is about.
struct Toy {
    theta_star: f64,
    epsilon: f64,
    printed: (f64, f64),
    scaled: (f64, f64),
}

impl Toy {
    fn of(spec: &Spec, name: &str) -> Option<Toy> {
        let run = spec.runs.iter().find(|run| run.name == name)?;
        let Data::Quadratic { x_min, x_max, theta_star, .. } = *spec.data_of(run) else { return None };
        let eta = run.schedule.at(0, run.steps);
        let (low, high) = step_sizes(theta_star, x_min, x_max).ok()?;
        // Outside the interval the proposition says nothing.
        let epsilon = (low < eta && eta < high).then(|| epsilon(eta, theta_star, x_min))?;
        // Bounds over every E[x²] that inputs in [x_min, x_max] can have.
        let scaled = |x: f64| scaled_bounds(epsilon, theta_star, x * x);
        let (printed, scaled) = (printed_bounds(epsilon, theta_star), (scaled(x_min).0, scaled(x_max).1));
        Some(Toy { theta_star, epsilon, printed, scaled })
    }
}

/// Asked of a replica: is it as the paper says, and a number that shows it.
type Question<'a> = dyn Fn(&Toy, &RunResults, &Replica) -> Option<(bool, f64)> + 'a;

/// An empty interval of step sizes is refused.
fn check(spec: &Spec) -> Result<()> {
    for run in &spec.runs {
        if let Data::Quadratic { x_min, x_max, theta_star, .. } = *spec.data_of(run) {
            step_sizes(theta_star, x_min, x_max)?;
        }
    }
    Ok(())
}

/// F along a run, from iteration `from` on.
fn losses(run: &RunResults, replica: &Replica, from: u64) -> Vec<f64> {
    run.within(replica, "train_loss", from..).into_iter().map(|(_, loss)| loss / 2.0).collect()
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let ask = |what: &str, question: &Question| -> Vec<Evidence> {
        let of_run = |run: &RunResults| {
            let toy = Toy::of(spec, &run.name);
            let answer = |run: &RunResults, replica: &Replica| question(toy.as_ref()?, run, replica);
            each(results, &format!("{}: {what}", run.name), &run.name, answer).every()
        };
        results.runs.iter().map(of_run).collect()
    };
    // The second half, if every iterate of it was measured.
    let late = |run: &RunResults, replica: &Replica| -> Option<Vec<f64>> {
        let (steps, theta): (Vec<u64>, Vec<f64>) = run.within(replica, THETA, run.steps / 2..).into_iter().unzip();
        (steps.len() > 2 && steps.windows(2).all(|pair| pair[1] == pair[0] + 1)).then_some(theta)
    };
    let bounces = ask("θ_t on alternating sides of θ* over the second half", &|toy, run, replica| {
        let theta = late(run, replica)?;
        let alternates = theta.windows(2).all(|pair| (pair[0] < toy.theta_star) != (pair[1] < toy.theta_star));
        Some((alternates, theta[0]))
    });
    let bands = ask("θ_t/θ* in (0.65, 1 - ε) or (1 + ε, 1.162) over the second half", &|toy, run, replica| {
        let within = |theta: &f64| {
            let s = theta / toy.theta_star;
            BAND[0] < s && s < BAND[1] && (s < 1.0 - toy.epsilon || 1.0 + toy.epsilon < s)
        };
        let theta = late(run, replica)?;
        Some((theta.iter().all(within), theta[0]))
    });
    let bounded = |what: &str, from: u64, bounds: fn(&Toy) -> (f64, f64)| {
        ask(what, &|toy, run, replica| {
            let (low, high) = bounds(toy);
            let values = losses(run, replica, from);
            let middle = quantile(&values, 0.5)?;
            Some((values.iter().all(|&loss| low < loss && loss < high), middle))
        })
    };
    let mut claims = vec![
        Claim::all(
            "bounces",
            "after some time the iterate bounces from one side of the minimum to the other",
            "equation 6",
            bounces,
        ),
        Claim::all("bands", "the iterate ends up in two bands beside the minimum", "Proposition 7", bands),
        Claim::all(
            "bounds-printed",
            "F is between ε² θ*² and 0.17 θ*² at all times",
            "equation 11 as printed",
            bounded("F within the printed bounds from t = 0 on", 0, |toy| toy.printed),
        ),
        Claim::all(
            "bounds-printed-late",
            "F is between ε² θ*² and 0.17 θ*² once the iterate bounces",
            "equation 11 as printed",
            bounded("F within the printed bounds over the second half", STEPS / 2, |toy| toy.printed),
        ),
        Claim::all(
            "bounds",
            "F is between E[x²]θ*⁴ ε²(1 - ε/2)² and E[x²]θ*⁴ (1 - 0.65²)²/4 once the iterate bounces",
            "ours: equation 11, scaled",
            bounded("F within the scaled bounds over the second half", STEPS / 2, |toy| toy.scaled),
        ),
    ];
    // One claim per place in the appendix, with a piece of evidence per statement.
    for check in lemmas(1.0, 1.25) {
        let evidence = Evidence::grid(format!("{} [{}]", check.statement, check.id), check.held, check.points, check.detail);
        match claims.iter_mut().find(|claim| claim.source == check.source) {
            Some(claim) => {
                let parts = [std::mem::take(&mut claim.evidence), vec![evidence]].concat();
                let statement = format!("the {} statements of {}, on a grid", parts.len(), claim.source);
                *claim = Claim::all(&claim.id, &statement, &claim.source, parts);
            }
            None => claims.push(Claim::all(check.id, &format!("{}, on a grid", check.statement), check.source, vec![evidence])),
        }
    }
    Ok(claims)
}

/// Iterates, losses with both pairs of bounds, and the map of two steps.
fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let mut panels = Vec::new();
    let level = |label: &str, colour, y: f64| Curve {
        label: label.to_owned(),
        colour,
        style: Style::Dashed,
        points: vec![(0.0, y), (STEPS as f64, y)],
        ..Curve::default()
    };
    for (index, run) in results.runs.iter().enumerate() {
        let Some(toy) = Toy::of(spec, &run.name) else { continue };
        let faint = |values: &dyn Fn(&Replica) -> Vec<f64>| -> Vec<Curve> {
            let curve = |replica: &Replica| Curve {
                colour: index,
                style: Style::Faint,
                points: values(replica).into_iter().enumerate().map(|(t, y)| (t as f64, y)).collect(),
                ..Curve::default()
            };
            run.replicas.iter().take(20).map(curve).collect()
        };
        let label = &spec.runs[index].label;
        if index == 0 {
            let theta =
                |replica: &Replica| run.series(replica, THETA).into_iter().map(|(_, theta)| theta / toy.theta_star).collect();
            let ends = [BAND[0], 1.0 - toy.epsilon, 1.0 + toy.epsilon, BAND[1]];
            let mut curves = faint(&theta);
            curves.extend(ends.into_iter().enumerate().map(|(k, y)| level(if k == 0 { "ends of the bands" } else { "" }, 7, y)));
            panels.push(plot::Panel {
                title: format!("θ_t/θ*, 20 seeds: {label}"),
                x: Axis::linear("iteration"),
                y: Axis::linear(""),
                curves,
                legend: true,
                ..plot::Panel::default()
            });
        }
        let mut curves = faint(&|replica| losses(run, replica, 0));
        curves.push(level("bounds as printed", 5, toy.printed.0));
        curves.push(level("", 5, toy.printed.1));
        curves.push(level("bounds that scale", 3, toy.scaled.0));
        curves.push(level("", 3, toy.scaled.1));
        panels.push(plot::Panel {
            title: format!("F(θ_t), 20 seeds: {label}"),
            x: Axis::linear("iteration"),
            y: Axis {
                range: Some((toy.scaled.0.min(toy.printed.0) / 3.0, toy.scaled.1.max(toy.printed.1) * 4.0)),
                ..Axis::log("")
            },
            curves,
            legend: true,
            ..plot::Panel::default()
        });
    }
    let map = |colour, gamma: f64| Curve {
        label: format!("h_γ(h_γ(θ)), γ = {gamma}"),
        colour,
        points: (0..=200)
            .map(|k| 0.5 + 0.7 * f64::from(k) / 200.0)
            .map(|theta| (theta, step(gamma, step(gamma, theta))))
            .collect(),
        ..Curve::default()
    };
    let identity = Curve {
        label: "θ".to_owned(),
        colour: 7,
        style: Style::Dashed,
        points: vec![(0.5, 0.5), (1.2, 1.2)],
        ..Curve::default()
    };
    panels.push(plot::Panel {
        title: "Two steps: fixed points besides 1 are the bouncing".to_owned(),
        x: Axis::linear("θ/θ*"),
        y: Axis::linear(""),
        curves: [1.0, 1.125, 1.25]
            .into_iter()
            .zip([0, 1, 4])
            .map(|(gamma, colour)| map(colour, gamma))
            .chain([identity])
            .collect(),
        legend: true,
        ..plot::Panel::default()
    });
    let footnote = format!("{} seeds in all; every seed has its own inputs, start and order.", spec.seeds.own.len());
    Ok(plot::Figure { title: spec.title.clone(), columns: 2, panels, footnote: Some(footnote) })
}

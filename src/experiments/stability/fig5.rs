//! Figure 5: u·swish(wx) on 100 noisy points whose loss has two minima, A with w < 0 and B with w > 0, beside the saddle C at 0.
//! Where does SGD on single samples go from A and from B, as its step size grows? The paper's A, B and their curvatures belong to
//! a sample that it does not give; this one is NumPy's of seed 62.

use rand::RngExt;

use super::swish::{Weights, descend, excess, loss, sample, step, swish};
use super::{PAPER, curve, neuron, panel, run, simulated};
use crate::claims::{Claim, Evidence, each};
use crate::data::Data;
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Activation;
use crate::report::plot::{self, Axis, Contours, Curve, Style, Symbol};
use crate::rng::{Stream, sequential};
use crate::run::{Results, Simulated, quantile};
use crate::spec::{Panel, Run, Scale, Spec};
use crate::theory::regression::exponent_of_data;
use crate::train::Progress;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "stability/fig5",
    paper: PAPER,
    about: "one swish neuron with two minima and a saddle: where SGD goes from either minimum as the step size grows",
    declare,
    expect,
    simulate: Some(simulate),
    check: Figure::ANY,
    draw,
};

/// Step sizes λ_k at evaluation points k.
const RATES: u64 = 33;
/// The minima of the sample, and 2 over the largest eigenvalue of the Hessian there.
const MINIMA: [(&str, Weights, f64); 2] = [("A", [-1.468_474, -0.045_892], 2.343), ("B", [1.347_480, -0.137_703], 4.131)];
/// At C: |w| and |u| below this.
const NEAR: f64 = 0.1;

fn rate(k: u64) -> f64 {
    0.01 * 600_f64.powf(k as f64 / (RATES - 1) as f64)
}

fn declare(scale: Scale) -> Spec {
    let mut spec = simulated(
        &FIGURE,
        "How SGD selects a solution: u·swish(wx) on 100 points, Figure 5",
        scale,
        Data::Own { n: 100, d: 1 },
        neuron(&[1, 1, 1], Activation::Swish),
        &["excess_loss", "at_saddle", "stayed"],
    );
    spec.runs = MINIMA.map(|(name, ..)| run(&format!("from-{name}"), &format!("from {name}"), RATES, 1.0)).to_vec();
    spec.evaluate.first = RATES;
    spec.panels = vec![Panel::new("excess_loss", "loss on all data, beyond the teacher's", true)];
    spec
}

fn simulate(spec: &Spec, run: &Run, seed: u64, progress: &dyn Progress) -> Result<Simulated> {
    let steps = match spec.scale {
        Scale::Smoke => 2_000,
        Scale::Laptop => 20_000,
        Scale::Paper => 100_000,
    };
    let data = sample(62);
    let (_, start, _) = MINIMA[usize::from(run.name == "from-B")];
    let stream = &mut sequential(seed, Stream::Order);
    let mut values = Vec::new();
    for k in 0..RATES {
        let (lambda, mut at) = (rate(k), start);
        let mut losses = 0.0;
        for t in 0..steps {
            step(swish, &mut at, data[stream.random_range(0..data.len())], lambda);
            // The mean over the last tenth, every hundredth step.
            if t >= steps - steps / 10 && t % 100 == 0 {
                losses += excess(at) / (steps / 1000) as f64;
            }
        }
        let finite = at[0].abs() < 1e3 && at[1].abs() < 1e3;
        let saddle = at[0].abs() < NEAR && at[1].abs() < NEAR;
        let stayed = (at[0] - start[0]).abs() < 0.5 && at[1].signum() == start[1].signum();
        let marks = [saddle, stayed].map(|yes| f64::from(u8::from(yes && finite)));
        progress.advanced(1, f64::NAN);
        values.extend([if finite { losses } else { f64::NAN }, marks[0], marks[1]]);
    }
    Ok(Simulated::once(values, Vec::new()))
}

/// Step sizes between which both exponents at C are negative on the sample: C attracts.
fn attractive() -> Vec<f64> {
    let chi: Vec<f64> = sample(62).iter().map(|(x, y)| 0.5 * x * y).collect();
    let most = |lambda: f64| exponent_of_data(lambda, &chi).max(exponent_of_data(-lambda, &chi));
    let grid: Vec<f64> = (0..3000).map(|k| 0.002 * f64::from(k + 1)).collect();
    crate::theory::zeros(&grid, most)
}

/// Share of seeds that are at a step size as a metric says.
fn share(results: &Results, run: &str, metric: &str, k: u64) -> Option<f64> {
    let run = results.run(run)?;
    let values: Vec<f64> = run.own().filter_map(|replica| Some(run.within(replica, metric, k..=k).first()?.1)).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let zeros = attractive();
    let (low, high) = (zeros.first().copied().unwrap_or(f64::NAN), zeros.last().copied().unwrap_or(f64::NAN));
    let of_minima = |of: &dyn Fn(&str, f64) -> Evidence| MINIMA.map(|(name, _, edge)| of(&format!("from-{name}"), edge)).to_vec();
    // The first step size at which a seed ends at C.
    let jumps = |run: &str, what: &str, question: &dyn Fn(f64) -> bool| {
        each(results, &format!("{run}: {what}"), run, |of, replica| {
            let series = of.series(replica, "at_saddle");
            let first = series.iter().find(|(_, at)| *at == 1.0).map_or(f64::INFINITY, |&(k, _)| rate(k));
            (!series.is_empty()).then(|| (question(first), first))
        })
    };
    let better = |run: &str, above: bool| {
        let what = if above { "loss at λ = 0.5 below that at 0.01" } else { "loss at λ = 0.5 within a tenth of that of C" };
        each(results, &format!("{run}: {what}"), run, |of, replica| {
            let series = of.series(replica, "excess_loss");
            let at = |lambda: f64| series.iter().find(|(k, _)| rate(*k) >= lambda).map(|point| point.1);
            let (small, large) = (at(0.01)?, at(0.5)?);
            Some((if above { large < small } else { (large / excess([0.0, 0.0]) - 1.0).abs() <= 0.1 }, large))
        })
    };
    let survives = |run: &str| {
        each(results, &format!("{run}: finite up to 0.8 of the upper end {high:.3}"), run, |of, replica| {
            let finite: Vec<u64> = of.series(replica, "excess_loss").into_iter().map(|(k, _)| k).collect();
            let lost = (0..RATES).find(|k| !finite.contains(k)).map_or(f64::INFINITY, rate);
            (!of.series(replica, "at_saddle").is_empty()).then_some((lost >= 0.8 * high, lost))
        })
    };
    let window = format!("C attracts for λ in ({low:.4}, {high:.4})");
    Ok(vec![
        Claim::all(
            "jumps-to-saddle",
            "as the step size grows SGD jumps from the minimum to the saddle C, where C becomes attractive",
            "section 4.3, Figure 5",
            of_minima(&|run, _| {
                jumps(run, &format!("first at C within a factor 2 of {low:.4}"), &|first| (first / low).log2().abs() <= 1.0)
            }),
        ),
        Claim::all(
            "not-linear",
            "it does not wait for the linear threshold 2/h of the minimum",
            "section 4.3",
            of_minima(&|run, edge| jumps(run, &format!("first at C below a fifth of 2/h = {edge}"), &|first| first < edge / 5.0)),
        ),
        Claim::all(
            "performs-as-saddle",
            "between, its performance is that of C",
            "Figure 5",
            of_minima(&|run, _| better(run, false)),
        ),
        Claim::all(
            "improves-from-b",
            "from the worse minimum B an intermediate step size performs better than a small one",
            "section 4.3",
            vec![better("from-B", true)],
        ),
        Claim::all(
            "diverges-when-c-does",
            &format!("it diverges when C loses stability ({window})"),
            "section 4.3",
            of_minima(&|run, _| survives(run)),
        ),
    ])
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let data = sample(62);
    let grid = |low: f64, high: f64| (0..=120).map(|k| low + (high - low) * f64::from(k) / 120.0).collect::<Vec<_>>();
    let lowest = MINIMA.iter().map(|(_, at, _)| loss(swish, *at, &data)).fold(f64::INFINITY, f64::min);
    let mark = |label: &str, symbol, at: Weights| Curve { style: Style::Mark(symbol), ..curve(label, 6, vec![(at[0], at[1])]) };
    let mut marks: Vec<Curve> = MINIMA.iter().map(|(name, at, _)| mark(name, Symbol::Diamond, descend(*at, &data))).collect();
    marks.push(mark("C", Symbol::Star, [0.0, 0.0]));
    let surface = plot::Panel {
        contours: Some(Contours::of(
            |w, u| (loss(swish, [w, u], &data) - lowest).max(1e-5),
            grid(-2.5, 2.5),
            grid(-0.6, 0.6),
            vec![3e-4, 1e-3, 2e-3, 4e-3, 8e-3, 2e-2, 5e-2, 0.15],
        )),
        ..panel("Training loss", Axis::linear("w"), Axis::linear("u"), marks)
    };
    let zeros = attractive();
    let mut panels = vec![surface];
    for (name, at, edge) in MINIMA {
        let name = format!("from-{name}");
        let Some(run) = results.run(&name) else { continue };
        let middle = |k: u64, fraction: f64| {
            let values: Vec<f64> = run.own().filter_map(|of| Some(run.within(of, "excess_loss", k..=k).first()?.1)).collect();
            quantile(&values, fraction).filter(|_| 2 * values.len() > run.replicas.len())
        };
        let band = (0..RATES).filter_map(|k| Some((rate(k), middle(k, 0.1)?, middle(k, 0.9)?))).collect();
        let median: Vec<(f64, f64)> = (0..RATES).filter_map(|k| Some((rate(k), middle(k, 0.5)?))).collect();
        let level =
            |label: &str, colour, y: f64| Curve { style: Style::Dashed, ..curve(label, colour, vec![(0.01, y), (6.0, y)]) };
        let line =
            |label: &str, colour, x: f64| Curve { style: Style::Dashed, ..curve(label, colour, vec![(x, 1e-4), (x, 1.0)]) };
        let mut curves = vec![Curve { band: Some(band), end_cross: true, ..curve("SGD, until most seeds diverge", 0, median) }];
        curves.extend([level("at the minimum", 7, excess(at)), level("at C", 2, excess([0.0, 0.0]))]);
        curves.extend(zeros.iter().map(|&zero| line("C gains or loses stability in probability", 2, zero)));
        curves.push(line("linear threshold 2/h of the minimum", 1, edge));
        let at_c: Vec<String> = [0.05, 0.2, 1.0]
            .iter()
            .filter_map(|&lambda| {
                let k = (0..RATES).find(|&k| rate(k) >= lambda)?;
                Some(format!("{:.0}% at λ = {lambda}", 100.0 * share(results, &name, "at_saddle", k)?))
            })
            .collect();
        let title = format!("{}; at C: {}", name.replace('-', " "), at_c.join(", "));
        let y = Axis { range: Some((1e-3, 5e-2)), ..Axis::log("loss on all data, beyond the teacher's") };
        panels.push(panel(&title, Axis { range: Some((0.01, 6.0)), ..Axis::log("step size λ") }, y, curves));
    }
    let footnote = format!(
        "Medians over finite seeds of {}, bands: 10th to 90th percentile; means over the last tenth of the steps.",
        spec.seeds.own.len()
    );
    Ok(plot::Figure { title: spec.title.clone(), columns: 3, panels, footnote: Some(footnote) })
}

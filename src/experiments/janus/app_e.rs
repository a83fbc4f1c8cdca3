//! Appendix E: x_{n+1} = x_n - γ_n(x_n + ε_n) with γ_n = n^-p/2. Which step sizes remove the start and the noise?

use rand_distr::{Distribution, StandardNormal};

use super::{PAPER, course};
use crate::claims::{Claim, Evidence, each};
use crate::data::Data;
use crate::error::Result;
use crate::experiments::{Figure, simulated};
use crate::nets::{Activation, Architecture, Bias};
use crate::optim::Optimiser;
use crate::report::plot::{self, Axis, Curve, Style};
use crate::rng::{Stream, sequential};
use crate::run::{Results, Simulated, line};
use crate::schedule::Schedule;
use crate::spec::{Clock, Evaluate, Panel, Run, Scale, Spacing, Spec};
use crate::train::Progress;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "janus/appE",
    paper: PAPER,
    about: "step sizes n^-p on a noisy contraction: which p removes the start and the noise",
    declare,
    expect,
    simulate: Some(simulate),
    check: super::check,
    draw,
};

const POWERS: [f64; 4] = [0.0, 0.5, 1.0, 2.0];
const START: f64 = 10.0;
const WALKS: usize = 100;

fn name(power: f64) -> String {
    format!("p={power}")
}

fn power(run: &Run) -> f64 {
    run.name.strip_prefix("p=").and_then(|power| power.parse().ok()).unwrap_or(f64::NAN)
}

fn declare(scale: Scale) -> Spec {
    let steps = match scale {
        Scale::Smoke => 2_000,
        Scale::Laptop => 20_000,
        Scale::Paper => 200_000,
    };
    let run = |power: f64| {
        Run::new(&name(power), &format!("γ_n = n^-{power}/2"), steps + 1, Schedule::Constant { peak: 0.5 }, Optimiser::sgd())
    };
    let net = Architecture::mlp(&[1, 1], Bias::None, Activation::Identity);
    let mut spec =
        simulated(&FIGURE, "Step sizes that decrease, Appendix E", scale, Data::Own { n: 0, d: 1 }, net, &["rms", "mean"]);
    spec.runs = POWERS.map(run).to_vec();
    spec.evaluate = Evaluate { first: 1, grid: 81, spacing: Spacing::Logarithmic, after: false };
    spec.clock = Clock::Logarithmic;
    spec.panels = vec![Panel::new("rms", "root mean square of x_n", true)];
    spec
}

fn simulate(spec: &Spec, run: &Run, seed: u64, progress: &dyn Progress) -> Result<Simulated> {
    let stream = &mut sequential(seed, Stream::Noise);
    let (power, peak) = (power(run), run.schedule.at(0, run.steps));
    Simulated::along(
        spec,
        run,
        progress,
        vec![START; WALKS],
        |walks, n| {
            let gamma = peak * ((n + 1) as f64).powf(-power);
            walks.iter_mut().for_each(|x| {
                let noise: f64 = StandardNormal.sample(stream);
                *x -= gamma * (*x + noise);
            });
        },
        |walks| {
            let mean = |of: fn(f64) -> f64| walks.iter().map(|&x| of(x)).sum::<f64>() / WALKS as f64;
            Ok(vec![mean(|x| x * x).sqrt(), mean(|x| x)])
        },
        Clone::clone,
    )
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let end = |p: f64, what: &str, question: &dyn Fn(f64) -> bool| {
        each(results, &format!("{}: {what}", name(p)), &name(p), |run, replica| {
            let rms = run.last(replica, "rms")?;
            Some((question(rms), rms))
        })
    };
    // Power of n in the root mean square over the last two thirds of the logarithm of time.
    let falls = |p: f64, wanted: f64| -> Evidence {
        each(results, &format!("{}: rms falls as n^-{wanted}, power within 0.1", name(p)), &name(p), |run, replica| {
            let from = (run.steps as f64).powf(0.5) as u64;
            let points = run.within(replica, "rms", from..).into_iter().map(|(n, rms)| ((n as f64).ln(), rms.ln()));
            let (slope, _) = line(&points.collect::<Vec<_>>())?;
            Some(((slope + wanted).abs() <= 0.1, slope))
        })
    };
    // Π(1 - γ_n/...) of what is left of the start, to which the noise of the first steps adds.
    let stalls = end(2.0, "rms above 0.2 of the start at the end", &|rms| rms > 0.2 * START);
    Ok(vec![
        Claim::all(
            "diverging-sum",
            "Σγ_n = ∞ is needed to forget the start: with p = 2 the process stalls",
            "Appendix E",
            vec![stalls],
        ),
        Claim::all(
            "to-zero",
            "γ_n -> 0 is needed to remove the noise: with p = 0 it stays",
            "Appendix E",
            vec![end(0.0, "rms above 0.3 at the end", &|rms| rms > 0.3)],
        ),
        Claim::all(
            "squares",
            "Σγ_n² must be 0",
            "Appendix E as printed; no step sizes but 0 have this",
            vec![end(1.0, "with Σγ_n² > 0 the noise stays: rms above 0.3", &|rms| rms > 0.3)],
        ),
        Claim::all(
            "squares-right",
            "Σγ_n² < ∞ with Σγ_n = ∞ suffices: p = 1",
            "ours",
            vec![end(1.0, "rms below 0.3 at the end", &|rms| rms < 0.3)],
        ),
        Claim::all(
            "squares-not-needed",
            "in mean square γ_n -> 0 is enough: with p = 1/2, Σγ_n² = ∞, the root mean square falls as n^-1/4",
            "ours",
            vec![falls(0.5, 0.25)],
        ),
    ])
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let curves = |metric: &str| -> Vec<Curve> {
        let runs = results.runs.iter().zip(&spec.runs).enumerate();
        runs.map(|(colour, (run, declared))| course(run, metric, &declared.label, colour)).collect()
    };
    let mut rms = curves("rms");
    let end = spec.runs.first().map_or(1.0, |run| run.steps as f64);
    let law = |label: &str, power: f64| {
        let points = vec![(100.0, 0.5 * 100f64.powf(-power)), (end, 0.5 * end.powf(-power))];
        Curve { style: Style::Dashed, ..super::curve(label, 7, points) }
    };
    rms.extend([law("n^-1/4", 0.25), law("n^-1/2", 0.5)]);
    let panels = vec![
        super::panel("Root mean square of x_n", Axis::log("n"), Axis::log(""), rms),
        super::panel("Mean of x_n: what is left of the start", Axis::log("n"), Axis::linear(""), curves("mean")),
    ];
    let footnote = format!(
        "{WALKS} walks from {START} per seed, ε ~ N(0, 1); medians over {} seeds, bands: 10th to 90th percentile.",
        spec.seeds.own.len()
    );
    Ok(plot::Figure { title: spec.title.clone(), columns: 2, panels, footnote: Some(footnote) })
}

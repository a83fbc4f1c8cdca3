//! Figures of ‖W_1[:, 5:]‖_F over iterations, by batch size and step size, beside the controls that show what drives it.

use super::{ARMS, NORM, arm, base, clipped, left, selection, sgd, shortened, synthetic};
use crate::claims::{Claim, Evidence, each, finite};
use crate::data::Target;
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Activation;
use crate::optim::Optimiser;
use crate::report::picture;
use crate::report::plot::{self, Axis};
use crate::run::{Replica, Results, RunResults, line};
use crate::schedule::Schedule;
use crate::spec::{Metric, Panel, Run, Scale, Seeds, Spec};

/// The runs of [`ARMS`] at every step size, then the controls. A run's name begins with its step size.
pub(super) fn declare(figure: &Figure, title: &str, scale: Scale, target: Target, rates: &[f64]) -> Spec {
    let controls = controls(target, scale);
    let named: Vec<String> = controls.iter().map(|run| run.name.clone()).collect();
    let arms = rates.iter().flat_map(|&eta| {
        ARMS.map(|name| {
            let mut run = arm(&format!("{eta}-"), name, eta, scale);
            // Equal times ηt are enough to see the floor of larger steps; the whole protocol is for paper scale.
            if scale != Scale::Paper && name.starts_with("sgd") {
                run.steps = (run.steps as f64 * rates[0] / eta) as u64;
            }
            run
        })
    });
    let of_rate =
        |&eta: &f64| Panel::new(NORM, &format!("As in the paper's code (clipped), η = {eta}"), false).only(&format!("{eta}-"));
    let spec = base(figure, title, scale, target, Activation::Identity);
    // Four seeds are the fewest that decide.
    let own = if rates.len() > 1 && scale != Scale::Paper { (0..4).collect() } else { spec.seeds.own.clone() };
    Spec {
        metrics: [spec.metrics.clone(), vec![Metric::sparse("sharpness", 1000).only(&format!("{}-gd", rates[0]))]].concat(),
        panels: rates.iter().map(of_rate).chain([Panel { only: named, ..Panel::new(NORM, "Controls", false) }]).collect(),
        runs: arms.chain(controls).collect(),
        seeds: Seeds { own, ..spec.seeds.clone() },
        ..spec
    }
}

/// What the paper's setting has besides the noise of SGD, taken away one by one: clipping, a step size beyond the stable ones;
/// and labels with a noise that matters.
pub(super) fn controls(target: Target, scale: Scale) -> Vec<Run> {
    let run = |name: &str, label: &str, steps: u64, peak: f64, optimiser: Optimiser| {
        Run::new(name, &format!("control: {label}"), shortened(scale, steps), Schedule::Constant { peak }, optimiser)
    };
    let noisy = "batch 32, unclipped, η = 0.01, label noise 1";
    let mut runs = vec![
        run("gd-unclipped", "GD, unclipped, η = 0.1", 20_000, 0.1, Optimiser::gd()),
        run("sgd-32-unclipped", "batch 32, unclipped, η = 0.1", 200_000, 0.1, sgd(32)),
        run("sgd-1-unclipped", "batch 1, unclipped, η = 0.1", 200_000, 0.1, sgd(1)),
        run("gd-stable", "GD, unclipped, η = 0.01", 20_000, 0.01, Optimiser::gd()),
        run("sgd-32-stable", "batch 32, unclipped, η = 0.01", 200_000, 0.01, sgd(32)),
        run("sgd-1-stable", "batch 1, unclipped, η = 0.01", 200_000, 0.01, sgd(1)),
        run("sgd-1-small", "batch 1, clipped, η = 0.01", 200_000, 0.01, clipped(sgd(1))),
    ];
    if target == Target::Linear {
        runs.push(Run { data: Some(synthetic(scale, target, 1.0)), ..run("sgd-32-noise", noisy, 200_000, 0.01, sgd(32)) });
    }
    runs
}

/// Norms as shares of those at the start, which differ between seeds.
pub(super) fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let mut shares = results.clone();
    for run in &mut shares.runs {
        let (count, Some(column)) = (run.metrics.len(), run.metrics.iter().position(|metric| metric == NORM)) else { continue };
        for replica in &mut run.replicas {
            let first = replica.values.get(column).copied().unwrap_or(f64::NAN);
            replica.values.iter_mut().skip(column).step_by(count).for_each(|value| *value /= first);
        }
    }
    let mut figure = picture(spec, &shares);
    for panel in &mut figure.panels {
        panel.y = Axis { range: Some((0.0, 1.05)), ..Axis::linear("‖W₁[:, 5:]‖_F over its start") };
    }
    Ok(figure)
}

/// The claims of such a figure.
pub(super) fn expect(spec: &Spec, results: &Results, rates: &[f64], source: &str) -> Vec<Claim> {
    let prefixes: Vec<String> = rates.iter().map(|eta| format!("{eta}-")).collect();
    let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    let mut claims = selection(results, &prefixes, source);
    let gd = format!("{}gd", prefixes[0]);
    let stable = |name: &str, share: f64| {
        each(results, &format!("{name}: {share} or less of what gd-stable leaves"), name, |run, replica| {
            let other = results.run("gd-stable")?;
            let ratio = left(run, replica)? / left(other, other.survivor(replica.seed)?)?;
            Some((ratio <= share, ratio))
        })
    };
    claims.push(Claim::all(
        "rate",
        "the speed is proportional to η/b",
        source,
        vec![batch_exponent(results, prefixes[0]), rate_exponent(spec, results, &prefixes)].into_iter().flatten().collect(),
    ));
    claims.push(Claim::all(
        "gd-converges",
        "gradient descent stops because it has converged, below the edge of stability 2/λ_max",
        "section 4.1; η_max of Appendix G",
        vec![each(results, &format!("{gd}: sharpness at the end below 2/η"), &gd, |run, replica| {
            let sharpness = run.last(replica, "sharpness")?;
            Some((sharpness < 2.0 / rates[0], sharpness))
        })],
    ));
    claims.push(Claim::all(
        "control-unclipped",
        "the setting of the text, without the clipping of the code, trains",
        "control",
        ["gd-unclipped", "sgd-32-unclipped", "sgd-1-unclipped"].map(|run| finite(results, run)).to_vec(),
    ));
    claims.push(Claim::all(
        "control-stable",
        "without clipping, at a stable step size, SGD removes what gradient descent does not: a tenth or more of it",
        "control",
        vec![stable("sgd-32-stable", 0.9)],
    ));
    claims.push(Claim::all(
        "control-small-step",
        "with clipping, at the small step size, single samples do: a tenth or more of it",
        "control",
        vec![stable("sgd-1-small", 0.9)],
    ));
    if results.run("sgd-32-noise").is_some() {
        claims.push(Claim::all(
            "control-label-noise",
            "so does SGD on labels with noise of standard deviation 1 instead of 0.001",
            "control",
            vec![stable("sgd-32-noise", 0.9)],
        ));
    }
    claims
}

/// ln(what is left at a tenth of the run / at its end) per iteration.
fn speed(run: &RunResults, replica: &Replica) -> Option<f64> {
    let tenth = run.within(replica, NORM, run.steps / 10..).first()?.1;
    Some((tenth / run.last(replica, NORM)?).ln() / (0.9 * run.steps as f64))
}

/// The slope of ln speed over ln b for the batches that end above the floor.
fn batch_exponent(results: &Results, prefix: &str) -> Vec<Evidence> {
    let sizes = [512, 128, 32];
    let what = format!("{prefix}sgd-512, 128, 32: exponent of b in the speed within 0.25 of -1");
    vec![each(results, &what, &format!("{prefix}sgd-512"), |_, replica| {
        let points = sizes.map(|size| {
            let run = results.run(&format!("{prefix}sgd-{size}"))?;
            Some((f64::from(size).ln(), speed(run, run.survivor(replica.seed)?)?.ln()))
        });
        let (slope, _) = line(&points.into_iter().collect::<Option<Vec<_>>>()?)?;
        Some(((slope + 1.0).abs() <= 0.25, slope))
    })]
}

/// ln of the ratio of speeds of the two smallest step sizes over ln of their ratio, at the same batch.
fn rate_exponent(spec: &Spec, results: &Results, prefixes: &[&str]) -> Vec<Evidence> {
    let [first, second, ..] = prefixes else { return Vec::new() };
    let names = [first, second].map(|prefix| format!("{prefix}sgd-512"));
    let eta = |name: &str| spec.runs.iter().find(|run| run.name == name).map(|run| run.schedule.at(0, run.steps));
    let what = format!("{} and {}: exponent of η in the speed within 0.25 of 1", names[0], names[1]);
    vec![each(results, &what, &names[0], |slow, replica| {
        let fast = results.run(&names[1])?;
        let ratio = speed(fast, fast.survivor(replica.seed)?)? / speed(slow, replica)?;
        let exponent = ratio.ln() / (eta(&names[1])? / eta(&names[0])?).ln();
        Some(((exponent - 1.0).abs() <= 0.25, exponent))
    })]
}

//! Claim 4 and equation 7: SGD on a plateau against gradient descent with Gaussian label noise, and against the effective SDE
//! dθ = -∇L dt + √(2ηδ/n) φᵀdB by Euler-Maruyama with dt = η/10; the noise √(ηδ) that the paper prints beside them.
//!
//! Every one of these arms is gradient descent with Gaussian label noise. A step of size h with labels y + ξ moves θ by
//! -h∇L + (h/n) φᵀξ: noise c·φᵀdB over dt = h is a variance of c²n²/h per label.

use super::{PAPER, RANK, SPARSITY, base, rank_panel};
use crate::claims::{Claim, Evidence, each, within_band};
use crate::error::Result;
use crate::experiments::Figure;
use crate::optim::{LabelNoise, Optimiser};
use crate::run::{Replica, Results, RunResults, line, quantile};
use crate::schedule::Schedule;
use crate::spec::{Clock, Evaluate, Metric, Panel, Run, Scale, Seeds, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/sde",
    paper: PAPER,
    about: "SGD on a plateau, GD with label noise and the effective SDE at equal loss level; shrinkage off the support",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw: Figure::PANELS,
};

const SHRINKAGE: &str = "log_off_support";
/// SGD's step size on Figure 2's plateau.
const ETA: f64 = 0.282;
/// Samples of Figure 2's data.
const N: f64 = 80.0;
/// The median of SGD's loss on the plateau, and its mean over time, which is larger: the loss has spikes.
const MEDIAN_LEVEL: f64 = 0.04;
const MEAN_LEVEL: f64 = 0.058;
/// Four levels of δ for the scaling, close to each other: it takes a time of order 1/δ to forget the start.
const LEVELS: [(&str, f64); 4] =
    [("delta-0.04", MEDIAN_LEVEL), ("delta-0.028", 0.028), ("delta-0.02", 0.02), ("delta-0.014", 0.014)];
const AT_MEAN: &str = "delta-0.058";
/// Euler-Maruyama steps per step of SGD.
const FINER: f64 = 10.0;

fn declare(scale: Scale) -> Spec {
    let (steps, seeds, grid) = match scale {
        Scale::Smoke => (601, 2, 41),
        Scale::Laptop => (6_001, 20, 101),
        Scale::Paper => (30_001, 40, 201),
    };
    let gd = |name: &str, label: &str, steps: u64, peak: f64, variance: f64| {
        let optimiser = Optimiser { label_noise: LabelNoise::Gaussian { variance }, ..Optimiser::gd() };
        Run::new(name, label, steps, Schedule::Constant { peak }, optimiser)
    };
    // Claim 4: 2(n-1)δ per label.
    let noisy = |name: &str, delta: f64, steps: u64| {
        gd(name, &format!("GD + label noise, δ = {delta}"), steps, ETA, 2.0 * (N - 1.0) * delta)
    };
    // As long as its noise is weak.
    let longer = |(name, delta): (&str, f64)| noisy(name, delta, (steps as f64 * MEDIAN_LEVEL / delta) as u64);
    let (finer, dt) = (FINER as u64, ETA / FINER);
    let euler = |name: &str, label: &str, steps, coefficient: f64| gd(name, label, steps, dt, coefficient * N * N / dt);
    let mut runs = vec![Run::new("sgd", "SGD, η = 0.282", steps, Schedule::Constant { peak: ETA }, Optimiser::sgd())];
    runs.push(noisy(AT_MEAN, MEAN_LEVEL, steps));
    runs.extend(LEVELS.map(longer));
    runs.push(euler("sde", "SDE with √(2ηδ/n), δ = 0.058", steps * finer, 2.0 * ETA * MEAN_LEVEL / N));
    // It collapses at once: an eighth of the time shows it.
    runs.push(euler("sde-printed", "SDE with √(ηδ) as printed", (steps * finer).div_ceil(8), ETA * MEAN_LEVEL));
    Spec {
        seeds: Seeds { paper: false, own: (0..seeds).collect(), own_data: false },
        runs,
        evaluate: Evaluate::even(0, grid),
        metrics: vec![
            Metric::always("train_loss"),
            Metric::sparse(RANK, 20),
            Metric::always(SPARSITY),
            Metric::always(SHRINKAGE),
            Metric::always("support_error"),
            Metric::always("noise_ratio"),
        ],
        panels: vec![
            Panel::new("train_loss", "Training loss", true),
            rank_panel(),
            Panel::new(SHRINKAGE, "mean ln|u_j v_j| off the support", false),
            Panel::new("support_error", "RMS error on the support", true),
        ],
        clock: Clock::Time,
        ..base(&FIGURE, "SGD, label noise and the effective SDE at equal loss level, Claim 4 and equation 7", scale)
    }
}

/// The second half of a run.
fn late(run: &RunResults, replica: &Replica, metric: &str) -> Vec<f64> {
    run.within(replica, metric, run.steps / 2..).into_iter().map(|(_, value)| value).collect()
}

/// Slope and R² of ln|u_j v_j| off the support against t, from an iteration on.
fn shrinkage(run: &RunResults, replica: &Replica, from: u64) -> Option<(f64, f64)> {
    let points = run.within(replica, SHRINKAGE, from..);
    line(&points.into_iter().map(|(step, value)| (step as f64, value)).collect::<Vec<_>>())
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Whether a median over the second half of a run lies in a range.
fn median_within(results: &Results, what: &str, run: &str, metric: &str, range: [f64; 2]) -> Evidence {
    each(results, what, run, |run, replica| {
        let median = quantile(&late(run, replica, metric), 0.5)?;
        Some((range[0] <= median && median <= range[1], median))
    })
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let same = |run: &str, reference: &str| -> Vec<Evidence> {
        [RANK, SPARSITY, SHRINKAGE].map(|metric| within_band(results, metric, run, reference)).to_vec()
    };
    let ratio = |what: &str, centre: f64| median_within(results, what, "sgd", "noise_ratio", [centre / 1.2, centre * 1.2]);
    let straight = |run: &str| {
        each(
            results,
            &format!("{SHRINKAGE} of {run} against t after its first tenth: R² >= 0.95, falling"),
            run,
            |run, replica| {
                let (slope, determination) = shrinkage(run, replica, run.steps / 10)?;
                Some((slope < 0.0 && determination >= 0.95, determination))
            },
        )
    };
    let exponent = each(results, "exponent of the RMS error in δ between 0.4 and 0.6", LEVELS[0].0, |_, replica| {
        let point = |(name, delta): (&str, f64)| {
            let run = results.run(name)?;
            let errors = late(run, run.survivor(replica.seed)?, "support_error");
            Some((delta.ln(), mean(&errors.iter().map(|error| error * error).collect::<Vec<_>>())?.sqrt().ln()))
        };
        let (slope, _) = line(&LEVELS.into_iter().map(point).collect::<Option<Vec<_>>>()?)?;
        Some(((0.4..=0.6).contains(&slope), slope))
    });
    // How fast the predictor shrinks off the support, per unit of the loss that drives it.
    let rate = |run: &RunResults, replica: &Replica| {
        let (slope, _) = shrinkage(run, replica, run.steps / 2)?;
        Some(-slope / mean(&late(run, replica, "train_loss"))?)
    };
    let rates: Vec<f64> =
        results.run(AT_MEAN).into_iter().flat_map(|run| run.own().filter_map(move |one| rate(run, one))).collect();
    let typical = quantile(&rates, 0.5).unwrap_or(f64::NAN);
    let what = format!("shrinkage per step and unit of mean loss of sgd within 25% of the {typical:.3e} of {AT_MEAN}");
    let same_rate = each(results, &what, "sgd", |run, replica| {
        let rate = rate(run, replica)?;
        Some((rate > 0.0 && (rate / typical - 1.0).abs() <= 0.25, rate))
    });
    let at_level = |name: &str| {
        each(results, &format!("time mean of the loss of {name} within 25% of δ = 0.058"), name, |run, replica| {
            let level = mean(&late(run, replica, "train_loss"))?;
            Some(((level / MEAN_LEVEL - 1.0).abs() <= 0.25, level))
        })
    };
    let linear: Vec<Evidence> = ["sgd"].into_iter().chain(LEVELS.map(|(name, _)| name)).map(straight).collect();
    Ok(vec![
        Claim::all(
            "noise-printed",
            "the covariance of SGD's noise has the trace of δ φᵀφ",
            "equation 7 as printed",
            vec![ratio("tr Cov(gradient)/(δ‖φ‖²) of sgd within 20% of 1", 1.0)],
        ),
        Claim::all(
            "noise",
            "the covariance of SGD's noise has the trace of (2/n) δ φᵀφ",
            "ours, of Lemma 2",
            vec![ratio("tr Cov(gradient)/(δ‖φ‖²) of sgd within 20% of 2/n", 2.0 / spec.data.load()?.n() as f64)],
        ),
        Claim::all(
            "sde-printed",
            "the SDE with noise √(ηδ) stays at the level δ",
            "equation 7 as printed",
            vec![at_level("sde-printed")],
        ),
        Claim::all(
            "sde",
            "the SDE with noise √(2ηδ/n) stays at the level δ, and learns the features of SGD",
            "equation 7, corrected",
            [vec![at_level("sde")], same("sde", "sgd")].concat(),
        ),
        Claim::all(
            "level",
            "the median of SGD's loss on the plateau is 0.04, its mean over time 0.058",
            "ours: δ of Claim 4, read off the curve or by Lemma 2",
            vec![
                median_within(results, "median loss of sgd within 25% of 0.04", "sgd", "train_loss", [0.03, 0.05]),
                at_level("sgd"),
            ],
        ),
        Claim::all(
            "claim-4",
            "SGD is well modelled by GD with constant label noise: δ the time mean of SGD's loss",
            "Claim 4",
            [vec![same_rate], same(AT_MEAN, "sgd")].concat(),
        ),
        Claim::all(
            "claim-4-median",
            "SGD is well modelled by GD with constant label noise: δ the median of SGD's loss",
            "Claim 4",
            same(LEVELS[0].0, "sgd"),
        ),
        Claim::all("off-support", "off the support of β* the predictor goes to zero exponentially fast", "section 2.3.1", linear),
        Claim::all(
            "on-support",
            "on the support of β* the error of GD with label noise goes like √δ",
            "section 2.3.1",
            vec![exponent],
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_of_every_arm_by_hand() {
        let spec = declare(Scale::Paper);
        // 2·79·0.058; 2·0.058·80·10, since dt = η/10; 0.058·80²·10.
        for (name, peak, want) in [("delta-0.058", 0.282, 9.164), ("sde", 0.0282, 92.8), ("sde-printed", 0.0282, 3712.0)] {
            let run = spec.runs.iter().find(|run| run.name == name).unwrap();
            let LabelNoise::Gaussian { variance } = run.optimiser.label_noise else { panic!("{name} has no label noise") };
            assert!((variance / want - 1.0).abs() <= 1e-12, "{name}: {variance}");
            assert!((run.schedule.at(0, run.steps) / peak - 1.0).abs() <= 1e-12, "{name}");
        }
    }
}

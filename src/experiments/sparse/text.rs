//! What sections 2.2, 2.3.2, 3.1 and 4 say in words, on Figure 2's data: bouncing at the edge of stability, columns of φ that
//! shrink one by one, saddles after the decay, and batches as smaller step sizes.

use super::{PAPER, base, least_squares};
use crate::claims::{Claim, Direction, Evidence, each, paired_by, within_band};
use crate::error::Result;
use crate::experiments::Figure;
use crate::optim::{Batch, Optimiser, Sampling};
use crate::run::{Replica, Results, RunResults};
use crate::schedule::{Decay, Schedule, Timing};
use crate::spec::{Clock, Evaluate, Metric, Panel, Run, Scale, Seeds, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/text",
    paper: PAPER,
    about: "claims of the text on Figure 2's data: edge of stability, shrinking columns, saddles after the decay, batches",
    declare,
    expect,
    check: Figure::ANY,
    draw: Figure::PANELS,
};

const COLUMNS: &str = "small_columns@1e-4";
const RANK: &str = "ntk_rank@1e-15";
const SPARSITY: &str = "l0@1e-50";
/// Figure 2's three lengths of the plateau.
const PLATEAUS: [(&str, f64, f64); 3] = [("large-10%", 0.1, 4.8), ("large-30%", 0.3, 3.4), ("large-50%", 0.5, 1.5)];
const LONGEST: &str = PLATEAUS[2].0;
const BATCHES: [usize; 3] = [2, 4, 8];

fn declare(scale: Scale) -> Spec {
    let (steps, seeds, grid, sparse) = match scale {
        Scale::Smoke => (2_001, 2, 41, 10),
        Scale::Laptop => (31_623, 20, 201, 5),
        Scale::Paper => (100_001, 20, 401, 5),
    };
    let schedule =
        |peak: f64, at: f64, divide: f64| Schedule::Piecewise { peak, decays: vec![Decay { at, divide }], timing: Timing::Next };
    let plateau = |(name, at, divide): (&str, f64, f64)| {
        Run::new(name, &format!("B = 1, decay at {}%", 100.0 * at), steps, schedule(0.282, at, divide), Optimiser::sgd())
    };
    let batch = |size: usize| {
        let optimiser = Optimiser { batch: Batch::Random { size, sampling: Sampling::Replacement }, ..Optimiser::sgd() };
        let (_, at, divide) = PLATEAUS[2];
        let peak = 0.282 * size as f64;
        Run::new(&name(size), &format!("B = {size}, decay at 50%"), steps / size as u64, schedule(peak, at, divide), optimiser)
    };
    Spec {
        seeds: Seeds { paper: false, own: (0..seeds).collect(), own_data: false },
        runs: PLATEAUS.map(plateau).into_iter().chain(BATCHES.map(batch)).collect(),
        evaluate: Evaluate::even(0, grid),
        metrics: vec![
            Metric::always("train_loss"),
            Metric::always("test_loss"),
            Metric::always(COLUMNS),
            Metric::always("feature_norm"),
            Metric::always(SPARSITY),
            Metric::always("l0@1e-3"),
            Metric::sparse(RANK, 50),
            Metric::sparse("hessian_min", sparse).only(LONGEST),
            Metric::sparse("hessian_max", sparse).only(LONGEST),
        ],
        panels: vec![
            Panel::new("train_loss", "Training loss", true),
            Panel::new(COLUMNS, "columns of φ below 10⁻³ of their start", false),
            Panel::new("feature_norm", "‖φ‖_F", false),
            Panel::new("hessian_min", "λ_min of the Hessian", false),
        ],
        clock: Clock::Time,
        ..base(&FIGURE, "Diagonal linear networks: what the text says", scale)
    }
}

fn name(batch: usize) -> String {
    format!("batch-{batch}")
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    Ok(vec![edge(spec)?, shrinking(results), norm(results), saddles(results), batches(results)])
}

/// Section 2.2, on data drawn anew for every seed.
fn edge(spec: &Spec) -> Result<Claim> {
    const STEPS: usize = 50;
    let mut evidence = Vec::new();
    for (fraction, says) in [(0.99, "above -1: converges"), (1.0, "-1: two-periodic"), (1.01, "below -1: diverges")] {
        let mut answers = Vec::new();
        let mut worst: f64 = 0.0;
        for &seed in &spec.seeds.own {
            let data = spec.data.redrawn(seed)?.load()?;
            let (factor, spread) = least_squares::error_factor(&data, fraction, STEPS)?;
            worst = worst.max((factor - (1.0 - 2.0 * fraction)).abs()).max(spread);
            answers.push((factor - (1.0 - 2.0 * fraction)).abs() <= 1e-10 && spread <= 1e-10);
        }
        let what = format!(
            "factor of the error along the top eigenvector at η = {fraction}·2/λ_max is {:.2}, {says}",
            1.0 - 2.0 * fraction
        );
        evidence.push(Evidence::count(what, &answers, 0, format!("off by at most {worst:.1e} over {STEPS} steps")).every());
    }
    Ok(Claim::all(
        "edge",
        "gradient descent on least squares converges, is two-periodic or diverges at 2/λ_max",
        "section 2.2",
        evidence,
    ))
}

/// Columns shrink one after the other as the plateau lasts.
fn shrinking(results: &Results) -> Claim {
    let at_decay =
        |run: &RunResults, replica: &Replica| run.level(replica, COLUMNS, run.first_decay? - run.steps / 20..=run.first_decay?);
    let evidence = PLATEAUS
        .windows(2)
        .map(|pair| paired_by(results, "small columns at the decay", pair[1].0, Direction::Above, pair[0].0, at_decay));
    Claim::all(
        "columns",
        "the longer the plateau, the more columns of φ are below 1e-3 of their start",
        "section 2.3.2",
        evidence.collect(),
    )
}

/// ... while the Frobenius norm stays.
fn norm(results: &Results) -> Claim {
    let evidence = each(
        results,
        "‖φ‖_F of large-50% on the plateau, largest over smallest after its first tenth, below 2",
        LONGEST,
        |run, replica| {
            let decay = run.first_decay?;
            let within = run.series(replica, "feature_norm").into_iter().filter(|(step, _)| (decay / 10..=decay).contains(step));
            let (low, high) = within.fold((f64::INFINITY, 0.0_f64), |(low, high), (_, norm)| (low.min(norm), high.max(norm)));
            Some((high / low <= 2.0, high / low))
        },
    );
    Claim::all("norm", "while ‖φ‖_F stays within a factor 2", "section 2.3.2", vec![evidence])
}

/// Section 3.1: saddles after the decay.
fn saddles(results: &Results) -> Claim {
    Claim::all(
        "saddles",
        "after the decay SGD passes saddles",
        "section 3.1",
        vec![each(results, "λ_min < 0", LONGEST, |run, replica| {
            let decay = run.first_decay?;
            let value = run.level(replica, "hessian_min", decay..=run.steps)?;
            Some((value < 0.0, value))
        })],
    )
}

/// Section 4: a batch of B is a step size of η/B.
fn batches(results: &Results) -> Claim {
    let evidence = BATCHES
        .iter()
        .flat_map(|&size| [RANK, SPARSITY, "test_loss"].map(|metric| within_band(results, metric, &name(size), LONGEST)));
    Claim::all("batch", "batch size B with step size η does what B = 1 does with η/B", "section 4", evidence.collect())
}

//! What sections 2.2, 2.3.2, 3.1 and 4 say in words, on Figure 2's data: bouncing at the edge of stability, columns of φ that
//! shrink one by one, saddles after the decay, and batches as smaller step sizes.

use super::{PAPER, base, least_squares};
use crate::claims::{Claim, Direction, Evidence, each, paired_by, within_band};
use crate::data::Data;
use crate::error::Result;
use crate::experiments::Figure;
use crate::optim::Optimiser;
use crate::run::{Replica, Results, RunResults, nan_max, nan_min};
use crate::schedule::Schedule;
use crate::spec::{Clock, Evaluate, Metric, Panel, Run, Scale, Seeds, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/text",
    paper: PAPER,
    about: "claims of the text on Figure 2's data: edge of stability, shrinking columns, saddles after the decay, batches",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw: Figure::PANELS,
};

const COLUMNS: &str = "small_columns@1e-4";
/// Figure 2's three lengths of the plateau.
const PLATEAUS: [(&str, f64, f64); 3] = [("large-10%", 0.1, 4.8), ("large-30%", 0.3, 3.4), ("large-50%", 0.5, 1.5)];
const LONGEST: &str = PLATEAUS[2].0;
/// Batches with step sizes that keep η/B: on the plateau, and well below it.
const ETA: f64 = 0.282;
const SMALL_ETA: f64 = 0.15;
const BATCHES: [usize; 2] = [2, 8];

fn declare(scale: Scale) -> Spec {
    let (steps, seeds, grid, sparse) = match scale {
        Scale::Smoke => (2_001, 2, 41, 10),
        Scale::Laptop => (31_623, 20, 401, 10),
        Scale::Paper => (100_001, 80, 401, 10),
    };
    let plateau = |(name, at, divide): (&str, f64, f64)| {
        let schedule = Schedule::decayed(ETA, at, divide);
        Run::new(name, &format!("B = 1, decay at {}%", 100.0 * at), steps, schedule, Optimiser::sgd())
    };
    let batch = |name: &str, size: usize, eta: f64| {
        let optimiser = Optimiser::minibatch_sgd(size);
        let (peak, label) = (eta * size as f64, format!("B = {size}, η/B = {eta}"));
        Run::new(&format!("{name}-{size}"), &label, steps / size as u64, Schedule::Constant { peak }, optimiser)
    };
    let small = [1].into_iter().chain(BATCHES).map(|size| batch("small", size, SMALL_ETA));
    let large = BATCHES.map(|size| batch("batch", size, ETA));
    Spec {
        seeds: Seeds { paper: false, own: (0..seeds).collect(), own_data: false },
        runs: PLATEAUS.map(plateau).into_iter().chain(large).chain(small).collect(),
        evaluate: Evaluate::even(0, grid),
        metrics: vec![
            Metric::always("train_loss"),
            Metric::always("test_loss"),
            Metric::always(COLUMNS).only("large"),
            Metric::always("feature_norm").only("large"),
            Metric::always("l0@1e-3"),
            Metric::sparse("hessian_min", sparse).only(LONGEST),
        ],
        panels: vec![
            Panel::new("train_loss", "Training loss, η/B = 0.282", true).only("large"),
            Panel::new("hessian_min", "λ_min of the Hessian, decay at 50%", false).only(LONGEST),
            Panel::new(COLUMNS, "columns of φ below 10⁻³ of their start", false).only("large"),
            Panel::new("feature_norm", "‖φ‖_F", false).only("large"),
            Panel::new("train_loss", "Training loss, η/B = 0.15", true).only("small"),
            Panel::new("test_loss", "Test loss, η/B = 0.15", true).only("small"),
        ],
        clock: Clock::Time,
        ..base(&FIGURE, "Diagonal linear networks: what the text says", scale)
    }
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let saddles = "after the decay SGD meets saddle points: plateaus with λ_min < 0 before the loss drops";
    Ok(vec![
        Claim::all(
            "edge",
            "gradient descent on least squares converges below η = 2/λ_max, is two-periodic there and diverges above",
            "section 2.2",
            edge(spec, &[(0.99, -0.98, "it converges"), (1.0, -1.0, "period two"), (1.01, -1.02, "it diverges")])?,
        ),
        Claim::all(
            "columns",
            "the longer the plateau, the more columns of φ fall below 1e-3 of their start",
            "section 2.3.2",
            columns(results),
        ),
        Claim::all("norm", "while columns of φ shrink, ‖φ‖_F stays within a factor 2", "section 2.3.2", vec![norm(results)]),
        Claim::all("saddles", saddles, "section 3.1", escapes(spec, results)),
        Claim::all("batch", "batch size B with step size η does what B = 1 does with η/B", "section 4", batches(results)),
    ])
}

/// Steps of gradient descent on least squares.
const EDGE_STEPS: usize = 50;

/// Gradient descent at η = fraction·2/λ_max, on data drawn anew for every seed: does a step multiply the error along the top
/// eigenvector by a factor? Each case is a fraction, that factor and what it means.
fn edge(spec: &Spec, cases: &[(f64, f64, &str)]) -> Result<Vec<Evidence>> {
    let fractions: Vec<f64> = cases.iter().map(|case| case.0).collect();
    // Arrays of a file are one data set, whatever the seed.
    let (is_file, seeds) = (matches!(spec.data, Data::Npz { .. }), &spec.seeds.own);
    let mut found = Vec::new();
    for &seed in if is_file { &seeds[..seeds.len().min(1)] } else { seeds } {
        let data = if is_file { spec.data.load()? } else { spec.data.redrawn(seed)?.load()? };
        found.push(least_squares::error_factors(&data, &fractions, EDGE_STEPS)?);
    }
    let evidence = cases.iter().enumerate().map(|(index, &(fraction, factor, so))| {
        let errors = found.iter().map(|factors| factors[index]).map(|(mean, spread)| nan_max((mean - factor).abs(), spread));
        let outcomes: Vec<bool> = errors.clone().map(|error| error <= 1e-10).collect();
        let worst = errors.fold(0.0, nan_max);
        let what = format!("data of each seed: top error at η = {fraction}·2/λ_max times {factor:.2} a step to 1e-10: {so}");
        Evidence::count(what, &outcomes, 0, format!("off by at most {worst:.1e} over {EDGE_STEPS} steps")).every()
    });
    Ok(evidence.collect())
}

/// The columns that have shrunk by the decay.
fn columns(results: &Results) -> Vec<Evidence> {
    let small = |run: &RunResults, replica: &Replica| {
        let decay = run.first_decay?;
        run.level(replica, COLUMNS, decay.saturating_sub(run.steps / 20)..=decay)
    };
    let compare = |longer, shorter| paired_by(results, "small columns at the decay", longer, Direction::Above, shorter, small);
    PLATEAUS.windows(2).map(|pair| compare(pair[1].0, pair[0].0)).collect()
}

fn norm(results: &Results) -> Evidence {
    let what = format!("‖φ‖_F of {LONGEST} on the plateau, its first tenth aside: largest over smallest at most 2");
    each(results, &what, LONGEST, |run, replica| {
        let decay = run.first_decay?;
        let within = run.within(replica, "feature_norm", decay / 10..=decay);
        let (low, high) =
            within.into_iter().fold((f64::INFINITY, 0.0), |(low, high), (_, norm)| (nan_min(low, norm), nan_max(high, norm)));
        Some((high / low <= 2.0, high / low))
    })
}

/// Median loss and λ_min of fortieths of the run after the decay, the first of which still falls from the plateau.
fn after_decay(run: &RunResults, replica: &Replica) -> Option<Vec<(f64, f64)>> {
    let block = run.steps / 40;
    let starts = (1..19).map(|k| run.first_decay.map(|decay| decay + k * block));
    starts
        .map(|start| {
            let within = start?..start? + block;
            Some((run.level(replica, "train_loss", within.clone())?, run.level(replica, "hessian_min", within)?))
        })
        .collect()
}

/// The last stretch in which the loss stays within a factor 1.5, to fall by more than that and twice as fast later on, to less
/// than a third. A steady decay has none.
fn last_plateau(blocks: &[(f64, f64)]) -> Option<usize> {
    let (end, factor) = (blocks.last()?.0, 1.5_f64.ln());
    let fall = |k: usize| (blocks[k - 1].0 / blocks[k].0).ln();
    let drops = |k: usize| (k + 1..blocks.len()).any(|later| fall(later) > nan_max(factor, 2.0 * fall(k).abs()));
    (1..blocks.len()).rev().find(|&k| blocks[k].0 > 3.0 * end && fall(k).abs() < factor && drops(k))
}

/// Asked of the stretches after the decay and the number of the last plateau among them.
type Question<'a> = dyn Fn(&RunResults, &[(f64, f64)], usize) -> (bool, f64) + 'a;

/// Whether plateaus precede drops, what their λ_min is and what becomes of it.
fn escapes(spec: &Spec, results: &Results) -> Vec<Evidence> {
    let ask = |what: &str, question: &Question| {
        each(results, &format!("{LONGEST}: {what}"), LONGEST, |run, replica| {
            let blocks = after_decay(run, replica)?;
            Some(last_plateau(&blocks).map_or((false, f64::NAN), |plateau| question(run, &blocks, plateau)))
        })
    };
    vec![
        ask(
            "a plateau (two fortieths of the run within a factor 1.5), then a faster drop to less than a third",
            &|_, blocks, k| (true, blocks[k].0),
        ),
        ask("λ_min < 0 on it, with an e-folding time shorter than a fortieth of the run", &|run, blocks, k| {
            let declared = spec.runs.iter().find(|declared| declared.name == run.name);
            let eta = declared.map_or(f64::NAN, |declared| declared.schedule.at(run.steps - 1, run.steps));
            (-blocks[k].1 * eta * (run.steps / 40) as f64 > 1.0, blocks[k].1)
        }),
        ask("|λ_min| at the end at most half of that", &|_, blocks, k| {
            let ratio = blocks[blocks.len() - 1].1 / blocks[k].1;
            (ratio <= 0.5, ratio)
        }),
    ]
}

/// Equal bands of the test loss at a small η/B; at the plateau's, whether larger batches survive where B = 1 does.
fn batches(results: &Results) -> Vec<Evidence> {
    let bands = BATCHES.map(|size| within_band(results, "test_loss", &format!("small-{size}"), "small-1"));
    let survives = BATCHES.map(|size| {
        let name = format!("batch-{size}");
        each(results, &format!("{name} finite where large-50% is"), LONGEST, |_, replica| {
            let run = results.run(&name)?;
            let finite = run.survivor(replica.seed).is_some();
            Some((finite, f64::from(u8::from(finite))))
        })
    });
    [bands, survives].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Verdict;
    use crate::optim::{Batch, Sampling};

    #[test]
    fn the_edge_can_be_missed() {
        let spec = declare(Scale::Laptop);
        assert_eq!(edge(&spec, &[(0.99, -0.98, "")]).unwrap()[0].verdict(), Verdict::Holds);
        assert_eq!(edge(&spec, &[(0.99, -0.981, "")]).unwrap()[0].verdict(), Verdict::Fails);
        assert_eq!(edge(&spec, &[(0.99, -0.979, "")]).unwrap()[0].verdict(), Verdict::Fails);
        assert_eq!(edge(&spec, &[(f64::NAN, -0.98, "")]).unwrap()[0].verdict(), Verdict::Fails);
    }

    #[test]
    fn a_plateau_is_flat_and_above_the_end() {
        let blocks = |losses: &[f64]| losses.iter().map(|&loss| (loss, -1.0)).collect::<Vec<_>>();
        assert_eq!(last_plateau(&blocks(&[9.0, 5.0, 4.9, 1.0, 1.0])), Some(2));
        assert_eq!(last_plateau(&blocks(&[16.0, 8.0, 4.0, 2.0, 1.0])), None);
        let steady: Vec<f64> = (0..18).map(|k| (-0.3 * f64::from(k)).exp()).collect();
        assert_eq!(last_plateau(&blocks(&steady)), None, "a steady decay");
        assert_eq!(last_plateau(&blocks(&[1.0, 1.0, 1.0])), None);
        assert_eq!(last_plateau(&[]), None);
    }

    #[test]
    fn batches_keep_the_samples_seen_and_the_step_size_per_sample() {
        let spec = declare(Scale::Paper);
        for (name, size, eta) in [("small-1", 1, 0.15), ("small-8", 8, 0.15), ("batch-2", 2, 0.282), ("batch-8", 8, 0.282)] {
            let run = spec.runs.iter().find(|run| run.name == name).unwrap();
            assert_eq!(run.optimiser.batch, Batch::Random { size, sampling: Sampling::Replacement });
            assert_eq!((run.steps, run.schedule.at(0, run.steps)), (100_001 / size as u64, eta * size as f64), "{name}");
        }
    }
}

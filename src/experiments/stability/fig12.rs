//! Figure 12: the rank of the penultimate features of ResNet-18 over the batch size, for several probabilities of dynamic label
//! noise. The paper does not state the step size: here 1, large enough for low rank. As many iterations at every batch size; at
//! laptop scale 600 and four seeds.

use super::resnet::{self, LOW, Noise, RANK, ends, features};
use super::{PAPER, curve, panel};
use crate::claims::{Claim, Direction, Evidence, each, paired};
use crate::error::{Result, refuse};
use crate::experiments::Figure;
use crate::optim::Batch;
use crate::report::plot::{self, Axis, Curve};
use crate::run::{Results, quantile};
use crate::spec::{Run, Scale, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "stability/fig12",
    paper: PAPER,
    about: "rank of the penultimate features of ResNet-18 over the batch size, for several levels of dynamic label noise",
    declare,
    expect,
    simulate: None,
    check,
    draw,
};

const STEP_SIZE: f64 = 1.0;

fn declare(scale: Scale) -> Spec {
    let (batches, probabilities): (&[usize], &[f64]) = match scale {
        Scale::Smoke => (&[8, 32], &[0.3, 0.9]),
        Scale::Laptop => (&[8, 16, 32, 64, 128], &[0.3, 0.6, 0.9]),
        Scale::Paper => (&[8, 16, 32, 64, 128, 256, 512], &[0.1, 0.3, 0.5, 0.7, 0.9]),
    };
    let of = |&probability: &f64| {
        batches.iter().map(move |&batch| {
            let (name, label) = (format!("noise={probability}-batch={batch}"), format!("noise {probability}, batch {batch}"));
            resnet::run(scale, &name, &label, (Noise::Dynamic, probability), batch, STEP_SIZE)
        })
    };
    let runs = probabilities.iter().flat_map(of).collect();
    let about = format!("rank of the penultimate features over the batch size, η = {STEP_SIZE}, Figure 12");
    let mut spec = resnet::base(&FIGURE, scale, &about, runs, &[RANK]);
    if scale == Scale::Laptop {
        spec.seeds.own = (0..4).collect();
        spec.runs.iter_mut().for_each(|run| run.steps = 600);
    }
    spec
}

fn batch(run: &Run) -> Option<usize> {
    match run.optimiser.batch {
        Batch::Random { size, .. } => Some(size),
        Batch::Full => None,
    }
}

fn check(spec: &Spec) -> Result<()> {
    if let Some(run) = spec.runs.iter().find(|run| batch(run).is_none()) {
        return refuse!("spec: runs.{}: optimiser.batch is full, which is no place on the axis; set a size", run.name);
    }
    resnet::check(spec, &[Noise::Dynamic], |run| (run.optimiser.class_noise, batch(run)))
}

/// The runs of one probability of noise, by batch size.
struct Level<'a> {
    probability: f64,
    runs: Vec<(usize, &'a str)>,
}

/// By probability.
fn levels(spec: &Spec) -> Vec<Level<'_>> {
    let place = |run: &'_ Run| Some((Noise::Dynamic.probability(run)?, batch(run)?));
    let mut probabilities: Vec<f64> = spec.runs.iter().filter_map(place).map(|(probability, _)| probability).collect();
    probabilities.sort_by(f64::total_cmp);
    probabilities.dedup();
    let of = |probability: f64| {
        let here = spec.runs.iter().filter_map(|run| {
            let (of_run, batch) = place(run)?;
            (of_run == probability).then_some((batch, run.name.as_str()))
        });
        let mut runs: Vec<(usize, &str)> = here.collect();
        runs.sort_unstable();
        Level { probability, runs }
    };
    probabilities.into_iter().map(of).collect()
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let (levels, low) = (levels(spec), LOW * features(spec));
    let rises = |level: &Level| match level.runs[..] {
        [(_, smallest), .., (_, largest)] => paired(results, RANK, largest, Direction::Above, smallest),
        _ => Evidence::count("one batch size only", &[], 0, ""),
    };
    let escapes = levels.last().map_or(Vec::new(), |level| match level.runs[..] {
        [(_, smallest), .., (_, largest)] => vec![
            each(results, &format!("{smallest}: rank below half of full"), smallest, |run, replica| {
                let rank = run.last(replica, RANK)?;
                Some((rank < low, rank))
            }),
            each(results, &format!("{largest}: rank at least half of full"), largest, |run, replica| {
                let rank = run.last(replica, RANK)?;
                Some((rank >= low, rank))
            }),
        ],
        _ => vec![Evidence::count("one batch size only", &[], 0, "")],
    });
    Ok(vec![
        Claim::all(
            "falls",
            "the rank of the learned representation decreases as the batch size of SGD decreases",
            "Figure 12, section B.4",
            levels.iter().map(rises).collect(),
        ),
        Claim::all(
            "escapes",
            "the model escapes from the saddle of low rank as one increases the batch size (at the strongest noise)",
            "Figure 12",
            escapes,
        ),
    ])
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let line = |(colour, level): (usize, &Level)| {
        let measured = level.runs.iter().filter_map(|&(batch, run)| Some((batch as f64, ends(results.run(run)?, RANK))));
        let measured: Vec<(f64, Vec<f64>)> = measured.collect();
        let at = |fraction: f64| {
            measured.iter().filter_map(move |(batch, ranks)| Some((*batch, quantile(ranks, fraction)?))).collect::<Vec<_>>()
        };
        let band = at(0.1).into_iter().zip(at(0.9)).map(|((batch, low), (_, high))| (batch, low, high)).collect();
        Curve { band: Some(band), ..curve(&format!("noise {}", level.probability), colour, at(0.5)) }
    };
    let curves = levels(spec).iter().enumerate().map(line).collect();
    let title = format!("Rank of the {} penultimate features", features(spec));
    let footnote = format!(
        "Lines: median over the finite seeds of {}; bands: 10th to 90th percentile. Rank at 1e-3 of the largest singular value on up to 1000 test images. The step size is assumed. Data: {}.",
        spec.seeds.own.len(),
        spec.data.name()
    );
    let panels = vec![panel(&title, Axis::log("batch size"), Axis::linear("rank"), curves)];
    Ok(plot::Figure { title: spec.title.clone(), columns: 1, panels, footnote: Some(footnote) })
}

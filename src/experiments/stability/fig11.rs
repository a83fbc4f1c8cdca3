//! Figure 11: rank of the penultimate features and test accuracy of ResNet-18 over static label noise and step size. The same grid
//! with dynamic noise, as in Figure 1c, stands beside it: the text says that their boundaries are almost the same. One seed at
//! laptop scale.

use super::PAPER;
use super::maps::{self, Map, Third, at_points, of_map};
use super::resnet::{self, LOW, Noise, RANK, features};
use crate::claims::{Claim, Evidence};
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::{Architecture, Resnet};
use crate::report::plot;
use crate::run::Results;
use crate::spec::{Scale, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "stability/fig11",
    paper: PAPER,
    about: "phase diagram of ResNet-18: rank and test accuracy over static label noise and step size, with dynamic noise beside it",
    declare,
    expect,
    simulate: None,
    check: |spec| resnet::check(spec, &[Noise::Static, Noise::Dynamic], resnet::point),
    draw,
};

const ERROR: &str = "test_error";

/// Ranks of at least this share of full rank are full.
const FULL: f64 = 0.9;

/// Accuracies of at most so many times one over the number of classes are a random guess's.
const CHANCE: f64 = 2.0;

fn declare(scale: Scale) -> Spec {
    let runs = [Noise::Static, Noise::Dynamic].map(|noise| resnet::grid(scale, noise)).concat();
    let about = "rank and test accuracy, static label noise, Figure 11";
    let mut spec = resnet::base(&FIGURE, scale, about, runs, &[RANK, ERROR]);
    if scale == Scale::Laptop {
        spec.seeds.own.truncate(1);
    }
    spec
}

fn accuracy(spec: &Spec, results: &Results) -> Map {
    Map::of(spec, results, Noise::Static, ERROR).map(|error| 1.0 - error)
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let [ranks, dynamic] = [Noise::Static, Noise::Dynamic].map(|noise| Map::of(spec, results, noise, RANK));
    let (accuracies, full) = (accuracy(spec, results), features(spec));
    let guess = match spec.net {
        Architecture::Resnet(Resnet { classes, .. }) => CHANCE / classes as f64,
        _ => f64::NAN,
    };
    let collapsed = ranks.values().iter().zip(accuracies.values()).filter(|(rank, _)| **rank <= 1.0);
    let collapsed = collapsed.map(|(_, &accuracy)| accuracy);
    let corner = ranks.corner(Third::Upper, Third::Lower);
    let between = ranks.values().iter().filter(|&&rank| rank > 0.1 * full && rank < FULL * full).count();
    let (lowest, most) = (ranks.values().iter().copied().fold(f64::INFINITY, f64::min), ranks.largest());
    let clear = lowest <= 0.1 * full && most >= FULL * full && 5 * between <= ranks.values().len();
    let large = "upper third of noise, lower third of step size";
    Ok(vec![
        Claim::all(
            "chance",
            "where the rank has collapsed to one, the test accuracy is that of a random guess",
            "Figure 11",
            vec![at_points("accuracy at most twice one over the number of classes", collapsed, |accuracy| accuracy <= guess)],
        ),
        Claim::all(
            "full-rank-chance",
            "for large noise and small step sizes the model has full rank, but the performance of a random guess",
            "Figure 11",
            vec![
                at_points(
                    &format!("rank at least {FULL} of full: {large}"),
                    corner.iter().map(|&at| ranks.values()[at]),
                    |rank| rank >= FULL * full,
                ),
                at_points(
                    &format!("accuracy at most twice one over the number of classes: {large}"),
                    corner.iter().map(|&at| accuracies.values()[at]),
                    |accuracy| accuracy <= guess,
                ),
            ],
        ),
        Claim::all(
            "clear-boundary",
            "the transition of the rank has a clear boundary",
            "Figure 11",
            vec![of_map(
                "ranks up to a tenth of full and of at least nine tenths, and at most a fifth of the points in between",
                &ranks,
                clear,
                format!("{between} of {} points in between", ranks.values().len()),
            )],
        ),
        Claim::all(
            "static-dynamic",
            "static label noise shows the same results as dynamic noise, with almost the same boundaries",
            "section 4.4",
            vec![same_boundary(&ranks, &dynamic, LOW * full)],
        ),
    ])
}

/// Does low rank begin at the same row of both maps, or at the next, for every probability of noise where it begins?
fn same_boundary(first: &Map, second: &Map, low: f64) -> Evidence {
    let columns = 0..first.columns().min(second.columns());
    let starts: Vec<[usize; 2]> = columns.map(|column| [first, second].map(|map| map.boundary(column, low))).collect();
    let reached: Vec<&[usize; 2]> = starts.iter().filter(|[a, b]| *a < first.rows() || *b < second.rows()).collect();
    let near = reached.iter().filter(|[a, b]| a.abs_diff(*b) <= 1).count();
    let detail = format!("rows of static and dynamic noise, from the smallest step size: {starts:?}");
    Evidence::grid("low rank begins within one step size of the grid", near, reached.len(), detail)
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let full = features(spec);
    let rank = |noise: Noise| Map::of(spec, results, noise, RANK).panel(&format!("Rank, {} noise", noise.name()), full);
    let accuracy = accuracy(spec, results).panel("Test accuracy, static noise", 1.0);
    let colours = format!(
        "Rank of the penultimate features at 1e-3 of the largest singular value, from 0 (dark) to {full} (yellow); accuracy from 0 to 1"
    );
    Ok(maps::picture(spec, 3, vec![rank(Noise::Static), accuracy, rank(Noise::Dynamic)], &colours))
}

//! Figure 1c1: the rank of the features of ResNet-18 before its linear layer, over dynamic label noise and step size.

use super::PAPER;
use super::maps::{self, Map, Third, at_points, of_map};
use super::resnet::{self, LOW, Noise, RANK, features};
use crate::claims::{Claim, Evidence};
use crate::error::Result;
use crate::experiments::Figure;
use crate::report::plot;
use crate::run::Results;
use crate::spec::{Scale, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "stability/fig1c-resnet",
    paper: PAPER,
    about: "phase diagram of ResNet-18: rank of the penultimate features over dynamic label noise and step size",
    declare,
    expect,
    simulate: None,
    check: |spec| resnet::check(spec, &[Noise::Dynamic], resnet::point),
    draw,
};

fn declare(scale: Scale) -> Spec {
    let about = "rank of the penultimate features, dynamic label noise, Figure 1c";
    resnet::base(&FIGURE, scale, about, resnet::grid(scale, Noise::Dynamic), &[RANK])
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let (ranks, full) = (Map::of(spec, results, Noise::Dynamic, RANK), features(spec));
    let corner = |third| ranks.corner(third, third).into_iter().map(|place| ranks.values()[place]);
    let (largest, smallest) = (ranks.largest(), ranks.values().iter().copied().fold(f64::INFINITY, f64::min));
    Ok(vec![
        Claim::all(
            "low-rank",
            "training ends at low rank where label noise is strong and the step size large, and not where both are small",
            "Figure 1, section 4.4",
            vec![
                at_points("below half of full rank: upper third of noise and step size", corner(Third::Upper), |rank| {
                    rank < LOW * full
                }),
                at_points("not below half of it: lower third of noise and step size", corner(Third::Lower), |rank| {
                    rank >= LOW * full
                }),
            ],
        ),
        Claim::all(
            "full-to-one",
            "the ranks reach from full (but for one) to one",
            "Figure 1, inset",
            vec![
                of_map("full but for one somewhere", &ranks, largest >= full - 1.0, format!("largest {largest} of {full}")),
                of_map("one or none somewhere", &ranks, smallest <= 1.0, format!("smallest {smallest}")),
            ],
        ),
        Claim::all(
            "as-simple",
            "the boundary is like that of simple networks: the more noise, the smaller the step size from which on the rank is low",
            "Figure 1, section 4.4",
            vec![falling(&ranks, LOW * full)],
        ),
    ])
}

/// Does the boundary of low rank fall from every probability of noise to the next, or stay?
fn falling(ranks: &Map, low: f64) -> Evidence {
    let boundaries: Vec<usize> = (0..ranks.columns()).map(|column| ranks.boundary(column, low)).collect();
    let reached = boundaries.windows(2).filter(|pair| pair.iter().any(|&row| row < ranks.rows()));
    let pairs: Vec<bool> = reached.map(|pair| pair[1] <= pair[0]).collect();
    let what = "the first step size of low rank is no larger at the next probability of noise";
    let wins = pairs.iter().filter(|&&falls| falls).count();
    Evidence::grid(what, wins, pairs.len(), format!("rows of the grid, from the smallest step size: {boundaries:?}"))
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let full = features(spec);
    let panel = Map::of(spec, results, Noise::Dynamic, RANK).panel("Rank of the penultimate features", full);
    let colours =
        format!("Rank at 1e-3 of the largest singular value on up to 1000 test images, from 0 (dark) to {full} (yellow)");
    Ok(maps::picture(spec, 1, vec![panel], &colours))
}

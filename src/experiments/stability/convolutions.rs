//! Figures 9 and 10: the share of weights that are zero, up to 1e-6, in the last convolution of every group of blocks of ResNet-18.
//!
//! Batch norm follows every one of them, so that the loss does not depend on their norm: without weight decay, of which the paper
//! says nothing, no step of SGD makes it smaller, and no convolution can vanish as a whole. The norms are measured too.

use super::maps::{self, Map, at_points, of_map};
use super::resnet::{self, Noise};
use crate::claims::{Claim, Evidence};
use crate::experiments::Figure;
use crate::report::plot;
use crate::run::{Results, RunResults};
use crate::spec::{Scale, Spec};

/// The share of weights that are almost zero.
const ZERO: [&str; 4] = ["near_zero.1@1e-6", "near_zero.2@1e-6", "near_zero.3@1e-6", "near_zero.4@1e-6"];

/// ‖W‖.
const NORM: [&str; 4] = ["weight_norm.1", "weight_norm.2", "weight_norm.3", "weight_norm.4"];

/// A convolution is sparse if at least so many of its weights are zero.
const SPARSE: f64 = 0.5;

/// Two maps are qualitatively similar if so many of the points that are sparse in one of them are sparse in both.
const SIMILAR: f64 = 0.5;

/// A share of its norm that a convolution may lose to batch norm's ε and to rounding.
const LOST: f64 = 0.01;

pub(super) fn declare(figure: &Figure, scale: Scale, noise: Noise, name: &str) -> Spec {
    let about = format!("sparsity of the last convolution of every group of blocks, {} label noise, {name}", noise.name());
    resnet::base(figure, scale, &about, resnet::grid(scale, noise), &[ZERO, NORM].concat())
}

pub(super) fn expect(spec: &Spec, results: &Results, noise: Noise, name: &str) -> Vec<Claim> {
    let maps = ZERO.map(|metric| Map::of(spec, results, noise, metric));
    let some = maps.iter().zip(ZERO).map(|(map, metric)| {
        let largest = map.largest();
        of_map(&format!("{metric} at least {SPARSE} somewhere"), map, largest >= SPARSE, format!("largest {largest:.3e}"))
    });
    let [first, others @ ..] = &maps;
    let similar = others.iter().zip(&ZERO[1..]).map(|(map, metric)| agrees(first, map, metric));
    let kept = results.runs.iter().flat_map(|run| NORM.iter().flat_map(move |metric| growth(run, metric)));
    vec![
        Claim::all("sparse", "at some points of the grid the convolutions are sparse", name, some.collect()),
        Claim::all(
            "similar",
            "the phase diagrams of the sparsity of different layers are qualitatively similar, and all have a sparse phase",
            &format!("{name}, section 4.4"),
            maps.iter().zip(ZERO).map(|(map, metric)| phases(map, metric)).chain(similar).collect(),
        ),
        Claim::all(
            "norm",
            "without weight decay no convolution before a batch norm loses any of its norm",
            "our check",
            vec![at_points("‖W‖ at the end over that after the first iteration is at least 0.99", kept, |ratio| {
                ratio >= 1.0 - LOST
            })],
        ),
    ]
}

/// ‖W‖ at the end over that at the first evaluation, for every seed; NaN for those that diverged.
fn growth(run: &RunResults, metric: &str) -> Vec<f64> {
    let ratio = |replica| {
        let of = run.survivor(replica)?;
        Some(run.last(of, metric)? / run.series(of, metric).first()?.1)
    };
    run.own().map(|replica| ratio(replica.seed).unwrap_or(f64::NAN)).collect()
}

/// Does a map have points that are sparse and points that are not?
fn phases(map: &Map, metric: &str) -> Evidence {
    let known = || map.values().iter().filter(|value| value.is_finite());
    let sparse = known().filter(|&&share| share >= SPARSE).count();
    let both = 0 < sparse && sparse < known().count();
    of_map(&format!("{metric} has both phases"), map, both, format!("{sparse} sparse points"))
}

/// Are mostly the same points of two maps sparse? Undecided where none is.
fn agrees(first: &Map, map: &Map, metric: &str) -> Evidence {
    let pairs = first.values().iter().zip(map.values()).filter(|(a, b)| a.is_finite() && b.is_finite());
    let sparse: Vec<[bool; 2]> = pairs.map(|(&a, &b)| [a, b].map(|share| share >= SPARSE)).collect();
    let either = sparse.iter().filter(|pair| pair.contains(&true)).count();
    let both = sparse.iter().filter(|&&pair| pair == [true, true]).count();
    let similar = both as f64 >= SIMILAR * either as f64;
    let what = format!("of the points sparse in {metric} or {}, at least half are in both", ZERO[0]);
    Evidence::grid(what, usize::from(either > 0 && similar), usize::from(either > 0), format!("{both} of {either}"))
}

pub(super) fn draw(spec: &Spec, results: &Results, noise: Noise) -> plot::Figure {
    let panels = ZERO.iter().enumerate().map(|(group, metric)| {
        let map = Map::of(spec, results, noise, metric);
        let largest = map.largest();
        let title = format!("layer{}.1.conv2, at most {largest:.1e}", group + 1);
        map.panel(&title, if largest > 0.0 { largest } else { 1.0 })
    });
    let colours = "Share of weights with |w| <= 1e-6, from 0 (dark) to the largest found (yellow)";
    maps::picture(spec, 2, panels.collect(), colours)
}

//! Claims of the figures of ReLU networks come out both ways.

mod common;

use common::claims::{diverge, end, expect, fraction, synthetic, undecided};
use handgrad::claims::Verdict::{Fails, Holds, HoldsUnder};
use handgrad::spec::Run;

const FIGURE_4: [&str; 8] =
    ["stabilisation", "fits", "simpler", "rank-falls", "rank-lower", "sparsity-falls", "sparser", "sparser-0.95"];

/// One neuron with its kink in the middle, and two apart.
const ONE_KINK: [f64; 3] = [1.0, 0.0, 1.0];
const TWO_KINKS: [f64; 6] = [1.0, 1.0, 0.0, -0.5, 1.0, 1.0];

#[test]
fn figure_4() {
    let figure = |level: f64, end: f64, fall: f64| {
        synthetic("sparse/fig4", move |run, metric, step| match (metric, run.name.as_str()) {
            ("train_loss", _) if fraction(run, step) < 0.6 => level,
            ("train_loss", _) => end,
            (_, "decay-50%") => 100.0 - fall * (1.0 + fraction(run, step)),
            _ => 100.0,
        })
    };
    let mut told = figure(0.3, 1e-3, 30.0);
    end(&mut told, "decay-50%", |_| ONE_KINK.to_vec());
    end(&mut told, "decay-2%", |_| TWO_KINKS.to_vec());
    expect("sparse/fig4", &told, &FIGURE_4.map(|id| (id, Holds)));
    let mut wrong = figure(0.01, 0.3, -30.0);
    end(&mut wrong, "decay-50%", |_| TWO_KINKS.to_vec());
    end(&mut wrong, "decay-2%", |_| ONE_KINK.to_vec());
    expect("sparse/fig4", &wrong, &FIGURE_4.map(|id| (id, Fails)));
    expect("sparse/fig4", &figure(3.0, 1e-3, 30.0), &[("stabilisation", Fails)]);
}

/// Figures 5 and 11 have runs of the same step sizes, from the smallest to the largest, then by the length of their phase.
fn larger(run: &Run) -> f64 {
    let order = ["gd", "constant", "eta-0.3", "eta-0.4", "large-10%", "large-30%", "large-50%"];
    order.iter().position(|name| *name == run.name).unwrap() as f64
}

const FIGURE_5: [&str; 6] = ["lazy", "moves", "clusters", "along", "gradual", "trains"];

#[test]
fn figure_5() {
    let figure = |least: f64, by: f64, cosine: f64| {
        synthetic("sparse/fig5", move |run, metric, _| match metric {
            "initial_distance" => 10.0 * (least + by * larger(run)),
            "weight_norm.1" => 10.0,
            _ => cosine + 0.01 * by.signum() * larger(run),
        })
    };
    expect("sparse/fig5", &figure(0.1, 0.1, 0.93), &FIGURE_5.map(|id| (id, Holds)));
    let wrong = figure(2.0, -0.1, 0.93);
    expect("sparse/fig5", &wrong, &FIGURE_5[..5].iter().map(|&id| (id, Fails)).collect::<Vec<_>>());
    let mut lost = figure(0.1, 0.1, 0.93);
    diverge(&mut lost, "large-50%");
    expect("sparse/fig5", &lost, &[("trains", Fails), ("lazy", Holds)]);
}

const FIGURE_7: [&str; 4] = ["basic-generalises", "basic-longer-generalises", "basic-sparse", "basic-longer-sparse"];

#[test]
fn figure_7() {
    let figure = |by: f64| {
        synthetic("sparse/fig7", move |run, _, _| {
            let order = ["constant", "large-10%", "large-30%", "large-50%"];
            0.5 - by * order.iter().position(|name| *name == run.name).unwrap() as f64
        })
    };
    expect("sparse/fig7", &figure(0.1), &FIGURE_7.map(|id| (id, Holds)));
    expect("sparse/fig7", &figure(-0.1), &FIGURE_7.map(|id| (id, Fails)));
    undecided("sparse/fig7", &FIGURE_7);
}

const FIGURE_9: [&str; 7] =
    ["fails-to-fit", "stuck", "short-fits", "simpler", "simpler-than-400", "capacity", "over-regularises"];

#[test]
fn figure_9() {
    let factor = |run: &Run| -> f64 {
        match run.name.as_str() {
            "decay-2%" => 0.0,
            "decay-50%" => 500.0,
            name => name.trim_start_matches("factor-").parse().unwrap(),
        }
    };
    let told = synthetic("sparse/fig9", |run, metric, _| match metric {
        "train_loss" => 0.3 * (factor(run) / 500.0).powi(2),
        _ => 100.0 - 0.1 * factor(run),
    });
    expect("sparse/fig9", &told, &FIGURE_9.map(|id| (id, Holds)));
    let wrong = synthetic("sparse/fig9", |run, metric, _| match metric {
        "train_loss" => 0.05 * (-1.0 - factor(run) / 500.0).exp() + if factor(run) == 0.0 { 0.2 } else { 0.0 },
        _ => 0.1 * factor(run),
    });
    expect("sparse/fig9", &wrong, &FIGURE_9.map(|id| (id, Fails)));
}

const FIGURE_10: [&str; 3] = ["first-simplified", "not-yet-fitted", "then-fitted"];

#[test]
fn figure_10() {
    // How much of a fall of 80 is done at the decay.
    let figure = |before: f64, level: f64, end: f64| {
        synthetic("sparse/fig10", move |run, metric, step| match (metric, fraction(run, step)) {
            ("train_loss", 0.0..0.51) => level,
            ("train_loss", _) => end,
            (_, at @ 0.0..0.5) => 100.0 - 80.0 * before * at / 0.5,
            (_, at) => 100.0 - 80.0 * (before + (1.0 - before) * ((at - 0.5) / 0.2).min(1.0)),
        })
    };
    expect("sparse/fig10", &figure(0.9, 0.4, 1e-3), &FIGURE_10.map(|id| (id, Holds)));
    expect("sparse/fig10", &figure(0.1, 0.01, 0.4), &FIGURE_10.map(|id| (id, Fails)));
    let rising = synthetic("sparse/fig10", |run, _, step| 1.0 + fraction(run, step));
    expect("sparse/fig10", &rising, &[("first-simplified", Fails)]);
}

const FIGURE_11: [&str; 9] = [
    "stabilisation",
    "trains",
    "generalises",
    "longer-generalises",
    "rank-falls",
    "rank-ordered",
    "sparsity-falls",
    "sparsity-ordered",
    "alive",
];

#[test]
fn figure_11() {
    let figure = |falls_on: f64, end: f64, direction: f64, rank: f64| {
        synthetic("sparse/fig11", move |run, metric, step| match metric {
            "train_loss" if fraction(run, step) < 0.6 => 1e-2 * (-falls_on * fraction(run, step)).exp(),
            "train_loss" => end,
            "ntk_rank@1e-4" => rank + direction * (larger(run) + fraction(run, step)),
            _ => 10.0 + direction * (larger(run) + fraction(run, step)),
        })
    };
    let told = figure(0.0, 1e-5, -1.0, 30.0);
    expect("sparse/fig11", &told, &FIGURE_11.map(|id| (id, Holds)));
    let mut wrong = figure(30.0, 1.0, 1.0, -10.0);
    expect("sparse/fig11", &wrong, &FIGURE_11.iter().filter(|id| **id != "trains").map(|&id| (id, Fails)).collect::<Vec<_>>());
    diverge(&mut wrong, "large");
    expect("sparse/fig11", &wrong, &[("trains", Fails)]);
    expect("sparse/fig11", &figure(30.0, 1e-9, -1.0, 30.0), &[("stabilisation", HoldsUnder)]);
}

#[test]
fn without_finite_seeds_nothing_that_runs_decide_is_decided() {
    undecided("sparse/fig4", &FIGURE_4);
    undecided("sparse/fig5", &FIGURE_5[..5]);
    undecided("sparse/fig9", &FIGURE_9);
    undecided("sparse/fig10", &FIGURE_10);
    undecided("sparse/fig11", &[&FIGURE_11[..1], &FIGURE_11[2..]].concat());
}

//! Claims of the figures of ReLU networks and of residual networks come out both ways.

mod common;

use common::claims::{declared, diverge, end, expect, fraction, synthetic, undecided};
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

const FIGURE_1: [&str; 3] = ["substantial", "stabilises", "longer-generalises"];

#[test]
fn figure_1() {
    let figure = |falls_on: f64, end: f64, errors: [f64; 4]| {
        synthetic("sparse/fig1", move |run, metric, step| match metric {
            "train_loss" if fraction(run, step) <= 0.51 => (-falls_on * fraction(run, step)).exp(),
            "train_loss" => end,
            _ => errors[place(run)],
        })
    };
    expect("sparse/fig1", &figure(0.0, 1e-3, [0.35, 0.2, 0.15, 0.12]), &FIGURE_1.map(|id| (id, Holds)));
    expect("sparse/fig1", &figure(20.0, 0.9, [0.1, 0.12, 0.15, 0.2]), &FIGURE_1.map(|id| (id, Fails)));
    undecided("sparse/fig1", &FIGURE_1);
}

/// The place of a run's schedule, from the small step size to the longest phase of large ones.
fn place(run: &Run) -> usize {
    ["constant", "large-10%", "large-30%", "large-50%"].iter().position(|name| run.name.ends_with(name)).unwrap()
}

const FIGURE_7: [&str; 4] = ["basic-generalises", "basic-longer-generalises", "basic-sparse", "basic-longer-sparse"];

#[test]
fn figure_7() {
    let figure = |by: f64| synthetic("sparse/fig7", move |run, _, _| 0.5 - by * place(run) as f64);
    expect("sparse/fig7", &figure(0.1), &FIGURE_7.map(|id| (id, Holds)));
    expect("sparse/fig7", &figure(-0.1), &FIGURE_7.map(|id| (id, Fails)));
    undecided("sparse/fig7", &FIGURE_7);
}

#[test]
fn figure_13() {
    let both = |id: &str| ["basic", "standard"].map(|setting| format!("{setting}-{id}"));
    let ids = ["stabilises", "generalises", "longer-generalises", "sparse", "longer-sparse"].map(both).concat();
    let ids: Vec<&str> = ids.iter().map(String::as_str).chain(["oscillates"]).collect();
    let figure = |falls_on: f64, by: f64, up: f64, level: f64| {
        let points = declared("sparse/fig13").evaluate.grid as f64;
        synthetic("sparse/fig13", move |run, metric, step| match (metric, run.schedule.first_decay(run.steps)) {
            ("train_loss", Some(decay)) if step > decay => {
                let even = ((fraction(run, step) * (points - 1.0)).round() as u64).is_multiple_of(2);
                level * if even { up } else { 1.0 }
            }
            ("train_loss", _) => (-falls_on * fraction(run, step)).exp(),
            _ => 0.5 - by * place(run) as f64,
        })
    };
    expect("sparse/fig13", &figure(0.0, 0.1, 3.0, 1e-3), &ids.iter().map(|&id| (id, Holds)).collect::<Vec<_>>());
    expect("sparse/fig13", &figure(20.0, -0.1, 1.0, 0.1), &ids.iter().map(|&id| (id, Fails)).collect::<Vec<_>>());
    undecided("sparse/fig13", &ids);
}

const FIGURE_12: [&str; 2] = ["small-stays", "large-moves"];

#[test]
fn figure_12() {
    let figure = |small: f64, large: f64| synthetic("sparse/fig12", move |run, _, _| if place(run) == 0 { small } else { large });
    expect("sparse/fig12", &figure(0.05, 1.0), &FIGURE_12.map(|id| (id, Holds)));
    expect("sparse/fig12", &figure(0.9, 0.8), &FIGURE_12.map(|id| (id, Fails)));
    undecided("sparse/fig12", &FIGURE_12);
}

const FIGURE_14: [&str; 6] =
    ["last-groups", "second-group", "first-group", "basic-vanishes", "basic-rises", "standard-gradually"];

#[test]
fn figure_14() {
    // At the start, after an epoch and at the end.
    let course = |[start, after, end]: [f64; 3], at: f64| match at {
        0.0 => start,
        at if at < 0.5 => after,
        _ => end,
    };
    let figure = |ends: [f64; 2], after: [f64; 2], few: usize| {
        synthetic("sparse/fig14", move |run, metric, step| {
            let standard = usize::from(run.name.contains("standard"));
            let model = 2 * usize::from(run.name.starts_with("resnet34")) + standard;
            match (metric, place(run)) {
                // Lower in as many models as `few`, in group 2 in one more.
                ("sparsity.1@0.95", 3) if model < few => 0.4,
                ("sparsity.2@0.95", 3) if model < few + 1 => 0.4,
                ("sparsity.1@0.95" | "sparsity.2@0.95", _) => 0.5,
                (_, 0) => 0.5,
                _ => course([0.6, after[standard], ends[standard]], fraction(run, step)),
            }
        })
    };
    expect("sparse/fig14", &figure([0.2, 0.3], [0.01, 0.55], 2), &FIGURE_14.map(|id| (id, Holds)));
    expect("sparse/fig14", &figure([0.52, 0.59], [0.55, 0.1], 0), &FIGURE_14.map(|id| (id, Fails)));
    expect("sparse/fig14", &figure([0.2, 0.3], [0.01, 0.35], 4), &[("first-group", Fails), ("standard-gradually", Fails)]);
    undecided("sparse/fig14", &FIGURE_14);
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

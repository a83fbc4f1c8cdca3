//! Every claim of the figures of "The Janus effects of SGD vs GD" can come out both ways.

mod common;

use common::claims::{end, expect, fraction, synthetic, undecided};
use handgrad::claims::Verdict::{Fails, Holds, HoldsUnder};
use handgrad::spec::Run;

#[test]
fn theorem_1() {
    let id = "janus/theorem1";
    let epochs = |run: &Run| run.name.strip_prefix("B=").map_or(10.0, |batch| 10.0 / batch.parse::<f64>().unwrap());
    // `drift`: how the exponent of full batches changes; `gap` of SGD's limits and of gradient descent's.
    let figure = |off: f64, drift: f64, gap: fn(f64) -> f64, descent: [f64; 2]| {
        synthetic(id, move |run, metric, step| match (metric, run.name.as_str()) {
            ("exponent", "B=10") => epochs(run) * (1.0 + off + drift * step as f64),
            ("exponent" | "exponent_printed" | "exponent_remark", _) => epochs(run) * (1.0 + off),
            ("gap", "B=10") => descent[0],
            ("gap_small", "B=10") => descent[1],
            ("gap", "B=1") => gap(0.5),
            ("gap", name) => gap(name.strip_prefix("step-").and_then(|step| step.parse().ok()).unwrap_or(0.5)),
            _ => 1.0,
        })
    };
    let told = figure(0.0, 0.0, |eta| 0.1 * eta, [1e-13, 1e-3]);
    let right = ["rate", "rate-printed", "rate-remark", "kinds-right", "example", "solution-order", "minimiser-right"];
    expect(id, &told, &right.map(|claim| (claim, Holds)));
    expect(id, &told, &[("kinds", HoldsUnder), ("same-solution", Fails), ("minimiser", Fails)]);
    let wrong = figure(1e-8, 1e-6, |_| 1e-9, [1e-3, 1e-9]);
    expect(id, &wrong, &[("kinds", Holds), ("same-solution", Holds), ("minimiser", Holds)]);
    let fail = ["rate", "rate-printed", "rate-remark", "solution-order", "minimiser-right"];
    expect(id, &wrong, &fail.map(|claim| (claim, Fails)));
    expect(id, &wrong, &[("kinds-right", HoldsUnder)]);
    undecided(id, &["rate", "rate-printed", "rate-remark", "kinds", "same-solution", "solution-order", "minimiser"]);
}

#[test]
fn asymptotic_noise() {
    let id = "janus/noise";
    let decay = |run: &Run| run.name.strip_prefix("decay-").map_or(0.0, |decay| decay.parse::<f64>().unwrap());
    let told = synthetic(id, |run, metric, _| match metric {
        "within_epoch" => decay(run).max(1e-15),
        "drift" => 1e-15,
        _ => 0.5,
    });
    expect(id, &told, &[("noise", Holds), ("none", Holds), ("cycle", Holds), ("chaos", Fails)]);
    let wrong = synthetic(id, |run, metric, _| match metric {
        "within_epoch" => 1.0 - decay(run),
        "drift" => 1e-3,
        _ => 2.0,
    });
    expect(id, &wrong, &[("noise", Fails), ("none", Fails), ("cycle", Fails), ("chaos", Holds)]);
    undecided(id, &["noise", "none", "cycle", "chaos"]);
}

/// Claims of a figure hold where SGD's `lower` metrics are below gradient descent's, and fail where they are above.
fn ordered(id: &str, claims: &[&str], values: fn(&str, &str, f64) -> Option<f64>) {
    for (sgd, verdict) in [(0.5, Holds), (2.0, Fails)] {
        let told =
            synthetic(id, |run, metric, _| values(&run.name, metric, sgd).unwrap_or(if run.name == "gd" { 1.0 } else { sgd }));
        expect(id, &told, &claims.iter().map(|&claim| (claim, verdict)).collect::<Vec<_>>());
    }
    undecided(id, claims);
}

#[test]
fn figures_of_regression() {
    // From W = 0: nothing outside the span, and equal rates.
    for (mse, other, verdict) in [(0.95, 0.0, Holds), (1.2, 0.1, Fails)] {
        let told = synthetic("janus/figA1", |run, metric, _| match (metric, run.name.as_str()) {
            ("mse", "gd") => 1.0,
            ("mse", _) => mse,
            _ => other,
        });
        expect("janus/figA1", &told, &["span", "same-rate", "sgd-ahead"].map(|claim| (claim, verdict)));
    }
    undecided("janus/figA1", &["span", "same-rate", "sgd-ahead"]);
    ordered("janus/figA2", &["smallest", "smallest-sqrt", "gradient"], |run, metric, sgd| match (metric, run) {
        ("gradient_norm", "gd") => Some(0.7),
        ("gradient_norm", _) => Some(0.7 / sgd),
        ("smallest_singular_value", "sgd") if sgd < 1.0 => Some(1e-8),
        _ => None,
    });
    ordered("janus/figA3", &["bias", "bias-sqrt", "error"], |_, _, _| None);
    ordered("janus/figA6", &["missing", "missing-sqrt", "present"], |run, metric, sgd| {
        (metric == "largest_singular_value").then_some(if run == "gd" || sgd < 1.0 { 1.0 } else { 1.5 })
    });
}

#[test]
fn figures_of_one_epoch() {
    for (sgd, verdict) in [(0.5, Holds), (2.0, Fails)] {
        let mut told = synthetic("janus/figA4", |run, _, _| if run.name == "gd" { 1.0 } else { sgd });
        end(&mut told, "gd", |_| vec![1.0; 100]);
        end(&mut told, "sgd", |_| (0..100).map(|k| if k % 10 < 2 { 9.0 } else { sgd }).collect());
        expect("janus/figA4", &told, &[("similar", verdict), ("error", verdict)]);
    }
    undecided("janus/figA4", &["similar", "error"]);
    let figure = |level: fn(f64) -> f64, gradient: f64, free: f64| {
        synthetic("janus/figA5", move |run, metric, step| match (metric, run.name.as_str()) {
            ("mse", "sgd") => level(fraction(run, step)),
            ("mse", _) => free,
            _ => gradient,
        })
    };
    expect("janus/figA5", &figure(|_| 1e-3, 0.1, 1e-25), &[("noise", Holds), ("decay", Holds)]);
    expect("janus/figA5", &figure(|t| (-20.0 * t).exp(), 1e-6, 1e-3), &[("noise", Fails), ("decay", Fails)]);
    undecided("janus/figA5", &["noise", "decay"]);
}

#[test]
fn slopes() {
    let (id, ids) = ("janus/figA7", ["null-space", "smallest", "smallest-sqrt", "largest"]);
    for (ratio, largest, verdict) in [(6.0, 1.0, Holds), (4.0, 2.0, Fails)] {
        let told = synthetic(id, |run, metric, step| match (metric, run.name.as_str()) {
            ("largest_singular_value", "gd") => 1.0,
            ("largest_singular_value", _) => largest,
            (_, "gd") => (-1e-3 * step as f64).exp(),
            _ => (-1e-3 * ratio * step as f64).exp(),
        });
        expect(id, &told, &ids.map(|claim| (claim, verdict)));
    }
    undecided(id, &ids);
}

#[test]
fn flow() {
    let id = "janus/flow";
    let ids = [
        "signs",
        "signs-right",
        "structure",
        "normalisation",
        "stationary",
        "square",
        "logistic",
        "full-batch",
        "full-batch-less",
        "abx",
    ];
    let told = synthetic(id, |run, metric, step| match metric {
        "loss" => (-10.0 * fraction(run, step)).exp(),
        "fluctuation" if ["sgd-square", "sgd-logistic-free"].contains(&run.name.as_str()) => 0.1,
        "fluctuation" => 1e-6,
        "printed_change" | "right_change" => -1e-4,
        _ => 1e-15,
    });
    expect(id, &told, &ids.map(|claim| (claim, Holds)));
    let wrong = synthetic(id, |run, metric, _| match metric {
        "fluctuation" if ["sgd-square", "sgd-logistic-free"].contains(&run.name.as_str()) => 1e-6,
        "fluctuation" => 0.1,
        _ => 0.5,
    });
    expect(id, &wrong, &ids.map(|claim| (claim, Fails)));
    undecided(id, &ids);
}

#[test]
fn lemma_1() {
    let id = "janus/lemma1";
    let equations = ["equation-21", "equation-21-right", "equation-6", "equation-6-right"];
    let figure = |dense: f64, convolution: f64, left: f64| {
        synthetic(id, move |_, metric, _| match metric {
            "largest_rank" => dense,
            "rank" => convolution,
            _ => left,
        })
    };
    expect(id, &figure(1.0, 16.0, 0.0), &[("rank-one", Holds), ("convolution", Fails), ("convolution-right", Holds)]);
    expect(id, &figure(2.0, 1.0, 0.0), &[("rank-one", Fails), ("convolution", Holds), ("convolution-right", Fails)]);
    expect(id, &figure(1.0, 1.0, 0.0), &equations.map(|claim| (claim, Holds)));
    expect(id, &figure(1.0, 1.0, 0.1), &equations.map(|claim| (claim, Fails)));
    undecided(id, &["rank-one", "convolution", "convolution-right"]);
    undecided(id, &equations);
}

#[test]
fn appendix_e() {
    let id = "janus/appE";
    let figure = |stalled: f64, constant: f64, one: f64, power: f64| {
        synthetic(id, move |run, _, step| match run.name.as_str() {
            "p=2" => stalled,
            "p=0" => constant,
            "p=1" => one,
            _ => (step as f64 + 1.0).powf(power),
        })
    };
    let told = figure(4.0, 0.6, 0.01, -0.25);
    let right = ["diverging-sum", "to-zero", "squares-right", "squares-not-needed"];
    expect(id, &told, &right.map(|claim| (claim, Holds)));
    expect(id, &told, &[("squares", Fails)]);
    let wrong = figure(0.1, 0.1, 0.6, 0.0);
    expect(id, &wrong, &right.map(|claim| (claim, Fails)));
    expect(id, &wrong, &[("squares", Holds)]);
    undecided(id, &[&right[..], &["squares"]].concat());
}

fn decay(run: &Run) -> f64 {
    run.optimiser.weight_decay
}

/// The k of `velocity.k` or `weight_rank.k@tolerance`.
fn layer(metric: &str) -> f64 {
    metric.split(['.', '@']).nth(1).unwrap().parse().unwrap()
}

#[test]
fn figure_1() {
    let (id, ids) = ("janus/fig1", ["mean", "deviation", "narrow", "least", "interpolation", "law", "relative"]);
    let told = synthetic(id, |run, metric, _| {
        let (lambda, sigma) = (decay(run), 0.02 + decay(run));
        let rho = 1.0 / (1.0 + 10.0 * lambda);
        match metric {
            "rho" => rho,
            "margin_deviation" => sigma,
            // The larger root of μ = ρ(σ² + μ² + λ).
            "margin" => (1.0 + (1.0 - 4.0 * rho * rho * (sigma * sigma + lambda)).sqrt()) / (2.0 * rho),
            _ => 0.0,
        }
    });
    expect(id, &told, &ids.map(|claim| (claim, Holds)));
    let wrong = synthetic(id, |run, metric, _| match metric {
        "rho" => 2.0,
        "margin_deviation" => 0.5 - 10.0 * decay(run),
        "margin" => 1.0 - decay(run),
        _ => 0.0,
    });
    expect(id, &wrong, &ids.map(|claim| (claim, Fails)));
    undecided(id, &ids);
}

#[test]
fn figure_2() {
    let (id, ids) = ("janus/fig2", ["independent", "far", "reached", "narrower", "quiet", "collapse"]);
    let kind = |run: &Run| ["gd-cosine", "gd-constant", "sgd"].iter().position(|kind| run.name.starts_with(kind)).unwrap();
    let told = synthetic(id, |run, metric, _| match metric {
        "train_error" => [0.2, 0.0, 0.0][kind(run)],
        "train_loss" => [0.15, 1e-3, 1e-4][kind(run)],
        "margin" => 1.0,
        "margin_deviation" => [0.5, 0.1, 0.01 + 10.0 * decay(run)][kind(run)],
        _ => [0.1, 0.1, 0.2][kind(run)],
    });
    expect(id, &told, &ids.map(|claim| (claim, Holds)));
    let wrong = synthetic(id, |run, metric, _| match metric {
        "train_error" => 0.05,
        "train_loss" => [1e-4, 1e-4, 1e-3][kind(run)],
        "margin" => 1.0,
        "margin_deviation" => [0.01 + 10.0 * decay(run), 0.01 + 10.0 * decay(run), 0.5][kind(run)],
        _ => [0.2, 0.2, 0.1][kind(run)],
    });
    expect(id, &wrong, &ids.map(|claim| (claim, Fails)));
    undecided(id, &ids);
}

#[test]
fn figures_3_and_4() {
    let noise = ["small", "grows", "convolutions", "top"];
    let ranks = ["ranks-fall", "ranks-fall-1e-2", "ranks-fall-1e-4", "top-ranks", "ranks-noise"];
    let told = |run: &Run, metric: &str, _: u64| match metric.starts_with("velocity") {
        true => (1e-3 + decay(run)) * (6.0 - layer(metric)),
        false => 6.0 - layer(metric) - 50.0 * decay(run),
    };
    let wrong = |run: &Run, metric: &str, _: u64| match metric.starts_with("velocity") {
        true => (1.0 - decay(run)) * layer(metric),
        false => 1.0,
    };
    let both = |claims: &[&'static str], verdict| claims.iter().map(|&claim| (claim, verdict)).collect::<Vec<_>>();
    for id in ["janus/fig3", "janus/fig4"] {
        expect(id, &synthetic(id, told), &both(&noise, Holds));
        expect(id, &synthetic(id, wrong), &both(&noise, Fails));
        undecided(id, &noise);
    }
    expect("janus/fig4", &synthetic("janus/fig4", told), &both(&ranks, Holds));
    let opposed = |run: &Run, metric: &str, step: u64| match metric.starts_with("velocity") {
        true => told(run, metric, step),
        false => layer(metric) * (1.0 + decay(run)),
    };
    expect("janus/fig4", &synthetic("janus/fig4", opposed), &both(&ranks, Fails));
    undecided("janus/fig4", &ranks);
}

#[test]
fn figure_5() {
    let (id, ids) = ("janus/fig5", ["entropy", "square", "grows", "grows-relative"]);
    let figure = |entropy: f64, slope: f64, square: f64| {
        synthetic(id, move |run, metric, _| match (metric, run.name.starts_with("square")) {
            ("margin_deviation", true) => square,
            ("margin_deviation", false) => entropy + slope * decay(run),
            _ => 1.0,
        })
    };
    expect(id, &figure(0.3, 1.0, 0.01), &ids.map(|claim| (claim, Holds)));
    expect(id, &figure(0.05, -1.0, 0.5), &ids.map(|claim| (claim, Fails)));
    undecided(id, &ids);
}

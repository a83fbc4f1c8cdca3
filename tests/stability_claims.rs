//! Every claim of the figures of "The Probabilistic Stability of SGD" can come out both ways.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::claims::{declared, diverge, expect, synthetic, undecided};
use handgrad::claims::Verdict::{Fails, Holds, HoldsUnder, Inconclusive};
use handgrad::data::images::ClassNoise;
use handgrad::spec::Run;
use handgrad::theory::regression::exponent;
use handgrad::theory::saddle::Saddle;
use handgrad::theory::tail;
use handgrad::train::Progress;

/// The number at the end of a run's name.
fn size(run: &Run) -> f64 {
    run.name.rsplit(['=', '-']).next().and_then(|number| number.parse().ok()).unwrap_or(f64::NAN)
}

#[test]
fn figure_1a() {
    let m = Saddle::TwoPoint { a: -0.5 }.exponents(1.2).plus;
    let ids = ["saddle", "escape", "exponent"];
    for (large, small, off, verdict) in [(1.0, 0.0, 0.01, Holds), (0.2, 0.5, 0.1, Fails)] {
        let told = synthetic("stability/fig1a", |run, metric, _| match metric {
            "at_saddle" if run.name == "large" => large,
            "at_saddle" => small,
            "rate" => m + off,
            _ => 0.005,
        });
        expect("stability/fig1a", &told, &ids.map(|id| (id, verdict)));
    }
    undecided("stability/fig1a", &ids);
}

#[test]
fn figure_2() {
    let ids = ["bulk", "gd-falls", "first-branch", "gd-over-n"];
    let told = synthetic("stability/fig2", |run, metric, step| match (metric, step) {
        ("first_zero", _) => 2.2e-4,
        ("gd_bound", 4) => 2.2e-4 * size(run),
        ("gd_bound", _) => 2.0,
        _ => 1.0,
    });
    expect("stability/fig2", &told, &ids.map(|id| (id, Holds)));
    let wrong = synthetic("stability/fig2", |_, metric, step| match (metric, step) {
        ("first_zero", _) => 1e-3,
        ("gd_bound", _) => 2.0,
        (_, 4) => 0.5,
        _ => 1.0,
    });
    expect("stability/fig2", &wrong, &ids.map(|id| (id, Fails)));
    undecided("stability/fig2", &ids);
}

#[test]
fn figure_3() {
    let ids = ["exponents", "no-phase-ii", "exclusive", "batch"];
    for (good, bad, verdict) in [(1.0, 0.0, Holds), (0.9, 0.025, Fails)] {
        let told = synthetic("stability/fig3", |_, metric, _| if ["phase_ii", "overlap"].contains(&metric) { bad } else { good });
        expect("stability/fig3", &told, &ids.map(|id| (id, verdict)));
    }
    undecided("stability/fig3", &ids);
}

#[test]
fn figure_4() {
    let ids = ["limit", "phase-ii", "universal", "collapse"];
    let told = synthetic("stability/fig4", |run, metric, _| match metric {
        "agreement" => 1.0 - 1.0 / size(run),
        "share_ii" => 0.5 / size(run),
        "share_iii" => 0.1,
        _ => 0.95,
    });
    expect("stability/fig4", &told, &ids.map(|id| (id, Holds)));
    let wrong = synthetic("stability/fig4", |run, metric, _| match metric {
        "agreement" => 1.0 / size(run),
        "share_ii" => size(run) / 200.0,
        "share_iii" => 0.0,
        _ => 0.5,
    });
    expect("stability/fig4", &wrong, &ids.map(|id| (id, Fails)));
    undecided("stability/fig4", &ids);
}

#[test]
fn figure_5() {
    let ids = ["jumps-to-saddle", "not-linear", "performs-as-saddle", "improves-from-b", "diverges-when-c-does"];
    let rate = |step: u64| 0.01 * 600_f64.powf(step as f64 / 32.0);
    let figure = |jump: f64, [before, after]: [f64; 2], lost: f64| {
        synthetic("stability/fig5", move |_, metric, step| match metric {
            "at_saddle" => f64::from(u8::from(rate(step) >= jump)),
            "excess_loss" if rate(step) > lost => f64::NAN,
            "excess_loss" => [before, after][usize::from(rate(step) >= jump)],
            _ => 0.0,
        })
    };
    expect("stability/fig5", &figure(0.13, [0.015, 0.001_779], 2.7), &ids.map(|id| (id, Holds)));
    expect("stability/fig5", &figure(3.0, [0.015, 0.015], 0.7), &ids.map(|id| (id, Fails)));
    undecided("stability/fig5", &ids);
}

#[test]
fn figure_6() {
    let ids = ["typical", "both-agree", "rare", "estimate"];
    let figure = |rate: f64, small: f64, large: f64| {
        synthetic("stability/fig6", move |run, metric, step| {
            let m = exponent(run.schedule.at(0, run.steps), 1);
            let median = (2.0 * rate * m * step as f64).exp();
            match metric {
                "median_square" => median,
                "mean_square" => median * if run.name == "small" { small } else { large },
                "rate" => rate * m,
                _ => 0.001,
            }
        })
    };
    expect("stability/fig6", &figure(1.0, 10.0, 1e9), &ids.map(|id| (id, Holds)));
    expect("stability/fig6", &figure(0.5, 1e9, 10.0), &ids.map(|id| (id, Fails)));
    undecided("stability/fig6", &ids);
}

/// What the statements of the text say of every metric: as printed, or as it is right.
fn statement(run: &Run, metric: &str, step: u64, printed: bool) -> f64 {
    let either = |as_printed: f64, right: f64| if printed { as_printed } else { right };
    match metric {
        "away" => 0.9_f64.powi(step as i32),
        "half_width" => either(4.0, 1.0) / (4.0 * 10f64.powi(step as i32 + 1)),
        "variance" => 0.3 * step as f64,
        "rate" => either(-1.0, -0.25),
        "tail_exponent" => either(tail::tail_exponent_printed(3, 1.5), tail::tail_exponent(3, 1.5).unwrap()),
        "largest" => 1.9,
        "exponent" => either(-0.1, if run.name == "saddle-1" { -0.1 } else { 0.1 }),
        "first_zero" => 2.1,
        _ => either(-10.0, -100.0),
    }
}

#[test]
fn theory() {
    let id = "stability/theory";
    let either = ["39-hit", "39-variance", "first-zero", "last-zero"];
    let printed = ["37", "38", "39-tail", "40", "last-zero-usable"];
    let right = ["37-right", "38-right", "39-tail-right"];
    let told = synthetic(id, |run, metric, step| statement(run, metric, step, true));
    expect(id, &told, &either.map(|claim| (claim, Holds)));
    expect(id, &told, &printed.map(|claim| (claim, Holds)));
    expect(id, &told, &[("37-right", Fails), ("38-right", Fails), ("39-tail-right", HoldsUnder), ("40-right", HoldsUnder)]);
    let found = synthetic(id, |run, metric, step| statement(run, metric, step, false));
    expect(id, &found, &either.map(|claim| (claim, Holds)));
    expect(id, &found, &right.map(|claim| (claim, Holds)));
    expect(id, &found, &[("40-right", Holds), ("40", HoldsUnder)]);
    expect(id, &found, &["37", "38", "39-tail", "last-zero-usable"].map(|claim| (claim, Fails)));
    let wrong = synthetic(id, |_, metric, step| match metric {
        "away" => 0.8_f64.powi(step as i32),
        "variance" => (step as f64).powi(2),
        "largest" => 3.0,
        "first_zero" => 5.0,
        "exponent" => 0.0,
        "log_last_window" => 0.0,
        _ => 7.0,
    });
    let all = [&either[..], &right, &["40", "40-right"]].concat();
    expect(id, &wrong, &all.into_iter().map(|claim| (claim, Fails)).collect::<Vec<_>>());
    // What needs no runs.
    let printed = ["39-levels", "moments", "moments-gaussian", "outlier"];
    expect(id, &wrong, &printed.map(|claim| (claim, Fails)));
    expect(id, &wrong, &["39-levels-right", "moments-right", "outlier-right"].map(|claim| (claim, Holds)));
    undecided(id, &["39-hit", "39-variance", "38", "38-right", "39-tail", "40", "40-right", "first-zero", "last-zero"]);
}

#[test]
fn a_figure_that_simulates_needs_its_name_and_its_own_data() {
    let refused = |overrides: &[&str], want: &str| {
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        let spec = declared("stability/fig6").with_overrides(&overrides).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let options = handgrad::run::Options {
            threads: 1,
            folder: None,
            stop: &stop,
            checkpoint_every: std::time::Duration::from_secs(60),
            progress: &(),
        };
        let cx = handgrad::kernels::Context::cpu().unwrap();
        let line = handgrad::run::execute(&cx, &spec, Default::default(), &options).unwrap_err().to_string();
        assert!(line.contains(want) && !line.contains('\n'), "{line}\nexpected {want}");
    };
    refused(&["figure=null"], "keep its name");
    refused(&["figure=sparse/fig2"], "keep its name");
    refused(&["seeds.paper=true"], "set seeds.paper=false");
    refused(
        &["runs.small.data={\"kind\":\"slope\",\"n\":3,\"generator\":\"xoshiro\",\"seed\":0}"],
        "of all of its runs or of none",
    );
}

#[test]
fn figure_1b() {
    let ids = ["exponents", "exclusive", "strong-noise", "five"];
    for (agrees, points, phases, verdict) in [(1.0, 0.0, 5.0, Holds), (0.99, 1.0, 4.0, Fails)] {
        let told = synthetic("stability/fig1b", |_, metric, _| match metric {
            "agrees" => agrees,
            "phases" => phases,
            _ => points,
        });
        expect("stability/fig1b", &told, &ids.map(|id| (id, verdict)));
    }
    undecided("stability/fig1b", &ids);
}

#[test]
fn measured_phase_diagrams() {
    let figures: [(&str, &[&str]); 3] = [
        ("stability/fig1c", &["universal"]),
        ("stability/fig7", &["low-rank", "boundary", "finite"]),
        ("stability/fig8", &["adam"]),
    ];
    for (id, claims) in figures {
        for (low, agrees, diverged, verdict) in [(0.2, 0.95, 0.0, Holds), (0.01, 0.8, 0.1, Fails)] {
            let told = synthetic(id, |_, metric, _| match metric {
                "low_rank" => low,
                "agrees" => agrees,
                _ => diverged,
            });
            expect(id, &told, &claims.iter().map(|&claim| (claim, verdict)).collect::<Vec<_>>());
        }
        undecided(id, claims);
    }
    // Of two kinds of network one with a region of low rank is not all of them.
    let half = synthetic("stability/fig7", |run, metric, _| if metric == "low_rank" && run.name == "tanh" { 0.0 } else { 0.95 });
    expect("stability/fig7", &half, &[("low-rank", HoldsUnder), ("boundary", Holds), ("finite", Fails)]);
}

/// Probability of random labels and step size of a run of the residual networks.
fn point(run: &Run) -> (f64, f64) {
    let probability = match run.optimiser.class_noise {
        ClassNoise::Static { probability } | ClassNoise::Dynamic { probability } => probability,
        ClassNoise::None => 0.0,
    };
    (probability, run.schedule.at(0, run.steps))
}

/// Where theory has low rank.
fn saddle(run: &Run) -> bool {
    point(run).0 > 0.6 && point(run).1 >= 1.0
}

/// Without a finite seed no point of a grid has a value.
fn undecided_everywhere(id: &str, claims: &[&str]) {
    let mut lost = synthetic(id, |_, _, _| 1.0);
    diverge(&mut lost, "");
    expect(id, &lost, &claims.iter().map(|&claim| (claim, Inconclusive)).collect::<Vec<_>>());
}

#[test]
fn figure_1c_of_residual_networks() {
    let (id, ids) = ("stability/fig1c-resnet", ["low-rank", "full-to-one", "as-simple"]);
    let told = synthetic(id, |run, _, _| if saddle(run) { 1.0 } else { 64.0 });
    expect(id, &told, &ids.map(|claim| (claim, Holds)));
    let wrong = synthetic(id, |run, _, _| if point(run).0 < 0.4 && point(run).1 < 0.2 { 20.0 } else { 40.0 });
    expect(id, &wrong, &ids.map(|claim| (claim, Fails)));
    undecided_everywhere(id, &ids);
}

#[test]
fn figures_9_and_10() {
    let ids = ["sparse", "similar", "norm"];
    for id in ["stability/fig9", "stability/fig10"] {
        let told = synthetic(id, |run, metric, step| match metric.split_once('.') {
            Some(("weight_norm", _)) => 1.0 + step as f64,
            _ => f64::from(u8::from(saddle(run))),
        });
        expect(id, &told, &ids.map(|claim| (claim, Holds)));
        let wrong = synthetic(id, |_, metric, step| match metric.split_once('.') {
            Some(("weight_norm", _)) => 1.0 / step as f64,
            _ => 1e-5,
        });
        expect(id, &wrong, &ids.map(|claim| (claim, Fails)));
        // One layer is sparse where the others are not.
        let different =
            synthetic(id, |run, metric, _| f64::from(u8::from((point(run).0 > 0.4) == metric.starts_with("near_zero.1"))));
        expect(id, &different, &[("similar", HoldsUnder), ("sparse", Holds)]);
        undecided_everywhere(id, &ids);
    }
}

#[test]
fn figure_11() {
    let (id, ids) = ("stability/fig11", ["chance", "full-rank-chance", "clear-boundary", "static-dynamic"]);
    let told = synthetic(id, |run, metric, _| match (metric, point(run)) {
        ("test_error", (noise, rate)) => {
            if saddle(run) || (noise > 0.6 && rate < 0.05) {
                0.9
            } else {
                0.1
            }
        }
        _ => {
            if saddle(run) {
                1.0
            } else {
                64.0
            }
        }
    });
    expect(id, &told, &ids.map(|claim| (claim, Holds)));
    let wrong = synthetic(id, |run, metric, _| match (metric, run.optimiser.class_noise) {
        ("test_error", _) => 0.1,
        (_, ClassNoise::Static { .. }) => {
            if saddle(run) {
                1.0
            } else {
                40.0
            }
        }
        _ => 64.0,
    });
    expect(id, &wrong, &ids.map(|claim| (claim, Fails)));
    undecided_everywhere(id, &ids);
}

#[test]
fn figure_12() {
    let (id, ids) = ("stability/fig12", ["falls", "escapes"]);
    let figure = |rank: fn(f64) -> f64| synthetic(id, move |run, _, _| rank(size(run)));
    expect(id, &figure(|batch| if batch < 20.0 { 1.0 } else { 64.0 }), &ids.map(|claim| (claim, Holds)));
    expect(id, &figure(|batch| if batch < 20.0 { 64.0 } else { 1.0 }), &ids.map(|claim| (claim, Fails)));
    undecided(id, &ids);
}

#[test]
fn simulated_runs_tell_their_steps_on_the_way() {
    #[derive(Default)]
    struct Heard {
        calls: AtomicU64,
        steps: AtomicU64,
    }
    impl Progress for Heard {
        fn advanced(&self, steps: u64, _: f64) {
            self.calls.fetch_add(1, Ordering::Relaxed);
            self.steps.fetch_add(steps, Ordering::Relaxed);
        }
    }
    for (id, set) in [("stability/fig7", "steps=5000"), ("stability/fig6", "seed=0..2"), ("janus/figA1", "steps=4096")] {
        let figure = handgrad::experiments::find(id).unwrap();
        let overrides = ["seed=0..2".to_owned(), set.to_owned()];
        let spec = (figure.declare)(handgrad::spec::Scale::Smoke).with_overrides(&overrides).unwrap();
        let (heard, stop) = (Heard::default(), std::sync::atomic::AtomicBool::new(false));
        let options = handgrad::run::Options {
            threads: 2,
            folder: None,
            stop: &stop,
            checkpoint_every: std::time::Duration::from_secs(60),
            progress: &heard,
        };
        let cx = handgrad::kernels::Context::cpu().unwrap();
        handgrad::run::execute(&cx, &spec, Default::default(), &options).unwrap();
        let (runs, all) = (2 * spec.runs.len() as u64, spec.runs.iter().map(|run| 2 * run.steps).sum::<u64>());
        let (calls, steps) = (heard.calls.into_inner(), heard.steps.into_inner());
        assert_eq!(steps, all, "{id}");
        assert!(calls >= 2 * runs, "{id}: told {calls} times in {runs} runs");
    }
}

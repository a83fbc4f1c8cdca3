//! Every claim of the figures of images of "How neural networks learn the support" can come out both ways.

mod common;

use std::path::PathBuf;

use common::claims::{declared, diverge, end, expect, synthetic, undecided};
use handgrad::claims::Verdict::{self, Fails, Holds};
use handgrad::data::Data;
use handgrad::data::images::Source;
use handgrad::experiments;
use handgrad::nets::{Architecture, Init, Law};
use handgrad::run::Results;
use handgrad::spec::{Seed, Spec};

/// A verdict of a spec that is not the declared one.
fn verdict(id: &str, spec: &Spec, results: &Results, claim: &str) -> Option<Verdict> {
    let claims = (experiments::find(id).unwrap().expect)(spec, results).unwrap();
    claims.into_iter().find(|found| found.id == claim).map(|claim| claim.verdict)
}

/// σ₁² grows so many times by large batches and by small ones, whose losses over that of large ones are given.
fn perceptrons(id: &str, growth: [f64; 3], losses: [f64; 2]) -> Results {
    synthetic(id, |run, metric, step| {
        let place = ["large", "small-updates", "small-epochs"].iter().position(|name| *name == run.name).unwrap();
        match metric {
            "top_eigenvalue.1" if step > 0 => growth[place],
            "test_loss" if place > 0 => losses[place - 1],
            _ => 1.0,
        }
    })
}

#[test]
fn figure_2() {
    let (id, ids) = ("support/fig2", ["spike", "alone", "stays", "equal-loss", "same-loss"]);
    // The identity, but for the first entry.
    let diagonal =
        |first: f64| move |_: Seed| (0..64 * 64).map(|k| if k == 0 { first } else { f64::from(k % 65 == 0) }).collect();
    let mut told = perceptrons(id, [1.2, 3.0, 8.0], [1.05, 0.95]);
    end(&mut told, "small-epochs", diagonal(3.0));
    expect(id, &told, &ids.map(|claim| (claim, Holds)));
    let mut wrong = perceptrons(id, [3.0, 3.1, 1.5], [1.05, 0.4]);
    end(&mut wrong, "small-epochs", diagonal(1.1));
    expect(id, &wrong, &ids.map(|claim| (claim, Fails)));
    expect(id, &perceptrons(id, [1.2, 3.0, 8.0], [0.5, 0.5]), &[("equal-loss", Verdict::Inconclusive)]);
    undecided(id, &ids);
}

#[test]
fn figure_5() {
    let (id, ids) = ("support/fig5", ["support", "informative", "comparable", "equal-loss"]);
    let data = declared(id).data.load().unwrap();
    let deviations: Vec<f64> = (0..64)
        .map(|pixel| {
            let column: Vec<f64> = data.x.iter().skip(pixel).step_by(64).copied().collect();
            let mean = column.iter().sum::<f64>() / column.len() as f64;
            (column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / column.len() as f64).sqrt()
        })
        .collect();
    // Columns as large as pixels vary, or the other way round.
    let params = |supported: bool| {
        let deviations = &deviations;
        move |_: Seed| (0..64 * 64).map(|k| if supported { deviations[k % 64] } else { 1.0 - deviations[k % 64] }).collect()
    };
    for (supported, loss, verdict) in [(true, 1.0, Holds), (false, 0.4, Fails)] {
        let mut told = perceptrons(id, [1.0; 3], [1.05, loss]);
        end(&mut told, "large", params(!supported));
        end(&mut told, "small-updates", params(supported));
        end(&mut told, "small-epochs", params(supported));
        expect(id, &told, &ids.map(|claim| (claim, verdict)));
    }
    undecided(id, &ids);
    let mut spec = declared(id);
    spec.runs[1].data = Some(Data::images(Source::Digits, None, None));
    assert!((experiments::find(id).unwrap().check)(&spec).unwrap_err().to_string().contains("runs.small-updates.data"));
}

#[test]
fn figures_6_and_7() {
    let covariances = |id: &str, [effective, sizeable, spikes, near_zero]: [f64; 4], right: bool| {
        synthetic(id, |run, metric, _| match (metric, run.name.as_str()) {
            ("channels", "first") => 1.0,
            ("channels", _) => 3.0,
            ("classes", _) => 10.0,
            ("grey_effective_rank", _) => effective,
            ("grey_sizeable", _) => sizeable,
            ("grey_near_zero", _) => near_zero,
            ("grey_spikes", "first") => 10.0 + spikes,
            ("grey_spikes" | "first_spikes", _) => 3.0 + spikes,
            ("first_rank", _) if right => 1024.0,
            ("first_effective_rank", _) if right => 14.0,
            ("first_stable_rank", _) if right => 1.308_68,
            _ => 1.0,
        })
    };
    for (quantities, right, verdict_of_all) in [([14.0, 0.6, 0.0, 0.9], true, Holds), ([9.0, 0.4, 2.0, 0.4], false, Fails)] {
        let all = |ids: &[&'static str]| ids.iter().map(|&claim| (claim, verdict_of_all)).collect::<Vec<_>>();
        let id = "support/fig6";
        expect(id, &covariances(id, quantities, right), &all(&["high-dimensional", "sizeable"]));
        let id = "support/fig7";
        let told = covariances(id, quantities, right);
        expect(id, &told, &all(&["classes", "channels", "bulk"]));
        let mut spec = declared(id);
        assert_eq!(verdict(id, &spec, &told, "cifar10"), None, "drawn images are not CIFAR-10");
        let images = Data::images(Source::Cifar10 { path: PathBuf::from("folder") }, None, None);
        spec.runs[1].data = Some(images.clone());
        assert_eq!(verdict(id, &spec, &told, "cifar10"), Some(verdict_of_all));
        // Of two runs on one data set the first counts, and these are images of one channel.
        spec.runs[0].data = Some(images);
        assert_eq!(verdict(id, &spec, &told, "channels"), Some(Verdict::Inconclusive));
    }
}

#[test]
fn figure_17() {
    let id = "support/fig17";
    for (found, corners, verdict) in [(10.0, [0.01, 0.9], Holds), (9.0, [0.5, 0.05], Fails)] {
        let told = synthetic(id, |run, metric, _| match (metric, run.name.as_str()) {
            ("found", _) => found,
            ("classes", _) => 10.0,
            ("corners", "first") => corners[0],
            ("corners", _) => corners[1],
            ("channels", "second") => 3.0,
            _ => 1.0,
        });
        expect(id, &told, &["sample", "corners", "unclear"].map(|claim| (claim, verdict)));
    }
}

/// The weights of a seed's start, W_1 changed.
fn heads(spec: &Spec, change: impl Fn(usize, usize, f64) -> f64) -> impl Fn(Seed) -> Vec<f64> {
    move |seed| {
        let start = spec.net.initial(64, seed);
        start.iter().enumerate().map(|(k, &w)| if k < 64 * 64 { change(k / 64, k % 64, w) } else { w }).collect()
    }
}

#[test]
fn figures_of_heads() {
    let errors = |id: &str, sgd: f64, gold: f64| {
        synthetic(id, |run, metric, _| match (metric, run.name.as_str()) {
            ("test_error", "gold") => gold,
            ("test_error", _) => sgd,
            _ => 1.0,
        })
    };
    // Nine directions on top of the start, the start made larger, nine directions alone, and the start as it is.
    let on_diagonal = |i: usize, j: usize| i == j && i < 9;
    let spikes = |i: usize, j: usize, w: f64| if on_diagonal(i, j) { w + 10.0 } else { w };
    let larger = |_: usize, _: usize, w: f64| 3.0 * w;
    let alone = |i: usize, j: usize, _: f64| f64::from(on_diagonal(i, j));
    let same = |_: usize, _: usize, w: f64| w;

    let (id, ids) = ("support/fig8", ["dimensions", "bulk", "accurate"]);
    let spec = declared(id);
    let mut told = errors(id, 0.05, 0.05);
    end(&mut told, "sgd", heads(&spec, spikes));
    expect(id, &told, &ids.map(|claim| (claim, Holds)));
    let mut wrong = errors(id, 0.2, 0.2);
    end(&mut wrong, "sgd", heads(&spec, larger));
    expect(id, &wrong, &ids.map(|claim| (claim, Fails)));
    undecided(id, &ids);

    let (id, ids) = ("support/fig19", ["ground-truth", "sgd", "adam", "bulk"]);
    let spec = declared(id);
    let (mut told, mut wrong) = (errors(id, 0.05, 0.05), errors(id, 0.05, 0.05));
    end(&mut told, "gold", heads(&spec, alone));
    end(&mut wrong, "gold", heads(&spec, same));
    for run in ["sgd", "adam"] {
        end(&mut told, run, heads(&spec, spikes));
        end(&mut wrong, run, heads(&spec, larger));
    }
    expect(id, &told, &ids.map(|claim| (claim, Holds)));
    expect(id, &wrong, &ids.map(|claim| (claim, Fails)));
    undecided(id, &ids);

    let (id, ids) = ("support/fig18", ["compact", "performs", "spread"]);
    let spec = declared(id);
    let (mut told, mut wrong) = (errors(id, 0.05, 0.06), errors(id, 0.05, 0.5));
    end(&mut told, "gold", heads(&spec, alone));
    end(&mut wrong, "gold", heads(&spec, same));
    expect(id, &told, &ids.map(|claim| (claim, Holds)));
    expect(id, &wrong, &[("compact", Fails), ("performs", Fails)]);
    let mut nothing = declared(id);
    let Architecture::Mlp { init, .. } = &mut nothing.net else { panic!("a head is a perceptron") };
    *init = Init::Kaiming { law: Law::Normal, gain: 0.0 };
    assert_eq!(verdict(id, &nothing, &told, "spread"), Some(Fails), "a start at zero");
    undecided(id, &ids);
    diverge(&mut told, "sgd");
    expect(id, &told, &[("performs", Verdict::Inconclusive)]);
    nothing.runs.retain(|run| run.name != "gold");
    assert!((experiments::find(id).unwrap().check)(&nothing).unwrap_err().to_string().contains("`gold`, which is missing"));
}

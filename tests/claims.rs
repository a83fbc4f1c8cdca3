//! Every claim of a figure can come out both ways: here it is fed data that make it true, and data that make it false.

mod common;

use handgrad::claims::{Claim, Verdict};
use handgrad::experiments;
use handgrad::run::{Replica, Results, RunResults};
use handgrad::spec::{Scale, Seed};
use handgrad::train::Outcome;

/// Results of Figure 2 for 20 seeds in which `value(run index, metric, fraction of the run)` is measured.
fn synthetic(value: impl Fn(usize, &str, f64) -> f64) -> Results {
    let spec = (experiments::find("sparse/fig2").unwrap().declare)(Scale::Paper);
    let metrics: Vec<String> = spec.metrics.iter().map(|metric| metric.name.clone()).collect();
    let run = |(index, run): (usize, &handgrad::spec::Run)| {
        let points = spec.evaluate.points(run.steps);
        let replica = |seed| Replica {
            seed: Seed::Own(seed),
            outcome: Outcome::Finished,
            trajectory: vec![],
            values: points
                .iter()
                .flat_map(|&step| metrics.iter().map(move |metric| (metric, step as f64 / run.steps as f64)))
                .map(|(metric, fraction)| value(index, metric, fraction))
                .collect(),
            params: vec![],
        };
        RunResults {
            name: run.name.clone(),
            steps: run.steps,
            first_decay: run.schedule.first_decay(run.steps),
            points: points.clone(),
            metrics: metrics.clone(),
            replicas: (0..20).map(replica).collect(),
        }
    };
    Results { runs: spec.runs.iter().enumerate().map(run).collect() }
}

fn verdicts(results: &Results) -> Vec<(String, Verdict)> {
    let claims: Vec<Claim> = (experiments::find("sparse/fig2").unwrap().expect)(&common::fig2(&[]), results).unwrap();
    claims.into_iter().map(|claim| (claim.id, claim.verdict)).collect()
}

#[test]
fn figure_2_as_the_paper_tells_it_holds() {
    let told = synthetic(|run, metric, fraction| match metric {
        "train_loss" => 10f64.powf(-1.5),
        _ => 100.0 - 20.0 * run as f64 - fraction,
    });
    for (id, verdict) in verdicts(&told) {
        assert_eq!(verdict, Verdict::Holds, "{id}");
    }
}

#[test]
fn figure_2_told_backwards_fails() {
    let backwards = synthetic(|run, metric, fraction| match metric {
        "train_loss" => (-30.0 * fraction).exp(),
        _ => 100.0 + 20.0 * run as f64 + fraction,
    });
    for (id, verdict) in verdicts(&backwards) {
        assert_eq!(verdict, Verdict::Fails, "{id}");
    }
}

#[test]
fn figure_2_without_finite_seeds_is_inconclusive() {
    let mut lost = synthetic(|_, _, _| 1.0);
    for replica in lost.runs.iter_mut().flat_map(|run| &mut run.replicas) {
        replica.outcome = Outcome::Diverged { step: 10 };
    }
    let claims = (experiments::find("sparse/fig2").unwrap().expect)(&common::fig2(&[]), &lost).unwrap();
    for claim in claims {
        assert_eq!(claim.verdict, Verdict::Inconclusive, "{}", claim.id);
        assert!(claim.evidence.iter().all(|part| part.diverged == 20), "{}: divergences are counted", claim.id);
    }
}

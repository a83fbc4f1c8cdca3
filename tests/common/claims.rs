//! Results made up for a figure's claims.

use handgrad::claims::Verdict::{self, Inconclusive};
use handgrad::experiments;
use handgrad::run::{Replica, Results, RunResults};
use handgrad::spec::{Run, Scale, Seed, Spec};
use handgrad::train::Outcome;

pub fn declared(id: &str) -> Spec {
    (experiments::find(id).unwrap().declare)(Scale::Laptop)
}

/// Results of a figure for 20 seeds in which `value(run, metric, updates done)` is measured.
pub fn synthetic(id: &str, value: impl Fn(&Run, &str, u64) -> f64) -> Results {
    let spec = declared(id);
    let metrics: Vec<String> = spec.metrics.iter().map(|metric| metric.name.clone()).collect();
    let run = |run: &Run| {
        let points = spec.evaluate.points(run.steps);
        let measured = points.iter().flat_map(|&step| metrics.iter().map(move |metric| (metric, step)));
        let values: Vec<f64> = measured.map(|(metric, step)| value(run, metric, step)).collect();
        let (outcome, trajectory, params) = (Outcome::Finished, vec![], vec![]);
        let replica = |seed| Replica {
            seed: Seed::Own(seed),
            outcome,
            values: values.clone(),
            trajectory: trajectory.clone(),
            params: params.clone(),
        };
        RunResults {
            name: run.name.clone(),
            steps: run.steps,
            first_decay: run.schedule.first_decay(run.steps),
            replicas: (0..20).map(replica).collect(),
            points,
            metrics: metrics.clone(),
        }
    };
    Results { runs: spec.runs.iter().map(run).collect() }
}

/// Ends every replica of the runs of a name.
pub fn diverge(results: &mut Results, prefix: &str) {
    let runs = results.runs.iter_mut().filter(|run| run.name.starts_with(prefix));
    runs.flat_map(|run| &mut run.replicas).for_each(|replica| replica.outcome = Outcome::Diverged { step: 10 });
}

/// The verdicts of the claims that are named.
pub fn expect(id: &str, results: &Results, expected: &[(&str, Verdict)]) {
    let claims = (experiments::find(id).unwrap().expect)(&declared(id), results).unwrap();
    for (name, verdict) in expected {
        let claim = claims.iter().find(|claim| claim.id == *name).unwrap_or_else(|| panic!("{id} has no claim {name}"));
        assert_eq!(claim.verdict, *verdict, "{id} {name}: {:#?}", claim.evidence);
    }
}

pub fn fraction(run: &Run, step: u64) -> f64 {
    step as f64 / run.steps as f64
}

/// Claims that runs decide are undecided where every run diverged, and divergences are counted.
pub fn undecided(id: &str, claims: &[&str]) {
    let mut lost = synthetic(id, |_, _, _| 1.0);
    diverge(&mut lost, "");
    for claim in (experiments::find(id).unwrap().expect)(&declared(id), &lost).unwrap() {
        if claims.contains(&claim.id.as_str()) {
            assert_eq!(claim.verdict, Inconclusive, "{id} {}", claim.id);
            assert!(claim.evidence.iter().all(|part| part.diverged == 20), "{id} {}: divergences are counted", claim.id);
        }
    }
}

/// Gives every replica of a run its parameters at the end.
pub fn end(results: &mut Results, run: &str, params: impl Fn(Seed) -> Vec<f64>) {
    let run = results.runs.iter_mut().find(|found| found.name == run).unwrap();
    run.replicas.iter_mut().for_each(|replica| replica.params = params(replica.seed));
}

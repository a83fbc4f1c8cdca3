//! Every figure at smoke scale: it runs, its claims and picture are whole, and its bits depend on nothing but its spec.

mod common;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use handgrad::Error;
use handgrad::claims::Verdict;
use handgrad::experiments::{self, FIGURES};
use handgrad::kernels::Context;
use handgrad::run::{Opened, Options, Results, RunFolder, RunResults, execute};
use handgrad::spec::{Run, Scale, Seed, Seeds, Spec};
use handgrad::train::{Outcome, Progress};

/// Every number of every replica.
fn bits(results: &Results) -> Vec<u64> {
    let replicas = results.runs.iter().flat_map(|run| &run.replicas);
    let numbers = replicas.flat_map(|replica| [&replica.values, &replica.trajectory, &replica.params].into_iter().flatten());
    numbers.map(|value| value.to_bits()).collect()
}

#[test]
fn every_figure_runs_and_its_claims_and_picture_are_whole() {
    let cx = Context::cpu().unwrap();
    for figure in FIGURES {
        let spec = (figure.declare)(Scale::Smoke);
        spec.check().unwrap();
        (figure.check)(&spec).unwrap();
        let own = (figure.declare)(Scale::Paper).seeds.own.len();
        assert!(own >= 20, "{}: {own} own seeds", figure.id);
        let read_back = Spec::from_json(&spec.to_json().unwrap(), "test").unwrap();
        assert_eq!(read_back, spec, "{}", figure.id);
        let results = common::results(&cx, &spec, 1);
        let claims = (figure.expect)(&spec, &results).unwrap();
        let ids: HashSet<&str> = claims.iter().map(|claim| claim.id.as_str()).collect();
        assert!(ids.len() == claims.len() && !claims.is_empty(), "{}: identifiers are unique", figure.id);
        for claim in &claims {
            assert!(!claim.evidence.is_empty(), "{} {}", figure.id, claim.id);
        }
        assert!(!spec.panels.is_empty(), "{}: nothing is drawn without panels", figure.id);
        let picture = (figure.draw)(&spec, &results).unwrap();
        for panel in &picture.panels {
            let cells = panel.cells.iter().any(|cells| !cells.values.is_empty() && cells.values.iter().all(|v| v.is_finite()));
            let tiles = panel.tiles.iter().any(|tiles| !tiles.values.is_empty() && tiles.values.iter().all(|v| v.is_finite()));
            let shown = cells
                || tiles
                || panel.curves.iter().any(|curve| curve.points.iter().any(|(x, y)| x.is_finite() && y.is_finite()));
            assert!(shown, "{}: `{}` is empty", figure.id, panel.title);
        }
        assert_eq!(bits(&results), bits(&common::results(&cx, &spec, 3)), "{}: at 1 and 3 threads", figure.id);
    }
}

/// What too few measurements, other step sizes or single precision leave undecided is not decided.
#[test]
fn claims_are_not_decided_by_what_was_not_measured() {
    let cx = Context::cpu().unwrap();
    let verdict = |id: &str, claim: &str, overrides: &[&str]| {
        let figure = experiments::find(id).unwrap();
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        let spec = (figure.declare)(Scale::Smoke).with_overrides(&overrides).unwrap();
        (figure.check)(&spec).unwrap();
        let results = common::results(&cx, &spec, 0);
        (figure.draw)(&spec, &results).unwrap();
        (figure.expect)(&spec, &results).unwrap().into_iter().find(|one| one.id == claim).unwrap().verdict
    };
    assert_eq!(verdict("sparse/prop3", "bounces", &[]), Verdict::Holds);
    assert_eq!(verdict("sparse/prop3", "bounces", &["evaluate.first=2", "evaluate.grid=3"]), Verdict::Inconclusive);
    assert_eq!(verdict("sparse/prop3", "bands", &["schedule.peak=0.5"]), Verdict::Inconclusive, "outside the interval");
    let seeds = "seed=0..20";
    assert_eq!(verdict("sparse/prop1", "equal", &[seeds, "steps=1"]), Verdict::Inconclusive);
    assert_eq!(verdict("sparse/prop1", "equal", &[seeds, "steps=200", "dtype=f32"]), Verdict::Holds, "to f32's rounding");
}

/// Stops after some steps.
struct StopAt<'a> {
    left: AtomicU64,
    stop: &'a AtomicBool,
}

impl Progress for StopAt<'_> {
    fn advanced(&self, steps: u64, _loss: f64) {
        let left = self.left.fetch_sub(steps.min(self.left.load(Ordering::SeqCst)), Ordering::SeqCst);
        self.stop.fetch_or(left <= steps, Ordering::SeqCst);
    }
}

/// Own data, trajectories and noise survive an interruption.
#[test]
fn interrupted_figures_resume_to_the_same_bits() {
    let cx = Context::cpu().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (id, after) in [("sparse/fig3", 5_000), ("sparse/sde", 700), ("sparse/prop1", 3_000), ("stability/fig6", 150)] {
        let spec = (experiments::find(id).unwrap().declare)(Scale::Smoke).with_overrides(&["seed=0..2".to_owned()]).unwrap();
        let whole = common::results(&cx, &spec, 1);
        let target = folder.path().join(id.replace('/', "-"));
        let mut interruptions = 0;
        let resumed = loop {
            let Opened::Work(work) = RunFolder::open(&target, &spec, interruptions > 0).unwrap() else {
                panic!("{id} is finished")
            };
            let stop = AtomicBool::new(false);
            let left = if interruptions < 3 { after } else { u64::MAX };
            let progress = StopAt { left: AtomicU64::new(left), stop: &stop };
            let every = Duration::from_secs(3600);
            let options = Options { threads: 1, folder: Some(&work), stop: &stop, checkpoint_every: every, progress: &progress };
            match execute(&cx, &spec, spec.data.load().unwrap(), &options) {
                Ok((results, _)) => break results,
                Err(Error::Preempted(_)) => interruptions += 1,
                Err(error) => panic!("{id}: {error}"),
            }
        };
        assert!(interruptions >= 2, "{id}: {interruptions} interruptions");
        assert_eq!(bits(&whole), bits(&resumed), "{id}");
    }
}

fn smoke(id: &str, overrides: &[&str]) -> Spec {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    (experiments::find(id).unwrap().declare)(Scale::Smoke).with_overrides(&overrides).unwrap()
}

/// The spec of one replica alone, with its data and network in the open.
fn alone(spec: &Spec, run: &Run, seed: Seed) -> Spec {
    let data = spec.data_of(run).clone();
    let (data, own) = match seed {
        Seed::Own(own) => (if spec.seeds.own_data { data.redrawn(own).unwrap() } else { data }, vec![own]),
        Seed::Paper => (data, vec![]),
    };
    Spec {
        data,
        net: spec.net_of(run).clone(),
        seeds: Seeds { paper: seed == Seed::Paper, own, own_data: false },
        runs: vec![Run { data: None, net: None, ..run.clone() }],
        panels: vec![],
        ..spec.clone()
    }
}

#[test]
fn replicas_are_in_company_what_they_are_alone() {
    let cx = Context::cpu().unwrap();
    let fig3 =
        ["seed=0..3", "runs.flow.steps=40", "runs.gd.steps=40", "runs.sgd.steps=40", "evaluate.first=9", "evaluate.grid=5"];
    let together = ["seeds.own_data=false", "seeds.paper=false", "runs.sgd.optimiser.weight_average=0.9"];
    for spec in [
        smoke("sparse/fig3", &fig3),
        smoke("sparse/fig3", &[&fig3[..], &together].concat()),
        smoke("sparse/prop3", &["seed=0..3"]),
        smoke("sparse/prop3", &["seed=0..3", "seeds.own_data=false"]),
    ] {
        let results = common::results(&cx, &spec, 1);
        for (run, declared) in results.runs.iter().zip(&spec.runs) {
            assert_eq!(run.replicas.iter().map(|replica| replica.seed).collect::<Vec<_>>(), spec.seeds());
            for (index, replica) in run.replicas.iter().enumerate() {
                let what = format!("{} {} {}", spec.title, run.name, replica.seed);
                let mut single = common::results(&cx, &alone(&spec, declared, replica.seed), 1).runs.remove(0).replicas.remove(0);
                if spec.trajectory {
                    let last = &single.trajectory[single.trajectory.len() - single.params.len()..];
                    match single.outcome {
                        Outcome::Finished => assert_eq!(last, single.params, "{what}: the last point is the end"),
                        Outcome::Diverged { .. } => assert!(last.iter().all(|value| value.is_nan()), "{what}: there is no end"),
                    }
                }
                if index > 0 || !spec.trajectory {
                    single.trajectory.clear();
                }
                let one = |replica| bits(&Results { runs: vec![RunResults { replicas: vec![replica], ..run.clone() }] });
                assert_eq!(one(replica.clone()), one(single), "{what}");
            }
        }
    }
}

#[test]
fn metrics_are_taken_in_their_runs_at_every_so_many_points_and_the_last() {
    let cx = Context::cpu().unwrap();
    let fig3 =
        ["seed=0..1", "runs.flow.steps=40", "runs.gd.steps=40", "runs.sgd.steps=40", "evaluate.first=9", "evaluate.grid=5"];
    for spec in [smoke("sparse/fig3", &fig3), smoke("sparse/text", &["seed=0..1", "evaluate.grid=24"])] {
        let results = common::results(&cx, &spec, 1);
        for (run, metric) in results.runs.iter().flat_map(|run| spec.metrics.iter().map(move |metric| (run, metric))) {
            for replica in run.replicas.iter().filter(|replica| replica.outcome == Outcome::Finished) {
                let every = if replica.seed == Seed::Paper { metric.every } else { metric.every_own };
                let wanted = metric.only.is_empty() || metric.only.iter().any(|name| run.name.starts_with(name));
                let due = |index: usize| wanted && (index.is_multiple_of(every) || index + 1 == run.points.len());
                let points: Vec<u64> = (0..run.points.len()).filter(|&index| due(index)).map(|index| run.points[index]).collect();
                let taken: Vec<u64> = run.series(replica, &metric.name).into_iter().map(|(step, _)| step).collect();
                assert_eq!(taken, points, "{} {} {}", run.name, metric.name, replica.seed);
            }
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |id: &str, overrides: &[&str], want: &str| {
        let figure = experiments::find(id).unwrap();
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        let spec = (figure.declare)(Scale::Smoke).with_overrides(&overrides).unwrap();
        let error = spec.check().and_then(|()| (figure.check)(&spec)).unwrap_err().to_string();
        assert!(error.contains(want) && !error.contains('\n'), "{error}\nexpected {want}");
    };
    refused("sparse/prop3", &["runs.unit.data.x_max=1.2"], "expected x_max/x_min below √1.25 = 1.1180, got 1.2");
    refused("sparse/prop3", &["runs.unit.data.x_min=-1"], "expected finite numbers with 0 < x_min <= x_max");
    refused("sparse/prop3", &["runs.unit.net.high=0"], "runs.unit.net: low = 0 and high = 0");
    refused("sparse/prop3", &["seeds.paper=true"], "the paper gives no seed");
    refused("sparse/sde", &["runs.sde.optimiser.label_noise.variance=-1"], "label_noise.variance is -1");
    refused("sparse/prop1", &["runs.label-noise.optimiser.batch={\"kind\":\"full\"}"], "label_noise is sampled");
    refused("sparse/fig3", &["data={\"kind\":\"npz\",\"path\":\"x.npz\"}"], "cannot be drawn anew for every seed");
    refused("sparse/fig3", &["runs.sgd.data.d=50"], "runs.sgd.data differs from the spec's");
    refused("sparse/text", &["metrics=[{\"name\":\"l1\",\"every\":1,\"every_own\":1,\"only\":[\"huge\"]}]"], "begin with `huge`");
    refused("sparse/fig4", &["net.bias=all"], "the neurons of ReLU networks 1-m-1 with bias = first");
    refused("sparse/fig5", &["runs.gd.net.activation=tanh"], "runs.gd: the figure draws the neurons of ReLU networks 2-m-1");
    let nothing = ["evaluate.first=0", "evaluate.grid=1", "runs.sgd.steps=1"];
    refused("sparse/fig3", &nothing, "evaluate.first = 0 and evaluate.grid = 1 leave nothing to measure");
    refused("sparse/fig8", &["data.seed=4294967296"], "expected at most 4294967295");
}

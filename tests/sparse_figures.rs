//! Figures 3 and 8 against an independent NumPy implementation of the same protocol, on the paper's data and order.

mod common;

use handgrad::experiments;
use handgrad::kernels::Context;
use handgrad::run::Results;
use handgrad::spec::{Scale, Seed};

/// The paper's replica alone.
fn paper(id: &str, overrides: &[&str]) -> Results {
    let overrides: Vec<String> = ["seed=[]"].iter().chain(overrides).map(|&text| text.to_owned()).collect();
    let spec = (experiments::find(id).unwrap().declare)(Scale::Paper).with_overrides(&overrides).unwrap();
    common::results(&Context::cpu().unwrap(), &spec, 0)
}

fn last(results: &Results, run: &str, metric: &str) -> f64 {
    let run = results.run(run).unwrap();
    run.last(run.survivor(Seed::Paper).unwrap(), metric).unwrap()
}

/// Gradient flow and SGD are not chaotic: three digits; gradient descent to two.
#[test]
fn figure_3_ends_where_numpys_does() {
    let results = paper("sparse/fig3", &[]);
    for (run, metric, want, tolerance) in [
        ("flow", "train_loss", 4.90234e-6, 5e-4),
        ("flow", "test_loss", 1.49096e-2, 5e-4),
        ("flow", "teacher_distance", 1.74019e-1, 5e-4),
        ("flow", "l0@1e-3", 29.0, 0.0),
        ("sgd", "train_loss", 3.87297e-8, 5e-4),
        ("sgd", "test_loss", 3.98213e-8, 5e-4),
        ("sgd", "teacher_distance", 2.88623e-4, 5e-4),
        ("sgd", "l0@1e-3", 3.0, 0.0),
        ("gd", "test_loss", 1.26485e-1, 5e-3),
        ("gd", "l0@1e-3", 24.0, 0.0),
    ] {
        let value = last(&results, run, metric);
        assert!((value / want - 1.0).abs() <= tolerance, "{run} {metric}: {value:e} against {want:e}");
    }
    let trajectory = &results.run("sgd").unwrap().replicas[0].trajectory;
    assert_eq!(trajectory.len(), 566 * 60);
    assert_eq!(trajectory[565 * 60..], results.run("sgd").unwrap().replicas[0].params, "the last point is the end");
}

/// The small step size to three digits; ranks and sparsity of the large ones, whose losses depend on the order of sums.
#[test]
fn figure_8_ends_where_numpys_does() {
    let results = paper("sparse/fig8", &["evaluate.first=0", "evaluate.grid=250", "runs.sgd-50%.steps=1000"]);
    let value = last(&results, "gd-small", "test_loss");
    assert!((value / 1.68241e-1 - 1.0).abs() <= 5e-4, "{value:e}");
    for (run, metric, want) in [
        ("gd-small", "ntk_rank@1e-15", 100.0),
        ("gd-10%", "ntk_rank@1e-15", 83.0),
        ("gd-30%", "ntk_rank@1e-15", 78.0),
        ("gd-50%", "ntk_rank@1e-15", 77.0),
        ("gd-10%", "l0@1e-50", 86.0),
        ("gd-30%", "l0@1e-50", 80.0),
        ("gd-50%", "l0@1e-50", 78.0),
    ] {
        let value = last(&results, run, metric);
        assert!((value - want).abs() <= 3.0, "{run} {metric}: {value} against {want}");
    }
    for run in ["gd-10%", "gd-30%", "gd-50%"] {
        let value = last(&results, run, "test_loss");
        assert!((0.3..0.6).contains(&value), "{run}: test loss {value}");
    }
}

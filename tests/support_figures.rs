//! Figures of "How neural networks learn the support" against an independent NumPy implementation of the same protocols.

mod common;

use handgrad::experiments;
use handgrad::kernels::Context;
use handgrad::run::{Results, quantile};
use handgrad::spec::{Scale, Seed};

fn results(id: &str, scale: Scale, overrides: &[&str]) -> Results {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    let spec = (experiments::find(id).unwrap().declare)(scale).with_overrides(&overrides).unwrap();
    common::results(&Context::cpu().unwrap(), &spec, 0)
}

/// Runs that draw nothing, to as many digits as the reference has: (a, b) of f = abx.
#[test]
fn figure_4_goes_where_numpys_does() {
    let results = results("support/fig4", Scale::Laptop, &["seed=0..1"]);
    let ends = |run: &str| results.run(run).unwrap().replicas[0].params.clone();
    for (run, a, b, tolerance) in [
        ("gd-d1", 3.855_300_662_122_396_6, 0.0, 1e-12),
        ("sgd-d1", 9.465_619_351_556_071e-6, 7.572_980_183_004_935e-8, 1e-15),
        ("gd-d2-code", 3.700_975_937_479_772, 0.0, 1e-12),
        ("sgd-d2", 3.133_023_219_849_331_7, 0.0, 1e-12),
    ] {
        let end = ends(run);
        assert!((end[0] - a).abs() <= tolerance && (end[1] - b).abs() <= tolerance, "{run}: {end:?}");
    }
    let run = results.run("sgd-d1").unwrap();
    for (step, a) in [(1, 3.92), (10, 3.849_031_739_0), (100, 3.791_378_382_9), (500, 3.555_089_934_2)] {
        let found = run.within(&run.replicas[0], "first_parameter", step..=step)[0].1;
        assert!((found - a).abs() <= 1e-7, "{step}: {found}");
    }
}

/// NumPy's seed 0.
#[test]
fn figure_9_goes_where_numpys_does() {
    let results = results("support/fig9", Scale::Smoke, &["seed=0..1"]);
    for (run, a, b, tolerance) in
        [("gd", 3.429_761_564, 0.291_565_458, 1e-8), ("sgd", 0.685_98, 0.681_04, 1e-5), ("gd-decay", 0.707_99, 0.706_81, 1e-5)]
    {
        let end = &results.run(run).unwrap().survivor(Seed::Paper).unwrap().params;
        assert!((end[0] - a).abs() <= tolerance && (end[1] - b).abs() <= tolerance, "{run}: {end:?}");
    }
}

/// Medians over our seeds within the ranges over five to ten seeds of the reference: at 20,000 iterations of gradient descent and
/// of the smallest step size, and 50,000 else. The two floors of noise, where one evaluation may be twice the next, by the median
/// of a run's last three.
#[test]
fn figure_11_has_the_reference_medians() {
    let mut overrides = vec!["seed=0..5".to_owned(), "evaluate.grid=20".to_owned()];
    let spec = (experiments::find("support/fig11").unwrap().declare)(Scale::Laptop);
    for run in &spec.runs {
        let steps = match run.name.as_str() {
            name if name.ends_with("512") || name.ends_with("decay") || !name.starts_with("0.") => 100,
            name if name.starts_with("0.1-") || name.ends_with("gd") => 20_000,
            _ => 50_000,
        };
        overrides.push(format!("runs.{}.steps={steps}", run.name));
    }
    let overrides: Vec<&str> = overrides.iter().map(String::as_str).collect();
    let results = results("support/fig11", Scale::Laptop, &overrides);
    for (run, low, high) in [
        ("0.1-gd", 0.805, 0.862),
        ("0.1-sgd-128", 0.599, 0.639),
        ("0.1-sgd-32", 0.484, 0.534),
        ("0.1-sgd-1", 0.283, 0.374),
        ("0.2-gd", 0.801, 0.843),
        ("0.2-sgd-128", 0.100, 0.114),
        ("0.2-sgd-32", 0.0073, 0.0163),
        ("0.2-sgd-1", 0.042, 0.079),
        ("0.5-gd", 0.793, 0.841),
        ("0.5-sgd-128", 0.016, 0.022),
        ("0.5-sgd-32", 0.014, 0.040),
        // The reference's range over its last evaluation points.
        ("0.5-sgd-1", 0.146, 0.289),
    ] {
        let of = results.run(run).unwrap();
        let points = if ["0.2-sgd-1", "0.5-sgd-1"].contains(&run) { 3 } else { 1 };
        let norms = of.own().map(|replica| {
            let series = of.series(replica, "irrelevant_norm");
            let last: Vec<f64> = series[series.len() - points..].iter().map(|(_, norm)| norm / series[0].1).collect();
            quantile(&last, 0.5).unwrap()
        });
        let median = quantile(&norms.collect::<Vec<_>>(), 0.5).unwrap();
        assert!(low <= median && median <= high, "{run}: median {median}, expected {low} to {high}");
    }
}

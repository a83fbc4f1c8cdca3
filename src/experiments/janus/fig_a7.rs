//! Figure A.7: slopes of the logarithm of the smallest singular value, whose ratio for SGD and GD should be N = 6. X has 6 samples
//! of 6 inputs, the last of which is always 0: for a null space X must be short of rank.

use super::PAPER;
use super::regression::Law;
use super::setting::{LARGEST, OUTSIDE, RUNS, SMALLEST, declare, draw, simulate};
use crate::claims::{Claim, Evidence, each};
use crate::experiments::Figure;
use crate::run::{Replica, Results, RunResults, line};
use crate::spec::Scale;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "janus/figA7",
    paper: PAPER,
    about: "slopes of the logarithm of singular values: N times steeper for SGD in the null space of the data, alike in its span",
    declare: |scale| {
        let epochs = match scale {
            Scale::Smoke => 1_000,
            Scale::Laptop | Scale::Paper => 3_000,
        };
        declare(&FIGURE, "Slopes of singular values, Figure A.7", scale, (6, 6), epochs, &RUNS)
    },
    expect: |_, results| {
        let late = |of: &RunResults| of.steps / 2;
        Ok(vec![
            Claim::all(
                "null-space",
                "outside the span of the data the slope is N = 6 times that of GD, exactly",
                "Theorem 1",
                vec![ratio(results, "sgd", OUTSIDE, |_| 0, 1e-6).every()],
            ),
            Claim::all(
                "smallest",
                "so is that of the smallest singular value: 5.84 in the paper",
                "Figure A.7; a constant step size, second half",
                vec![ratio(results, "sgd", SMALLEST, late, 0.1)],
            ),
            Claim::all(
                "smallest-sqrt",
                "so it is with the step size η/√epoch",
                "section 3.3 as printed",
                vec![ratio(results, "sgd-sqrt", SMALLEST, late, 0.1)],
            ),
            Claim::all(
                "largest",
                "the largest singular value does not decay and ends alike",
                "Figure A.7",
                vec![each(results, "sgd: largest singular value within 10% of gradient descent's", "sgd", |run, replica| {
                    let other = results.run("gd")?;
                    let ratio = run.last(replica, LARGEST)? / other.last(other.survivor(replica.seed)?, LARGEST)?;
                    Some(((ratio - 1.0).abs() <= 0.1, ratio))
                })],
            ),
        ])
    },
    simulate: Some(|spec, run, seed, progress| simulate(spec, run, seed, progress, Law { relevant: None, missing: 1 }, 0.1)),
    check: super::check,
    draw: |spec, results| draw(spec, results, "epoch"),
};

/// Slope of the logarithm of a metric over epochs from `first` on, above rounding.
fn slope(run: &RunResults, replica: &Replica, metric: &str, first: u64) -> Option<f64> {
    let points = run.within(replica, metric, first..).into_iter().filter(|&(_, value)| value > 1e-13);
    let points: Vec<(f64, f64)> = points.map(|(epoch, value)| (epoch as f64, value.ln())).collect();
    line(&points).map(|(slope, _)| slope)
}

/// For every seed: is the ratio of the slopes of a run and of gradient descent within a share of 6?
fn ratio(results: &Results, name: &str, metric: &str, first: fn(&RunResults) -> u64, share: f64) -> Evidence {
    each(results, &format!("{name}: ratio of slopes of log {metric} within {share:e} of 6, relatively"), name, |run, replica| {
        let other = results.run("gd")?;
        let reference = slope(other, other.survivor(replica.seed)?, metric, first(other))?;
        let ratio = slope(run, replica, metric, first(run))? / reference;
        Some(((ratio / 6.0 - 1.0).abs() <= share, ratio))
    })
}

//! Figure A.1: regression from W = 0, 10 epochs. W stays in the span of the data, where both end at rank N < d.

use super::regression::Law;
use super::setting::{MSE, OUTSIDE, RUNS, SMALLEST, below, declare, draw, simulate};
use super::{PAPER, last};
use crate::claims::{Claim, each};
use crate::experiments::Figure;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "janus/figA1",
    paper: PAPER,
    about: "regression from W = 0 over 10 epochs: GD and SGD stay in the span of the data",
    declare: |scale| declare(&FIGURE, "Regression from W = 0, Figure A.1", scale, (10, 11), 10, &RUNS),
    expect: |_, results| {
        let span = |run: &str| {
            last(results, run, "smallest singular value and ‖W(I - π)‖ below 1e-12", SMALLEST, |value| value < 1e-12)
        };
        let outside = |run: &str| last(results, run, "‖W(I - π)‖ below 1e-12", OUTSIDE, |value| value < 1e-12);
        let rate = each(results, "sgd: mean square error within 10% of gradient descent's", "sgd", |run, replica| {
            let other = results.run("gd")?;
            let ratio = run.last(replica, MSE)? / other.last(other.survivor(replica.seed)?, MSE)?;
            Some(((ratio - 1.0).abs() <= 0.1, ratio))
        });
        Ok(vec![
            Claim::all(
                "span",
                "the smallest singular value is 0 for both at the end",
                "Figure A.1",
                vec![span("gd"), span("sgd"), outside("gd"), outside("sgd")],
            ),
            Claim::all("same-rate", "from W = 0 SGD and GD converge at the same rate", "section 3.3", vec![rate]),
            Claim::all(
                "sgd-ahead",
                "after 10 epochs SGD has the lower error: 0.88 against 1.52",
                "Figure A.1",
                vec![below(results, MSE, "sgd", "gd"), below(results, MSE, "sgd-sqrt", "gd")],
            ),
        ])
    },
    simulate: Some(|spec, run, seed, progress| simulate(spec, run, seed, progress, Law::default(), 0.0)),
    check: super::check,
    draw: |spec, results| draw(spec, results, "epoch"),
};

//! Figure A.6: two inputs, of which one is never there; 150 epochs of 10 samples.

use super::PAPER;
use super::regression::Law;
use super::setting::{LARGEST, OUTSIDE, RUNS, below, declare, draw, simulate};
use crate::claims::{Claim, each};
use crate::experiments::Figure;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "janus/figA6",
    paper: PAPER,
    about: "regression with one of two inputs missing, 10 samples: the weights of the missing one",
    declare: |scale| declare(&FIGURE, "Regression with a missing input, Figure A.6", scale, (10, 2), 150, &RUNS),
    expect: |_, results| {
        let same = each(results, "sgd: largest singular value within 10% of gradient descent's", "sgd", |run, replica| {
            let other = results.run("gd")?;
            let ratio = run.last(replica, LARGEST)? / other.last(other.survivor(replica.seed)?, LARGEST)?;
            Some(((ratio - 1.0).abs() <= 0.1, ratio))
        });
        Ok(vec![
            Claim::all(
                "missing",
                "the weights of an input that is not in the data decay faster under SGD",
                "Figure A.6; a constant step size",
                vec![below(results, OUTSIDE, "sgd", "gd")],
            ),
            Claim::all(
                "missing-sqrt",
                "also with the step size η/√epoch",
                "section 3.3 as printed",
                vec![below(results, OUTSIDE, "sgd-sqrt", "gd")],
            ),
            Claim::all("present", "those in the data are learned alike", "Figure A.6", vec![same]),
        ])
    },
    simulate: Some(|spec, run, seed, progress| simulate(spec, run, seed, progress, Law { relevant: None, missing: 1 }, 0.1)),
    check: super::check,
    draw: |spec, results| draw(spec, results, "epoch"),
};

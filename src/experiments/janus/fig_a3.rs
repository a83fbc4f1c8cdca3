//! Figure A.3: two of ten inputs matter, N = 5, 200 epochs from a small random W.

use super::PAPER;
use super::regression::Law;
use super::setting::{MSE, OUTSIDE, RUNS, SMALLEST, below, declare, draw, simulate};
use crate::claims::Claim;
use crate::experiments::Figure;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "janus/figA3",
    paper: PAPER,
    about: "regression with 2 of 10 inputs relevant and 5 samples: SGD's bias over 200 epochs",
    declare: |scale| declare(&FIGURE, "Regression with sparse features, Figure A.3", scale, (5, 10), 200, &RUNS),
    expect: |_, results| {
        Ok(vec![
            Claim::all(
                "bias",
                "SGD keeps its bias to small singular values with few relevant inputs",
                "section 3.3, Figure A.3",
                vec![below(results, SMALLEST, "sgd", "gd"), below(results, OUTSIDE, "sgd", "gd")],
            ),
            Claim::all(
                "bias-sqrt",
                "also with the step size η/√epoch",
                "section 3.3 as printed",
                vec![below(results, OUTSIDE, "sgd-sqrt", "gd")],
            ),
            Claim::all("error", "its error is lower at the end", "Figure A.3", vec![below(results, MSE, "sgd", "gd")]),
        ])
    },
    simulate: Some(|spec, run, seed, progress| simulate(spec, run, seed, progress, Law { relevant: Some(2), missing: 0 }, 0.1)),
    check: super::check,
    draw: |spec, results| draw(spec, results, "epoch"),
};

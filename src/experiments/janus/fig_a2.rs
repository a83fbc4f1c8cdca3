//! Figure A.2: the same from a small random W, for long. What lies outside the span of the data decays with every step, not with
//! every epoch, if the step size stays; with 1/√epoch, as section 3.3 says of its runs, SGD is the slower one.

use super::regression::Law;
use super::setting::{GRADIENT, RUNS, SMALLEST, below, declare, draw, simulate};
use super::{PAPER, last};
use crate::claims::{Claim, Direction, paired_by};
use crate::experiments::Figure;
use crate::spec::Scale;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "janus/figA2",
    paper: PAPER,
    about: "regression from a small random W over many epochs: small singular values under GD and SGD",
    declare: |scale| {
        let epochs = match scale {
            Scale::Smoke => 500,
            Scale::Laptop => 5_000,
            Scale::Paper => 50_000,
        };
        declare(&FIGURE, "Regression from a random W, Figure A.2", scale, (10, 11), epochs, &RUNS)
    },
    expect: |_, results| {
        // The share of points at which the first run's metric is the larger one.
        let larger = paired_by(results, "mean log of the gradient's norm", "sgd", Direction::Above, "gd", |run, replica| {
            let series = run.series(replica, GRADIENT);
            (!series.is_empty()).then(|| series.iter().map(|(_, norm)| norm.ln()).sum::<f64>() / series.len() as f64)
        });
        Ok(vec![
            Claim::all(
                "smallest",
                "the small singular values decay to zero for SGD much faster than for GD",
                "section 3.3, Figure A.2; a constant step size as in Theorem 1",
                vec![
                    below(results, SMALLEST, "sgd", "gd"),
                    last(results, "sgd", "smallest singular value below 1e-6", SMALLEST, |value| value < 1e-6),
                ],
            ),
            Claim::all(
                "smallest-sqrt",
                "they do so with the step size of section 3.3, η/√epoch",
                "section 3.3 as printed",
                vec![below(results, SMALLEST, "sgd-sqrt", "gd")],
            ),
            Claim::all("gradient", "the norm of the gradient is almost always larger for SGD", "section 3.3", vec![larger]),
        ])
    },
    simulate: Some(|spec, run, seed, progress| simulate(spec, run, seed, progress, Law::default(), 0.1)),
    check: super::check,
    draw: |spec, results| draw(spec, results, "epoch"),
};

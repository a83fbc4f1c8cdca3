//! Figure A.4: one epoch of 200 samples, of whose ten inputs two matter; gradient descent makes a single step. (The caption gives
//! N = 5 as well; one epoch needs the 200.)

use super::PAPER;
use super::regression::{Law, norm};
use super::setting::{MSE, below, declare, draw, simulate_online};
use crate::claims::{Claim, Direction, paired_by};
use crate::experiments::Figure;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "janus/figA4",
    paper: PAPER,
    about: "one epoch of 200 samples with 2 of 10 inputs relevant: SGD against a single step of GD",
    declare: |scale| declare(&FIGURE, "Sparse features, one epoch, Figure A.4", scale, (200, 10), 200, &["gd", "sgd"]),
    expect: |_, results| {
        let irrelevant = paired_by(results, "‖W[:, 2:]‖", "sgd", Direction::Below, "gd", |run, replica| {
            let of: Vec<f64> = replica.params.iter().enumerate().filter(|(k, _)| k % 10 >= 2).map(|(_, &w)| w).collect();
            (run.survivor(replica.seed).is_some() && !of.is_empty()).then(|| norm(&of))
        });
        Ok(vec![
            Claim::all(
                "similar",
                "one epoch gives similar results: SGD shrinks what does not matter more than GD",
                "section 3.3, Figure A.4",
                vec![irrelevant],
            ),
            Claim::all("error", "SGD's error is lower", "Figure A.4", vec![below(results, MSE, "sgd", "gd")]),
        ])
    },
    simulate: Some(|spec, run, seed, progress| {
        simulate_online(spec, run, seed, progress, Law { relevant: Some(2), missing: 0 }, 0.1)
    }),
    check: super::check,
    draw: |spec, results| draw(spec, results, "sample"),
};

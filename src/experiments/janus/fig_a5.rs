//! Figure A.5: SGD over 100,000 samples, each seen once. The noise of the end is that of decay alone: without it W interpolates.

use super::regression::Law;
use super::setting::{GRADIENT, MSE, declare, draw, simulate_online};
use super::{PAPER, last};
use crate::claims::{Claim, each};
use crate::experiments::Figure;
use crate::optim::Optimiser;
use crate::spec::{Run, Scale};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "janus/figA5",
    paper: PAPER,
    about: "one epoch of 100,000 samples: SGD's noise that does not decrease, and that weight decay causes it",
    declare: |scale| {
        let n = match scale {
            Scale::Smoke => 2_000,
            Scale::Laptop => 20_000,
            Scale::Paper => 100_000,
        };
        let mut spec = declare(&FIGURE, "Asymptotic noise of SGD, one epoch, Figure A.5", scale, (n, 10), n as u64, &["sgd"]);
        let free = spec.runs.first().map(|run| Run {
            name: "sgd-free".to_owned(),
            label: "SGD, λ = 0".to_owned(),
            optimiser: Optimiser { weight_decay: 0.0, ..run.optimiser.clone() },
            ..run.clone()
        });
        spec.runs.extend(free);
        spec
    },
    expect: |_, results| {
        let level = each(results, "sgd: error at the end at least half of its level at half time", "sgd", |run, replica| {
            let half = run.level(replica, MSE, run.steps / 3..=run.steps * 2 / 3)?;
            let ratio = run.level(replica, MSE, run.steps * 2 / 3..)? / half;
            Some((ratio >= 0.5, ratio))
        });
        let moving =
            last(results, "sgd", "norm of the first sample's gradient above 1e-3 at the end", GRADIENT, |norm| norm > 1e-3);
        let free = last(results, "sgd-free", "mean square error below 1e-20 at the end", MSE, |mse| mse < 1e-20);
        Ok(vec![
            Claim::all(
                "noise",
                "at convergence there is asymptotic noise that does not decrease",
                "Figure A.5",
                vec![level, moving],
            ),
            Claim::all("decay", "it is weight decay's: without, W interpolates and there is none", "section 3.2", vec![free]),
        ])
    },
    simulate: Some(|spec, run, seed, progress| simulate_online(spec, run, seed, progress, Law::default(), 0.1)),
    check: super::check,
    draw: |spec, results| draw(spec, results, "sample"),
};

//! Figure 5: margins of the training images after SGD by weight decay λ, (a) on the cross-entropy and (b) on the square loss. What
//! the paper leaves open, and what smaller scales change, says [`super::convnet`]; below paper scale there are four λ.

use super::convnet::{self, DECAYS, Protocol, RELATIVE_DEVIATION, SMALL, STRONGEST, grows, name, relative_deviation};
use super::{PAPER, margins};
use crate::claims::{Claim, Direction, each, paired_by};
use crate::data::Labels;
use crate::error::Result;
use crate::experiments::Figure;
use crate::loss::Loss;
use crate::report::plot;
use crate::run::Results;
use crate::spec::{Metric, Panel, Run, Scale, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "janus/fig5",
    paper: PAPER,
    about: "the same convnet: margins by weight decay, cross-entropy against square loss",
    declare,
    expect,
    simulate: None,
    check: convnet::check,
    draw,
};

/// The names that runs of the two losses begin with.
const ENTROPY: &str = "cross-entropy";
const SQUARE: &str = "square";

fn declare(scale: Scale) -> Spec {
    let protocol = Protocol::of(scale);
    let decays: &[f64] = if scale == Scale::Paper { &DECAYS } else { &[0.0, 1e-4, 1e-3, STRONGEST] };
    let entropy = |&decay: &f64| Run {
        loss: Some(Loss::SoftmaxXent),
        data: Some(protocol.data(Labels::Classes)),
        ..protocol.sgd(ENTROPY, decay)
    };
    let mut runs: Vec<Run> = decays.iter().map(entropy).collect();
    runs.extend(decays.iter().map(|&decay| protocol.sgd(SQUARE, decay)));
    Spec {
        runs,
        metrics: ["train_loss", "train_error", "margin", "margin_deviation"].map(Metric::always).to_vec(),
        panels: vec![Panel::new("margin_deviation", "standard deviation of the margins", true)],
        ..protocol.spec(&FIGURE, "Margins of a convnet under cross-entropy and square loss by weight decay, Figure 5", scale)
    }
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let free = |prefix: &str, what: &str, question: fn(f64) -> bool| {
        each(results, &format!("{prefix}, λ = 0: {RELATIVE_DEVIATION} {what} {SMALL}"), &name(prefix, 0.0), |run, replica| {
            let share = relative_deviation(run, replica)?;
            Some((question(share), share))
        })
    };
    let [entropy, square] = [ENTROPY, SQUARE].map(|prefix| name(prefix, 0.0));
    Ok(vec![
        Claim::all(
            "entropy",
            "under the cross-entropy the noise is significant even at λ = 0, unlike the square loss",
            "prediction 5, Figure 5",
            vec![
                free(ENTROPY, "at least", |share| share >= SMALL),
                paired_by(results, RELATIVE_DEVIATION, &entropy, Direction::Above, &square, relative_deviation),
            ],
        ),
        Claim::all(
            "square",
            "under the square loss it vanishes at λ = 0",
            "prediction 5, section D.4",
            vec![free(SQUARE, "below", |share| share < SMALL)],
        ),
        Claim::all(
            "grows",
            "under the cross-entropy the fluctuations of the margins increase further with λ",
            "prediction 5, Figure 5",
            grows(spec, results, ENTROPY, 0.0, "margin_deviation", |run, replica| run.last(replica, "margin_deviation")),
        ),
        Claim::all(
            "grows-relative",
            "also over the mean of the margins",
            "ours",
            grows(spec, results, ENTROPY, 0.0, RELATIVE_DEVIATION, relative_deviation),
        ),
    ])
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let families = [(ENTROPY, "(a) Margins under cross-entropy", 0), (SQUARE, "(b) Margins under the square loss", 1)];
    let mut panels = Vec::new();
    let mut relative = Vec::new();
    for (prefix, title, colour) in families {
        panels.push(margins::histogram(title, &margins::of(spec, results, prefix)?, f64::INFINITY));
        relative.extend(margins::by_decay(spec, results, prefix, (prefix, colour), relative_deviation));
    }
    panels.push(margins::over_decays("Standard deviation over the mean", relative));
    Ok(plot::Figure { title: spec.title.clone(), columns: 2, panels, footnote: Some(margins::footnote(spec)) })
}

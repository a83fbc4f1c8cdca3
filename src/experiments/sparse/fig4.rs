//! Figure 4: two-layer ReLU networks for regression in one dimension. A warm-up of 2% of the run stays at small steps; one of half
//! the run reaches step sizes at which the loss stabilises.
//!
//! With the long warm-up the dynamics are chaotic: the paper's curves are one draw of many. How sparse the features are depends on
//! when two neurons count as one: at a correlation of 0.999 in the paper's code, of 0.95 in its text. Both are measured.

use super::one_dimension::{self, LONG, SHORT, SPARSITY, SPARSITY_OF_TEXT, final_predictors, fits, kinks, range};
use super::{PAPER, RELU_RANK, draws_two_layers, stable_near};
use crate::claims::{Claim, Direction, falls_before_decay, paired, paired_by};
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Bias;
use crate::report::{picture, plot};
use crate::run::Results;
use crate::spec::{Panel, Scale, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/fig4",
    paper: PAPER,
    about: "two-layer ReLU networks in one dimension: final predictors, loss stabilisation, NTK rank and feature sparsity",
    declare,
    expect,
    simulate: None,
    check: |spec| draws_two_layers(spec, 1, Bias::First),
    draw,
};

fn declare(scale: Scale) -> Spec {
    let title = "Two-layer ReLU networks in one dimension: SGD with large step sizes learns sparse features, Figure 4";
    let mut spec = one_dimension::declare(&FIGURE, title, scale, 400.0);
    spec.panels.push(Panel::new(SPARSITY_OF_TEXT, "Sparsity, |correlation| ≤ 0.95", false));
    spec
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let range = range(&spec.data.load()?);
    let ends = |metric| paired(results, metric, LONG, Direction::Below, SHORT);
    let falls = |metric| falls_before_decay(results, metric, LONG);
    let fewer = paired_by(results, "kinks", LONG, Direction::Below, SHORT, |_, replica| kinks(&replica.params, range));
    Ok(vec![
        Claim::all(
            "stabilisation",
            "with the long schedule the training loss stabilises around 10^-0.5",
            "section 4.2, O1",
            vec![stable_near(results, LONG, -0.5)],
        ),
        Claim::all(
            "fits",
            "both schedules fit the training points",
            "Figures 4 and 10",
            vec![fits(results, SHORT), fits(results, LONG)],
        ),
        Claim::all(
            "simpler",
            "the predictor of the long schedule is simpler: it has fewer distinct kinks",
            "section 4.2, O2",
            vec![fewer],
        ),
        Claim::all(
            "rank-falls",
            "the rank of the NTK features falls while the loss is stable",
            "Figure 4, O3",
            vec![falls(RELU_RANK)],
        ),
        Claim::all("rank-lower", "the long schedule ends at a lower rank", "Figure 4, O3", vec![ends(RELU_RANK)]),
        Claim::all(
            "sparsity-falls",
            "the feature sparsity falls while the loss is stable, neurons correlated above 0.999 counted once",
            "Figure 4, O3; the code's threshold",
            vec![falls(SPARSITY)],
        ),
        Claim::all(
            "sparser",
            "the long schedule ends at sparser features, counted so",
            "Figure 4, O3; the code's threshold",
            vec![ends(SPARSITY)],
        ),
        Claim::all(
            "sparser-0.95",
            "the same with neurons correlated above 0.95 counted once",
            "section 4.1; the text's threshold",
            vec![ends(SPARSITY_OF_TEXT)],
        ),
    ])
}

/// The final predictors of both schedules, then the panels over iterations.
fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let (mut figure, data) = (picture(spec, results), spec.data.load()?);
    let runs = results.runs.iter().zip(&spec.runs).enumerate();
    let predictors = runs.map(|(colour, (run, declared))| final_predictors(&data, run, &declared.label, colour));
    figure.panels.splice(0..0, predictors);
    figure.columns = 3;
    Ok(figure)
}

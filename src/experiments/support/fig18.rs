//! Figure 18: Gram matrices of the first layer of a head on the features of a residual network, at the start and after training
//! with strong weight decay, in the basis of the right singular vectors V of W_1. See `head.rs` for what the paper leaves open and
//! for the scales.
//!
//! V is that of the trained W_1 for both: in its own basis every Gram matrix is diagonal. Only the leading directions are drawn.

use super::head::{ERROR, GOLD, SGD, compact, declare, spread};
use super::{PAPER, spectra};
use crate::claims::{Claim, each};
use crate::error::{Result, refuse};
use crate::experiments::Figure;
use crate::metrics::weights;
use crate::report::plot::{self, Axis, Cells, Panel};
use crate::run::Results;
use crate::spec::Spec;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig18",
    paper: PAPER,
    about: "a head on the features of a ResNet-18: Gram matrices of its first layer, whose support weight decay makes compact",
    declare: |scale| declare(&FIGURE, "Gram matrices of the first layer, Figure 18", scale, &[SGD, GOLD]),
    expect,
    simulate: None,
    check,
    draw,
};

/// Directions that are drawn.
const DRAWN: usize = 40;
/// "Performs equally well": a test error larger by no more than this.
const EQUALLY: f64 = 0.02;

fn check(spec: &Spec) -> Result<()> {
    match spec.runs.iter().any(|run| run.name == GOLD) {
        true => spectra::check(spec),
        false => refuse!("runs: the figure draws in the basis of the run `{GOLD}`, which is missing; keep its name"),
    }
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let what = format!("test error of {GOLD} less that of {SGD}, at most {EQUALLY}");
    let performs = each(results, &what, GOLD, |run, replica| {
        let sgd = results.run(SGD)?;
        let worse = run.last(replica, ERROR)? - sgd.last(sgd.survivor(replica.seed)?, ERROR)?;
        Some((worse <= EQUALLY, worse))
    });
    let claim = |id: &str, statement: &str, evidence| Claim::all(id, statement, "Figure 18, appendix D", evidence);
    Ok(vec![
        claim(
            "compact",
            "the layer has identified a compact support, of as many directions as there are classes, less one",
            vec![compact(spec, results, GOLD)],
        ),
        claim("spread", "at the start it had none: more than half of the directions matter", vec![spread(spec, results, GOLD)]),
        claim("performs", "the model of the aggressive weight decay performs equally well on the test data", vec![performs]),
    ])
}

/// The Gram matrix of W·V for orthonormal directions V, row by row.
fn gram_along(outputs: usize, inputs: usize, weights: &[f64], directions: &[f64]) -> Result<Vec<f64>> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let along = |row| directions.chunks_exact(inputs).map(move |direction| dot(row, direction));
    let product: Vec<f64> = weights.chunks_exact(inputs).flat_map(along).collect();
    weights::gram(outputs, directions.len() / inputs, &product)
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let Some((outputs, inputs)) = spectra::first_layer(&spec.net) else { return Ok(crate::report::picture(spec, results)) };
    let weights_of = |params: &[f64]| params.get(..outputs * inputs).map(<[f64]>::to_vec);
    let trained = results.run(GOLD).and_then(|run| weights_of(&run.replicas.first()?.params));
    let Some(trained) = trained else { return Ok(crate::report::picture(spec, results)) };
    let drawn = DRAWN.min(inputs);
    let mut directions = weights::right_vectors(outputs, inputs, &trained)?;
    directions.truncate(drawn * inputs);
    let mut panels = Vec::new();
    for (title, params) in spectra::ends(spec, results, ERROR) {
        let Some(weights) = weights_of(&params) else { continue };
        let values = gram_along(outputs, inputs, &weights, &directions)?.iter().map(|value| value.abs()).collect();
        let cells = Cells { rows: drawn, columns: drawn, values, ..Cells::default() };
        panels.push(Panel { title, y: Axis::linear(""), cells: Some(cells), ..Panel::default() });
    }
    Ok(plot::Figure {
        title: spec.title.clone(),
        columns: panels.len(),
        panels,
        footnote: Some(format!(
            "Magnitudes of VᵀW₁ᵀW₁V along the first {drawn} of {inputs} right singular vectors V of the W₁ of `{GOLD}`, first seed; in brackets the test error. Data: {}.",
            spec.data.name()
        )),
    })
}

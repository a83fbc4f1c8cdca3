//! Figure 2: eigenvalues of W_1ᵀW_1 of perceptrons on images, at the start and after training by large and by small batches. See
//! `image_mlp.rs` for what the paper leaves open and for the scales.

use super::image_mlp::{EPOCHS, LARGE, LOSS, TOP, at_equal_loss, declare, same_loss};
use super::{PAPER, spectra};
use crate::claims::{Claim, Direction, Evidence, each};
use crate::error::Result;
use crate::experiments::Figure;
use crate::report::{picture, plot};
use crate::run::{Replica, Results, RunResults};
use crate::spec::Spec;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig2",
    paper: PAPER,
    about: "perceptrons on images: eigenvalues of the first layer by batch size, at equal test losses and after as many epochs",
    declare: |scale| declare(&FIGURE, "eigenvalues of the first layer, Figure 2", scale),
    expect,
    simulate: None,
    check: spectra::check,
    draw,
};

/// A spike: above so many times the largest eigenvalue at the start.
const SPIKE: f64 = 2.0;

/// σ₁² of W_1 at the end over that at the start.
fn growth(run: &RunResults, replica: &Replica) -> Option<f64> {
    Some(run.last(replica, TOP)? / run.series(replica, TOP).first()?.1)
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let grows = |run: &str, direction: Direction| -> Evidence {
        let word = if direction == Direction::Below { "less" } else { "more" };
        each(results, &format!("{run}: σ₁² of W_1 is {word} than {SPIKE} times that at the start"), run, |run, replica| {
            let growth = growth(run, replica)?;
            Some((if direction == Direction::Below { growth < SPIKE } else { growth > SPIKE }, growth))
        })
    };
    let alone = each(results, &format!("{EPOCHS}: the second eigenvalue is below half of the first"), EPOCHS, |_, replica| {
        let spectrum = spectra::spectrum(&spec.net, &replica.params)?;
        let ratio = spectrum.get(1)? / spectrum.first()?;
        Some((ratio < 0.5, ratio))
    });
    let claim = |id: &str, statement: &str, evidence| Claim::all(id, statement, "Figure 2", evidence);
    Ok(vec![
        claim(
            "spike",
            "after as many epochs, training by small batches leaves an eigenvalue far above the bulk",
            vec![grows(EPOCHS, Direction::Above)],
        ),
        claim("alone", "it is a single one", vec![alone]),
        claim(
            "stays",
            "after training by large batches the spectrum is near that at the start",
            vec![grows(LARGE, Direction::Below)],
        ),
        claim(
            "equal-loss",
            "so it is at the same test loss: what small batches leave is a spike beside what large ones do",
            vec![at_equal_loss(results, "growth of σ₁²", Direction::Above, SPIKE, growth)],
        ),
        claim(
            "same-loss",
            "the panels' boxes, start included, show one test loss [!]: as many epochs of large and of small batches end at the same",
            vec![same_loss(results)],
        ),
    ])
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let mut figure = picture(spec, results);
    figure.panels.splice(..0, spectra::histograms(spec, results, LOSS));
    let note = "Histograms: eigenvalues of W₁ᵀW₁ of the first seed in 50 bins; in brackets the test loss.";
    figure.footnote = Some(format!("{note} {}", figure.footnote.unwrap_or_default()));
    Ok(figure)
}

//! Figure 8: eigenvalues of the first layer of a head on the features of a residual network. See `head.rs` for what the paper
//! leaves open and for the scales. (Its caption says ResNet16, its text ResNet18.)

use super::PAPER;
use super::head::{ERROR, SGD, bulk_stays, declare, spikes};
use super::spectra::{self, histograms};
use crate::claims::{Claim, each};
use crate::error::Result;
use crate::experiments::Figure;
use crate::report::plot;
use crate::run::Results;
use crate::spec::Spec;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig8",
    paper: PAPER,
    about: "a head on the features of a ResNet-18: eigenvalues of its first layer, of which as many stand out as classes less one",
    declare: |scale| declare(&FIGURE, "eigenvalues of the first layer, Figure 8", scale, &[SGD]),
    expect,
    simulate: None,
    check: spectra::check,
    draw,
};

/// The paper's accuracy is 92%.
const WRONG: f64 = 0.08;

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let accurate = each(results, &format!("{SGD}: test error of {WRONG} or less"), SGD, |run, replica| {
        let error = run.last(replica, ERROR)?;
        Some((error <= WRONG, error))
    });
    let claim = |id: &str, statement: &str, evidence| Claim::all(id, statement, "Figure 8, appendix A", evidence);
    Ok(vec![
        claim(
            "dimensions",
            "the head depends on 9 features for 10 classes: as many eigenvalues stand out of the bulk of the start",
            vec![spikes(spec, results, SGD)],
        ),
        claim("bulk", "the rest stays as it was at the start", vec![bulk_stays(spec, results, SGD)]),
        claim("accurate", "with that it classifies with an accuracy of 92%", vec![accurate]),
    ])
}

/// Histograms of the start and of every run; Figure 19 draws the same of more runs.
pub(super) fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    Ok(plot::Figure {
        title: spec.title.clone(),
        columns: 2,
        panels: histograms(spec, results, ERROR),
        footnote: Some(format!(
            "Eigenvalues of W₁ᵀW₁ of the head, of the first seed of {}, in 50 bins; in brackets the test error. Data: {}.",
            spec.seeds.own.len(),
            spec.data.name()
        )),
    })
}

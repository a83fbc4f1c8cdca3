//! Figure 19: eigenvalues of the first layer of a head on the features of a residual network at the start, after Adam, after SGD
//! and after SGD with strong weight decay, which finds the "ground truth". See `head.rs` for what the paper leaves open and for the scales.

use super::head::{ADAM, GOLD, SGD, bulk_stays, compact, declare, spikes};
use super::{PAPER, fig8, spectra};
use crate::claims::Claim;
use crate::error::Result;
use crate::experiments::Figure;
use crate::run::Results;
use crate::spec::Spec;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig19",
    paper: PAPER,
    about: "a head on the features of a ResNet-18: eigenvalues of its first layer after Adam, SGD and strong weight decay",
    declare: |scale| declare(&FIGURE, "eigenvalues of the first layer by optimiser, Figure 19", scale, &[ADAM, SGD, GOLD]),
    expect,
    simulate: None,
    check: spectra::check,
    draw: fig8::draw,
};

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let claim = |id: &str, statement: &str, evidence| Claim::all(id, statement, "Figure 19, appendix D", evidence);
    Ok(vec![
        claim(
            "ground-truth",
            "strong weight decay leaves as many eigenvalues as there are classes, less one, and makes the rest zero",
            vec![compact(spec, results, GOLD)],
        ),
        claim("sgd", "SGD identifies the same: as many stand out of the bulk of the start", vec![spikes(spec, results, SGD)]),
        claim("adam", "Adam does so too", vec![spikes(spec, results, ADAM)]),
        claim(
            "bulk",
            "without decay the rest stays as it was at the start",
            [SGD, ADAM].map(|run| bulk_stays(spec, results, run)).to_vec(),
        ),
    ])
}

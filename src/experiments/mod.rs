//! The figures. One file each: a declaration of what to run, and the paper's claims as checks over what came out.

mod sparse;
mod support;

use crate::claims::Claim;
use crate::error::{Result, nearest, refuse};
use crate::report::{self, plot};
use crate::run::Results;
use crate::spec::{Scale, Spec};

/// A figure of a paper.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// `paper/figure`.
    pub id: &'static str,
    /// The paper.
    pub paper: &'static str,
    /// What it shows, in a line.
    pub about: &'static str,
    /// What to run at a scale.
    pub declare: fn(Scale) -> Spec,
    /// What the paper says of it, checked.
    pub expect: fn(&Spec, &Results) -> Result<Vec<Claim>>,
    /// What its spec must be besides well formed.
    pub check: fn(&Spec) -> Result<()>,
    /// Its picture, where that is more than [`report::picture`]'s panels of metrics over iterations.
    pub draw: fn(&Spec, &Results) -> Result<plot::Figure>,
}

impl Figure {
    /// Nothing more than well formed.
    const ANY: fn(&Spec) -> Result<()> = |_| Ok(());
    /// Panels of metrics over iterations.
    const PANELS: fn(&Spec, &Results) -> Result<plot::Figure> = |spec, results| Ok(report::picture(spec, results));
}

/// Every figure, in the order of `handgrad list`.
pub const FIGURES: &[Figure] = &[
    sparse::fig2::FIGURE,
    sparse::fig3::FIGURE,
    sparse::fig4::FIGURE,
    sparse::fig5::FIGURE,
    sparse::fig6::FIGURE,
    sparse::fig8::FIGURE,
    sparse::fig9::FIGURE,
    sparse::fig10::FIGURE,
    sparse::fig11::FIGURE,
    sparse::prop1::FIGURE,
    sparse::prop3::FIGURE,
    sparse::sde::FIGURE,
    sparse::text::FIGURE,
    support::fig1::FIGURE,
    support::fig3::FIGURE,
    support::fig4::FIGURE,
    support::fig9::FIGURE,
    support::fig10::FIGURE,
    support::fig11::FIGURE,
    support::fig12::FIGURE,
    support::fig13::FIGURE,
    support::fig14::FIGURE,
    support::fig15::FIGURE,
    support::fig16::FIGURE,
    support::prop1::FIGURE,
    support::theorem2::FIGURE,
    support::theory::FIGURE,
];

/// A figure by its id.
///
/// # Errors
/// If there is none; the nearest is named.
pub fn find(id: &str) -> Result<&'static Figure> {
    match FIGURES.iter().find(|figure| figure.id == id) {
        Some(figure) => Ok(figure),
        None => {
            let advice = nearest(id, FIGURES.iter().map(|figure| figure.id));
            refuse!("there is no figure `{id}`{advice} (`handgrad list` shows all; a spec.json file can be run too)")
        }
    }
}

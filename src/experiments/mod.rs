//! The figures. One file each: a declaration of what to run, and the paper's claims as checks over what came out.

mod janus;
mod sparse;
mod stability;
mod support;

use crate::claims::Claim;
use crate::data::Data;
use crate::error::{Result, nearest, refuse};
use crate::loss::Loss;
use crate::nets::Architecture;
use crate::report::{self, plot};
use crate::run::{Results, Simulate};
use crate::spec::{Clock, Dtype, Evaluate, Metric, SCHEMA, Scale, Seeds, Spec};

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
    /// How one of its runs comes about for a seed, where that is not the training of a network (`data` of the kind `own`).
    pub simulate: Option<Simulate>,
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
    sparse::fig1::FIGURE,
    sparse::fig2::FIGURE,
    sparse::fig3::FIGURE,
    sparse::fig4::FIGURE,
    sparse::fig5::FIGURE,
    sparse::fig6::FIGURE,
    sparse::fig7::FIGURE,
    sparse::fig8::FIGURE,
    sparse::fig9::FIGURE,
    sparse::fig10::FIGURE,
    sparse::fig11::FIGURE,
    sparse::fig12::FIGURE,
    sparse::fig13::FIGURE,
    sparse::fig14::FIGURE,
    sparse::prop1::FIGURE,
    sparse::prop3::FIGURE,
    sparse::sde::FIGURE,
    sparse::text::FIGURE,
    janus::fig1::FIGURE,
    janus::fig2::FIGURE,
    janus::fig3::FIGURE,
    janus::fig4::FIGURE,
    janus::fig5::FIGURE,
    janus::app_e::FIGURE,
    janus::fig_a1::FIGURE,
    janus::fig_a2::FIGURE,
    janus::fig_a3::FIGURE,
    janus::fig_a4::FIGURE,
    janus::fig_a5::FIGURE,
    janus::fig_a6::FIGURE,
    janus::fig_a7::FIGURE,
    janus::flow::FIGURE,
    janus::lemma1::FIGURE,
    janus::noise::FIGURE,
    janus::theorem1::FIGURE,
    stability::fig1a::FIGURE,
    stability::fig1b::FIGURE,
    stability::fig1c::FIGURE,
    stability::fig1c_resnet::FIGURE,
    stability::fig2::FIGURE,
    stability::fig3::FIGURE,
    stability::fig4::FIGURE,
    stability::fig5::FIGURE,
    stability::fig6::FIGURE,
    stability::fig7::FIGURE,
    stability::fig8::FIGURE,
    stability::fig9::FIGURE,
    stability::fig10::FIGURE,
    stability::fig11::FIGURE,
    stability::fig12::FIGURE,
    stability::theory::FIGURE,
    support::fig1::FIGURE,
    support::fig2::FIGURE,
    support::fig3::FIGURE,
    support::fig4::FIGURE,
    support::fig5::FIGURE,
    support::fig6::FIGURE,
    support::fig7::FIGURE,
    support::fig8::FIGURE,
    support::fig9::FIGURE,
    support::fig10::FIGURE,
    support::fig11::FIGURE,
    support::fig12::FIGURE,
    support::fig13::FIGURE,
    support::fig14::FIGURE,
    support::fig15::FIGURE,
    support::fig16::FIGURE,
    support::fig17::FIGURE,
    support::fig18::FIGURE,
    support::fig19::FIGURE,
    support::prop1::FIGURE,
    support::theorem2::FIGURE,
    support::theory::FIGURE,
];

/// A spec whose runs the figure simulates itself: the network only says what the recursions are of. One evaluation, 20 seeds.
fn simulated(figure: &Figure, title: &str, scale: Scale, data: Data, net: Architecture, metrics: &[&str]) -> Spec {
    Spec {
        schema: SCHEMA,
        figure: Some(figure.id.to_owned()),
        title: title.to_owned(),
        scale,
        overrides: Vec::new(),
        dtype: Dtype::F64,
        loss: Loss::HalfMse,
        data,
        net,
        seeds: Seeds { paper: false, own: (0..20).collect(), own_data: true },
        runs: Vec::new(),
        evaluate: Evaluate::even(1, 0),
        metrics: metrics.iter().map(|name| Metric::always(name)).collect(),
        panels: Vec::new(),
        clock: Clock::Iteration,
        trajectory: false,
    }
}

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

//! Figure 3: SGD's noise ‖V̇_k‖ layer by layer at the end of training, by weight decay λ: the norm of a batch's gradient by the
//! direction V_k, mean over the batches of the training set. What the paper leaves open, and what smaller scales change, says
//! [`super::convnet`]; there are three convolutions at laptop scale in the place of its four.

use super::{PAPER, convnet, layers};
use crate::error::Result;
use crate::experiments::Figure;
use crate::report::plot::{self, Axis};
use crate::run::Results;
use crate::spec::{Scale, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "janus/fig3",
    paper: PAPER,
    about: "the same convnet: SGD's noise layer by layer, by weight decay",
    declare,
    expect: |spec, results| Ok(layers::noise(spec, results)),
    simulate: None,
    check: convnet::check,
    draw,
};

fn declare(scale: Scale) -> Spec {
    layers::declare(&FIGURE, "SGD's noise in the layers of a convnet by weight decay, Figure 3", scale, |_| Vec::new())
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let panels = vec![layers::by_layer(spec, results, "‖dVₖ/dt‖ by layer", Axis::log(""), layers::velocity)];
    Ok(plot::Figure { title: spec.title.clone(), columns: 1, panels, footnote: Some(layers::footnote(spec)) })
}

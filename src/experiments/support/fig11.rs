//! Figure 11: Figure 3 at three step sizes.

use super::{PAPER, norms};
use crate::data::Target;
use crate::experiments::Figure;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig11",
    paper: PAPER,
    about: "linear networks, linear target: the norm of irrelevant first-layer weights at three step sizes, with controls",
    declare: |scale| norms::declare(&FIGURE, TITLE, scale, Target::Linear, &RATES),
    expect: |spec, results| Ok(norms::expect(spec, results, &RATES, "Figure 11, section C.2")),
    simulate: None,
    check: Figure::ANY,
    draw: norms::draw,
};

const TITLE: &str = "Linear 3x15 networks on a linear target: irrelevant weights by step size, Figure 11";
const RATES: [f64; 3] = [0.1, 0.2, 0.5];

//! Figure 3: the norm of the irrelevant weights of the first layer over time, linear networks on a linear target.

use super::{PAPER, norms};
use crate::data::Target;
use crate::experiments::Figure;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig3",
    paper: PAPER,
    about: "linear networks: the norm of irrelevant first-layer weights over time at one step size, with controls",
    declare: |scale| norms::declare(&FIGURE, TITLE, scale, Target::Linear, &RATES),
    expect: |spec, results| Ok(norms::expect(spec, results, &RATES, "Figure 3, section 3")),
    simulate: None,
    check: Figure::ANY,
    draw: norms::draw,
};

const TITLE: &str = "Linear 3x15 networks: irrelevant weights of the first layer over time, Figure 3";
const RATES: [f64; 1] = [0.1];

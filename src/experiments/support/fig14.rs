//! Figure 14: Figure 11 for the sine of the sum, of which a linear network learns little: its residuals are noise.

use super::{PAPER, norms};
use crate::data::Target;
use crate::experiments::Figure;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig14",
    paper: PAPER,
    about: "linear networks, sine target: the norm of irrelevant first-layer weights at two step sizes, with controls",
    declare: |scale| norms::declare(&FIGURE, TITLE, scale, Target::Sine, &RATES),
    expect: |spec, results| Ok(norms::expect(spec, results, &RATES, "Figure 14, section C.3")),
    simulate: None,
    check: Figure::ANY,
    draw: norms::draw,
};

const TITLE: &str = "Linear 3x15 networks on a sine target: irrelevant weights by step size, Figure 14";
const RATES: [f64; 2] = [0.1, 0.2];

//! Figure 10: the sparsity of convolutions of ResNet-18 over static label noise and step size.

use super::PAPER;
use super::convolutions;
use super::resnet::{self, Noise};
use crate::experiments::Figure;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "stability/fig10",
    paper: PAPER,
    about: "phase diagram of ResNet-18: share of zeros in four convolutions over static label noise and step size",
    declare: |scale| convolutions::declare(&FIGURE, scale, NOISE, NAME),
    expect: |spec, results| Ok(convolutions::expect(spec, results, NOISE, NAME)),
    simulate: None,
    check: |spec| resnet::check(spec, &[NOISE], resnet::point),
    draw: |spec, results| Ok(convolutions::draw(spec, results, NOISE)),
};

const NOISE: Noise = Noise::Static;
const NAME: &str = "Figure 10";

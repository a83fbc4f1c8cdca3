//! Figure 12: Gram matrices of the second and third layer. What SGD does to the columns of irrelevant inputs in the first layer
//! has no counterpart there: no column of W_2 or W_3 vanishes.

use super::matrices::{self, Row};
use super::{ARMS, PAPER, arm, base};
use crate::claims::{Claim, Evidence, each};
use crate::data::Target;
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Activation;
use crate::run::Results;
use crate::spec::{Scale, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig12",
    paper: PAPER,
    about: "linear networks: Gram matrices of the layers above the first, which select nothing",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw: |spec, results| matrices::draw(spec, results, &[2, 3].map(|layer| Row { layer, gram: true, seed: 0 }), |_| true),
};

/// A column is gone if its norm is below this share of the largest one's.
const GONE: f64 = 0.05;

fn declare(scale: Scale) -> Spec {
    let title = "Linear 3x15 networks: the layers above the first, Figure 12";
    let runs = ARMS.map(|name| arm("", name, 0.1, scale)).to_vec();
    Spec { runs, ..base(&FIGURE, title, scale, Target::Linear, Activation::Identity) }
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let weights = spec.net.net::<f64>(spec.data.load()?.d)?.map(|net| net.weights()).unwrap_or_default();
    let gone = |layer: usize, params: &[f64]| -> Option<usize> {
        let weight = weights.get(layer - 1)?;
        let (values, inputs) = (params.get(weight.range.clone())?, weight.shape[1]);
        let norm = |column: usize| values.iter().skip(column).step_by(inputs).map(|w| w * w).sum::<f64>().sqrt();
        let largest = (0..inputs).map(norm).fold(0.0, f64::max);
        Some((0..inputs).filter(|&column| norm(column) < GONE * largest).count())
    };
    let ask = |layer: usize, run: &str, at_least: usize| -> Evidence {
        let what = match at_least {
            0 => format!("{run}: no column of W_{layer} below {GONE} of the largest"),
            _ => format!("{run}: {at_least} or more columns of W_{layer} below {GONE} of the largest"),
        };
        each(results, &what, run, |_, replica| {
            let gone = gone(layer, &replica.params)?;
            Some((if at_least == 0 { gone == 0 } else { gone >= at_least }, gone as f64))
        })
    };
    let sgd = ["sgd-32", "sgd-1"];
    Ok(vec![
        Claim::all(
            "first-layer-only",
            "the selection of SGD in the first layer does not carry over to the layers above",
            "Figure 12, section C.2",
            sgd.into_iter().flat_map(|run| [2, 3].map(|layer| ask(layer, run, 0))).collect(),
        ),
        Claim::all(
            "first-layer",
            "in the first layer SGD with batches of 32 leaves at least 9 of the 10 irrelevant columns below a twentieth of the largest",
            "Figure 10, for comparison",
            vec![ask(1, "sgd-32", 9)],
        ),
        Claim::all(
            "decay-carries-over",
            "weight decay removes columns above the first layer as well",
            "ours",
            [2, 3].map(|layer| ask(layer, "decay", 1)).to_vec(),
        ),
    ])
}

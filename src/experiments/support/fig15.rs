//! Figure 15: Figure 13 from several starts. Whether what is left of W_1 depends on the start: the cosine of its irrelevant
//! columns at the end with those at the start (section 5.1).

use super::matrices::{self, Row};
use super::{PAPER, RELEVANT, arm, base, leaves};
use crate::claims::{Claim, Direction, paired_by};
use crate::data::Target;
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Activation;
use crate::run::{Replica, Results, RunResults};
use crate::spec::{Scale, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig15",
    paper: PAPER,
    about: "linear networks, sine target, several starts: what gradient descent keeps of the start and SGD does not",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw: |spec, results| matrices::draw(spec, results, &[0, 1, 2, 3].map(|seed| Row { layer: 1, gram: true, seed }), |_| true),
};

const RUNS: [&str; 5] = ["gd", "sgd-128", "sgd-32", "sgd-1", "decay"];

fn declare(scale: Scale) -> Spec {
    let title = "Linear 3x15 networks on a sine: Gram matrices from four starts, Figure 15";
    let runs = RUNS.map(|name| arm("", name, 0.1, scale)).to_vec();
    Spec { runs, ..base(&FIGURE, title, scale, Target::Sine, Activation::Identity) }
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let (d, net) = (spec.data.load()?.d, &spec.net);
    let kept = |_: &RunResults, replica: &Replica| {
        let start = net.initial(d, replica.seed);
        let irrelevant = |params: &[f64]| -> Vec<f64> {
            params.iter().take(d * 15).enumerate().filter(|(k, _)| k % d >= RELEVANT).map(|(_, &w)| w).collect()
        };
        let (start, end) = (irrelevant(&start), irrelevant(&replica.params));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        Some(dot(&start, &end) / (dot(&start, &start) * dot(&end, &end)).sqrt())
    };
    let less = |pair: &[&str]| paired_by(results, "cosine with the start", pair[1], Direction::Below, pair[0], kept);
    Ok(vec![
        Claim::all(
            "independent",
            "whatever the start, small batches of SGD remove the irrelevant weights and gradient descent keeps them",
            "Figure 15, section C.3",
            vec![
                leaves(results, "gd", Direction::Above, 0.5),
                leaves(results, "sgd-32", Direction::Below, 0.05),
                leaves(results, "sgd-1", Direction::Below, 0.05),
            ],
        ),
        Claim::all(
            "forgets",
            "the smaller the batch, the less what is left of the irrelevant weights depends on the start",
            "section 5.1",
            RUNS[..4].windows(2).map(less).collect(),
        ),
    ])
}

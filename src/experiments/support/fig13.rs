//! Figure 13: Figure 10 for the sine of the sum.

use super::matrices::{self, FIRST_LAYER};
use super::{ARMS, NORM, PAPER, arm, base, selection};
use crate::claims::{Claim, each};
use crate::data::Target;
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Activation;
use crate::run::Results;
use crate::spec::{Metric, Scale, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig13",
    paper: PAPER,
    about: "linear networks, sine target: first-layer weights and Gram matrices by batch size and with weight decay",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw: |spec, results| matrices::draw(spec, results, &FIRST_LAYER, |_| true),
};

fn declare(scale: Scale) -> Spec {
    let title = "Linear 3x15 networks on a sine: the support in the first layer, Figure 13";
    let runs = ARMS.map(|name| arm("", name, 0.1, scale)).to_vec();
    let spec = base(&FIGURE, title, scale, Target::Sine, Activation::Identity);
    Spec { runs, metrics: [spec.metrics.clone(), vec![Metric::sparse("weight_norm.1", 1000)]].concat(), ..spec }
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let mut claims = selection(results, &[""], "Figure 13, section C.3");
    let what = "decay: irrelevant weights below a hundredth of the relevant ones of W_1";
    claims.push(Claim::all(
        "decay-learns",
        "with weight decay gradient descent finds the support, and is the ground truth",
        "Figure 13, section C.3",
        vec![each(results, what, "decay", |run, replica| {
            let (irrelevant, all) = (run.last(replica, NORM)?, run.last(replica, "weight_norm.1")?);
            let relevant = (all * all - irrelevant * irrelevant).sqrt();
            // A network that collapses to 0 has no support to show.
            Some((relevant > 0.1 && irrelevant < 0.01 * relevant, relevant))
        })],
    ));
    Ok(claims)
}

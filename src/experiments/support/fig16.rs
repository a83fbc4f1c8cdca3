//! Figure 16: Figure 13 with ReLU. Batches of more than one sample have no second moments to use here, so that smaller scales
//! shorten the runs.

use super::matrices::{self, FIRST_LAYER};
use super::{ARMS, NORM, PAPER, arm, base, selection};
use crate::claims::{Claim, Direction, paired_by};
use crate::data::Target;
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Activation;
use crate::run::{Replica, Results, RunResults};
use crate::spec::{Metric, Run, Scale, Seeds, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig16",
    paper: PAPER,
    about: "ReLU networks, sine target: first-layer weights and Gram matrices by batch size and with weight decay",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw: |spec, results| matrices::draw(spec, results, &FIRST_LAYER, |_| true),
};

const SOURCE: &str = "Figure 16, section C.3";

fn declare(scale: Scale) -> Spec {
    let title = "ReLU 3x15 networks on a sine: the support in the first layer, Figure 16";
    // Full and large batches cost the most.
    let shortened = |name: &str, run: Run| match (scale, name) {
        (Scale::Paper, _) => run,
        (_, "gd" | "decay") => Run { steps: run.steps / 20, ..run },
        _ => Run { steps: run.steps / 10, ..run },
    };
    let spec = base(&FIGURE, title, scale, Target::Sine, Activation::Relu);
    let own = if scale == Scale::Laptop { (0..4).collect() } else { spec.seeds.own.clone() };
    Spec {
        runs: ARMS.map(|name| shortened(name, arm("", name, 0.1, scale))).to_vec(),
        seeds: Seeds { own, ..spec.seeds.clone() },
        metrics: [spec.metrics.clone(), vec![Metric::sparse("weight_norm.1", 1000)]].concat(),
        ..spec
    }
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let share = |run: &RunResults, replica: &Replica| Some(run.last(replica, NORM)? / run.last(replica, "weight_norm.1")?);
    let smaller = |pair: &[&str]| paired_by(results, "irrelevant share of ‖W₁‖_F", pair[1], Direction::Below, pair[0], share);
    let mut claims = selection(results, &[""], SOURCE);
    claims.push(Claim::all(
        "confidence",
        "SGD with smaller batches picks up the support more confidently: irrelevant weights are a smaller share of the layer",
        SOURCE,
        ARMS[..5].windows(2).map(smaller).collect(),
    ));
    Ok(claims)
}

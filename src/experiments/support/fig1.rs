//! Figure 1: first-layer weights and Gram matrices of linear networks on the sine of the sum, with the losses. "All train to a
//! similar loss": here they are beside that of the constant 0.

use super::matrices::{self, FIRST_LAYER};
use super::{ARMS, PAPER, arm, base, left};
use crate::claims::{Claim, Direction, Evidence, each, paired_by};
use crate::data::Target;
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Activation;
use crate::run::{Results, quantile};
use crate::spec::{Metric, Scale, Seed, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig1",
    paper: PAPER,
    about: "linear networks, sine target: first-layer weights and Gram matrices by batch size, at what losses",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw: |spec, results| matrices::draw(spec, results, &FIRST_LAYER, |_| true),
};

const SOURCE: &str = "Figure 1";

fn declare(scale: Scale) -> Spec {
    let spec = base(
        &FIGURE,
        "Which batch sizes find the support of a sine in the first layer, Figure 1",
        scale,
        Target::Sine,
        Activation::Identity,
    );
    let metrics = spec.metrics.into_iter().map(|metric| Metric { every_own: metric.every_own.min(20), ..metric }).collect();
    Spec { runs: ARMS[..5].iter().map(|name| arm("", name, 0.1, scale)).collect(), metrics, ..spec }
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let smaller = ARMS[..5].windows(2).map(|pair| paired_by(results, "share left", pair[1], Direction::Below, pair[0], left));
    let similar = |run: &&str| {
        each(results, &format!("{run}: loss within a tenth of that of gd"), run, |run, replica| {
            let gd = results.run("gd")?;
            let reference = gd.last(gd.survivor(replica.seed)?, "train_loss")?;
            let loss = run.last(replica, "train_loss")?;
            Some(((loss / reference - 1.0).abs() <= 0.1, loss))
        })
    };
    Ok(vec![
        Claim::all("identifies", "SGD with smaller batches identifies the support in the first layer", SOURCE, smaller.collect()),
        Claim::all("similar-loss", "all networks achieve a similar loss", SOURCE, ARMS[1..5].iter().map(similar).collect()),
        Claim::all(
            "learns",
            "they approximate the target: half of the loss of the constant 0 or less",
            SOURCE,
            learns(spec, results)?,
        ),
    ])
}

/// Against the mean square of the labels of each seed's own data.
fn learns(spec: &Spec, results: &Results) -> Result<Vec<Evidence>> {
    let mut null = Vec::new();
    for seed in spec.seeds() {
        let y = spec.dataset(&spec.runs[0], seed)?.y;
        null.push((seed, y.iter().map(|y| y * y).sum::<f64>() / y.len() as f64));
    }
    let of = |wanted: Seed| null.iter().find(|(seed, _)| *seed == wanted).map(|(_, loss)| *loss);
    let level = quantile(&null.iter().map(|(_, loss)| *loss).collect::<Vec<_>>(), 0.5).unwrap_or(f64::NAN);
    let what = format!("gd: loss over that of the constant 0 (median {level:.4}) at most 1/2");
    Ok(vec![each(results, &what, "gd", |run, replica| {
        let share = run.last(replica, "train_loss")? / of(replica.seed)?;
        Some((share <= 0.5, share))
    })])
}

//! Perceptrons d-d-10 on images by large and by small batches, without biases and with the mean squared error of one-hot labels:
//! what Figures 2 and 5 share.
//!
//! The paper states MNIST and batches of 2048 and 32. Its pictures agree with 784-784-10 and weights U(±1/(2√inputs)) at the
//! start; the step size 0.1 and the number of iterations are ours. At one step size batches of all sizes follow about the same
//! path over the same number of updates, so that "the same test loss" and "as many epochs" are two comparisons: small batches are
//! trained for as many updates as large ones, and for as many epochs.
//!
//! Laptop scale takes 8x8 digits, of which it has 1500, in batches of 750 and 15; paper scale 10,000 drawn images in colour:
//! `--data mnist:FOLDER` gives the paper's images and the widths that suit them.

use super::{base, perceptron, sgd};
use crate::claims::{Direction, Evidence, each};
use crate::data::images::Source;
use crate::data::{Data, Labels, Target};
use crate::experiments::Figure;
use crate::nets::{Activation, Init, Law};
use crate::run::{Replica, Results, RunResults};
use crate::schedule::Schedule;
use crate::spec::{Evaluate, Metric, Panel, Run, Scale, Seeds, Spacing, Spec};

/// Large batches; small ones for as many updates, and for as many epochs.
pub(super) const LARGE: &str = "large";
pub(super) const UPDATES: &str = "small-updates";
pub(super) const EPOCHS: &str = "small-epochs";

/// The largest eigenvalue of W_1ᵀW_1.
pub(super) const TOP: &str = "top_eigenvalue.1";
pub(super) const LOSS: &str = "test_loss";

/// Test losses within this share of each other are about the same.
const SAME: f64 = 0.1;

/// `about` continues the title, which begins with the data.
pub(super) fn declare(figure: &Figure, about: &str, scale: Scale) -> Spec {
    let (source, d, [large, small], updates, seeds) = match scale {
        Scale::Smoke => (Source::Digits, 64, [750, 15], 20, 1),
        Scale::Laptop => (Source::Digits, 64, [750, 15], 600, 10),
        Scale::Paper => (Source::cifar_like(), 32 * 32 * 3, [2048, 32], 300, 20),
    };
    let data = Data::Images { source, train: None, test: None, seed: 0, only: Vec::new(), labels: Labels::OneHot };
    let title = format!("Perceptrons on {}: {about}", data.name());
    let run = |name: &str, label: String, steps: u64, size: usize| {
        Run::new(name, &label, steps, Schedule::Constant { peak: 0.1 }, sgd(size))
    };
    // Uniform on ±1/(2√inputs), half of PyTorch's default.
    let init = Init::Kaiming { law: Law::Uniform, gain: 0.5 / 3f64.sqrt() };
    Spec {
        data,
        net: perceptron(&[d, d, 10], Activation::Relu, init),
        seeds: Seeds { paper: false, own: (0..seeds).collect(), own_data: false },
        runs: vec![
            run(LARGE, format!("batch {large}"), updates, large),
            run(UPDATES, format!("batch {small}, as many updates"), updates, small),
            run(EPOCHS, format!("batch {small}, as many epochs"), updates * (large / small) as u64, small),
        ],
        evaluate: Evaluate { first: 1, grid: 13, spacing: Spacing::Logarithmic, after: false },
        metrics: [TOP, LOSS].map(Metric::always).to_vec(),
        panels: vec![Panel::new(TOP, "largest eigenvalue of W₁ᵀW₁", true), Panel::new(LOSS, "test loss", true)],
        ..base(figure, &title, scale, Target::Linear, Activation::Relu)
    }
}

/// A run's test loss over that of large batches, of one seed.
fn loss_ratio(results: &Results, run: &RunResults, replica: &Replica) -> Option<f64> {
    let large = results.run(LARGE)?;
    Some(run.last(replica, LOSS)? / large.last(large.survivor(replica.seed)?, LOSS)?)
}

fn is_same(ratio: f64) -> bool {
    (ratio - 1.0).abs() <= SAME
}

/// For every own seed: is the test loss after as many epochs within a tenth of that of large batches?
pub(super) fn same_loss(results: &Results) -> Evidence {
    each(results, &format!("{EPOCHS}: test loss within a tenth of that of {LARGE}"), EPOCHS, |run, replica| {
        let ratio = loss_ratio(results, run, replica)?;
        Some((is_same(ratio), ratio))
    })
}

/// The ratio of a quantity of small batches after as many updates to that of large ones, for every own seed whose test losses are
/// within a tenth of each other: is it below (above) `limit`?
pub(super) fn at_equal_loss(
    results: &Results,
    quantity: &str,
    direction: Direction,
    limit: f64,
    value: impl Fn(&RunResults, &Replica) -> Option<f64>,
) -> Evidence {
    let word = if direction == Direction::Below { "below" } else { "above" };
    let what = format!("{quantity} at test losses within a tenth of each other: {UPDATES} over {LARGE} {word} {limit}");
    each(results, &what, UPDATES, |run, replica| {
        let large = results.run(LARGE)?;
        if !is_same(loss_ratio(results, run, replica)?) {
            return None;
        }
        let ratio = value(run, replica)? / value(large, large.survivor(replica.seed)?)?;
        Some((if direction == Direction::Below { ratio < limit } else { ratio > limit }, ratio))
    })
}

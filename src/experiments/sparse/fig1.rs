//! Figure 1: ResNet-18 on CIFAR-10 with weight decay, without momentum and augmentation: a constant small step size, and a large
//! one that is divided once, after 10, 30 or 50% of the run.
//!
//! The paper states no weight decay: that of its other experiments, 5e-4, is assumed. It speaks of only one decrease, without its
//! size: the step sizes after it are those of the released code, 0.03, 0.09 and 0.15 (which divides them again at 90%; here they
//! stay). At laptop scale networks of width 8 learn 1500 digits of 8 x 8 for 40 epochs on batches of 32; smoke is a few steps.

use super::deep::{Extent, UNTIL, WEIGHT_DECAY, decay_at, divisor};
use super::{PAPER, SCHEDULES, ordered, stays};
use crate::claims::{Claim, each};
use crate::error::Result;
use crate::experiments::Figure;
use crate::optim::Optimiser;
use crate::run::Results;
use crate::schedule::{Decay, Schedule, Timing};
use crate::spec::{Metric, Panel, Run, Scale, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/fig1",
    paper: PAPER,
    about: "ResNet-18 with weight decay alone: training loss and test error for one small and three large step-size schedules",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw: Figure::PANELS,
};

fn declare(scale: Scale) -> Spec {
    let extent = match scale {
        Scale::Smoke => Extent::smoke(),
        Scale::Laptop => Extent::digits(40, 21, 6),
        Scale::Paper => Extent::paper(),
    };
    let run = |(name, label, schedule): (&str, String, Schedule)| {
        let optimiser = Optimiser { weight_decay: WEIGHT_DECAY, ..extent.plain() };
        Run::new(name, &label, extent.steps(), schedule, optimiser)
    };
    let constant = (SCHEDULES[0], "η = 0.007".to_owned(), Schedule::Constant { peak: 0.007 });
    let large = SCHEDULES[1..].iter().zip(UNTIL).map(|(&name, until)| {
        let decays = vec![Decay { at: until, divide: divisor(until) }];
        (name, format!("η = 1.5, {}", decay_at(until)), Schedule::Piecewise { peak: 1.5, decays, timing: Timing::Same })
    });
    let runs = [constant].into_iter().chain(large).map(run).collect();
    let title = extent.title("ResNet-18", &format!("training dynamics, weight decay {WEIGHT_DECAY} (assumed), Figure 1"));
    Spec {
        metrics: ["train_loss", "train_error", "test_error"].map(Metric::always).to_vec(),
        panels: vec![Panel::new("train_loss", "Training loss", true), Panel::new("test_error", "Test error", false)],
        ..extent.spec(&FIGURE, scale, &title, 18, runs)
    }
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let [constant, .., longest] = SCHEDULES;
    let what = format!("test error of {constant} at least twice that of {longest}");
    let twice = each(results, &what, longest, |run, replica| {
        let other = results.run(constant)?;
        let (error, of_small) = (run.last(replica, "test_error")?, other.last(other.survivor(replica.seed)?, "test_error")?);
        Some((of_small >= 2.0 * error, of_small / error))
    });
    let falls = each(results, &format!("{longest}: the loss ends below a tenth of its level"), longest, |run, replica| {
        let end = run.last(replica, "train_loss")?;
        Some((end < 0.1 * run.stabilisation_level(replica)?, end))
    });
    Ok(vec![
        Claim::all(
            "substantial",
            "generalisation depends substantially on the step size: 12% against 35% test error",
            "Figure 1",
            vec![twice],
        ),
        Claim::all(
            "stabilises",
            "the training loss stays about constant while the step size is large, and drops after its decrease",
            "Figure 1, section 1",
            vec![stays(results, longest), falls],
        ),
        Claim::all(
            "longer-generalises",
            "despite no progress on the training loss, a longer phase of large steps leads to a lower test error",
            "Figure 1, section 1",
            ordered(results, "test_error", &SCHEDULES),
        ),
    ])
}

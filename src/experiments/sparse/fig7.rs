//! Figure 7: ResNet-18 on CIFAR-10, in a basic setting (no momentum, no weight decay, no augmentation) and in the standard one.
//! Per setting a constant small step size and three schedules of large ones, which are divided at the end of a longer and longer
//! first phase and again at 90%.
//!
//! The paper trains on all 50,000 images for 100 epochs at width 64. At laptop scale a network of width 8 sees 10,000 images for
//! 20 epochs, in the basic setting; smoke is a few epochs on digits.

use super::PAPER;
use super::deep::{self, Extent, SPARSITY, Setting};
use crate::claims::Claim;
use crate::data::images::Source;
use crate::error::Result;
use crate::experiments::Figure;
use crate::run::Results;
use crate::spec::{Metric, Scale, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/fig7",
    paper: PAPER,
    about: "ResNet-18: training loss, test error and feature sparsity of the last two groups of blocks; basic and standard setting",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw: Figure::PANELS,
};

fn declare(scale: Scale) -> Spec {
    let (extent, settings): (Extent, &[Setting]) = match scale {
        Scale::Smoke => (Extent { train: 512, width: 4, ..Extent::digits(4, 3, 1) }, &Setting::ALL),
        Scale::Laptop => {
            let (source, train, test) = (Source::CifarLike { train: 10_000, test: 2000 }, 10_000, Some(2000));
            let extent = Extent { source, train, test, width: 8, epochs: 20, evaluations: 6, seeds: 1, ..Extent::paper() };
            (extent, &[Setting::Basic])
        }
        Scale::Paper => (Extent::paper(), &Setting::ALL),
    };
    let metrics = ["train_loss", "train_error", "test_error", "active.3", "active.4", SPARSITY[2], SPARSITY[3]];
    let metrics = metrics.map(Metric::always).to_vec();
    deep::declare(&FIGURE, (scale, extent), (18, "large step sizes, Figure 7"), settings, metrics)
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let trained = |setting: &Setting| spec.runs.iter().any(|run| run.name == setting.names()[0]);
    let settings = Setting::ALL.into_iter().filter(trained);
    Ok(settings.flat_map(|setting| setting.claims(results, "Figure 7, section 4.3")).collect())
}

//! Figure 13: ResNet-34 on CIFAR-100, in the settings of Figure 7.
//!
//! The paper states no step sizes, and its code calls the commands "analogous": they are Figure 7's. The images drawn at paper scale
//! have 10 classes; `--data cifar100:FOLDER` gives the paper's. At laptop scale networks of width 8 learn 1500 digits of 8 x 8 for
//! 16 epochs on batches of 32, in the standard setting with crops and flips that digits do not ask for; smoke is a few steps.

use super::deep::{self, Extent, SPARSITY, Setting};
use super::{PAPER, SCHEDULES, stays};
use crate::claims::{Claim, Evidence, each};
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::{Architecture, Resnet};
use crate::report::{self, plot};
use crate::run::{Results, nan_max};
use crate::spec::{Metric, Scale, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/fig13",
    paper: PAPER,
    about: "ResNet-34 in the settings of Figure 7; the paper's images with --data cifar100:FOLDER",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw,
};

/// The classes of the paper's images.
const CLASSES: usize = 100;

fn declare(scale: Scale) -> Spec {
    let extent = match scale {
        Scale::Smoke => Extent::smoke(),
        Scale::Laptop => Extent::digits(16, 13, 4),
        Scale::Paper => Extent::paper(),
    };
    let mut metrics = ["train_loss", "test_error"].map(Metric::always).to_vec();
    metrics.extend(SPARSITY[2..].iter().map(|name| Metric::sparse(name, 4)));
    deep::declare(&FIGURE, (scale, extent), (34, "large step sizes, Figure 13"), &Setting::ALL, metrics)
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let mut claims = Vec::new();
    for setting in Setting::ALL {
        let (name, [.., longest]) = (setting.name(), setting.names());
        claims.push(Claim::all(
            &format!("{name}-stabilises"),
            &format!("{name} setting: the training loss stabilises while the step size is large"),
            "Figure 13",
            vec![stays(results, longest)],
        ));
        claims.extend(setting.claims(results, "Figure 13"));
    }
    claims.push(Claim::all(
        "oscillates",
        "without explicit regularisation the training loss oscillates after the decay, between 10^-4 and 10^-2",
        "Figure 13",
        SCHEDULES[1..].iter().flat_map(|run| [rises(results, run), low(results, run)]).collect(),
    ));
    Ok(claims)
}

/// Does the training loss rise again after the decay?
fn rises(results: &Results, run: &str) -> Evidence {
    let what = format!("{run}: the loss doubles from one evaluation after the decay to the next");
    each(results, &what, run, |run, replica| {
        let losses = run.within(replica, "train_loss", run.first_decay? + 1..);
        let steepest = losses.windows(2).map(|pair| pair[1].1 / pair[0].1).reduce(nan_max)?;
        Some((steepest >= 2.0, steepest))
    })
}

/// Is it at the level that the paper has?
fn low(results: &Results, run: &str) -> Evidence {
    let what = format!("{run}: level after the decay between 10^-4 and 10^-2");
    each(results, &what, run, |run, replica| {
        let level = run.level(replica, "train_loss", run.first_decay? + 1..)?;
        Some(((1e-4..=1e-2).contains(&level), level))
    })
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let mut figure = report::picture(spec, results);
    if !matches!(spec.net, Architecture::Resnet(Resnet { classes: CLASSES, .. })) {
        let footnote = figure.footnote.unwrap_or_default();
        figure.footnote = Some(format!("{footnote} The paper's images are CIFAR-100's: --data cifar100:FOLDER."));
    }
    Ok(figure)
}

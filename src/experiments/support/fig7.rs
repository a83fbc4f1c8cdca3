//! Figure 7: the spectra of Figure 6's covariance matrices. See `pixels.rs` for the data.
//!
//! A spike is an eigenvalue beyond the first empty one of the histogram's 50 bins: it stands apart from the bulk. Of the user's
//! CIFAR-10 the ranks that the paper's notebook prints are checked too.

use super::PAPER;
use super::pixels::{self, Level, asked, sets};
use super::spectra::histogram;
use crate::claims::{Claim, Evidence};
use crate::data::Data;
use crate::data::images::Source;
use crate::error::Result;
use crate::experiments::Figure;
use crate::report::plot;
use crate::run::Results;
use crate::spec::{Run, Seed, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig7",
    paper: PAPER,
    about: "spectra of the covariance of pixels: how many eigenvalues stand apart, against the numbers of classes and of channels",
    declare: |scale| pixels::declare(&FIGURE, "Spectra of the covariance of pixels, Figure 7", scale, &pixels::metrics()),
    expect,
    simulate: Some(pixels::simulate),
    check: pixels::check,
    draw,
};

/// Red, green and blue.
const COLOURS: usize = 3;

/// What the notebook prints of CIFAR-10's first channel.
const CIFAR10: [(&str, f64); 3] = [("first_rank", 1024.0), ("first_effective_rank", 14.0), ("first_stable_rank", 1.308_678_9)];

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let classes = asked(spec, results, Some(1), "as many eigenvalues apart from the bulk as classes", |value| {
        let spikes = value("grey_spikes")?;
        Some((spikes == value("classes")?, spikes))
    });
    let channels = Level::BOTH.map(|level| {
        let (name, metric) = (level.name(), format!("{}_spikes", level.name()));
        asked(spec, results, Some(COLOURS), &format!("{COLOURS} eigenvalues apart from the bulk, levels {name}"), |value| {
            let spikes = value(&metric)?;
            Some((spikes == COLOURS as f64, spikes))
        })
    });
    let bulk = asked(spec, results, None, "share of eigenvalues in the first of 50 bins, above one half", |value| {
        let share = value("grey_near_zero")?;
        Some((share > 0.5, share))
    });
    let claim = |id: &str, statement: &str, evidence| Claim::all(id, statement, "Figure 7", evidence);
    let mut claims = vec![
        claim("classes", "images in grey (MNIST) show as many eigenvalue spikes as classes", classes),
        claim(
            "channels",
            "images in colour (CIFAR) show 3 spikes, reflecting the primary channels [!]: the covariance is of one channel",
            channels.concat(),
        ),
        claim("bulk", "they are followed by a bulk concentrated towards zero", bulk),
    ];
    let is_cifar10 = |run: &&Run| matches!(spec.data_of(run), Data::Images { source: Source::Cifar10 { .. }, .. });
    if let Some(run) = sets(spec).find(is_cifar10) {
        claims.push(claim(
            "cifar10",
            "the covariance of CIFAR-10 has rank 1024, effective rank 14, stable rank 1.3087",
            vec![golden(results, run)],
        ));
    }
    Ok(claims)
}

/// Are seed 0's ranks those of the notebook?
fn golden(results: &Results, run: &Run) -> Evidence {
    let values = results.run(&run.name).and_then(|found| {
        let replica = found.survivor(Seed::Own(0))?;
        CIFAR10.iter().map(|(metric, _)| found.last(replica, metric)).collect::<Option<Vec<f64>>>()
    });
    let what = "rank, effective rank and stable rank of the first channel's covariance";
    let Some(values) = values else { return Evidence::grid(what, 0, 0, "seed 0 is missing") };
    let right = values.iter().zip(CIFAR10).filter(|(value, (_, want))| (**value / want - 1.0).abs() <= 1e-4).count();
    Evidence::grid(what, right, values.len(), format!("{values:?}"))
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let mut panels = Vec::new();
    for run in sets(spec) {
        let kept = results.run(&run.name).and_then(|found| found.replicas.first()).map_or(&[][..], |replica| &replica.params);
        let (grey, first) = kept.split_at(kept.len() / 2);
        let name = spec.data_of(run).name();
        panels.push(histogram(format!("{name}, grey levels"), grey, 0));
        // Of one channel both are the same.
        if first != grey {
            panels.push(histogram(format!("{name}, first channel"), first, 1));
        }
    }
    Ok(plot::Figure {
        title: spec.title.clone(),
        columns: 2,
        panels,
        footnote: Some("Eigenvalues of XᵀX in 50 bins, X the centred levels of all images.".to_owned()),
    })
}

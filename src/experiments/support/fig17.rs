//! Figure 17: a grid of images of the data set, the first of every class, then the second; colours as their mean. And what the
//! text beside it says: which pixels do not matter is clear for MNIST, where they are roughly the corners, and not for CIFAR. See
//! `pixels.rs` for the data; the paper shows CIFAR-100.

use super::PAPER;
use super::pixels::{self, Level, asked, centred, sets};
use crate::claims::{Claim, Evidence};
use crate::error::Result;
use crate::experiments::Figure;
use crate::report::plot::{self, Axis, Cells, Panel};
use crate::run::{Results, Simulated};
use crate::spec::{Run, Spec};
use crate::train::Progress;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig17",
    paper: PAPER,
    about: "a sample of the images of every class; whether the corners of the images are irrelevant",
    declare: |scale| pixels::declare(&FIGURE, "Images of every class, Figure 17", scale, &METRICS.map(str::to_owned)),
    expect,
    simulate: Some(simulate),
    check: pixels::check,
    draw,
};

/// Classes that have images; share of labels that are classes; mean variance of the four corners over that of all pixels.
const METRICS: [&str; 5] = ["found", "labelled", "corners", "channels", "classes"];

/// Corners whose variance is below this share of the mean do not matter.
const IRRELEVANT: f64 = 0.1;

/// Images that are drawn of a data set.
const DRAWN: usize = 20;

fn simulate(spec: &Spec, run: &Run, seed: u64, _: &dyn Progress) -> Result<Simulated> {
    let data = spec.data_of(run).load()?;
    let [rows, columns, channels] = pixels::image(&data)?;
    let classes = data.classes.unwrap_or(0);
    let labels = classes_of(&data.y, classes);
    let found = (0..classes).filter(|class| labels.contains(&Some(*class))).count();
    let labelled = labels.iter().flatten().count() as f64 / labels.len() as f64;
    let levels = centred(&data, &pixels::drawn(data.n(), seed), Level::Grey)?;
    let squares = |pixel: usize| levels.iter().skip(pixel).step_by(rows * columns).map(|level| level * level).sum::<f64>();
    let corners = [0, columns - 1, (rows - 1) * columns, rows * columns - 1].map(squares).iter().sum::<f64>() / 4.0;
    let mean = levels.iter().map(|level| level * level).sum::<f64>() / (rows * columns) as f64;
    Ok(Simulated::once(vec![found as f64, labelled, corners / mean, channels as f64, classes as f64], Vec::new()))
}

/// The class of each image, by its target or its targets; none where that is no class.
fn classes_of(targets: &[f64], classes: usize) -> Vec<Option<usize>> {
    let class = |&target: &f64| (target >= 0.0 && target < classes as f64 && target.fract() == 0.0).then_some(target as usize);
    targets.iter().map(class).collect()
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let whole = asked(spec, results, None, "every class is there, and every label is one of them", |value| {
        let found = value("found")?;
        Some((found == value("classes")? && value("labelled")? == 1.0, found))
    });
    let corners = |channels: usize, matter: bool| {
        let what =
            format!("the corners' variance {} {IRRELEVANT} of the mean over pixels", if matter { "above" } else { "below" });
        asked(spec, results, Some(channels), &what, |value| {
            let share = value("corners")?;
            Some(((share >= IRRELEVANT) == matter, share))
        })
    };
    let claim = |id: &str, statement: &str, evidence| Claim::all(id, statement, "Figure 17, appendix D", evidence);
    Ok(vec![
        claim("sample", "the grid is a sample of the data set", whole.into_iter().map(Evidence::every).collect()),
        claim("corners", "images in grey (MNIST): the irrelevant inputs are roughly the corners", corners(1, false)),
        claim("unclear", "images in colour (CIFAR): the situation is much less clear", corners(3, true)),
    ])
}

/// The first images of every class, by their places: one of each, then a second of each, and so on.
fn sample(labels: &[Option<usize>], classes: usize) -> Vec<(usize, usize)> {
    let mut before = vec![0; classes];
    let mut sorted = Vec::new();
    for (place, label) in labels.iter().enumerate() {
        if let Some(class) = *label {
            sorted.push((before[class], class, place));
            before[class] += 1;
        }
    }
    sorted.sort_unstable();
    sorted.into_iter().take(DRAWN).map(|(_, class, place)| (class, place)).collect()
}

fn draw(spec: &Spec, _: &Results) -> Result<plot::Figure> {
    let mut panels = Vec::new();
    for run in sets(spec) {
        let data = spec.data_of(run).load()?;
        let [rows, columns, channels] = pixels::image(&data)?;
        let classes = data.classes.unwrap_or(0);
        for (class, place) in sample(&classes_of(&data.y, classes), classes) {
            let pixels = data.x[place * data.d..][..data.d].chunks_exact(channels);
            // Dark is the end of the colours: of 1 less the level, bright pixels are light.
            let values = pixels.map(|pixel| 1.0 - pixel.iter().sum::<f64>() / channels as f64).collect();
            panels.push(Panel {
                title: class.to_string(),
                y: Axis::linear(""),
                cells: Some(Cells { rows, columns, values, range: Some((0.0, 1.0)), ..Cells::default() }),
                ..Panel::default()
            });
        }
    }
    let names: Vec<String> = sets(spec).map(|run| spec.data_of(run).name()).collect();
    Ok(plot::Figure {
        title: spec.title.clone(),
        columns: DRAWN / 2,
        panels,
        footnote: Some(format!("Above the images: their class; darkness, 1 less the grey level. Data: {}.", names.join("; "))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_takes_every_class_in_turn() {
        let labels = classes_of(&[1.0, 1.0, 0.0, 2.5, 1.0, 0.0, 3.0], 3);
        assert_eq!(labels, [Some(1), Some(1), Some(0), None, Some(1), Some(0), None]);
        assert_eq!(sample(&labels, 3), [(0, 2), (1, 0), (0, 5), (1, 1), (1, 4)]);
    }
}

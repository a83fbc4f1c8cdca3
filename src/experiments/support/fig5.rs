//! Figure 5: where perceptrons look at. The norms of W_1's columns as an image, one pixel for each input (of colours together),
//! beside the pixels' deviation. See `image_mlp.rs` for what the paper leaves open and for the scales; of its picture only the
//! caption says what it shows, and norms of columns are our reading.

use super::image_mlp::{EPOCHS, LARGE, LOSS, at_equal_loss, declare, same_loss};
use super::{PAPER, spectra};
use crate::claims::{Claim, Direction, paired_by};
use crate::data::{Data, Dataset};
use crate::error::{Result, refuse};
use crate::experiments::Figure;
use crate::nets::Architecture;
use crate::report::plot::{self, Axis, Cells, Panel};
use crate::run::{Replica, Results, RunResults};
use crate::spec::Spec;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig5",
    paper: PAPER,
    about: "perceptrons on images: which pixels the first layer looks at, by batch size",
    declare: |scale| declare(&FIGURE, "where the first layer looks at, Figure 5", scale),
    expect,
    simulate: None,
    check,
    draw,
};

/// A pixel is quiet if its variance is below this share of the mean over pixels.
const QUIET: f64 = 0.1;
/// Maps at equal test losses differ if the share of quiet pixels does by this.
const LESS: f64 = 0.9;

fn check(spec: &Spec) -> Result<()> {
    match spec.runs.iter().find(|run| run.data.is_some()) {
        _ if !matches!(spec.data, Data::Images { .. }) => {
            refuse!("data: {} is not of images, which the figure draws its map on; set data.kind=images", spec.data.name())
        }
        Some(run) => refuse!("runs.{}.data: the figure compares runs on one data set; leave it out", run.name),
        None => spectra::check(spec),
    }
}

/// Rows, columns and channels of the images, and the variance of each pixel, mean over its channels.
struct Pixels {
    image: [usize; 3],
    variance: Vec<f64>,
}

impl Pixels {
    fn of(data: &Dataset) -> Pixels {
        let image = data.image.unwrap_or([1, data.d, 1]);
        let n = data.n() as f64;
        let moments = |input: usize| {
            let column = data.x.iter().skip(input).step_by(data.d);
            let mean = column.clone().sum::<f64>() / n;
            column.map(|x| (x - mean).powi(2)).sum::<f64>() / n
        };
        let inputs: Vec<f64> = (0..data.d).map(moments).collect();
        let variance = inputs.chunks(image[2]).map(|channels| channels.iter().sum::<f64>() / channels.len() as f64).collect();
        Pixels { image, variance }
    }

    /// ‖W_1[:, pixel]‖² of every pixel.
    fn attention(&self, net: &Architecture, params: &[f64]) -> Option<Vec<f64>> {
        let (outputs, inputs) = spectra::first_layer(net)?;
        let mut squares = vec![0.0; self.variance.len()];
        for row in params.get(..outputs * inputs)?.chunks_exact(inputs) {
            for (square, channels) in squares.iter_mut().zip(row.chunks(self.image[2])) {
                *square += channels.iter().map(|w| w * w).sum::<f64>();
            }
        }
        Some(squares)
    }

    /// The share of ‖W_1‖² on quiet pixels; none where no pixel is quiet.
    fn quiet_share(&self, squares: &[f64]) -> Option<f64> {
        let limit = QUIET * self.variance.iter().sum::<f64>() / self.variance.len() as f64;
        let quiet: Vec<f64> =
            squares.iter().zip(&self.variance).filter(|(_, variance)| **variance < limit).map(|(square, _)| *square).collect();
        (!quiet.is_empty()).then(|| quiet.iter().sum::<f64>() / squares.iter().sum::<f64>())
    }

    /// Correlation over pixels between the norms of columns and the pixels' deviations.
    fn correlation(&self, squares: &[f64]) -> Option<f64> {
        let centred = |squares: &[f64]| -> Vec<f64> {
            let mean = squares.iter().map(|square| square.sqrt()).sum::<f64>() / squares.len() as f64;
            squares.iter().map(|square| square.sqrt() - mean).collect()
        };
        let (a, b) = (centred(squares), centred(&self.variance));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let correlation = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
        correlation.is_finite().then_some(correlation)
    }
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let pixels = Pixels::of(&spec.data.load()?);
    let share = |_: &RunResults, replica: &Replica| pixels.quiet_share(&pixels.attention(&spec.net, &replica.params)?);
    let correlation = |_: &RunResults, replica: &Replica| pixels.correlation(&pixels.attention(&spec.net, &replica.params)?);
    let claim = |id: &str, statement: &str, evidence| Claim::all(id, statement, "Figure 5, section 5.2", evidence);
    let quiet = "share of ‖W_1‖² on pixels that hardly vary";
    Ok(vec![
        claim(
            "support",
            "after as many epochs, small batches leave less of the first layer on pixels that do not matter than large ones",
            vec![paired_by(results, quiet, EPOCHS, Direction::Below, LARGE, share)],
        ),
        claim(
            "informative",
            "and what they look at agrees better with where images vary",
            vec![paired_by(results, "correlation with the pixels' deviations", EPOCHS, Direction::Above, LARGE, correlation)],
        ),
        claim("comparable", "all of them achieve comparable test losses: within a tenth", vec![same_loss(results)]),
        claim(
            "equal-loss",
            "at comparable test losses small batches leave less of the first layer on such pixels: by a tenth or more",
            vec![at_equal_loss(results, quiet, Direction::Below, LESS, share)],
        ),
    ])
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let pixels = Pixels::of(&spec.data.load()?);
    let [rows, columns, _] = pixels.image;
    let panel = |title: String, squares: &[f64]| {
        let values = squares.iter().map(|square| square.sqrt()).collect();
        Panel { title, y: Axis::linear(""), cells: Some(Cells { rows, columns, values, ..Cells::default() }), ..Panel::default() }
    };
    let mut panels = vec![panel("deviation of the pixels".to_owned(), &pixels.variance)];
    for (title, params) in spectra::ends(spec, results, LOSS) {
        panels.extend(pixels.attention(&spec.net, &params).map(|squares| panel(title, &squares)));
    }
    Ok(plot::Figure {
        title: spec.title.clone(),
        columns: panels.len(),
        panels,
        footnote: Some(format!(
            "Norms of the columns of W₁, one for each pixel, of the first seed; in brackets the test loss. Data: {}.",
            spec.data.name()
        )),
    })
}

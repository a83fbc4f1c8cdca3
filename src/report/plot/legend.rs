//! The legend of a figure: one sample per name, in columns below the panels.

use plotters::coord::Shift;
use plotters::prelude::{ChartBuilder, DrawingArea, DrawingBackend};
use plotters::style::text_anchor::{HPos, VPos};

use super::axis::{Ruler, Scale};
use super::font::Font;
use super::page::{Drawn, LABEL, line_height, text_style};
use super::trace::{GREY, Trace};
use super::{Axis, Curve, Figure, Style};

/// Size of a sample, its distance from the name, and the least distance between columns, in page units.
const SWATCH: (i32, i32) = (280, 100);
const BESIDE: i32 = 60;
const BETWEEN: i32 = 200;

/// One sample curve per name, set in columns of equal width.
pub(super) struct Legend {
    samples: Vec<Curve>,
    columns: usize,
    pitch: i32,
}

impl Legend {
    pub fn new(figure: &Figure, font: &Font, width: i32) -> Self {
        let mut samples: Vec<Curve> = Vec::new();
        let named = figure.panels.iter().filter(|panel| panel.legend).flat_map(|panel| &panel.curves);
        for curve in named.filter(|curve| !curve.label.is_empty() && !matches!(curve.style, Style::Mark(_))) {
            match samples.iter_mut().find(|sample| sample.label == curve.label && sample.style == curve.style) {
                Some(sample) if sample.colour != curve.colour => sample.colour = GREY,
                Some(_) => {}
                None => samples.push(sample(curve)),
            }
        }
        samples.sort_by_key(|sample| sample.style);
        let widest = samples.iter().map(|sample| font.width(&sample.label, f64::from(LABEL))).fold(0.0, f64::max);
        let pitch = SWATCH.0 + BESIDE + widest as i32 + BETWEEN;
        let most = ((width + BETWEEN) / pitch).max(1) as usize;
        // As few rows as fit, evenly filled.
        let columns = samples.len().div_ceil(samples.len().div_ceil(most).max(1)).max(1);
        Self { samples, columns, pitch }
    }

    pub fn rows(&self) -> usize {
        self.samples.len().div_ceil(self.columns)
    }

    pub fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, width: i32, top: i32) -> Drawn<B> {
        let unit = Scale::fit(&Axis { range: Some((0.0, 1.0)), ..Axis::default() }, std::iter::empty(), 0.0);
        let left = (width - self.columns as i32 * self.pitch + BETWEEN) / 2;
        let beside = text_style(LABEL, HPos::Left, VPos::Center);
        for (i, sample) in self.samples.iter().enumerate() {
            let x = left + (i % self.columns) as i32 * self.pitch;
            let middle = top + (i / self.columns) as i32 * line_height(LABEL) + line_height(LABEL) / 2;
            let swatch = root.clone().shrink((x, middle - SWATCH.1 / 2), SWATCH);
            let chart = ChartBuilder::on(&swatch).build_cartesian_2d(Ruler(&[]), Ruler(&[]))?;
            let trace = Trace::new(sample, &unit, &unit);
            trace.draw_band(chart.plotting_area())?;
            trace.draw_line(chart.plotting_area())?;
            root.draw_text(&sample.label, &beside, (x + SWATCH.0 + BESIDE, middle))?;
        }
        Ok(())
    }
}

/// A short piece that shows how `curve` is drawn.
fn sample(curve: &Curve) -> Curve {
    let points = match curve.style {
        Style::Points => vec![(0.5, 0.5)],
        _ => vec![(0.0, 0.5), (1.0, 0.5)],
    };
    Curve {
        label: curve.label.clone(),
        colour: curve.colour,
        style: curve.style,
        points,
        band: curve.band.as_ref().map(|_| vec![(0.0, 0.0, 1.0), (1.0, 0.0, 1.0)]),
        end_cross: false,
    }
}

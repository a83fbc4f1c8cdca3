//! The contours of a panel: bands between levels, drawn as nested rings, and the lines between them.

use plotters::coord::CoordTranslate;
use plotters::prelude::{Color, DrawingArea, DrawingBackend, PathElement, Polygon, RGBColor, WHITE};

use super::Contours;
use super::axis::Scale;
use super::clip::{self, Point};
use super::contour::{Field, Ring};
use super::page::Drawn;

/// Fills from the lowest band to the highest, and lines from the lowest level to the highest.
const FILLS: [RGBColor; 2] = [RGBColor(0xFA, 0xFB, 0xFC), RGBColor(0xC3, 0xCF, 0xDC)];
const LINES: [RGBColor; 2] = [RGBColor(0xA9, 0xB9, 0xCA), RGBColor(0x4F, 0x66, 0x80)];

/// Contours in positions of their panel, with their colours, in drawing order.
pub(super) struct Relief {
    fills: Vec<(Vec<Point>, RGBColor)>,
    lines: Vec<(Vec<Point>, RGBColor)>,
}

impl Relief {
    pub fn new(contours: &Contours, x: &Scale, y: &Scale) -> Self {
        let (columns, rows) = (positions(&contours.x, x), positions(&contours.y, y));
        let corners = rows.iter().flat_map(|v| columns.iter().map(move |u| u + v));
        // Corners that cannot be shown are NaN, and so become gaps.
        let values = corners.zip(&contours.values).map(|(corner, value)| value + 0.0 * corner).collect();
        let field = Field { columns: columns.len(), rows: rows.len(), values };
        let place = |(u, v): Point| (between(&columns, u), between(&rows, v));

        let mut levels: Vec<f64> = contours.levels.iter().copied().filter(|level| level.is_finite()).collect();
        levels.sort_by(f64::total_cmp);
        levels.dedup();
        // Band 0 lies below the first level, and what is not above −∞ is a gap.
        let bounds = std::iter::once(f64::NEG_INFINITY).chain(levels.iter().copied());
        let mut rings: Vec<(usize, Ring)> =
            bounds.enumerate().flat_map(|(band, level)| field.rings(level).into_iter().map(move |ring| (band, ring))).collect();
        let lines = rings.iter().flat_map(|(band, ring)| {
            let colour = shade(LINES, band.saturating_sub(1), levels.len().saturating_sub(1));
            let lines = ring.level_lines().into_iter().map(|line| line.into_iter().map(place).collect::<Vec<_>>());
            lines.flat_map(|line| clip::line(&line)).map(move |piece| (piece, colour))
        });
        let lines = lines.collect();
        // Rings do not cross, so that painting each over all larger ones leaves every band in its colour. Equal rings
        // occur around the whole grid, where the highest band is the one inside, and around gaps, where the gap is.
        let inward = |&(band, ref ring): &(usize, Ring)| if ring.area > 0.0 { band as isize } else { -(band as isize) };
        rings.sort_by(|a, b| b.1.area.abs().total_cmp(&a.1.area.abs()).then(inward(a).cmp(&inward(b))));
        let fill = |(band, ring): &(usize, Ring)| {
            let inside = if ring.area > 0.0 { Some(*band) } else { band.checked_sub(1) };
            let colour = inside.map_or(WHITE, |band| shade(FILLS, band, levels.len()));
            (clip::polygon(ring.points().map(place).collect()), colour)
        };
        let fills = rings.iter().map(fill).filter(|(corners, _)| corners.len() > 2).collect();
        Self { fills, lines }
    }

    pub fn is_empty(&self) -> bool {
        self.fills.is_empty()
    }

    pub fn draw<B, C>(&self, plot: &DrawingArea<B, C>) -> Drawn<B>
    where
        B: DrawingBackend,
        C: CoordTranslate<From = Point>,
    {
        self.fills.iter().try_for_each(|(corners, colour)| plot.draw(&Polygon::new(corners.as_slice(), colour.filled())))?;
        self.lines.iter().try_for_each(|(line, colour)| plot.draw(&PathElement::new(line.as_slice(), colour.stroke_width(6))))
    }
}

/// Positions on an axis, NaN where the axis has none.
fn positions(values: &[f64], scale: &Scale) -> Vec<f64> {
    values.iter().map(|&value| if scale.shows(value) { scale.position(value) } else { f64::NAN }).collect()
}

/// The position at a fraction of the way between two columns, or two rows.
fn between(positions: &[f64], at: f64) -> f64 {
    let (low, high) = (positions[at.floor() as usize], positions[at.ceil() as usize]);
    low + at.fract() * (high - low)
}

/// Step `step` of `steps` from the first colour to the second.
fn shade(colours: [RGBColor; 2], step: usize, steps: usize) -> RGBColor {
    blend(colours, step as f64 / steps.max(1) as f64)
}

/// The colour at a fraction of the way from the first colour to the second.
pub(super) fn blend([from, to]: [RGBColor; 2], part: f64) -> RGBColor {
    let mix = |from: u8, to: u8| (f64::from(from) + part * (f64::from(to) - f64::from(from))).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

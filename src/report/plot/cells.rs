//! A matrix as a grid of coloured squares, with the range of its colours below.

use plotters::coord::Shift;
use plotters::prelude::{
    Color, DrawingArea, DrawingBackend, FontTransform, IntoTextStyle, PathElement, RGBColor, Rectangle, WHITE,
};
use plotters::style::text_anchor::{HPos, VPos};

use super::axis;
use super::page::{Drawn, FRAME, INK, LABEL, TICK, TICK_LENGTH, line_height, no_data, text_style};
use super::relief::blend;
use super::{Cells, Colours};

/// The colours of the ends: of magnitudes, of values below 0, of values above.
const MAGNITUDE: [RGBColor; 2] = [RGBColor(0xF4, 0xF7, 0xFA), RGBColor(0x2B, 0x40, 0x59)];
const BELOW: [RGBColor; 2] = [WHITE, RGBColor(0x00, 0x72, 0xB2)];
const ABOVE: [RGBColor; 2] = [WHITE, RGBColor(0xD5, 0x5E, 0x00)];
/// A cell without a value, and the line across it.
const GAP: RGBColor = RGBColor(0xEE, 0xEE, 0xEE);
const HATCH: RGBColor = RGBColor(0xAA, 0xAA, 0xAA);

/// How far a cell reaches below those that are drawn later, so that no seam shows between them, in page units.
const OVERLAP: i32 = 10;

/// A matrix with its size on the page and the values of its end colours.
pub(super) struct Grid<'a> {
    cells: &'a Cells,
    /// Side of a cell, in page units.
    side: f64,
    /// Width of the matrix, or of the room for one without cells.
    width: i32,
    /// Height of the same.
    height: i32,
    /// `None` where there is nothing to colour.
    range: Option<(f64, f64)>,
}

impl<'a> Grid<'a> {
    /// A matrix that fits a square of the given side.
    pub fn new(cells: &'a Cells, square: i32) -> Self {
        let side = f64::from(square) / cells.rows.max(cells.columns).max(1) as f64;
        let length = |count: usize| (count as f64 * side).round() as i32;
        let (width, height) = match (length(cells.columns), length(cells.rows)) {
            _ if cells.rows == 0 || cells.columns == 0 => (square, square),
            size => size,
        };
        Self { cells, side, width, height, range: range(cells) }
    }

    /// Height of the matrix with its range.
    pub fn height(&self) -> i32 {
        self.height + TICK_LENGTH + line_height(TICK)
    }

    /// Draws the matrix below `top`, around `middle`, and its labels beside it.
    pub fn draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        (middle, top): (i32, i32),
        below: &str,
        beside: &str,
    ) -> Drawn<B> {
        let Cells { rows, columns, .. } = *self.cells;
        let (left, right, bottom) = (middle - self.width / 2, middle - self.width / 2 + self.width, top + self.height);
        if rows == 0 || columns == 0 {
            let (note, style) = no_data();
            return area.draw_text(note, &style, (middle, top + self.height / 2));
        }
        let edge = |count: usize| (count as f64 * self.side).round() as i32;
        let corners =
            |row: usize, column: usize| [(left + edge(column), top + edge(row)), (left + edge(column + 1), top + edge(row + 1))];
        let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let mut gaps = Vec::new();
        for (i, (row, column)) in places.enumerate() {
            let [low, high] = corners(row, column);
            let colour = self.cells.values.get(i).and_then(|&value| self.colour(value));
            if colour.is_none() {
                gaps.push([(low.0, high.1), (high.0, low.1)]);
            }
            let high = ((high.0 + OVERLAP).min(right), (high.1 + OVERLAP).min(bottom));
            area.draw(&Rectangle::new([low, high], colour.unwrap_or(GAP).filled()))?;
        }
        // One line from corner to corner per cell, so that neighbours join to a hatching.
        gaps.into_iter().try_for_each(|line| area.draw(&PathElement::new(line, HATCH.stroke_width(8))))?;
        area.draw(&Rectangle::new([(left, top), (right, bottom)], FRAME.stroke_width(8)))?;
        if let Some(column) = self.cells.mark_column.filter(|&column| column <= columns) {
            let x = left + edge(column);
            // Rimmed in white and longer than the matrix, so that it shows on every colour.
            for (colour, width) in [(WHITE, 28), (INK, 12)] {
                let ends = [(x, top - TICK_LENGTH), (x, bottom + TICK_LENGTH)];
                area.draw(&PathElement::new(ends, colour.stroke_width(width)))?;
            }
        }
        let under = bottom + TICK_LENGTH;
        if let Some((low, high)) = self.range {
            area.draw_text(&axis::range(low, high), &text_style(TICK, HPos::Center, VPos::Top), (middle, under))?;
        }
        let label = text_style(LABEL, HPos::Center, VPos::Top);
        area.draw_text(below, &label, (middle, under + line_height(TICK)))?;
        let label = text_style(LABEL, HPos::Center, VPos::Bottom).transform(FontTransform::Rotate270);
        area.draw_text(beside, &label, (left - TICK_LENGTH, (top + bottom) / 2))
    }

    /// The colour of a value; `None` for one that is not finite.
    fn colour(&self, value: f64) -> Option<RGBColor> {
        let (low, high) = self.range.filter(|_| value.is_finite())?;
        let value = value.clamp(low, high);
        Some(match self.cells.colours {
            Colours::Sequential => {
                // Halves, as a difference may be too large for a number.
                let span = high / 2.0 - low / 2.0;
                blend(MAGNITUDE, if span > 0.0 { (value / 2.0 - low / 2.0) / span } else { 0.5 })
            }
            Colours::Diverging => {
                let farthest = low.abs().max(high.abs());
                let part = if farthest > 0.0 { value.abs() / farthest } else { 0.0 };
                blend(if value < 0.0 { BELOW } else { ABOVE }, part)
            }
        })
    }
}

/// The values of the end colours.
fn range(cells: &Cells) -> Option<(f64, f64)> {
    let drawable = |&(low, high): &(f64, f64)| low.is_finite() && high.is_finite() && low < high;
    cells.range.filter(drawable).or_else(|| {
        let finite = cells.values.iter().copied().filter(|value| value.is_finite());
        let (low, high) = (finite.clone().reduce(f64::min)?, finite.reduce(f64::max)?);
        let farthest = low.abs().max(high.abs());
        Some(match cells.colours {
            Colours::Sequential => (low, high),
            Colours::Diverging => (-farthest, farthest),
        })
    })
}

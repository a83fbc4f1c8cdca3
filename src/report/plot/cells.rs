//! A matrix as a grid of coloured squares, with the range of its colours below.

use plotters::coord::Shift;
use plotters::prelude::{Color, DrawingArea, DrawingBackend, FontTransform, PathElement, RGBColor, Rectangle, WHITE};
use plotters::style::text_anchor::{HPos, VPos};

use super::axis::{self, LARGEST};
use super::page::{Drawn, FRAME, INK, LABEL, TICK, line_height, no_data, text_style};
use super::relief::blend;
use super::trace::PALETTE;
use super::{Cells, Colours, Panel};

/// The colours of the ends: of magnitudes, of values below 0, of values above.
const MAGNITUDE: [RGBColor; 2] = [RGBColor(0xF4, 0xF7, 0xFA), RGBColor(0x2B, 0x40, 0x59)];
const BELOW: [RGBColor; 2] = [WHITE, PALETTE[0]];
const ABOVE: [RGBColor; 2] = [WHITE, PALETTE[1]];
/// A cell without a value, and the line from corner to corner that joins those of its neighbours to a hatching.
const UNKNOWN: RGBColor = RGBColor(0xEE, 0xEE, 0xEE);
const HATCH: RGBColor = RGBColor(0xAA, 0xAA, 0xAA);

/// How far a cell reaches below those that are drawn later, so that no seam shows between them, in page units.
const OVERLAP: i32 = 10;
/// How far a marking line sticks out of the matrix, and the distance of the text around it.
const REACH: i32 = 22;
const GAP: i32 = 50;

/// A matrix with its size on the page and the values of its end colours.
pub(super) struct Grid<'a> {
    cells: &'a Cells,
    /// Side of the square that the matrix fits, in page units.
    square: i32,
    /// `None` where no value is finite.
    range: Option<(f64, f64)>,
}

impl<'a> Grid<'a> {
    pub fn new(cells: &'a Cells, square: i32) -> Self {
        Self { cells, square, range: range(cells) }
    }

    fn is_empty(&self) -> bool {
        self.cells.rows == 0 || self.cells.columns == 0
    }

    /// Height of the matrix with its range.
    pub fn height(&self) -> i32 {
        let matrix = if self.is_empty() { self.square } else { self.edge(self.cells.rows) };
        matrix + GAP + line_height(TICK)
    }

    /// Length of `count` cells.
    fn edge(&self, count: usize) -> i32 {
        let most = self.cells.rows.max(self.cells.columns).max(1);
        (f64::from(self.square) * count as f64 / most as f64).round() as i32
    }

    /// Draws the matrix below `top`, around `middle`, with its range below and the labels of `panel`.
    pub fn draw<B>(&self, area: &DrawingArea<B, Shift>, (middle, top): (i32, i32), panel: &Panel) -> Drawn<B>
    where
        B: DrawingBackend,
    {
        if self.is_empty() {
            let (note, style) = no_data();
            return area.draw_text(note, &style, (middle, top + self.square / 2));
        }
        let left = middle - self.edge(self.cells.columns) / 2;
        let bottom = top + self.edge(self.cells.rows);
        self.draw_cells(area, (left, top))?;
        if let Some((low, high)) = self.range {
            area.draw_text(&axis::range(low, high), &text_style(TICK, HPos::Center, VPos::Top), (middle, bottom + GAP))?;
        }
        let below = (text_style(LABEL, HPos::Center, VPos::Top), (middle, bottom + GAP + line_height(TICK)));
        let upwards = text_style(LABEL, HPos::Center, VPos::Bottom).transform(FontTransform::Rotate270);
        let beside = (upwards, (left - GAP, (top + bottom) / 2));
        let mut labels = [(&panel.x.label, below), (&panel.y.label, beside)].into_iter().filter(|(label, _)| !label.is_empty());
        labels.try_for_each(|(label, (style, at))| area.draw_text(label, &style, at))
    }

    fn draw_cells<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, (left, top): (i32, i32)) -> Drawn<B> {
        let Cells { rows, columns, .. } = *self.cells;
        let corner = |row: usize, column: usize| (left + self.edge(column), top + self.edge(row));
        let (right, bottom) = corner(rows, columns);
        let mut hatching = Vec::new();
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            let value = self.cells.values.get(row * columns + column);
            let colour = value.and_then(|&value| self.colour(value));
            if colour.is_none() {
                hatching.push([corner(row + 1, column), corner(row, column + 1)]);
            }
            let (x, y) = corner(row + 1, column + 1);
            let end = ((x + OVERLAP).min(right), (y + OVERLAP).min(bottom));
            area.draw(&Rectangle::new([corner(row, column), end], colour.unwrap_or(UNKNOWN).filled()))?;
        }
        hatching.into_iter().try_for_each(|line| area.draw(&PathElement::new(line, HATCH.stroke_width(8))))?;
        // Not a rectangle, whose lines have no width in an SVG.
        let frame = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
        area.draw(&PathElement::new(frame, FRAME.stroke_width(8)))?;
        let Some(column) = self.cells.mark_column.filter(|&column| column <= columns) else { return Ok(()) };
        let x = left + self.edge(column);
        let ends = [(x, top - REACH), (x, bottom + REACH)];
        // On a wider white line, as it must show on dark cells too.
        [WHITE.stroke_width(28), INK.stroke_width(12)].into_iter().try_for_each(|style| area.draw(&PathElement::new(ends, style)))
    }

    /// The colour of a value; `None` for one that is not finite.
    fn colour(&self, value: f64) -> Option<RGBColor> {
        let (low, high) = self.range.filter(|_| value.is_finite())?;
        let value = value.clamp(low, high);
        Some(match self.cells.colours {
            Colours::Sequential => blend(MAGNITUDE, if low < high { (value - low) / (high - low) } else { 0.5 }),
            Colours::Diverging => {
                let farthest = low.abs().max(high.abs());
                let part = if farthest > 0.0 { value.abs() / farthest } else { 0.0 };
                blend(if value < 0.0 { BELOW } else { ABOVE }, part)
            }
        })
    }
}

/// The values of the end colours; those too large for an axis do not stretch them.
fn range(cells: &Cells) -> Option<(f64, f64)> {
    let usable = |value: &f64| value.abs() <= LARGEST;
    cells.range.filter(|(low, high)| usable(low) && usable(high) && low < high).or_else(|| {
        let values = cells.values.iter().copied().filter(usable);
        let (low, high) = (values.clone().reduce(f64::min)?, values.reduce(f64::max)?);
        let farthest = low.abs().max(high.abs());
        Some(match cells.colours {
            Colours::Sequential => (low, high),
            Colours::Diverging => (-farthest, farthest),
        })
    })
}

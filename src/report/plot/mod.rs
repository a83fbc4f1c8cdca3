//! Figures: panels of curves with bands, marks and contours, or of matrices, drawn once and written as SVG and as PNG.
//!
//! A [`Figure`] only declares what is shown; ranges, ticks, colours and the legend follow from the data.
//! The same input always gives the same bytes.

mod axis;
mod canvas;
mod cells;
mod clip;
mod contour;
mod font;
mod legend;
mod mark;
mod page;
mod relief;
mod tiles;
mod trace;

use std::path::{Path, PathBuf};

use plotters::prelude::{DrawingBackend, IntoDrawingArea, SVGBackend};
use tiny_skia::Pixmap;

use canvas::Canvas;
use font::Font;
use page::Page;

/// Device pixels per layout pixel in a PNG: sharp on dense screens and in print.
const PNG_SCALE: u32 = 2;

/// A page of panels under one title, with one legend below them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figure {
    /// Heading of the page; long ones are wrapped, an empty one takes no room.
    pub title: String,
    /// Panels per row: at least one, and no more than there are panels.
    pub columns: usize,
    /// The panels, row by row.
    pub panels: Vec<Panel>,
    /// Small print below the legend: what bands and marks mean, which data, how many seeds.
    pub footnote: Option<String>,
}

/// One pair of axes with its curves, or one matrix.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Panel {
    /// Heading above the axes.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// A function shown below everything else. Its panel is about square, and axes without a range of their own
    /// show its grid.
    pub contours: Option<Contours>,
    /// A function shown as coloured tiles below everything else, its panel and axes as with `contours`.
    pub tiles: Option<Tiles>,
    /// A matrix shown in place of the axes and of all that they hold; the labels of the axes stand beside it.
    pub cells: Option<Cells>,
    /// The curves, later ones drawn over earlier ones; all bands lie below all curves, and all marks above.
    pub curves: Vec<Curve>,
    /// Texts in the middle of places (x, y), above everything else.
    pub notes: Vec<(f64, f64, String)>,
    /// Whether the legend of the figure names the curves of this panel. Curves of equal label and
    /// style share one entry, in grey where their colours differ; an empty label has none.
    pub legend: bool,
}

/// One axis of a [`Panel`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Axis {
    /// What is shown, with its unit.
    pub label: String,
    /// Logarithmic where true; values that are not positive are then left out.
    pub log: bool,
    /// First and last value shown. `None`, or a range that cannot be drawn, takes them from the data.
    pub range: Option<(f64, f64)>,
}

impl Axis {
    /// A linear axis that takes its range from the data.
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), log: false, range: None }
    }

    /// A logarithmic axis that takes its range from the data.
    pub fn log(label: impl Into<String>) -> Self {
        Self { label: label.into(), log: true, range: None }
    }
}

/// A function of two variables: lines of equal value, and bands between them that darken with the value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contours {
    /// Where the columns of the grid lie, from one side to the other.
    pub x: Vec<f64>,
    /// Where the rows of the grid lie, from one side to the other.
    pub y: Vec<f64>,
    /// The value at each corner of the grid, `y.len() * x.len()` of them, row by row. Those that are missing, not
    /// finite, or not positive on a logarithmic axis leave a gap.
    pub values: Vec<f64>,
    /// Values to draw lines at, in any order; those that the function does not take have none.
    pub levels: Vec<f64>,
}

impl Contours {
    /// The contours of `function(x, y)`, evaluated at every corner of the grid.
    pub fn of(function: impl Fn(f64, f64) -> f64, x: Vec<f64>, y: Vec<f64>, levels: Vec<f64>) -> Self {
        let values = y.iter().flat_map(|&y| x.iter().map(move |&x| (x, y))).map(|(x, y)| function(x, y)).collect();
        Self { x, y, values, levels }
    }
}

/// A function of two variables: one coloured tile between neighbouring columns and rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Tiles {
    /// Edges of the columns, ascending: one more than there are columns.
    pub x: Vec<f64>,
    /// Edges of the rows, ascending.
    pub y: Vec<f64>,
    /// The value of each tile, row by row; those that are missing or not finite leave a gap.
    pub values: Vec<f64>,
    /// The colours.
    pub shades: Shades,
}

impl Tiles {
    /// The tiles of `function(x, y)`, evaluated at the middle of each, geometric on axes that are logarithmic.
    pub fn of(function: impl Fn(f64, f64) -> f64, x: (&Axis, usize), y: (&Axis, usize), shades: Shades) -> Self {
        let (x, y) = (edges(x.0, x.1), edges(y.0, y.1));
        let [columns, rows] = [&x, &y].map(|(log, edges)| middles(*log, edges));
        let values = rows.iter().flat_map(|&y| columns.iter().map(move |&x| (x, y))).map(|(x, y)| function(x, y)).collect();
        Self { x: x.1, y: y.1, values, shades }
    }
}

/// Even edges over the range of an axis, or over (0, 1) without one, and whether it is logarithmic.
fn edges(axis: &Axis, count: usize) -> (bool, Vec<f64>) {
    let (low, high) = axis.range.unwrap_or((0.0, 1.0));
    let at = |k: usize| {
        let part = k as f64 / count as f64;
        if axis.log { low * (high / low).powf(part) } else { low + (high - low) * part }
    };
    (axis.log, (0..=count).map(at).collect())
}

fn middles(log: bool, edges: &[f64]) -> Vec<f64> {
    edges.windows(2).map(|pair| if log { (pair[0] * pair[1]).sqrt() } else { 0.5 * (pair[0] + pair[1]) }).collect()
}

/// The colours of [`Tiles`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shades {
    /// Perceptually even, from dark blue at `low` to yellow at `high` and beyond.
    Even {
        /// Darkest.
        low: f64,
        /// Lightest.
        high: f64,
    },
    /// One tint for each of the values 0 to 5.
    Classes,
}

/// A matrix as coloured square cells, row 0 on top, with the values of the end colours written below. The matrices of
/// a page all fit the same square, and a page of nothing else has narrow columns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cells {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// The entries, `rows * columns` of them, row by row. Those that are missing or not finite are hatched.
    pub values: Vec<f64>,
    /// Values that have the colours of the ends, as have those beyond. `None`, or a range that cannot be drawn, takes
    /// them from the data.
    pub range: Option<(f64, f64)>,
    /// The colours between the ends.
    pub colours: Colours,
    /// Draws a line before this column, for example the first irrelevant input; at `columns`, after the last one.
    pub mark_column: Option<usize>,
}

/// The colours of [`Cells`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Colours {
    /// From light to dark blue-grey, for magnitudes.
    #[default]
    Sequential,
    /// Blue below 0, white at 0, orange above, equally strong at equal distances from 0. A range taken from the data
    /// is symmetric.
    Diverging,
}

/// One line or cloud of points.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curve {
    /// Name in the legend, or beside the first point of a [`Style::Mark`]; empty for none.
    pub label: String,
    /// Index into a palette: 0 to 6 are colours that colour-blind readers can tell apart, 7 is grey,
    /// then it starts over.
    pub colour: usize,
    /// How the points are drawn.
    pub style: Style,
    /// The points `(x, y)` in drawing order. A point that is not finite (or not positive on a
    /// logarithmic axis) breaks the line.
    pub points: Vec<(f64, f64)>,
    /// A translucent band of `(x, low, high)`, for example the 10th to 90th percentile. NaN breaks
    /// it; an infinite bound reaches the edge of the panel.
    pub band: Option<Vec<(f64, f64, f64)>>,
    /// Marks the last drawable point with a cross, for example where a run diverged.
    pub end_cross: bool,
}

/// How a [`Curve`] is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Style {
    /// A full line.
    #[default]
    Solid,
    /// A thin dashed line.
    Dashed,
    /// A thin translucent line, for the single runs behind a summary.
    Faint,
    /// Unconnected dots.
    Points,
    /// Large symbols rimmed in white, above all lines; a label stands beside the first one, where it is least in
    /// the way, and not in the legend.
    Mark(Symbol),
}

/// The symbol of a [`Style::Mark`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Symbol {
    /// A disc.
    #[default]
    Disc,
    /// A square.
    Square,
    /// A square on its corner.
    Diamond,
    /// A star of five points.
    Star,
}

/// Why a figure could not be written.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The drawing library refused.
    #[error("cannot draw {}: {reason}", path.display())]
    Draw {
        /// The file that was to be written.
        path: PathBuf,
        /// The library's own words.
        reason: String,
    },
    /// The file could not be written.
    #[error("cannot write {}: {source}; check that the folder exists and is writable", path.display())]
    Write {
        /// The file that was to be written.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
}

impl Figure {
    /// Writes the figure as SVG, with its text kept as text.
    ///
    /// # Errors
    /// [`PlotError`] when drawing fails or `path` cannot be written; a partial file may be left.
    pub fn write_svg(&self, path: impl AsRef<Path>) -> Result<(), PlotError> {
        write(path.as_ref(), self.svg())
    }

    /// Writes the figure as PNG, in the layout of the SVG at twice its size in pixels.
    ///
    /// # Errors
    /// [`PlotError`] when drawing fails or `path` cannot be written; a partial file may be left.
    pub fn write_png(&self, path: impl AsRef<Path>) -> Result<(), PlotError> {
        write(path.as_ref(), self.png())
    }

    fn svg(&self) -> Result<Vec<u8>, String> {
        let font = Font::embedded()?;
        let page = Page::new(self, &font);
        let (width, height) = page.size();
        let mut text = String::new();
        paint(&page, SVGBackend::with_string(&mut text, (width, height)))?;
        // The page is drawn in fine units because backends take whole ones; here they become pixels.
        let opening = format!("<svg width=\"{width}\" height=\"{height}\" ");
        let scaled =
            format!("<svg width=\"{}\" height=\"{}\" stroke-linejoin=\"round\" ", width / page::UNIT, height / page::UNIT);
        Ok(text.replacen(&opening, &scaled, 1).into_bytes())
    }

    fn png(&self) -> Result<Vec<u8>, String> {
        let font = Font::embedded()?;
        let page = Page::new(self, &font);
        let (width, height) = page.size();
        let pixels = |units: u32| units * PNG_SCALE / page::UNIT;
        let mut pixmap = Pixmap::new(pixels(width), pixels(height))
            .ok_or_else(|| format!("a page of {width} x {height} units is too large"))?;
        let scale = PNG_SCALE as f32 / page::UNIT as f32;
        paint(&page, Canvas::new(&mut pixmap, &font, scale))?;
        pixmap.encode_png().map_err(|error| error.to_string())
    }
}

fn paint<B: DrawingBackend>(page: &Page, backend: B) -> Result<(), String> {
    let area = backend.into_drawing_area();
    page.draw(&area).and_then(|()| area.present()).map_err(|error| error.to_string())
}

fn write(path: &Path, drawn: Result<Vec<u8>, String>) -> Result<(), PlotError> {
    let bytes = drawn.map_err(|reason| PlotError::Draw { path: path.into(), reason })?;
    std::fs::write(path, bytes).map_err(|source| PlotError::Write { path: path.into(), source })
}

#[cfg(test)]
mod tests;

//! The layout of a figure: headings, panels, legend and footnote, measured first and then drawn on any backend.

use plotters::coord::Shift;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::{ChartBuilder, Color, DrawingArea, DrawingBackend, IntoFont, RGBColor, Text, TextStyle, WHITE};
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::{Ruler, Scale, Tick};
use super::cells::Grid;
use super::clip::Point;
use super::font::{FAMILY, Font};
use super::legend::Legend;
use super::mark::{Label, Mark};
use super::relief::Relief;
use super::tiles::Mosaic;
use super::trace::Trace;
use super::{Curve, Figure, Panel};

/// Page units per layout pixel. Backends take whole units, so this is what keeps curves smooth.
pub(super) const UNIT: u32 = 10;

// Lengths and text sizes below are in page units; the sizes survive the factor 1.24 of the backends exactly.
const TITLE: i32 = 150;
const HEADING: i32 = 130;
pub(super) const LABEL: i32 = 122;
pub(super) const TICK: i32 = 110;
const NOTE: i32 = 106;
/// Distance of baselines over text size.
const LEADING: f64 = 1.35;
const MARGIN: i32 = 140;
const GAP: i32 = 120;
const TICK_LENGTH: i32 = 35;
/// Width of a column where all panels are matrices.
const NARROW: i32 = 2000;
/// Height of the axes in a row without contours.
const PLOT_HEIGHT: i32 = 2100;
/// Room below the axes for tick labels and the axis label.
const X_LABELS: i32 = 370;
/// Room right of the axes, for half a tick label.
const RIGHT: i32 = 150;

pub(super) const INK: RGBColor = RGBColor(0x26, 0x26, 0x26);
pub(super) const FRAME: RGBColor = RGBColor(0x80, 0x80, 0x80);
const GRID: RGBColor = RGBColor(0xE2, 0xE2, 0xE2);
const FAINT_GRID: RGBColor = RGBColor(0xF3, 0xF3, 0xF3);

pub(super) type Drawn<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// A figure with every size and every line of text settled.
pub(super) struct Page<'a> {
    title: Vec<String>,
    views: Vec<View<'a>>,
    legend: Legend,
    footnote: Vec<String>,
    columns: usize,
    width: i32,
    /// Lines of the tallest panel heading.
    heading_lines: usize,
}

/// A panel with its scales, and its matrix.
struct View<'a> {
    heading: Vec<String>,
    panel: &'a Panel,
    x: Scale,
    y: Scale,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    grid: Option<Grid<'a>>,
    /// Room left of the axes, the same for all panels of a column.
    left: i32,
    /// Width of the axes.
    width: i32,
    font: &'a Font,
}

pub(super) fn line_height(em: i32) -> i32 {
    (f64::from(em) * LEADING) as i32
}

fn block_height(lines: usize, em: i32) -> i32 {
    lines as i32 * line_height(em)
}

pub(super) fn text_style(em: i32, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    // Backends divide sizes by 1.24.
    let font = (FAMILY, f64::from(em) * 1.24).into_font();
    font.color(&INK).pos(Pos::new(horizontal, vertical))
}

/// What an empty panel says, and how.
pub(super) fn no_data() -> (&'static str, TextStyle<'static>) {
    ("no data", text_style(LABEL, HPos::Center, VPos::Center).color(&FRAME))
}

/// `text` in lines that fit `width`, where words allow it.
fn wrap(font: &Font, text: &str, em: i32, width: i32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            if line.is_empty() || font.width(&longer, f64::from(em)) <= f64::from(width) {
                line = longer;
            } else {
                lines.push(std::mem::replace(&mut line, word.to_owned()));
            }
        }
        lines.push(line);
    }
    lines
}

impl<'a> Page<'a> {
    pub fn new(figure: &'a Figure, font: &'a Font) -> Self {
        let columns = figure.columns.clamp(1, figure.panels.len().max(1));
        let matrices = figure.panels.iter().all(|panel| panel.cells.is_some()) && !figure.panels.is_empty();
        let width = match columns {
            _ if matrices => (NARROW * columns as i32).max(6000),
            1 => 6000,
            2 => 9000,
            more => 3200 * more as i32,
        };
        let inner = width - 2 * MARGIN;
        let views = views(figure, font, columns, cell_width(width, columns));
        Self {
            title: wrap(font, &figure.title, TITLE, inner),
            heading_lines: views.iter().map(|view| view.heading.len()).max().unwrap_or(0),
            views,
            legend: Legend::new(figure, font, inner),
            footnote: wrap(font, figure.footnote.as_deref().unwrap_or(""), NOTE, inner),
            columns,
            width,
        }
    }

    /// The panels row by row, each row with the height of its tallest cell; contours are square, and axes beside them are as tall.
    fn rows(&self) -> impl Iterator<Item = (&[View<'a>], i32)> {
        self.views.chunks(self.columns).map(|row| {
            let axes = row.iter().filter(|view| view.grid.is_none());
            let square = axes.clone().filter(|view| view.panel.is_surface()).map(|view| view.width).max();
            let axes = axes.map(|_| square.unwrap_or(PLOT_HEIGHT) + X_LABELS);
            let grids = row.iter().filter_map(View::grid_height);
            (row, block_height(self.heading_lines, HEADING) + axes.chain(grids).max().unwrap_or(0))
        })
    }

    /// Width and height in page units.
    pub fn size(&self) -> (u32, u32) {
        let height = 2 * MARGIN
            + block_height(self.title.len(), TITLE)
            + self.rows().map(|(_, height)| height + GAP).sum::<i32>()
            + block_height(self.legend.rows(), LABEL)
            + block_height(self.footnote.len(), NOTE)
            + GAP;
        (self.width as u32, (height as u32).next_multiple_of(UNIT))
    }

    pub fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>) -> Drawn<B> {
        root.fill(&WHITE)?;
        let mut top = MARGIN;
        let centre = text_style(TITLE, HPos::Center, VPos::Top);
        for line in &self.title {
            root.draw_text(line, &centre, (self.width / 2, top))?;
            top += line_height(TITLE);
        }
        top += GAP / 2;
        let width = cell_width(self.width, self.columns);
        for (row, height) in self.rows() {
            for (column, view) in row.iter().enumerate() {
                let left = MARGIN + column as i32 * (width + GAP);
                view.draw(&root.clone().shrink((left, top), (width, height)), self.heading_lines)?;
            }
            top += height + GAP;
        }
        self.legend.draw(root, self.width, top)?;
        top += block_height(self.legend.rows(), LABEL) + GAP / 2;
        let left = text_style(NOTE, HPos::Left, VPos::Bottom);
        for line in &self.footnote {
            top += line_height(NOTE);
            root.draw_text(line, &left, (MARGIN, top))?;
        }
        Ok(())
    }
}

fn cell_width(width: i32, columns: usize) -> i32 {
    (width - 2 * MARGIN + GAP) / columns as i32 - GAP
}

/// Panels in cells of the given width. Vertical axes are settled first: the room for their labels decides the
/// width that is left for horizontal ones.
fn views<'a>(figure: &'a Figure, font: &'a Font, columns: usize, width: i32) -> Vec<View<'a>> {
    let widths = |ticks: &[Tick]| ticks.iter().map(|tick| font.width(&tick.label, f64::from(TICK))).collect::<Vec<_>>();
    let vertical: Vec<(Scale, Vec<Tick>, i32)> = figure
        .panels
        .iter()
        .map(|panel| {
            let scale = match panel.grid() {
                Some((_, y)) => Scale::fit(&panel.y, y.iter().copied(), 0.0),
                None => Scale::fit(&panel.y, panel.curves.iter().flat_map(heights), 0.05),
            };
            let ticks = if panel.cells.is_some() { Vec::new() } else { scale.ticks(8) };
            let widest = widths(&ticks).into_iter().fold(0.0, f64::max) as i32;
            let label = if panel.y.label.is_empty() { 0 } else { line_height(LABEL) };
            (scale, ticks, label + widest + 2 * TICK_LENGTH + 40)
        })
        .collect();
    let left = |column| vertical.iter().skip(column).step_by(columns).map(|(.., left)| *left).max().unwrap_or(0);
    let inner = |i| (width - left(i % columns) - RIGHT).max(0);
    // One size for all matrices, beside labels or not.
    let square = (0..figure.panels.len()).filter(|&i| figure.panels[i].cells.is_some()).map(inner).min().unwrap_or(0);
    let panels = figure.panels.iter().zip(&vertical).enumerate();
    panels
        .map(|(i, (panel, (y, y_ticks, _)))| {
            let (left, width) = (left(i % columns), inner(i));
            let x = match panel.grid() {
                Some((x, _)) => Scale::fit(&panel.x, x.iter().copied(), 0.0),
                None => Scale::fit(&panel.x, panel.curves.iter().flat_map(abscissae), 0.02),
            };
            let fits = |ticks: &Vec<Tick>| widths(ticks).iter().sum::<f64>() < 0.7 * f64::from(width);
            let x_ticks = (4..=7).rev().map(|most| x.ticks(most)).find(fits).unwrap_or_else(|| x.ticks(3));
            View {
                heading: wrap(font, &panel.title, HEADING, width),
                panel,
                x,
                y: y.clone(),
                x_ticks,
                y_ticks: y_ticks.clone(),
                grid: panel.cells.as_ref().map(|cells| Grid::new(cells, square)),
                left,
                width,
                font,
            }
        })
        .collect()
}

fn abscissae(curve: &Curve) -> impl Iterator<Item = f64> {
    let band = curve.band.iter().flatten().map(|&(x, ..)| x);
    curve.points.iter().map(|&(x, _)| x).chain(band)
}

fn heights(curve: &Curve) -> impl Iterator<Item = f64> {
    let band = curve.band.iter().flatten().flat_map(|&(_, low, high)| [low, high]);
    curve.points.iter().map(|&(_, y)| y).chain(band)
}

impl Panel {
    /// Whether a function of two variables is below everything else.
    fn is_surface(&self) -> bool {
        self.contours.is_some() || self.tiles.is_some()
    }

    /// Columns and rows of that function.
    fn grid(&self) -> Option<(&[f64], &[f64])> {
        let contours = self.contours.as_ref().map(|contours| (contours.x.as_slice(), contours.y.as_slice()));
        contours.or(self.tiles.as_ref().map(|tiles| (tiles.x.as_slice(), tiles.y.as_slice())))
    }
}

impl View<'_> {
    /// Height of the matrix and its labels.
    fn grid_height(&self) -> Option<i32> {
        let label = if self.panel.x.label.is_empty() { 0 } else { line_height(LABEL) };
        self.grid.as_ref().map(|grid| grid.height() + label)
    }

    fn draw<B: DrawingBackend>(&self, cell: &DrawingArea<B, Shift>, heading_lines: usize) -> Drawn<B> {
        let top = block_height(heading_lines, HEADING);
        let (width, _) = cell.dim_in_pixel();
        let middle = (self.left + width as i32 - RIGHT) / 2;
        let centre = text_style(HEADING, HPos::Center, VPos::Top);
        for (i, line) in self.heading.iter().rev().enumerate() {
            cell.draw_text(line, &centre, (middle, top - block_height(i + 1, HEADING)))?;
        }
        if let Some(grid) = &self.grid {
            return grid.draw(cell, (middle, top), self.panel);
        }
        let mut chart = ChartBuilder::on(cell)
            .margin_top(top)
            .margin_right(RIGHT)
            .x_label_area_size(X_LABELS)
            .y_label_area_size(self.left)
            .build_cartesian_2d(Ruler(&self.x_ticks), Ruler(&self.y_ticks))?;
        let mut mesh = chart.configure_mesh();
        if self.panel.is_surface() {
            mesh.disable_mesh();
        }
        mesh.light_line_style(FAINT_GRID.stroke_width(8))
            .bold_line_style(GRID.stroke_width(8))
            .axis_style(FRAME.stroke_width(8))
            .set_all_tick_mark_size(TICK_LENGTH)
            .label_style(text_style(TICK, HPos::Center, VPos::Center))
            // Backends centre on half an x-height, and digits are taller.
            .y_label_offset(TICK / 12)
            .axis_desc_style(text_style(LABEL, HPos::Center, VPos::Center))
            .x_desc(&self.panel.x.label)
            .y_desc(&self.panel.y.label)
            .draw()?;
        let plot = chart.plotting_area();
        let mosaic = self.panel.tiles.as_ref().map(|tiles| Mosaic::new(tiles, &self.x, &self.y));
        mosaic.iter().try_for_each(|mosaic| mosaic.draw(plot))?;
        let relief = self.panel.contours.as_ref().map(|contours| Relief::new(contours, &self.x, &self.y));
        relief.iter().try_for_each(|relief| relief.draw(plot))?;
        let traces: Vec<Trace> = self.panel.curves.iter().map(|curve| Trace::new(curve, &self.x, &self.y)).collect();
        traces.iter().try_for_each(|trace| trace.draw_band(plot))?;
        traces.iter().try_for_each(|trace| trace.draw_line(plot))?;
        traces.iter().try_for_each(|trace| trace.draw_end(plot))?;
        let marks: Vec<Mark> = traces.iter().flat_map(Trace::marks).collect();
        marks.iter().try_for_each(|mark| mark.draw(plot))?;
        let lines: Vec<&[Point]> = traces.iter().flat_map(Trace::lines).map(Vec::as_slice).collect();
        let labels = Label::place(&marks, &lines, plot.dim_in_pixel(), self.font);
        labels.iter().try_for_each(|label| label.draw(plot))?;
        for (x, y, note) in &self.panel.notes {
            let at = (self.x.position(*x), self.y.position(*y));
            plot.draw(&Text::new(note.as_str(), at, text_style(HEADING, HPos::Center, VPos::Center)))?;
        }
        let empty = relief.is_none_or(|relief| relief.is_empty()) && mosaic.is_none_or(|mosaic| mosaic.is_empty());
        if traces.iter().all(Trace::is_empty) && empty {
            let (note, style) = no_data();
            plot.draw(&Text::new(note, (0.5, 0.5), style))?;
        }
        Ok(())
    }
}

//! The curves of a panel: broken at gaps, clipped to the frame, drawn in their style.

use plotters::coord::CoordTranslate;
use plotters::element::DashedPathElement;
use plotters::prelude::{Circle, Color, Cross, DrawingArea, DrawingBackend, PathElement, Polygon, RGBColor};

use super::axis::Scale;
use super::clip::{self, Point};
use super::mark::Mark;
use super::page::Drawn;
use super::{Curve, Style};

/// Okabe and Ito (2008), without the yellow that is too light for lines; the last is grey.
pub(super) const PALETTE: [RGBColor; 8] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0x00, 0x00, 0x00),
    RGBColor(0x77, 0x77, 0x77),
];
pub(super) const GREY: usize = PALETTE.len() - 1;

fn visible(&(x, y): &Point) -> bool {
    (0.0..=1.0).contains(&x) && (0.0..=1.0).contains(&y)
}

/// A curve in positions of its panel, broken where it has gaps.
pub(super) struct Trace<'a> {
    curve: &'a Curve,
    runs: Vec<Vec<Point>>,
    /// Corners of the band, one polygon per run.
    bands: Vec<Vec<Point>>,
}

impl<'a> Trace<'a> {
    pub fn new(curve: &'a Curve, x: &Scale, y: &Scale) -> Self {
        let runs = curve
            .points
            .split(|&(px, py)| !x.shows(px) || !y.shows(py))
            .filter(|run| !run.is_empty())
            .map(|run| run.iter().map(|&(px, py)| (x.position(px), y.position(py))).collect())
            .collect();
        let bands = curve
            .band
            .iter()
            .flat_map(|band| band.split(|&(px, low, high)| !x.shows(px) || low.is_nan() || high.is_nan()))
            .map(|run| {
                let low = run.iter().map(|&(px, low, _)| (x.position(px), y.position(low)));
                let high = run.iter().map(|&(px, _, high)| (x.position(px), y.position(high)));
                clip::polygon(low.chain(high.rev()).collect())
            })
            .filter(|corners| corners.len() > 2)
            .collect();
        Self { curve, runs, bands }
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.bands.is_empty()
    }

    fn colour(&self) -> RGBColor {
        PALETTE[self.curve.colour % PALETTE.len()]
    }

    /// The lines, not yet clipped.
    pub fn lines(&self) -> &[Vec<Point>] {
        match self.curve.style {
            Style::Solid | Style::Dashed | Style::Faint => &self.runs,
            Style::Points | Style::Mark(_) => &[],
        }
    }

    /// The visible points of a [`Style::Mark`], the label with the first one.
    pub fn marks(&self) -> Vec<Mark<'a>> {
        let Style::Mark(symbol) = self.curve.style else { return Vec::new() };
        let labels = std::iter::once(self.curve.label.as_str()).chain(std::iter::repeat(""));
        let points = self.runs.iter().flatten().copied().filter(visible);
        points.zip(labels).map(|(at, label)| Mark { at, symbol, colour: self.colour(), label }).collect()
    }

    pub fn draw_band<B, C>(&self, plot: &DrawingArea<B, C>) -> Drawn<B>
    where
        B: DrawingBackend,
        C: CoordTranslate<From = Point>,
    {
        let fill = self.colour().mix(0.16).filled();
        self.bands.iter().try_for_each(|corners| plot.draw(&Polygon::new(corners.as_slice(), fill)))
    }

    pub fn draw_line<B, C>(&self, plot: &DrawingArea<B, C>) -> Drawn<B>
    where
        B: DrawingBackend,
        C: CoordTranslate<From = Point>,
    {
        if matches!(self.curve.style, Style::Mark(_)) {
            return Ok(());
        }
        let colour = self.colour();
        for run in &self.runs {
            // A point without neighbours has no line, and would vanish without a dot.
            if self.curve.style == Style::Points || run.len() == 1 {
                for &point in run.iter().filter(|point| visible(point)) {
                    plot.draw(&Circle::new(point, 22, colour.filled()))?;
                }
                continue;
            }
            for piece in clip::line(run) {
                match self.curve.style {
                    Style::Solid => plot.draw(&PathElement::new(piece, colour.stroke_width(16)))?,
                    Style::Faint => plot.draw(&PathElement::new(piece, colour.mix(0.3).stroke_width(9)))?,
                    Style::Dashed => plot.draw(&DashedPathElement::new(piece, 45, 30, colour.stroke_width(11)))?,
                    Style::Points | Style::Mark(_) => {}
                }
            }
        }
        Ok(())
    }

    pub fn draw_end<B, C>(&self, plot: &DrawingArea<B, C>) -> Drawn<B>
    where
        B: DrawingBackend,
        C: CoordTranslate<From = Point>,
    {
        let last = self.runs.last().and_then(|run| run.last());
        last.filter(|_| self.curve.end_cross).map_or(Ok(()), |&(x, y)| {
            let inside = (x.clamp(0.0, 1.0), y.clamp(0.0, 1.0));
            plot.draw(&Cross::new(inside, 45, self.colour().stroke_width(20)))
        })
    }
}

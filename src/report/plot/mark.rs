//! Marks: large symbols, and their labels where they hide least.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, TAU};

use plotters::coord::CoordTranslate;
use plotters::prelude::{
    Color, DrawingArea, DrawingBackend, EmptyElement, PathElement, Polygon, RGBColor, Rectangle, Text, WHITE,
};
use plotters::style::text_anchor::{HPos, VPos};

use super::Symbol;
use super::clip::{self, Point};
use super::font::Font;
use super::page::{Drawn, LABEL, text_style};

/// Radius of a disc, of which the other symbols have about the area, and the white rim, in page units.
const RADIUS: f64 = 46.0;
const RIM: u32 = 13;
/// Distance of a label's box from the middle of its mark; its width beyond that of the text, and its height.
const BESIDE: f64 = 66.0;
const BOX: Point = (36.0, 144.0);

/// Where a label may stand, seen from its mark, the better ones first.
const DIRECTIONS: [Point; 8] =
    [(1.0, 0.0), (-1.0, 0.0), (1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0), (0.0, 1.0), (0.0, -1.0)];

/// A symbol at a position of its panel, and the text beside it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mark<'a> {
    pub at: Point,
    pub symbol: Symbol,
    pub colour: RGBColor,
    pub label: &'a str,
}

/// The text of a mark, in a box of its own.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Label<'a> {
    text: &'a str,
    area: Area,
}

/// A rectangle in positions of its panel.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Area {
    low: Point,
    high: Point,
}

impl Mark<'_> {
    pub fn draw<B, C>(&self, plot: &DrawingArea<B, C>) -> Drawn<B>
    where
        B: DrawingBackend,
        C: CoordTranslate<From = Point>,
    {
        let corners = outline(self.symbol);
        let rim: Vec<_> = corners.iter().chain(&corners[..1]).copied().collect();
        plot.draw(&(EmptyElement::at(self.at) + PathElement::new(rim, WHITE.stroke_width(2 * RIM))))?;
        plot.draw(&(EmptyElement::at(self.at) + Polygon::new(corners, self.colour.filled())))
    }
}

/// Corners around the middle, in page units.
fn outline(symbol: Symbol) -> Vec<(i32, i32)> {
    // In turn at two distances from the middle, in radii of the disc; the first one at an angle from the top.
    let (corners, first, radii) = match symbol {
        Symbol::Disc => (36, 0.0, [1.0, 1.0]),
        Symbol::Square => (4, FRAC_PI_4, [1.25, 1.25]),
        Symbol::Diamond => (4, 0.0, [1.3, 1.3]),
        Symbol::Star => (10, 0.0, [1.65, 0.7]),
    };
    let corner = |i: usize| {
        let (sine, cosine) = (first - FRAC_PI_2 + TAU * i as f64 / corners as f64).sin_cos();
        let radius = RADIUS * radii[i % 2];
        ((radius * cosine).round() as i32, (radius * sine).round() as i32)
    };
    (0..corners).map(corner).collect()
}

impl<'a> Label<'a> {
    /// The labels of `marks` in a plot of the given size in page units: each beside its mark and, as far as possible,
    /// within the frame and off other marks, other labels and `lines`.
    pub fn place(marks: &[Mark<'a>], lines: &[&[Point]], (width, height): (u32, u32), font: &Font) -> Vec<Self> {
        let unit = (1.0 / f64::from(width.max(1)), 1.0 / f64::from(height.max(1)));
        let around = |(x, y): Point, half: Point| Area {
            low: (x - half.0 * unit.0, y - half.1 * unit.1),
            high: (x + half.0 * unit.0, y + half.1 * unit.1),
        };
        let symbol = (RADIUS, RADIUS);
        let mut labels: Vec<Self> = Vec::new();
        for mark in marks.iter().filter(|mark| !mark.label.is_empty()) {
            let half = (0.5 * (font.width(mark.label, f64::from(LABEL)) + BOX.0), 0.5 * BOX.1);
            let places = DIRECTIONS.map(|(right, up)| {
                let gap = if right * up == 0.0 { BESIDE } else { 0.6 * BESIDE };
                let middle = (mark.at.0 + right * (half.0 + gap) * unit.0, mark.at.1 + up * (half.1 + gap) * unit.1);
                around(middle, half)
            });
            let hidden = |area: &Area| {
                let marks = marks.iter().filter(|other| other.at != mark.at && area.overlaps(&around(other.at, symbol)));
                let labels = labels.iter().filter(|label| area.overlaps(&label.area));
                let crossed: f64 = lines.iter().map(|line| area.length_within(line)).sum();
                100.0 * area.outside() + 10.0 * (marks.count() + labels.count()) as f64 + crossed
            };
            let best = places.into_iter().min_by(|a, b| hidden(a).total_cmp(&hidden(b)));
            labels.extend(best.map(|area| Self { text: mark.label, area }));
        }
        labels
    }

    pub fn draw<B, C>(&self, plot: &DrawingArea<B, C>) -> Drawn<B>
    where
        B: DrawingBackend,
        C: CoordTranslate<From = Point>,
    {
        let Area { low, high } = self.area;
        plot.draw(&Rectangle::new([low, high], WHITE.mix(0.75).filled()))?;
        let middle = (0.5 * (low.0 + high.0), 0.5 * (low.1 + high.1));
        plot.draw(&Text::new(self.text, middle, text_style(LABEL, HPos::Center, VPos::Center)))
    }
}

impl Area {
    fn overlaps(&self, other: &Self) -> bool {
        let meet = |low: f64, high: f64, other_low: f64, other_high: f64| low < other_high && other_low < high;
        meet(self.low.0, self.high.0, other.low.0, other.high.0) && meet(self.low.1, self.high.1, other.low.1, other.high.1)
    }

    /// How far the area reaches out of the frame.
    fn outside(&self) -> f64 {
        let out = |low: f64, high: f64| (-low).max(0.0) + (high - 1.0).max(0.0);
        out(self.low.0, self.high.0) + out(self.low.1, self.high.1)
    }

    /// Length of the part of a line inside, where the sides of the area have length 1.
    fn length_within(&self, line: &[Point]) -> f64 {
        let size = (self.high.0 - self.low.0, self.high.1 - self.low.1);
        let line: Vec<Point> = line.iter().map(|p| ((p.0 - self.low.0) / size.0, (p.1 - self.low.1) / size.1)).collect();
        let pieces = clip::line(&line);
        pieces.iter().flat_map(|piece| piece.windows(2)).map(|pair| (pair[1].0 - pair[0].0).hypot(pair[1].1 - pair[0].1)).sum()
    }
}

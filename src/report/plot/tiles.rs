//! A function of two variables as coloured tiles on the axes.

use plotters::coord::CoordTranslate;
use plotters::prelude::{Color, DrawingArea, DrawingBackend, RGBColor, Rectangle};

use super::axis::Scale;
use super::clip::Point;
use super::page::Drawn;
use super::relief::blend;
use super::{Shades, Tiles};

/// Viridis (van der Walt & Smith 2015), of even steps in lightness, at eighths.
const EVEN: [RGBColor; 9] = [
    RGBColor(0x44, 0x01, 0x54),
    RGBColor(0x47, 0x2D, 0x7B),
    RGBColor(0x3B, 0x52, 0x8B),
    RGBColor(0x2C, 0x72, 0x8E),
    RGBColor(0x21, 0x91, 0x8C),
    RGBColor(0x28, 0xAE, 0x80),
    RGBColor(0x5E, 0xC9, 0x62),
    RGBColor(0xAD, 0xDC, 0x30),
    RGBColor(0xFD, 0xE7, 0x25),
];
/// Tints that colour-blind readers can tell apart and black text is read on.
const CLASSES: [RGBColor; 6] = [
    RGBColor(0x6B, 0xAE, 0xD6),
    RGBColor(0xC6, 0xDB, 0xEF),
    RGBColor(0xC7, 0xE9, 0xC0),
    RGBColor(0xFD, 0xBE, 0x6F),
    RGBColor(0xE6, 0xE6, 0xE6),
    RGBColor(0xBC, 0xBD, 0xDC),
];
/// Colours that [`Shades::Even`] is drawn in: neighbours of one colour are one rectangle.
const STEPS: f64 = 48.0;
/// How far a tile reaches below those that are drawn later, so that no seam shows between them, in page units.
const OVERLAP: f64 = 10.0;

/// Rectangles in positions of their panel, in drawing order.
pub(super) struct Mosaic {
    tiles: Vec<([Point; 2], RGBColor)>,
}

impl Mosaic {
    pub fn new(tiles: &Tiles, x: &Scale, y: &Scale) -> Self {
        let place = |edges: &[f64], scale: &Scale| -> Vec<f64> {
            edges.iter().map(|&edge| if scale.shows(edge) { scale.position(edge).clamp(0.0, 1.0) } else { f64::NAN }).collect()
        };
        let (columns, rows) = (place(&tiles.x, x), place(&tiles.y, y));
        let mut drawn: Vec<([Point; 2], RGBColor)> = Vec::new();
        let width = columns.len().saturating_sub(1);
        for (row, bottom_top) in rows.windows(2).enumerate() {
            let mut open: Option<(usize, RGBColor)> = None;
            for column in 0..=width {
                let value = tiles.values.get(row * width + column).filter(|_| column < width);
                let colour = value.and_then(|&value| colour(tiles, value));
                let Some((first, last)) = open.filter(|&(_, last)| colour != Some(last)) else {
                    open = open.or(colour.map(|colour| (column, colour)));
                    continue;
                };
                let corners = [(columns[first], bottom_top[0]), (columns[column], bottom_top[1])];
                if corners.iter().all(|(u, v)| (u + v).is_finite()) {
                    drawn.push((corners, last));
                }
                open = colour.map(|colour| (column, colour));
            }
        }
        Self { tiles: drawn }
    }

    pub fn is_empty(&self) -> bool {
        self.tiles.is_empty()
    }

    pub fn draw<B, C>(&self, plot: &DrawingArea<B, C>) -> Drawn<B>
    where
        B: DrawingBackend,
        C: CoordTranslate<From = Point>,
    {
        let (width, height) = plot.dim_in_pixel();
        let further = (OVERLAP / f64::from(width.max(1)), OVERLAP / f64::from(height.max(1)));
        self.tiles.iter().try_for_each(|&([low, high], colour)| {
            let high = ((high.0 + further.0).min(1.0), (high.1 + further.1).min(1.0));
            plot.draw(&Rectangle::new([low, high], colour.filled()))
        })
    }
}

/// The colour of a value; `None` for one that is not finite.
fn colour(tiles: &Tiles, value: f64) -> Option<RGBColor> {
    if !value.is_finite() {
        return None;
    }
    Some(match tiles.shades {
        Shades::Classes => CLASSES[(value.max(0.0) as usize).min(CLASSES.len() - 1)],
        Shades::Even { low, high } => {
            let part = ((value - low) / (high - low)).clamp(0.0, 1.0);
            let at = (part * STEPS).round() / STEPS * (EVEN.len() - 1) as f64;
            let index = (at as usize).min(EVEN.len() - 2);
            blend([EVEN[index], EVEN[index + 1]], at - index as f64)
        }
    })
}

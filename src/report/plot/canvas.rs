//! Anti-aliased drawing into a pixel map, so that a PNG is the SVG at a fixed resolution.

use std::convert::Infallible;

use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind, FontTransform,
    text_anchor::{HPos, VPos},
};
use tiny_skia::{FillRule, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform};

use super::font::{Font, X_HEIGHT};

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// A pixel map seen in page units; `scale` is device pixels per unit.
pub(super) struct Canvas<'a> {
    pixmap: &'a mut Pixmap,
    font: &'a Font,
    scale: f32,
}

impl<'a> Canvas<'a> {
    pub fn new(pixmap: &'a mut Pixmap, font: &'a Font, scale: f32) -> Self {
        Self { pixmap, font, scale }
    }

    fn fill(&mut self, path: Option<Path>, colour: BackendColor, place: Transform) {
        if let Some(path) = path {
            let place = place.post_scale(self.scale, self.scale);
            self.pixmap.fill_path(&path, &paint(colour), FillRule::Winding, place, None);
        }
    }

    fn stroke(&mut self, path: Option<Path>, style: &impl BackendStyle) {
        if let Some(path) = path {
            let stroke = Stroke { width: style.stroke_width() as f32, line_join: LineJoin::Round, ..Stroke::default() };
            let place = Transform::from_scale(self.scale, self.scale);
            self.pixmap.stroke_path(&path, &paint(style.color()), &stroke, place, None);
        }
    }
}

fn paint(colour: BackendColor) -> Paint<'static> {
    let (red, green, blue) = colour.rgb;
    let mut paint = Paint::default();
    paint.set_color_rgba8(red, green, blue, (colour.alpha * 255.0).round() as u8);
    paint
}

fn polyline(points: impl IntoIterator<Item = BackendCoord>, close: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (x, y) in points {
        if path.is_empty() {
            path.move_to(x as f32, y as f32);
        } else {
            path.line_to(x as f32, y as f32);
        }
    }
    if close {
        path.close();
    }
    path.finish()
}

impl DrawingBackend for Canvas<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        let units = |pixels: u32| (pixels as f32 / self.scale).round() as u32;
        (units(self.pixmap.width()), units(self.pixmap.height()))
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, colour: BackendColor) -> Drawn {
        self.draw_rect((x, y), (x + 1, y + 1), &colour, true)
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(&mut self, low: BackendCoord, high: BackendCoord, style: &S, fill: bool) -> Drawn {
        let sides = Rect::from_ltrb(low.0 as f32, low.1 as f32, high.0 as f32, high.1 as f32);
        let path = sides.map(PathBuilder::from_rect);
        if fill {
            self.fill(path, style.color(), Transform::identity());
        } else {
            self.stroke(path, style);
        }
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, points: I, style: &S) -> Drawn {
        self.stroke(polyline(points, false), style);
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(&mut self, (x, y): BackendCoord, radius: u32, style: &S, fill: bool) -> Drawn {
        let path = PathBuilder::from_circle(x as f32, y as f32, radius as f32);
        if fill {
            self.fill(path, style.color(), Transform::identity());
        } else {
            self.stroke(path, style);
        }
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, corners: I, style: &S) -> Drawn {
        self.fill(polyline(corners, true), style.color(), Transform::identity());
        Ok(())
    }

    /// Places text as the SVG backend does: same size, same anchors.
    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, (x, y): BackendCoord) -> Drawn {
        let em = style.size() / 1.24;
        let width = self.font.width(text, em);
        let dx = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Center => -width / 2.0,
            HPos::Right => -width,
        };
        let dy = match style.anchor().v_pos {
            VPos::Top => 0.76 * em,
            VPos::Center => 0.5 * X_HEIGHT * em,
            VPos::Bottom => -0.5 * X_HEIGHT * em,
        };
        let degrees = match style.transform() {
            FontTransform::None => 0.0,
            FontTransform::Rotate90 => 90.0,
            FontTransform::Rotate180 => 180.0,
            FontTransform::Rotate270 => 270.0,
        };
        let place = Transform::from_translate(dx as f32, dy as f32).post_rotate(degrees).post_translate(x as f32, y as f32);
        self.fill(self.font.outline(text, em as f32), style.color(), place);
        Ok(())
    }
}

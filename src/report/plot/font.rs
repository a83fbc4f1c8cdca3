//! The embedded font: DejaVu Sans 2.37 (`DejaVuSans-LICENSE.txt`), cut down to Latin, Greek, sub- and superscripts,
//! arrows, symbols and mathematical signs, without hints, by fonttools:
//!
//! ```text
//! pyftsubset DejaVuSans.ttf --output-file=DejaVuSans-subset.ttf --no-hinting --legacy-kern --name-IDs='*' \
//!   --drop-tables+=FFTM,GDEF,GPOS,GSUB,MATH,gasp --unicodes=20-7E,A0-17F,370-3FF,1D40,1D62-1D65,2010-2027,2030-203A,\
//! 2070-209C,2102,2113,2115,211D,2190-2195,21A6,21D0-21D5,2200-22FF,25A0,25B2,25C6,25CF,2605,27E8-27E9,2A00-2A02,2C7C
//! ```

use tiny_skia::{Path, PathBuilder, Transform};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

/// Families asked of an SVG viewer: the embedded one, one of equal widths, any.
pub(super) const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";

/// Height of a lower-case x, in em.
pub(super) const X_HEIGHT: f64 = 0.547;

pub(super) struct Font(Face<'static>);

impl Font {
    pub fn embedded() -> Result<Self, String> {
        Face::parse(include_bytes!("DejaVuSans-subset.ttf"), 0)
            .map(Self)
            .map_err(|error| format!("the embedded font is damaged: {error}"))
    }

    /// Each glyph of `text` with the x of its origin, and the total advance, in font units.
    fn shape(&self, text: &str) -> (Vec<(GlyphId, f32)>, f32) {
        let mut x = 0.0;
        let mut previous = None;
        let mut glyphs = Vec::new();
        for glyph in text.chars().map(|c| self.0.glyph_index(c).unwrap_or_default()) {
            x += previous.map_or(0.0, |left| self.kerning(left, glyph));
            glyphs.push((glyph, x));
            x += f32::from(self.0.glyph_hor_advance(glyph).unwrap_or(0));
            previous = Some(glyph);
        }
        (glyphs, x)
    }

    fn kerning(&self, left: GlyphId, right: GlyphId) -> f32 {
        let tables = self.0.tables().kern.into_iter().flat_map(|kern| kern.subtables);
        tables.filter(|table| table.horizontal).find_map(|table| table.glyphs_kerning(left, right)).map_or(0.0, f32::from)
    }

    /// Width of `text` in the unit of `em`.
    pub fn width(&self, text: &str, em: f64) -> f64 {
        f64::from(self.shape(text).1) * em / f64::from(self.0.units_per_em())
    }

    /// Outlines of `text` from the origin along its baseline, y pointing down; `None` for blank text.
    pub fn outline(&self, text: &str, em: f32) -> Option<Path> {
        let mut pen = Pen { path: PathBuilder::new(), x: 0.0 };
        for (glyph, x) in self.shape(text).0 {
            pen.x = x;
            self.0.outline_glyph(glyph, &mut pen);
        }
        let scale = em / f32::from(self.0.units_per_em());
        pen.path.finish()?.transform(Transform::from_scale(scale, -scale))
    }
}

struct Pen {
    path: PathBuilder,
    x: f32,
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.path.move_to(self.x + x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.path.line_to(self.x + x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.path.quad_to(self.x + x1, y1, self.x + x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.path.cubic_to(self.x + x1, y1, self.x + x2, y2, self.x + x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_signs_that_labels_use() {
        let font = Font::embedded().unwrap();
        for sign in "azAZ09 αβγδεηθλμξσφΔΣΩ⁰¹²³⁴⁵⁶⁷⁸⁹⁻₀₁₂ᵢⱼₙₜₖᵀ‖∘⊙×·±≤≥≈−–…∅∞∇∂√∈∝→∗★ℓℝ%".chars()
        {
            assert!(font.0.glyph_index(sign).is_some(), "no glyph for {sign}");
        }
    }

    #[test]
    fn width_grows_with_text_and_size() {
        let font = Font::embedded().unwrap();
        let width = font.width("η = 0.25", 100.0);
        // Eight characters of DejaVu Sans are between 0.3 and 0.9 em each.
        assert!(width > 8.0 * 30.0 && width < 8.0 * 90.0, "{width}");
        assert!((font.width("η = 0.25", 200.0) - 2.0 * width).abs() < 1e-9);
        assert!(font.width("AV", 100.0) < font.width("A", 100.0) + font.width("V", 100.0));
    }

    #[test]
    fn outline_stands_on_the_baseline() {
        let font = Font::embedded().unwrap();
        let bounds = font.outline("H", 100.0).unwrap().bounds();
        assert!(bounds.bottom().abs() < 0.1 && (bounds.top() + 72.9).abs() < 1.0, "{bounds:?}");
        assert!(font.outline(" ", 100.0).is_none());
    }
}

use super::{Crop, CropFlipShape};
use crate::Real;
use crate::philox::Words;

pub(super) fn crop_flip<T: Real>(shape: &CropFlipShape, words: &Words, step: u32, items: &[u32], x: &[T], out: &mut [T]) {
    let &CropFlipShape { height, width, channels, padding } = shape;
    let (row, image) = (width * channels, shape.image());
    for ((image, out), &item) in x.chunks_exact(image).zip(out.chunks_exact_mut(image)).zip(items) {
        let Crop { corner: [down, right], flip } = shape.crop(words, step, item);
        for (line, out) in out.chunks_exact_mut(row).enumerate() {
            // Below the padded image's edge, and above its other edge, there are zeros.
            let source = (line + down).checked_sub(padding).filter(|&line| line < height);
            match source {
                Some(line) => cut(&image[line * row..][..row], channels, right, padding, flip, out),
                None => out.fill(T::ZERO),
            }
        }
    }
}

/// One row of the window, of a row that has something of the image.
fn cut<T: Real>(row: &[T], channels: usize, corner: usize, padding: usize, flip: bool, out: &mut [T]) {
    let width = row.len() / channels;
    // Of the row, the columns from `first` on come to columns `left..` of the window.
    let (first, left) = (corner.saturating_sub(padding).min(width), padding.saturating_sub(corner).min(width));
    let count = width - first.max(left);
    out.fill(T::ZERO);
    let seen = &row[first * channels..][..count * channels];
    if flip {
        let right = width - left - count;
        let out = &mut out[right * channels..][..count * channels];
        for (pixel, out) in seen.chunks_exact(channels).rev().zip(out.chunks_exact_mut(channels)) {
            out.copy_from_slice(pixel);
        }
    } else {
        out[left * channels..][..count * channels].copy_from_slice(seen);
    }
}

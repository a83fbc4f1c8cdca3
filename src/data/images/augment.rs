//! Random crops and mirror images.

use handgrad_kernels::Real;
use serde::{Deserialize, Serialize};

use super::position;
use crate::error::{Result, refuse};
use crate::rng::Counter;

/// What an iteration does to its training images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Augment {
    /// Nothing.
    #[default]
    None,
    /// `padding` zeros are put around an image, a window of its size is cut out of that, uniformly, and its columns are reversed
    /// with probability 1/2.
    CropFlip {
        /// Zeros on every side; 4 is usual at 32 x 32.
        padding: usize,
    },
}

/// More zeros than any image is wide.
const MAX_PADDING: usize = 1 << 10;

/// What happens to one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Crop {
    /// Rows and columns that the window lies below and to the right of the padded image's corner: 0 to 2·padding.
    corner: [usize; 2],
    flip: bool,
}

impl Augment {
    /// Refuses a padding that nobody means.
    ///
    /// # Errors
    /// If it is above 1024.
    pub fn check(self) -> Result<()> {
        match self {
            Augment::CropFlip { padding } if padding > MAX_PADDING => {
                refuse!("augment.padding is {padding}, expected at most {MAX_PADDING} pixels; 4 is usual")
            }
            _ => Ok(()),
        }
    }

    /// The crop of an item: one integer below 2·(2·padding + 1)², from the draw at position step·2^32 + item.
    fn crop(padding: usize, step: u64, item: u32, stream: &Counter) -> Crop {
        let offsets = 2 * padding as u32 + 1;
        let draw = stream.below_at(position(step, item), 2 * offsets * offsets);
        Crop { corner: [draw / 2 / offsets, draw / 2 % offsets].map(|offset| offset as usize), flip: draw % 2 == 1 }
    }
}

/// A batch of images as an iteration sees them: `out[k]` is made of `images[k]`, which is image `items[k]` of the data set.
///
/// What is done to an image is a function of the stream, which should be [`Stream::Augment`](crate::rng::Stream::Augment) of the
/// replica's seed, of `step` and of the item: not of the batch's size or of the image's place in it. `images` and `out` are
/// batch x height x width x channels, for `size = [height, width, channels]`.
///
/// # Errors
/// If the lengths do not fit each other, or as [`Augment::check`].
pub fn augment<T: Real>(
    augment: Augment,
    size: [usize; 3],
    images: &[T],
    items: &[u32],
    step: u64,
    stream: &Counter,
    out: &mut [T],
) -> Result<()> {
    augment.check()?;
    let [height, width, channels] = size;
    let (row, image) = (width * channels, height * width * channels);
    if image == 0 || images.len() != items.len() * image || out.len() != images.len() {
        return refuse!(
            "augment: {} numbers in and {} out for {} items of {height} x {width} x {channels}, expected as many as fit",
            images.len(),
            out.len(),
            items.len()
        );
    }
    let padding = match augment {
        Augment::None => {
            out.copy_from_slice(images);
            return Ok(());
        }
        Augment::CropFlip { padding } => padding,
    };
    for ((image, out), &item) in images.chunks_exact(image).zip(out.chunks_exact_mut(image)).zip(items) {
        let crop = Augment::crop(padding, step, item, stream);
        for (line, out) in out.chunks_exact_mut(row).enumerate() {
            // Below the padded image's edge, and above its other edge, there are zeros.
            let source = (line + crop.corner[0]).checked_sub(padding).filter(|&line| line < height);
            match source {
                Some(line) => cut(&image[line * row..][..row], channels, crop.corner[1], padding, crop.flip, out),
                None => out.fill(T::ZERO),
            }
        }
    }
    Ok(())
}

/// One row of the window, of a row that has something of the image.
fn cut<T: Real>(row: &[T], channels: usize, corner: usize, padding: usize, flip: bool, out: &mut [T]) {
    let width = row.len() / channels;
    // Of the row, columns `first..last` come to columns `left..` of the window.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    const SIZE: [usize; 3] = [3, 4, 2];
    const IMAGE: usize = 24;

    fn stream() -> Counter {
        Counter::new(11, Stream::Augment)
    }

    fn counting(n: usize) -> Vec<f32> {
        (1..=n * IMAGE).map(|value| value as f32).collect()
    }

    fn augmented(rule: Augment, images: &[f32], items: &[u32], step: u64) -> Vec<f32> {
        let mut out = vec![f32::NAN; images.len()];
        augment(rule, SIZE, images, items, step, &stream(), &mut out).unwrap();
        out
    }

    /// The definition, one number at a time: pad, cut, reverse.
    fn by_definition(padding: usize, image: &[f32], crop: Crop) -> Vec<f32> {
        let [height, width, channels] = SIZE;
        let padded = |row: usize, column: usize, channel: usize| match (row.checked_sub(padding), column.checked_sub(padding)) {
            (Some(row), Some(column)) if row < height && column < width => image[(row * width + column) * channels + channel],
            _ => 0.0,
        };
        let number = |k: usize| {
            let (row, column, channel) = (k / (width * channels), k / channels % width, k % channels);
            let column = if crop.flip { width - 1 - column } else { column };
            padded(row + crop.corner[0], column + crop.corner[1], channel)
        };
        (0..IMAGE).map(number).collect()
    }

    #[test]
    fn windows_are_those_of_the_definition() {
        // At padding 6 some windows see nothing of the image.
        for padding in [0, 1, 2, 6] {
            let rule = Augment::CropFlip { padding };
            let items: Vec<u32> = (0..400).collect();
            let images = counting(400);
            let out = augmented(rule, &images, &items, 3);
            for ((image, out), &item) in images.chunks_exact(IMAGE).zip(out.chunks_exact(IMAGE)).zip(&items) {
                let crop = Augment::crop(padding, 3, item, &stream());
                assert_eq!(out, by_definition(padding, image, crop), "{crop:?}");
            }
        }
    }

    #[test]
    fn the_middle_window_is_the_image_and_two_flips_are_none() {
        let (image, padding) = (counting(1), 2);
        let item_of = |wanted: Crop| (0..).find(|&item| Augment::crop(padding, 0, item, &stream()) == wanted).unwrap();
        let middle = item_of(Crop { corner: [2, 2], flip: false });
        let mirrored = item_of(Crop { corner: [2, 2], flip: true });
        let rule = Augment::CropFlip { padding };
        assert_eq!(augmented(rule, &image, &[middle], 0), image);
        let flipped = augmented(rule, &image, &[mirrored], 0);
        assert_eq!(flipped[..8], [7.0, 8.0, 5.0, 6.0, 3.0, 4.0, 1.0, 2.0]);
        assert_eq!(augmented(rule, &flipped, &[mirrored], 0), image);
        assert_eq!(augmented(Augment::None, &image, &[mirrored], 0), image);
    }

    #[test]
    fn an_image_is_the_same_in_any_batch() {
        let rule = Augment::CropFlip { padding: 1 };
        let (images, items) = (counting(6), [9, 4, 4, 0, u32::MAX, 7]);
        let whole = augmented(rule, &images, &items, 1 << 40);
        for k in 0..6 {
            let range = k * IMAGE..(k + 1) * IMAGE;
            assert_eq!(augmented(rule, &images[range.clone()], &items[k..=k], 1 << 40), whole[range]);
        }
        assert_ne!(augmented(rule, &images, &items, (1 << 40) + 1), whole);
        let mut wide = vec![f64::NAN; images.len()];
        let images: Vec<f64> = images.iter().map(|&value| value.into()).collect();
        augment(rule, SIZE, &images, &items, 1 << 40, &stream(), &mut wide).unwrap();
        assert!(wide.into_iter().eq(whole.into_iter().map(f64::from)));
    }

    #[test]
    fn every_window_is_equally_frequent() {
        let mut counts = [0_u32; 162];
        for (step, item) in (0..100).flat_map(|step| (0..1620).map(move |item| (step, item))) {
            let Crop { corner: [down, right], flip } = Augment::crop(4, step, item, &stream());
            counts[(down * 9 + right) * 2 + usize::from(flip)] += 1;
        }
        let chi_square: f64 = counts.iter().map(|&count| (f64::from(count) - 1000.0).powi(2) / 1000.0).sum();
        // 161 degrees of freedom: standard deviation 18.
        assert!((161.0 - 90.0..161.0 + 90.0).contains(&chi_square), "{chi_square}");
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let images = counting(2);
        let mut out = images.clone();
        for (rule, size, items, want) in [
            (Augment::None, SIZE, &[0][..], "48 numbers in and 48 out for 1 items of 3 x 4 x 2"),
            (Augment::CropFlip { padding: 4 }, [3, 4, 0], &[0, 1], "items of 3 x 4 x 0"),
            (Augment::CropFlip { padding: 1025 }, SIZE, &[0, 1], "augment.padding is 1025, expected at most 1024"),
        ] {
            let line = augment(rule, size, &images, items, 0, &stream(), &mut out).unwrap_err().to_string();
            assert!(line.contains(want), "{line}");
        }
        assert!(augment(Augment::None, SIZE, &images, &[0, 1], 0, &stream(), &mut out[1..]).is_err());
        assert_eq!(serde_json::to_string(&Augment::CropFlip { padding: 4 }).unwrap(), r#"{"kind":"crop-flip","padding":4}"#);
    }
}

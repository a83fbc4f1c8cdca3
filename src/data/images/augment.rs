//! Random crops and mirror images.

use handgrad_kernels::combine::combine;
use handgrad_kernels::crop_flip::{CropFlipShape, MOST_PADDING, crop_flip};
use handgrad_kernels::{Acc, Context, Real, View, ViewMut};
use serde::{Deserialize, Serialize};

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

impl Augment {
    /// Refuses a padding that nobody means.
    ///
    /// # Errors
    /// If it is above 1024.
    pub fn check(self) -> Result<()> {
        match self {
            Augment::CropFlip { padding } if padding > MOST_PADDING => {
                refuse!("augment.padding is {padding}, expected at most {MOST_PADDING} pixels; 4 is usual")
            }
            _ => Ok(()),
        }
    }
}

/// A batch of images as an iteration sees them: `out[k]` is made of `images[k]`, which is image `items[k]` of the data set.
///
/// What is done to an image is a function of the stream, which should be [`Stream::Augment`](crate::rng::Stream::Augment) of the
/// replica's seed, of `step`, one number modulo 2^32, and of the item: not of the batch's size or of the image's place
/// in it. `images` and `out` are batch x height x width x channels, for the size `[height, width, channels]`.
///
/// # Errors
/// If the lengths do not fit each other, as [`Augment::check`], or a view is not on the context's device.
#[expect(clippy::too_many_arguments, reason = "an operator's")]
pub fn augment<T: Real>(
    cx: &Context,
    augment: Augment,
    [height, width, channels]: [usize; 3],
    images: View<'_, T>,
    items: View<'_, u32>,
    step: View<'_, u32>,
    stream: &Counter,
    out: ViewMut<'_, T>,
) -> Result<()> {
    augment.check()?;
    match augment {
        Augment::None => combine(cx, [(T::ONE, images)], out, Acc::Set)?,
        Augment::CropFlip { padding } => {
            let shape = CropFlipShape { height, width, channels, padding };
            crop_flip(cx, &shape, &stream.integers(), step, items, images, out)?;
        }
    }
    Ok(())
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

    fn augmented<T: Real>(rule: Augment, images: &[T], items: &[u32], step: u32) -> Result<Vec<T>> {
        let (cx, mut out) = (Context::cpu()?, vec![T::NAN; images.len()]);
        augment(&cx, rule, SIZE, images.into(), items.into(), (&[step]).into(), &stream(), (&mut out).into())?;
        Ok(out)
    }

    #[test]
    fn an_image_is_the_same_in_any_batch_and_precision() {
        let rule = Augment::CropFlip { padding: 1 };
        let (images, items) = (counting(6), [9, 4, 4, 0, u32::MAX, 7]);
        let whole = augmented(rule, &images, &items, 1 << 30).unwrap();
        for k in 0..6 {
            let range = k * IMAGE..(k + 1) * IMAGE;
            assert_eq!(augmented(rule, &images[range.clone()], &items[k..=k], 1 << 30).unwrap(), whole[range]);
        }
        assert_ne!(augmented(rule, &images, &items, (1 << 30) + 1).unwrap(), whole);
        let images: Vec<f64> = images.iter().map(|&value| value.into()).collect();
        let wide = augmented(rule, &images, &items, 1 << 30).unwrap();
        assert!(wide.into_iter().eq(whole.into_iter().map(f64::from)));
    }

    #[test]
    fn nothing_is_done_if_nothing_is_asked() {
        assert_eq!(augmented(Augment::None, &counting(2), &[7, 8], 3).unwrap(), counting(2));
        assert_eq!(serde_json::to_string(&Augment::CropFlip { padding: 4 }).unwrap(), r#"{"kind":"crop-flip","padding":4}"#);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (padding, items, want) in
            [(4, &[0][..], "`x` has 48 elements, expected 24"), (1025, &[0, 1], "augment.padding is 1025, expected at most 1024")]
        {
            let line = augmented(Augment::CropFlip { padding }, &counting(2), items, 0).unwrap_err().to_string();
            assert!(line.contains(want), "{line}");
        }
    }
}

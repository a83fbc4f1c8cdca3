use super::*;
use crate::testing::{Cases, contexts, on, on_mut, variant};

const WORDS: Words = Words { key: [11, 1 << 31], upper: [4, 0] };

fn cropped<T: Real>(cx: &Context, shape: &CropFlipShape, step: u32, items: &[u32], x: &[T]) -> Vec<T> {
    let mut out = vec![T::NAN; x.len()];
    let now = [step];
    let (now, items, x) = (on(cx, &now), on(cx, items), on(cx, x));
    crop_flip(cx, shape, &WORDS, now.view(), items.view(), x.view(), on_mut(cx, &mut out).view_mut()).unwrap();
    out
}

/// The definition, one number at a time: pad, cut, reverse.
fn by_definition<T: Real>(shape: &CropFlipShape, image: &[T], crop: Crop) -> Vec<T> {
    let &CropFlipShape { height, width, channels, padding } = shape;
    let padded = |row: usize, column: usize, channel: usize| match (row.checked_sub(padding), column.checked_sub(padding)) {
        (Some(row), Some(column)) if row < height && column < width => image[(row * width + column) * channels + channel],
        _ => T::ZERO,
    };
    let number = |k: usize| {
        let (row, column, channel) = (k / (width * channels), k / channels % width, k % channels);
        let column = if crop.flip { width - 1 - column } else { column };
        padded(row + crop.corner[0], column + crop.corner[1], channel)
    };
    (0..shape.image()).map(number).collect()
}

fn is_the_definition<T: Real>() {
    // Of padding 6, some windows see nothing of the image; 7 x 13 x 5 is more than a block's threads.
    for ([height, width, channels], padding) in [([1, 1, 1], 0), ([3, 4, 2], 1), ([3, 4, 2], 6), ([7, 13, 5], 2), ([8, 3, 1], 0)]
    {
        let shape = CropFlipShape { height, width, channels, padding };
        let mut cases = Cases::new(padding as u64);
        for (count, step) in [(0, 0), (1, u32::MAX), (41, 3), (7, 1 << 30)] {
            let (items, x): (_, Vec<T>) = (cases.indices(count, u32::MAX as usize), cases.reals(count * shape.image()));
            let images = x.chunks_exact(shape.image()).zip(&items);
            let want: Vec<T> =
                images.flat_map(|(image, &item)| by_definition(&shape, image, shape.crop(&WORDS, step, item))).collect();
            for cx in contexts() {
                assert_eq!(cropped(&cx, &shape, step, &items, &x), want, "{} {shape:?} of {count}", variant(&cx));
            }
        }
    }
}

#[test]
fn windows_are_those_of_the_definition() {
    is_the_definition::<f32>();
    is_the_definition::<f64>();
}

#[test]
fn the_middle_window_is_the_image_and_two_flips_are_none() {
    let shape = CropFlipShape { height: 3, width: 4, channels: 2, padding: 2 };
    let image: Vec<f32> = (1..=24).map(|value| value as f32).collect();
    let item_of = |wanted: Crop| (0..).find(|&item| shape.crop(&WORDS, 0, item) == wanted).unwrap();
    let middle = item_of(Crop { corner: [2, 2], flip: false });
    let mirrored = item_of(Crop { corner: [2, 2], flip: true });
    for cx in contexts() {
        assert_eq!(cropped(&cx, &shape, 0, &[middle], &image), image);
        let flipped = cropped(&cx, &shape, 0, &[mirrored], &image);
        assert_eq!(flipped[..8], [7.0, 8.0, 5.0, 6.0, 3.0, 4.0, 1.0, 2.0]);
        assert_eq!(cropped(&cx, &shape, 0, &[mirrored], &flipped), image);
    }
}

#[test]
fn every_window_is_equally_frequent() {
    let shape = CropFlipShape { height: 1, width: 1, channels: 1, padding: 4 };
    let mut counts = [0_u32; 162];
    for (step, item) in (0..100).flat_map(|step| (0..1620).map(move |item| (step, item))) {
        let Crop { corner: [down, right], flip } = shape.crop(&WORDS, step, item);
        counts[(down * 9 + right) * 2 + usize::from(flip)] += 1;
    }
    let chi_square: f64 = counts.iter().map(|&count| (f64::from(count) - 1000.0).powi(2) / 1000.0).sum();
    // 161 degrees of freedom: standard deviation 18.
    assert!((161.0 - 90.0..161.0 + 90.0).contains(&chi_square), "{chi_square}");
}

#[test]
fn wrong_sizes_are_refused() {
    let cx = Context::cpu().unwrap();
    let refused = |[height, width, channels]: [usize; 3], padding, out: usize| {
        let shape = CropFlipShape { height, width, channels, padding };
        let done =
            crop_flip(&cx, &shape, &WORDS, (&[0]).into(), (&[0, 1]).into(), (&[0.0f32; 12]).into(), (&mut vec![0.0; out]).into());
        done.unwrap_err().to_string()
    };
    assert!(refused([0, 3, 2], 1, 12).contains("the height is 0, expected at least 1"));
    assert!(refused([1, 0, 2], 1, 12).contains("the width is 0"));
    assert!(refused([1, 3, 0], 1, 12).contains("the number of channels is 0"));
    assert!(refused([1, 3, 2], 1025, 12).contains("padding is 1025, expected at most 1024"));
    assert!(refused([2, 3, 2], 1, 12).contains("`x` has 12 elements, expected 24 (items * height * width * channels)"));
    assert!(refused([1, 3, 2], 1, 11).contains("`out` has 11 elements, expected 12"));
}

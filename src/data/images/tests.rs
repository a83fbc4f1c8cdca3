//! What the tests of all readers share, and tests of image sets.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::*;

/// The bytes as a gzip file.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The message of a refusal; it must be one line.
pub(super) fn line(result: Result<ImageSet>) -> String {
    let line = result.unwrap_err().to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

/// Asserts that a file is refused in one line with both words in it.
pub(super) fn refused(result: Result<ImageSet>, whose: &str, want: &str) {
    let line = line(result);
    assert!(line.contains(whose) && line.contains(want), "{line}\nexpected {whose}...{want}");
}

/// A file or folder of the development data; nothing, with a message, if it is not there.
pub(super) fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(name);
    if !path.exists() {
        println!("SKIP: {} is absent", path.display());
        return None;
    }
    Some(path)
}

/// Writes to `path` what random damage makes of `bytes`, thousands of times, and reads each: the result is a sound data set or one
/// line.
pub(super) fn scribble(bytes: &[u8], path: &Path, read: impl Fn() -> Result<ImageSet>) {
    let draws = Counter::new(1, Stream::Noise);
    let (mut position, mut good) = (0, 0);
    let mut below = |n: usize| {
        position += 1;
        draws.below_at(position, n as u32) as usize
    };
    for case in 0..3000 {
        let mut damaged = bytes.to_vec();
        match case % 4 {
            // Bits flipped, early ones more often: headers are there.
            0 | 1 => {
                for _ in 0..=below(4) {
                    let end = if below(2) == 0 { damaged.len().min(64) } else { damaged.len() };
                    damaged[below(end)] ^= 1 << below(8);
                }
            }
            2 => damaged.truncate(below(bytes.len() + 1)),
            _ => damaged = (0..below(2 * bytes.len().min(300))).map(|_| below(256) as u8).collect(),
        }
        std::fs::write(path, &damaged).unwrap();
        match read() {
            Ok(set) => {
                set.check().unwrap();
                good += 1;
            }
            Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
        }
    }
    println!("{}: {good} of 3000 damaged files are still data sets", path.display());
}

fn two_by_two() -> ImageSet {
    let images = |n: usize| Images { pixels: (0..4 * n).map(|k| k as f32 / 100.0).collect(), labels: vec![1; n] };
    ImageSet { height: 2, width: 2, channels: 1, classes: 2, train: images(5), test: images(3) }
}

#[test]
fn the_first_images_are_kept() {
    let set = two_by_two().first(2, 0).unwrap();
    assert_eq!((set.train.pixels.len(), set.train.len(), set.test.is_empty()), (8, 2, true));
    assert_eq!(set.train.pixels[..], two_by_two().train.pixels[..8]);
    assert_eq!(two_by_two().first(5, 3).unwrap(), two_by_two());
    for (train, test) in [(6, 3), (5, 4), (0, 3)] {
        let want = format!("asked for {train} to train and {test} to test, expected 1 to 5 and at most 3");
        refused(two_by_two().first(train, test), "", &want);
    }
}

#[test]
fn what_is_no_data_set_is_refused() {
    two_by_two().check().unwrap();
    type Damage = fn(&mut ImageSet);
    let cases: [(Damage, &str); 7] = [
        (|set| set.train = Images::default(), "0 of 2 x 2 x 1 for training"),
        (|set| set.classes = 0, "0 classes"),
        (|set| set.width = 3, "20 pixels for 5 training labels, expected 5 images of 2 x 3 x 1"),
        (|set| set.height = usize::MAX / 2, "20 pixels for 5 training labels"),
        (|set| set.test.labels[2] = 2, "test image 2 has the label 2, expected 0 to 1"),
        (|set| set.train.pixels[5] = f32::NAN, "training image 1 holds NaN"),
        (|set| set.test.pixels.truncate(11), "11 pixels for 3 test labels"),
    ];
    for (damage, want) in cases {
        let mut set = two_by_two();
        damage(&mut set);
        refused(set.check().map(|()| set), "", want);
    }
}

/// CIFAR-10 in `cifar10-jpegq75` of the target folder's `tmp`, where whoever has it may unpack it; sums by NumPy.
#[test]
fn the_whole_of_cifar10_is_read() {
    let executable = std::env::current_exe().unwrap();
    let folder = executable.ancestors().nth(3).unwrap().join("tmp/cifar10-jpegq75");
    if !folder.is_dir() {
        return println!("SKIP: {} is absent", folder.display());
    }
    let source = Source::Cifar10 { path: folder };
    assert_eq!(source.name(), "CIFAR-10 (JPEG q75)");
    let set = source.load(0).unwrap();
    for (images, each) in [(&set.train, 5000), (&set.test, 1000)] {
        let count = |class| images.labels.iter().filter(|&&label| label == class).count();
        assert!((0..10).all(|class| count(class) == each));
    }
    let sum = |pixels: &[f32]| pixels.iter().map(|&pixel| (255.0 * pixel).round() as u64).sum::<u64>();
    let image = set.image_len();
    assert_eq!((set.train.labels[0], sum(&set.train.pixels[..image])), (2, 434_690));
    assert_eq!((set.train.labels[49_999], sum(&set.train.pixels[49_999 * image..])), (0, 383_447));
    assert_eq!((set.test.labels[0], sum(&set.test.pixels[..image])), (9, 454_606));
    // Red, green and blue of the whole test set.
    let channels: [u64; 3] = std::array::from_fn(|channel| {
        set.test.pixels.iter().skip(channel).step_by(3).map(|&pixel| (255.0 * pixel).round() as u64).sum()
    });
    assert_eq!(channels, [1_290_104_439, 1_266_598_065, 1_176_037_503]);
}

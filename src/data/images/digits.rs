//! Handwritten digits that are part of the program.

use std::io::Read;

use flate2::read::GzDecoder;

use super::{ImageSet, Images};
use crate::error::{Error, Result, refuse};

/// 1797 lines of 64 grey levels 0 to 16, row by row, and the digit.
const FILE: &[u8] = include_bytes!("digits.csv.gz");
const SIDE: usize = 8;
const CLASSES: u32 = 10;
const TRAIN: usize = 1500;
const ALL: usize = 1797;

/// The test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998,
/// CC BY 4.0): 1797 images of 8 x 8, grey levels divided by 16. In the order of the file, the first 1500 are to train and the last
/// 297 to test; both hold all digits about equally often.
pub(super) fn load() -> Result<ImageSet> {
    let broken = |what: &dyn std::fmt::Display| Error::Input(format!("the embedded digits are broken ({what}); build again"));
    let mut text = String::new();
    GzDecoder::new(FILE).read_to_string(&mut text).map_err(|error| broken(&error))?;
    let (mut train, mut test) = (Images::default(), Images::default());
    for (line, index) in text.lines().zip(0..) {
        let numbers: Result<Vec<u8>, _> = line.split(',').map(str::parse).collect();
        let numbers = numbers.map_err(|error| broken(&error))?;
        let images = if index < TRAIN { &mut train } else { &mut test };
        match numbers.split_last() {
            Some((&label, levels)) if levels.len() == SIDE * SIDE && levels.iter().all(|&level| level <= 16) => {
                images.labels.push(u32::from(label));
                images.pixels.extend(levels.iter().map(|&level| f32::from(level) / 16.0));
            }
            _ => return Err(broken(&format_args!("line {}", index + 1))),
        }
    }
    match train.len() + test.len() {
        ALL => Ok(ImageSet { height: SIDE, width: SIDE, channels: 1, classes: CLASSES as usize, train, test }),
        lines => refuse!("the embedded digits have {lines} lines, expected {ALL}; build again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(images: &Images) -> [usize; 10] {
        std::array::from_fn(|class| images.labels.iter().filter(|&&label| label as usize == class).count())
    }

    /// Counts as the shell has them: `zcat digits.csv.gz | cut -d, -f65 | sort | uniq -c`.
    #[test]
    fn all_digits_are_there() {
        let set = load().unwrap();
        set.check().unwrap();
        assert_eq!((set.height, set.width, set.channels, set.classes), (8, 8, 1, 10));
        assert_eq!((set.train.len(), set.test.len()), (1500, 297));
        let both = [counts(&set.train), counts(&set.test)];
        let all: Vec<usize> = both[0].iter().zip(&both[1]).map(|(train, test)| train + test).collect();
        assert_eq!(all, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        assert!(both[1].iter().all(|&count| count > 20), "{both:?}");
    }

    /// The first image is a zero: its second row as the file has it.
    #[test]
    fn levels_are_sixteenths() {
        let set = load().unwrap();
        assert_eq!(set.train.labels[..3], [0, 1, 2]);
        let row = [0.0, 0.0, 13.0, 15.0, 10.0, 15.0, 5.0, 0.0].map(|level: f32| level / 16.0);
        assert_eq!(set.train.pixels[8..16], row);
        assert_eq!(set.train.pixels.iter().copied().fold(0.0, f32::max), 1.0);
    }
}

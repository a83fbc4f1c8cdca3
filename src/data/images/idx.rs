//! MNIST and its likes: IDX files.

use std::path::{Path, PathBuf};

use super::file::{Input, find};
use super::{ImageSet, Images, unit};
use crate::data::MAX_NUMBERS;
use crate::error::{Error, Result, refuse};

const CLASSES: u8 = 10;
/// Unsigned bytes, three dimensions.
const IMAGES: u32 = 0x803;
/// Unsigned bytes, one dimension.
const LABELS: u32 = 0x801;

/// Where the files are.
#[derive(Debug, PartialEq)]
enum Files {
    /// Images and labels to train, and to test.
    Both([PathBuf; 2], [PathBuf; 2]),
    /// Images and labels that are to be split.
    One([PathBuf; 2]),
}

/// Reads a folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same two of `t10k`, each plain or gzip.
///
/// If only one pair is there, or if `path` is a file of images, the first nine tenths are to train and the last tenth is to test.
pub(super) fn load(path: &Path) -> Result<ImageSet> {
    let read = |[images, labels]: &[PathBuf; 2]| -> Result<([usize; 2], Images)> {
        let (n, size, pixels) = read_images(images)?;
        Ok((size, Images { pixels, labels: read_labels(labels, n)? }))
    };
    let (size, train, test) = match files(path)? {
        Files::Both(train, test) => {
            let ((size, train_images), (test_size, test_images)) = (read(&train)?, read(&test)?);
            if size != test_size {
                let (at, [h, w], [th, tw]) = (test[0].display(), size, test_size);
                return refuse!("{at}: images of {th} x {tw}, expected {h} x {w} as for training; take files of one data set");
            }
            (size, train_images, test_images)
        }
        Files::One(pair) => {
            let (size, mut train) = read(&pair)?;
            let first = train.len() - train.len() / 10;
            let test =
                Images { pixels: train.pixels.split_off(first * size[0] * size[1]), labels: train.labels.split_off(first) };
            (size, train, test)
        }
    };
    Ok(ImageSet { height: size[0], width: size[1], channels: 1, classes: CLASSES.into(), train, test })
}

/// Whether a path has one pair of files alone, so that test images are taken from it.
pub(super) fn is_split(path: &Path) -> bool {
    matches!(files(path), Ok(Files::One(_)))
}

fn files(path: &Path) -> Result<Files> {
    if !path.is_dir() {
        std::fs::metadata(path).map_err(Error::io("read", path))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let folder = path.parent().unwrap_or(Path::new(""));
        let prefix = ["-images-idx3-ubyte", "-images.idx3-ubyte"].iter().find_map(|end| Some(name.split_once(end)?.0));
        return match prefix {
            Some(prefix) => Ok(Files::One([path.to_owned(), labels_of(folder, prefix)?])),
            None => refuse!("{}: expected a folder, or a file named *-images-idx3-ubyte", path.display()),
        };
    }
    match (pair(path, "train")?, pair(path, "t10k")?) {
        (Some(train), Some(test)) => Ok(Files::Both(train, test)),
        (Some(pair), None) | (None, Some(pair)) => Ok(Files::One(pair)),
        (None, None) => refuse!(
            "{}: neither train-images-idx3-ubyte nor t10k-images-idx3-ubyte is there (nor with .gz); give the folder of MNIST's files",
            path.display()
        ),
    }
}

/// The two files of a set, if the images are there.
fn pair(folder: &Path, set: &str) -> Result<Option<[PathBuf; 2]>> {
    let Some(images) = named(folder, set, "images", "idx3") else { return Ok(None) };
    Ok(Some([images, labels_of(folder, set)?]))
}

fn labels_of(folder: &Path, set: &str) -> Result<PathBuf> {
    named(folder, set, "labels", "idx1").map_or_else(
        || refuse!("{}: {set}-labels-idx1-ubyte is not there (nor with .gz), but its images are", folder.display()),
        Ok,
    )
}

/// A file by its published name, or with the dot that some programs unpack it to.
fn named(folder: &Path, set: &str, what: &str, kind: &str) -> Option<PathBuf> {
    ["-", "."].iter().find_map(|dot| find(folder, &format!("{set}-{what}{dot}{kind}-ubyte")))
}

/// Number, height and width of the images, and their pixels.
fn read_images(path: &Path) -> Result<(usize, [usize; 2], Vec<f32>)> {
    let (mut file, at) = (Input::open(path)?, path.display());
    let [n, height, width] = dimensions(&file.header::<16>()?, IMAGES, path, "images")?;
    let size = n.checked_mul(height).and_then(|rows| rows.checked_mul(width)).filter(|size| (1..=MAX_NUMBERS).contains(size));
    let Some(size) = size else {
        return refuse!(
            "{at}: {n} images of {height} x {width} by its header, expected 1 to {MAX_NUMBERS} pixels; fetch it again"
        );
    };
    let bytes = file.rest(size, &format!("{n} images of {height} x {width}"))?;
    Ok((n, [height, width], bytes.into_iter().map(unit).collect()))
}

/// The labels of n images.
fn read_labels(path: &Path, n: usize) -> Result<Vec<u32>> {
    let (mut file, at) = (Input::open(path)?, path.display());
    let [count] = dimensions(&file.header::<8>()?, LABELS, path, "labels")?;
    if count != n {
        return refuse!("{at}: {count} labels by its header, expected {n} as the images have; take files of one data set");
    }
    let bytes = file.rest(n, &format!("{n} labels"))?;
    match bytes.iter().position(|&label| label >= CLASSES) {
        Some(image) => refuse!("{at}: image {image} has the label {}, expected 0 to {}", bytes[image], CLASSES - 1),
        None => Ok(bytes.into_iter().map(u32::from).collect()),
    }
}

/// The sizes after the magic number; all are big-endian words.
fn dimensions<const N: usize>(header: &[u8], magic: u32, path: &Path, what: &str) -> Result<[usize; N]> {
    let (words, _) = header.as_chunks::<4>();
    let word = |index: usize| words.get(index).map_or(0, |&bytes| u32::from_be_bytes(bytes));
    match word(0) {
        got if got == magic => Ok(std::array::from_fn(|index| word(index + 1) as usize)),
        got => refuse!("{}: magic number {got:#010x}, expected {magic:#010x} for {what} in IDX format", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::{gzip, refused, scribble, shared};
    use super::*;

    fn idx(magic: u32, sizes: &[u32], data: &[u8]) -> Vec<u8> {
        let words = [magic].into_iter().chain(sizes.iter().copied()).flat_map(u32::to_be_bytes);
        words.chain(data.iter().copied()).collect()
    }

    /// n images of 2 x 3 whose bytes count up, labels from 0 on.
    fn write(folder: &Path, set: &str, n: u8, packed: bool) {
        let images = idx(IMAGES, &[n.into(), 2, 3], &(0..6 * n).collect::<Vec<u8>>());
        let labels = idx(LABELS, &[n.into()], &(0..n).map(|index| index % 10).collect::<Vec<u8>>());
        for (name, bytes) in [("images-idx3", images), ("labels-idx1", labels)] {
            let path = folder.join(format!("{set}-{name}-ubyte{}", if packed { ".gz" } else { "" }));
            fs::write(path, if packed { gzip(&bytes) } else { bytes }).unwrap();
        }
    }

    fn tiny() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "train", 20, false);
        write(folder.path(), "t10k", 3, true);
        folder
    }

    #[test]
    fn pairs_are_read_and_a_lone_one_is_split() {
        let folder = tiny();
        let set = load(folder.path()).unwrap();
        set.check().unwrap();
        assert_eq!((set.height, set.width, set.channels, set.classes), (2, 3, 1, 10));
        assert_eq!((set.train.len(), set.test.labels.as_slice()), (20, [0, 1, 2].as_slice()));
        assert_eq!(set.train.pixels[7], 7.0 / 255.0);
        assert!(!is_split(folder.path()));

        let file = folder.path().join("train-images-idx3-ubyte");
        let lone = load(&file).unwrap();
        assert!(is_split(&file));
        assert_eq!(
            (lone.train.len(), &lone.train.pixels[..], &lone.test.labels[..]),
            (18, &set.train.pixels[..108], &[8, 9][..])
        );
        assert_eq!(lone.test.pixels, set.train.pixels[108..]);

        for path in ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"] {
            fs::remove_file(folder.path().join(path)).unwrap();
        }
        assert_eq!(load(folder.path()).unwrap(), lone);
        for (name, dotted) in [("images-idx3", "images.idx3"), ("labels-idx1", "labels.idx1")] {
            let path = |name| folder.path().join(format!("train-{name}-ubyte"));
            fs::rename(path(name), path(dotted)).unwrap();
        }
        assert_eq!(load(folder.path()).unwrap(), lone);
    }

    #[test]
    fn broken_files_are_one_line() {
        let (images, labels) = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte");
        let twenty = |last: u8| (0..19).map(|index| index % 10).chain([last]).collect::<Vec<u8>>();
        for (name, bytes, want) in [
            (images, Vec::new(), "ends after 0 bytes, expected a header of 16"),
            (images, idx(IMAGES, &[20, 2], &[]), "ends after 12 bytes, expected a header of 16"),
            (images, idx(IMAGES, &[20, 2, 3], &[0; 119]), "is cut short: 119 bytes, expected 120 (20 images of 2 x 3)"),
            (images, idx(IMAGES, &[20, 2, 3], &[0; 121]), "is too long: more than 120 bytes"),
            (images, idx(LABELS, &[20, 2, 3], &[0; 120]), "magic number 0x00000801, expected 0x00000803 for images"),
            (images, idx(IMAGES, &[20, 0, 3], &[]), "20 images of 0 x 3 by its header"),
            (images, idx(IMAGES, &[u32::MAX; 3], &[0; 120]), "4294967295 images of 4294967295 x 4294967295 by its header"),
            (images, idx(IMAGES, &[1 << 20, 32, 64], &[0; 120]), "is cut short: 120 bytes, expected 2147483648"),
            (images, idx(IMAGES, &[19, 2, 3], &[0; 114]), "20 labels by its header, expected 19 as the images have"),
            (labels, Vec::new(), "ends after 0 bytes, expected a header of 8"),
            (labels, idx(IMAGES, &[20], &twenty(0)), "magic number 0x00000803, expected 0x00000801 for labels"),
            (labels, idx(LABELS, &[20], &twenty(0)[1..]), "is cut short: 19 bytes, expected 20"),
            (labels, idx(LABELS, &[20], &[twenty(0), vec![0]].concat()), "is too long"),
            (labels, idx(LABELS, &[20], &twenty(10)), "image 19 has the label 10, expected 0 to 9"),
        ] {
            let folder = tiny();
            fs::write(folder.path().join(name), &bytes).unwrap();
            refused(load(folder.path()), "", want);
            // The same, packed.
            fs::remove_file(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(format!("{name}.gz")), gzip(&bytes)).unwrap();
            refused(load(folder.path()), "", want);
        }
        let folder = tiny();
        write(folder.path(), "t10k", 0, true);
        refused(load(folder.path()), "t10k-images-idx3-ubyte.gz: ", "0 images of 2 x 3 by its header");
        let other = idx(IMAGES, &[3, 3, 2], &[0; 18]);
        write(folder.path(), "t10k", 3, true);
        fs::write(folder.path().join("t10k-images-idx3-ubyte.gz"), gzip(&other)).unwrap();
        refused(load(folder.path()), "t10k-images-idx3-ubyte.gz: ", "images of 3 x 2, expected 2 x 3 as for training");
        fs::write(folder.path().join("t10k-images-idx3-ubyte.gz"), other).unwrap();
        refused(load(folder.path()), "t10k-images-idx3-ubyte.gz: ", "not a whole gzip file");
    }

    #[test]
    fn missing_files_are_named() {
        let folder = tiny();
        refused(load(&folder.path().join("t10k-labels-idx1-ubyte.gz")), "", "expected a folder, or a file named");
        fs::remove_file(folder.path().join("t10k-labels-idx1-ubyte.gz")).unwrap();
        refused(load(folder.path()), "", "t10k-labels-idx1-ubyte is not there (nor with .gz), but its images are");
        refused(load(&folder.path().join("nowhere")), "cannot read ", "No such file");
        refused(load(tempfile::tempdir().unwrap().path()), "", "neither train-images-idx3-ubyte nor t10k-images-idx3-ubyte");
    }

    #[test]
    fn scribbled_files_do_no_harm() {
        let folder = tiny();
        for name in ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte.gz"] {
            let path = folder.path().join(name);
            let bytes = fs::read(&path).unwrap();
            scribble(&bytes, &path, || load(folder.path()));
            fs::write(path, bytes).unwrap();
        }
    }

    /// Label counts as published; sums of the first and the last image's bytes by another program.
    #[test]
    fn the_canonical_test_set_is_read() {
        let Some(folder) = shared("data/mnist-t10k") else { return };
        let set = load(&folder).unwrap();
        set.check().unwrap();
        assert_eq!((set.train.len(), set.test.len(), set.height, set.width), (9000, 1000, 28, 28));
        let labels = || set.train.labels.iter().chain(&set.test.labels);
        let counts: [usize; 10] = std::array::from_fn(|class| labels().filter(|&&label| label as usize == class).count());
        assert_eq!(counts, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
        assert_eq!(set.train.labels[0], 7);
        let sum = |pixels: &[f32]| pixels.iter().map(|&pixel| (255.0 * pixel).round() as u64).sum::<u64>();
        assert_eq!(sum(&set.train.pixels[..784]), 18_454);
        assert_eq!(sum(&set.test.pixels[999 * 784..]), 41_833);
    }
}

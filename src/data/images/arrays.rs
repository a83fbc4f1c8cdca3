//! Images of a .npz file.

use std::path::Path;

use super::file::{Input, is_gzip};
use super::{ImageSet, Images, push_planes};
use crate::data::npz::{Array, Npz};
use crate::error::{Result, refuse};

/// Unpacked sizes of .npz.gz files above this are refused.
const MAX_BYTES: usize = 4 << 30;
/// More classes than any data set has; the last layer would only exhaust the memory.
const MAX_CLASSES: usize = 1 << 16;

/// How the numbers of an image are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// n x height x width.
    Grey,
    /// n x channels x height x width.
    ChannelsFirst,
    /// n x height x width x channels.
    ChannelsLast,
}

/// Reads `X`, `y` and, if they are there, `X_test` and `y_test`; a name that ends in .gz is unpacked.
///
/// X is [n, h, w], [n, c, h, w] or [n, h, w, c] with c = 1 or 3, of bytes 0 to 255, which are divided by 255, or of numbers in
/// [0, 1]; y has n classes from 0 on. There are as many classes as the largest label says.
pub(super) fn load(path: &Path) -> Result<ImageSet> {
    let npz = if is_gzip(path) {
        let bytes = Input::open(path)?.up_to(MAX_BYTES + 1)?;
        if bytes.len() > MAX_BYTES {
            return refuse!("{}: more than {MAX_BYTES} bytes unpacked; unpack it and give the .npz file", path.display());
        }
        Npz::parse(path, &bytes)?
    } else {
        Npz::read(path)?
    };
    from_npz(&npz)
}

fn from_npz(npz: &Npz) -> Result<ImageSet> {
    let (layout, x) = match npz.shape("X") {
        Some(&[_, a, b, c]) => (layout(npz, [a, b, c])?, npz.required("X", &[0, a, b, c])?),
        _ => (Layout::Grey, npz.required("X", &[0, 0, 0])?),
    };
    let x_test = npz.optional("X_test", &[&[0], &x.shape[1..]].concat())?;
    if x_test.is_none() && npz.shape("y_test").is_some() {
        return refuse!("{}: `y_test` is there without `X_test`; save both or neither", npz.path().display());
    }
    let scale = scale(npz, x.values.iter().chain(x_test.iter().flat_map(|x| &x.values)))?;
    let images = |x: &Array, y: &str| -> Result<Images> {
        Ok(Images { labels: labels(npz, y, x.shape[0])?, pixels: pixels(x, layout, scale) })
    };
    let train = images(x, "y")?;
    let test = x_test.map_or(Ok(Images::default()), |x| images(x, "y_test"))?;
    let classes = train.labels.iter().chain(&test.labels).max().map_or(0, |&label| label as usize + 1);
    let [height, width, channels] = match (layout, x.shape.as_slice()) {
        (Layout::ChannelsFirst, &[_, c, h, w]) => [h, w, c],
        (Layout::ChannelsLast, &[_, h, w, c]) => [h, w, c],
        (_, shape) => [shape[1], shape[2], 1],
    };
    Ok(ImageSet { height, width, channels, classes, train, test })
}

/// Which of the two places holds the channels.
fn layout(npz: &Npz, [a, b, c]: [usize; 3]) -> Result<Layout> {
    let (at, channels) = (npz.path().display(), [1, 3]);
    match (channels.contains(&a), channels.contains(&c)) {
        (true, false) => Ok(Layout::ChannelsFirst),
        (false, true) => Ok(Layout::ChannelsLast),
        (true, true) => refuse!(
            "{at}: array `X` has images of shape [{a}, {b}, {c}], whose first and last sizes could both be channels; save grey images as [n, h, w], or pad them"
        ),
        (false, false) => refuse!(
            "{at}: array `X` has images of shape [{a}, {b}, {c}], expected 1 or 3 channels in the first or in the last place"
        ),
    }
}

/// What the numbers are divided by: 255 if they are bytes, 1 if they are in [0, 1].
fn scale<'a>(npz: &Npz, values: impl Iterator<Item = &'a f64>) -> Result<f64> {
    let (mut least, mut most, mut whole) = (f64::INFINITY, f64::NEG_INFINITY, true);
    for &value in values {
        least = least.min(value);
        most = most.max(value);
        whole &= value.fract() == 0.0;
    }
    match () {
        () if 0.0 <= least && most <= 1.0 => Ok(1.0),
        () if whole && 0.0 <= least && most <= 255.0 => Ok(255.0),
        () => refuse!(
            "{}: the pixels of `X` and `X_test` are {least} to {most}, expected bytes 0 to 255 or numbers in [0, 1]; scale them",
            npz.path().display()
        ),
    }
}

fn pixels(x: &Array, layout: Layout, scale: f64) -> Vec<f32> {
    // Rounded first, as bytes are divided in f32 by every reader.
    let pixel = |value: f64| value as f32 / scale as f32;
    let mut pixels = Vec::with_capacity(x.values.len());
    match (layout, x.shape.as_slice()) {
        (Layout::ChannelsFirst, &[_, channels, height, width]) => {
            let images = x.values.chunks_exact(channels * height * width);
            images.for_each(|image| push_planes(image, channels, pixel, &mut pixels));
        }
        _ => pixels.extend(x.values.iter().copied().map(pixel)),
    }
    pixels
}

fn labels(npz: &Npz, name: &str, n: usize) -> Result<Vec<u32>> {
    let values = &npz.required(name, &[n])?.values;
    match values.iter().position(|&value| !((0.0..MAX_CLASSES as f64).contains(&value) && value.fract() == 0.0)) {
        Some(place) => refuse!(
            "{}: array `{name}` holds {} at position {place}, expected classes: integers from 0 to {}",
            npz.path().display(),
            values[place],
            MAX_CLASSES - 1
        ),
        None => Ok(values.iter().map(|&value| value as u32).collect()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read, Write};

    use super::super::tests::{gzip, refused, scribble};
    use super::*;
    use crate::data::npz;

    type Named<'a> = (&'a str, &'a [usize], Vec<f64>);

    fn written(arrays: &[Named]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let array = |(name, shape, values): &Named| (name.to_string(), Array { shape: shape.to_vec(), values: values.clone() });
        npz::write(&path, &arrays.iter().map(array).collect::<Vec<_>>()).unwrap();
        (folder, path)
    }

    fn counting(n: usize) -> Vec<f64> {
        (0..n).map(|value| value as f64).collect()
    }

    #[test]
    fn both_orders_of_the_axes_are_the_same_images() {
        // Two images of 4 x 2: (image, channel, row, column) is 24 image + 8 channel + 2 row + column.
        let first = counting(48);
        let place = |i: usize, c: usize, h: usize, w: usize| 24 * i + 8 * c + 2 * h + w;
        let last: Vec<f64> = (0..48).map(|k| place(k / 24, k % 3, k / 6 % 4, k / 3 % 2) as f64).collect();
        let y = || ("y", [2].as_slice(), vec![1.0, 4.0]);
        let (_folder, path) = written(&[("X", &[2, 3, 4, 2], first), y()]);
        let set = load(&path).unwrap();
        set.check().unwrap();
        assert_eq!((set.height, set.width, set.channels, set.classes), (4, 2, 3, 5));
        assert_eq!(set.train.pixels[..6], [0.0, 8.0, 16.0, 1.0, 9.0, 17.0].map(|byte: f32| byte / 255.0));
        assert_eq!((set.train.labels.as_slice(), set.test.len()), ([1, 4].as_slice(), 0));
        let (_folder, path) = written(&[("X", &[2, 4, 2, 3], last), y()]);
        assert_eq!(load(&path).unwrap(), set);

        let packed = path.with_extension("npz.gz");
        fs::write(&packed, gzip(&fs::read(&path).unwrap())).unwrap();
        assert_eq!(load(&packed).unwrap(), set);
    }

    #[test]
    fn grey_images_and_a_test_set() {
        let (_folder, path) = written(&[
            ("X", &[2, 1, 3], vec![0.0, 0.5, 1.0, 0.25, 0.0, 0.0]),
            ("y", &[2], vec![0.0, 1.0]),
            ("X_test", &[1, 1, 3], vec![1.0, 1.0, 0.0]),
            ("y_test", &[1], vec![2.0]),
        ]);
        let set = load(&path).unwrap();
        assert_eq!((set.height, set.width, set.channels, set.classes), (1, 3, 1, 3));
        assert_eq!((set.train.pixels[..4].to_vec(), set.test.pixels), (vec![0.0, 0.5, 1.0, 0.25], vec![1.0, 1.0, 0.0]));
        let (_folder, path) = written(&[("X", &[1, 1, 2, 2], vec![0.0, 0.0, 51.0, 255.0]), ("y", &[1], vec![0.0])]);
        assert_eq!(load(&path).unwrap().train.pixels, [0.0, 0.0, 0.2, 1.0]);
    }

    #[test]
    fn unclear_arrays_are_one_line() {
        let x = || ("X", [2, 2, 2].as_slice(), vec![0.5; 8]);
        let y = |values: [f64; 2]| ("y", [2].as_slice(), values.to_vec());
        for (arrays, want) in [
            (vec![y([0.0, 1.0])], "there is no array `X`, only [y]"),
            (vec![("X", &[2, 4][..], counting(8)), y([0.0; 2])], "array `X` has shape [2, 4]"),
            (vec![("X", &[1, 3, 2, 1][..], counting(6)), y([0.0; 2])], "first and last sizes could both be channels"),
            (vec![("X", &[1, 2, 2, 2][..], counting(8)), y([0.0; 2])], "[2, 2, 2], expected 1 or 3 channels in the first or"),
            (vec![("X", &[1, 2, 2][..], vec![0.0, 0.5, 1.0, 2.0]), y([0.0; 2])], "are 0 to 2, expected bytes"),
            (vec![("X", &[1, 2, 2][..], vec![0.0, 1.0, 2.0, 256.0]), y([0.0; 2])], "are 0 to 256, expected bytes"),
            (vec![("X", &[1, 2, 2][..], vec![0.0, 1.0, 2.0, -1.0]), y([0.0; 2])], "are -1 to 2, expected bytes"),
            (vec![("X", &[1, 2, 2][..], vec![0.0, 1.0, 2.0, f64::NAN]), y([0.0; 2])], "holds NaN at flat position 3"),
            (vec![x()], "there is no array `y`, only [X]"),
            (vec![x(), ("y", &[3][..], vec![0.0; 3])], "array `y` has shape [3], expected [2]"),
            (vec![x(), y([0.0, -1.0])], "array `y` holds -1 at position 1, expected classes: integers from 0 to 65535"),
            (vec![x(), y([0.5, 1.0])], "array `y` holds 0.5 at position 0"),
            (vec![x(), y([0.0, 65536.0])], "array `y` holds 65536 at position 1"),
            (vec![x(), y([0.0; 2]), ("y_test", &[1][..], vec![0.0])], "`y_test` is there without `X_test`"),
            (vec![x(), y([0.0; 2]), ("X_test", &[1, 2, 2][..], vec![0.0; 4])], "there is no array `y_test`"),
            (vec![x(), y([0.0; 2]), ("X_test", &[1, 2, 3][..], vec![0.0; 6])], "shape [1, 2, 3], expected [at least 1, 2, 2]"),
        ] {
            let (_folder, path) = written(&arrays);
            refused(load(&path), "", want);
        }
    }

    #[test]
    fn broken_files_are_one_line() {
        let (folder, path) = written(&[("X", &[2, 2, 2], vec![0.5; 8]), ("y", &[2], vec![0.0, 1.0])]);
        let bytes = fs::read(&path).unwrap();
        let packed = path.with_extension("npz.gz");
        for broken in [Vec::new(), bytes[..bytes.len() / 2].to_vec(), b"\x80\x04\x95pickle".to_vec()] {
            fs::write(&path, &broken).unwrap();
            refused(load(&path), "a.npz: ", "not a .npz file");
            fs::write(&packed, gzip(&broken)).unwrap();
            refused(load(&packed), "a.npz.gz: ", "not a .npz file");
        }
        fs::write(&packed, &bytes).unwrap();
        refused(load(&packed), "a.npz.gz: ", "not a whole gzip file");
        refused(load(folder.path()), "", "this is a folder");
    }

    /// The archive, and the arrays in an archive that is sound.
    #[test]
    fn scribbled_files_do_no_harm() {
        let (_folder, path) = written(&[("X", &[2, 2, 2], vec![0.5; 8]), ("y", &[2], vec![0.0, 1.0])]);
        let bytes = fs::read(&path).unwrap();
        scribble(&bytes, &path, || load(&path));

        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(&bytes)).unwrap();
        let mut array = |name: &str| {
            let mut bytes = Vec::new();
            archive.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        };
        let y = array("y.npy");
        scribble(&array("X.npy"), &path, || {
            let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
            for (name, bytes) in [("X.npy", &fs::read(&path).unwrap()), ("y.npy", &y)] {
                archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
                archive.write_all(bytes).unwrap();
            }
            from_npz(&Npz::parse(&path, archive.finish().unwrap().get_ref())?)
        });
    }
}

//! CIFAR-10 and CIFAR-100 in their binary format.

use std::path::{Path, PathBuf};

use super::file::{Input, find};
use super::{ImageSet, Images, push_planes, unit};
use crate::error::{Error, Result, refuse};

const SIDE: usize = 32;
const CHANNELS: usize = 3;
const PIXELS: usize = CHANNELS * SIDE * SIDE;

/// The files of a data set. A record is one byte per entry of `labels`, then the red, green and blue planes, row by row.
#[derive(Clone, Copy)]
pub(super) struct Format {
    /// The folder in the archive.
    pub folder: &'static str,
    /// Training files.
    pub train: &'static [&'static str],
    /// Records of each.
    pub train_records: usize,
    /// The test file.
    pub test: &'static str,
    /// Its records.
    pub test_records: usize,
    /// Classes that each label byte tells apart; the last byte is the label.
    pub labels: &'static [u8],
    /// The same data as Python's pickles.
    pub pickles: Pickles,
}

/// Python's variant of the files.
#[derive(Clone, Copy)]
pub(super) struct Pickles {
    /// The folder in the archive.
    folder: &'static str,
    /// The training files, in Python.
    train: &'static str,
    test: &'static str,
    /// Key of the labels.
    labels: &'static str,
}

/// Ten classes, 50,000 and 10,000 images.
pub(super) const CIFAR10: Format = Format {
    folder: "cifar-10-batches-bin",
    train: &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
    train_records: 10_000,
    test: "test_batch.bin",
    test_records: 10_000,
    labels: &[10],
    pickles: Pickles {
        folder: "cifar-10-batches-py",
        train: "[f'data_batch_{k}' for k in range(1, 6)]",
        test: "test_batch",
        labels: "labels",
    },
};

/// A hundred classes in 20 groups, 50,000 and 10,000 images.
pub(super) const CIFAR100: Format = Format {
    folder: "cifar-100-binary",
    train: &["train.bin"],
    train_records: 50_000,
    test: "test.bin",
    test_records: 10_000,
    labels: &[20, 100],
    pickles: Pickles { folder: "cifar-100-python", train: "['train']", test: "test", labels: "fine_labels" },
};

/// Reads the files of a folder, or of the archive's folder in it; each may be plain or gzip.
pub(super) fn load(path: &Path, format: &Format) -> Result<ImageSet> {
    let folder = locate(path, format)?;
    let mut train = Images::default();
    train.pixels.reserve_exact(format.train.len() * format.train_records * PIXELS);
    for name in format.train {
        format.read(&existing(&folder, name)?, format.train_records, &mut train)?;
    }
    let mut test = Images::default();
    format.read(&existing(&folder, format.test)?, format.test_records, &mut test)?;
    let classes = format.labels.last().copied().unwrap_or_default();
    Ok(ImageSet { height: SIDE, width: SIDE, channels: CHANNELS, classes: classes.into(), train, test })
}

/// The folder with the files.
fn locate(path: &Path, format: &Format) -> Result<PathBuf> {
    let at = path.display();
    if !path.is_dir() {
        std::fs::metadata(path).map_err(Error::io("read", path))?;
        return refuse!("{at}: this is a file, expected the folder with {}, ..., {}", format.train[0], format.test);
    }
    let folders = [path.to_owned(), path.join(format.folder)];
    if let Some(folder) = folders.iter().find(|folder| find(folder, format.train[0]).is_some()) {
        return Ok(folder.clone());
    }
    let pickle = |folder: &PathBuf| folder.join("batches.meta").is_file() || folder.join("meta").is_file();
    match [path.to_owned(), path.join(format.pickles.folder)].iter().find(|folder| pickle(folder)) {
        Some(folder) => refuse!("{}: these are Python pickles, which can run code and are not read; {}", folder.display(), {
            format.pickles.conversion(folder)
        }),
        None => refuse!(
            "{at}: {} is not there (nor with .gz, nor in {}/); give the folder of the binary version",
            format.train[0],
            format.folder
        ),
    }
}

fn existing(folder: &Path, name: &str) -> Result<PathBuf> {
    find(folder, name).map_or_else(|| refuse!("{}: {name} is not there (nor {name}.gz); fetch it too", folder.display()), Ok)
}

impl Format {
    /// Appends the records of one file.
    fn read(&self, path: &Path, records: usize, images: &mut Images) -> Result<()> {
        let record = self.labels.len() + PIXELS;
        let bytes = Input::open(path)?.rest(records * record, &format!("{records} records of {record} bytes"))?;
        for (record, index) in bytes.chunks_exact(record).zip(0..) {
            let (labels, planes) = record.split_at(self.labels.len());
            for (&label, &classes) in labels.iter().zip(self.labels) {
                if label >= classes {
                    let (at, last, kind) = (path.display(), classes - 1, self.kind());
                    return refuse!("{at}: record {index} has the label {label}, expected 0 to {last}; is this {kind}?");
                }
            }
            images.labels.extend(labels.last().map(|&label| u32::from(label)));
            push_planes(planes, CHANNELS, unit, &mut images.pixels);
        }
        Ok(())
    }

    /// The data set's name.
    pub fn kind(&self) -> &'static str {
        if self.labels.len() == 1 { "CIFAR-10" } else { "CIFAR-100" }
    }
}

impl Pickles {
    /// How NumPy converts them.
    fn conversion(&self, folder: &Path) -> String {
        let Pickles { train, test, labels, .. } = self;
        let folder = folder.display();
        format!(
            "convert them to `npz:cifar.npz` with
import numpy, pickle
load = lambda name: pickle.load(open('{folder}/' + name, 'rb'), encoding='bytes')
train, test = [load(name) for name in {train}], load('{test}')
images = lambda parts: numpy.concatenate([part[b'data'] for part in parts]).reshape(-1, 3, 32, 32)
labels = lambda parts: numpy.concatenate([part[b'{labels}'] for part in parts])
numpy.savez('cifar.npz', X=images(train), y=labels(train), X_test=images([test]), y_test=labels([test]))"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::{gzip, line, refused, scribble};
    use super::*;

    /// Two training files of two records and a test file of one.
    const TINY: Format =
        Format { train: &["data_batch_1.bin", "data_batch_2.bin"], train_records: 2, test_records: 1, ..CIFAR10 };
    const TINY_100: Format = Format { train_records: 2, test_records: 1, ..CIFAR100 };

    /// A record whose pixel at (channel, row, column) is channel + 7 row + 3 column + label, modulo 256.
    fn record(labels: &[u8]) -> Vec<u8> {
        let pixel = |place: usize| place / 1024 + 7 * (place % 1024 / 32) + 3 * (place % 32) + usize::from(labels[0]);
        labels.iter().copied().chain((0..PIXELS).map(|place| pixel(place) as u8)).collect()
    }

    fn folder(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, bytes)| fs::write(folder.path().join(name), bytes).unwrap());
        folder
    }

    fn tiny() -> tempfile::TempDir {
        folder(&[
            ("data_batch_1.bin", [record(&[3]), record(&[9])].concat()),
            ("data_batch_2.bin.gz", gzip(&[record(&[0]), record(&[1])].concat())),
            ("test_batch.bin", record(&[7])),
        ])
    }

    #[test]
    fn records_become_images_with_the_channels_last() {
        let folder = tiny();
        let set = load(folder.path(), &TINY).unwrap();
        set.check().unwrap();
        assert_eq!((set.height, set.width, set.channels, set.classes), (32, 32, 3, 10));
        assert_eq!((set.train.labels.as_slice(), set.test.labels.as_slice()), ([3, 9, 0, 1].as_slice(), [7].as_slice()));
        // Image 1, row 2, column 5, green: 1 + 14 + 15 + 9.
        assert_eq!(set.train.pixels[((32 + 2) * 32 + 5) * 3 + 1], 39.0 / 255.0);

        let outer = tempfile::tempdir().unwrap();
        fs::rename(folder.path(), outer.path().join("cifar-10-batches-bin")).unwrap();
        assert_eq!(load(outer.path(), &TINY).unwrap(), set);
    }

    #[test]
    fn the_fine_label_is_the_class() {
        let folder =
            folder(&[("train.bin", [record(&[3, 77]), record(&[19, 99])].concat()), ("test.bin.gz", gzip(&record(&[0, 5])))]);
        let set = load(folder.path(), &TINY_100).unwrap();
        assert_eq!((set.classes, set.train.labels, set.test.labels), (100, vec![77, 99], vec![5]));
        assert_eq!(set.test.pixels[..4], [0.0, 1.0, 2.0, 3.0].map(|byte: f32| byte / 255.0));
        fs::write(folder.path().join("train.bin"), [record(&[3, 77]), record(&[20, 9])].concat()).unwrap();
        assert!(line(load(folder.path(), &TINY_100)).contains("record 1 has the label 20, expected 0 to 19; is this CIFAR-100?"));
    }

    #[test]
    fn broken_files_are_one_line() {
        let whole = [record(&[3]), record(&[9])].concat();
        for (bytes, want) in [
            (Vec::new(), "is cut short: 0 bytes, expected 6146 (2 records of 3073 bytes)"),
            (whole[..6145].to_vec(), "is cut short: 6145 bytes, expected 6146"),
            (whole[..3073].to_vec(), "is cut short: 3073 bytes"),
            ([whole.clone(), vec![0]].concat(), "is too long: more than 6146 bytes"),
            ([record(&[3]), record(&[10])].concat(), "record 1 has the label 10, expected 0 to 9; is this CIFAR-10?"),
        ] {
            let folder = tiny();
            fs::write(folder.path().join("data_batch_1.bin"), &bytes).unwrap();
            refused(load(folder.path(), &TINY), "data_batch_1.bin: ", want);
            let packed = folder.path().join("data_batch_2.bin.gz");
            fs::write(folder.path().join("data_batch_1.bin"), &whole).unwrap();
            fs::write(&packed, gzip(&bytes)).unwrap();
            refused(load(folder.path(), &TINY), "data_batch_2.bin.gz: ", want);
        }
        for bytes in [b"BZh9".to_vec(), Vec::new(), gzip(&whole)[..40].to_vec()] {
            let folder = tiny();
            fs::write(folder.path().join("data_batch_2.bin.gz"), bytes).unwrap();
            refused(load(folder.path(), &TINY), "data_batch_2.bin.gz: ", "not a whole gzip file");
        }
    }

    /// 100 MB of zeros in 100 kB: no more is unpacked than a batch holds.
    #[test]
    fn a_bomb_is_too_long() {
        let folder = tiny();
        fs::write(folder.path().join("data_batch_2.bin.gz"), gzip(&vec![0; 100_000_000])).unwrap();
        refused(load(folder.path(), &TINY), "data_batch_2.bin.gz: ", "more than 6146 bytes");
    }

    #[test]
    fn missing_files_are_named() {
        let folder = tiny();
        fs::remove_file(folder.path().join("test_batch.bin")).unwrap();
        refused(load(folder.path(), &TINY), "", "test_batch.bin is not there (nor test_batch.bin.gz)");
        refused(load(&folder.path().join("data_batch_1.bin"), &TINY), "", "this is a file, expected the folder with");
        refused(load(&folder.path().join("nowhere"), &TINY), "cannot read ", "No such file");
        refused(load(folder.path(), &TINY_100), "", "train.bin is not there (nor with .gz, nor in cifar-100-binary/)");
    }

    #[test]
    fn pickles_are_refused_with_their_conversion() {
        for (format, name, meta) in [(CIFAR10, "cifar-10-batches-py", "batches.meta"), (CIFAR100, "cifar-100-python", "meta")] {
            let outer = tempfile::tempdir().unwrap();
            let inner = outer.path().join(name);
            fs::create_dir(&inner).unwrap();
            fs::write(inner.join(meta), b"").unwrap();
            for path in [outer.path(), &inner] {
                let message = load(path, &format).unwrap_err().to_string();
                let (first, conversion) = message.split_once('\n').unwrap();
                assert!(first.contains("Python pickles") && first.contains("npz:cifar.npz"), "{first}");
                assert_eq!(conversion.lines().count(), 6);
                assert!(conversion.contains(&format!("open('{}/'", inner.display())), "{conversion}");
            }
        }
    }

    #[test]
    fn scribbled_files_do_no_harm() {
        let folder = tiny();
        let whole = [record(&[3]), record(&[9])].concat();
        for (name, bytes) in [("data_batch_1.bin", whole.clone()), ("data_batch_2.bin.gz", gzip(&whole))] {
            scribble(&bytes, &folder.path().join(name), || load(folder.path(), &TINY));
            fs::write(folder.path().join(name), bytes).unwrap();
        }
    }
}

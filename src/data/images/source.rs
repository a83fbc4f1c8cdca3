//! Where images come from, and what the command line calls it.

use std::ffi::OsStr;
use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{ImageSet, arrays, cifar, cifar_like, digits, idx, mnist1d};
use crate::error::{Error, Result, nearest, refuse};

/// Where images come from.
///
/// On the command line: `digits`, `mnist1d`, `cifar-like` (or `cifar-like:TRAIN,TEST`), `cifar10:PATH`, `cifar100:PATH`,
/// `mnist:PATH`, `npz:PATH`. Files may be gzip, if their names end in `.gz`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// 1797 handwritten digits of 8 x 8, part of the program: the first 1500 to train, the last 297 to test.
    #[default]
    Digits,
    /// MNIST-1D (Greydanus and Kobak 2020), drawn by our generators: signals of 1 x 40, 4000 to train and 1000 to test.
    Mnist1d,
    /// Drawn images of 32 x 32 in colour, whose ten classes differ in gratings, blobs and a little in colour.
    CifarLike {
        /// Training images.
        #[serde(default = "cifar_like_train")]
        train: usize,
        /// Test images.
        #[serde(default = "cifar_like_test")]
        test: usize,
    },
    /// The folder of CIFAR-10's binary version, or one that contains `cifar-10-batches-bin`.
    Cifar10 {
        /// The folder.
        path: PathBuf,
    },
    /// The folder of CIFAR-100's binary version, or one that contains `cifar-100-binary`; the 100 fine labels.
    Cifar100 {
        /// The folder.
        path: PathBuf,
    },
    /// The folder of MNIST's IDX files, or one of its files of images. A lone pair of files is split: the first nine tenths to
    /// train, the last tenth to test.
    Mnist {
        /// The folder or file.
        path: PathBuf,
    },
    /// Arrays `X`, `y` and optionally `X_test`, `y_test` of a .npz file.
    ///
    /// X is [n, h, w], [n, c, h, w] or [n, h, w, c] with c = 1 or 3, of bytes 0 to 255, which are divided by 255, or of numbers
    /// in [0, 1]; y has n classes from 0 on.
    Npz {
        /// The file.
        path: PathBuf,
    },
}

fn cifar_like_train() -> usize {
    10_000
}

fn cifar_like_test() -> usize {
    2000
}

/// Names on the command line, and whether a path follows.
const NAMES: [(&str, bool); 7] = [
    ("digits", false),
    ("mnist1d", false),
    ("cifar-like", false),
    ("cifar10", true),
    ("cifar100", true),
    ("mnist", true),
    ("npz", true),
];

impl Source {
    /// Drawn images of the usual number.
    pub fn cifar_like() -> Source {
        Source::CifarLike { train: cifar_like_train(), test: cifar_like_test() }
    }

    /// Reads or draws the images; `seed` is that of the data stream, and matters to drawn ones alone.
    ///
    /// # Errors
    /// If a file is missing or malformed, or more images are to be drawn than fit.
    pub fn load(&self, seed: u64) -> Result<ImageSet> {
        let set = match self {
            Source::Digits => digits::load(),
            Source::Mnist1d => Ok(mnist1d::draw(seed)),
            Source::CifarLike { train, test } => cifar_like::draw(*train, *test, seed),
            Source::Cifar10 { path } => cifar::load(path, &cifar::CIFAR10),
            Source::Cifar100 { path } => cifar::load(path, &cifar::CIFAR100),
            Source::Mnist { path } => idx::load(path),
            Source::Npz { path } => arrays::load(path),
        }?;
        set.check()?;
        Ok(set)
    }

    /// The name in titles. Of CIFAR files whose folder, or the one around it, is named `...jpegqN`, it says that the images were
    /// compressed as JPEG of quality N; of a lone pair of MNIST's files, that it is split.
    pub fn name(&self) -> String {
        match self {
            Source::Digits => "8x8 digits".into(),
            Source::Mnist1d => "MNIST-1D".into(),
            Source::CifarLike { .. } => "CIFAR-like (drawn)".into(),
            Source::Cifar10 { path } => cifar_name(&cifar::CIFAR10, path),
            Source::Cifar100 { path } => cifar_name(&cifar::CIFAR100, path),
            Source::Mnist { path } if idx::is_split(path) => format!("{} (one file, split 9:1)", mnist_name(path)),
            Source::Mnist { path } => mnist_name(path).into(),
            Source::Npz { path } => path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Source::Digits | Source::Mnist1d | Source::CifarLike { .. } => None,
            Source::Cifar10 { path } | Source::Cifar100 { path } | Source::Mnist { path } | Source::Npz { path } => Some(path),
        }
    }
}

fn cifar_name(format: &cifar::Format, path: &Path) -> String {
    let quality = folders(path).into_iter().find_map(|name| {
        let (_, after) = name.split_once("jpegq")?;
        let digits = after.split(|letter: char| !letter.is_ascii_digit()).next()?;
        (!digits.is_empty()).then(|| digits.to_owned())
    });
    match quality {
        Some(quality) => format!("{} (JPEG q{quality})", format.kind()),
        None => format.kind().into(),
    }
}

/// Fashion-MNIST and Kuzushiji-MNIST come in files of MNIST's names.
fn mnist_name(path: &Path) -> &'static str {
    let named = |word: &str| folders(path).iter().any(|name| name.contains(word));
    match () {
        () if named("fashion") => "Fashion-MNIST",
        () if named("kmnist") || named("kuzushiji") => "Kuzushiji-MNIST",
        () => "MNIST",
    }
}

/// The last two names of a path in lower case, wherever it is relative to.
fn folders(path: &Path) -> Vec<String> {
    let whole = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let lower = |name: &OsStr| name.to_string_lossy().to_lowercase();
    whole.iter().rev().take(2).map(lower).collect()
}

impl Display for Source {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let name = match self {
            Source::Digits => "digits",
            Source::Mnist1d => "mnist1d",
            Source::CifarLike { train, test } if (*train, *test) != (cifar_like_train(), cifar_like_test()) => {
                return write!(f, "cifar-like:{train},{test}");
            }
            Source::CifarLike { .. } => "cifar-like",
            Source::Cifar10 { .. } => "cifar10",
            Source::Cifar100 { .. } => "cifar100",
            Source::Mnist { .. } => "mnist",
            Source::Npz { .. } => "npz",
        };
        match self.path() {
            Some(path) => write!(f, "{name}:{}", path.display()),
            None => f.write_str(name),
        }
    }
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Source> {
        let (name, rest) = match text.split_once(':') {
            Some((name, rest)) => (name, Some(rest)),
            None => (text, None),
        };
        let path = || match rest {
            Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
            _ => refuse!("data `{text}`: a path is missing; write {}", example(name)),
        };
        match (name, rest) {
            ("digits", None) => Ok(Source::Digits),
            ("mnist1d", None) => Ok(Source::Mnist1d),
            ("cifar-like", None) => Ok(Source::cifar_like()),
            ("cifar-like", Some(counts)) => match counts.split_once(',').map(|(a, b)| (a.trim().parse(), b.trim().parse())) {
                Some((Ok(train), Ok(test))) => Ok(Source::CifarLike { train, test }),
                _ => refuse!("data `{text}`: expected how many to train and to test; write cifar-like:10000,2000"),
            },
            ("cifar10", _) => Ok(Source::Cifar10 { path: path()? }),
            ("cifar100", _) => Ok(Source::Cifar100 { path: path()? }),
            ("mnist", _) => Ok(Source::Mnist { path: path()? }),
            ("npz", _) => Ok(Source::Npz { path: path()? }),
            ("digits" | "mnist1d", Some(_)) => refuse!("data `{text}`: nothing follows this name; write {name}"),
            _ => {
                let known = NAMES.map(|(name, path)| if path { format!("{name}:PATH") } else { name.to_owned() });
                let advice = nearest(name, NAMES.map(|(name, _)| name));
                refuse!("data `{text}` is not known, expected one of {}{advice}", known.join(", "))
            }
        }
    }
}

/// How a source with a path is written.
fn example(name: &str) -> &'static str {
    match name {
        "cifar10" => "cifar10:data/cifar-10-batches-bin",
        "cifar100" => "cifar100:data/cifar-100-binary",
        "mnist" => "mnist:data/mnist",
        _ => "npz:data/images.npz",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_parsed_and_saved() {
        for text in [
            "digits",
            "mnist1d",
            "cifar-like",
            "cifar-like:300,0",
            "cifar10:some folder",
            "cifar100:/a/b",
            "mnist:.",
            "npz:c:d.npz",
        ] {
            let source: Source = text.parse().unwrap();
            assert_eq!(source.to_string(), text);
            let json = serde_json::to_string(&source).unwrap();
            assert_eq!(serde_json::from_str::<Source>(&json).unwrap(), source, "{json}");
            let kind = format!("{{\"kind\":\"{}\"", text.split(':').next().unwrap());
            assert!(json.starts_with(&kind), "{json}");
        }
        assert_eq!(Source::default(), "digits".parse().unwrap());
        assert_eq!(serde_json::from_str::<Source>(r#"{"kind":"cifar-like"}"#).unwrap(), Source::cifar_like());
        assert!(serde_json::from_str::<Source>(r#"{"kind":"cifar10","path":"a","seed":1}"#).is_err());
    }

    #[test]
    fn wrong_names_are_one_line_with_advice() {
        for (text, want) in [
            ("cifar1O:a", "expected one of digits, mnist1d, cifar-like, cifar10:PATH, cifar100:PATH, mnist:PATH, npz:PATH"),
            ("cifar1O:a", "did you mean `cifar10`?"),
            ("cifarlike", "did you mean `cifar-like`?"),
            ("digit", "did you mean `digits`?"),
            ("", "data `` is not known"),
            ("cifar10", "a path is missing; write cifar10:data/cifar-10-batches-bin"),
            ("cifar100:", "a path is missing; write cifar100:data/cifar-100-binary"),
            ("mnist", "a path is missing; write mnist:data/mnist"),
            ("npz:", "a path is missing; write npz:data/images.npz"),
            ("digits:a", "nothing follows this name; write digits"),
            ("cifar-like:10", "write cifar-like:10000,2000"),
            ("cifar-like:10,-1", "write cifar-like:10000,2000"),
        ] {
            let line = text.parse::<Source>().unwrap_err().to_string();
            assert!(line.contains(want) && !line.contains('\n'), "{text}: {line}\nexpected {want}");
        }
    }

    #[test]
    fn names_say_what_was_done_to_the_data() {
        let name = |text: &str| text.parse::<Source>().unwrap().name();
        assert_eq!(name("cifar10:nowhere/cifar10"), "CIFAR-10");
        assert_eq!(name("cifar10:nowhere/cifar10-jpegq75"), "CIFAR-10 (JPEG q75)");
        assert_eq!(name("cifar10:nowhere/JPEGQ75/cifar-10-batches-bin"), "CIFAR-10 (JPEG q75)");
        assert_eq!(name("cifar100:nowhere/jpegquality"), "CIFAR-100");
        assert_eq!(name("mnist:nowhere/mnist"), "MNIST");
        assert_eq!(name("mnist:nowhere/fashion-mnist"), "Fashion-MNIST");
        assert_eq!(name("npz:nowhere/mine.npz"), "mine.npz");
        let folder = tempfile::tempdir().unwrap();
        for file in ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"] {
            std::fs::write(folder.path().join(file), b"").unwrap();
        }
        assert_eq!(name(&format!("mnist:{}", folder.path().display())), "MNIST (one file, split 9:1)");
    }
}

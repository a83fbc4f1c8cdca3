//! Data sets: drawn by a recipe, or arrays of the user's.

mod features;
pub mod images;
pub mod npz;
mod published;
mod support;
pub(crate) mod teacher;

use std::path::{Path, PathBuf};

use rand::RngExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Result, refuse};
use crate::rng::{self, RandomState, Stream};
pub use features::Features;
use npz::Npz;
pub use published::Published;
pub use support::Target;
pub use teacher::Teacher;

/// Where the data come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Data {
    /// x ~ N(0, I_d), y = x·β* without noise, β* = |z|/‖z‖ with z ~ N(0, I_d) cut to its first `support` entries.
    SparseRegression {
        /// Training samples.
        n: usize,
        /// Features.
        d: usize,
        /// Non-zero entries of β*.
        support: usize,
        /// Test samples.
        test: usize,
        /// Which generator draws x, x_test and z, in this order.
        generator: Generator,
        /// Its seed; NumPy's has 32 bits.
        seed: u64,
    },
    /// One feature: x uniform on [x_min, x_max], y = θ*²·x without noise, no test set.
    Quadratic {
        /// Training samples.
        n: usize,
        /// Smallest input.
        x_min: f64,
        /// Largest input.
        x_max: f64,
        /// θ*.
        theta_star: f64,
        /// Seed of our data stream.
        seed: u64,
    },
    /// x ~ N(0, I_d), columns from `support` on centred, and a target of the first `support` features; every row twice, with labels
    /// target ± noise·N(0, 1). No test set.
    Support {
        /// Rows drawn; half the training samples.
        n: usize,
        /// Features.
        d: usize,
        /// Features that the target depends on.
        support: usize,
        /// The target.
        target: Target,
        /// Standard deviation of the labels' noise.
        noise: f64,
        /// Whether the other columns are made orthogonal to the first ones and to the target.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        decorrelated: bool,
        /// Seed of our data stream.
        seed: u64,
    },
    /// One feature x ~ N(0, 1) divided by its root mean square, and every label 1/mean x: least squares has the slope 1.
    Slope {
        /// Training samples.
        n: usize,
        /// Which generator draws x.
        generator: Generator,
        /// Its seed; NumPy's has 32 bits.
        seed: u64,
    },
    /// Samples written out.
    Listed {
        /// Features.
        d: usize,
        /// Inputs, row by row.
        x: Vec<f64>,
        /// Labels, one per row.
        y: Vec<f64>,
        /// Inputs from this one on do not matter to the target.
        support: usize,
    },
    /// x ~ N(0, I_d) divided by its norm, labels by a random ReLU network without noise.
    TeacherStudent {
        /// Training samples.
        n: usize,
        /// Features.
        d: usize,
        /// Test samples.
        test: usize,
        /// The network's law.
        teacher: Teacher,
        /// Seed of our data stream.
        seed: u64,
    },
    /// A paper's own arrays, with the initial parameters and the sample order of its replica.
    Published {
        /// Whose.
        figure: Published,
    },
    /// What the figure itself draws, by the law that its file states; it simulates its runs itself too.
    Own {
        /// Samples; 0: every iteration draws new ones.
        n: usize,
        /// Features.
        d: usize,
    },
    /// Images with class labels.
    Images {
        /// Where they come from.
        source: images::Source,
        /// The first so many for training; all without it.
        #[serde(default)]
        train: Option<usize>,
        /// The same for testing.
        #[serde(default)]
        test: Option<usize>,
        /// Seed of our data stream, for images that are drawn.
        seed: u64,
        /// Only images of these classes, which become 0, 1, ...; none: all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        only: Vec<u32>,
        /// What is learnt of them.
        #[serde(default)]
        labels: Labels,
    },
    /// What a trained residual network makes of images.
    Features(Features),
    /// Arrays `x`, `y` (or `beta_star`), optionally `x_test`, `y_test`, of a .npz file.
    Npz {
        /// The file.
        path: PathBuf,
    },
}

/// What targets say of an image's class c.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Labels {
    /// c.
    #[default]
    Classes,
    /// One number per class: 1 at c, 0 elsewhere.
    OneHot,
}

/// Random generators that data are drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generator {
    /// NumPy's legacy `RandomState`: the papers' own data, bit for bit.
    Numpy,
    /// Our data stream.
    Xoshiro,
}

impl Generator {
    /// Standard normal numbers from this generator, so many at a time.
    fn normals(self, seed: u64) -> Box<dyn FnMut(usize) -> Vec<f64>> {
        match self {
            Generator::Numpy => {
                // `check` refuses seeds of more bits.
                let mut state = RandomState::new(seed as u32);
                Box::new(move |count| filled(count, |values| state.standard_normals(values)))
            }
            Generator::Xoshiro => {
                let mut stream = rng::sequential(seed, Stream::Data);
                Box::new(move |count| filled(count, |values| rng::standard_normals(&mut stream, values)))
            }
        }
    }
}

/// 16 GiB of f64: more would only be met by the operating system's own end of the process.
const MAX_NUMBERS: usize = 1 << 31;

/// Samples of a problem, in f64.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dataset {
    /// Features.
    pub d: usize,
    /// Training inputs, n x d.
    pub x: Vec<f64>,
    /// Training targets, n, or n x outputs.
    pub y: Vec<f64>,
    /// Test inputs, a multiple of d; may be empty.
    pub x_test: Vec<f64>,
    /// Test targets; empty if there is no test loss.
    pub y_test: Vec<f64>,
    /// β*, d entries, of a linear teacher, where it is known.
    pub teacher: Option<Vec<f64>>,
    /// First-layer weights of a teacher network, rows of d, where they are known.
    pub teacher_rows: Option<Vec<f64>>,
    /// Inputs from this one on do not matter to the target, where that is known.
    pub support: Option<usize>,
    /// Initial parameters that were published with the data.
    pub init: Option<Vec<f64>>,
    /// Sample order that was published with the data.
    pub order: Option<Vec<u32>>,
    /// Rows, columns and channels, if inputs are images; targets are their classes.
    pub image: Option<[usize; 3]>,
    /// Classes, if targets are classes.
    pub classes: Option<usize>,
}

impl Dataset {
    /// Images and their classes.
    fn of_images(set: images::ImageSet, labels: Labels) -> Dataset {
        let wide = |pixels: &[f32]| pixels.iter().map(|&pixel| f64::from(pixel)).collect();
        let classes = |of: &[u32]| match labels {
            Labels::Classes => of.iter().map(|&label| f64::from(label)).collect(),
            Labels::OneHot => {
                let one_hot = |&label: &u32| (0..set.classes).map(move |class| f64::from(u8::from(class == label as usize)));
                of.iter().flat_map(one_hot).collect()
            }
        };
        Dataset {
            d: set.image_len(),
            x: wide(&set.train.pixels),
            y: classes(&set.train.labels),
            x_test: wide(&set.test.pixels),
            y_test: classes(&set.test.labels),
            image: Some([set.height, set.width, set.channels]),
            classes: Some(set.classes),
            ..Dataset::default()
        }
    }

    /// Training samples.
    pub fn n(&self) -> usize {
        self.x.len() / self.d.max(1)
    }

    /// Targets per sample.
    pub fn outputs(&self) -> usize {
        self.y.len() / self.n().max(1)
    }

    /// Up to `count` inputs to take the NTK on: of one feature, uniform between the training inputs; else the first of the
    /// test set.
    pub fn fresh_inputs(&self, count: usize) -> Vec<f64> {
        if self.d > 1 {
            return self.x_test[..self.x_test.len().min(count * self.d)].to_vec();
        }
        let least = self.x.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut stream = rng::sequential(0, Stream::Data);
        (0..count).map(|_| least + (most - least) * stream.random::<f64>()).collect()
    }

    /// SHA-256 of all numbers, as 16 hexadecimal digits.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for values in [&self.x, &self.y, &self.x_test, &self.y_test] {
            values.iter().for_each(|value| hasher.update(value.to_le_bytes()));
        }
        hasher.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// From a .npz file: `x` n x d, `y` n (or n x outputs) or `beta_star` d, optionally `x_test` m x d, with `y_test` m or `beta_star` for a test
    /// loss. Targets that are given win over `beta_star`.
    ///
    /// # Errors
    /// If an array is missing, has another shape or holds a number that is not finite.
    pub fn from_npz(npz: &Npz) -> Result<Dataset> {
        let x = npz.required("x", &[0, 0])?;
        let (n, d) = (x.shape[0], x.shape[1]);
        let teacher = npz.optional("beta_star", &[d])?;
        let outputs = match npz.shape("y") {
            Some(&[_, outputs]) => Some(outputs),
            _ => None,
        };
        let targets = |name: &str, x: &npz::Array| -> Result<Option<Vec<f64>>> {
            // One target per sample may be written as n or as n x 1.
            let column = match (npz.shape(name), outputs) {
                (Some([_, _]), _) => Some(outputs.unwrap_or(1)),
                (_, Some(outputs)) if outputs != 1 => Some(outputs),
                _ => None,
            };
            let shape: Vec<usize> = [x.shape[0]].into_iter().chain(column).collect();
            let given = npz.optional(name, &shape)?.map(|y| y.values.clone());
            Ok(given.or_else(|| teacher.map(|beta| products(&x.values, &beta.values))))
        };
        let Some(y) = targets("y", x)? else {
            let at = npz.path().display();
            return refuse!("{at}: neither `y` [{n}] nor `beta_star` [{d}] is there; save one of them");
        };
        let (x_test, y_test) = match npz.optional("x_test", &[0, d])? {
            Some(x_test) => (x_test.values.clone(), targets("y_test", x_test)?.unwrap_or_default()),
            None if npz.shape("y_test").is_some() => {
                return refuse!("{}: `y_test` is there without `x_test`; save both or neither", npz.path().display());
            }
            None => (Vec::new(), Vec::new()),
        };
        let teacher = teacher.map(|beta| beta.values.clone());
        Ok(Dataset { d, x: x.values.clone(), y, x_test, y_test, teacher, ..Dataset::default() })
    }
}

impl Data {
    /// The first so many images of a source, and their classes; seed 0.
    pub fn images(source: images::Source, train: Option<usize>, test: Option<usize>) -> Data {
        Data::Images { source, train, test, seed: 0, only: Vec::new(), labels: Labels::Classes }
    }

    /// Refuses sizes that make no data set.
    ///
    /// # Errors
    /// If a size is zero, the support is larger than d, a seed has too many bits or a range is empty.
    pub fn check(&self) -> Result<()> {
        let (n, d, test) = match *self {
            Data::SparseRegression { n, d, test, .. } => (n, d, test),
            Data::Quadratic { n, .. } => (n, 1, 0),
            Data::Support { n, d, .. } => (n.saturating_mul(2), d, 0),
            Data::TeacherStudent { n, d, test, .. } => (n, d, test),
            Data::Slope { n, .. } => (n, 1, 0),
            Data::Listed { d, ref x, ref y, .. }
                if x.len() != d * y.len() || x.iter().chain(y).any(|value| !value.is_finite()) =>
            {
                return refuse!(
                    "data: {} numbers in x and {} labels, expected d = {d} finite numbers per label",
                    x.len(),
                    y.len()
                );
            }
            Data::Listed { d, ref y, .. } => (y.len(), d, 0),
            // Without samples of its own it has one per iteration.
            Data::Own { n, d } => (n.max(1), d, 0),
            Data::Images { train: Some(0), .. } => {
                return refuse!("data.train is 0, expected at least 1 image; null takes all");
            }
            Data::Features(ref features) => return features.check(),
            Data::Npz { .. } | Data::Published { .. } | Data::Images { .. } => return Ok(()),
        };
        if n == 0 || d == 0 {
            return refuse!("data: n is {n} and d is {d}, expected at least 1 each");
        }
        if n.checked_add(test).and_then(|samples| samples.checked_mul(d)).is_none_or(|numbers| numbers > MAX_NUMBERS) {
            return refuse!(
                "data: ({n} + {test}) samples of {d} features are too many, expected at most {MAX_NUMBERS} numbers; make n, test or d smaller"
            );
        }
        match *self {
            Data::SparseRegression { support, .. } if !(1..=d).contains(&support) => {
                refuse!("data.support is {support}, expected 1 to d = {d} non-zero entries of the teacher")
            }
            Data::Support { support, .. } | Data::Listed { support, .. } if support > d => {
                refuse!("data.support is {support}, expected at most d = {d} features that the target depends on")
            }
            Data::TeacherStudent { ref teacher, .. } if !teacher.is_drawable() => {
                refuse!("data.teacher is {teacher:?}, expected hidden widths of 1 to {} each", teacher::MAX_WIDTH)
            }
            Data::Support { noise, .. } if !(noise.is_finite() && noise >= 0.0) => {
                refuse!("data.noise is {noise}, expected a finite number >= 0")
            }
            Data::SparseRegression { generator: Generator::Numpy, seed, .. }
            | Data::Slope { generator: Generator::Numpy, seed, .. }
                if u32::try_from(seed).is_err() =>
            {
                refuse!("data.seed is {seed}, expected at most {} with data.generator = numpy; or take xoshiro", u32::MAX)
            }
            Data::Quadratic { x_min, x_max, theta_star, .. }
                if !(0.0 < x_min && x_min <= x_max && x_max.is_finite() && 0.0 < theta_star && theta_star.is_finite()) =>
            {
                refuse!(
                    "data: x_min = {x_min}, x_max = {x_max} and theta_star = {theta_star}, expected finite numbers with 0 < x_min <= x_max and 0 < theta_star"
                )
            }
            _ => Ok(()),
        }
    }

    /// Whether the figure draws them, and simulates its runs, itself.
    pub fn is_own(&self) -> bool {
        matches!(self, Data::Own { .. })
    }

    /// Whether the paper's replica's start and order come with the data.
    pub fn is_published(&self) -> bool {
        matches!(self, Data::Published { .. })
    }

    /// A short name for titles and meta.json.
    pub fn name(&self) -> String {
        match self {
            Data::SparseRegression { n, d, support, .. } => format!("sparse regression, n = {n}, d = {d}, r = {support}"),
            Data::Quadratic { n, x_min, x_max, theta_star, .. } => {
                format!("quadratic toy, θ* = {theta_star}, n = {n} inputs in [{x_min}, {x_max}]")
            }
            Data::TeacherStudent { n, d, teacher, .. } => {
                format!("teacher-student, {} hidden neurons, n = {n}, d = {d}", teacher.neurons())
            }
            Data::Support { n, d, support, target, noise, .. } => {
                let target = format!("{target:?}").to_lowercase();
                format!("{target} target of {support} of {d} features, n = 2 x {n}, labels ± {noise}·N(0, 1)")
            }
            Data::Slope { n, .. } => format!("one feature, slope 1, n = {n}"),
            Data::Listed { d, y, .. } => format!("{} samples of {d} features", y.len()),
            Data::Own { n: 0, d } => format!("new samples of {d} features in every iteration"),
            Data::Own { n, d } => format!("{n} samples of {d} features"),
            Data::Published { figure } => figure.name().to_owned(),
            Data::Images { source, train, only, .. } => {
                let classes = if only.is_empty() { String::new() } else { format!(", classes {}", joined(only)) };
                let images = train.map_or(String::new(), |train| format!(", {train} images"));
                format!("{}{classes}{images}", source.name())
            }
            Data::Features(features) => features.name(),
            Data::Npz { path } => path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
        }
    }

    /// The same recipe drawn anew from our data stream, of seed `seed` further than the recipe's; listed samples stay.
    ///
    /// # Errors
    /// If the data are arrays of a file: there is nothing to draw.
    pub fn redrawn(&self, seed: u64) -> Result<Data> {
        match self.clone() {
            Data::SparseRegression { n, d, support, test, seed: first, .. } => {
                let (generator, seed) = (Generator::Xoshiro, first.wrapping_add(seed));
                Ok(Data::SparseRegression { n, d, support, test, generator, seed })
            }
            Data::Quadratic { n, x_min, x_max, theta_star, seed: first } => {
                Ok(Data::Quadratic { n, x_min, x_max, theta_star, seed: first.wrapping_add(seed) })
            }
            Data::TeacherStudent { n, d, test, teacher, seed: first } => {
                Ok(Data::TeacherStudent { n, d, test, teacher, seed: first.wrapping_add(seed) })
            }
            Data::Support { n, d, support, target, noise, decorrelated, seed: first } => {
                Ok(Data::Support { n, d, support, target, noise, decorrelated, seed: first.wrapping_add(seed) })
            }
            Data::Slope { n, seed: first, .. } => {
                Ok(Data::Slope { n, generator: Generator::Xoshiro, seed: first.wrapping_add(seed) })
            }
            // A replica's own images would be another task; its start, order and augmentation are its own.
            Data::Listed { .. } | Data::Own { .. } | Data::Images { .. } | Data::Features(_) => Ok(self.clone()),
            Data::Npz { .. } | Data::Published { .. } => {
                refuse!("{}: arrays cannot be drawn anew for every seed; set seeds.own_data=false", self.name())
            }
        }
    }

    /// Draws or reads the data.
    ///
    /// # Errors
    /// If a file is missing or malformed.
    pub fn load(&self) -> Result<Dataset> {
        self.load_from(None)
    }

    /// The same, from images that were read before if they are these data's.
    ///
    /// # Errors
    /// As [`Data::load`].
    pub fn load_from(&self, loaded: Option<images::Loaded>) -> Result<Dataset> {
        match self {
            Data::Npz { path } => Dataset::from_npz(&Npz::read(Path::new(path))?),
            Data::Published { figure } => figure.load(),
            Data::Features(features) => features.load(loaded),
            Data::Images { source, train, test, seed, only, labels } => {
                let of_these = |loaded: &images::Loaded| (&loaded.source, loaded.seed, &loaded.only) == (source, *seed, only);
                let set = loaded.filter(of_these).map_or_else(|| images::Loaded::new(source, *seed, only), Ok)?.set;
                let (all, all_test) = (set.train.len(), set.test.len());
                Ok(Dataset::of_images(set.first(train.unwrap_or(all), test.unwrap_or(all_test))?, *labels))
            }
            Data::TeacherStudent { n, d, test, teacher, seed } => Ok(teacher::teacher_student(*n, *test, *d, teacher, *seed).0),
            Data::Support { n, d, support, target, noise, decorrelated, seed } => {
                Ok(support::draw((*n, *d), *support, *target, *noise, *decorrelated, *seed))
            }
            Data::Own { d, .. } => Ok(Dataset { d: *d, ..Dataset::default() }),
            Data::Listed { d, x, y, support } => {
                Ok(Dataset { d: *d, x: x.clone(), y: y.clone(), support: Some(*support), ..Dataset::default() })
            }
            Data::SparseRegression { n, d, support, test, generator, seed } => {
                let mut draw = generator.normals(*seed);
                let (x, x_test, mut beta) = (draw(n * d), draw(test * d), draw(*d));
                beta[*support..].fill(0.0);
                let norm = beta.iter().map(|z| z * z).sum::<f64>().sqrt();
                beta.iter_mut().for_each(|z| *z = z.abs() / norm);
                let (y, y_test) = (products(&x, &beta), products(&x_test, &beta));
                Ok(Dataset { d: *d, x, y, x_test, y_test, teacher: Some(beta), ..Dataset::default() })
            }
            Data::Slope { n, generator, seed } => {
                let mut x = generator.normals(*seed)(*n);
                let root = (x.iter().map(|x| x * x).sum::<f64>() / *n as f64).sqrt();
                x.iter_mut().for_each(|x| *x /= root);
                let label = *n as f64 / x.iter().sum::<f64>();
                Ok(Dataset { d: 1, x, y: vec![label; *n], ..Dataset::default() })
            }
            Data::Quadratic { n, x_min, x_max, theta_star, seed } => {
                let mut stream = rng::sequential(*seed, Stream::Data);
                let x: Vec<f64> = (0..*n).map(|_| x_min + (x_max - x_min) * stream.random::<f64>()).collect();
                let teacher = vec![theta_star * theta_star];
                Ok(Dataset { d: 1, y: products(&x, &teacher), x, teacher: Some(teacher), ..Dataset::default() })
            }
        }
    }
}

fn joined(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(" and ")
}

fn filled(count: usize, fill: impl FnOnce(&mut [f64])) -> Vec<f64> {
    let mut values = vec![0.0; count];
    fill(&mut values);
    values
}

/// x·β, row by row.
fn products(x: &[f64], beta: &[f64]) -> Vec<f64> {
    x.chunks_exact(beta.len()).map(|row| row.iter().zip(beta).map(|(x, beta)| x * beta).sum()).collect()
}

#[cfg(test)]
mod tests;

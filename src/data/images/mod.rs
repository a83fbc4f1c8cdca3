//! Images with class labels: embedded, drawn by a recipe, or read from files.
//!
//! A file that is cut short, too long, of another format or with labels out of range is refused in one line; no more of it is
//! read than its format allows.

mod arrays;
mod augment;
mod cifar;
mod cifar_like;
mod digits;
mod file;
mod idx;
mod label_noise;
mod mnist1d;
mod source;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::error::{Result, refuse};
use crate::rng::{Counter, Stream};

pub use augment::{Augment, augment};
pub use label_noise::ClassNoise;
pub use source::Source;

/// A training and a test set of images of one size.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSet {
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Numbers of a pixel: 1 of grey, 3 of red, green and blue.
    pub channels: usize,
    /// Classes: every label is below.
    pub classes: usize,
    /// Training images.
    pub train: Images,
    /// Test images; there may be none.
    pub test: Images,
}

/// Images with their classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Images {
    /// Pixels, n x height x width x channels, the last index fastest; in [0, 1], but for [`Source::Mnist1d`], whose numbers have
    /// mean 0 and variance 1.
    pub pixels: Vec<f32>,
    /// Classes, n of them.
    pub labels: Vec<u32>,
}

/// Images that were read, and what of: they need not be read again.
#[derive(Debug)]
pub struct Loaded {
    /// Where they come from.
    pub source: Source,
    /// Of the data stream.
    pub seed: u64,
    /// The classes that are left; of none, all.
    pub only: Vec<u32>,
    /// What there was.
    pub set: ImageSet,
}

impl Loaded {
    /// Reads or draws images, and keeps some classes.
    ///
    /// # Errors
    /// As [`Source::load`] and [`ImageSet::only`].
    pub fn new(source: &Source, seed: u64, only: &[u32]) -> Result<Loaded> {
        let set = source.load(seed)?.only(only)?;
        Ok(Loaded { source: source.clone(), seed, only: only.to_vec(), set })
    }
}

impl Images {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

impl ImageSet {
    /// Numbers of one image: height x width x channels.
    pub fn image_len(&self) -> usize {
        self.height.saturating_mul(self.width).saturating_mul(self.channels)
    }

    /// Refuses what is no data set.
    ///
    /// # Errors
    /// If a size is 0, there are no training images, pixels and labels do not fit each other, a pixel is not finite or a label is
    /// not below `classes`.
    pub fn check(&self) -> Result<()> {
        let ImageSet { height, width, channels, classes, train, test } = self;
        if [*height, *width, *channels, *classes, train.len()].contains(&0) {
            return refuse!(
                "images: {} of {height} x {width} x {channels} for training and {classes} classes, expected at least 1 each",
                train.len()
            );
        }
        if *classes == 1 {
            return refuse!("images: all have one class, expected at least 2: there is nothing to tell apart");
        }
        for (set, images) in [("training", train), ("test", test)] {
            let (n, numbers) = (images.len(), images.pixels.len());
            if self.image_len().checked_mul(n) != Some(numbers) {
                return refuse!(
                    "images: {numbers} pixels for {n} {set} labels, expected {n} images of {height} x {width} x {channels}"
                );
            }
            if let Some(place) = images.pixels.iter().position(|pixel| !pixel.is_finite()) {
                let (image, pixel) = (place / self.image_len(), images.pixels[place]);
                return refuse!("images: {set} image {image} holds {pixel}, expected finite pixels; clean the data");
            }
            if let Some(image) = images.labels.iter().position(|&label| label as usize >= *classes) {
                let label = images.labels[image];
                return refuse!("images: {set} image {image} has the label {label}, expected 0 to {}", classes - 1);
            }
        }
        Ok(())
    }

    /// The images of some classes alone, which become classes 0, 1, ... in the order given; of none given, all.
    ///
    /// # Errors
    /// If a class is not there or given twice, or none of the training images is left.
    pub fn only(mut self, classes: &[u32]) -> Result<ImageSet> {
        if classes.is_empty() {
            return Ok(self);
        }
        let doubled = |place: usize| classes[..place].contains(&classes[place]);
        if let Some(place) = (0..classes.len()).find(|&place| classes[place] as usize >= self.classes || doubled(place)) {
            let (class, most) = (classes[place], self.classes - 1);
            return refuse!("images: class {class} of data.only = {classes:?}, expected different classes from 0 to {most}");
        }
        let image = self.image_len();
        for images in [&mut self.train, &mut self.test] {
            let mut kept = Images::default();
            for (pixels, label) in images.pixels.chunks_exact(image).zip(&images.labels) {
                if let Some(place) = classes.iter().position(|class| class == label) {
                    kept.pixels.extend_from_slice(pixels);
                    kept.labels.push(place as u32);
                }
            }
            *images = kept;
        }
        self.classes = classes.len();
        self.check()?;
        Ok(self)
    }

    /// The first `train` training and the first `test` test images.
    ///
    /// # Errors
    /// If there are fewer, or `train` is 0.
    pub fn first(mut self, train: usize, test: usize) -> Result<ImageSet> {
        let (have_train, have_test) = (self.train.len(), self.test.len());
        if !(1..=have_train).contains(&train) || test > have_test {
            return refuse!(
                "images: asked for {train} to train and {test} to test, expected 1 to {have_train} and at most {have_test}: there are no more"
            );
        }
        let image = self.image_len();
        for (images, count) in [(&mut self.train, train), (&mut self.test, test)] {
            images.labels.truncate(count);
            images.pixels.truncate(count * image);
            images.pixels.shrink_to_fit();
        }
        Ok(self)
    }
}

/// A generator for everything random about one drawn image: xoshiro256++ whose state is words 8·item to 8·item + 7 of the data
/// stream, low bytes first.
fn generator(data: &Counter, item: u64) -> Xoshiro256PlusPlus {
    let mut state = [0; 32];
    for (bytes, position) in state.chunks_exact_mut(4).zip(8 * item..) {
        bytes.copy_from_slice(&data.u32_at(position).to_le_bytes());
    }
    Xoshiro256PlusPlus::from_seed(state)
}

/// The data stream of a seed.
fn data_stream(seed: u64) -> Counter {
    Counter::new(seed, Stream::Data)
}

/// Appends an image that is stored plane by plane, pixel by pixel.
pub(crate) fn push_planes<T: Copy, P>(planes: &[T], channels: usize, pixel: impl Fn(T) -> P, pixels: &mut Vec<P>) {
    let area = planes.len() / channels;
    pixels.extend((0..area).flat_map(|place| (0..channels).map(move |channel| planes[channel * area + place])).map(pixel));
}

/// A byte as a number in [0, 1].
fn unit(byte: u8) -> f32 {
    f32::from(byte) / 255.0
}

#[cfg(test)]
mod tests;

//! Drawn images for what is trained on CIFAR-10, where its files are not at hand.

use std::f64::consts::{FRAC_PI_2, TAU};

use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use super::{ImageSet, Images, data_stream, generator};
use crate::data::MAX_NUMBERS;
use crate::error::{Result, refuse};
use crate::rng::Counter;

const SIDE: usize = 32;
const CHANNELS: usize = 3;
const IMAGE: usize = SIDE * SIDE * CHANNELS;
const CLASSES: u32 = 10;
/// Directions of the gratings.
const DIRECTIONS: u32 = 5;
/// Blobs of an image.
const BLOBS: usize = 4;
/// Exponents of what is too dark to be seen: e^-12 is far below one level in 255.
const FAR: f64 = 12.0;
/// Where the test images' numbers start, whatever number there is to train.
const FIRST_TEST: u64 = 1_000_000_000_000;

/// Images of 32 x 32 in colour. Image k of either set is a function of the seed and k alone; of ten images in a row one is of each
/// class.
///
/// | what is seen | law |
/// | --- | --- |
/// | background | grey 1/2, a colour N(0, 0.1²) and a colour gradient, and the class's hue of strength 0.04 |
/// | grating | at 0°, 22.5°, 45°, 67.5° or 90° for class mod 5 (± N(0, 5°²), mirrored or not), wavelength 5 to 8 pixels, any phase, colour, place and strength |
/// | four blobs | discs (classes 0 to 4) or rings (5 to 9) of radius 2.5 to 4, bright or dark, anywhere |
/// | noise | N(0, 0.09²) per number; then everything is cut to [0, 1] |
///
/// Any phase, brightness and place: class means differ by the hue alone, so that linear classifiers do badly. The law of a class
/// is that of its mirror images, so that flips keep it.
///
/// # Errors
/// If there are none to train or more than fit.
pub(super) fn draw(train: usize, test: usize, seed: u64) -> Result<ImageSet> {
    let most = MAX_NUMBERS / IMAGE;
    if train == 0 || train.saturating_add(test) > most {
        return refuse!("cifar-like: {train} images to train and {test} to test, expected at least 1 and at most {most} in all");
    }
    let (train, test) = (images(train, 0, seed), images(test, FIRST_TEST, seed));
    Ok(ImageSet { height: SIDE, width: SIDE, channels: CHANNELS, classes: CLASSES as usize, train, test })
}

fn images(count: usize, first: u64, seed: u64) -> Images {
    let data = data_stream(seed);
    let labels: Vec<u32> = (first..).take(count).map(|item| class(&data, item)).collect();
    let mut pixels = vec![0.0; count * IMAGE];
    pixels.par_chunks_exact_mut(IMAGE).enumerate().for_each(|(index, pixels)| {
        paint(labels[index], Draws(generator(&data, first + index as u64)), pixels);
    });
    Images { pixels, labels }
}

fn class(data: &Counter, item: u64) -> u32 {
    data.permutation(item / u64::from(CLASSES), CLASSES).at((item % u64::from(CLASSES)) as u32)
}

/// Draws from one image's generator.
struct Draws<R>(R);

impl<R: Rng> Draws<R> {
    fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.0.random::<f64>()
    }

    fn normal(&mut self, deviation: f64) -> f64 {
        let normal: f64 = StandardNormal.sample(&mut self.0);
        deviation * normal
    }

    fn sign(&mut self) -> f64 {
        if self.0.random::<bool>() { 1.0 } else { -1.0 }
    }

    /// Per channel strength·(1 + N(0, 0.4²)).
    fn colour(&mut self, strength: f64) -> [f64; CHANNELS] {
        std::array::from_fn(|_| strength * (1.0 + self.normal(0.4)))
    }
}

/// Waves of brightness under a Gaussian window.
struct Grating {
    wave: [f64; 2],
    phase: f64,
    centre: [f64; 2],
    width: f64,
    colour: [f64; CHANNELS],
}

/// A disc or a ring.
struct Blob {
    centre: [f64; 2],
    radius: f64,
    ring: bool,
    colour: [f64; CHANNELS],
}

/// Draws an image of a class; rows go down, columns to the right.
fn paint<R: Rng>(class: u32, mut draws: Draws<R>, pixels: &mut [f32]) {
    let side = SIDE as f64;
    let hue = |channel: usize| 0.04 * libm::cos(TAU * (f64::from(class) / f64::from(CLASSES) + channel as f64 / CHANNELS as f64));
    let background: [f64; CHANNELS] = std::array::from_fn(|channel| 0.5 + hue(channel) + draws.normal(0.1));
    let gradient: [[f64; 2]; CHANNELS] = std::array::from_fn(|_| [draws.normal(0.1) / side, draws.normal(0.1) / side]);
    let grating = Grating::draw(class % DIRECTIONS, &mut draws);
    let blobs: [Blob; BLOBS] = std::array::from_fn(|_| Blob::draw(class >= DIRECTIONS, &mut draws));
    for (place, pixel) in pixels.chunks_exact_mut(CHANNELS).enumerate() {
        let [row, column] = [(place / SIDE) as f64, (place % SIDE) as f64];
        let brightness = grating.at(row, column);
        let shades = blobs.each_ref().map(|blob| blob.at(row, column));
        for (channel, value) in pixel.iter_mut().enumerate() {
            let [down, right] = gradient[channel];
            let ground = background[channel] + down * (row - side / 2.0) + right * (column - side / 2.0);
            let blobs: f64 = blobs.iter().zip(shades).map(|(blob, shade)| blob.colour[channel] * shade).sum();
            let sum = ground + grating.colour[channel] * brightness + blobs + draws.normal(0.09);
            *value = sum.clamp(0.0, 1.0) as f32;
        }
    }
}

impl Grating {
    fn draw<R: Rng>(direction: u32, draws: &mut Draws<R>) -> Grating {
        let angle = FRAC_PI_2 * f64::from(direction) / f64::from(DIRECTIONS - 1) + draws.normal(TAU * 5.0 / 360.0);
        let (sin, cos) = libm::sincos(draws.sign() * angle);
        let frequency = TAU / draws.between(5.0, 8.0);
        Grating {
            wave: [frequency * sin, frequency * cos],
            phase: draws.between(0.0, TAU),
            centre: [draws.between(8.0, 24.0), draws.between(8.0, 24.0)],
            width: draws.between(6.0, 9.0),
            colour: {
                let strength = draws.between(0.07, 0.2);
                draws.colour(strength)
            },
        }
    }

    fn at(&self, row: f64, column: f64) -> f64 {
        let [down, right] = [row - self.centre[0], column - self.centre[1]];
        let window = libm::exp(-(down * down + right * right) / (2.0 * self.width * self.width));
        window * libm::cos(self.wave[0] * down + self.wave[1] * right + self.phase)
    }
}

impl Blob {
    fn draw<R: Rng>(ring: bool, draws: &mut Draws<R>) -> Blob {
        Blob {
            centre: [draws.between(2.0, 30.0), draws.between(2.0, 30.0)],
            radius: draws.between(2.5, 4.0),
            ring,
            colour: {
                let strength = draws.sign() * draws.between(0.1, 0.25);
                draws.colour(strength)
            },
        }
    }

    fn at(&self, row: f64, column: f64) -> f64 {
        let [down, right] = [row - self.centre[0], column - self.centre[1]];
        let square = down * down + right * right;
        let exponent =
            if self.ring { (square.sqrt() - self.radius).powi(2) } else { (square / (self.radius * self.radius)).powi(2) };
        // Most of an image is far from a blob.
        if exponent > FAR { 0.0 } else { libm::exp(-exponent) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::images::tests::refused;

    #[test]
    fn an_image_depends_on_its_seed_and_number_alone() {
        let set = draw(60, 30, 5).unwrap();
        set.check().unwrap();
        assert_eq!((set.height, set.width, set.channels, set.classes), (32, 32, 3, 10));
        assert!(set.train.pixels.iter().all(|pixel| (0.0..=1.0).contains(pixel)));
        assert_eq!(draw(25, 20, 5).unwrap(), set.clone().first(25, 20).unwrap());
        let other = draw(60, 30, 6).unwrap();
        assert!(set.train.pixels != other.train.pixels && set.train.labels != other.train.labels);
        assert_ne!(set.train.pixels[..30 * IMAGE], set.test.pixels[..]);
        for ten in set.train.labels.chunks_exact(10).chain(set.test.labels.chunks_exact(10)) {
            let mut sorted = ten.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..CLASSES).collect::<Vec<_>>());
        }
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for threads in [1, 3] {
            assert_eq!(pool(threads).install(|| draw(60, 30, 5).unwrap()), set, "{threads} threads");
        }
    }

    #[test]
    fn sizes_are_limited() {
        draw(1, 0, 0).unwrap();
        for (train, test) in [(0, 10), (700_000, 0), (1, usize::MAX)] {
            refused(draw(train, test, 0), "cifar-like: ", "expected at least 1 and at most 699050 in all");
        }
    }

    /// The nearest class mean, of 1000 images, for 500 others.
    fn accuracy(features: impl Fn(&[f32]) -> Vec<f64>) -> f64 {
        let set = draw(1000, 500, 1).unwrap();
        let rows = |images: &Images| -> Vec<Vec<f64>> { images.pixels.chunks_exact(IMAGE).map(&features).collect() };
        let (train, test) = (rows(&set.train), rows(&set.test));
        let mean = |class: u32| -> Vec<f64> {
            let of_class = || train.iter().zip(&set.train.labels).filter(|(_, label)| **label == class);
            (0..train[0].len()).map(|k| of_class().map(|(row, _)| row[k]).sum::<f64>() / 100.0).collect()
        };
        let means: Vec<Vec<f64>> = (0..CLASSES).map(mean).collect();
        let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        let nearest = |row: &[f64]| (0..10).min_by(|&a, &b| distance(row, &means[a]).total_cmp(&distance(row, &means[b])));
        let right = test.iter().zip(&set.test.labels).filter(|(row, label)| nearest(row) == Some(**label as usize)).count();
        right as f64 / test.len() as f64
    }

    /// Filters of 9 x 9 that answer to waves: a direction, mirrored or not, at two phases each.
    fn filters() -> Vec<[f64; 81]> {
        let wave = |direction: u32, mirror: f64, phase: f64| {
            let (sin, cos) = (mirror * FRAC_PI_2 * f64::from(direction) / 4.0).sin_cos();
            let value = |k: usize| (TAU / 6.3 * (sin * (k / 9) as f64 + cos * (k % 9) as f64) + phase).cos();
            let mean = (0..81).map(value).sum::<f64>() / 81.0;
            std::array::from_fn(|k| value(k) - mean)
        };
        let variants = [(1.0, 0.0), (1.0, FRAC_PI_2), (-1.0, 0.0), (-1.0, FRAC_PI_2)];
        (0..DIRECTIONS).flat_map(|direction| variants.map(|(mirror, phase)| wave(direction, mirror, phase))).collect()
    }

    /// Shares of the directions in the squared responses: one layer of a convolutional net, by hand.
    fn energies(pixels: &[f32], filters: &[[f64; 81]]) -> Vec<f64> {
        let grey: Vec<f64> = pixels.chunks_exact(CHANNELS).map(|pixel| f64::from(pixel.iter().sum::<f32>())).collect();
        let response = |filter: &[f64; 81], (row, column): (usize, usize)| {
            (0..81).map(|k| filter[k] * grey[(row + k / 9) * SIDE + column + k % 9]).sum::<f64>()
        };
        let places = || (0..24).step_by(2).flat_map(|row| (0..24).step_by(2).map(move |column| (row, column)));
        let energy = |filter| places().map(|place| response(filter, place).powi(2)).sum::<f64>();
        let energies: Vec<f64> = filters.chunks_exact(4).map(|direction| direction.iter().map(energy).sum()).collect();
        let total: f64 = energies.iter().sum();
        energies.into_iter().map(|energy| energy / total).collect()
    }

    #[test]
    fn directions_are_seen_by_filters_and_not_by_a_linear_classifier() {
        let pixels = accuracy(|image| image.iter().map(|&pixel| f64::from(pixel)).collect());
        let filters = filters();
        let filters = accuracy(|image| energies(image, &filters));
        println!("nearest mean of pixels {pixels}, of filters {filters}");
        assert!(pixels <= 0.25, "{pixels}");
        // Filters of one wavelength tell directions, which are half of the class: 0.5 would be perfect.
        assert!(filters >= 0.33, "{filters}");
    }
}

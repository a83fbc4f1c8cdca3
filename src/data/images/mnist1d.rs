//! MNIST-1D: digits as signals (S. Greydanus and D. Kobak, "Scaling Down Deep Learning with MNIST-1D", ICML 2024).

use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

use super::{ImageSet, Images, data_stream, generator};

const CLASSES: u32 = 10;
const TRAIN: usize = 4000;
const ALL: usize = 5000;
/// Numbers of a signal.
const LENGTH: usize = 40;
/// Numbers of a template.
const KNOTS: usize = 12;
/// A signal while it is shifted and noise is added; the longest padded template.
const LONG: usize = 72;
/// Zeros behind a template: 36 to 60.
const PADDING: std::ops::RangeInclusive<usize> = 36..=60;
/// Shifts are 0 to 47.
const SHIFTS: usize = 48;
/// Factors are 1 ± half of this.
const SCALE: f64 = 0.4;
/// Slopes are ± half of this.
const SHEAR: f64 = 0.75;
/// Standard deviation of the noise around the template before it is smoothed.
const SMOOTH_NOISE: f64 = 0.25;
/// Standard deviation of the smoothing kernel, which is cut at four of them.
const SMOOTHING: f64 = 2.0;
/// Standard deviation of the noise everywhere.
const NOISE: f64 = 0.02;

/// The paper's strokes, one per digit, before they are standardised.
const TEMPLATES: [[f64; KNOTS]; CLASSES as usize] = [
    [5.0, 6.0, 6.5, 6.75, 7.0, 7.0, 7.0, 7.0, 6.75, 6.5, 6.0, 5.0],
    [5.0, 3.0, 3.0, 3.4, 3.8, 4.2, 4.6, 5.0, 5.4, 5.8, 5.0, 5.0],
    [5.0, 6.0, 6.5, 6.5, 6.0, 5.25, 4.75, 4.0, 3.5, 3.5, 4.0, 5.0],
    [5.0, 6.0, 6.5, 6.5, 6.0, 5.0, 5.0, 6.0, 6.5, 6.5, 6.0, 5.0],
    [5.0, 4.4, 3.8, 3.2, 2.6, 2.6, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0],
    [5.0, 3.0, 3.0, 3.0, 3.0, 5.0, 6.0, 6.5, 6.5, 6.0, 4.5, 5.0],
    [5.0, 4.0, 3.5, 3.25, 3.0, 3.0, 3.0, 3.0, 3.25, 3.5, 4.0, 5.0],
    [5.0, 7.0, 7.0, 6.6, 6.2, 5.8, 5.4, 5.0, 4.6, 4.2, 5.0, 5.0],
    [5.0, 4.0, 3.5, 3.5, 4.0, 5.0, 5.0, 4.0, 3.5, 3.5, 4.0, 5.0],
    [5.0, 4.0, 3.5, 3.5, 4.0, 5.0, 5.0, 5.0, 5.0, 4.7, 4.3, 5.0],
];

/// 4000 signals to train and 1000 to test, 500 of each digit in all, in random order; the published recipe, drawn by our
/// generators. All numbers together have mean 0 and variance 1.
///
/// A template has mean 0 and variance 1, then starts at 0 and is divided by 6. Zeros are put behind it; it is stretched to 72
/// numbers, scaled and shifted around the end. What is not template becomes smooth noise; white noise is added, and a slope.
/// Of this, 40 numbers are taken. Stretching and taking are by linear interpolation.
pub(super) fn draw(seed: u64) -> ImageSet {
    let data = data_stream(seed);
    let order = data.permutation(0, ALL as u32);
    let templates = TEMPLATES.map(template);
    let labels: Vec<u32> = (0..ALL as u32).map(|item| order.at(item) % CLASSES).collect();
    let signals = labels.iter().zip(0..).map(|(&label, item)| signal(&templates[label as usize], &mut generator(&data, item)));
    let mut numbers: Vec<f64> = signals.flatten().collect();
    standardise(&mut numbers);
    let mut train = Images { pixels: numbers.into_iter().map(|number| number as f32).collect(), labels };
    let test = Images { pixels: train.pixels.split_off(TRAIN * LENGTH), labels: train.labels.split_off(TRAIN) };
    ImageSet { height: 1, width: LENGTH, channels: 1, classes: CLASSES as usize, train, test }
}

fn template(mut knots: [f64; KNOTS]) -> [f64; KNOTS] {
    standardise(&mut knots);
    let first = knots[0];
    knots.map(|knot| (knot - first) / 6.0)
}

/// Mean 0 and variance 1.
fn standardise(numbers: &mut [f64]) {
    let n = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let deviation = (numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / n).sqrt();
    numbers.iter_mut().for_each(|number| *number = (*number - mean) / deviation);
}

fn signal<R: Rng>(template: &[f64; KNOTS], random: &mut R) -> Vec<f64> {
    let padded = KNOTS + random.random_range(PADDING);
    let scale = 1.0 + SCALE * (random.random::<f64>() - 0.5);
    let shift = random.random_range(0..SHIFTS);
    // Stretched, place p shows the template with its zeros at p · (padded - 1) / (LONG - 1).
    let stretch = (padded - 1) as f64 / (LONG - 1) as f64;
    let knot = |index: usize| template.get(index).copied().unwrap_or(0.0);
    let mut noise = || -> f64 { StandardNormal.sample(random) };
    let smooth = smoothed(&std::array::from_fn(|_| SMOOTH_NOISE * noise()));
    let mut long = [0.0; LONG];
    for (place, smooth) in (0..LONG).zip(smooth) {
        // What is shifted out at the end comes in at the start.
        let at = ((place + LONG - shift) % LONG) as f64 * stretch;
        let (index, part) = (at as usize, at.fract());
        let stroke = scale * (knot(index) * (1.0 - part) + knot(index + 1) * part);
        let value = if at < KNOTS as f64 { stroke } else { smooth };
        long[place] = value + NOISE * noise();
    }
    let slope = SHEAR * (random.random::<f64>() - 0.5);
    for (value, place) in long.iter_mut().zip(0..) {
        *value -= slope * (f64::from(place) / (LONG - 1) as f64 - 0.5);
    }
    let take = |place: usize| {
        let at = place as f64 * (LONG - 1) as f64 / (LENGTH - 1) as f64;
        let (index, part) = ((at as usize).min(LONG - 2), at - at.floor().min((LONG - 2) as f64));
        long[index] * (1.0 - part) + long[index + 1] * part
    };
    (0..LENGTH).map(take).collect()
}

/// A Gaussian filter; the signal is continued by its mirror image.
fn smoothed(signal: &[f64; LONG]) -> [f64; LONG] {
    const RADIUS: isize = (4.0 * SMOOTHING) as isize;
    let weight = |offset: isize| libm::exp(-0.5 * (offset as f64 / SMOOTHING).powi(2));
    let total: f64 = (-RADIUS..=RADIUS).map(weight).sum();
    let mirrored = |place: isize| match place {
        ..0 => (-1 - place) as usize,
        _ if place >= LONG as isize => 2 * LONG - 1 - place as usize,
        _ => place as usize,
    };
    std::array::from_fn(|place| {
        let term = |offset| weight(offset) * signal[mirrored(place as isize + offset)];
        (-RADIUS..=RADIUS).map(term).sum::<f64>() / total
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_standardised_and_belong_to_their_seed() {
        let set = draw(3);
        set.check().unwrap();
        assert_eq!((set.height, set.width, set.channels, set.train.len(), set.test.len()), (1, 40, 1, 4000, 1000));
        let numbers = || set.train.pixels.iter().chain(&set.test.pixels).map(|&number| f64::from(number));
        let mean = numbers().sum::<f64>() / 200_000.0;
        let variance = numbers().map(|number| number * number).sum::<f64>() / 200_000.0;
        assert!(mean.abs() <= 1e-6 && (variance - 1.0).abs() <= 1e-5, "{mean} {variance}");
        let labels = || set.train.labels.iter().chain(&set.test.labels);
        assert!((0..CLASSES).all(|class| labels().filter(|&&label| label == class).count() == 500));
        assert_ne!(set.train.labels[..20], set.train.labels[20..40]);
        assert_eq!(set, draw(3));
        assert_ne!(set.train, draw(4).train);
    }

    /// Against scipy.ndimage.gaussian_filter(x, 2) of an impulse at place 1.
    #[test]
    fn smoothing_is_scipys() {
        let mut impulse = [0.0; LONG];
        impulse[1] = 1.0;
        let expected = [
            0.2970232486501394,
            0.26423458446947246,
            0.20303171685208918,
            0.1297517941281349,
            0.06697589977732399,
            0.027432306987805636,
            0.008831220652358505,
            0.002215963172596555,
            0.0004363490205067883,
            6.691628957263553e-05,
            0.0,
            0.0,
        ];
        for (got, want) in smoothed(&impulse).into_iter().zip(expected) {
            assert!((got - want).abs() <= 1e-12, "{got} {want}");
        }
    }

    /// The first template, by NumPy.
    #[test]
    fn templates_are_the_published_ones() {
        let expected = [
            0.0,
            0.23693955110363696,
            0.35540932665545544,
            0.4146442144313647,
            0.4738791022072739,
            0.4738791022072739,
            0.4738791022072739,
            0.4738791022072739,
            0.4146442144313647,
            0.35540932665545544,
            0.23693955110363696,
            0.0,
        ];
        for (got, want) in template(TEMPLATES[0]).into_iter().zip(expected) {
            assert!((got - want).abs() <= 1e-12, "{got} {want}");
        }
    }
}

//! Covariances of the pixels of images: what Figures 6, 7 and 17 share.
//!
//! The paper takes MNIST, CIFAR-10 and CIFAR-100, their images as they are in [0, 1], centred, and XᵀX without a factor; of
//! colours it says "the average over channels", its code takes the first channel of CIFAR-10: both are computed. Ours are the
//! 8x8 digits and drawn images in colour (smoke scale has the digits alone), and with `--data` the user's.
//!
//! Nothing is trained. Seed 0 takes every image once; every other seed takes as many, drawn with replacement (the bootstrap), so
//! that claims are counted over what the choice of images leaves open.

use crate::claims::{Evidence, each};
use crate::data::images::Source;
use crate::data::{Data, Dataset, Labels};
use crate::error::{Result, refuse};
use crate::experiments::{Figure, simulated};
use crate::metrics::{rank, weights};
use crate::nets::Architecture;
use crate::optim::Optimiser;
use crate::rng::{Counter, Stream};
use crate::run::{Results, Simulated};
use crate::schedule::Schedule;
use crate::spec::{Metric, Panel, Run, Scale, Seeds, Spec};
use crate::train::Progress;

use super::spectra;

/// What the one number of a pixel is: the mean over its channels, or the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Grey,
    First,
}

impl Level {
    pub(super) const BOTH: [Level; 2] = [Level::Grey, Level::First];

    pub(super) fn name(self) -> &'static str {
        match self {
            Level::Grey => "grey",
            Level::First => "first",
        }
    }

    /// The level of a pixel.
    fn of(self, channels: &[f64]) -> f64 {
        match self {
            Level::Grey => channels.iter().sum::<f64>() / channels.len() as f64,
            Level::First => channels.first().copied().unwrap_or(f64::NAN),
        }
    }
}

/// What is measured of the eigenvalues λ of XᵀX, of either [`Level`].
const QUANTITIES: [&str; 6] = ["spikes", "near_zero", "sizeable", "rank", "effective_rank", "stable_rank"];

/// The paper's size of eigenvalues and the images that it comes of: λ grows with their number.
const SIZEABLE: (f64, f64) = (1e4, 50_000.0);

/// A spec of both data sets whose runs the figure simulates.
pub(super) fn declare(figure: &Figure, title: &str, scale: Scale, metrics: &[String]) -> Spec {
    let (drawn, seeds) = match scale {
        Scale::Smoke => (None, 1),
        Scale::Laptop => (Some(5_000), 10),
        Scale::Paper => (Some(50_000), 20),
    };
    let drawn = drawn.map(|train| Source::CifarLike { train, test: 0 });
    let data = |source: Source| Data::images(source, None, Some(0));
    let run = |(name, label, source): (&str, &str, Source)| {
        let run = Run::new(name, label, 1, Schedule::Constant { peak: 1.0 }, Optimiser::gd());
        Run { data: Some(data(source)), ..run }
    };
    let sets = [Some(("first", "first data set", Source::Digits)), drawn.map(|source| ("second", "second data set", source))];
    // There is no network.
    let net = Architecture::Diagonal { u: 0.0, v: 0.0 };
    Spec {
        seeds: Seeds { paper: false, own: (0..seeds).collect(), own_data: false },
        runs: sets.into_iter().flatten().map(run).collect(),
        metrics: metrics.iter().map(|name| Metric::always(name)).collect(),
        panels: metrics.first().map(|name| Panel::new(name, name, false)).into_iter().collect(),
        ..simulated(figure, title, scale, data(Source::Digits), net, &[])
    }
}

/// The metrics of Figures 6 and 7: [`QUANTITIES`] of both levels, then channels and classes.
pub(super) fn metrics() -> Vec<String> {
    let of = |level: Level| QUANTITIES.map(|quantity| format!("{}_{quantity}", level.name()));
    Level::BOTH.into_iter().flat_map(of).chain(["channels", "classes"].map(str::to_owned)).collect()
}

/// Refuses runs that are not of images with their classes.
pub(super) fn check(spec: &Spec) -> Result<()> {
    let fits = |run: &&Run| matches!(spec.data_of(run), Data::Images { labels: Labels::Classes, .. });
    match spec.runs.iter().find(|run| !fits(run)) {
        Some(run) => {
            let name = spec.data_of(run).name();
            refuse!("runs.{}: data of {name}, expected the kind images, with labels=classes", run.name)
        }
        None => Ok(()),
    }
}

/// The runs, of each data set the first.
pub(super) fn sets(spec: &Spec) -> impl Iterator<Item = &Run> {
    let is_first =
        |&(place, run): &(usize, &Run)| spec.runs[..place].iter().all(|other| spec.data_of(other) != spec.data_of(run));
    spec.runs.iter().enumerate().filter(is_first).map(|(_, run)| run)
}

/// The images of a seed, by their places.
pub(super) fn drawn(n: usize, seed: u64) -> Vec<usize> {
    let stream = Counter::new(seed, Stream::Order);
    let place = |k: usize| if seed == 0 { k } else { stream.below_at(k as u64, n as u32) as usize };
    (0..n).map(place).collect()
}

/// Rows, columns and channels of images.
///
/// # Errors
/// If the data are none.
pub(super) fn image(data: &Dataset) -> Result<[usize; 3]> {
    match data.image {
        Some(image) => Ok(image),
        None => refuse!("data: no images; set data.kind=images"),
    }
}

/// Levels of the images at these places, image by image, less the mean of their pixel.
pub(super) fn centred(data: &Dataset, places: &[usize], level: Level) -> Result<Vec<f64>> {
    let [rows, columns, channels] = image(data)?;
    let images = places.iter().flat_map(|&place| data.x[place * data.d..][..data.d].chunks_exact(channels));
    let mut levels: Vec<f64> = images.map(|pixel| level.of(pixel)).collect();
    let mut means = vec![0.0; rows * columns];
    for image in levels.chunks_exact(means.len()) {
        means.iter_mut().zip(image).for_each(|(mean, level)| *mean += level / places.len() as f64);
    }
    for image in levels.chunks_exact_mut(means.len()) {
        image.iter_mut().zip(&means).for_each(|(level, mean)| *level -= mean);
    }
    Ok(levels)
}

/// XᵀX of centred levels: pixels x pixels.
pub(super) fn covariance(data: &Dataset, places: &[usize], level: Level) -> Result<Vec<f64>> {
    let [rows, columns, _] = image(data)?;
    weights::gram(places.len(), rows * columns, &centred(data, places, level)?)
}

/// [`QUANTITIES`] of eigenvalues, descending, of so many images.
fn quantities(eigenvalues: &[f64], images: usize) -> [f64; QUANTITIES.len()] {
    let (sum, largest) = (eigenvalues.iter().sum::<f64>(), eigenvalues.first().copied().unwrap_or(f64::NAN));
    let above = |limit: f64| eigenvalues.iter().filter(|&&value| value > limit).count() as f64;
    let sizeable = above(SIZEABLE.0 * images as f64 / SIZEABLE.1) / eigenvalues.len() as f64;
    let stable = eigenvalues.iter().map(|value| (value / largest).powi(2)).sum();
    [spectra::spikes(eigenvalues) as f64, spectra::near_zero(eigenvalues), sizeable, above(0.1), above(0.01 * sum), stable]
}

/// The metrics of Figures 6 and 7; what is kept are the eigenvalues of both levels.
pub(super) fn simulate(spec: &Spec, run: &Run, seed: u64, _: &dyn Progress) -> Result<Simulated> {
    let data = spec.data_of(run).load()?;
    let [rows, columns, channels] = image(&data)?;
    let (places, d) = (drawn(data.n(), seed), rows * columns);
    let (mut values, mut all) = (Vec::new(), Vec::new());
    for level in Level::BOTH {
        // Symmetric and without negative eigenvalues: they are the singular values. Of one channel both levels are the same.
        let eigenvalues = match level {
            Level::First if channels == 1 => all.clone(),
            _ => rank::singular_values(d, d, &covariance(&data, &places, level)?)?,
        };
        values.extend(quantities(&eigenvalues, places.len()));
        all.extend(eigenvalues);
    }
    values.extend([channels as f64, data.classes.unwrap_or(0) as f64]);
    Ok(Simulated::once(values, all))
}

/// A question about the metrics of every data set, of those with so many channels if any number is asked for.
pub(super) fn asked(
    spec: &Spec,
    results: &Results,
    channels: Option<usize>,
    what: &str,
    question: impl Fn(&dyn Fn(&str) -> Option<f64>) -> Option<(bool, f64)>,
) -> Vec<Evidence> {
    let of = |run: &Run| {
        each(results, &format!("{}: {what}", spec.data_of(run).name()), &run.name, |of, replica| {
            let value = |metric: &str| of.last(replica, metric);
            let wanted = channels.is_none_or(|channels| value("channels") == Some(channels as f64));
            if wanted { question(&value) } else { None }
        })
    };
    let mut evidence: Vec<Evidence> = sets(spec).map(of).filter(|evidence| evidence.seeds > 0).collect();
    if evidence.is_empty() {
        evidence.push(Evidence::grid(what, 0, 0, "no such images"));
    }
    evidence
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three images of two pixels in two channels.
    fn data() -> Dataset {
        let x = vec![1.0, 3.0, 0.0, 0.0, 3.0, 5.0, 6.0, 0.0, 5.0, 1.0, 0.0, 6.0];
        Dataset { d: 4, x, y: vec![0.0, 1.0, 0.0], image: Some([1, 2, 2]), classes: Some(2), ..Dataset::default() }
    }

    #[test]
    fn covariances_are_those_by_hand() {
        // Grey (2, 0), (4, 3), (3, 3), less (3, 2); the first channel (1, 0), (3, 6), (5, 0), less (3, 2).
        let all = drawn(3, 0);
        assert_eq!(all, [0, 1, 2]);
        for (level, wanted) in [(Level::Grey, [2.0, 3.0, 3.0, 6.0]), (Level::First, [8.0, 0.0, 0.0, 24.0])] {
            let found = covariance(&data(), &all, level).unwrap();
            assert!(found.len() == 4 && found.iter().zip(wanted).all(|(got, want)| (got - want).abs() <= 1e-14), "{found:?}");
        }
        assert!((1..20).any(|seed| drawn(3, seed) != all) && drawn(3, 7).iter().all(|&place| place < 3));
    }

    #[test]
    fn quantities_are_those_by_hand() {
        let [spikes, near_zero, sizeable, rank, effective, stable] = quantities(&[100.0, 50.0, 0.5, 0.05], 5);
        assert_eq!([spikes, near_zero, sizeable], [2.0, 0.5, 0.5]);
        assert_eq!([rank, effective], [3.0, 2.0]);
        assert!((stable - 1.250_025_25).abs() <= 1e-12, "{stable}");
    }
}

//! ResNet-18 with random labels, trained by SGD without momentum at a constant step size, at the points of a grid over the noise's
//! probability and the step size (Figures 1c, 9, 10 and 11) or the batch size (Figure 12). Every point is a run.
//!
//! The paper trains on CIFAR-10 for 100,000 iterations on batches of 32 with crops and flips; it states neither the grid nor how
//! small a singular value or a weight has to be not to count: here 1e-3 of the largest, and 1e-6. At laptop scale networks of width
//! 8 (64 features) train for 1000 iterations on 1500 digits of 8 x 8 without crops and flips; smoke is a few steps.

use super::step_size;
use crate::data::Data;
use crate::data::images::{Augment, ClassNoise, Source};
use crate::error::{Result, refuse};
use crate::experiments::Figure;
use crate::loss::Loss;
use crate::nets::{Architecture, Resnet};
use crate::optim::{Batch, Optimiser, Sampling};
use crate::run::RunResults;
use crate::schedule::Schedule;
use crate::spec::{Clock, Dtype, Evaluate, Metric, Panel, Run, SCHEMA, Scale, Seeds, Spacing, Spec};

/// Rank of the features before the linear layer.
pub(super) const RANK: &str = "feature_rank@1e-3";

/// Ranks below this share of full rank are low.
pub(super) const LOW: f64 = 0.5;

/// Which labels are random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noise {
    /// Others in every iteration.
    Dynamic,
    /// Always the same.
    Static,
}

impl Noise {
    pub fn name(self) -> &'static str {
        match self {
            Noise::Dynamic => "dynamic",
            Noise::Static => "static",
        }
    }

    fn with(self, probability: f64) -> ClassNoise {
        match self {
            Noise::Dynamic => ClassNoise::Dynamic { probability },
            Noise::Static => ClassNoise::Static { probability },
        }
    }

    /// That of a run; none if its noise is of another kind.
    pub fn probability(self, run: &Run) -> Option<f64> {
        match (self, run.optimiser.class_noise) {
            (Noise::Dynamic, ClassNoise::Dynamic { probability }) | (Noise::Static, ClassNoise::Static { probability }) => {
                Some(probability)
            }
            _ => None,
        }
    }
}

/// Iterations of a run.
fn steps(scale: Scale) -> u64 {
    match scale {
        Scale::Smoke => 4,
        Scale::Laptop => 1000,
        Scale::Paper => 100_000,
    }
}

/// Data, network and seeds. Metrics are taken after the first and after the last iteration.
pub(super) fn base(figure: &Figure, scale: Scale, about: &str, runs: Vec<Run>, metrics: &[&str]) -> Spec {
    let (data, image, width, seeds) = match scale {
        Scale::Smoke => (Data::images(Source::Digits, Some(128), Some(64)), [8, 8, 1], 2, 1),
        Scale::Laptop => (Data::images(Source::Digits, None, None), [8, 8, 1], 8, 2),
        Scale::Paper => {
            let source = Source::CifarLike { train: 50_000, test: 10_000 };
            (Data::images(source, None, None), [32, 32, 3], 64, 20)
        }
    };
    Spec {
        schema: SCHEMA,
        figure: Some(figure.id.to_owned()),
        title: format!("ResNet-18, width {width}, on {}: {about}", data.name()),
        scale,
        overrides: Vec::new(),
        dtype: Dtype::F32,
        loss: Loss::SoftmaxXent,
        data,
        net: Architecture::Resnet(Resnet { depth: 18, width, classes: 10, image, preactivation: false }),
        seeds: Seeds { paper: false, own: (0..seeds).collect(), own_data: false },
        runs,
        evaluate: Evaluate { first: 0, grid: 2, spacing: Spacing::Ends, after: true },
        metrics: metrics.iter().map(|name| Metric::always(name)).collect(),
        panels: metrics.first().map(|name| Panel::new(name, name, false)).into_iter().collect(),
        clock: Clock::Iteration,
        trajectory: false,
    }
}

/// A run with noise of some probability, on batches of some size, at a step size.
pub(super) fn run(scale: Scale, name: &str, label: &str, noise: (Noise, f64), batch: usize, rate: f64) -> Run {
    let augment = match scale {
        Scale::Smoke | Scale::Laptop => Augment::None,
        Scale::Paper => Augment::CropFlip { padding: 4 },
    };
    let batch = Batch::Random { size: batch, sampling: Sampling::Epochs };
    let optimiser = Optimiser { batch, augment, class_noise: noise.0.with(noise.1), ..Optimiser::gd() };
    Run::new(name, label, steps(scale), Schedule::Constant { peak: rate }, optimiser)
}

/// A run for every point of a grid over the noise's probability and the step size.
pub(super) fn grid(scale: Scale, noise: Noise) -> Vec<Run> {
    let (columns, rates): (u32, &[f64]) = match scale {
        Scale::Smoke => (2, &[0.03, 0.3]),
        Scale::Laptop => (5, &[0.01, 0.03, 0.1, 0.3, 1.0, 3.0]),
        Scale::Paper => (10, &[0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0]),
    };
    // Middles of equal parts of (0, 1).
    let probabilities = (0..columns).map(|k| f64::from(2 * k + 1) / f64::from(2 * columns));
    let of = |probability: f64| {
        rates.iter().map(move |&rate| {
            let name = format!("{}-noise={probability}-lr={rate}", noise.name());
            let label = format!("{} noise {probability}, η = {rate}", noise.name());
            run(scale, &name, &label, (noise, probability), 32, rate)
        })
    };
    probabilities.flat_map(of).collect()
}

/// Refuses runs that are not of residual networks with noise of the kinds, and runs at one point of the grid.
pub(super) fn check<P: PartialEq>(spec: &Spec, kinds: &[Noise], point: impl Fn(&Run) -> P) -> Result<()> {
    for (index, run) in spec.runs.iter().enumerate() {
        let (name, rate) = (&run.name, step_size(run));
        if !matches!(spec.net_of(run), Architecture::Resnet(_)) {
            return refuse!("spec: runs.{name}: the figure is of residual networks; keep net.kind = resnet, or set figure=null");
        }
        if kinds.iter().all(|kind| kind.probability(run).is_none()) {
            let kinds = kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" or ");
            return refuse!("spec: runs.{name}: expected optimiser.class_noise of the kind {kinds}; set it, or set figure=null");
        }
        if !(rate.is_finite() && rate > 0.0) {
            return refuse!("spec: runs.{name}: the step size is {rate}, expected one above 0 for a place on the axis");
        }
        if let Some(other) = spec.runs[..index].iter().find(|other| point(other) == point(run)) {
            let other = &other.name;
            return refuse!("spec: runs.{name} and runs.{other} are at one point of the picture; change one or set figure=null");
        }
    }
    Ok(())
}

/// Where a run is on a grid over noise and step size.
pub(super) fn point(run: &Run) -> (ClassNoise, f64) {
    (run.optimiser.class_noise, step_size(run))
}

/// Features before the linear layer: their full rank.
pub(super) fn features(spec: &Spec) -> f64 {
    match spec.net {
        Architecture::Resnet(Resnet { width, .. }) => (width << 3) as f64,
        _ => f64::NAN,
    }
}

/// A metric at the end of the own seeds that are finite.
pub(super) fn ends(run: &RunResults, metric: &str) -> Vec<f64> {
    run.own().filter_map(|replica| run.last(run.survivor(replica.seed)?, metric)).collect()
}

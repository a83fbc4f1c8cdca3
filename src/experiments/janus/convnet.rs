//! What the figures of section 2 share: the weight-normalised convnet on two classes of images, trained with ten weight decays λ.
//!
//! The paper's images are those of CIFAR-10's classes 1 and 2, 10,000 of them, and it trains for 2000 epochs; every source of
//! images can take their place. At laptop scale they are 288 handwritten digits 1 and 2, of 8 x 8, on which three convolutions
//! without padding leave 2 x 2 pixels: four seeds of them train to interpolation in the time of one that is far from it on images of
//! 32 x 32. Batches of 32 keep nine iterations in an epoch. That is a thirtieth of the paper's iterations, and weight decay acts
//! by the iteration: what it shows at a λ, digits show at a larger one.
//!
//! λ is torch's `weight_decay` of all parameters. Layers see only the direction of their weights V_k, so that of these it changes
//! the effective step size η/‖V_k‖² alone; what it bounds is ρ. Of the ten λ the paper names 0, 1e-6, 1e-5, 5e-5, 1e-4 and 0.01.
//! The margin of an image is y(f₁ - f₀), f the two outputs over |ρ|, whose sign weight decay can turn as it shrinks: targets are
//! one-hot, and ρ times it is 1 where the net interpolates, as ρ·y·f of the paper's theory is.

use crate::claims::{Direction, Evidence, paired_by};
use crate::data::images::Source;
use crate::data::{Data, Labels};
use crate::error::{Result, refuse};
use crate::experiments::{Figure, simulated};
use crate::loss::Loss;
use crate::nets::{Architecture, Convnet};
use crate::optim::{Batch, Optimiser, Rule, Sampling};
use crate::run::{Replica, Results, RunResults};
use crate::schedule::Schedule;
use crate::spec::{Dtype, Evaluate, Run, Scale, Seeds, Spacing, Spec};

/// λ of the figures.
pub(super) const DECAYS: [f64; 10] = [0.0, 1e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2];
/// The largest.
pub(super) const STRONGEST: f64 = DECAYS[DECAYS.len() - 1];
/// Below this share of their mean the margins' standard deviation is "very small".
pub(super) const SMALL: f64 = 0.1;
/// The name that runs of SGD begin with.
pub(super) const SGD: &str = "sgd";
/// The step size, which falls to 0 as a cosine.
const PEAK: f64 = 0.03;

/// How much of the experiment.
pub(super) struct Protocol {
    source: Source,
    /// Images to train on.
    train: usize,
    net: Convnet,
    batch: usize,
    /// Passes over them.
    pub epochs: u64,
    seeds: u64,
}

impl Protocol {
    pub(super) fn of(scale: Scale) -> Protocol {
        let digits = |channels: &[usize], hidden| Convnet {
            image: [8, 8, 1],
            channels: channels.to_vec(),
            strides: vec![1; channels.len()],
            hidden,
            classes: 2,
            scale: 0.1,
        };
        match scale {
            Scale::Smoke => {
                Protocol { source: Source::Digits, train: 48, net: digits(&[4, 4, 4], 8), batch: 16, epochs: 3, seeds: 1 }
            }
            Scale::Laptop => {
                Protocol { source: Source::Digits, train: 288, net: digits(&[8, 16, 32], 64), batch: 32, epochs: 600, seeds: 4 }
            }
            // Two of ten classes leave a fifth of the images.
            Scale::Paper => Protocol {
                source: Source::CifarLike { train: 50_000, test: 10_000 },
                train: 10_000,
                net: Convnet::janus(),
                batch: 128,
                epochs: 2000,
                seeds: 20,
            },
        }
    }

    pub(super) fn data(&self, labels: Labels) -> Data {
        Data::Images { source: self.source.clone(), train: Some(self.train), test: None, seed: 0, only: vec![1, 2], labels }
    }

    /// The square loss at the end of training; nothing to run, to measure or to draw yet.
    pub(super) fn spec(&self, figure: &Figure, title: &str, scale: Scale) -> Spec {
        let data = self.data(Labels::OneHot);
        let title = format!("{title}, on {}", data.name());
        Spec {
            dtype: Dtype::F32,
            loss: Loss::Mse,
            seeds: Seeds { paper: false, own: (0..self.seeds).collect(), own_data: false },
            evaluate: Evaluate { first: 0, grid: 2, spacing: Spacing::Ends, after: true },
            ..simulated(figure, &title, scale, data, Architecture::Convnet(self.net.clone()), &[])
        }
    }

    /// SGD with momentum and a weight decay.
    pub(super) fn sgd(&self, prefix: &str, decay: f64) -> Run {
        let batch = Batch::Random { size: self.batch, sampling: Sampling::Epochs };
        let steps = self.epochs * self.train.div_ceil(self.batch) as u64;
        run(prefix, decay, batch, steps, Schedule::Cosine { peak: PEAK, floor: 0.0 })
    }

    /// The same with all images in every iteration.
    pub(super) fn gd(&self, prefix: &str, decay: f64) -> Run {
        run(prefix, decay, Batch::Full, self.epochs, Schedule::Cosine { peak: PEAK, floor: 0.0 })
    }
}

/// Gradient steps with the paper's momentum.
pub(super) fn run(prefix: &str, decay: f64, batch: Batch, steps: u64, schedule: Schedule) -> Run {
    let rule = Rule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: false };
    let optimiser = Optimiser { batch, rule, weight_decay: decay, ..Optimiser::gd() };
    Run::new(&name(prefix, decay), &format!("{prefix}, λ = {}", short(decay)), steps, schedule, optimiser)
}

/// The name of a run.
pub(super) fn name(prefix: &str, decay: f64) -> String {
    format!("{prefix}-{}", short(decay))
}

/// λ in few letters.
pub(super) fn short(decay: f64) -> String {
    if decay == 0.0 { "0".to_owned() } else { format!("{decay:e}") }
}

/// Refuses networks and data that have no margins.
pub(super) fn check(spec: &Spec) -> Result<()> {
    for run in &spec.runs {
        match (spec.data_of(run), spec.net_of(run)) {
            (Data::Images { .. }, Architecture::Convnet(Convnet { classes: 2, .. })) => {}
            _ => {
                return refuse!(
                    "runs.{}: the figure draws the margins and the layers of a convnet of two classes; set data.kind=images, data.only to two classes and net.kind=convnet with net.classes=2",
                    run.name
                );
            }
        }
    }
    Ok(())
}

/// The runs whose names begin so, from the smallest λ to the largest.
pub(super) fn family<'a>(spec: &'a Spec, prefix: &str) -> Vec<&'a Run> {
    let beginning = format!("{prefix}-");
    let mut runs: Vec<&Run> = spec.runs.iter().filter(|run| run.name.starts_with(&beginning)).collect();
    runs.sort_by(|a, b| a.optimiser.weight_decay.total_cmp(&b.optimiser.weight_decay));
    runs
}

/// The runs of a family with at least this λ.
pub(super) fn decayed<'a>(spec: &'a Spec, prefix: &str, from: f64) -> impl Iterator<Item = &'a Run> {
    family(spec, prefix).into_iter().filter(move |run| run.optimiser.weight_decay >= from)
}

/// From one λ of a family to the next, from one on: is a quantity larger?
pub(super) fn grows(
    spec: &Spec,
    results: &Results,
    prefix: &str,
    from: f64,
    quantity: &str,
    value: impl Fn(&RunResults, &Replica) -> Option<f64>,
) -> Vec<Evidence> {
    let runs: Vec<&Run> = decayed(spec, prefix, from).collect();
    let above = |pair: &[&Run]| paired_by(results, quantity, &pair[1].name, Direction::Above, &pair[0].name, &value);
    runs.windows(2).map(above).collect()
}

/// Standard deviation of the margins over their mean: what the size of f does not change.
pub(super) fn relative_deviation(run: &RunResults, replica: &Replica) -> Option<f64> {
    Some(run.last(replica, "margin_deviation")? / run.last(replica, "margin")?.abs())
}

/// In the words of claims.
pub(super) const RELATIVE_DEVIATION: &str = "deviation of the margins over their mean";

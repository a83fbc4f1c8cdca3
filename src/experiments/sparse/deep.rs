//! Residual networks on images, as Figures 1, 7, 12, 13 and 14 train them: how much of the protocol, the two settings with their
//! four schedules each, and what the paper says of a setting.

use super::{SCHEDULES, base, ordered};
use crate::claims::{Claim, Direction, paired};
use crate::data::Data;
use crate::data::images::{Augment, Source};
use crate::experiments::Figure;
use crate::loss::Loss;
use crate::nets::{Architecture, Resnet};
use crate::optim::{Batch, Optimiser, Rule, Sampling};
use crate::run::Results;
use crate::schedule::{Decay, Schedule, Timing};
use crate::spec::{Dtype, Evaluate, Metric, Panel, Run, Scale, Seeds, Spacing, Spec};

/// Feature sparsity of the groups of blocks.
pub(super) const SPARSITY: [&str; 4] = ["sparsity.1@0.95", "sparsity.2@0.95", "sparsity.3@0.95", "sparsity.4@0.95"];

/// The [`SCHEDULES`] in the standard setting.
const STANDARD: [&str; 4] = ["standard-constant", "standard-large-10%", "standard-large-30%", "standard-large-50%"];

/// Where the phases of large steps end, as fractions of the run.
pub(super) const UNTIL: [f64; 3] = [0.1, 0.3, 0.5];

/// Weight decay of the standard setting.
pub(super) const WEIGHT_DECAY: f64 = 5e-4;

/// What a constant large step size is divided by at the end of its phase. It differs by schedule, as in the paper's code.
pub(super) fn divisor(until: f64) -> f64 {
    10.0 / (until / 0.5)
}

/// A phase of large steps in a legend.
pub(super) fn decay_at(until: f64) -> String {
    format!("decay at {}%", 100.0 * until)
}

/// How much of the protocol.
pub(super) struct Extent {
    pub source: Source,
    pub train: usize,
    pub test: Option<usize>,
    pub image: [usize; 3],
    pub width: usize,
    pub batch: usize,
    pub epochs: u64,
    pub evaluations: u64,
    pub seeds: u64,
}

impl Extent {
    /// The paper's, on drawn images of the sizes of CIFAR.
    pub fn paper() -> Extent {
        Extent {
            source: Source::CifarLike { train: 50_000, test: 10_000 },
            train: 50_000,
            test: None,
            image: [32, 32, 3],
            width: 64,
            batch: 256,
            epochs: 100,
            evaluations: 21,
            seeds: 20,
        }
    }

    /// Networks of width 8 on digits of 8 x 8.
    pub fn digits(epochs: u64, evaluations: u64, seeds: u64) -> Extent {
        let (source, image) = (Source::Digits, [8, 8, 1]);
        Extent { source, train: 1500, test: None, image, width: 8, batch: 32, epochs, evaluations, seeds }
    }

    /// A few steps of a tiny network.
    pub fn smoke() -> Extent {
        Extent { train: 64, test: Some(32), width: 2, ..Extent::digits(2, 3, 1) }
    }

    /// Iterations of a run.
    pub fn steps(&self) -> u64 {
        self.epochs * (self.train / self.batch) as u64
    }

    pub fn net(&self, depth: usize) -> Architecture {
        Architecture::Resnet(Resnet { depth, width: self.width, classes: 10, image: self.image, preactivation: false })
    }

    pub fn title(&self, networks: &str, about: &str) -> String {
        format!("{networks}, width {}, on {}: {about}", self.width, self.data().name())
    }

    fn data(&self) -> Data {
        Data::images(self.source.clone(), Some(self.train), self.test)
    }

    /// SGD on batches of images, everything else off.
    pub fn plain(&self) -> Optimiser {
        Optimiser { batch: Batch::Random { size: self.batch, sampling: Sampling::DropLast }, ..Optimiser::gd() }
    }

    /// Runs of a network of some depth. Nothing to measure yet.
    pub fn spec(&self, figure: &Figure, scale: Scale, title: &str, depth: usize, runs: Vec<Run>) -> Spec {
        Spec {
            dtype: Dtype::F32,
            loss: Loss::SoftmaxXent,
            data: self.data(),
            net: self.net(depth),
            seeds: Seeds { paper: false, own: (0..self.seeds).collect(), own_data: false },
            runs,
            evaluate: Evaluate { first: 0, grid: self.evaluations, spacing: Spacing::Ends, after: true },
            ..base(figure, title, scale)
        }
    }
}

/// What SGD is used with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// Nothing: no momentum, no weight decay, no augmentation.
    Basic,
    /// All of them.
    Standard,
}

impl Setting {
    pub const ALL: [Setting; 2] = [Setting::Basic, Setting::Standard];

    pub fn name(self) -> &'static str {
        match self {
            Setting::Basic => "basic",
            Setting::Standard => "standard",
        }
    }

    /// Its runs: the small step size first, the longest schedule last.
    pub fn names(self) -> [&'static str; 4] {
        match self {
            Setting::Basic => SCHEDULES,
            Setting::Standard => STANDARD,
        }
    }

    /// Beginnings of the names of its runs and of no others.
    pub fn beginnings(self) -> &'static [&'static str] {
        match self {
            Setting::Basic => &["constant", "large"],
            Setting::Standard => &["standard"],
        }
    }

    pub fn runs(self, extent: &Extent) -> Vec<Run> {
        let plain = extent.plain();
        let (small, optimiser) = match self {
            Setting::Basic => (0.01, plain),
            Setting::Standard => {
                let rule = Rule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: false };
                let augment = Augment::CropFlip { padding: extent.image[0].div_ceil(8) };
                (0.002, Optimiser { rule, weight_decay: WEIGHT_DECAY, augment, ..plain })
            }
        };
        let large = |(until, warmest): (f64, f64)| match self {
            Setting::Basic => {
                // Divisors are of the peak, not of each other.
                let decays = vec![Decay { at: until, divide: 10.0 }, Decay { at: 0.9, divide: 100.0 }];
                let label = format!("η up to {warmest}, {}", decay_at(until));
                (label, Schedule::GeometricWarmup { initial: 0.75, until, decays })
            }
            Setting::Standard => {
                let decays = vec![Decay { at: until, divide: divisor(until) }, Decay { at: 0.9, divide: 10.0 }];
                let schedule = Schedule::Piecewise { peak: 0.05, decays, timing: Timing::Same };
                (format!("η = 0.05, {}", decay_at(until)), schedule)
            }
        };
        let constant = (format!("η = {small}"), Schedule::Constant { peak: small });
        let schedules = [constant].into_iter().chain(UNTIL.into_iter().zip([1.22, 3.24, 8.60]).map(large));
        let run = |(name, (label, schedule)): (&str, (String, Schedule))| {
            Run::new(name, &format!("{}, {label}", self.name()), extent.steps(), schedule, optimiser.clone())
        };
        self.names().into_iter().zip(schedules).map(run).collect()
    }

    fn panels(self) -> Vec<Panel> {
        let only: Vec<String> = self.beginnings().iter().map(|&beginning| beginning.to_owned()).collect();
        let panel = |(metric, title, log): (&str, &str, bool)| {
            let title = format!("{title}, {} setting", self.name());
            Panel { only: only.clone(), ..Panel::new(metric, &title, log) }
        };
        let [.., third, fourth] = SPARSITY;
        let panels = [
            ("train_loss", "Training loss", true),
            ("test_error", "Test error", false),
            (third, "Feature sparsity, group 3", false),
            (fourth, "Feature sparsity, group 4", false),
        ];
        panels.into_iter().map(panel).collect()
    }

    /// What the paper says of the setting.
    pub fn claims(self, results: &Results, source: &str) -> Vec<Claim> {
        let (runs, setting) = (self.names(), self.name());
        let [constant, .., longest] = runs;
        let ends = |metric| paired(results, metric, longest, Direction::Below, constant);
        let claim = |id: &str, statement: &str, evidence| {
            Claim::all(&format!("{setting}-{id}"), &format!("{setting} setting: {statement}"), source, evidence)
        };
        let last = &SPARSITY[2..];
        vec![
            claim(
                "generalises",
                "the longest schedule of large steps ends at a lower test error than the small steps",
                vec![ends("test_error")],
            ),
            claim(
                "longer-generalises",
                "the longer the schedule, the lower the test error",
                ordered(results, "test_error", &runs),
            ),
            claim(
                "sparse",
                "the longest schedule ends with sparser features in the last two groups of blocks than the small steps",
                last.iter().map(|metric| ends(metric)).collect(),
            ),
            claim(
                "longer-sparse",
                "the longer the schedule, the sparser the features of the last two groups of blocks",
                last.iter().flat_map(|metric| ordered(results, metric, &runs)).collect(),
            ),
        ]
    }
}

/// Figures 7 and 13: what networks of some depth learn in some of the settings, and how sparsely.
pub(super) fn declare(
    figure: &Figure,
    (scale, extent): (Scale, Extent),
    (depth, about): (usize, &str),
    settings: &[Setting],
    metrics: Vec<Metric>,
) -> Spec {
    let runs = settings.iter().flat_map(|setting| setting.runs(&extent)).collect();
    let title = extent.title(&format!("ResNet-{depth}"), about);
    let panels = settings.iter().flat_map(|setting| setting.panels()).collect();
    Spec { metrics, panels, ..extent.spec(figure, scale, &title, depth, runs) }
}

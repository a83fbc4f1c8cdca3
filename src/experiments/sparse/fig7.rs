//! Figure 7: ResNet-18 on CIFAR-10, in a basic setting (no momentum, no weight decay, no augmentation) and in the standard one.
//! Per setting a constant small step size and three schedules of large ones, which are divided at the end of a longer and longer
//! first phase and again at 90%.
//!
//! The paper trains on all 50,000 images for 100 epochs at width 64. At laptop scale a network of width 8 sees 10,000 images for
//! 20 epochs, in the basic setting; smoke is a few epochs on digits.

use super::{PAPER, SCHEDULES, base, ordered};
use crate::claims::{Claim, Direction, paired};
use crate::data::Data;
use crate::data::images::{Augment, Source};
use crate::error::Result;
use crate::experiments::Figure;
use crate::loss::Loss;
use crate::nets::{Architecture, Resnet};
use crate::optim::{Batch, Optimiser, Rule, Sampling};
use crate::run::Results;
use crate::schedule::{Decay, Schedule, Timing};
use crate::spec::{Dtype, Evaluate, Metric, Panel, Run, Scale, Seeds, Spacing, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/fig7",
    paper: PAPER,
    about: "ResNet-18: training loss, test error and feature sparsity of the last two groups of blocks; basic and standard setting",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw: Figure::PANELS,
};

/// Feature sparsity of the third and the fourth group of blocks.
const SPARSITY: [&str; 2] = ["sparsity.3@0.95", "sparsity.4@0.95"];

/// The same schedules in the standard setting.
const STANDARD: [&str; 4] = ["standard-constant", "standard-large-10%", "standard-large-30%", "standard-large-50%"];

/// How much of the protocol.
struct Extent {
    source: Source,
    train: usize,
    test: Option<usize>,
    image: [usize; 3],
    width: usize,
    batch: usize,
    epochs: u64,
    evaluations: u64,
    seeds: u64,
    standard: bool,
}

impl Extent {
    fn of(scale: Scale) -> Extent {
        let cifar_like = |train, test| Source::CifarLike { train, test };
        let color = [32, 32, 3];
        let (evaluations, seeds, batch) = (21, 20, 256);
        match scale {
            Scale::Smoke => Extent {
                source: Source::Digits,
                train: 512,
                test: None,
                image: [8, 8, 1],
                width: 4,
                batch: 32,
                epochs: 4,
                evaluations: 3,
                seeds: 1,
                standard: true,
            },
            Scale::Laptop => Extent {
                source: cifar_like(10_000, 2000),
                train: 10_000,
                test: Some(2000),
                image: color,
                width: 8,
                batch,
                epochs: 20,
                evaluations: 6,
                seeds: 1,
                standard: false,
            },
            Scale::Paper => Extent {
                source: cifar_like(50_000, 10_000),
                train: 50_000,
                test: None,
                image: color,
                width: 64,
                batch,
                epochs: 100,
                evaluations,
                seeds,
                standard: true,
            },
        }
    }
}

/// `peak` until a fraction p, then a divisor of it, and a tenth of that from 90% on.
fn piecewise(peak: f64, at: f64, divide: f64) -> Schedule {
    let decays = vec![Decay { at, divide }, Decay { at: 0.9, divide: 10.0 }];
    Schedule::Piecewise { peak, decays, timing: Timing::Same }
}

fn declare(scale: Scale) -> Spec {
    let Extent { source, train, test, image, width, batch, epochs, evaluations, seeds, standard } = Extent::of(scale);
    let steps = epochs * (train / batch) as u64;
    let batch = Batch::Random { size: batch, sampling: Sampling::DropLast };
    let plain = Optimiser { batch, ..Optimiser::gd() };
    let usual = Optimiser {
        rule: Rule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: false },
        weight_decay: 5e-4,
        augment: Augment::CropFlip { padding: image[0].div_ceil(8) },
        ..plain.clone()
    };
    let mut runs = vec![Run::new(SCHEDULES[0], "basic, η = 0.01", steps, Schedule::Constant { peak: 0.01 }, plain.clone())];
    let mut usual_runs =
        vec![Run::new(STANDARD[0], "standard, η = 0.002", steps, Schedule::Constant { peak: 0.002 }, usual.clone())];
    for (place, (until, peak)) in [(0.1, 1.22), (0.3, 3.24), (0.5, 8.60)].into_iter().enumerate() {
        // Divisors are of the peak, not of each other.
        let decays = vec![Decay { at: until, divide: 10.0 }, Decay { at: 0.9, divide: 100.0 }];
        let schedule = Schedule::GeometricWarmup { initial: 0.75, until, decays };
        let percent = 100.0 * until;
        let label = format!("basic, η up to {peak}, decay at {percent}%");
        runs.push(Run::new(SCHEDULES[place + 1], &label, steps, schedule, plain.clone()));
        // The step size after the decay is (p/.5)·.005: it differs by schedule, as in the paper's code.
        let schedule = piecewise(0.05, until, 10.0 / (until / 0.5));
        let label = format!("standard, η = 0.05, decay at {percent}%");
        usual_runs.push(Run::new(STANDARD[place + 1], &label, steps, schedule, usual.clone()));
    }
    if standard {
        runs.extend(usual_runs);
    }
    let data = Data::images(source, Some(train), test);
    let title = format!("ResNet-18, width {width}, on {}: large step sizes, Figure 7", data.name());
    let metrics = ["train_loss", "train_error", "test_error", "active.3", "active.4"].into_iter().chain(SPARSITY);
    let panel = |metric: &str, title: &str, log| Panel::new(metric, title, log);
    let of_setting = |prefix: &str, name: &str| -> Vec<Panel> {
        let panels = vec![
            panel("train_loss", &format!("Training loss, {name}"), true),
            panel("test_error", &format!("Test error, {name}"), false),
            panel(SPARSITY[0], &format!("Feature sparsity, group 3, {name}"), false),
            panel(SPARSITY[1], &format!("Feature sparsity, group 4, {name}"), false),
        ];
        let of = |panel: Panel| Panel { only: prefix.split(' ').map(str::to_owned).collect(), ..panel };
        panels.into_iter().map(of).collect()
    };
    let mut panels = of_setting("constant large", "basic setting");
    if standard {
        panels.extend(of_setting("standard", "standard setting"));
    }
    Spec {
        dtype: Dtype::F32,
        loss: Loss::SoftmaxXent,
        data,
        net: Architecture::Resnet(Resnet { depth: 18, width, classes: 10, image, preactivation: false }),
        seeds: Seeds { paper: false, own: (0..seeds).collect(), own_data: false },
        runs,
        evaluate: Evaluate { first: 0, grid: evaluations, spacing: Spacing::Ends, after: true },
        metrics: metrics.map(Metric::always).collect(),
        panels,
        ..base(&FIGURE, &title, scale)
    }
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let mut claims = of_setting(results, "basic", &SCHEDULES);
    if spec.runs.iter().any(|run| run.name == STANDARD[0]) {
        claims.extend(of_setting(results, "standard", &STANDARD));
    }
    Ok(claims)
}

/// What the paper says of one setting: the small step size first, the longest schedule last.
fn of_setting(results: &Results, setting: &str, runs: &[&str; 4]) -> Vec<Claim> {
    let [constant, .., longest] = *runs;
    let ends = |metric| paired(results, metric, longest, Direction::Below, constant);
    let claim = |id: &str, statement: &str, evidence| {
        Claim::all(&format!("{setting}-{id}"), &format!("{setting} setting: {statement}"), "Figure 7, section 4.3", evidence)
    };
    let sparsest = SPARSITY.iter().map(|metric| ends(metric)).collect();
    let ordered_sparsity = SPARSITY.iter().flat_map(|metric| ordered(results, metric, runs)).collect();
    vec![
        claim(
            "generalises",
            "the longest schedule of large steps ends at a lower test error than the small steps",
            vec![ends("test_error")],
        ),
        claim("longer-generalises", "the longer the schedule, the lower the test error", ordered(results, "test_error", runs)),
        claim(
            "sparse",
            "the longest schedule ends with sparser features in the last two groups of blocks than the small steps",
            sparsest,
        ),
        claim(
            "longer-sparse",
            "the longer the schedule, the sparser the features of the last two groups of blocks",
            ordered_sparsity,
        ),
    ]
}

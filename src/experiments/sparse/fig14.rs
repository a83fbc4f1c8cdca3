//! Figure 14: feature sparsity of all four groups of blocks of four models, ResNet-18 and ResNet-34 in the basic and in the standard
//! setting of Figure 7, at the end of every epoch.
//!
//! The paper's ResNet-18 learns CIFAR-10 and its ResNet-34 CIFAR-100; here all see the same images: for the paper's, run once with
//! `--data cifar10:FOLDER` for the upper rows and once with `--data cifar100:FOLDER` for the lower ones. The step sizes are Figure
//! 7's. At laptop scale networks of width 8 learn 1500 digits of 8 x 8 for 10 epochs on batches of 32, in the standard setting with
//! crops and flips that digits do not ask for; smoke is a few steps.

use super::PAPER;
use super::deep::{Extent, SPARSITY, Setting};
use crate::claims::{Claim, Evidence, each};
use crate::data::Data;
use crate::error::Result;
use crate::experiments::Figure;
use crate::report::{self, plot};
use crate::run::{Replica, Results};
use crate::spec::{Evaluate, Metric, Panel, Run, Scale, Spacing, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/fig14",
    paper: PAPER,
    about: "feature sparsity of every group of blocks: ResNet-18 and ResNet-34, basic and standard setting",
    declare,
    expect,
    simulate: None,
    check: Figure::ANY,
    draw: |spec, results| Ok(plot::Figure { columns: SPARSITY.len(), ..report::picture(spec, results) }),
};

const DEPTHS: [usize; 2] = [18, 34];

/// Sparsities below this are almost zero.
const ALMOST_ZERO: f64 = 0.05;

/// A network in a setting.
#[derive(Clone, Copy)]
struct Model {
    depth: usize,
    setting: Setting,
}

impl Model {
    fn all() -> impl Iterator<Item = Model> {
        DEPTHS.into_iter().flat_map(|depth| Setting::ALL.map(|setting| Model { depth, setting }))
    }

    /// The name of a run of its setting, as of this model.
    fn named(self, run: &str) -> String {
        format!("resnet{}-{run}", self.depth)
    }

    /// Its runs: the small step size first, the longest schedule last.
    fn names(self) -> [String; 4] {
        self.setting.names().map(|run| self.named(run))
    }

    fn runs(self, extent: &Extent) -> impl Iterator<Item = Run> {
        let net = extent.net(self.depth);
        let run = move |run: Run| Run { name: self.named(&run.name), net: Some(net.clone()), ..run };
        self.setting.runs(extent).into_iter().map(run)
    }

    fn panels(self) -> impl Iterator<Item = Panel> {
        let only: Vec<String> = self.setting.beginnings().iter().map(|beginning| self.named(beginning)).collect();
        SPARSITY.iter().enumerate().map(move |(group, metric)| {
            let title = format!("Group {}, ResNet-{}, {}", group + 1, self.depth, self.setting.name());
            Panel { only: only.clone(), ..Panel::new(metric, &title, false) }
        })
    }
}

fn declare(scale: Scale) -> Spec {
    let extent = match scale {
        Scale::Smoke => Extent::smoke(),
        Scale::Laptop => Extent::digits(10, 11, 4),
        Scale::Paper => Extent { evaluations: 101, ..Extent::paper() },
    };
    let runs = Model::all().flat_map(|model| model.runs(&extent)).collect();
    let title = extent.title("ResNet-18 and ResNet-34", "feature sparsity of the groups of blocks, Figure 14");
    Spec {
        // One more than there are epochs: before the first, and after each.
        evaluate: Evaluate { first: 0, grid: extent.evaluations, spacing: Spacing::Ends, after: false },
        metrics: SPARSITY.map(Metric::always).to_vec(),
        panels: Model::all().flat_map(Model::panels).collect(),
        ..extent.spec(&FIGURE, scale, &title, 18, runs)
    }
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let last = || Model::all().flat_map(|model| SPARSITY[2..].iter().map(move |&metric| (model, metric)));
    let of = |setting: Setting, what: &str, question: fn([f64; 3]) -> bool| -> Vec<Evidence> {
        let models = last().filter(|(model, _)| model.setting == setting);
        models.map(|(model, metric)| course(spec, results, model, metric, what, question)).collect()
    };
    Ok(vec![
        Claim::all(
            "last-groups",
            "large step sizes consistently lead to a much lower sparsity coefficient in groups 3 and 4",
            "Figure 14",
            last().map(|(model, metric)| consistently(results, model, metric)).collect(),
        ),
        Claim::all(
            "second-group",
            "in 3 of the 4 models it is lower in group 2 as well",
            "Figure 14",
            vec![lower_models(results, 2, "in at least 3 of the 4 models", |lower| lower >= 3)],
        ),
        Claim::all(
            "first-group",
            "in group 1 there is no clear trend between the step sizes",
            "Figure 14",
            vec![lower_models(results, 1, "in some of the models, and not in others", |lower| (1..=3).contains(&lower))],
        ),
        Claim::all(
            "basic-vanishes",
            "without explicit regularisation the coefficient drops to almost zero in the very first epoch",
            "section 4.3",
            of(Setting::Basic, "almost zero after the first epoch", |[_, after, _]| after < ALMOST_ZERO),
        ),
        Claim::all(
            "basic-rises",
            "and then it increases gradually",
            "section 4.3",
            of(Setting::Basic, "higher at the end than after the first epoch", |[_, after, end]| end > after),
        ),
        Claim::all(
            "standard-gradually",
            "in the standard setting it is minimised gradually over the iterations",
            "section 4.3",
            of(Setting::Standard, "falls, most of it after the first epoch", |[start, after, end]| {
                end < after && after - end >= 0.5 * (start - end)
            }),
        ),
    ])
}

/// The last value of a metric of the run of this name for the seed of a replica.
fn end(results: &Results, run: &str, replica: &Replica, metric: &str) -> Option<f64> {
    let run = results.run(run)?;
    run.last(run.survivor(replica.seed)?, metric)
}

/// Do all schedules of large steps end below the small ones?
fn consistently(results: &Results, model: Model, metric: &str) -> Evidence {
    let [small, middle @ .., longest] = model.names();
    let what = format!("{metric}: {longest} and both shorter schedules < {small}");
    each(results, &what, &longest, |run, replica| {
        let (bound, last) = (end(results, &small, replica, metric)?, run.last(replica, metric)?);
        let ends: Option<Vec<f64>> = middle.iter().map(|run| end(results, run, replica, metric)).collect();
        Some((last < bound && ends?.iter().all(|&value| value < bound), last / bound))
    })
}

/// In how many of the models the longest schedule ends with a lower sparsity of a group than the small steps.
fn lower_models(results: &Results, group: usize, what: &str, question: fn(usize) -> bool) -> Evidence {
    let metric = SPARSITY[group - 1];
    let first = Model { depth: DEPTHS[0], setting: Setting::Basic };
    let [.., reference] = first.names();
    each(results, &format!("{metric}: the longest schedule < the small steps {what}"), &reference, |_, replica| {
        let lower = |model: Model| {
            let [small, .., longest] = model.names();
            Some(end(results, &longest, replica, metric)? < end(results, &small, replica, metric)?)
        };
        let lower: Option<Vec<bool>> = Model::all().map(lower).collect();
        let count = lower?.into_iter().filter(|&lower| lower).count();
        Some((question(count), count as f64))
    })
}

/// A question of a metric before training, after the first epoch and at the end, under a model's longest schedule.
fn course(spec: &Spec, results: &Results, model: Model, metric: &str, what: &str, question: fn([f64; 3]) -> bool) -> Evidence {
    let [.., longest] = model.names();
    let epoch = spec.runs.iter().find(|run| run.name == longest).and_then(|run| epoch(spec, run));
    each(results, &format!("{metric} of {longest}: {what}"), &longest, |run, replica| {
        let series = run.series(replica, metric);
        let start = series.first().filter(|(step, _)| *step == 0)?.1;
        let epoch = epoch?;
        let after = series.iter().find(|(step, _)| (epoch..2 * epoch).contains(step))?.1;
        Some((question([start, after, run.last(replica, metric)?]), after))
    })
}

/// Iterations of an epoch.
fn epoch(spec: &Spec, run: &Run) -> Option<u64> {
    match *spec.data_of(run) {
        Data::Images { train: Some(train), .. } => Some((train / run.optimiser.batch_size(train).max(1)) as u64),
        _ => None,
    }
}

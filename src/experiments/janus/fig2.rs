//! Figure 2: margins of the training images after gradient descent, all images in every iteration, on the square loss by weight
//! decay λ: (a) with the step sizes and the epochs of SGD, (b) with a constant larger step size and 2.5 times the epochs. SGD itself
//! is there to compare with. What the paper leaves open, and what smaller scales change, says [`super::convnet`]; below paper
//! scale there are three λ.

use super::convnet::{
    self, DECAYS, Protocol, RELATIVE_DEVIATION, SGD, STRONGEST, decayed, family, name, relative_deviation, short,
};
use super::{PAPER, layers, margins};
use crate::claims::{Claim, Direction, Evidence, each, paired};
use crate::error::Result;
use crate::experiments::Figure;
use crate::optim::Batch;
use crate::report::plot;
use crate::run::{Results, nan_max, nan_min};
use crate::schedule::Schedule;
use crate::spec::{Metric, Panel, Run, Scale, Seed, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "janus/fig2",
    paper: PAPER,
    about: "the same after gradient descent, with two step sizes, beside SGD; class collapse NC1 and per-layer noise of both",
    declare,
    expect,
    simulate: None,
    check: convnet::check,
    draw,
};

/// Gradient descent as in (a) and in (b).
const COSINE: &str = "gd-cosine";
const CONSTANT: &str = "gd-constant";
/// The step size of (b), and its epochs over those of (a).
const PEAK: f64 = 0.05;
const LONGER: f64 = 2.5;
/// Largest over smallest deviation that is "no dependence on λ".
const ALIKE: f64 = 2.0;
/// A tenth of the images: half of the paper's "about 20%".
const MANY: f64 = 0.1;
/// The paper's "less than 1%".
const FEW: f64 = 0.01;

fn declare(scale: Scale) -> Spec {
    let protocol = Protocol::of(scale);
    let decays: &[f64] = if scale == Scale::Paper { &DECAYS } else { &[0.0, 1e-3, STRONGEST] };
    let longer = (LONGER * protocol.epochs as f64) as u64;
    let constant = |decay| convnet::run(CONSTANT, decay, Batch::Full, longer, Schedule::Constant { peak: PEAK });
    let mut runs: Vec<_> = decays.iter().map(|&decay| protocol.gd(COSINE, decay)).collect();
    runs.extend(decays.iter().map(|&decay| constant(decay)));
    runs.extend(decays.iter().map(|&decay| protocol.sgd(SGD, decay)));
    let spec = protocol.spec(&FIGURE, "Margins of a convnet after gradient descent by weight decay, Figure 2", scale);
    let measured = ["train_loss", "train_error", "margin", "margin_deviation", "nc1"].map(str::to_owned);
    let metrics = measured.into_iter().chain((1..=layers::count(&spec)).map(layers::velocity));
    Spec {
        runs,
        metrics: metrics.map(|metric| Metric::always(&metric)).collect(),
        panels: vec![Panel::new("margin_deviation", "standard deviation of the margins", true)],
        ..spec
    }
}

/// Largest over smallest relative deviation among the λ of a family, for a seed that finished with all of them.
fn spread(spec: &Spec, results: &Results, prefix: &str, seed: Seed) -> Option<f64> {
    let of = |run: &Run| {
        let found = results.run(&run.name)?;
        relative_deviation(found, found.survivor(seed)?)
    };
    let values: Vec<f64> = family(spec, prefix).into_iter().map(of).collect::<Option<_>>()?;
    Some(values.iter().copied().reduce(nan_max)? / values.iter().copied().reduce(nan_min)?)
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let alike = |prefix: &str| {
        let what = format!("{prefix}: {RELATIVE_DEVIATION}, largest over smallest by λ at most {ALIKE}");
        each(results, &what, &name(prefix, 0.0), |_, replica| {
            let spread = spread(spec, results, prefix, replica.seed)?;
            Some((spread <= ALIKE, spread))
        })
    };
    let less = |prefix: &str| {
        let what = format!("{prefix}: the same ratio below that of SGD");
        each(results, &what, &name(prefix, 0.0), |_, replica| {
            let (descent, sgd) = (spread(spec, results, prefix, replica.seed)?, spread(spec, results, SGD, replica.seed)?);
            Some((descent < sgd, descent))
        })
    };
    let errors = |prefix: &str, what: &str, question: fn(f64) -> bool| -> Vec<Evidence> {
        let of = |run: &Run| super::last(results, &run.name, what, "train_error", question);
        decayed(spec, prefix, 0.0).map(of).collect()
    };
    let mut far = errors(COSINE, "a tenth of the training images or more are misclassified", |error| error >= MANY);
    far.extend(
        decayed(spec, COSINE, 0.0)
            .map(|run| paired(results, "train_loss", &run.name, Direction::Above, &name(SGD, run.optimiser.weight_decay))),
    );
    let narrower = decayed(spec, CONSTANT, 0.0).map(|run| {
        let decay = run.optimiser.weight_decay;
        let what = format!("λ = {}: standard deviation of (b) at most half of that of (a)", short(decay));
        each(results, &what, &run.name, |run, replica| {
            let other = results.run(&name(COSINE, decay))?;
            let of_other = other.last(other.survivor(replica.seed)?, "margin_deviation")?;
            let ratio = run.last(replica, "margin_deviation")? / of_other;
            Some((ratio <= 0.5, ratio))
        })
    });
    let quieter = (1..=layers::count(spec)).map(|layer| {
        let (descent, sgd) = (name(CONSTANT, STRONGEST), name(SGD, STRONGEST));
        paired(results, &layers::velocity(layer), &descent, Direction::Below, &sgd)
    });
    let collapsed = decayed(spec, SGD, f64::MIN_POSITIVE)
        .map(|run| paired(results, "nc1", &run.name, Direction::Above, &name(CONSTANT, run.optimiser.weight_decay)));
    Ok(vec![
        Claim::all(
            "independent",
            "when all images are a batch, the fluctuations of the margins do not depend on λ",
            "prediction 2, Figure 2",
            vec![alike(COSINE), alike(CONSTANT), less(COSINE), less(CONSTANT)],
        ),
        Claim::all("far", "(a): GD is far from zero loss, with about 20% errors on the training set", "Figure 2", far),
        Claim::all(
            "reached",
            "(b): with constant larger steps and more epochs it makes less than 1% errors",
            "Figure 2",
            errors(CONSTANT, "less than 1% of the training images are misclassified", |error| error < FEW),
        ),
        Claim::all("narrower", "the fluctuations in (b) are much smaller than in (a)", "Figure 2", narrower.collect()),
        Claim::all(
            "quiet",
            "there is no noise specific to SGD: at the largest λ ‖V̇_k‖ of GD is below that of SGD's batches, in every layer",
            "prediction 2, Lemma 1",
            quieter.collect(),
        ),
        Claim::all(
            "collapse",
            "NC1 cannot strictly happen for SGD with λ > 0: it ends higher than for GD",
            "section 4",
            collapsed.collect(),
        ),
    ])
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let families = [
        (COSINE, "(a) Margins after GD, step size 0.03 to 0", "GD (a)"),
        (CONSTANT, "(b) Margins after GD, step size 0.05", "GD (b)"),
        (SGD, "Margins after SGD", "SGD"),
    ];
    let mut panels = Vec::new();
    let mut relative = Vec::new();
    for (colour, (prefix, title, label)) in families.into_iter().enumerate() {
        panels.push(margins::histogram(title, &margins::of(spec, results, prefix)?, f64::INFINITY));
        relative.extend(margins::by_decay(spec, results, prefix, (label, colour), relative_deviation));
    }
    panels.push(margins::over_decays("Standard deviation over the mean", relative));
    Ok(plot::Figure { title: spec.title.clone(), columns: 2, panels, footnote: Some(margins::footnote(spec)) })
}

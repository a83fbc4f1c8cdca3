//! Figure 9: Figure 4 with a warm-up of 500 instead of 400 times the first step size: the network is too regularised to fit every
//! point. Beside it, the long schedule with other factors: what the network can fit depends on the step sizes.

use super::one_dimension::{self, LONG, MISSED, SHORT, SPARSITY, final_predictors, fits, warmed};
use super::{PAPER, RELU_RANK, draws_two_layers};
use crate::claims::{Claim, Direction, each, paired};
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Bias;
use crate::report::picture;
use crate::report::plot::{self, Axis, Curve, Style, Symbol};
use crate::run::Results;
use crate::spec::{Panel, Scale, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/fig9",
    paper: PAPER,
    about: "Figure 4 with still larger step sizes: over-regularised networks that miss points",
    declare,
    expect,
    simulate: None,
    check: |spec| draws_two_layers(spec, 1, Bias::First),
    draw,
};

/// Long schedules by their factor; the paper's 500 is in between.
const FACTORS: [(&str, f64); 6] = [
    ("factor-200", 200.0),
    ("factor-300", 300.0),
    ("factor-400", 400.0),
    (LONG, 500.0),
    ("factor-600", 600.0),
    ("factor-800", 800.0),
];

fn declare(scale: Scale) -> Spec {
    let title = "Two-layer ReLU networks in one dimension: still larger step sizes miss points, Figure 9";
    let mut spec = one_dimension::declare(&FIGURE, title, scale, 500.0);
    if scale == Scale::Laptop {
        spec.seeds.own = (0..40).collect();
    }
    let others = FACTORS.iter().filter(|(name, _)| *name != LONG);
    spec.runs.extend(others.map(|&(name, factor)| warmed(name, factor, 0.5, 3.0)));
    spec.panels.iter_mut().for_each(|panel| *panel = Panel::new(&panel.metric, &panel.title, panel.log).only("decay-"));
    spec
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let ends = |what: &str, is: fn(f64) -> bool| {
        each(results, &format!("final training loss of {LONG} {what}"), LONG, |run, replica| {
            let loss = run.last(replica, "train_loss")?;
            Some((is(loss), loss))
        })
    };
    let lower = |metric, than| paired(results, metric, LONG, Direction::Below, than);
    let lower_rank = |pair: &[(&str, f64)]| paired(results, RELU_RANK, pair[1].0, Direction::Below, pair[0].0);
    let (least, most) = (FACTORS[0].0, FACTORS[FACTORS.len() - 1].0);
    Ok(vec![
        Claim::all(
            "fails-to-fit",
            "the long schedule fails to fit all the training points",
            "Figure 9",
            vec![ends("above 0.1", |loss| loss > MISSED)],
        ),
        Claim::all(
            "stuck",
            "it gets stuck at a training loss around 10^-0.5",
            "Figure 9",
            vec![ends("within a factor 2 of 10^-0.5", |loss| (loss.log10() + 0.5).abs() <= 2f64.log10())],
        ),
        Claim::all(
            "short-fits",
            "the short schedule, whose step sizes stay small, fits them",
            "Figure 9",
            vec![fits(results, SHORT)],
        ),
        Claim::all(
            "simpler",
            "the long schedule ends at a lower rank and at sparser features",
            "Figure 9, O3",
            vec![lower(RELU_RANK, SHORT), lower(SPARSITY, SHORT)],
        ),
        Claim::all(
            "simpler-than-400",
            "so it does against the long schedule of Figure 4",
            "Figures 4 and 9",
            vec![lower(RELU_RANK, "factor-400"), lower(SPARSITY, "factor-400")],
        ),
        Claim::all(
            "capacity",
            "the functions that are optimised over depend on the schedule: the larger the step sizes, the lower the final rank",
            "section 4.2, overregularization",
            FACTORS.windows(2).map(lower_rank).collect(),
        ),
        Claim::all(
            "over-regularises",
            "the largest step sizes end at a higher training loss than the smallest of long schedules",
            "section 4.2, overregularization",
            vec![paired(results, "train_loss", most, Direction::Above, least)],
        ),
    ])
}

/// The final predictors of both schedules, the panels over iterations, and by the factor how many seeds miss a point.
fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let (mut figure, data) = (picture(spec, results), spec.data.load()?);
    let runs = results.runs.iter().zip(&spec.runs).filter(|(run, _)| [SHORT, LONG].contains(&run.name.as_str())).enumerate();
    let predictors = runs.map(|(colour, (run, declared))| final_predictors(&data, run, &declared.label, colour));
    figure.panels.splice(0..0, predictors);
    figure.columns = 3;
    let mut shares = Vec::new();
    for (name, factor) in FACTORS {
        let Some(run) = results.run(name) else { continue };
        let losses: Vec<f64> = run.own().filter_map(|replica| run.last(run.survivor(replica.seed)?, "train_loss")).collect();
        let missed = losses.iter().filter(|&&loss| loss > MISSED).count();
        shares.push((factor, missed as f64 / losses.len() as f64));
    }
    let marks = Curve { colour: 1, style: Style::Mark(Symbol::Disc), points: shares.clone(), ..Curve::default() };
    figure.panels.push(plot::Panel {
        title: format!("Share of seeds that end above a loss of {MISSED}"),
        x: Axis::linear("warm-up factor, decay at 50%"),
        y: Axis { range: Some((0.0, 1.0)), ..Axis::linear("") },
        curves: vec![Curve { colour: 1, points: shares, ..Curve::default() }, marks],
        ..plot::Panel::default()
    });
    Ok(figure)
}

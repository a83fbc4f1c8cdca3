//! Figure 10: predictors of Figure 4 over iterations. First the model is simplified, then it fits the points.

use super::one_dimension::{self, LONG, MISSED, SPARSITY, fits, predictor, predictor_panel};
use super::{PAPER, RELU_RANK, draws_two_layers};
use crate::claims::{Claim, Evidence, each};
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Bias;
use crate::report::plot::{self, Curve};
use crate::run::{Results, RunResults};
use crate::spec::{Scale, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/fig10",
    paper: PAPER,
    about: "predictors of Figure 4 over iterations: first simplified, then fitted",
    declare,
    expect,
    simulate: None,
    check: |spec| draws_two_layers(spec, 1, Bias::First),
    draw,
};

/// Iterations of 31,623 at which predictors are drawn; the decay of the long schedule is at 15,811.
const MOMENTS: [f64; 6] = [99.0, 422.0, 1_265.0, 6_535.0, 14_968.0, 31_412.0];

fn declare(scale: Scale) -> Spec {
    let title = "Two-layer ReLU networks in one dimension: predictors over iterations, Figure 10";
    Spec { trajectory: true, ..one_dimension::declare(&FIGURE, title, scale, 400.0) }
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    Ok(vec![
        Claim::all(
            "first-simplified",
            "most of the fall in rank and feature sparsity is done when the step size decays",
            "Figure 10",
            vec![mostly_before_decay(results, RELU_RANK), mostly_before_decay(results, SPARSITY)],
        ),
        Claim::all(
            "not-yet-fitted",
            "until then the points are not fitted",
            "Figure 10",
            vec![each(results, &format!("{LONG}: level before the decay above {MISSED}"), LONG, |run, replica| {
                let level = run.stabilisation_level(replica)?;
                Some((level > MISSED, level))
            })],
        ),
        Claim::all("then-fitted", "after it they are", "Figure 10", vec![fits(results, LONG)]),
    ])
}

/// Does a metric fall, and does it do more than half of that before the decay?
fn mostly_before_decay(results: &Results, metric: &str) -> Evidence {
    let what = format!("{metric} of {LONG}: more than half of its fall is before the decay (median: the share)");
    each(results, &what, LONG, |run, replica| {
        let (first, last) = (run.series(replica, metric).first()?.1, run.last(replica, metric)?);
        let decay = run.within(replica, metric, ..=run.first_decay?).last()?.1;
        let share = (first - decay) / (first - last);
        Some((last < first && share > 0.5, share))
    })
}

/// A panel per moment with the first seed's predictor of every run.
fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let data = spec.data.load()?;
    let params = spec.net.initial(data.d, crate::spec::Seed::Own(0)).len();
    let nearest = |run: &RunResults, moment: f64| {
        let distance = |&index: &usize| (run.points[index] as f64 / run.steps as f64 - moment / 31_623.0).abs();
        (0..run.points.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)))
    };
    let panel = |moment| {
        let mut drawn = 0;
        let mut curves = Vec::new();
        for (colour, (run, declared)) in results.runs.iter().zip(&spec.runs).enumerate() {
            let trajectory = run.replicas.first().map_or(&[][..], |replica| &replica.trajectory);
            let Some(index) = nearest(run, moment) else { continue };
            let Some(at) = trajectory.chunks_exact(params).nth(index) else { continue };
            drawn = run.points[index];
            curves.push(Curve { label: declared.label.clone(), colour, points: predictor(&data, at), ..Curve::default() });
        }
        plot::Panel { legend: true, ..predictor_panel(&data, format!("iteration {drawn}"), curves) }
    };
    let start = match spec.seeds().first() {
        Some(seed) if spec.seeds().len() > 1 => format!("Start and order: {seed}'s, the first of {}. ", spec.seeds().len()),
        _ => String::new(),
    };
    Ok(plot::Figure {
        title: spec.title.clone(),
        columns: 3,
        panels: MOMENTS.map(panel).into(),
        footnote: Some(format!("{start}Discs: the training points. Data: {}.", spec.data.name())),
    })
}

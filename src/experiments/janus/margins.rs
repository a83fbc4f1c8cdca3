//! Pictures of margins: histograms over the training images, and medians by λ.

use std::sync::Arc;

use handgrad_kernels::Context;

use super::convnet::{family, short};
use super::{curve, panel};
use crate::data::{Data, Dataset};
use crate::error::Result;
use crate::metrics::{Measurer, Replicas};
use crate::report::plot::{self, Axis, Curve, Style};
use crate::run::{Replica, Results, RunResults, quantile};
use crate::spec::{Run, Spec};
use crate::train::Outcome;

/// Bins of a histogram.
const BINS: usize = 60;
/// Colours that can be told apart; more curves are dashed.
const COLOURS: usize = 7;

/// The margins of a run of a family at the end, of its first finite seed.
pub(super) struct Margins {
    /// Place in the family.
    place: usize,
    /// λ.
    decay: f64,
    values: Vec<f64>,
}

/// Those of a whole family.
pub(super) fn of(spec: &Spec, results: &Results, prefix: &str) -> Result<Vec<Margins>> {
    let cx = Context::cpu()?;
    let mut loaded: Option<(&Data, Arc<Dataset>)> = None;
    let mut all = Vec::new();
    for (place, run) in family(spec, prefix).into_iter().enumerate() {
        let Some(replica) = results.run(&run.name).and_then(|found| finite(found).next()) else { continue };
        let declared = spec.data_of(run);
        let data = match &loaded {
            Some((of, data)) if *of == declared => Arc::clone(data),
            _ => Arc::new(declared.load()?),
        };
        loaded = Some((declared, Arc::clone(&data)));
        let measurer = Measurer::new(data, spec.net_of(run), spec.loss_of(run))?;
        let mut values = measurer.margins(&cx, Replicas::new(&replica.params))?;
        values.retain(|margin| margin.is_finite());
        all.push(Margins { place, decay: run.optimiser.weight_decay, values });
    }
    Ok(all)
}

/// The own seeds that finished.
fn finite(run: &RunResults) -> impl Iterator<Item = &Replica> {
    run.own().filter(|replica| replica.outcome == Outcome::Finished)
}

/// Shares of the training images over their margins, for λ up to a largest one.
pub(super) fn histogram(title: &str, margins: &[Margins], up_to: f64) -> plot::Panel {
    let shown: Vec<&Margins> = margins.iter().filter(|margins| margins.decay <= up_to).collect();
    let values = || shown.iter().flat_map(|margins| &margins.values).copied();
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    // Where all margins are equal the bins still have a width.
    let room = 0.02 * (high - low) + 1e-6 * low.abs().max(high.abs()) + f64::MIN_POSITIVE;
    let range = (low - room, high + room);
    let curves = shown.iter().map(|margins| of_decay(margins.decay, margins.place, outline(&margins.values, range)));
    panel(title, Axis::linear("margin y(f₁ - f₀)"), Axis::linear("share of the training images"), curves.collect())
}

/// The upper edge of a histogram of even bins.
fn outline(values: &[f64], (low, high): (f64, f64)) -> Vec<(f64, f64)> {
    let mut counts = [0usize; BINS];
    for value in values {
        let bin = (value - low) / (high - low) * BINS as f64;
        counts[(bin as usize).min(BINS - 1)] += 1;
    }
    let edge = |k: usize| low + (high - low) * k as f64 / BINS as f64;
    let over = |(k, count): (usize, &usize)| {
        let share = *count as f64 / values.len() as f64;
        [(edge(k), share), (edge(k + 1), share)]
    };
    counts.iter().enumerate().flat_map(over).collect()
}

/// The curve of a λ, which is `place`-th of its family.
pub(super) fn of_decay(decay: f64, place: usize, points: Vec<(f64, f64)>) -> Curve {
    let style = if place < COLOURS { Style::Solid } else { Style::Dashed };
    Curve { style, ..curve(&format!("λ = {}", short(decay)), place % COLOURS, points) }
}

/// Median over the finite seeds.
pub(super) fn median(results: &Results, run: &Run, value: impl Fn(&RunResults, &Replica) -> Option<f64>) -> Option<f64> {
    let run = results.run(&run.name)?;
    quantile(&finite(run).filter_map(|replica| value(run, replica)).collect::<Vec<_>>(), 0.5)
}

/// Medians of a family over λ > 0, and a line at the one of λ = 0.
pub(super) fn by_decay(
    spec: &Spec,
    results: &Results,
    prefix: &str,
    (label, colour): (&str, usize),
    value: impl Fn(&RunResults, &Replica) -> Option<f64>,
) -> Vec<Curve> {
    let at = |run: &Run| Some((run.optimiser.weight_decay, median(results, run, &value)?));
    let levels = family(spec, prefix).into_iter().filter_map(at);
    let (free, decayed): (Vec<_>, Vec<_>) = levels.partition(|&(decay, _)| decay == 0.0);
    let mut curves = Vec::new();
    if let ([(_, level), ..], [(first, _), .., (last, _)]) = (&free[..], &decayed[..]) {
        let line = vec![(*first, *level), (*last, *level)];
        curves.push(Curve { style: Style::Dashed, ..curve("at λ = 0", colour, line) });
    }
    curves.push(curve(label, colour, decayed));
    curves
}

/// A panel of such curves.
pub(super) fn over_decays(title: &str, curves: Vec<Curve>) -> plot::Panel {
    panel(title, Axis::log("weight decay λ"), Axis::log(""), curves)
}

/// What the small print says of every figure of margins.
pub(super) fn footnote(spec: &Spec) -> String {
    format!(
        "f: outputs over ρ; λ: weight decay of all parameters. Histograms: one seed at the end; over λ: medians of {} seeds. Data: {}.",
        spec.seeds.own.len(),
        spec.data.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_every_image_once() {
        let values = [0.0, 0.5, 0.5, 1.0, 0.999];
        let points = outline(&values, (0.0, 1.0));
        assert_eq!((points.len(), points[0], points[2 * BINS - 1].0), (2 * BINS, (0.0, 0.2), 1.0));
        let sum: f64 = points.iter().step_by(2).map(|&(_, share)| share).sum();
        assert!((sum - 1.0).abs() <= 1e-12, "{sum}");
        assert_eq!((points[BINS].1, points[2 * BINS - 2].1), (0.4, 0.4));
        assert!(points.chunks_exact(2).all(|pair| pair[0].1 == pair[1].1 && pair[0].0 < pair[1].0));
    }

    #[test]
    fn equal_margins_have_a_panel_too() {
        let of = |decay, place, value| Margins { place, decay, values: vec![value; 3] };
        let panel = histogram("", &[of(0.0, 0, 0.0), of(1e-2, 9, 7.0)], 0.0);
        let [curve] = &panel.curves[..] else { panic!("λ = 0.01 is beyond") };
        assert!(curve.points.iter().all(|(x, y)| x.is_finite() && y.is_finite()));
        assert_eq!(curve.points.iter().map(|&(_, share)| share).fold(0.0, f64::max), 1.0);
        assert_eq!(histogram("", &[of(1e-2, 9, 7.0)], 1.0).curves[0].style, Style::Dashed);
    }
}

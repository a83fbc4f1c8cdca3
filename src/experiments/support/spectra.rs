//! Spectra as histograms, and the first layer of perceptrons at the start and at the end of runs.

use super::curve;
use crate::error::{Result, refuse};
use crate::metrics::weights;
use crate::nets::Architecture;
use crate::report::plot::{Axis, Panel};
use crate::run::{Replica, Results};
use crate::spec::{Seed, Spec};

/// Bins of a histogram, as in the paper's notebooks.
const BINS: usize = 50;
/// Where the bars of empty bins end on a logarithmic axis.
const EMPTY: f64 = 0.5;

/// How many values lie in each of [`BINS`] equal bins from 0 to the largest, and the width of a bin.
fn counts(values: &[f64]) -> ([usize; BINS], f64) {
    let width = values.iter().copied().fold(0.0, f64::max) / BINS as f64;
    let mut counts = [0; BINS];
    for value in values.iter().filter(|value| value.is_finite()) {
        counts[((value / width) as usize).min(BINS - 1)] += 1;
    }
    (counts, width)
}

/// How many values stand apart from the bulk in a histogram: those beyond its first empty bin.
pub(super) fn spikes(values: &[f64]) -> usize {
    let (counts, _) = counts(values);
    counts.iter().skip_while(|&&count| count > 0).sum()
}

/// Share of values in the first bin.
pub(super) fn near_zero(values: &[f64]) -> f64 {
    counts(values).0[0] as f64 / values.len() as f64
}

/// The histogram of eigenvalues on a logarithmic axis, as the outline of its bars.
pub(super) fn histogram(title: String, values: &[f64], colour: usize) -> Panel {
    let (counts, width) = counts(values);
    let bar = |(bin, &count): (usize, &usize)| {
        let (left, right, height) = (bin as f64 * width, (bin + 1) as f64 * width, (count as f64).max(EMPTY));
        [(left, EMPTY), (left, height), (right, height), (right, EMPTY)]
    };
    Panel {
        title,
        x: Axis::linear("eigenvalue"),
        y: Axis::log("how many"),
        curves: vec![curve("", colour, counts.iter().enumerate().flat_map(bar).collect())],
        ..Panel::default()
    }
}

/// Outputs and inputs of a perceptron's first layer, whose weights are the first parameters.
pub(super) fn first_layer(net: &Architecture) -> Option<(usize, usize)> {
    match net {
        Architecture::Mlp { widths, weight_norm: None, .. } => match widths[..] {
            [inputs, outputs, ..] => Some((outputs, inputs)),
            _ => None,
        },
        _ => None,
    }
}

/// Refuses networks without a first layer to look at.
pub(super) fn check(spec: &Spec) -> Result<()> {
    match spec.runs.iter().find(|run| first_layer(spec.net_of(run)).is_none()) {
        Some(run) => {
            refuse!("runs.{}: the figure draws W_1 of perceptrons without weight normalisation; set net.kind=mlp", run.name)
        }
        None => Ok(()),
    }
}

/// The eigenvalues of W_1ᵀW_1, descending, of a perceptron's parameters.
pub(super) fn spectrum(net: &Architecture, params: &[f64]) -> Option<Vec<f64>> {
    let (outputs, inputs) = first_layer(net)?;
    weights::spectrum(outputs, inputs, params.get(..outputs * inputs)?).ok()
}

/// The same of the parameters that a seed starts from.
pub(super) fn initial_spectrum(net: &Architecture, seed: Seed) -> Option<Vec<f64>> {
    spectrum(net, &net.initial(first_layer(net)?.1, seed))
}

/// The spec's network of the first seed: at the start, then at the end of every run, with the value of a metric in brackets.
pub(super) fn ends(spec: &Spec, results: &Results, metric: &str) -> Vec<(String, Vec<f64>)> {
    let first = |run: usize| -> Option<&Replica> { results.runs.get(run)?.replicas.first() };
    let seed = first(0).map_or(Seed::Own(0), |replica| replica.seed);
    let inputs = first_layer(&spec.net).map_or(0, |(_, inputs)| inputs);
    let mut ends = vec![("start".to_owned(), spec.net.initial(inputs, seed))];
    for (index, (run, declared)) in results.runs.iter().zip(&spec.runs).enumerate() {
        let Some(replica) = first(index) else { continue };
        let title = match run.last(replica, metric) {
            Some(value) => format!("{} ({value:.3})", declared.label),
            None => declared.label.clone(),
        };
        ends.push((title, replica.params.clone()));
    }
    ends
}

/// Histograms of the eigenvalues of W_1ᵀW_1 at [`ends`].
pub(super) fn histograms(spec: &Spec, results: &Results, metric: &str) -> Vec<Panel> {
    let ends = ends(spec, results, metric).into_iter().enumerate();
    // The start in grey, runs in the colours of their curves.
    let colour = |index: usize| index.checked_sub(1).unwrap_or(7);
    ends.filter_map(|(index, (title, params))| Some(histogram(title, &spectrum(&spec.net, &params)?, colour(index)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_beyond_the_first_empty_bin_are_spikes() {
        // Bins of width 2: 0.1 to 5.9 lie in the first three, 6 to 8 is empty.
        let values = [0.1, 0.2, 1.0, 3.0, 5.9, 8.5, 40.0, 100.0];
        assert_eq!((spikes(&values), near_zero(&values)), (3, 0.375));
        assert_eq!(spikes(&[0.0; 4]), 0, "one bin holds them all");
        let panel = histogram("title".to_owned(), &values, 0);
        let highest = panel.curves[0].points.iter().map(|point| point.1).fold(0.0, f64::max);
        assert_eq!((panel.curves[0].points.len(), highest), (4 * BINS, 3.0));
    }
}

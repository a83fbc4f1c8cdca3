//! What Figures 4, 9 and 10 share: 1-100-1 ReLU networks on 12 points on a line, trained by SGD with a linear warm-up that ends in
//! a decay. The loss is the mean squared error, as in the paper's code; own seeds draw the start and the order.

use super::{RELU_RANK, base};
use crate::claims::{Evidence, each};
use crate::data::{Data, Dataset, Published};
use crate::experiments::Figure;
use crate::loss::Loss;
use crate::nets::{Activation, Architecture, Bias, Init};
use crate::optim::Optimiser;
use crate::report::plot::{self, Axis, Curve, Style};
use crate::run::{Replica, Results, RunResults};
use crate::schedule::{Decay, Schedule};
use crate::spec::{Dtype, Evaluate, Metric, Panel, Run, Scale, Seed, Seeds, Spec};

/// A short warm-up, which stays at small steps, and a long one to large steps.
pub(super) const SHORT: &str = "decay-2%";
pub(super) const LONG: &str = "decay-50%";

/// The sparsity that the paper's code counts in one dimension, and that of the paper's text.
pub(super) const SPARSITY: &str = "sparsity@0.999";
pub(super) const SPARSITY_OF_TEXT: &str = "sparsity@0.95";

/// A training loss above which some of the points are missed.
pub(super) const MISSED: f64 = 0.1;

/// The paper's protocol, with step sizes that would reach `factor` times the first at the end of the run if they kept growing.
/// All of it is cheap, so that scales differ in seeds and evaluations alone.
pub(super) fn declare(figure: &Figure, title: &str, scale: Scale, factor: f64) -> Spec {
    let (seeds, grid) = match scale {
        Scale::Smoke => (6, 31),
        Scale::Laptop => (20, 151),
        Scale::Paper => (100, 151),
    };
    let init = Init::Blanc { weight: 2.5, bias: 2.5, output: 4.0 };
    let (widths, bias, activation) = (vec![1, 100, 1], Bias::First, Activation::Relu);
    Spec {
        dtype: Dtype::F32,
        loss: Loss::Mse,
        data: Data::Published { figure: Published::SparseFig4 },
        net: Architecture::Mlp { widths, bias, activation, init, weight_norm: None },
        seeds: Seeds { paper: true, own: (0..seeds).collect(), own_data: false },
        runs: vec![warmed(SHORT, factor, 0.02, 2.5), warmed(LONG, factor, 0.5, 3.0)],
        evaluate: Evaluate::even(100, grid),
        metrics: [RELU_RANK, SPARSITY, SPARSITY_OF_TEXT]
            .map(|name| Metric { every: 3, ..Metric::sparse(name, 12) })
            .into_iter()
            .chain([Metric::always("train_loss")])
            .collect(),
        panels: vec![
            Panel::new("train_loss", "Training loss, mean squared error", true),
            Panel::new(RELU_RANK, "rank φ_θ(X), σ/σ₁ > 10⁻⁴", false),
            Panel::new(SPARSITY, "Sparsity, |correlation| ≤ 0.999", false),
        ],
        ..base(figure, title, scale)
    }
}

/// SGD that warms up linearly until a fraction of the run, where its step size is divided: the paper's factors grow with that
/// fraction. Its step sizes reach 2e-4·(1 + (factor·until - 1)·until), not 2e-4·factor as the text reads.
pub(super) fn warmed(name: &str, factor: f64, until: f64, divide: f64) -> Run {
    let (base, factor) = (2e-4, factor * until);
    let peak = base * (1.0 + (factor - 1.0) * until);
    let decays = vec![Decay { at: until, divide }];
    let label = format!("η up to {peak:.2e}, decay at {}%", 100.0 * until);
    Run::new(name, &label, 31_623, Schedule::PowerWarmup { base, factor, exponent: 1.0, until, decays }, Optimiser::sgd())
}

/// Does a run end at a training loss at which no point is missed?
pub(super) fn fits(results: &Results, run: &str) -> Evidence {
    each(results, &format!("final training loss of {run} below {MISSED}"), run, |run, replica| {
        let loss = run.last(replica, "train_loss")?;
        Some((loss < MISSED, loss))
    })
}

/// Neurons a·relu(w·x + b) as (w, b, a).
fn neurons(params: &[f64]) -> impl Iterator<Item = (f64, f64, f64)> {
    let (weights, rest) = params.split_at(params.len() / 3);
    let (biases, outputs) = rest.split_at(weights.len());
    weights.iter().zip(biases).zip(outputs).map(|((w, b), a)| (*w, *b, *a))
}

/// Smallest and largest input.
pub(super) fn range(data: &Dataset) -> (f64, f64) {
    data.x.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)))
}

/// Kinks of the predictor in a range: those nearer to each other than 1% of it count once, and only where the slope changes by
/// more than 1% of all its changes together. `None` without parameters.
pub(super) fn kinks(params: &[f64], (low, high): (f64, f64)) -> Option<f64> {
    let mut changes: Vec<(f64, f64)> = neurons(params).map(|(w, b, a)| (-b / w, a * w.abs())).collect();
    changes.retain(|&(place, _)| low < place && place < high);
    changes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let near = |a: &(f64, f64), b: &(f64, f64)| b.0 - a.0 <= 0.01 * (high - low);
    let merged: Vec<f64> =
        changes.chunk_by(near).map(|group| group.iter().map(|(_, change)| change).sum::<f64>().abs()).collect();
    let all: f64 = merged.iter().sum();
    (!params.is_empty()).then(|| merged.iter().filter(|&&change| change > 0.01 * all).count() as f64)
}

/// The predictor on a fine grid a little beyond the data.
pub(super) fn predictor(data: &Dataset, params: &[f64]) -> Vec<(f64, f64)> {
    let (low, high) = range(data);
    let grid = (0..=((high - low + 0.1) / 0.01) as usize).map(|k| low - 0.05 + 0.01 * k as f64);
    grid.map(|x| (x, neurons(params).map(|(w, b, a)| a * (w * x + b).max(0.0)).sum())).collect()
}

/// Predictors, and the points that they were trained on.
pub(super) fn predictor_panel(data: &Dataset, title: String, mut curves: Vec<Curve>) -> plot::Panel {
    let points = data.x.iter().copied().zip(data.y.iter().copied()).collect();
    let style = Style::Mark(plot::Symbol::Disc);
    curves.push(Curve { colour: 7, style, points, ..Curve::default() });
    let y = Axis { range: Some((-3.0, 4.0)), ..Axis::linear("h(x)") };
    plot::Panel { title, x: Axis::linear("x"), y, curves, ..plot::Panel::default() }
}

/// Final predictors of a run: the paper's replica, or the first, over the others.
pub(super) fn final_predictors(data: &Dataset, run: &RunResults, label: &str, colour: usize) -> plot::Panel {
    let curve = |replica: &Replica, style| Curve { colour, style, points: predictor(data, &replica.params), ..Curve::default() };
    let others = run.replicas.iter().skip(1).filter(|replica| run.survivor(replica.seed).is_some());
    let mut curves: Vec<Curve> = others.map(|replica| curve(replica, Style::Faint)).collect();
    curves.extend(run.replicas.first().map(|replica| curve(replica, Style::Solid)));
    let first = run
        .replicas
        .first()
        .map_or("", |replica| if replica.seed == Seed::Paper { "paper's start bold" } else { "first seed bold" });
    predictor_panel(data, format!("Final predictors, {label} ({first})"), curves)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2·relu(x - 1) - relu(-x + 3) + relu(x - 1.001), and a kink beyond the range.
    const PARAMS: [f64; 12] = [1.0, -1.0, 1.0, 1.0, -1.0, 3.0, -1.001, -9.0, 2.0, -1.0, 1.0, 5.0];

    #[test]
    fn kinks_that_coincide_or_do_not_bend_count_once_or_not() {
        assert_eq!(kinks(&PARAMS, (0.0, 5.0)), Some(2.0));
        assert_eq!(kinks(&PARAMS, (0.0, 0.05)), Some(0.0));
        assert_eq!(kinks(&PARAMS, (0.9, 1.1)), Some(1.0));
        assert_eq!(kinks(&PARAMS, (0.9, 1.01)), Some(1.0), "1.001 is within 1% of 1");
        let faint = [1.0, 1.0, -1.0, -2.0, 1.0, 0.009];
        assert_eq!(kinks(&faint, (0.0, 5.0)), Some(1.0), "a change of slope of 0.9% of the other");
        assert_eq!(kinks(&[], (0.0, 5.0)), None);
    }

    #[test]
    fn the_predictor_is_the_sum_of_its_neurons() {
        let data = Dataset { d: 1, x: vec![2.05, 1.05], y: vec![0.0, 0.0], ..Dataset::default() };
        let drawn = predictor(&data, &PARAMS);
        assert!((drawn[0].0 - 1.0).abs() <= 1e-12 && (drawn[0].1 + 2.0).abs() <= 1e-9, "{:?}", drawn[0]);
        let (x, h) = drawn[100];
        assert!((x - 2.0).abs() <= 1e-12 && (h - (2.0 - 1.0 + 0.999)).abs() <= 1e-9, "{x} {h}");
        assert!((drawn[drawn.len() - 1].0 - 2.1).abs() <= 0.011);
    }

    #[test]
    fn step_sizes_are_the_published_ones() {
        for (factor, until, divide, peak, after) in
            [(400.0, 0.02, 2.5, 2.28e-4, 9.12e-5), (400.0, 0.5, 3.0, 2.01e-2, 6.70e-3), (500.0, 0.5, 3.0, 2.51e-2, 8.37e-3)]
        {
            let run = warmed("run", factor, until, divide);
            let decay = run.schedule.first_decay(run.steps).unwrap();
            let at = |step| run.schedule.at(step, run.steps);
            assert!((at(decay - 1) / peak - 1.0).abs() <= 2e-3 && (at(decay) / after - 1.0).abs() <= 2e-3, "{}", run.label);
        }
    }
}

//! Figure 12: convolutional filters of ResNet-18 at the start, and after training with small and with large steps (decay at 50%).
//!
//! The paper names neither the layers nor the setting: here the last convolution of every group of blocks, of each up to 36 filters
//! from an input to an output channel, in the basic setting of Figure 7. The claim is checked by ‖W - W(0)‖/‖W(0)‖ of the same
//! convolutions, over all seeds. At laptop scale networks of width 8 learn 1500 digits of 8 x 8 for 40 epochs on batches of 32;
//! smoke is a few steps.

use super::deep::{Extent, Setting};
use super::{PAPER, SCHEDULES};
use crate::claims::{Claim, Direction, each, paired};
use crate::error::{Result, refuse};
use crate::experiments::Figure;
use crate::nets::{Architecture, Parameter};
use crate::report::plot::{self, Axis, Cells, Colours};
use crate::run::Results;
use crate::spec::{Metric, Panel, Scale, Spec};
use crate::train::Outcome;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/fig12",
    paper: PAPER,
    about: "convolutional filters of ResNet-18 at the start and after small and large steps, and how far they have moved",
    declare,
    expect,
    simulate: None,
    check,
    draw,
};

/// How far the last convolution of every group of blocks has moved.
const MOVED: [&str; 4] = ["relative_distance.1", "relative_distance.2", "relative_distance.3", "relative_distance.4"];

/// Weights that have moved by less of their norm are very close to their start.
const CLOSE: f64 = 0.2;

/// Filters in a row, and rows.
const SIDE: usize = 6;

fn declare(scale: Scale) -> Spec {
    let extent = match scale {
        Scale::Smoke => Extent::smoke(),
        Scale::Laptop => Extent::digits(40, 2, 8),
        Scale::Paper => Extent { evaluations: 2, ..Extent::paper() },
    };
    let [small, .., longest] = SCHEDULES;
    let runs = Setting::Basic.runs(&extent).into_iter().filter(|run| [small, longest].contains(&run.name.as_str())).collect();
    let title = extent.title("ResNet-18", "convolutional filters, small and large steps, Figure 12");
    let panels = MOVED
        .iter()
        .enumerate()
        .map(|(group, metric)| Panel::new(metric, &format!("‖W - W(0)‖/‖W(0)‖, last convolution of group {}", group + 1), false));
    Spec {
        metrics: MOVED.map(Metric::always).to_vec(),
        panels: panels.collect(),
        ..extent.spec(&FIGURE, scale, &title, 18, runs)
    }
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let [small, .., longest] = SCHEDULES;
    let close = |metric: &&str| {
        each(results, &format!("{metric} of {small} below {CLOSE}"), small, |run, replica| {
            let moved = run.last(replica, metric)?;
            Some((moved < CLOSE, moved))
        })
    };
    Ok(vec![
        Claim::all(
            "small-stays",
            "with small steps the early and middle layers stay very close to their random start",
            "Figure 12, section 4.3",
            MOVED[..3].iter().map(close).collect(),
        ),
        Claim::all(
            "large-moves",
            "large steps induce feature learning in different layers: all move farther than with small steps",
            "Figure 12, appendix",
            MOVED.iter().map(|metric| paired(results, metric, longest, Direction::Above, small)).collect(),
        ),
    ])
}

fn check(spec: &Spec) -> Result<()> {
    match spec.runs.iter().find(|run| !matches!(spec.net_of(run), Architecture::Resnet(_))) {
        Some(run) => {
            let name = &run.name;
            refuse!(
                "spec: runs.{name}: the figure draws filters of residual networks; keep net.kind = resnet, or set figure=null"
            )
        }
        None => Ok(()),
    }
}

/// The last convolution of a group of blocks.
fn convolution(net: &Architecture, d: usize, group: usize) -> Result<Option<Parameter>> {
    let named = |parameter: &Parameter| {
        parameter.name.starts_with(&format!("layer{group}.")) && parameter.name.ends_with(".conv2.weight")
    };
    Ok(net.net::<f32>(d)?.and_then(|net| net.parameters().into_iter().rfind(named)))
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let mut panels = Vec::new();
    for (place, metric) in MOVED.iter().enumerate() {
        for (column, (run, declared)) in results.runs.iter().zip(&spec.runs).enumerate() {
            let net = spec.net_of(declared);
            let d = if let Architecture::Resnet(resnet) = net { resnet.image.iter().product() } else { 0 };
            let shown = run.replicas.iter().find(|replica| replica.outcome == Outcome::Finished).or(run.replicas.first());
            let (Some(filters), Some(replica)) = (convolution(net, d, place + 1)?, shown) else { continue };
            let mut panel = |title: String, label: &str, params: &[f64]| {
                let weights = params.get(filters.range.clone()).unwrap_or_default();
                let cells = Some(mosaic(weights, &filters.shape));
                panels.push(plot::Panel { title, y: Axis::linear(label), cells, ..plot::Panel::default() });
            };
            if column == 0 {
                panel("start".to_owned(), filters.name.trim_end_matches(".weight"), &net.initial(d, replica.seed));
            }
            let moved = run.last(replica, metric).map_or(String::new(), |moved| format!(" ({moved:.2})"));
            panel(format!("{}{moved}", declared.label), "", &replica.params);
        }
    }
    let footnote = format!(
        "Every square is a filter from one input to one output channel. In brackets: ‖W - W(0)‖/‖W(0)‖ of the whole convolution. The setting is assumed: no momentum, no weight decay, no augmentation. The first finite seed of {}. Data: {}.",
        spec.seeds.own.len(),
        spec.data.name()
    );
    Ok(plot::Figure { title: spec.title.clone(), columns: spec.runs.len() + 1, panels, footnote: Some(footnote) })
}

/// Filters of a convolution, outputs x size x size x inputs, side by side in the order of outputs, then inputs, with white lines
/// between them.
fn mosaic(weights: &[f64], shape: &[usize]) -> Cells {
    let [outputs, size, _, inputs] = *shape else { return Cells::default() };
    let count = (outputs * inputs).min(SIDE * SIDE);
    let (rows, columns) = (count.div_ceil(SIDE) * (size + 1) - 1, count.min(SIDE) * (size + 1) - 1);
    let mut values = vec![0.0; rows * columns];
    for filter in 0..count {
        let (top, left) = (filter / SIDE * (size + 1), filter % SIDE * (size + 1));
        for (y, x) in (0..size).flat_map(|y| (0..size).map(move |x| (y, x))) {
            let weight = ((filter / inputs * size + y) * size + x) * inputs + filter % inputs;
            values[(top + y) * columns + left + x] = weights.get(weight).copied().unwrap_or(f64::NAN);
        }
    }
    Cells { rows, columns, values, range: None, colours: Colours::Diverging, mark_column: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_lie_side_by_side() {
        // Two outputs, two inputs, 2 x 2: entry 100·output + 10·pixel + input.
        let entry = |k: usize| (100 * (k / 8) + 10 * (k % 8 / 2) + k % 2) as f64;
        let cells = mosaic(&(0..16).map(entry).collect::<Vec<_>>(), &[2, 2, 2, 2]);
        assert_eq!((cells.rows, cells.columns), (2, 11));
        assert_eq!(cells.values[..11], [0.0, 10.0, 0.0, 1.0, 11.0, 0.0, 100.0, 110.0, 0.0, 101.0, 111.0]);
        assert_eq!(cells.values[11..], [20.0, 30.0, 0.0, 21.0, 31.0, 0.0, 120.0, 130.0, 0.0, 121.0, 131.0]);
        let many = mosaic(&[1.0; 9 * 49], &[7, 3, 3, 7]);
        assert_eq!((many.rows, many.columns), (23, 23), "36 of 49");
    }
}

//! The picture of Theorem 2: weights of a chain by their rank at the start, their approach to balance, and which layer is zeroed.

use super::theorem2::{DEPTHS, TIMES, ranked, unit_of_time};
use crate::error::Result;
use crate::report::plot::{self, Axis, Curve, Style};
use crate::run::{Results, RunResults, quantile};
use crate::spec::Spec;

const RANKS: [&str; 4] = ["smallest at the start", "second", "third", "fourth"];

pub(super) fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let panel = |title: String, x: Axis, y: Axis, curves: Vec<Curve>| plot::Panel {
        title,
        x,
        y,
        curves,
        legend: true,
        ..plot::Panel::default()
    };
    let mut panels = Vec::new();
    for (name, depth) in DEPTHS {
        let curves = results.run(name).map_or_else(Vec::new, weights);
        let y = Axis { range: Some((1e-12, 4.0)), ..Axis::log("|w|") };
        panels.push(panel(format!("|w| by rank at the start, L = {depth}"), Axis::linear("iteration"), y, curves));
    }
    let mut gaps = Vec::new();
    for (colour, name) in TIMES.into_iter().enumerate() {
        let (Some(run), unit) = (results.run(name), unit_of_time(spec, name)?) else { continue };
        let label = spec.runs.iter().find(|run| run.name == name).map_or("", |run| &run.label);
        let label = if colour == 0 { "η, b, R of the others".to_owned() } else { label.to_owned() };
        let gap = median(run, |replica| {
            let weights = ranked(run, replica);
            let squares = |k: usize, rank: usize| weights[rank].1[k].1.powi(2);
            let gap = |k: usize| squares(k, 1) - squares(k, 0);
            (0..weights[0].1.len()).map(|k| gap(k).abs() / gap(0)).collect()
        });
        let points = gap.into_iter().map(|(step, [_, middle, _])| (step / unit, middle)).take_while(|point| point.0 <= 12.0);
        gaps.push(Curve { label, colour, points: points.collect(), ..Curve::default() });
    }
    gaps.push(line("exp(-t η²R²/b)", 7, (0..=12).map(|t| (f64::from(t), (-f64::from(t)).exp())).collect()));
    let y = Axis { range: Some((1e-5, 2.0)), ..Axis::log("") };
    panels.push(panel("Depth 2: (w_2² - w_1²) over its start, medians".to_owned(), Axis::linear("t η²R²/b"), y, gaps));
    let share = |(name, depth): (&str, usize)| -> Option<(f64, f64)> {
        let run = results.run(name)?;
        let kept = |replica| Some(run.last(replica, "weight_norm.1")? / run.series(replica, "weight_norm.1").first()?.1);
        let ends: Vec<f64> = run.own().filter_map(kept).collect();
        Some((depth as f64, ends.iter().filter(|&&w| w < 0.01).count() as f64 / ends.len() as f64))
    };
    let of_depth = |numerator: f64| (20..=40).map(|l| f64::from(l) / 10.0).map(|l| (l, numerator / l)).collect();
    let measured = Curve {
        label: "share of seeds".to_owned(),
        style: Style::Points,
        points: DEPTHS.into_iter().filter_map(share).collect(),
        ..Curve::default()
    };
    let curves = vec![line("2/L", 7, of_depth(2.0)), line("1/L: gradient descent", 6, of_depth(1.0)), measured];
    let y = Axis { range: Some((0.0, 1.05)), ..Axis::linear("") };
    panels.push(panel("The first layer is zeroed: 0.01 or less is left".to_owned(), Axis::linear("depth L"), y, curves));
    Ok(plot::Figure {
        title: spec.title.clone(),
        columns: 3,
        panels,
        footnote: Some(format!(
            "One component x ~ N(0, 1) with labels of pure noise; η = 0.1, b = 1, R = {:.2} unless said. Lines: medians of {} seeds; bands: 10th to 90th percentile.",
            (100.0 / unit_of_time(spec, "depth-2")?).sqrt(),
            spec.seeds.own.len()
        )),
    })
}

fn line(label: &str, colour: usize, points: Vec<(f64, f64)>) -> Curve {
    Curve { label: label.to_owned(), colour, style: Style::Dashed, points, ..Curve::default() }
}

/// 10th, 50th and 90th percentile over own seeds of a quantity at every evaluation point.
fn median(run: &RunResults, of: impl Fn(&crate::run::Replica) -> Vec<f64>) -> Vec<(f64, [f64; 3])> {
    let series: Vec<Vec<f64>> = run.own().filter(|replica| run.survivor(replica.seed).is_some()).map(of).collect();
    let at = |(k, &step): (usize, &u64)| {
        let values: Vec<f64> = series.iter().filter_map(|series| series.get(k).copied()).collect();
        let [low, middle, high] = [0.1, 0.5, 0.9].map(|fraction| quantile(&values, fraction));
        Some((step as f64, [low?, middle?, high?]))
    };
    run.points.iter().enumerate().filter_map(at).collect()
}

/// A curve with its band per rank.
fn weights(run: &RunResults) -> Vec<Curve> {
    let depth = run.replicas.first().map_or(0, |replica| ranked(run, replica).len());
    let of_rank = |rank: usize| {
        let values = median(run, |replica| {
            ranked(run, replica).get(rank).into_iter().flat_map(|(_, series)| series.iter().map(|point| point.1)).collect()
        });
        Curve {
            label: RANKS.get(rank).copied().unwrap_or("").to_owned(),
            colour: rank,
            points: values.iter().map(|&(step, [_, middle, _])| (step, middle)).collect(),
            band: Some(values.iter().map(|&(step, [low, _, high])| (step, low, high)).collect()),
            ..Curve::default()
        }
    };
    (0..depth).map(of_rank).collect()
}

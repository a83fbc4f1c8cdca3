//! Metrics over the grids of residual networks, as claims and pictures read them.

use super::resnet::{Noise, ends};
use super::step_size;
use crate::claims::Evidence;
use crate::report::plot::{self, Axis, Shades, Tiles};
use crate::run::{Results, quantile};
use crate::spec::{Run, Spec};

/// A metric over a grid: medians over seeds at the end, row by row, NaN where every seed has diverged.
#[derive(Clone, Debug)]
pub(super) struct Map {
    /// Probabilities of random labels, ascending.
    noise: Vec<f64>,
    /// Step sizes, ascending.
    rates: Vec<f64>,
    values: Vec<f64>,
}

/// Both ends of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Third {
    Lower,
    Upper,
}

impl Third {
    fn of(self, count: usize) -> std::ops::Range<usize> {
        let third = count.div_ceil(3);
        match self {
            Third::Lower => 0..third,
            Third::Upper => count - third..count,
        }
    }
}

impl Map {
    pub fn of(spec: &Spec, results: &Results, noise: Noise, metric: &str) -> Map {
        let measured = |run: &Run| {
            let median = quantile(&ends(results.run(&run.name)?, metric), 0.5);
            Some((noise.probability(run)?, step_size(run), median.unwrap_or(f64::NAN)))
        };
        let points: Vec<(f64, f64, f64)> = spec.runs.iter().filter_map(measured).collect();
        let axis = |of: fn(&(f64, f64, f64)) -> f64| {
            let mut values: Vec<f64> = points.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values.dedup();
            values
        };
        let (noise, rates) = (axis(|point| point.0), axis(|point| point.1));
        let at = |noise: f64, rate: f64| {
            points.iter().find(|point| (point.0, point.1) == (noise, rate)).map_or(f64::NAN, |point| point.2)
        };
        let values = rates.iter().flat_map(|&rate| noise.iter().map(move |&noise| (noise, rate)));
        let values = values.map(|(noise, rate)| at(noise, rate)).collect();
        Map { noise, rates, values }
    }

    /// The same with every value changed.
    pub fn map(self, of: impl Fn(f64) -> f64) -> Map {
        Map { values: self.values.into_iter().map(of).collect(), ..self }
    }

    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Columns, one for every probability of noise.
    pub fn columns(&self) -> usize {
        self.noise.len()
    }

    /// The largest value; 0 if there is none above it.
    pub fn largest(&self) -> f64 {
        self.values.iter().copied().fold(0.0, f64::max)
    }

    /// Places of the values in a third of both axes.
    pub fn corner(&self, noise: Third, rate: Third) -> Vec<usize> {
        let columns = noise.of(self.columns());
        rate.of(self.rates.len()).flat_map(|row| columns.clone().map(move |column| row * self.columns() + column)).collect()
    }

    /// Of a column, the first row with a value below a bound; the number of rows if there is none.
    pub fn boundary(&self, column: usize, below: f64) -> usize {
        let mut rows = self.values.chunks(self.columns().max(1));
        rows.position(|row| row.get(column).is_some_and(|&value| value < below)).unwrap_or(self.rates.len())
    }

    /// Rows, one for every step size.
    pub fn rows(&self) -> usize {
        self.rates.len()
    }

    /// As tiles, from 0 to the value of the lightest.
    pub fn panel(&self, title: &str, lightest: f64) -> plot::Panel {
        let (x, y) = (edges(&self.noise, false), edges(&self.rates, true));
        let ends = |edges: &[f64]| Some((*edges.first()?, *edges.last()?));
        plot::Panel {
            title: title.to_owned(),
            x: Axis { range: ends(&x), ..Axis::linear("probability of a random label") },
            y: Axis { range: ends(&y), ..Axis::log("step size η") },
            tiles: Some(Tiles { x, y, values: self.values.clone(), shades: Shades::Even { low: 0.0, high: lightest } }),
            ..plot::Panel::default()
        }
    }
}

/// Edges of tiles around ascending values: half-way between neighbours, on a logarithmic axis geometrically.
fn edges(values: &[f64], log: bool) -> Vec<f64> {
    let places: Vec<f64> = values.iter().map(|&value| if log { value.log10() } else { value }).collect();
    let (Some(&first), Some(&last)) = (places.first(), places.last()) else { return Vec::new() };
    let half = |pair: Option<&[f64]>| pair.map_or(0.5, |pair| 0.5 * (pair[1] - pair[0]));
    let between = places.windows(2).map(|pair| 0.5 * (pair[0] + pair[1]));
    let all =
        [first - half(places.windows(2).next())].into_iter().chain(between).chain([last + half(places.windows(2).next_back())]);
    all.map(|place| if log { 10f64.powf(place) } else { place }).collect()
}

/// Of the points of a grid that have a value: are all as a question asks?
pub(super) fn at_points(what: &str, values: impl Iterator<Item = f64>, question: impl Fn(f64) -> bool) -> Evidence {
    let all: Vec<f64> = values.collect();
    let known: Vec<f64> = all.iter().copied().filter(|value| value.is_finite()).collect();
    let wins = known.iter().filter(|&&value| question(value)).count();
    let detail = quantile(&known, 0.5).map_or("no point".to_owned(), |median| format!("median {median:.3e}"));
    Evidence::grid(what, wins, known.len(), format!("{detail}, {} points without a finite seed", all.len() - known.len()))
}

/// One question of a whole map; undecided without values.
pub(super) fn of_map(what: &str, map: &Map, answer: bool, detail: String) -> Evidence {
    let asked = map.values.iter().any(|value| value.is_finite());
    Evidence::grid(what, usize::from(asked && answer), usize::from(asked), detail)
}

/// A picture of maps.
pub(super) fn picture(spec: &Spec, columns: usize, panels: Vec<plot::Panel>, colours: &str) -> plot::Figure {
    let seeds = spec.seeds.own.len();
    let footnote = format!(
        "{colours}, median over the finite seeds of {seeds}; white: all diverged. A label is drawn anew, from all classes, with the probability shown. Data: {}.",
        spec.data.name()
    );
    plot::Figure { title: spec.title.clone(), columns, panels, footnote: Some(footnote) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_lie_around_their_values() {
        let close = |found: Vec<f64>, want: &[f64]| {
            assert_eq!(found.len(), want.len());
            let near = found.iter().zip(want).all(|(found, want)| (found - want).abs() <= 1e-12);
            assert!(near, "{found:?}, expected {want:?}");
        };
        close(edges(&[0.25, 0.75], false), &[0.0, 0.5, 1.0]);
        close(edges(&[1.0, 10.0, 1000.0], true), &[0.1f64.sqrt(), 10f64.sqrt(), 100.0, 10_000.0]);
        close(edges(&[2.0], false), &[1.5, 2.5]);
        close(edges(&[], true), &[]);
    }

    #[test]
    fn corners_and_boundaries_of_a_map() {
        let values = vec![9.0, 9.0, f64::NAN, 9.0, 1.0, 1.0];
        let map = Map { noise: vec![0.1, 0.5, 0.9], rates: vec![0.1, 1.0], values };
        assert_eq!(map.corner(Third::Upper, Third::Upper), [5]);
        assert_eq!(map.corner(Third::Lower, Third::Lower), [0]);
        assert_eq!([0, 1, 2].map(|column| map.boundary(column, 5.0)), [2, 1, 1]);
        assert_eq!(map.largest(), 9.0);
    }
}

//! "The Probabilistic Stability of Stochastic Gradient Descent", Ziyin, Li, Galanti, Ueda, 2023. Exponents are E log|.| here,
//! half of the paper's equation 9; its steps are those of (wx - y)²/2.

mod convolutions;
mod diagram;
pub(super) mod fig10;
pub(super) mod fig11;
pub(super) mod fig12;
pub(super) mod fig1a;
pub(super) mod fig1b;
pub(super) mod fig1c;
pub(super) mod fig1c_resnet;
pub(super) mod fig2;
pub(super) mod fig3;
pub(super) mod fig4;
pub(super) mod fig5;
pub(super) mod fig6;
pub(super) mod fig7;
pub(super) mod fig8;
pub(super) mod fig9;
mod maps;
mod resnet;
mod statements;
mod swish;
pub(super) mod theory;

use super::simulated;
use crate::nets::{Activation, Architecture, Bias};
use crate::optim::Optimiser;
use crate::report::plot::{self, Axis, Curve, Shades, Tiles};
use crate::schedule::Schedule;
use crate::spec::Run;
use crate::theory::saddle::Phase;

/// The paper, as claims cite it.
const PAPER: &str = "The Probabilistic Stability of Stochastic Gradient Descent (Ziyin et al. 2023)";

/// A run of SGD on single samples, drawn with replacement, at a step size.
fn run(name: &str, label: &str, steps: u64, lambda: f64) -> Run {
    Run::new(name, label, steps, Schedule::Constant { peak: lambda }, Optimiser::sgd())
}

/// The step size of a run.
fn step_size(run: &Run) -> f64 {
    run.schedule.at(0, run.steps)
}

/// The network of one neuron, u·φ(wx); without φ and u, the regression wx.
fn neuron(widths: &[usize], activation: Activation) -> Architecture {
    Architecture::mlp(widths, Bias::None, activation)
}

fn curve(label: &str, colour: usize, points: Vec<(f64, f64)>) -> Curve {
    Curve { label: label.to_owned(), colour, points, ..Curve::default() }
}

fn panel(title: &str, x: Axis, y: Axis, curves: Vec<Curve>) -> plot::Panel {
    plot::Panel { title: title.to_owned(), x, y, curves, legend: true, ..plot::Panel::default() }
}

/// A map of phases over two axes with ranges, each phase named where it is widest.
fn phases(title: &str, (x, columns): (Axis, usize), (y, rows): (Axis, usize), phase: impl Fn(f64, f64) -> Phase) -> plot::Panel {
    let class = |phase: Phase| Phase::ALL.iter().position(|&other| other == phase).map_or(f64::NAN, |index| index as f64);
    let tiles = Tiles::of(|x, y| class(phase(x, y)), (&x, columns), (&y, rows), Shades::Classes);
    let notes = Phase::ALL.iter().filter_map(|&phase| {
        let (column, row) = widest(&tiles.values, columns, class(phase))?;
        let middle = |edges: &[f64], log: bool, k: usize| {
            if log { (edges[k] * edges[k + 1]).sqrt() } else { 0.5 * (edges[k] + edges[k + 1]) }
        };
        Some((middle(&tiles.x, x.log, column), middle(&tiles.y, y.log, row), phase.to_string()))
    });
    let notes = notes.collect();
    plot::Panel { title: title.to_owned(), x, y, notes, tiles: Some(tiles), ..plot::Panel::default() }
}

/// The tile of a value that is farthest from any other value, in steps; none if the value fills no square of five.
fn widest(values: &[f64], columns: usize, value: f64) -> Option<(usize, usize)> {
    let rows = values.len() / columns.max(1);
    let inside = |column: i64, row: i64| {
        (0..columns as i64).contains(&column)
            && (0..rows as i64).contains(&row)
            && values.get(row as usize * columns + column as usize) == Some(&value)
    };
    let reach = |column: usize, row: usize| {
        let (column, row) = (column as i64, row as i64);
        let clear =
            |r: i64| (-r..=r).all(|k| [(k, r), (k, -r), (r, k), (-r, k)].iter().all(|&(dx, dy)| inside(column + dx, row + dy)));
        (0..).find(|&r| !clear(r)).unwrap_or(0)
    };
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row)));
    let best = places.map(|(column, row)| (reach(column, row), (column, row))).max_by_key(|&(reach, _)| reach);
    best.filter(|&(reach, _)| reach > 2).map(|(_, place)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_named_where_it_is_widest() {
        // A square of 5 in the corner of a plane of 9 x 8.
        let values: Vec<f64> = (0..72).map(|k| f64::from(u8::from(k % 9 < 5 && k / 9 < 5))).collect();
        assert_eq!(widest(&values, 9, 1.0), Some((2, 2)));
        assert_eq!(widest(&values, 9, 7.0), None);
        let line: Vec<f64> = (0..72).map(|k| f64::from(u8::from(k / 9 == 3))).collect();
        assert_eq!(widest(&line, 9, 1.0), None, "too thin for a name");
    }
}

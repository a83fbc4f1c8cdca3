//! "The Janus effects of SGD vs GD: high noise and low rank", Xu, Galanti, Rangamani, Rosasco, Poggio, 2023: linear
//! regression, small networks with normalised layers, and a convnet.

pub(super) mod app_e;
mod convnet;
pub(super) mod fig1;
pub(super) mod fig2;
pub(super) mod fig3;
pub(super) mod fig4;
pub(super) mod fig5;
pub(super) mod fig_a1;
pub(super) mod fig_a2;
pub(super) mod fig_a3;
pub(super) mod fig_a4;
pub(super) mod fig_a5;
pub(super) mod fig_a6;
pub(super) mod fig_a7;
pub(super) mod flow;
mod layers;
pub(super) mod lemma1;
mod margins;
mod network;
pub(super) mod noise;
mod regression;
mod setting;
pub(super) mod theorem1;

use crate::claims::{Evidence, each};
use crate::data::Data;
use crate::error::{Result, refuse};
use crate::optim::Batch;
use crate::report::plot::{self, Axis, Curve};
use crate::run::{Results, RunResults, quantile};
use crate::spec::Spec;

/// The paper, as claims cite it.
const PAPER: &str = "The Janus effects of SGD vs GD: high noise and low rank (Xu et al. 2023)";

/// λ of every experiment on regression.
const DECAY: f64 = 0.01;

/// Refuses batches of more samples than there are.
fn check(spec: &Spec) -> Result<()> {
    for run in &spec.runs {
        match (run.optimiser.batch, spec.data_of(run)) {
            (Batch::Random { size, .. }, &Data::Own { n, .. }) if n > 0 && size > n => {
                return refuse!("runs.{}.optimiser.batch.size is {size}, expected at most the {n} samples", run.name);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Of every own seed: is the last value of a metric as said?
fn last(results: &Results, run: &str, what: &str, metric: &str, question: impl Fn(f64) -> bool) -> Evidence {
    each(results, &format!("{run}: {what}"), run, |of, replica| {
        let value = of.last(replica, metric)?;
        Some((question(value), value))
    })
}

fn curve(label: &str, colour: usize, points: Vec<(f64, f64)>) -> Curve {
    Curve { label: label.to_owned(), colour, points, ..Curve::default() }
}

fn panel(title: &str, x: Axis, y: Axis, curves: Vec<Curve>) -> plot::Panel {
    plot::Panel { title: title.to_owned(), x, y, curves, legend: true, ..plot::Panel::default() }
}

/// Median and 10-90% band of a metric over the finite own seeds, at every point.
fn course(run: &RunResults, metric: &str, label: &str, colour: usize) -> Curve {
    let series: Vec<Vec<(u64, f64)>> =
        run.own().filter(|replica| run.survivor(replica.seed).is_some()).map(|replica| run.series(replica, metric)).collect();
    let at = |k: usize| {
        let values: Vec<f64> = series.iter().filter_map(|series| series.get(k)).map(|point| point.1).collect();
        let of = |fraction| quantile(&values, fraction);
        Some((series.first()?.get(k)?.0 as f64, [of(0.1)?, of(0.5)?, of(0.9)?]))
    };
    let found: Vec<(f64, [f64; 3])> = (0..series.first().map_or(0, Vec::len)).filter_map(at).collect();
    let band = (series.len() > 1).then(|| found.iter().map(|&(x, [low, _, high])| (x, low, high)).collect());
    Curve { band, ..curve(label, colour, found.iter().map(|&(x, [_, middle, _])| (x, middle)).collect()) }
}

//! Figure 2: one-dimensional regression with one outlier. Where over the step size and x₁² is m = (1/N) Σ log|1 - λx_i²|
//! negative? The other N - 1 inputs are draws of N(0, 1), new ones for every seed.

use super::{PAPER, curve, neuron, panel, run, simulated};
use crate::claims::{Claim, Evidence, each};
use crate::data::Data;
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Activation;
use crate::report::plot::{self, Axis, Curve, Shades, Style, Tiles};
use crate::rng::{Stream, sequential, standard_normals};
use crate::run::{Results, Simulated};
use crate::spec::{Panel, Run, Scale, Spec};
use crate::theory::regression::exponent_of_data;
use crate::theory::root;
use crate::train::Progress;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "stability/fig2",
    paper: PAPER,
    about: "regression with one outlier: which step sizes converge in probability, by the size of the outlier; N = 10, 100, 1000",
    declare,
    expect,
    simulate: Some(simulate),
    check: Figure::ANY,
    draw,
};

const SIZES: [usize; 3] = [10, 100, 1000];
/// x₁² at evaluation points 0 to 4; the last is an outlier for every N.
const OUTLIERS: [f64; 5] = [1.0, 10.0, 100.0, 1e3, LARGEST];
const LARGEST: f64 = 1e4;
/// The bulk of step sizes: from well above what the outlier decides to the critical one of Gaussian data.
const BULK: (f64, f64) = (0.1, 2.4);

fn declare(scale: Scale) -> Spec {
    let sized = |n: usize| Run {
        data: Some(Data::Own { n, d: 1 }),
        ..run(&format!("N={n}"), &format!("N = {n}"), OUTLIERS.len() as u64, 1.0)
    };
    let mut spec = simulated(
        &FIGURE,
        "Stability of SGD against one outlier, Figure 2",
        scale,
        Data::Own { n: SIZES[0], d: 1 },
        neuron(&[1, 1], Activation::Identity),
        &["bulk_share", "first_zero", "gd_bound"],
    );
    spec.runs = SIZES.map(sized).to_vec();
    spec.evaluate.first = OUTLIERS.len() as u64;
    spec.panels = vec![Panel::new("bulk_share", "share of the bulk that is stable", false)];
    spec
}

/// Squares of the inputs but the outlier's.
pub(super) fn others(n: usize, seed: u64) -> Vec<f64> {
    let mut x = vec![0.0; n.saturating_sub(1)];
    standard_normals(&mut sequential(seed, Stream::Data), &mut x);
    x.iter().map(|x| x * x).collect()
}

pub(super) fn with_outlier(others: &[f64], outlier: f64) -> Vec<f64> {
    [&[outlier], others].concat()
}

/// Where m first becomes positive: it starts below 0 and has a pole at 1/x_max². Steps of 0.3%.
pub(super) fn first_zero(squares: &[f64]) -> f64 {
    let pole = squares.iter().copied().fold(0.0, f64::max).recip();
    let m = |lambda: f64| exponent_of_data(lambda, squares);
    let positive = (1..5_000).map(|k| pole * 1.003_f64.powi(k)).find(|&lambda| m(lambda) > 0.0);
    positive.map_or(f64::NAN, |lambda| root(lambda / 1.003, lambda, m))
}

fn simulate(spec: &Spec, run: &Run, seed: u64, _: &dyn Progress) -> Result<Simulated> {
    let Data::Own { n, .. } = *spec.data_of(run) else { return Ok(Simulated::once(vec![], vec![])) };
    let others = others(n, seed);
    let row = |&outlier: &f64| {
        let squares = with_outlier(&others, outlier);
        let grid = (0..400).map(|k| BULK.0 * (BULK.1 / BULK.0).powf(f64::from(k) / 399.0));
        let stable = grid.filter(|&lambda| exponent_of_data(lambda, &squares) < 0.0).count();
        let bound = 2.0 * squares.len() as f64 / squares.iter().sum::<f64>();
        [stable as f64 / 400.0, first_zero(&squares), bound]
    };
    Ok(Simulated::once(OUTLIERS.iter().flat_map(row).collect(), others))
}

/// Asked of the metrics at the smallest and at the largest outlier, and of N: is it so, and a number that shows it.
type Question = dyn Fn(&[f64; 3], &[f64; 3], f64) -> (bool, f64);

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let over = |what: &str, question: &Question| -> Vec<Evidence> {
        let of = |n: usize| {
            let name = format!("N={n}");
            each(results, &format!("{name}: {what}"), &name, |run, replica| {
                let at = |point: u64| -> Option<[f64; 3]> {
                    let of = |metric| run.within(replica, metric, point..=point).first().map(|&(_, value)| value);
                    Some([of("bulk_share")?, of("first_zero")?, of("gd_bound")?])
                };
                Some(question(&at(0)?, &at(4)?, n as f64))
            })
        };
        SIZES.map(of).to_vec()
    };
    Ok(vec![
        Claim::all(
            "bulk",
            "the bulk of probabilistically stable step sizes stays roughly unchanged as the outlier grows",
            "Figure 2, section 4.1",
            over("stable share of [0.1, 2.4] at x₁² = 10⁴ at least 0.8 of that at 1", &|small, large, _| {
                let kept = large[0] / small[0];
                (kept >= 0.8, kept)
            }),
        ),
        Claim::all(
            "gd-falls",
            "in contrast the bound of gradient descent decreases quickly",
            "section 4.1",
            over("2/E[x²] at x₁² = 10⁴ at most 0.6 of that at 1", &|small, large, _| {
                (large[2] <= 0.6 * small[2], large[2] / small[2])
            }),
        ),
        Claim::all(
            "first-branch",
            "the smallest stable step sizes of SGD scale as 1/x₁², independently of N",
            "section 4.1",
            over("the first zero of m at x₁² = 10⁴ within 2 and 3 of 1/x₁²", &|_, large, _| {
                let scaled = LARGEST * large[1];
                ((2.0..=3.0).contains(&scaled), scaled)
            }),
        ),
        Claim::all(
            "gd-over-n",
            "the smallest branch ends at 1/N of the bound of gradient descent",
            "Figure 2, the green curve",
            over("the first zero at x₁² = 10⁴ within a quarter of 2/(N E[x²])", &|_, large, n| {
                let ratio = large[1] * n / large[2];
                ((ratio - 1.0).abs() <= 0.25, ratio)
            }),
        ),
    ])
}

/// The sign of m for the first seed: yellow where it is negative.
fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let squares = |n: usize| results.run(&format!("N={n}")).and_then(|run| run.replicas.first()).map(|replica| &replica.params);
    let map = |n: usize, lambdas: (f64, f64)| {
        let others = squares(n).cloned().unwrap_or_default();
        let x = Axis { range: Some((1.0, LARGEST)), ..Axis::log("x₁²") };
        let y = Axis { range: Some(lambdas), ..Axis::log("step size λ") };
        let stable = |outlier: f64, lambda: f64| f64::from(exponent_of_data(lambda, &with_outlier(&others, outlier)) < 0.0);
        let tiles = Tiles::of(stable, (&x, 180), (&y, 260), Shades::Even { low: -0.35, high: 1.0 });
        let sum = others.iter().sum::<f64>();
        let bound = |label: &str, colour, share: f64| Curve {
            style: Style::Dashed,
            ..curve(label, colour, (0..=80).map(|k| 10f64.powf(f64::from(k) / 20.0)).map(|c| (c, share / (c + sum))).collect())
        };
        let curves = vec![bound("gradient descent, 2/E[x²]", 7, 2.0 * n as f64), bound("1/N of it", 2, 2.0)];
        plot::Panel { tiles: Some(tiles), ..panel(&format!("N = {n}"), x, y, curves) }
    };
    let mut panels: Vec<plot::Panel> = SIZES.iter().map(|&n| map(n, (1e-4, 10.0))).collect();
    panels.push(plot::Panel { title: "N = 1000, small step sizes".to_owned(), ..map(1000, (1e-4, 1e-2)) });
    let footnote =
        "Yellow: m = (1/N) Σ log|1 - λx_i²| < 0, SGD converges in probability. One seed; tiles are evaluated at their middle.";
    Ok(plot::Figure { title: spec.title.clone(), columns: 2, panels, footnote: Some(footnote.to_owned()) })
}

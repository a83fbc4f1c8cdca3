//! Figure 3: trajectories of gradient flow, of gradient descent and of SGD with large step sizes, on the plane through the
//! start, the ground truth and the end of the flow. Own seeds draw their own data, since neither the flow nor gradient
//! descent draws anything else.

use super::{PAPER, base, sparse_regression};
use crate::claims::{Claim, Direction, paired, stabilises};
use crate::data::Dataset;
use crate::error::{Result, refuse};
use crate::experiments::Figure;
use crate::optim::Optimiser;
use crate::report::picture;
use crate::report::plot::{self, Axis, Contours, Curve, Style, Symbol};
use crate::run::{Results, RunResults};
use crate::schedule::Schedule;
use crate::spec::{Evaluate, Metric, Panel, Run, Scale, Seeds, Spacing, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/fig3",
    paper: PAPER,
    about: "trajectories of gradient flow, gradient descent and SGD on the loss surface, diagonal linear networks",
    declare,
    expect,
    simulate: None,
    check,
    draw,
};

const DISTANCE: &str = "teacher_distance";
const SPARSITY: &str = "l0@1e-3";

fn declare(scale: Scale) -> Spec {
    let seeds = match scale {
        Scale::Smoke => 40,
        Scale::Laptop | Scale::Paper => 400,
    };
    // Iteration 5000 of 10001; half of the run, rounded down.
    let large = |peak| Schedule::decayed(peak, 0.5, 3.0);
    let run = |name, label, schedule, optimiser| Run::new(name, label, 10_001, schedule, optimiser);
    Spec {
        data: sparse_regression(20, 30, 3),
        seeds: Seeds { paper: true, own: (0..seeds).collect(), own_data: true },
        runs: vec![
            run("flow", "gradient flow (GD, η = 0.03)", Schedule::Constant { peak: 0.03 }, Optimiser::gd()),
            run("gd", "GD, η = 3", large(3.0), Optimiser::gd()),
            Run { paper_order_seed: 2, ..run("sgd", "SGD, η = 0.6", large(0.6), Optimiser::sgd()) },
        ],
        evaluate: Evaluate { first: 500, grid: 201, spacing: Spacing::Logarithmic, after: true },
        metrics: vec![
            Metric::sparse("train_loss", 4),
            Metric::sparse("test_loss", 4),
            Metric::sparse(DISTANCE, 4),
            Metric::sparse(SPARSITY, 4),
        ],
        panels: vec![
            Panel::new("train_loss", "Training loss", true),
            Panel::new("test_loss", "Test loss", true),
            Panel::new(DISTANCE, "‖u⊙v - β*‖₂", true),
        ],
        trajectory: true,
        ..base(&FIGURE, "GD and SGD take different trajectories, Figure 3", scale)
    }
}

/// Trajectories are drawn on one plane.
fn check(spec: &Spec) -> Result<()> {
    match spec.runs.iter().find(|run| spec.data_of(run) != &spec.data) {
        Some(run) => refuse!("spec: runs.{}.data differs from the spec's; Figure 3 compares runs on the same data", run.name),
        None => Ok(()),
    }
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let nearer = |metric, run| paired(results, metric, "sgd", Direction::Below, run);
    Ok(vec![
        Claim::all(
            "different",
            "SGD ends nearer to the ground truth than gradient descent and than gradient flow",
            "Figure 3",
            vec![nearer(DISTANCE, "gd"), nearer(DISTANCE, "flow")],
        ),
        Claim::all(
            "gd-stabilises",
            "the loss of gradient descent stabilises before the decay",
            "section 3.1",
            vec![stabilises(results, "gd", "flow")],
        ),
        Claim::all(
            "sgd-stabilises",
            "the loss of SGD stabilises before the decay",
            "section 3.1, O1",
            vec![stabilises(results, "sgd", "flow")],
        ),
        Claim::all(
            "not-sufficient",
            "loss stabilisation alone is not enough: gradient descent ends no nearer to the ground truth than the flow",
            "section 3.1",
            vec![paired(results, DISTANCE, "gd", Direction::Above, "flow")],
        ),
        Claim::all(
            "noise",
            "loss stabilisation with the noise of SGD does sparsify: SGD ends sparser than gradient descent and the flow",
            "section 3.1",
            vec![nearer(SPARSITY, "gd"), nearer(SPARSITY, "flow")],
        ),
    ])
}

/// An orthonormal pair of directions from an origin in parameter space.
struct Plane {
    origin: Vec<f64>,
    axes: [Vec<f64>; 2],
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Plane {
    /// From `origin`, through `first` and `second`.
    fn through(origin: Vec<f64>, first: &[f64], second: &[f64]) -> Plane {
        let from_origin = |w: &[f64]| -> Vec<f64> { w.iter().zip(&origin).map(|(w, o)| w - o).collect() };
        let unit = |w: Vec<f64>| -> Vec<f64> { w.iter().map(|value| value / dot(&w, &w).sqrt()).collect() };
        let along = unit(from_origin(first));
        let second = from_origin(second);
        let shared = dot(&second, &along);
        let across = unit(second.iter().zip(&along).map(|(w, a)| w - shared * a).collect());
        Plane { origin, axes: [along, across] }
    }

    fn project(&self, w: &[f64]) -> (f64, f64) {
        let [alpha, beta] = [0, 1].map(|k| dot(w, &self.axes[k]) - dot(&self.origin, &self.axes[k]));
        (alpha, beta)
    }

    fn at(&self, alpha: f64, beta: f64) -> Vec<f64> {
        let [along, across] = &self.axes;
        self.origin.iter().zip(along.iter().zip(across)).map(|(o, (a, b))| o + alpha * a + beta * b).collect()
    }
}

fn train_loss(data: &Dataset, w: &[f64]) -> f64 {
    let (u, v) = w.split_at(data.d);
    let beta: Vec<f64> = u.iter().zip(v).map(|(u, v)| u * v).collect();
    let rows = data.x.chunks_exact(data.d).zip(&data.y);
    rows.map(|(x, y)| (dot(x, &beta) - y).powi(2)).sum::<f64>() / (2 * data.n()) as f64
}

/// The plane with the trajectories of the first seed, then the panels over iterations.
fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let mut figure = picture(spec, results);
    let (Some(seed), Some(flow)) = (spec.seeds().first().copied(), results.run("flow")) else { return Ok(figure) };
    let data = spec.dataset(&spec.runs[0], seed)?;
    let params = 2 * data.d;
    let path = |run: &RunResults| run.replicas.first().map_or(Vec::new(), |replica| replica.trajectory.clone());
    let flow_end = path(flow).chunks_exact(params).next_back().map(<[f64]>::to_vec);
    let (Some(flow_end), Some(teacher)) = (flow_end, &data.teacher) else { return Ok(figure) };
    let truth: Vec<f64> = teacher.iter().map(|beta| beta.sqrt()).collect::<Vec<_>>().repeat(2);
    let plane = Plane::through(spec.net.initial(data.d, seed), &truth, &flow_end);
    let grid: Vec<f64> = (0..100).map(|k| -0.5 + 2.8 * f64::from(k) / 99.0).collect();
    let loss = |alpha, beta| train_loss(&data, &plane.at(alpha, beta)).min(100.0);
    let levels = (-14..=6).map(|power| f64::from(power).exp2()).collect();
    let mark = |label: &str, symbol, w: &[f64]| Curve {
        label: label.to_owned(),
        colour: 7,
        style: Style::Mark(symbol),
        points: vec![plane.project(w)],
        ..Curve::default()
    };
    let mut curves: Vec<Curve> = Vec::new();
    for (colour, (run, declared)) in results.runs.iter().zip(&spec.runs).enumerate() {
        let folded = |w: &[f64]| -> Vec<f64> { w.iter().map(|value| value.abs()).collect() };
        // The paper draws SGD's (|u|, |v|): signs of pairs flip along the way, and u⊙v does not see them.
        let points = path(run)
            .chunks_exact(params)
            .map(|w| plane.project(&if run.name == "sgd" { folded(w) } else { w.to_vec() }))
            .collect();
        curves.push(Curve { label: declared.label.clone(), colour, points, ..Curve::default() });
    }
    curves.push(mark("w_init", Symbol::Disc, &plane.origin));
    curves.push(mark("w*", Symbol::Star, &truth));
    curves.push(mark("w_flow", Symbol::Square, &flow_end));
    let surface = plot::Panel {
        title: "Training loss; SGD drawn as (|u|, |v|)".to_owned(),
        x: Axis::linear("α, from w_init to w*"),
        y: Axis::linear("β, across, to w_flow"),
        contours: Some(Contours::of(loss, grid.clone(), grid, levels)),
        curves,
        ..plot::Panel::default()
    };
    figure.panels.insert(0, surface);
    Ok(figure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Replica;
    use crate::spec::Seed;
    use crate::train::Outcome;

    #[test]
    fn a_plane_holds_its_three_points() {
        let (origin, first, second) = (vec![1.0, 0.0, 2.0], [1.0, 3.0, 2.0], [1.0, 1.0, 6.0]);
        let plane = Plane::through(origin.clone(), &first, &second);
        for (point, coordinates) in [(&origin[..], (0.0, 0.0)), (&first, (3.0, 0.0)), (&second, (1.0, 4.0))] {
            assert_eq!(plane.project(point), coordinates);
            assert_eq!(plane.at(coordinates.0, coordinates.1), point);
        }
        assert_eq!(plane.project(&[9.0, 1.0, 6.0]), (1.0, 4.0), "what is off the plane falls onto it");
    }

    #[test]
    fn the_surface_is_half_of_the_mean_square() {
        // Predictions 2 and 4, targets 1 and 1.
        let data = Dataset { d: 1, x: vec![1.0, 2.0], y: vec![1.0, 1.0], ..Dataset::default() };
        assert_eq!(train_loss(&data, &[4.0, 0.5]), 2.5);
    }

    /// Trajectories of one point each; the truth is that of the first seed's own data.
    #[test]
    fn the_plane_is_the_first_seeds_and_sgd_is_folded() {
        let spec = declare(Scale::Smoke).with_overrides(&["seed=5".to_owned(), "seeds.paper=false".to_owned()]).unwrap();
        let (seed, path): (Seed, Vec<f64>) = (Seed::Own(5), (0..60).map(|k| f64::from(k - 20) / 60.0).collect());
        let run = |run: &Run| RunResults {
            name: run.name.clone(),
            steps: run.steps,
            first_decay: None,
            points: vec![run.steps],
            metrics: vec![],
            replicas: vec![Replica {
                seed,
                outcome: Outcome::Finished,
                values: vec![],
                trajectory: path.clone(),
                params: path.clone(),
            }],
        };
        let figure = draw(&spec, &Results { runs: spec.runs.iter().map(run).collect() }).unwrap();
        let teacher = spec.data.redrawn(5).unwrap().load().unwrap().teacher.unwrap();
        let truth: Vec<f64> = teacher.iter().map(|beta| beta.sqrt()).collect::<Vec<_>>().repeat(2);
        let plane = Plane::through(spec.net.initial(30, seed), &truth, &path);
        let folded: Vec<f64> = path.iter().map(|value| value.abs()).collect();
        for (label, w) in [(spec.runs[1].label.as_str(), &path), (&spec.runs[2].label, &folded), ("w*", &truth)] {
            let curve = figure.panels[0].curves.iter().find(|curve| curve.label == label).unwrap();
            assert_eq!(curve.points, [plane.project(w)], "{label}");
        }
    }
}

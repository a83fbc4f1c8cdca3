//! Figure 5: how far the neurons of a two-layer ReLU network turn towards the teacher's. With a small step size, of SGD or of
//! gradient descent, they stay near their start; with a large one they cluster along the teacher's.

use super::two_layer::{self, CLUSTERING, MOVED, large, small};
use super::{PAPER, SCHEDULES, draws_two_layers};
use crate::claims::{Claim, Direction, each, finite, paired, paired_by};
use crate::data::Dataset;
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Bias;
use crate::optim::Optimiser;
use crate::report::picture;
use crate::report::plot::{self, Axis, Contours, Curve, Style, Symbol};
use crate::run::{Replica, Results, RunResults};
use crate::spec::{Panel, Scale, Seed, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "sparse/fig5",
    paper: PAPER,
    about: "neurons of two-layer ReLU networks from start to end: only large step sizes cluster them along the teacher's",
    declare,
    expect,
    simulate: None,
    check: |spec| draws_two_layers(spec, 2, Bias::None),
    draw,
};

const SMALL: &str = SCHEDULES[0];
const LARGE: &str = SCHEDULES[3];
const DESCENT: &str = "gd";
/// Step sizes between the paper's two, with the schedule of the large one.
const BETWEEN: [(&str, f64); 2] = [("eta-0.3", 0.3), ("eta-0.4", 0.4)];

/// A share of ‖W(0)‖_F below which neurons have stayed near their start.
const NEAR: f64 = 0.5;
/// An average cosine above which they are along the teacher's.
const ALONG: f64 = 0.95;

fn declare(scale: Scale) -> Spec {
    let title = "Two-layer ReLU networks: neurons cluster along the teacher's only with large step sizes, Figure 5";
    let mut spec = two_layer::declare(&FIGURE, title, scale);
    let (Some(slow), Some(fast)) = (spec.runs.first().cloned(), spec.runs.last().cloned()) else { return spec };
    spec.runs = vec![small(DESCENT, "GD, η = 0.13", Optimiser::gd()), slow];
    spec.runs.extend(BETWEEN.map(|(name, peak)| large(name, peak, 0.5, 5.0)));
    spec.runs.push(fast);
    spec.panels = vec![
        Panel::new(CLUSTERING, "Mean cosine with the nearest teacher neuron", false),
        Panel::new(MOVED, "Way of the neurons, ‖W - W(0)‖_F", false),
    ];
    spec
}

/// ‖W - W(0)‖_F/‖W(0)‖_F of the neurons at the end.
fn moved(run: &RunResults, replica: &Replica) -> Option<f64> {
    Some(run.last(replica, MOVED)? / run.series(replica, "weight_norm.1").first()?.1)
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let stays = |name: &str| {
        each(results, &format!("{name}: neurons move by less than {NEAR} of ‖W(0)‖_F"), name, |run, replica| {
            let moved = moved(run, replica)?;
            Some((moved < NEAR, moved))
        })
    };
    let along = each(results, &format!("{LARGE}: {CLUSTERING} above {ALONG}"), LARGE, |run, replica| {
        let cosine = run.last(replica, CLUSTERING)?;
        Some((cosine > ALONG, cosine))
    });
    let further = |than| paired_by(results, "way of the neurons", LARGE, Direction::Above, than, moved);
    let clusters = |than| paired(results, CLUSTERING, LARGE, Direction::Above, than);
    Ok(vec![
        Claim::all(
            "lazy",
            "with a small step size of SGD or GD the neurons stay close to their start",
            "section 4.2, Figure 5",
            vec![stays(SMALL), stays(DESCENT)],
        ),
        Claim::all("moves", "with the large one they move further", "Figure 5", vec![further(SMALL), further(DESCENT)]),
        Claim::all(
            "clusters",
            "only with the large step size do they cluster along the teacher's",
            "Figure 5",
            vec![clusters(SMALL), clusters(DESCENT)],
        ),
        Claim::all("along", "there they are along the teacher's", "Figure 5", vec![along]),
        Claim::all(
            "gradual",
            "the larger the step size, the more they cluster",
            "our check",
            [SMALL, BETWEEN[0].0, BETWEEN[1].0, LARGE]
                .windows(2)
                .map(|pair| paired(results, CLUSTERING, pair[1], Direction::Above, pair[0]))
                .collect(),
        ),
        Claim::all(
            "trains",
            "starts other than the paper's survive its large step size",
            "our check",
            vec![finite(results, LARGE)],
        ),
    ])
}

/// Where every neuron of a replica starts and ends, over the teacher's, in the plane of the two inputs.
fn neurons(data: &Dataset, initial: &[f64], replica: &Replica, title: String, colour: usize, extent: f64) -> plot::Panel {
    let rows = |params: &[f64]| -> Vec<(f64, f64)> { params.chunks_exact(2).map(|row| (row[0], row[1])).collect() };
    // Parameters are first weights, two per neuron, then one output weight per neuron.
    let first = initial.len() / 3 * 2;
    let (starts, ends) = (rows(&initial[..first]), rows(replica.params.get(..first).unwrap_or_default()));
    let teacher = rows(data.teacher_rows.as_deref().unwrap_or_default());
    let grey = |style, points| Curve { colour: 7, style, points, ..Curve::default() };
    let circle = (0..=90).map(|k| (f64::from(k) * std::f64::consts::TAU / 90.0).sin_cos()).collect();
    let mut curves = vec![grey(Style::Faint, circle)];
    curves.extend(teacher.iter().map(|(x, y)| grey(Style::Dashed, vec![(0.0, 0.0), (2.0 * extent * x, 2.0 * extent * y)])));
    let ways = starts.iter().zip(&ends).map(|(start, end)| vec![*start, *end]);
    curves.extend(ways.map(|points| Curve { colour, points, ..Curve::default() }));
    curves.push(grey(Style::Points, starts));
    curves.push(Curve { colour, style: Style::Mark(Symbol::Disc), points: ends, ..Curve::default() });
    curves.push(grey(Style::Mark(Symbol::Star), teacher));
    let axis = |label: &str| Axis { range: Some((-extent, extent)), ..Axis::linear(label) };
    // Nothing but a ground that makes the panel square.
    let ground = Contours::of(|_, _| 0.0, vec![-extent, extent], vec![-extent, extent], vec![]);
    plot::Panel { title, x: axis("w₁"), y: axis("w₂"), contours: Some(ground), curves, ..plot::Panel::default() }
}

/// The neurons of the first seed for the small and the large step size, then the panels over iterations.
fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let mut figure = picture(spec, results);
    let Some(&seed) = spec.seeds().first() else { return Ok(figure) };
    let data = spec.dataset(&spec.runs[0], seed)?;
    let initial = match (&data.init, seed) {
        (Some(init), Seed::Paper) => init.clone(),
        _ => spec.net.initial(data.d, seed),
    };
    let shown =
        results.runs.iter().zip(&spec.runs).enumerate().filter(|(_, (run, _))| [SMALL, LARGE].contains(&run.name.as_str()));
    let replicas: Vec<_> =
        shown.filter_map(|(colour, (run, declared))| Some((colour, run.replicas.first()?, declared))).collect();
    let weights = replicas.iter().flat_map(|(_, replica, _)| replica.params.iter().take(initial.len() / 3 * 2));
    let extent = 1.1 * weights.chain(&initial).fold(1.0f64, |most, weight| most.max(weight.abs()));
    let panels = replicas.iter().map(|(colour, replica, declared)| {
        neurons(&data, &initial, replica, format!("Neurons, {}", declared.label), *colour, extent)
    });
    figure.panels.splice(0..0, panels.collect::<Vec<_>>());
    let note = "Neurons: grey dots at the start, discs at the end; stars and dashed rays: the teacher's. ";
    figure.footnote = figure.footnote.map(|footnote| format!("{note}{footnote}"));
    Ok(figure)
}

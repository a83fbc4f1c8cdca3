//! Figure 4: phases of the saddle for finite data sets, of which every seed draws its own.

use std::sync::OnceLock;

use super::{PAPER, neuron, phases, run, simulated};
use crate::claims::{Claim, Direction, each, paired};
use crate::data::Data;
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Activation;
use crate::report::plot::{self, Axis};
use crate::rng::{Stream, sequential, standard_normals};
use crate::run::{Results, Simulated};
use crate::spec::{Panel, Run, Scale, Spec};
use crate::theory::regression::exponent_of_data;
use crate::theory::saddle::{Exponents, NOISE, Phase, Saddle};
use crate::train::Progress;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "stability/fig4",
    paper: PAPER,
    about: "phases of the saddle for data sets of 3 to 100 samples: how they tend to those of infinitely many",
    declare,
    expect,
    simulate: Some(simulate),
    check: Figure::ANY,
    draw,
};

const SIZES: [usize; 6] = [3, 4, 8, 10, 24, 100];
/// The plane that phases are compared in, λ in its rows; below `LOW` is its lower part.
const COLUMNS: usize = 32;
const ROWS: usize = 32;
const LARGEST: f64 = 2.0;
const LOW: f64 = 0.25;

fn declare(scale: Scale) -> Spec {
    let sized = |n: usize| Run { data: Some(Data::Own { n, d: 1 }), ..run(&format!("N={n}"), &format!("N = {n}"), 1, 1.0) };
    let mut spec = simulated(
        &FIGURE,
        "Phases of SGD at the saddle, finite data sets, Figure 4",
        scale,
        Data::Own { n: SIZES[0], d: 1 },
        neuron(&[1, 1, 1], Activation::Identity),
        &["agreement", "agreement_low", "share_ii", "share_iii"],
    );
    spec.runs = SIZES.map(sized).to_vec();
    spec.panels = vec![Panel::new("agreement", "agreement with infinitely many samples", false)];
    spec
}

/// The phase of a data set's x and ε at μ and λ.
fn phase(data: &[f64], mu: f64, lambda: f64) -> Phase {
    let (x, epsilon) = data.split_at(data.len() / 2);
    let chi: Vec<f64> = x.iter().zip(epsilon).map(|(x, epsilon)| x * (mu * x + (1.0 - mu) * epsilon)).collect();
    let exponents = Exponents { minus: exponent_of_data(lambda, &chi), plus: exponent_of_data(-lambda, &chi) };
    let (mean, square) = chi.iter().fold((0.0, 0.0), |(mean, square), chi| (mean + chi, square + chi * chi));
    Phase::of(exponents, lambda < 2.0 * mean / square)
}

/// The middle of a tile of the plane.
fn place(index: usize) -> (f64, f64) {
    let part = |k: usize, of: usize| (k as f64 + 0.5) / of as f64;
    (part(index % COLUMNS, COLUMNS), LARGEST * part(index / COLUMNS, ROWS))
}

/// I, II, III or IV; whether the variance converges is left out.
fn coarse(phase: Phase) -> Phase {
    if phase == Phase::Ia { Phase::Ib } else { phase }
}

/// Phases of infinitely many samples over the plane.
fn limit() -> &'static [Phase] {
    static LIMIT: OnceLock<Vec<Phase>> = OnceLock::new();
    LIMIT.get_or_init(|| {
        let phase = |index: usize| {
            let (mu, lambda) = place(index);
            coarse(Phase::of(Saddle::Gaussian { mu, batch: 1 }.exponents_to(lambda, 1e-7), false))
        };
        (0..COLUMNS * ROWS).map(phase).collect()
    })
}

fn simulate(spec: &Spec, run: &Run, seed: u64, _: &dyn Progress) -> Result<Simulated> {
    let Data::Own { n, .. } = *spec.data_of(run) else { return Ok(Simulated::once(vec![], vec![])) };
    let mut data = vec![0.0; 2 * n];
    standard_normals(&mut sequential(seed, Stream::Data), &mut data);
    data[n..].iter_mut().for_each(|epsilon| *epsilon *= NOISE);
    let found: Vec<Phase> = (0..COLUMNS * ROWS).map(place).map(|(mu, lambda)| coarse(phase(&data, mu, lambda))).collect();
    let low = (LOW / LARGEST * ROWS as f64) as usize * COLUMNS;
    let agreement =
        |until: usize| found[..until].iter().zip(limit()).filter(|(found, limit)| found == limit).count() as f64 / until as f64;
    let share = |phase: Phase| found.iter().filter(|&&found| found == phase).count() as f64 / found.len() as f64;
    let values = vec![agreement(found.len()), agreement(low), share(Phase::II), share(Phase::III)];
    Ok(Simulated::once(values, data))
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let larger = |metric: &str, direction: Direction| {
        [("N=10", "N=3"), ("N=100", "N=10")].map(|(more, fewer)| paired(results, metric, more, direction, fewer)).to_vec()
    };
    let ask = |run: &str, what: &str, metric: &str, question: fn(f64) -> bool| {
        each(results, &format!("{run}: {what}"), run, |of, replica| {
            let value = of.last(replica, metric)?;
            Some((question(value), value))
        })
    };
    let universal = SIZES.map(|n| {
        ask(&format!("N={n}"), "at least 0.8 of the plane below λ = 0.25 as with infinitely many", "agreement_low", |share| {
            share >= 0.8
        })
    });
    let mut vanishes = larger("share_ii", Direction::Below);
    vanishes.push(ask("N=100", "phase II on less than 1% of the plane", "share_ii", |share| share < 0.01));
    Ok(vec![
        Claim::all(
            "limit",
            "as N grows, the phase diagram tends to that of infinitely many samples",
            "section 4.2, (1)",
            larger("agreement", Direction::Above),
        ),
        Claim::all("phase-ii", "phase II disappears as N becomes large", "section 4.2, (2)", vanishes),
        Claim::all(
            "universal",
            "the lower part of the phase diagram is the same for all data sets and sizes",
            "section 4.2, (3)",
            universal.to_vec(),
        ),
        Claim::all(
            "collapse",
            "every data set has a phase III",
            "section 4.2: collapse is a universal aspect",
            SIZES.map(|n| ask(&format!("N={n}"), "phase III on some of the plane", "share_iii", |share| share > 0.0)).to_vec(),
        ),
    ])
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let fine = if spec.scale == Scale::Smoke { 60 } else { 180 };
    let panel = |n: &usize| {
        let name = format!("N={n}");
        let data = results.run(&name).and_then(|run| run.replicas.first()).map_or(vec![0.0; 2], |replica| replica.params.clone());
        phases(
            &format!("N = {n}"),
            (Axis { range: Some((0.0, 1.0)), ..Axis::linear("signal share μ") }, fine),
            (Axis { range: Some((0.0, LARGEST)), ..Axis::linear("step size λ") }, fine),
            |mu, lambda| phase(&data, mu, lambda),
        )
    };
    let footnote = "y = μx + (1-μ)ε with N draws of x ~ N(0, 1) and ε ~ N(0, 4); one seed. I: w - u vanishes (Ia: in mean square too), II: w + u, III: both, IV: neither.";
    Ok(plot::Figure {
        title: spec.title.clone(),
        columns: 3,
        panels: SIZES.iter().map(panel).collect(),
        footnote: Some(footnote.to_owned()),
    })
}

//! Figure 1b: phases of the saddle for the two-point law, xy = 1 or a, over a and λ. Every seed simulates SGD at points of its own.

use rand::RngExt;

use super::{PAPER, curve, neuron, phases, run, simulated};
use crate::claims::{Claim, each};
use crate::data::Data;
use crate::error::Result;
use crate::experiments::Figure;
use crate::nets::Activation;
use crate::report::plot::{self, Axis, Curve, Style};
use crate::rng::{Stream, sequential};
use crate::run::{Results, Simulated};
use crate::spec::{Panel, Run, Scale, Spec};
use crate::theory::saddle::{Phase, Saddle};
use crate::train::Progress;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "stability/fig1b",
    paper: PAPER,
    about: "phases of the saddle for xy = 1 or a: exponents, and SGD simulated at random points",
    declare,
    expect,
    simulate: Some(simulate),
    check: Figure::ANY,
    draw,
};

/// Points per seed.
const POINTS: usize = 100;
/// Largest step size shown.
const LARGEST: f64 = 4.0;

fn declare(scale: Scale) -> Spec {
    let steps = match scale {
        Scale::Smoke => 2_000,
        Scale::Laptop => 10_000,
        Scale::Paper => 100_000,
    };
    let mut spec = simulated(
        &FIGURE,
        "Phases of SGD at the saddle, two-point law, Figure 1b",
        scale,
        Data::Own { n: 2, d: 1 },
        neuron(&[1, 1, 1], Activation::Identity),
        &["agrees", "overlap", "small_a_iii", "phases"],
    );
    spec.runs = vec![run("two-point", "xy = 1 or a", steps, 1.0)];
    spec.panels = vec![Panel::new("agrees", "share of points where SGD does what the exponents say", false)];
    spec
}

/// Whether |w - u| and |w + u| grow over the steps, as the sums of their logarithms say.
fn grow(a: f64, lambda: f64, steps: u64, stream: &mut impl rand::Rng) -> [bool; 2] {
    let ones = (0..steps).filter(|_| stream.random::<bool>()).count() as f64;
    let others = steps as f64 - ones;
    [-1.0, 1.0].map(|sign| ones * (1.0 + sign * lambda).abs().ln() + others * (1.0 + sign * lambda * a).abs().ln() >= 0.0)
}

fn simulate(_: &Spec, run: &Run, seed: u64, _: &dyn Progress) -> Result<Simulated> {
    let mut stream = sequential(seed, Stream::Order);
    let (mut agree, mut clear, mut overlap, mut small, mut found) = (0, 0, 0, 0, Vec::new());
    for _ in 0..POINTS {
        let (a, lambda) = (2.0 * stream.random::<f64>() - 1.0, LARGEST * stream.random::<f64>());
        let saddle = Saddle::TwoPoint { a };
        let (exponents, phase) = saddle.phase(lambda);
        let grown = grow(a, lambda, run.steps, &mut stream);
        // Where chance may still decide the sign of a sum, nothing is asked.
        let spread = |sign: f64| 0.5 * ((1.0 + sign * lambda).abs().ln() - (1.0 + sign * lambda * a).abs().ln()).abs();
        let sure = |m: f64, sign: f64| m.abs() > 4.5 * spread(sign) / (run.steps as f64).sqrt();
        if sure(exponents.minus, -1.0) && sure(exponents.plus, 1.0) {
            clear += 1;
            agree += usize::from(grown == [exponents.minus >= 0.0, exponents.plus >= 0.0]);
        }
        overlap += usize::from(phase == Phase::III && lambda < saddle.mean_square_bound());
        small += usize::from(phase == Phase::III && a > -0.381_967);
        if !found.contains(&phase) {
            found.push(phase);
        }
    }
    let values = vec![agree as f64 / clear as f64, overlap as f64, small as f64, found.len() as f64];
    Ok(Simulated::once(values, vec![]))
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let ask = |what: &str, metric: &str, question: fn(f64) -> bool| {
        each(results, what, "two-point", |of, replica| {
            let value = of.last(replica, metric)?;
            Some((question(value), value))
        })
    };
    Ok(vec![
        Claim::all(
            "exponents",
            "w - u vanishes in probability if and only if E log|1 - λxy| < 0, w + u if and only if E log|1 + λxy| < 0",
            "Proposition 2",
            vec![
                ask("both signs as the exponents say at every point where chance does not decide", "agrees", |share| {
                    share == 1.0
                })
                .every(),
            ],
        ),
        Claim::all(
            "exclusive",
            "convergence to the saddle (III) and convergence in mean square (Ia) exclude each other",
            "section 4.2",
            vec![ask("no point of III is stable in mean square", "overlap", |points| points == 0.0).every()],
        ),
        Claim::all(
            "strong-noise",
            "SGD converges to the saddle only where the noise is strong: a below (√5 - 3)/2",
            "section 4.2, appendix A.6",
            vec![ask("no point of III with a above -0.381966", "small_a_iii", |points| points == 0.0).every()],
        ),
        Claim::all(
            "five",
            "there are at least five phases",
            "Figure 1",
            vec![ask("all of Ia, Ib, II, III and IV among the points", "phases", |phases| phases == 5.0)],
        ),
    ])
}

fn draw(spec: &Spec, _: &Results) -> Result<plot::Figure> {
    let fine = if spec.scale == Scale::Smoke { 60 } else { 240 };
    let mut panel = phases(
        "xy = 1 or a, with probability 1/2 each",
        (Axis { range: Some((-1.0, 1.0)), ..Axis::linear("a") }, fine),
        (Axis { range: Some((0.01, LARGEST)), ..Axis::linear("step size λ") }, fine),
        |a, lambda| Saddle::TwoPoint { a }.phase(lambda).1,
    );
    let bound = (-99..=100).map(|k| 0.01 * f64::from(k)).map(|a| (a, Saddle::TwoPoint { a }.mean_square_bound())).collect();
    panel.curves.push(Curve { style: Style::Dashed, ..curve("upper end of mean-square stability of w - u", 6, bound) });
    panel.legend = true;
    let footnote = "I: w - u vanishes (Ia: in mean square too), II: w + u, III: both, IV: neither. Ib, II, III and IV meet at a = (√5 - 3)/2, λ = 1.618.";
    Ok(plot::Figure { title: spec.title.clone(), columns: 1, panels: vec![panel], footnote: Some(footnote.to_owned()) })
}

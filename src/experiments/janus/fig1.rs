//! Figure 1: margins of the training images after SGD on the square loss, by weight decay λ. What the paper leaves open, and what
//! smaller scales change, says [`super::convnet`].

use super::convnet::{self, DECAYS, Protocol, RELATIVE_DEVIATION, SGD, SMALL, decayed, grows, name, relative_deviation, short};
use super::{PAPER, margins};
use crate::claims::{Claim, Direction, each, paired};
use crate::error::Result;
use crate::experiments::Figure;
use crate::report::plot;
use crate::run::Results;
use crate::spec::{Metric, Panel, Scale, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "janus/fig1",
    paper: PAPER,
    about: "a weight-normalised convnet on two classes of images: margins by weight decay, SGD, square loss",
    declare,
    expect,
    simulate: None,
    check: convnet::check,
    draw,
};

/// From here on the paper sees margins spread with λ.
const FROM: f64 = 5e-5;
/// The largest λ of the panel (b).
const ZOOMED: f64 = 1e-4;
/// λ at which the residuals that it leaves are larger than those that training leaves.
const LARGE: f64 = 1e-3;

fn declare(scale: Scale) -> Spec {
    let protocol = Protocol::of(scale);
    let metrics = ["train_loss", "train_error", "margin", "margin_deviation", "rho"];
    Spec {
        runs: DECAYS.map(|decay| protocol.sgd(SGD, decay)).to_vec(),
        metrics: metrics.map(Metric::always).to_vec(),
        panels: vec![Panel::new("margin_deviation", "standard deviation of the margins", true)],
        ..protocol.spec(&FIGURE, "Margins of a convnet after SGD by weight decay, Figure 1", scale)
    }
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let growing = |metric: &'static str| grows(spec, results, SGD, FROM, metric, |run, replica| run.last(replica, metric));
    let narrow = |decay: f64| {
        let what = format!("λ = {}: standard deviation of the margins at most {SMALL} of their mean", short(decay));
        each(results, &what, &name(SGD, decay), |run, replica| {
            let share = relative_deviation(run, replica)?;
            Some((share <= SMALL, share))
        })
    };
    let above_free = decayed(spec, SGD, f64::MIN_POSITIVE)
        .map(|run| paired(results, "margin_deviation", &name(SGD, 0.0), Direction::Below, &run.name));
    // 1 - ρμ: by how much the images are missed on average.
    let missed = |what: &str, decay: f64, question: fn(f64) -> bool| {
        each(results, &format!("λ = {}: {what}", short(decay)), &name(SGD, decay), |run, replica| {
            let left = 1.0 - run.last(replica, "rho")? * run.last(replica, "margin")?;
            Some((question(left), left))
        })
    };
    let large = || decayed(spec, SGD, LARGE).map(|run| run.optimiser.weight_decay);
    let quasi = large().map(|decay| missed("1 - ρμ > 0", decay, |left| left > 0.0));
    let interpolation = [missed("|1 - ρμ| at most 0.01", 0.0, |left| left.abs() <= 0.01)].into_iter().chain(quasi);
    // μ = ρ(M + λ), M = σ² + μ²: λ against what the rest of the equation leaves for it.
    let law = large().map(|decay| {
        let what = format!("λ = {}: (μ - ρM)/(ρλ) between 0.5 and 2", short(decay));
        each(results, &what, &name(SGD, decay), |run, replica| {
            let [mu, sigma, rho] = ["margin", "margin_deviation", "rho"].map(|metric| run.last(replica, metric));
            let (mu, sigma, rho) = (mu?, sigma?, rho?);
            let ratio = (mu - rho * (sigma * sigma + mu * mu)) / (rho * decay);
            Some(((0.5..=2.0).contains(&ratio), ratio))
        })
    });
    let (figure, theory) = ("Figure 1, prediction 1", "prediction 1, equation 15");
    Ok(vec![
        Claim::all("mean", "from λ = 5e-5 on, the mean of the margins grows with λ", figure, growing("margin")),
        Claim::all("deviation", "and so does their standard deviation", figure, growing("margin_deviation")),
        Claim::all(
            "narrow",
            "with λ = 0 and 1e-6 the standard deviation is very small",
            "Figure 1",
            vec![narrow(0.0), narrow(1e-6)],
        ),
        Claim::all("least", "the fluctuations of the margins are least at λ = 0", "prediction 1", above_free.collect()),
        Claim::all("interpolation", "ρf = 1 where λ = 0, and 1 - ρf > 0 where λ > 0", "section 2", interpolation.collect()),
        Claim::all(
            "law",
            "the mean margin μ grows with λ because μ = (M + λ)ρ, M the mean of squared margins",
            theory,
            law.collect(),
        ),
        Claim::all(
            "relative",
            "the margins spread with λ by more than f grows: also over their mean",
            "ours",
            grows(spec, results, SGD, FROM, RELATIVE_DEVIATION, relative_deviation),
        ),
    ])
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let shown = margins::of(spec, results, SGD)?;
    let level = |metric: &'static str, label: &str, colour: usize| {
        margins::by_decay(spec, results, SGD, (label, colour), |run, replica| run.last(replica, metric))
    };
    let levels = [level("margin", "mean", 0), level("margin_deviation", "standard deviation", 1)].concat();
    let relative = margins::by_decay(spec, results, SGD, ("deviation over mean", 2), relative_deviation);
    let panels = vec![
        margins::histogram("(a) Margins after SGD", &shown, f64::INFINITY),
        margins::histogram(&format!("(b) Margins, λ up to {}", short(ZOOMED)), &shown, ZOOMED),
        margins::over_decays("Mean and standard deviation of the margins", levels),
        margins::over_decays("Standard deviation over the mean", relative),
    ];
    Ok(plot::Figure { title: spec.title.clone(), columns: 2, panels, footnote: Some(margins::footnote(spec)) })
}

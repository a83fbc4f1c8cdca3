//! Figure 10: first-layer weights and their Gram matrices of a linear 15-15-15-15-1 network, at the start and after training on
//! the sum of 5 of 15 inputs, by batch size. Every seed draws its own data, start and order; the matrices are those of the first.

use super::{PAPER, RELEVANT, clipped_gd, clipped_sgd, synthetic, three_by_fifteen};
use crate::claims::{Claim, Direction, Evidence, each, paired_by};
use crate::data::Target;
use crate::error::Result;
use crate::experiments::Figure;
use crate::loss::Loss;
use crate::metrics::weights::gram;
use crate::nets::Activation;
use crate::optim::Optimiser;
use crate::report::plot::{self, Cells, Colours};
use crate::run::{Replica, Results, RunResults};
use crate::schedule::Schedule;
use crate::spec::{Clock, Dtype, Evaluate, Metric, Panel, Run, SCHEMA, Scale, Seeds, Spacing, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig10",
    paper: PAPER,
    about: "linear networks of three hidden layers: which batch sizes remove the weights of irrelevant inputs, with controls",
    declare,
    expect,
    check: Figure::ANY,
    draw,
};

/// ‖W_1[:, 5:]‖_F.
const NORM: &str = "irrelevant_norm";

/// From full batches to single samples.
const BATCHES: [&str; 5] = ["gd", "sgd-512", "sgd-128", "sgd-32", "sgd-1"];

fn declare(scale: Scale) -> Spec {
    let (shorter, seeds) = match scale {
        Scale::Smoke => (20, 6),
        Scale::Laptop => (1, 5),
        Scale::Paper => (1, 20),
    };
    let run = |name: &str, label: &str, steps: u64, peak, optimiser| {
        Run::new(name, label, steps / shorter, Schedule::Constant { peak }, optimiser)
    };
    let sgd = |size: usize| {
        let (name, label) = (format!("sgd-{size}"), format!("SGD, batch {size}"));
        run(&name, &label, 200_000, 0.1, clipped_sgd(size))
    };
    let unclipped = |optimiser: Optimiser| Optimiser { clip: None, ..optimiser };
    Spec {
        schema: SCHEMA,
        figure: Some(FIGURE.id.to_owned()),
        title: "Linear 3x15 networks: which batch sizes find the support in the first layer, Figure 10".to_owned(),
        scale,
        overrides: Vec::new(),
        dtype: Dtype::F32,
        loss: Loss::Mse,
        data: synthetic(Target::Linear),
        net: three_by_fifteen(Activation::Identity),
        seeds: Seeds { paper: false, own: (0..seeds).collect(), own_data: true },
        runs: vec![
            run("gd", "GD", 20_000, 0.1, clipped_gd()),
            sgd(512),
            sgd(128),
            sgd(32),
            sgd(1),
            run("gd-decay", "GD, weight decay 0.1", 5_000, 0.1, Optimiser { weight_decay: 0.1, ..clipped_gd() }),
            run("gd-unclipped", "GD, no clipping", 20_000, 0.1, unclipped(clipped_gd())),
            run("sgd-32-unclipped", "SGD, batch 32, no clipping", 200_000, 0.1, unclipped(clipped_sgd(32))),
            run("sgd-32-stable", "SGD, batch 32, no clipping, η = 0.01", 200_000, 0.01, unclipped(clipped_sgd(32))),
        ],
        evaluate: Evaluate { first: 1, grid: 121, spacing: Spacing::Logarithmic, after: false },
        metrics: vec![Metric::always(NORM), Metric::sparse("train_loss", 20)],
        panels: vec![Panel::new(NORM, "‖W₁[:, 5:]‖_F", true), Panel::new("train_loss", "Training loss", true)],
        clock: Clock::Iteration,
        trajectory: false,
    }
}

/// How much of the initial norm of the irrelevant weights is left at the end.
fn left(run: &RunResults, replica: &Replica) -> Option<f64> {
    let series = run.series(replica, NORM);
    Some(run.last(replica, NORM)? / series.first()?.1)
}

fn expect(_: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let below = |name: &str, limit: f64| {
        each(results, &format!("{name}: less than {limit} of ‖W₁[:, 5:]‖_F is left"), name, |run, replica| {
            let left = left(run, replica)?;
            Some((left < limit, left))
        })
    };
    let above = |name: &str, limit: f64| {
        each(results, &format!("{name}: more than {limit} of it is left"), name, |run, replica| {
            let left = left(run, replica)?;
            Some((left > limit, left))
        })
    };
    let faster = |pair: &[&str]| paired_by(results, "share left", pair[1], Direction::Below, pair[0], left);
    let finite = |name: &str| -> Evidence {
        let run = results.run(name);
        let outcomes: Vec<bool> = run
            .into_iter()
            .flat_map(RunResults::own)
            .map(|replica| run.is_some_and(|run| run.survivor(replica.seed).is_some()))
            .collect();
        Evidence::count(format!("{name} stays finite"), &outcomes, 0, "clipping off, η = 0.1")
    };
    Ok(vec![
        Claim::all(
            "sgd-removes",
            "SGD shrinks the weights of irrelevant inputs to zero",
            "Figure 10, section C.2",
            vec![below("sgd-32", 0.05), below("sgd-1", 0.05)],
        ),
        Claim::all("gd-stops", "gradient descent keeps them", "Figure 10, section C.2", vec![above("gd", 0.5)]),
        Claim::all(
            "smaller-faster",
            "the smaller the batch, the more of them is gone: the speed is proportional to η/b",
            "section C.2",
            BATCHES.windows(2).map(faster).collect(),
        ),
        Claim::all(
            "decay-removes",
            "gradient descent with weight decay removes them",
            "Figure 10",
            vec![below("gd-decay", 0.05)],
        ),
        Claim::all(
            "unclipped-runs",
            "the setting of the text, without the clipping of the code, trains",
            "control",
            vec![finite("gd-unclipped"), finite("sgd-32-unclipped")],
        ),
        Claim::all(
            "noise-removes",
            "without clipping, at a stable step size, the noise of SGD still removes most of them",
            "control",
            vec![below("sgd-32-stable", 0.5)],
        ),
    ])
}

/// W_1 above its Gram matrix |W_1ᵀW_1|^0.95, as in the paper: at the start, then at the end of every clipped run.
fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let runs =
        || results.runs.iter().zip(&spec.runs).filter(|(run, _)| BATCHES.contains(&run.name.as_str()) || run.name == "gd-decay");
    let (Some(&first), crate::nets::Architecture::Mlp { widths, .. }) = (spec.seeds().first(), &spec.net) else {
        return Ok(crate::report::picture(spec, results));
    };
    let (d, width) = (widths[0], widths[1]);
    let started = spec.net.initial(d, first);
    let mut matrices = vec![("start".to_owned(), started)];
    for (run, declared) in runs() {
        let replica = run.replicas.first();
        matrices.push((declared.label.clone(), replica.map_or_else(Vec::new, |replica| replica.params.clone())));
    }
    let weight = |params: &[f64]| params.get(..width * d).unwrap_or_default().to_vec();
    let panel = |title: String, rows: usize, values: Vec<f64>, colours: Colours| plot::Panel {
        title,
        cells: Some(Cells { rows, columns: d, values, range: None, colours, mark_column: Some(RELEVANT) }),
        ..plot::Panel::default()
    };
    let top = matrices.iter().map(|(label, params)| panel(format!("W₁, {label}"), width, weight(params), Colours::Diverging));
    let bottom = matrices.iter().map(|(label, params)| {
        let values = weight(params);
        let gram = if values.is_empty() { Vec::new() } else { gram(width, d, &values)? };
        let shown = gram.iter().map(|value| value.abs().powf(0.95)).collect();
        Ok(panel(format!("Gram, {label}"), d, shown, Colours::Sequential))
    });
    let bottom = bottom.collect::<Result<Vec<_>>>()?;
    Ok(plot::Figure {
        title: spec.title.clone(),
        columns: matrices.len(),
        panels: top.chain(bottom).collect(),
        footnote: Some(format!(
            "Columns are inputs; those right of the line do not matter to the target. Gram: |G|^0.95 by element, G the matrix of inner products of the columns of W₁. Seed {first} of {}. Data: {}.",
            spec.seeds.own.len(),
            spec.data.name()
        )),
    })
}

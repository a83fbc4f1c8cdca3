//! Figures of weight matrices and their Gram matrices, at the start and at the end of runs.

use super::RELEVANT;
use crate::error::Result;
use crate::metrics::weights::gram;
use crate::report::plot::{self, Axis, Cells, Colours};
use crate::run::Results;
use crate::spec::{Seed, Spec};

/// One row of matrices: the start, then the end of every run.
#[derive(Clone, Copy)]
pub(super) struct Row {
    /// W_layer, counted from 1.
    pub layer: usize,
    /// Its Gram matrix |WᵀW|^0.95, as in the paper, instead of itself.
    pub gram: bool,
    /// Which of the seeds.
    pub seed: usize,
}

/// W_1 above its Gram matrix, of the first seed.
pub(super) const FIRST_LAYER: [Row; 2] = [Row { layer: 1, gram: false, seed: 0 }, Row { layer: 1, gram: true, seed: 0 }];

/// Matrices of the runs whose names pass, with the training loss in brackets.
pub(super) fn draw(spec: &Spec, results: &Results, rows: &[Row], shown: impl Fn(&str) -> bool) -> Result<plot::Figure> {
    let Some(net) = spec.net.net::<f64>(spec.data.load()?.d)? else { return Ok(crate::report::picture(spec, results)) };
    let weights = net.weights();
    let runs: Vec<_> = results.runs.iter().zip(&spec.runs).filter(|(run, _)| shown(&run.name)).collect();
    let mut panels = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let Some(weight) = weights.get(row.layer - 1) else { continue };
        let [outputs, inputs] = [weight.shape[0], weight.shape[1]];
        let seed = results.runs.first().and_then(|run| run.replicas.get(row.seed)).map_or(Seed::Own(0), |replica| replica.seed);
        let name = if row.gram { format!("Gram of W{}", subscript(row.layer)) } else { format!("W{}", subscript(row.layer)) };
        let name = if rows.iter().any(|other| other.seed != row.seed) { format!("{name}, seed {seed}") } else { name };
        let mut panel = |title: String, params: &[f64]| -> Result<()> {
            let values = params.get(weight.range.clone()).unwrap_or_default().to_vec();
            let values = match row.gram && !values.is_empty() {
                true => gram(outputs, inputs, &values)?.iter().map(|value| value.abs().powf(0.95)).collect(),
                false => values,
            };
            let (rows, colours) = if row.gram { (inputs, Colours::Sequential) } else { (outputs, Colours::Diverging) };
            let mark_column = (row.layer == 1).then_some(RELEVANT);
            panels.push(plot::Panel {
                title,
                y: Axis::linear(if panels.len().is_multiple_of(runs.len() + 1) { name.as_str() } else { "" }),
                cells: Some(Cells { rows, columns: inputs, values, range: None, colours, mark_column }),
                ..plot::Panel::default()
            });
            Ok(())
        };
        panel("start".to_owned(), &spec.net.initial(inputs_of(spec), seed))?;
        for (run, declared) in &runs {
            let replica = run.replicas.get(row.seed);
            let loss = replica.and_then(|replica| run.last(replica, "train_loss"));
            let title = match loss {
                Some(loss) if index == 0 || rows[index - 1].seed != row.seed => format!("{} ({loss:.3})", declared.label),
                _ => declared.label.clone(),
            };
            panel(title, replica.map_or(&[], |replica| &replica.params))?;
        }
    }
    Ok(plot::Figure {
        title: spec.title.clone(),
        columns: runs.len() + 1,
        panels,
        footnote: Some(format!(
            "Columns are inputs; those right of a line do not matter to the target. Gram: |G|^0.95 by element, G the matrix of inner products of the columns. In brackets: training loss at the end. One seed of {} a row. Data: {}.",
            spec.seeds.own.len(),
            spec.data.name()
        )),
    })
}

fn inputs_of(spec: &Spec) -> usize {
    match &spec.net {
        crate::nets::Architecture::Mlp { widths, .. } => widths[0],
        _ => super::FEATURES,
    }
}

fn subscript(layer: usize) -> char {
    ['₁', '₂', '₃', '₄'].get(layer - 1).copied().unwrap_or('ₙ')
}

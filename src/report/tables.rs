//! Tables: metrics.csv and timings.csv for programs, claims and summaries for the terminal.

use std::fmt::Write as _;
use std::path::Path;

use crate::claims::{Claim, Rule, diverged};
use crate::error::{Error, Result};
use crate::run::{Results, Timing, quantile};
use crate::spec::Spec;

/// `run,seed,step,metric,value`, one row per finite measurement, sorted by run and seed as in the spec, then step and metric.
/// No times: two runs of one spec compare with cmp.
pub(super) fn write_metrics(path: &Path, results: &Results) -> Result<()> {
    let rows = results.runs.iter().flat_map(|run| {
        run.replicas.iter().flat_map(move |replica| {
            let seed = replica.seed.to_string();
            run.points.iter().zip(replica.values.chunks_exact(run.metrics.len())).flat_map(move |(&step, values)| {
                let seed = seed.clone();
                let finite = run.metrics.iter().zip(values).filter(|(_, value)| value.is_finite());
                finite.map(move |(metric, &value)| (run.name.as_str(), seed.clone(), step, metric.as_str(), value))
            })
        })
    });
    write_rows(path, ["run", "seed", "step", "metric", "value"], rows)
}

pub(super) fn write_timings(path: &Path, timings: &[Timing]) -> Result<()> {
    let rows = timings.iter().map(|timing| {
        (timing.run.as_str(), timing.seed.to_string(), timing.replicas, timing.train_seconds, timing.measure_seconds)
    });
    write_rows(path, ["run", "first_seed", "replicas", "train_seconds", "measure_seconds"], rows)
}

fn write_rows<const N: usize>(path: &Path, header: [&str; N], rows: impl Iterator<Item = impl serde::Serialize>) -> Result<()> {
    let failed = |error: csv::Error| Error::io("write", path)(std::io::Error::other(error.to_string()));
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_path(path).map_err(failed)?;
    writer.write_record(header).map_err(failed)?;
    for row in rows {
        writer.serialize(row).map_err(failed)?;
    }
    writer.flush().map_err(Error::io("write", path))
}

/// Every claim with its verdict and evidence.
pub fn claims_table(claims: &[Claim]) -> String {
    let mut text = String::new();
    for claim in claims {
        let _ = writeln!(text, "{:<13} {} ({})", claim.verdict, claim.statement, claim.source);
        for part in &claim.evidence {
            let counted = match (part.rule, part.interval) {
                (Rule::Most | Rule::Band, [low, high]) => format!("seeds [{low:.2}, {high:.2}]"),
                (Rule::Every, _) => "cases, all needed".to_owned(),
            };
            let lost = if part.diverged > 0 { format!(", {} diverged", part.diverged) } else { String::new() };
            let _ = writeln!(text, "              {}: {}/{} {counted}{lost}; {}", part.what, part.wins, part.seeds, part.detail);
        }
    }
    text
}

/// For every run: finite seeds, then each metric's last value, median and 10-90% over own seeds, and the paper's replica.
pub fn summary_table(spec: &Spec, results: &Results) -> String {
    let mut text = String::new();
    for (run, declared) in results.runs.iter().zip(&spec.runs) {
        let own = run.own().count();
        let _ = writeln!(text, "{} ({}): {}/{own} own seeds finite", run.name, declared.label, own - diverged(run));
        for metric in &run.metrics {
            if run.replicas.iter().all(|replica| run.series(replica, metric).is_empty()) {
                continue;
            }
            let values: Vec<f64> = run.own().filter_map(|replica| run.last(run.survivor(replica.seed)?, metric)).collect();
            let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4e}"));
            let [low, middle, high] = [0.1, 0.5, 0.9].map(|fraction| number(quantile(&values, fraction)));
            let paper = run.replicas.iter().find(|replica| replica.seed == crate::spec::Seed::Paper);
            let paper = paper.map_or(String::new(), |replica| format!("  paper's order {}", number(run.last(replica, metric))));
            let _ = writeln!(text, "  {metric:<18} median {middle} [{low}, {high}]{paper}");
        }
    }
    text
}

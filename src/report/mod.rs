//! What a run leaves in its folder: tables, claims, arrays and the picture.

mod picture;
pub mod plot;
mod tables;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::claims::Claim;
use crate::data::npz::{self, Array};
use crate::error::{Error, Result};
use crate::run::{Results, RunFolder, Timing};
use crate::spec::{Scale, Spec};

pub use picture::picture;
pub use tables::{claims_table, summary_table};

/// Facts about the process that ran, kept apart from what it computed.
#[derive(Clone, Debug, Serialize)]
pub struct Meta {
    /// This program's version.
    pub version: &'static str,
    /// Instruction set of the kernels.
    pub isa: String,
    /// Device.
    pub device: String,
    /// Processor.
    pub cpu: String,
    /// Threads.
    pub threads: usize,
    /// Name of the data.
    pub data: String,
    /// SHA-256 of the data, shortened.
    pub data_hash: String,
}

/// claims.json.
#[derive(Serialize, Deserialize)]
pub(crate) struct ClaimsFile {
    pub figure: Option<String>,
    pub scale: Scale,
    pub overrides: Vec<String>,
    pub claims: Vec<Claim>,
}

/// Writes every file of a finished run but spec.json, then gives the folder its name.
///
/// # Errors
/// If a file cannot be written.
pub fn publish(
    folder: RunFolder,
    spec: &Spec,
    results: &Results,
    timings: &[Timing],
    claims: &[Claim],
    picture: Option<&plot::Figure>,
    meta: &Meta,
) -> Result<PathBuf> {
    tables::write_metrics(&folder.file("metrics.csv"), results)?;
    tables::write_timings(&folder.file("timings.csv"), timings)?;
    let Spec { figure, scale, overrides, .. } = spec.clone();
    let file = ClaimsFile { figure, scale, overrides, claims: claims.to_vec() };
    write_json(folder.file("claims.json"), &file)?;
    write_json(folder.file("meta.json"), meta)?;
    npz::write(&folder.file("arrays.npz"), &arrays(results))?;
    if let Some(figure) = picture {
        let failed = |error: plot::PlotError| Error::Numerics(error.to_string());
        figure.write_svg(folder.file("figure.svg")).map_err(failed)?;
        figure.write_png(folder.file("figure.png")).map_err(failed)?;
    }
    folder.finish()
}

fn write_json(path: PathBuf, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::io("write", &path)(error.into()))?;
    std::fs::write(&path, text + "\n").map_err(Error::io("write", &path))
}

/// Of every run: final parameters, replicas x parameters in the order of the seeds; the trajectory, points x parameters, if kept.
fn arrays(results: &Results) -> Vec<(String, Array)> {
    let array = |name: String, rows: usize, values: Vec<f64>| {
        let shape = vec![rows, values.len() / rows.max(1)];
        (name, Array { shape, values })
    };
    let of_run = |run: &crate::run::RunResults| {
        let params = run.replicas.iter().flat_map(|replica| replica.params.iter().copied()).collect();
        let kept = run.replicas.first().filter(|replica| !replica.trajectory.is_empty());
        let trajectory =
            kept.map(|replica| array(format!("{}.trajectory", run.name), run.points.len(), replica.trajectory.clone()));
        [Some(array(format!("{}.params", run.name), run.replicas.len(), params)), trajectory]
    };
    results.runs.iter().flat_map(of_run).flatten().collect()
}

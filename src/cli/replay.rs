//! `handgrad replay` and `handgrad measure`

use std::path::Path;

use handgrad::data::npz::Npz;
use handgrad::kernels::Context;
use handgrad::replay::{Replay, measure as measure_params, replay as replay_arrays, write_lines};
use handgrad::{Error, Result};

use super::progress::Bar;
use super::{MeasureArguments, NetName, ReplayArguments, answer_json};

pub fn replay(arguments: &ReplayArguments) -> Result<()> {
    let ReplayArguments { arrays, net: NetName::Diagonal, loss, lr, steps, batch, dtype, out } = arguments;
    let npz = Npz::read(arrays)?;
    let options = Replay { loss: *loss, lr: *lr, steps: *steps, batch: *batch, dtype: *dtype };
    check_output(out, arrays)?;
    let rows = npz.shape("order").and_then(|shape| shape.first().copied());
    let bar = Bar::new(steps.or(rows).unwrap_or(0) as u64);
    let outcome = replay_arrays(&Context::cpu()?, &npz, &options, &bar);
    bar.finish();
    let (lines, summary) = outcome?;
    write_lines(out, &lines)?;
    if let Some(step) = summary.diverged_at {
        super::advise(&format!("diverged at step {step}; {} ends there", out.display()));
    }
    answer_json(&summary)
}

/// Refuses a place that nothing can be written to, or where the arrays are, before anything is computed.
fn check_output(out: &Path, arrays: &Path) -> Result<()> {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let refused = |why: String| Err(Error::Input(format!("--out {}: {why}", out.display())));
    if out.is_dir() || out.as_os_str().as_encoded_bytes().ends_with(b"/") {
        refused("this is a folder, expected a file name such as trace.csv".to_owned())
    } else if !folder.is_dir() {
        refused(format!("there is no folder {}; create it", folder.display()))
    } else if out.canonicalize().is_ok_and(|out| arrays.canonicalize().is_ok_and(|arrays| arrays == out)) {
        refused("this is the file with the arrays, expected another name such as trace.csv".to_owned())
    } else {
        Ok(())
    }
}

pub fn measure(arguments: &MeasureArguments) -> Result<()> {
    let MeasureArguments { arrays, net: NetName::Diagonal, params, ntk_rank } = arguments;
    answer_json(&measure_params(&Context::cpu()?, &Npz::read(arrays)?, params, *ntk_rank)?)
}

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
    check_output(out)?;
    let bar = Bar::new(steps.unwrap_or(0) as u64);
    let outcome = replay_arrays(&Context::cpu()?, &npz, &options, &bar);
    bar.finish();
    let (lines, summary) = outcome?;
    write_lines(out, &lines)?;
    if let Some(step) = summary.diverged_at {
        super::advise(&format!("diverged at step {step}; {} has the {} lines up to there", out.display(), lines.len()));
    }
    answer_json(&summary)
}

/// Refuses a place that nothing can be written to before anything is computed.
fn check_output(out: &Path) -> Result<()> {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (out.is_dir(), folder.is_dir()) {
        (true, _) => {
            Err(Error::Input(format!("--out {}: this is a folder, expected a file name such as trace.csv", out.display())))
        }
        (_, false) => Err(Error::Input(format!("--out {}: there is no folder {}; create it", out.display(), folder.display()))),
        _ => Ok(()),
    }
}

pub fn measure(arguments: &MeasureArguments) -> Result<()> {
    let MeasureArguments { arrays, net: NetName::Diagonal, params, ntk_rank } = arguments;
    answer_json(&measure_params(&Context::cpu()?, &Npz::read(arrays)?, params, *ntk_rank)?)
}

//! `handgrad replay` and `handgrad measure`

use handgrad::Result;
use handgrad::data::npz::Npz;
use handgrad::kernels::Context;
use handgrad::replay::{Replay, measure as measure_params, replay as replay_arrays, write_lines};

use super::progress::Bar;
use super::{MeasureArguments, NetName, ReplayArguments, answer_json};

pub fn replay(arguments: &ReplayArguments) -> Result<()> {
    let ReplayArguments { arrays, net: NetName::Diagonal, loss, lr, steps, batch, dtype, out } = arguments;
    let npz = Npz::read(arrays)?;
    let options = Replay { loss: *loss, lr: *lr, steps: *steps, batch: *batch, dtype: *dtype };
    let bar = Bar::new(steps.unwrap_or(0) as u64);
    let outcome = replay_arrays(&Context::cpu()?, &npz, &options, &bar);
    bar.finish();
    let (lines, summary) = outcome?;
    write_lines(out, &lines)?;
    if let Some(step) = summary.diverged_at {
        eprintln!("diverged at step {step}; {} has the {} lines up to there", out.display(), lines.len());
    }
    answer_json(&summary)
}

pub fn measure(arguments: &MeasureArguments) -> Result<()> {
    let MeasureArguments { arrays, net: NetName::Diagonal, params, ntk_rank } = arguments;
    answer_json(&measure_params(&Context::cpu()?, &Npz::read(arrays)?, params, *ntk_rank)?)
}

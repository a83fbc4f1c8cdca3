//! `handgrad verify`

use std::path::PathBuf;
use std::process::ExitCode;

use handgrad::ledger::{self, Entry};
use handgrad::{Error, Result};

/// Holds the verdicts of finished runs against those of the ledger; exit code 1 if one differs.
#[derive(clap::Args)]
pub struct Arguments {
    /// Folders of finished runs of figures, without overrides.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Write the ledger with these runs' verdicts to this file instead, dated by --date.
    #[arg(long, value_name = "FILE", requires = "date")]
    write: Option<PathBuf>,
    /// When they ran, year-month-day.
    #[arg(long)]
    date: Option<String>,
}

pub fn verify(arguments: &Arguments) -> Result<ExitCode> {
    let date = arguments.date.as_deref().unwrap_or_default();
    let mut found: Vec<Entry> = Vec::new();
    for folder in &arguments.runs {
        found.extend(ledger::of_run(folder, date)?);
    }
    let ledger = ledger::committed()?;
    if let Some(path) = &arguments.write {
        if !is_date(date) {
            return Err(Error::Input(format!("--date {date}: expected year-month-day, as in 2026-01-31")));
        }
        let text = ledger::updated(ledger, found)?;
        std::fs::write(path, text).map_err(|source| Error::Io { action: "write", path: path.clone(), source })?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut differ = 0;
    for entry in &found {
        let known = ledger::verdict(&ledger, entry);
        let remark = match known {
            None => "not in the ledger".to_owned(),
            Some(verdict) if verdict == entry.verdict => "as in the ledger".to_owned(),
            Some(verdict) => format!("the ledger says {verdict}"),
        };
        differ += usize::from(known.is_some_and(|verdict| verdict != entry.verdict));
        super::answer(&format!("{:<22} {:<24} {:<13} {remark}\n", entry.figure, entry.claim, entry.verdict));
    }
    super::answer(&format!("{} claims, {differ} verdicts differ from the ledger\n", found.len()));
    Ok(ExitCode::from(u8::from(differ > 0)))
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |part: &&str, count: usize| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
    matches!(&parts[..], [year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2))
}

//! The verdicts that runs of the figures, as they are declared, have led to: what a new run is held against.
//!
//! The ledger is a CSV file, `ledger.csv` beside this one, a line per claim and scale.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::claims::{Claim, Verdict};
use crate::error::{Error, Result, refuse};
use crate::report::ClaimsFile;
use crate::spec::Scale;

/// What came of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// `paper/figure`.
    pub figure: String,
    /// How much of the protocol.
    pub scale: Scale,
    /// The claim's identifier.
    pub claim: String,
    /// What the evidence says of it.
    pub verdict: Verdict,
    /// Cases that are as the paper says of all, comparison by comparison.
    pub evidence: String,
    /// The data.
    pub data: String,
    /// When it ran, year-month-day.
    pub date: String,
}

/// The meta.json of a run, as far as the ledger reads it.
#[derive(Deserialize)]
struct MetaFile {
    data: String,
}

/// The ledger of this version.
///
/// # Errors
/// If the file is malformed.
pub fn committed() -> Result<Vec<Entry>> {
    parse(include_str!("ledger.csv"))
}

fn parse(text: &str) -> Result<Vec<Entry>> {
    let entries = csv::Reader::from_reader(text.as_bytes()).into_deserialize().collect::<std::result::Result<_, _>>();
    entries.map_err(|error| Error::Input(format!("ledger: {error}")))
}

/// What a finished run says of the claims of its figure.
///
/// # Errors
/// If the folder holds no finished run, or one of no figure, or of a figure with overrides.
pub fn of_run(folder: &Path, date: &str) -> Result<Vec<Entry>> {
    let ClaimsFile { figure, scale, overrides, claims } = read(&folder.join("claims.json"))?;
    let MetaFile { data } = read(&folder.join("meta.json"))?;
    let at = folder.display();
    let Some(figure) = figure else {
        return refuse!("{at}: the run is of no figure, and has no claims");
    };
    if !overrides.is_empty() {
        return refuse!("{at}: the run has overrides ({}); the ledger is of figures as they are declared", overrides.join(", "));
    }
    let entry = |claim: Claim| Entry {
        figure: figure.clone(),
        scale,
        evidence: claim.evidence.iter().map(|part| format!("{}/{}", part.wins, part.seeds)).collect::<Vec<_>>().join(" "),
        claim: claim.id,
        verdict: claim.verdict,
        data: data.clone(),
        date: date.to_owned(),
    };
    Ok(claims.into_iter().map(entry).collect())
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    serde_json::from_str(&text).map_err(|error| Error::Input(format!("{}: not written by a run: {error}", path.display())))
}

/// The verdict of a ledger on the claim of an entry.
pub fn verdict(ledger: &[Entry], of: &Entry) -> Option<Verdict> {
    let same = |entry: &&Entry| (&entry.figure, entry.scale, &entry.claim) == (&of.figure, of.scale, &of.claim);
    ledger.iter().find(same).map(|entry| entry.verdict)
}

/// A ledger with new entries in the place of those of their figures and scales, sorted by figure and scale, claims in the order
/// of their figure; as a file.
///
/// # Errors
/// If it cannot be written as CSV.
pub fn updated(mut ledger: Vec<Entry>, new: Vec<Entry>) -> Result<String> {
    ledger.retain(|entry| !new.iter().any(|new| (&new.figure, new.scale) == (&entry.figure, entry.scale)));
    ledger.extend(new);
    ledger.sort_by(|a, b| (&a.figure, a.scale as u8).cmp(&(&b.figure, b.scale as u8)));
    let failed = |error: String| Error::Input(format!("ledger: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    ledger.iter().try_for_each(|entry| writer.serialize(entry)).map_err(|error| failed(error.to_string()))?;
    let bytes = writer.into_inner().map_err(|error| failed(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments;

    fn entry(figure: &str, claim: &str, verdict: Verdict) -> Entry {
        let [figure, claim, evidence, data, date] = [figure, claim, "3/4 1/4", "digits", "2026-01-02"].map(str::to_owned);
        Entry { figure, scale: Scale::Laptop, claim, verdict, evidence, data, date }
    }

    #[test]
    fn the_committed_ledger_is_of_figures_that_are_there_and_sorted() {
        let ledger = committed().unwrap();
        for entry in &ledger {
            experiments::find(&entry.figure).unwrap();
            assert!(entry.date.len() == 10 && !entry.claim.is_empty(), "{entry:?}");
        }
        assert_eq!(updated(ledger, Vec::new()).unwrap(), include_str!("ledger.csv"));
    }

    #[test]
    fn new_entries_take_the_place_of_their_figures_old_ones() {
        let old = vec![
            entry("a/fig1", "one", Verdict::Holds),
            entry("a/fig1", "two", Verdict::Fails),
            entry("b/fig1", "x", Verdict::Holds),
        ];
        let text = updated(old, vec![entry("a/fig1", "one", Verdict::Fails)]).unwrap();
        let ledger = parse(&text).unwrap();
        assert_eq!(ledger, [entry("a/fig1", "one", Verdict::Fails), entry("b/fig1", "x", Verdict::Holds)]);
        assert_eq!(verdict(&ledger, &entry("a/fig1", "one", Verdict::Holds)), Some(Verdict::Fails));
        assert_eq!(verdict(&ledger, &Entry { scale: Scale::Paper, ..entry("a/fig1", "one", Verdict::Holds) }), None);
        assert!(parse("figure,claim\na,b\n").is_err());
    }
}

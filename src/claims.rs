//! A paper's claims as executable checks: a statement, its source, and what the seeds say.

use serde::{Deserialize, Serialize};

use crate::run::{Replica, Results, RunResults, quantile};
use crate::spec::Seed;
use crate::train::Outcome;

/// What the evidence says of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Supported by the seeds.
    Holds,
    /// Supported in part; the evidence says under what.
    HoldsUnder,
    /// The seeds say otherwise.
    Fails,
    /// The seeds do not decide.
    Inconclusive,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Verdict::Holds => "holds",
            Verdict::HoldsUnder => "holds-under",
            Verdict::Fails => "fails",
            Verdict::Inconclusive => "inconclusive",
        })
    }
}

/// A claim with its verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// Short identifier, unique within the figure.
    pub id: String,
    /// What the paper says.
    pub statement: String,
    /// Where.
    pub source: String,
    /// What the seeds say.
    pub verdict: Verdict,
    /// Why.
    pub evidence: Vec<Evidence>,
}

/// How cases decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A tendency: are most seeds as the paper says? The interval decides against one half.
    Most,
    /// Equality of two distributions: 80% of one lie within the 10-90% band of the other.
    Band,
    /// A theorem, an identity or "almost surely": one counter-example refutes it.
    Every,
}

/// One comparison or count behind a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was compared or counted.
    pub what: String,
    /// How the cases decide.
    pub rule: Rule,
    /// Cases: own seeds that count (in a paired comparison, those for which both runs are finite), or points of a grid.
    pub seeds: usize,
    /// Cases that are as the paper says.
    pub wins: usize,
    /// 95% interval of the probability that a case is as the paper says (Wilson).
    pub interval: [f64; 2],
    /// Own seeds lost to divergence.
    pub diverged: usize,
    /// Medians or levels in words.
    pub detail: String,
}

impl Evidence {
    /// Counts seeds that are as the paper says.
    pub fn count(what: impl Into<String>, outcomes: &[bool], diverged: usize, detail: impl Into<String>) -> Evidence {
        let (seeds, wins) = (outcomes.len(), outcomes.iter().filter(|&&win| win).count());
        let (what, detail) = (what.into(), detail.into());
        Evidence { what, rule: Rule::Most, seeds, wins, interval: wilson(wins, seeds), diverged, detail }
    }

    /// Cases that are not seeds but points of a grid: every one must be as the paper says, and none is left to chance.
    pub fn grid(what: impl Into<String>, wins: usize, points: usize, detail: impl Into<String>) -> Evidence {
        let share = wins as f64 / points as f64;
        let interval = if points == 0 { [0.0, 1.0] } else { [share, share] };
        Evidence { what: what.into(), rule: Rule::Every, seeds: points, wins, interval, diverged: 0, detail: detail.into() }
    }

    /// The same counts, of which every one must be as the paper says.
    pub fn every(self) -> Evidence {
        Evidence { rule: Rule::Every, ..self }
    }

    /// What this evidence alone says. Most: holds if even the interval's lower end is above one half, fails if its upper end is
    /// below. Band: fails if the upper end is below 0.8, else as Most. Every: fails with the first counter-example, holds if the
    /// interval without one is above one half.
    pub fn verdict(&self) -> Verdict {
        match (self.rule, self.interval) {
            (Rule::Every, _) if self.wins < self.seeds => Verdict::Fails,
            (Rule::Band, [_, high]) if high < 0.8 => Verdict::Fails,
            (_, [low, _]) if low > 0.5 => Verdict::Holds,
            (_, [_, high]) if high < 0.5 => Verdict::Fails,
            _ => Verdict::Inconclusive,
        }
    }
}

impl Claim {
    /// A claim that asks for all of its evidence at once: fails if a part fails, holds if all hold, holds-under if some do.
    pub fn all(id: &str, statement: &str, source: &str, evidence: Vec<Evidence>) -> Claim {
        let verdicts: Vec<Verdict> = evidence.iter().map(Evidence::verdict).collect();
        let holding = verdicts.iter().filter(|&&verdict| verdict == Verdict::Holds).count();
        let verdict = match holding {
            0 if verdicts.contains(&Verdict::Fails) => Verdict::Fails,
            0 => Verdict::Inconclusive,
            all if all == verdicts.len() => Verdict::Holds,
            _ => Verdict::HoldsUnder,
        };
        Claim { id: id.to_owned(), statement: statement.to_owned(), source: source.to_owned(), verdict, evidence }
    }
}

/// Which way the paper says a comparison goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The first run's value is below the second's.
    Below,
    /// It is above.
    Above,
}

/// For every own seed with both runs finite: is `first`'s last value of a metric below (above) `second`'s?
pub fn paired(results: &Results, metric: &str, first: &str, direction: Direction, second: &str) -> Evidence {
    paired_by(results, metric, first, direction, second, |run, replica| run.last(replica, metric))
}

/// The same for a quantity of a run's replica, by name.
pub fn paired_by(
    results: &Results,
    quantity: &str,
    first: &str,
    direction: Direction,
    second: &str,
    value: impl Fn(&RunResults, &Replica) -> Option<f64>,
) -> Evidence {
    let what = format!("{quantity}: {first} {} {second}", if direction == Direction::Below { "<" } else { ">" });
    let (Some(a), Some(b)) = (results.run(first), results.run(second)) else {
        return Evidence::count(what, &[], 0, "a run is missing");
    };
    let pairs: Vec<(f64, f64)> =
        own_seeds(a).filter_map(|seed| Some((value(a, a.survivor(seed)?)?, value(b, b.survivor(seed)?)?))).collect();
    let outcomes: Vec<bool> = pairs.iter().map(|(a, b)| if direction == Direction::Below { a < b } else { a > b }).collect();
    let median = |side: fn(&(f64, f64)) -> f64| quantile(&pairs.iter().map(side).collect::<Vec<_>>(), 0.5).unwrap_or(f64::NAN);
    let detail = format!("medians {:.3e} and {:.3e}", median(|pair| pair.0), median(|pair| pair.1));
    Evidence::count(what, &outcomes, a.own().count() - pairs.len(), detail)
}

/// A yes-or-no question asked of every own seed that is finite; `None` leaves a seed out.
pub fn each(
    results: &Results,
    what: &str,
    run: &str,
    question: impl Fn(&RunResults, &Replica) -> Option<(bool, f64)>,
) -> Evidence {
    let Some(run) = results.run(run) else { return Evidence::count(what, &[], 0, "the run is missing") };
    let answers: Vec<(bool, f64)> = own_seeds(run).filter_map(|seed| question(run, run.survivor(seed)?)).collect();
    let outcomes: Vec<bool> = answers.iter().map(|&(answer, _)| answer).collect();
    let values: Vec<f64> = answers.iter().map(|&(_, value)| value).collect();
    let detail = quantile(&values, 0.5).map_or("no seed".to_owned(), |median| format!("median {median:.3e}"));
    Evidence::count(what, &outcomes, diverged(run), detail)
}

/// Is a metric at the first decay of the step size below what it was a tenth of the way there? (Before that, the start of
/// training still shows: v = 0 makes ‖u⊙v‖₀ zero, for one.)
pub fn falls_before_decay(results: &Results, metric: &str, run: &str) -> Evidence {
    each(results, &format!("{metric} of {run} at the decay below that a tenth of the way there"), run, |run, replica| {
        let decay = run.first_decay?;
        let values: Vec<f64> = run.within(replica, metric, decay / 10..=decay).into_iter().map(|(_, value)| value).collect();
        let [early, .., late] = values[..] else { return None };
        Some((late < early, late))
    })
}

/// Does the loss of a run stabilise: is its level before the decay at least 100 times what `reference` has at that time?
pub fn stabilises(results: &Results, run: &str, reference: &str) -> Evidence {
    let what = format!("{run}: level over the second half before the decay at least 100 times that of {reference}");
    each(results, &what, run, |run, replica| {
        let (level, decay) = (run.stabilisation_level(replica)?, run.first_decay?);
        let other = results.run(reference)?;
        let converged = other.level(other.survivor(replica.seed)?, "train_loss", decay / 2..=decay)?;
        Some((level >= 100.0 * converged, level))
    })
}

/// For every own seed of `run` that is finite: is its last value of a metric within the 10-90% band of `reference`'s?
pub fn within_band(results: &Results, metric: &str, run: &str, reference: &str) -> Evidence {
    let what = format!("{metric} of {run} within the 10-90% band of {reference}");
    let Some(other) = results.run(reference) else { return Evidence::count(what, &[], 0, "a run is missing") };
    let values: Vec<f64> = own_seeds(other).filter_map(|seed| other.last(other.survivor(seed)?, metric)).collect();
    let (Some(low), Some(high)) = (quantile(&values, 0.1), quantile(&values, 0.9)) else {
        return Evidence::count(what, &[], diverged(other), "the band has no seed");
    };
    let inside = each(results, &what, run, |run, replica| {
        let value = run.last(replica, metric)?;
        Some((low <= value && value <= high, value))
    });
    let detail = format!("{}, band {low:.3e} to {high:.3e} of {} seeds", inside.detail, values.len());
    Evidence { rule: Rule::Band, detail, ..inside }
}

/// Does a run stay finite, whatever the seed?
pub fn finite(results: &Results, run: &str) -> Evidence {
    let what = format!("{run} stays finite");
    let Some(run) = results.run(run) else { return Evidence::count(what, &[], 0, "the run is missing") };
    let outcomes: Vec<bool> = run.own().map(|replica| replica.outcome == Outcome::Finished).collect();
    Evidence::count(what, &outcomes, 0, "counted over all seeds")
}

/// Own seeds of a run that diverged.
pub fn diverged(run: &RunResults) -> usize {
    run.own().filter(|replica| replica.outcome != Outcome::Finished).count()
}

fn own_seeds(run: &RunResults) -> impl Iterator<Item = Seed> {
    run.own().map(|replica| replica.seed)
}

/// Wilson's score interval at 95%; [0, 1] without seeds.
fn wilson(wins: usize, seeds: usize) -> [f64; 2] {
    if seeds == 0 {
        return [0.0, 1.0];
    }
    const Z: f64 = 1.959_963_984_540_054;
    let (n, p) = (seeds as f64, wins as f64 / seeds as f64);
    let (centre, spread) = (p + Z * Z / (2.0 * n), Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt());
    [(centre - spread), (centre + spread)].map(|end| (end / (1.0 + Z * Z / n)).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_interval_of_a_textbook_case() {
        // 8 of 10: 0.4902 to 0.9433.
        let [low, high] = wilson(8, 10);
        assert!((low - 0.4902).abs() <= 1e-4 && (high - 0.9433).abs() <= 1e-4, "{low} {high}");
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
    }

    #[test]
    fn verdicts_follow_the_interval() {
        let evidence = |wins: usize, seeds: usize| Evidence::count("", &(0..seeds).map(|k| k < wins).collect::<Vec<_>>(), 0, "");
        assert_eq!(evidence(20, 20).verdict(), Verdict::Holds);
        assert_eq!(evidence(1, 20).verdict(), Verdict::Fails);
        assert_eq!(evidence(11, 20).verdict(), Verdict::Inconclusive);
        assert_eq!(evidence(1, 1).verdict(), Verdict::Inconclusive, "one seed decides nothing");
        assert_eq!(evidence(20, 20).every().verdict(), Verdict::Holds);
        assert_eq!(evidence(19, 20).every().verdict(), Verdict::Fails, "one counter-example");
        let band = |wins, seeds| Evidence { rule: Rule::Band, ..evidence(wins, seeds) }.verdict();
        assert_eq!([band(28, 40), band(49, 80), band(3, 5)], [Verdict::Holds, Verdict::Fails, Verdict::Inconclusive]);
        assert_eq!(evidence(0, 0).every().verdict(), Verdict::Inconclusive);
        let grid = |wins, points| Evidence::grid("", wins, points, "").verdict();
        assert_eq!([grid(1, 1), grid(8, 9), grid(0, 0)], [Verdict::Holds, Verdict::Fails, Verdict::Inconclusive]);
        let claim = |parts: &[usize]| Claim::all("", "", "", parts.iter().map(|&wins| evidence(wins, 20)).collect()).verdict;
        assert_eq!(claim(&[20, 19]), Verdict::Holds);
        assert_eq!(claim(&[20, 10]), Verdict::HoldsUnder);
        assert_eq!(claim(&[20, 0]), Verdict::HoldsUnder);
        assert_eq!(claim(&[10, 0]), Verdict::Fails);
        assert_eq!(claim(&[10, 12]), Verdict::Inconclusive);
    }

    /// A metric `m` whose last value is given for own seeds 0, 1, ...
    fn run(name: &str, last: &[f64]) -> RunResults {
        let replica = |(seed, &value): (usize, &f64)| Replica {
            seed: Seed::Own(seed as u64),
            outcome: Outcome::Finished,
            values: vec![value],
            trajectory: vec![],
            params: vec![],
        };
        RunResults {
            name: name.into(),
            steps: 1,
            first_decay: None,
            points: vec![0],
            metrics: vec!["m".into()],
            replicas: last.iter().enumerate().map(replica).collect(),
        }
    }

    #[test]
    fn pairs_are_of_one_seed_and_a_tie_is_no_win() {
        let results = Results { runs: vec![run("a", &[3.0, 2.0, 5.0]), run("b", &[4.0, 1.0, 5.0])] };
        for direction in [Direction::Below, Direction::Above] {
            let evidence = paired(&results, "m", "a", direction, "b");
            assert_eq!((evidence.wins, evidence.seeds), (1, 3), "{direction:?}");
        }
    }

    #[test]
    fn a_band_leaves_out_the_extremes_of_its_reference() {
        let reference: Vec<f64> = (0..=10).map(f64::from).collect();
        let results = Results { runs: vec![run("a", &[0.5, 1.5, 8.5, 9.5]), run("b", &reference)] };
        let evidence = within_band(&results, "m", "a", "b");
        assert_eq!((evidence.wins, evidence.seeds), (2, 4));
    }
}

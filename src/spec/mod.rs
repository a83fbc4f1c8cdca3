//! What to run: a declaration that serialises. A figure is a Rust literal of it; what a run wrote as spec.json runs again and
//! can be overridden key by key.

mod images;
mod overrides;
mod value;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::data::{Data, Dataset};
use crate::draws::Order;
use crate::error::{Error, Result, nearest, refuse};
use crate::experiments;
use crate::loss::Loss;
use crate::metrics;
use crate::nets::Architecture;
use crate::optim::Optimiser;
use crate::schedule::Schedule;

/// Version of the layout of spec.json; a file of another version is refused.
pub const SCHEMA: u32 = 1;

/// A group of runs over one data set, with what to measure and to draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Version of this layout.
    pub schema: u32,
    /// The figure whose claims are evaluated; without it the runs stand for themselves.
    pub figure: Option<String>,
    /// Heading of the picture.
    pub title: String,
    /// How much of the paper's protocol.
    pub scale: Scale,
    /// Overrides applied to the figure's own declaration, as given.
    pub overrides: Vec<String>,
    /// Number type of training; metrics are computed in f64.
    pub dtype: Dtype,
    /// Loss that is trained and measured.
    #[serde(default)]
    pub loss: Loss,
    /// Data set.
    pub data: Data,
    /// Network and its initialisation.
    pub net: Architecture,
    /// Replicas of every run.
    pub seeds: Seeds,
    /// The runs, in the order of the figure's curves.
    pub runs: Vec<Run>,
    /// Iterations at which metrics are taken.
    pub evaluate: Evaluate,
    /// What is measured.
    pub metrics: Vec<Metric>,
    /// What is drawn.
    pub panels: Vec<Panel>,
    /// Over what.
    #[serde(default)]
    pub clock: Clock,
    /// Whether arrays.npz keeps the parameters of the first seed at every evaluation point; NaN from its divergence on.
    #[serde(default)]
    pub trajectory: bool,
}

/// How much of the paper's protocol a run follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Seconds: does everything work?
    Smoke,
    /// A shortened protocol.
    Laptop,
    /// The paper's protocol.
    Paper,
}

/// Number type of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Dtype {
    /// 32-bit.
    F32,
    /// 64-bit.
    F64,
}

/// The replicas of each run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seeds {
    /// Whether the paper's own random order is one of them.
    pub paper: bool,
    /// Seeds of our own streams.
    pub own: Vec<u64>,
    /// Whether every own seed draws its own data too; otherwise all share the data of the spec.
    #[serde(default)]
    pub own_data: bool,
}

/// Which random stream drives a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seed {
    /// The order that the paper's authors drew with NumPy.
    Paper,
    /// Our own streams.
    Own(u64),
}

impl std::fmt::Display for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Seed::Paper => f.write_str("paper"),
            Seed::Own(seed) => seed.fmt(f),
        }
    }
}

/// One curve of a figure: an optimiser and a schedule, trained for every seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Identifier in metrics.csv and in `--set runs.NAME.key=value`.
    pub name: String,
    /// Legend.
    pub label: String,
    /// Iterations N.
    pub steps: u64,
    /// Step sizes.
    pub schedule: Schedule,
    /// Update rule.
    pub optimiser: Optimiser,
    /// NumPy seed that the paper set before this run (`np.random.seed`).
    pub paper_order_seed: u32,
    /// Data set, where it is not the spec's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
    /// Network and its initialisation, where they are not the spec's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net: Option<Architecture>,
    /// Loss, where it is not the spec's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
}

impl Run {
    /// A run on the spec's data and network.
    pub fn new(name: &str, label: &str, steps: u64, schedule: Schedule, optimiser: Optimiser) -> Run {
        let (name, label) = (name.to_owned(), label.to_owned());
        Run { name, label, steps, schedule, optimiser, paper_order_seed: 1, data: None, net: None, loss: None }
    }
}

/// Metrics are taken after i updates for i < first and for the points of a grid over the run's N iterations: the union.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluate {
    /// Every iteration up to this one.
    pub first: u64,
    /// Points of the grid.
    pub grid: u64,
    /// How the grid is spaced.
    #[serde(default)]
    pub spacing: Spacing,
    /// Whether iteration i stands for its parameters after its update (i + 1 updates done) rather than before it.
    #[serde(default)]
    pub after: bool,
}

/// A grid of iterations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spacing {
    /// round(k·N/(grid-1)), k < grid: the last point, N, is no iteration and is left out.
    #[default]
    Even,
    /// round((N-1)^(k/(grid-1))), k < grid.
    Logarithmic,
    /// round(k·(N-1)/(grid-1)), k < grid: from the first iteration to the last.
    Ends,
}

/// What is measured is kept in memory until the end.
const MAX_POINTS: u64 = 1_000_000;

impl Evaluate {
    /// Before the update of iteration i, for i < first and an even grid.
    pub fn even(first: u64, grid: u64) -> Evaluate {
        Evaluate { first, grid, spacing: Spacing::Even, after: false }
    }

    /// Updates done at every point, ascending.
    pub fn points(&self, steps: u64) -> Vec<u64> {
        let spaced = (0..self.grid).map(|k| {
            let intervals = (self.grid - 1).max(1) as f64;
            let place = match self.spacing {
                Spacing::Even => k as f64 * (steps as f64 / intervals),
                Spacing::Ends => k as f64 * (steps.saturating_sub(1) as f64 / intervals),
                Spacing::Logarithmic => (steps.saturating_sub(1) as f64).powf(k as f64 / intervals),
            };
            place.round_ties_even() as u64
        });
        let mut points: Vec<u64> = (0..self.first.min(steps)).chain(spaced).filter(|&i| i < steps).collect();
        points.sort_unstable();
        points.dedup();
        points.iter().map(|i| i + u64::from(self.after)).collect()
    }
}

/// A metric by name, with how often it is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Name, with a threshold where it has one: `l0@1e-50`.
    pub name: String,
    /// Every how many evaluation points for the paper's replica; the last point always counts.
    pub every: usize,
    /// The same for our own seeds.
    pub every_own: usize,
    /// Beginnings of the names of the runs it is taken in; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
}

impl Metric {
    /// At every evaluation point of every replica.
    pub fn always(name: &str) -> Metric {
        Metric { name: name.to_owned(), every: 1, every_own: 1, only: Vec::new() }
    }

    /// At every point of the paper's replica, at every `own`-th point of the others.
    pub fn sparse(name: &str, own: usize) -> Metric {
        Metric { every_own: own, ..Metric::always(name) }
    }

    /// The same in one run, or in those whose names begin so.
    pub fn only(self, run: &str) -> Metric {
        Metric { only: vec![run.to_owned()], ..self }
    }
}

/// One set of axes: a metric over iterations, a curve per run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Panel {
    /// Which metric.
    pub metric: String,
    /// Heading, with the paper's symbol.
    pub title: String,
    /// Logarithmic vertical axis.
    pub log: bool,
    /// Beginnings of the names of the runs it draws; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
}

/// Horizontal axis of the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// Iterations t.
    #[default]
    Iteration,
    /// Iterations t on a logarithmic axis, which leaves out t = 0.
    Logarithmic,
    /// η(0)·t, for runs whose step sizes differ.
    Time,
}

impl Panel {
    /// A metric with its heading.
    pub fn new(metric: &str, title: &str, log: bool) -> Panel {
        Panel { metric: metric.to_owned(), title: title.to_owned(), log, only: Vec::new() }
    }

    /// The same for one run, or for those whose names begin so.
    pub fn only(self, run: &str) -> Panel {
        Panel { only: vec![run.to_owned()], ..self }
    }
}

impl Spec {
    /// Refuses what cannot run, before anything is computed or written.
    ///
    /// # Errors
    /// If a name is unknown or doubled, a number out of range, or nothing is left to run.
    pub fn check(&self) -> Result<()> {
        if self.schema != SCHEMA {
            return refuse!(
                "spec: schema is {}, this version reads {SCHEMA}; write the spec again with `handgrad run`",
                self.schema
            );
        }
        if self.runs.is_empty() {
            return refuse!("spec: `runs` is empty, expected at least one run");
        }
        if self.metrics.is_empty() {
            return refuse!("spec: `metrics` is empty, expected at least one");
        }
        if self.data.is_own() && self.seeds.paper {
            return refuse!(
                "spec: the figure draws its data itself, and the paper gives no seed for them; set seeds.paper=false"
            );
        }
        if self.seeds().is_empty() {
            return refuse!("spec: no seeds; set seeds.paper=true or give some, as in --set seed=0..8");
        }
        unique("seeds.own", self.seeds.own.iter().map(u64::to_string))?;
        unique("runs", self.runs.iter().map(|run| run.name.clone()))?;
        unique("metrics", self.metrics.iter().map(|metric| metric.name.clone()))?;
        for run in &self.runs {
            let plain = !run.name.is_empty() && run.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_%=@.".contains(c));
            if !plain {
                return refuse!("spec: run name `{}` is not made of letters, digits and -_%=@. only; rename it", run.name);
            }
            if run.steps == 0 {
                return refuse!("spec: runs.{}.steps is 0, expected at least 1", run.name);
            }
            let within = |error: Error| Error::Input(format!("spec: runs.{}.{error}", run.name));
            run.schedule.check().map_err(within)?;
            run.optimiser.check().map_err(within)?;
            run.data.as_ref().map_or(Ok(()), Data::check).map_err(within)?;
            run.net.as_ref().map_or(Ok(()), Architecture::check).map_err(within)?;
            if self.seeds.own_data && !self.seeds.own.is_empty() {
                self.data_of(run).redrawn(0)?;
            }
            if self.data_of(run).is_own() != self.data.is_own() {
                return refuse!(
                    "spec: runs.{}.data: a figure draws the data of all of its runs or of none; take one kind",
                    run.name
                );
            }
            let published = self.data_of(run).is_published();
            if self.seeds.paper && self.net_of(run).is_random() && !published {
                return refuse!("spec: the net starts at random and the paper gives no seed for it; add --set seeds.paper=false");
            }
            if self.seeds.paper && !published {
                Order::check_paper(run.optimiser.batch, run.steps).map_err(within)?;
            }
        }
        if self.evaluate.first.max(self.evaluate.grid) > MAX_POINTS {
            let Evaluate { first, grid, .. } = self.evaluate;
            return refuse!("spec: evaluate.first = {first} and evaluate.grid = {grid}, expected at most {MAX_POINTS} each");
        }
        if self.runs.iter().any(|run| self.evaluate.points(run.steps).is_empty()) {
            return refuse!(
                "spec: evaluate.first = {} and evaluate.grid = {} leave nothing to measure; set one",
                self.evaluate.first,
                self.evaluate.grid
            );
        }
        let simulated = self.is_simulated();
        for metric in &self.metrics {
            self.check_only(&format!("metric {}", metric.name), &metric.only)?;
            // A figure that simulates its runs itself has metrics of its own.
            let parsed = if simulated { None } else { Some(metrics::parse(&metric.name)?) };
            for (parsed, run) in parsed.iter().flat_map(|parsed| self.runs.iter().map(move |run| (parsed, run))) {
                if !applies(&metric.only, run) {
                    continue;
                }
                parsed.check(self.net_of(run)).map_err(|error| Error::Input(format!("spec: runs.{}: {error}", run.name)))?;
            }
            if metric.every == 0 || metric.every_own == 0 {
                return refuse!("spec: metric {} is taken every 0 points, expected 1 or more", metric.name);
            }
        }
        for panel in &self.panels {
            self.check_only(&format!("the panel of {}", panel.metric), &panel.only)?;
            if !self.metrics.iter().any(|metric| metric.name == panel.metric) {
                let known = nearest(&panel.metric, self.metrics.iter().map(|metric| metric.name.as_str()));
                return refuse!("spec: a panel draws `{}`, which is not among the metrics{known}", panel.metric);
            }
        }
        self.data.check()?;
        self.net.check()
    }

    fn check_only(&self, what: &str, only: &[String]) -> Result<()> {
        match only.iter().find(|&name| !self.runs.iter().any(|run| applies(std::slice::from_ref(name), run))) {
            Some(name) => {
                let known = nearest(name, self.runs.iter().map(|run| run.name.as_str()));
                refuse!("spec: {what} is only for runs that begin with `{name}`, and there are none{known}")
            }
            None => Ok(()),
        }
    }

    /// The data set of a run.
    pub fn data_of<'a>(&'a self, run: &'a Run) -> &'a Data {
        run.data.as_ref().unwrap_or(&self.data)
    }

    /// The network of a run.
    pub fn net_of<'a>(&'a self, run: &'a Run) -> &'a Architecture {
        run.net.as_ref().unwrap_or(&self.net)
    }

    /// The loss of a run.
    pub fn loss_of(&self, run: &Run) -> Loss {
        run.loss.unwrap_or(self.loss)
    }

    /// Whether the figure brings its runs about itself, rather than by training a network.
    pub fn is_simulated(&self) -> bool {
        let of_figure = |id: &str| experiments::find(id).is_ok_and(|figure| figure.simulate.is_some());
        self.data.is_own() || self.figure.as_deref().is_some_and(of_figure)
    }

    /// The data set of a run's replica: drawn anew for own seeds if the spec says so.
    ///
    /// # Errors
    /// As [`Data::load`].
    pub fn dataset(&self, run: &Run, seed: Seed) -> Result<Dataset> {
        match seed {
            Seed::Own(seed) if self.seeds.own_data => self.data_of(run).redrawn(seed)?.load(),
            _ => self.data_of(run).load(),
        }
    }

    /// Every replica's seed, the paper's first.
    pub fn seeds(&self) -> Vec<Seed> {
        self.seeds.paper.then_some(Seed::Paper).into_iter().chain(self.seeds.own.iter().copied().map(Seed::Own)).collect()
    }

    /// Reads spec.json.
    ///
    /// # Errors
    /// If it is not a spec; the message says where.
    pub fn from_json(text: &str, origin: &str) -> Result<Spec> {
        serde_json::from_str(text).map_err(|error| Error::Input(format!("{origin}: not a spec: {error}")))
    }

    /// Writes spec.json.
    ///
    /// # Errors
    /// If a number is not finite.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|error| Error::Input(format!("spec: {error}")))
    }

    /// First eight hexadecimal digits of SHA-256 over the spec and this program's version.
    ///
    /// # Errors
    /// As [`Spec::to_json`].
    pub fn hash(&self) -> Result<String> {
        let digest = Sha256::new().chain_update(self.to_json()?).chain_update(env!("CARGO_PKG_VERSION")).finalize();
        Ok(digest[..4].iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Whether a run is among those named by their beginnings; no name stands for all runs.
pub(crate) fn applies(only: &[String], run: &Run) -> bool {
    only.is_empty() || only.iter().any(|name| run.name.starts_with(name.as_str()))
}

fn unique(what: &str, names: impl Iterator<Item = String>) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if seen.contains(&name) {
            return refuse!("spec: {what} has `{name}` twice; keep one");
        }
        seen.insert(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluation_points_are_the_papers() {
        let points = Evaluate::even(100, 250).points(100_001);
        assert_eq!(points.len(), 348);
        assert_eq!(points[..101], (0..100).chain([402]).collect::<Vec<_>>());
        assert_eq!(points.last(), Some(&99_599));
        let points = Evaluate::even(100, 151).points(31_623);
        assert_eq!((points.len(), points.last()), (248 + 1, Some(&31_412)));
        assert_eq!(Evaluate::even(10, 0).points(3), [0, 1, 2]);
        // np.round(np.logspace(0, 4, 201)) after 500 single iterations, each after its update.
        let after = Evaluate { first: 500, grid: 201, spacing: Spacing::Logarithmic, after: true }.points(10_001);
        assert_eq!((after.len(), after[0], after[499], after[500], after[565]), (566, 1, 500, 502, 10_001));
    }

    #[test]
    fn a_replica_has_its_runs_network_and_data_drawn_anew_if_asked() {
        let mut spec = (crate::experiments::find("sparse/prop3").unwrap().declare)(Scale::Smoke);
        let run = spec.runs[1].clone();
        let (data, net) = (run.data.clone().unwrap(), run.net.clone().unwrap());
        assert!(data != spec.data && net != spec.net);
        assert_eq!((spec.data_of(&run), spec.net_of(&run)), (&data, &net));
        assert_eq!(spec.dataset(&run, Seed::Own(3)).unwrap(), data.redrawn(3).unwrap().load().unwrap());
        assert_eq!(spec.dataset(&run, Seed::Paper).unwrap(), data.load().unwrap());
        spec.seeds.own_data = false;
        assert_eq!(spec.dataset(&run, Seed::Own(3)).unwrap(), data.load().unwrap());
        let plain = Run { data: None, net: None, ..run };
        assert_eq!((spec.data_of(&plain), spec.net_of(&plain)), (&spec.data, &spec.net));
    }
}

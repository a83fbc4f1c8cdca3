//! `handgrad run`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use clap::Args;
use handgrad::data::images::{Loaded, Source};
use handgrad::experiments;
use handgrad::report::{Meta, claims_table, picture, publish, summary_table};
use handgrad::run::{Opened, Options, RunFolder, check_threads, execute};
use handgrad::spec::{Scale, Spec};
use handgrad::{Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};

use super::device::DeviceArguments;
use super::progress::Bar;

#[derive(Args)]
pub struct Arguments {
    /// A figure (see `handgrad list`) or a spec.json.
    what: String,
    /// Override a key of the spec; a key of the runs is set in all of them, runs.NAME.key in one; a list sweeps it.
    #[arg(long = "set", value_name = "KEY=VALUE", allow_hyphen_values = true)]
    set: Vec<String>,
    /// First own seed; alone, the only one.
    #[arg(long, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Number of own seeds, counted from --seed (0: the paper's replica only).
    #[arg(long, allow_negative_numbers = true)]
    seeds: Option<u64>,
    /// Images of a figure of images: digits, mnist1d, cifar-like, cifar10:FOLDER, cifar100:FOLDER, mnist:FOLDER or npz:FILE.
    #[arg(long)]
    data: Option<Source>,
    /// How much of the paper's protocol; for a spec.json its own scale stands.
    #[arg(long, value_enum)]
    scale: Option<Scale>,
    /// Threads; 0: one per core. The results do not depend on it.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    threads: usize,
    #[command(flatten)]
    device: DeviceArguments,
    /// The run's folder; by default runs/<figure>-<hash>.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Continue an unfinished run.
    #[arg(long)]
    resume: bool,
    /// Seconds between checkpoints.
    #[arg(long, default_value_t = 20.0, value_name = "SECONDS", allow_negative_numbers = true)]
    checkpoint_every: f64,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let (spec, images) = resolve(arguments)?;
    spec.check()?;
    let figure = spec.figure.as_deref().map(experiments::find).transpose()?;
    figure.map_or(Ok(()), |figure| (figure.check)(&spec))?;
    check_threads(arguments.threads)?;
    let checkpoint_every = Duration::try_from_secs_f64(arguments.checkpoint_every).map_err(|_| {
        Error::Input(format!("--checkpoint-every {:e}: expected seconds from 0 to about 1e19", arguments.checkpoint_every))
    })?;
    let target = match &arguments.out {
        Some(out) => out.clone(),
        None => {
            let name = spec.figure.as_deref().unwrap_or("run").replace('/', "-");
            PathBuf::from("runs").join(format!("{name}-{}", spec.hash()?))
        }
    };
    let cx = arguments.device.context()?;
    let data = spec.data.load_from(images)?;
    let data_hash = data.hash();
    let folder = match RunFolder::open(&target, &spec, arguments.resume)? {
        Opened::Finished(path) => {
            super::advise(&format!("{} is finished; nothing to do", path.display()));
            return Ok(());
        }
        Opened::Work(folder) => folder,
    };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGUSR1] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(|source| Error::Io {
            action: "watch signals for",
            path: target.clone(),
            source,
        })?;
    }
    let replicas = spec.seeds().len() as u64;
    let steps = spec.runs.iter().map(|run| run.steps * replicas).sum();
    let bar = match data.image {
        None => Bar::new(steps),
        Some(_) => {
            let images = spec.runs.iter().map(|run| run.optimiser.batch_size(data.n())).max().unwrap_or(1);
            Bar::with_rate(steps, images, "images/s")
        }
    };
    let started = Instant::now();
    let options = Options { threads: arguments.threads, folder: Some(&folder), stop: &stop, checkpoint_every, progress: &bar };
    let outcome = execute(&cx, &spec, data, &options);
    bar.finish();
    let (results, timings) = match outcome {
        Ok(done) => done,
        Err(error @ Error::Preempted(_)) => return Err(error),
        Err(error) => {
            folder.discard();
            return Err(error);
        }
    };
    let claims = figure.map_or(Ok(Vec::new()), |figure| (figure.expect)(&spec, &results))?;
    let picture = match figure {
        _ if spec.panels.is_empty() => None,
        Some(figure) => Some((figure.draw)(&spec, &results)?),
        None => Some(picture(&spec, &results)),
    };
    let threads = match arguments.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let meta = Meta {
        version: env!("CARGO_PKG_VERSION"),
        isa: cx.isa().name().to_owned(),
        device: cx.device().to_string(),
        cpu: super::info::processor(),
        threads,
        data: spec.data.name(),
        data_hash,
    };
    let path = publish(folder, &spec, &results, &timings, &claims, picture.as_ref(), &meta)?;
    super::answer(&summary_table(&spec, &results));
    super::answer(&claims_table(&claims));
    let figure = if spec.panels.is_empty() { String::new() } else { format!("; figure: {}", path.join("figure.png").display()) };
    super::answer(&format!(
        "{} runs x {replicas} seeds, {steps} steps in {:.1} s on {threads} threads ({}){figure}\n",
        spec.runs.len(),
        started.elapsed().as_secs_f64(),
        cx.variant(),
    ));
    Ok(())
}

/// The spec that was asked for, with every override, and images that were read for it.
fn resolve(arguments: &Arguments) -> Result<(Spec, Option<Loaded>)> {
    let path = Path::new(&arguments.what);
    let is_file = path.extension().is_some_and(|extension| extension == "json");
    let spec = match (is_file, arguments.scale) {
        (true, Some(_)) => return Err(Error::Input("--scale is for figures; a spec.json keeps its own".to_owned())),
        (true, None) => {
            let text =
                std::fs::read_to_string(path).map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })?;
            Spec::from_json(&text, &arguments.what)?
        }
        (false, scale) => (experiments::find(&arguments.what)?.declare)(scale.unwrap_or(Scale::Paper)),
    };
    let (spec, images) = match &arguments.data {
        Some(source) => spec.with_images(source).map(|(spec, images)| (spec, Some(images)))?,
        None => (spec, None),
    };
    let mut overrides = arguments.set.clone();
    if arguments.seed.is_some() || arguments.seeds.is_some() {
        let first = arguments.seed.unwrap_or_else(|| spec.seeds.own.first().copied().unwrap_or(0));
        let count = arguments.seeds.unwrap_or(if arguments.seed.is_some() { 1 } else { 0 });
        let last = first.checked_add(count).ok_or_else(|| Error::Input(format!("--seed {first} --seeds {count}: too large")))?;
        overrides.insert(0, format!("seed={first}..{last}"));
    }
    Ok((spec.with_overrides(&overrides)?, images))
}

//! Commands and flags. stdout carries the answer; progress, advice and errors go to stderr.

mod bench;
mod device;
mod info;
mod net;
mod progress;
mod replay;
mod run;
mod theory;
mod verify;

use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use handgrad::spec::Scale;
use handgrad::{Result, experiments, gradcheck};

/// What SGD learns, one command per figure: hand-written training kernels and the papers' claims as checks.
#[derive(Parser)]
#[command(name = "handgrad", version, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the figures.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run a figure, or a spec.json that a run wrote, and check its claims.
    Run(run::Arguments),
    /// Hold the verdicts of finished runs against those of the ledger.
    Verify(verify::Arguments),
    /// Show version, processor, devices, and which operators run with which instruction set.
    Info,
    /// Check every gradient against central differences.
    Gradcheck,
    /// Train from arrays that somebody else made and write the losses.
    Replay(replay::ReplayArguments),
    /// Measure parameters that somebody else found; prints JSON.
    Measure(replay::MeasureArguments),
    /// Lyapunov exponents, critical step sizes and phases of SGD in closed form or by quadrature; prints JSON.
    #[command(subcommand)]
    Theory(theory::Command),
    /// Time the code that `run` executes, on random data; prints JSON.
    Bench(bench::Arguments),
}

/// Parses the command line, carries it out, and turns the outcome into an exit code.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let text = error.to_string();
            let text = text.split("\n\nUsage:").next().unwrap_or_default();
            let text = text.split("\n\nFor more").next().unwrap_or_default();
            return refusal(text.trim_start_matches("error: "), 2);
        }
        Err(error) => error.exit(),
    };
    let done = match arguments.command {
        Command::List { json } => list(json),
        Command::Run(arguments) => run::run(&arguments),
        Command::Verify(arguments) => match verify::verify(&arguments) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Info => info::info(),
        Command::Gradcheck => return gradients(),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Measure(arguments) => replay::measure(&arguments),
        Command::Theory(command) => theory::theory(&command),
        Command::Bench(arguments) => bench::bench(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refusal(&error.to_string(), error.exit_code()),
    }
}

/// One line on stderr.
fn refusal(text: &str, code: u8) -> ExitCode {
    advise(&format!("handgrad: {}", text.split_whitespace().collect::<Vec<_>>().join(" ")));
    ExitCode::from(code)
}

/// A line to stderr; a reader that went away is not an error.
fn advise(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Writes to stdout; a reader that went away is not an error.
fn answer(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Writes a value to stdout as one line of JSON.
fn answer_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|error| handgrad::Error::Numerics(format!("cannot print JSON: {error}")))?;
    answer(&(text + "\n"));
    Ok(())
}

fn list(json: bool) -> Result<()> {
    if json {
        let entry = |figure: &experiments::Figure| {
            let spec = (figure.declare)(Scale::Paper);
            let runs: Vec<String> = spec.runs.into_iter().map(|run| run.name).collect();
            serde_json::json!({ "id": figure.id, "paper": figure.paper, "about": figure.about, "runs": runs })
        };
        return answer_json(&experiments::FIGURES.iter().map(entry).collect::<Vec<_>>());
    }
    experiments::FIGURES
        .iter()
        .for_each(|figure| answer(&format!("{:<22} {}\n{:<22} {}\n", figure.id, figure.about, "", figure.paper)));
    Ok(())
}

/// Exit code 1 if a gradient is wrong.
fn gradients() -> ExitCode {
    match gradcheck::all() {
        Ok(reports) => {
            reports.iter().for_each(|report| answer(&format!("{report}\n")));
            let failed = reports.iter().filter(|report| !report.passed()).count();
            answer(&format!("{} gradients checked, {failed} wrong\n", reports.len()));
            ExitCode::from(u8::from(failed > 0))
        }
        Err(error) => refusal(&error.to_string(), error.exit_code()),
    }
}

//! `handgrad theory`: exponents, critical step sizes and phases, as JSON.

use clap::{Args, Subcommand};
use handgrad::theory::regression;
use handgrad::theory::saddle::Saddle;
use handgrad::{Error, Result};
use serde_json::json;

#[derive(Subcommand)]
pub enum Command {
    /// The Lyapunov exponent E log|1 - lr·mean x²| of SGD on (wx)²/2, x ~ N(0, 1).
    Exponent {
        #[command(flatten)]
        step: StepSize,
        #[command(flatten)]
        samples: Samples,
    },
    /// The largest step size at which that exponent is not positive.
    Critical {
        #[command(flatten)]
        samples: Samples,
    },
    /// The exponents of w - u and w + u at the saddle of (uwx - y)²/2, and the phase; null stands for minus infinity.
    Phase {
        #[command(flatten)]
        step: StepSize,
        #[command(flatten)]
        law: Law,
        /// Samples per step, with --mu.
        #[arg(long, conflicts_with = "a", allow_negative_numbers = true)]
        batch: Option<u64>,
    },
}

#[derive(Args)]
pub struct StepSize {
    /// Step size.
    #[arg(long, allow_hyphen_values = true)]
    lr: f64,
}

impl StepSize {
    fn check(&self) -> Result<f64> {
        match self.lr.is_finite() && self.lr > 0.0 {
            true => Ok(self.lr),
            false => Err(Error::Input(format!("--lr {}: expected a finite step size above 0", self.lr))),
        }
    }
}

#[derive(Args)]
pub struct Samples {
    /// Samples per step.
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    batch: u64,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct Law {
    /// xy is 1 or A with probability 1/2 each.
    #[arg(long, allow_hyphen_values = true)]
    a: Option<f64>,
    /// y = MU·x + (1 - MU)·ε with x ~ N(0, 1) and ε ~ N(0, 4).
    #[arg(long, allow_hyphen_values = true)]
    mu: Option<f64>,
}

pub fn theory(command: &Command) -> Result<()> {
    match command {
        Command::Exponent { step, samples } => {
            super::answer_json(&json!({ "value": regression::exponent(step.check()?, batch(samples.batch)?) }))
        }
        Command::Critical { samples } => super::answer_json(&json!({ "value": regression::critical(batch(samples.batch)?) })),
        Command::Phase { step, law, batch: samples } => {
            let saddle = match (law.a, law.mu) {
                (Some(a), _) => Saddle::TwoPoint { a: finite("--a", a)? },
                (None, mu) => {
                    Saddle::Gaussian { mu: finite("--mu", mu.unwrap_or_default())?, batch: batch(samples.unwrap_or(1))? }
                }
            };
            let (exponents, phase) = saddle.phase(step.check()?);
            super::answer_json(&json!({ "m_minus": exponents.minus, "m_plus": exponents.plus, "phase": phase }))
        }
    }
}

fn batch(samples: u64) -> Result<u64> {
    if samples > 0 { Ok(samples) } else { Err(Error::Input("--batch 0: expected at least 1 sample".to_owned())) }
}

fn finite(flag: &str, value: f64) -> Result<f64> {
    if value.is_finite() { Ok(value) } else { Err(Error::Input(format!("{flag} {value}: expected a finite number"))) }
}

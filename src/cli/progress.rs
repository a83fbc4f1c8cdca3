//! Progress on stderr: a bar on a terminal, nothing elsewhere.

use std::time::Duration;

use handgrad::train::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// A bar over all iterations of a command.
pub struct Bar(ProgressBar);

impl Bar {
    pub fn new(steps: u64) -> Bar {
        Bar::with_rate(steps, 1, "steps/s")
    }

    /// With the rate of what every step has so many of.
    pub fn with_rate(steps: u64, of_step: usize, unit: &'static str) -> Bar {
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} steps  {rate}  ETA {eta}  {msg}");
        let rate = move |state: &ProgressState, text: &mut dyn std::fmt::Write| {
            // A rate that cannot be written is not shown.
            let _ = write!(text, "{:.0} {unit}", state.per_sec() * of_step as f64);
        };
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).with_key("rate", rate));
        bar.enable_steady_tick(Duration::from_millis(250));
        Bar(bar)
    }

    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl Progress for Bar {
    fn advanced(&self, steps: u64, loss: f64) {
        self.0.inc(steps);
        if loss.is_finite() && !self.0.is_hidden() {
            self.0.set_message(format!("loss {loss:.3e}"));
        }
    }

    fn note(&self, line: &str) {
        self.0.suspend(|| super::advise(line));
    }
}

//! Progress on stderr: a bar on a terminal, nothing elsewhere.

use std::time::Duration;

use handgrad::train::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over all iterations of a command.
pub struct Bar(ProgressBar);

impl Bar {
    pub fn new(steps: u64) -> Bar {
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} steps  {per_sec}  ETA {eta}  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
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
}

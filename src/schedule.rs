//! Step sizes as functions of the iteration.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{Result, refuse};

/// Step size η(i) of iteration i of N; fractions p refer to N and switch at iteration `int(p·N)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// `η(i) = peak`.
    Constant {
        /// Step size.
        peak: f64,
    },
    /// `peak`, divided by every decay that has been reached; divisors multiply.
    Piecewise {
        /// Step size before the first decay.
        peak: f64,
        /// Decays, in any order.
        decays: Vec<Decay>,
        /// Which iteration first feels a decay.
        timing: Timing,
    },
    /// `base + (factor-1)·base·(i/N)^exponent` for i <= T = int(until·N), T > 0, the last warm value after it, and `base` if T = 0;
    /// divided by every decay that has been reached, from its iteration on. Linear for exponent 1.
    PowerWarmup {
        /// Step size of iteration 0.
        base: f64,
        /// The value that i = N would reach is factor·base.
        factor: f64,
        /// Power of the fraction i/N of the whole run.
        exponent: f64,
        /// Fraction of the run that warms up.
        until: f64,
        /// Decays, in any order; the papers' comes at `until`.
        decays: Vec<Decay>,
    },
    /// `initial·1.05^(100·i/N)` before int(until·N); then the peak reached there divided by the decay last passed.
    GeometricWarmup {
        /// Step size of iteration 0.
        initial: f64,
        /// Fraction of the run that warms up.
        until: f64,
        /// Divisors of the peak, not of each other: the first applies from `until` on if its fraction is `until`.
        decays: Vec<Decay>,
    },
    /// `floor + (peak-floor)·(1 + cos(π·i/N))/2`.
    Cosine {
        /// Step size of iteration 0.
        peak: f64,
        /// Step size approached at N.
        floor: f64,
    },
}

/// A drop of the step size at a fraction of the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decay {
    /// Fraction of the run's iterations.
    pub at: f64,
    /// What the step size is divided by.
    pub divide: f64,
}

/// Which iteration first feels a decay at iteration T.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Timing {
    /// T itself.
    Same,
    /// T + 1: the decay comes at the end of iteration T.
    Next,
}

/// Growth of the geometric warm-up over a hundredth of the run.
const GEOMETRIC_GROWTH: f64 = 1.05;

impl Schedule {
    /// `peak`, divided once, from the iteration after the one at a fraction of the run: the papers' large step sizes.
    pub fn decayed(peak: f64, at: f64, divide: f64) -> Schedule {
        Schedule::Piecewise { peak, decays: vec![Decay { at, divide }], timing: Timing::Next }
    }

    /// Refuses what is not a schedule: negative or non-finite step sizes, fractions outside [0, 1], divisors that are not positive.
    ///
    /// # Errors
    /// If a number is out of range; the message names it.
    pub fn check(&self) -> Result<()> {
        let rate = |name: &str, value: f64| match value.is_finite() && value >= 0.0 {
            true => Ok(()),
            false => refuse!("schedule.{name} is {value}, expected a finite number >= 0"),
        };
        let fraction = |name: &str, value: f64| match (0.0..=1.0).contains(&value) {
            true => Ok(()),
            false => refuse!("schedule.{name} is {value}, expected a fraction of the run between 0 and 1"),
        };
        let divisor = |name: &str, value: f64| match value.is_finite() && value > 0.0 {
            true => Ok(()),
            false => refuse!("schedule.{name} is {value}, expected a finite number > 0 to divide by"),
        };
        let decays = |decays: &[Decay]| {
            decays
                .iter()
                .try_for_each(|decay| fraction("decays.at", decay.at).and_then(|()| divisor("decays.divide", decay.divide)))
        };
        match self {
            Schedule::Constant { peak } => rate("peak", *peak),
            Schedule::Piecewise { peak, decays: drops, .. } => rate("peak", *peak).and_then(|()| decays(drops)),
            Schedule::PowerWarmup { base, factor, exponent, until, decays: drops } => {
                rate("base", *base)?;
                rate("factor", *factor)?;
                rate("exponent", *exponent)?;
                fraction("until", *until)?;
                decays(drops)
            }
            Schedule::GeometricWarmup { initial, until, decays: drops } => {
                rate("initial", *initial)?;
                fraction("until", *until)?;
                decays(drops)
            }
            Schedule::Cosine { peak, floor } => rate("peak", *peak).and_then(|()| rate("floor", *floor)),
        }
    }

    /// η(i) of a run of `total` iterations.
    pub fn at(&self, i: u64, total: u64) -> f64 {
        let fraction = i as f64 / total as f64;
        match self {
            Schedule::Constant { peak } => *peak,
            Schedule::Piecewise { peak, decays, timing } => {
                let passed = |decay: &&Decay| decay.has_come(i, total, *timing);
                decays.iter().filter(passed).fold(*peak, |rate, decay| rate / decay.divide)
            }
            Schedule::PowerWarmup { base, factor, exponent, until, decays } => {
                let warm = |i: u64| base + (factor - 1.0) * base * (i as f64 / total as f64).powf(*exponent);
                let reached = match iteration(*until, total) {
                    0 => *base,
                    last => warm(i.min(last)),
                };
                let passed = decays.iter().filter(|decay| decay.has_come(i, total, Timing::Same));
                passed.fold(reached, |rate, decay| rate / decay.divide)
            }
            Schedule::GeometricWarmup { initial, until, decays } => {
                let warm = |i: u64| initial * GEOMETRIC_GROWTH.powf(100.0 * i as f64 / total as f64);
                let last = iteration(*until, total);
                if i < last {
                    return warm(i);
                }
                let passed = decays.iter().filter(|decay| decay.has_come(i, total, Timing::Same));
                let latest = passed.max_by(|a, b| a.at.total_cmp(&b.at));
                warm(last) / latest.map_or(1.0, |decay| decay.divide)
            }
            Schedule::Cosine { peak, floor } => floor + (peak - floor) * (1.0 + (std::f64::consts::PI * fraction).cos()) / 2.0,
        }
    }

    /// Whether η is seen to be one number for all of these iterations of a run of `total`.
    pub fn is_constant(&self, iterations: Range<u64>, total: u64) -> bool {
        // Nothing that has come goes.
        let (first, last) = (iterations.start, iterations.end.saturating_sub(1));
        let none_comes = |decays: &[Decay], timing| {
            decays.iter().all(|decay| decay.has_come(first, total, timing) == decay.has_come(last, total, timing))
        };
        match self {
            Schedule::Constant { .. } => true,
            Schedule::Piecewise { decays, timing, .. } => none_comes(decays, *timing),
            Schedule::PowerWarmup { until, decays, .. } | Schedule::GeometricWarmup { until, decays, .. } => {
                first >= iteration(*until, total) && none_comes(decays, Timing::Same)
            }
            Schedule::Cosine { .. } => false,
        }
    }

    /// The iteration at which the step size first drops, if it does.
    pub fn first_decay(&self, total: u64) -> Option<u64> {
        let first = |decays: &[Decay]| decays.iter().map(|decay| iteration(decay.at, total)).min();
        match self {
            Schedule::Piecewise { decays, .. }
            | Schedule::PowerWarmup { decays, .. }
            | Schedule::GeometricWarmup { decays, .. } => first(decays),
            Schedule::Constant { .. } | Schedule::Cosine { .. } => None,
        }
    }
}

impl Decay {
    /// Whether iteration i of a run of `total` feels it.
    fn has_come(&self, i: u64, total: u64, timing: Timing) -> bool {
        match timing {
            Timing::Same => i >= iteration(self.at, total),
            Timing::Next => i > iteration(self.at, total),
        }
    }
}

/// `int(p·N)`.
fn iteration(fraction: f64, total: u64) -> u64 {
    (fraction * total as f64) as u64
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    #[test]
    fn decay_at_the_end_of_iteration_t_is_felt_from_the_next_one() {
        let decays = vec![Decay { at: 0.1, divide: 4.8 }];
        let paper = Schedule::Piecewise { peak: 0.282, decays: decays.clone(), timing: Timing::Next };
        assert_eq!(paper.first_decay(100_001), Some(10_000));
        assert_eq!(paper.at(10_000, 100_001), 0.282);
        assert_eq!(paper.at(10_001, 100_001), 0.282 / 4.8);
        let same = Schedule::Piecewise { peak: 0.282, decays, timing: Timing::Same };
        assert_eq!(same.at(9_999, 100_001), 0.282);
        assert_eq!(same.at(10_000, 100_001), 0.282 / 4.8);
    }

    #[test]
    fn power_warmup_reaches_the_published_peaks() {
        // Peak and post-decay step sizes of the three-layer networks, printed to three digits.
        for (until, divide, peak, after) in [(0.1, 3.5, 0.1032, 0.0295), (0.3, 2.5, 0.1495, 0.0598), (0.5, 5.0, 0.1814, 0.0363)] {
            let schedule = Schedule::PowerWarmup {
                base: 0.04,
                factor: 6.0,
                exponent: 0.5,
                until,
                decays: vec![Decay { at: until, divide }],
            };
            let last = (until * 10_001.0) as u64;
            assert!((schedule.at(last - 1, 10_001) - peak).abs() <= 1e-4, "{}", schedule.at(last - 1, 10_001));
            assert!((schedule.at(last, 10_001) - after).abs() <= 1e-4);
            assert!((schedule.at(10_000, 10_001) - after).abs() <= 1e-4);
        }
        let cold = Schedule::PowerWarmup { base: 0.04, factor: 6.0, exponent: 0.5, until: 0.0, decays: Vec::new() };
        assert_eq!((cold.at(0, 10), cold.at(9, 10)), (0.04, 0.04));
        // Without a decay the last warm value stays.
        let held = Schedule::PowerWarmup { base: 1.0, factor: 3.0, exponent: 1.0, until: 0.5, decays: Vec::new() };
        assert_eq!((held.at(4, 10), held.at(5, 10), held.at(9, 10)), (1.8, 2.0, 2.0));
    }

    #[test]
    fn geometric_warmup_decays_relative_to_its_peak() {
        // 0.75·1.05^(100 t/T): peaks 1.222, 3.241 and 8.600 after 10, 30 and 50% of the run.
        for (until, peak) in [(0.1, 1.222), (0.3, 3.241), (0.5, 8.600)] {
            let decays = vec![Decay { at: until, divide: 10.0 }, Decay { at: 0.9, divide: 100.0 }];
            let schedule = Schedule::GeometricWarmup { initial: 0.75, until, decays };
            let at = |fraction: f64| schedule.at((fraction * 1000.0) as u64, 1000);
            assert_eq!(at(0.0), 0.75);
            assert!((at(until) * 10.0 - peak).abs() <= 1e-3, "{}", at(until) * 10.0);
            assert_relative_eq!(at(0.95) * 10.0, at(until), epsilon = 0.0, max_relative = 1e-12);
        }
    }

    #[test]
    fn cosine_falls_from_peak_to_floor() {
        let schedule = Schedule::Cosine { peak: 1.0, floor: 0.2 };
        assert_relative_eq!(schedule.at(0, 100), 1.0, epsilon = 0.0, max_relative = 1e-12);
        assert_relative_eq!(schedule.at(50, 100), 0.6, epsilon = 0.0, max_relative = 1e-12);
        assert_relative_eq!(schedule.at(100, 100), 0.2, epsilon = 0.0, max_relative = 1e-12);
    }

    #[test]
    fn what_is_called_constant_is() {
        let decays = [(0.3, 2.0), (0.55, 0.5)].map(|(at, divide)| Decay { at, divide }).to_vec();
        let piecewise = |timing| Schedule::Piecewise { peak: 0.3, decays: decays.clone(), timing };
        let schedules = [
            (Schedule::Constant { peak: 0.1 }, 55),
            // Of the 55 stretches, those within iterations 0 to 2, 3 to 4 and 5 to 9, or one later.
            (piecewise(Timing::Same), 24),
            (piecewise(Timing::Next), 23),
            (Schedule::PowerWarmup { base: 0.1, factor: 3.0, exponent: 0.5, until: 0.4, decays: decays.clone() }, 16),
            (Schedule::GeometricWarmup { initial: 0.1, until: 0.4, decays: decays.clone() }, 16),
            (Schedule::Cosine { peak: 0.3, floor: 0.1 }, 0),
        ];
        for (schedule, want) in schedules {
            let mut found = 0;
            for (first, end) in (0..10).flat_map(|first| (first + 1..=10).map(move |end| (first, end))) {
                let mut all = first..end;
                if schedule.is_constant(all.clone(), 10) {
                    found += 1;
                    assert!(all.all(|i| schedule.at(i, 10) == schedule.at(first, 10)), "{schedule:?} {first}..{end}");
                }
            }
            assert_eq!(found, want, "{schedule:?}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Schedule::Constant { peak: f64::NAN }.check().is_err());
        let decays = vec![Decay { at: 1.5, divide: 2.0 }];
        let error = Schedule::Piecewise { peak: 0.1, decays, timing: Timing::Same }.check().unwrap_err();
        assert!(error.to_string().contains("schedule.decays.at is 1.5"), "{error}");
        let decays = vec![Decay { at: 0.5, divide: 0.0 }];
        assert!(Schedule::GeometricWarmup { initial: 0.1, until: 0.5, decays }.check().is_err());
    }
}

//! Ranges, ticks and tick labels.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::Ranged;

use super::Axis;

/// Values beyond this (or, on a logarithmic axis, below its inverse) do not stretch an axis, so spans stay finite.
pub(super) const LARGEST: f64 = 1e300;

/// Distance from the frame, in frames, at which values far outside are drawn.
const FAR: f64 = 1e6;

/// Most decades between which a logarithmic axis has room for grid lines at 2 to 9.
const SPARSE: usize = 5;

/// A position on an axis, where 0 is its start and 1 its end; without a label it only carries a faint grid line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub at: f64,
    pub label: String,
}

/// The map from values to positions on an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    log: bool,
    /// First and last value shown, as exponents of ten on a logarithmic axis.
    low: f64,
    high: f64,
}

impl Scale {
    /// The range that `axis` asks for, or that of `values` with a margin given as a fraction of it.
    pub fn fit(axis: &Axis, values: impl Iterator<Item = f64>, margin: f64) -> Self {
        let log = axis.log;
        let usable = |v: f64| if log { (1.0 / LARGEST..=LARGEST).contains(&v) } else { v.abs() <= LARGEST };
        let place = |v: f64| if log { v.log10() } else { v };
        if let Some((low, high)) = axis.range
            && usable(low)
            && usable(high)
            && low < high
        {
            return Self { log, low: place(low), high: place(high) };
        }
        let (low, high) = values
            .filter(|&v| usable(v))
            .map(place)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            return Self { log, low: 0.0, high: 1.0 };
        }
        let size = low.abs().max(high.abs());
        let pad = if high - low > 1e-6 * size && high - low > 1.0 / LARGEST {
            margin * (high - low)
        } else if log {
            0.5
        } else if size > 1.0 / LARGEST {
            0.05 * size
        } else {
            1.0
        };
        Self { log, low: low - pad, high: high + pad }
    }

    /// Position of a value: NaN for NaN, and far outside for infinities and for values without a logarithm.
    pub fn position(&self, value: f64) -> f64 {
        let placed = match (self.log, value <= 0.0) {
            (true, true) => f64::NEG_INFINITY,
            (true, false) => value.log10(),
            (false, _) => value,
        };
        ((placed - self.low) / (self.high - self.low)).clamp(-FAR, FAR)
    }

    /// Whether a curve passes through the value, rather than breaking there.
    pub fn shows(&self, value: f64) -> bool {
        value.is_finite() && (!self.log || value > 0.0)
    }

    /// Ticks at round values, about `most` of them labelled at most.
    pub fn ticks(&self, most: usize) -> Vec<Tick> {
        if !self.log {
            return self.linear_ticks((self.low, self.high), most);
        }
        if self.high.floor() > self.low.ceil() {
            return self.decades(most);
        }
        let fine: Vec<Tick> = multiples(self.low.floor(), self.high, 1.0)
            .flat_map(|exponent| [1.0, 2.0, 5.0].map(|digit| (digit * 10f64.powf(exponent), 10f64.powf(exponent))))
            .filter(|(value, _)| (self.low..=self.high).contains(&value.log10()))
            .map(|(value, decade)| self.tick(value.log10(), number(value, decade, value)))
            .collect();
        if fine.len() > 1 {
            return fine;
        }
        self.linear_ticks((10f64.powf(self.low), 10f64.powf(self.high)), most)
    }

    /// Labelled powers of ten, of which the range holds at least two, and faint ticks between few of them.
    fn decades(&self, most: usize) -> Vec<Tick> {
        // A round step can be too coarse for a small `most`; a seventh of the range never is.
        let mut steps = (most..most + 7).map(|most| round_step(self.high - self.low, most).max(1.0));
        let exponents = |step| multiples(self.low, self.high, step);
        let step = steps.find(|&step| exponents(step).count() > 1).unwrap_or(1.0);
        let mut ticks: Vec<Tick> = exponents(step).map(|exponent| self.tick(exponent, power_of_ten(exponent as i32))).collect();
        if step == 1.0 && ticks.len() <= SPARSE {
            let between = multiples(self.low.floor(), self.high, 1.0)
                .flat_map(|exponent| (2..10).map(move |digit| exponent + f64::from(digit).log10()))
                .filter(|placed| (self.low..=self.high).contains(placed));
            ticks.extend(between.map(|placed| self.tick(placed, String::new())));
        }
        ticks
    }

    fn linear_ticks(&self, (low, high): (f64, f64), most: usize) -> Vec<Tick> {
        let step = round_step(high - low, most);
        let largest = low.abs().max(high.abs());
        multiples(low, high, step)
            .map(|value| self.tick(if self.log { value.log10() } else { value }, number(value, step, largest)))
            .collect()
    }

    fn tick(&self, placed: f64, label: String) -> Tick {
        let at = (placed - self.low) / (self.high - self.low);
        Tick { at: at.clamp(0.0, 1.0), label }
    }
}

/// The positions from 0 to 1 of an axis with exactly these ticks, as a coordinate for the drawing library.
pub(super) struct Ruler<'a>(pub &'a [Tick]);

impl Ranged for Ruler<'_> {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, at: &f64, (first, last): (i32, i32)) -> i32 {
        first + (at * f64::from(last - first)).round() as i32
    }

    fn key_points<H: KeyPointHint>(&self, hint: H) -> Vec<f64> {
        let faint = hint.weight().allow_light_points();
        self.0.iter().filter(|tick| tick.label.is_empty() == faint).map(|tick| tick.at).collect()
    }

    fn range(&self) -> Range<f64> {
        0.0..1.0
    }
}

impl ValueFormatter<f64> for Ruler<'_> {
    fn format_ext(&self, at: &f64) -> String {
        self.0.iter().find(|tick| tick.at == *at).map_or(String::new(), |tick| tick.label.clone())
    }
}

/// The smallest of 1, 2 or 5 times a power of ten that divides `span` into at most `most` steps.
fn round_step(span: f64, most: usize) -> f64 {
    let rough = span / most.max(1) as f64;
    let decade = 10f64.powf(rough.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * decade >= 0.999_999 * rough);
    digit.unwrap_or(10.0) * decade
}

/// The multiples of `step` from `low` to `high`, both included up to rounding.
fn multiples(low: f64, high: f64, step: f64) -> impl Iterator<Item = f64> {
    let first = (low / step - 1e-6).ceil();
    let count = ((high / step + 1e-6).floor() - first + 1.0).clamp(0.0, 100.0) as usize;
    // Adding zero turns -0 into 0.
    (0..count).map(move |i| (first + i as f64) * step + 0.0)
}

/// `value` with the digits that `step` needs, in the notation that suits the `largest` value of the axis.
fn number(value: f64, step: f64, largest: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let (unit, suffix) = if (1e4..1e7).contains(&largest) {
        (1e3, "k".into())
    } else if (1e-3..1e4).contains(&largest) {
        (1.0, String::new())
    } else {
        let exponent = (largest.log10() + 1e-9).floor();
        (10f64.powf(exponent), format!("·{}", power_of_ten(exponent as i32)))
    };
    let decimals = (-(step / unit).log10() - 1e-6).ceil().clamp(0.0, 9.0) as usize;
    format!("{:.decimals$}{suffix}", value / unit).replace('-', "−")
}

/// A range as text, "low .. high", with up to three digits of its larger end, or of its width where that is less.
pub(super) fn range(low: f64, high: f64) -> String {
    const DIGITS: i32 = 3;
    let largest = low.abs().max(high.abs());
    if largest < 1.0 / LARGEST {
        return "0 .. 0".into();
    }
    let width = high - low;
    let size = if width > 1e-9 * largest { width.min(largest) } else { largest };
    let step = |digits: i32| 10f64.powi(size.log10().floor() as i32 - digits + 1);
    let rounded = |step: f64| [low, high].map(|end| (end / step).round() * step);
    let exact = |step: f64| rounded(step).iter().zip([low, high]).all(|(end, exact)| (end - exact).abs() <= 1e-6 * step);
    let step = step((1..DIGITS).find(|&digits| exact(step(digits))).unwrap_or(DIGITS));
    rounded(step).map(|end| number(end, step, largest)).join(" .. ")
}

fn power_of_ten(exponent: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let raise = |c: char| c.to_digit(10).map_or('⁻', |digit| DIGITS[digit as usize]);
    format!("10{}", exponent.to_string().chars().map(raise).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale, most: usize) -> Vec<String> {
        scale.ticks(most).into_iter().map(|tick| tick.label).filter(|label| !label.is_empty()).collect()
    }

    fn linear(low: f64, high: f64) -> Scale {
        Scale { log: false, low, high }
    }

    fn log(low: f64, high: f64) -> Scale {
        Scale { log: true, low: low.log10(), high: high.log10() }
    }

    #[test]
    fn linear_labels_suit_the_size_of_the_values() {
        assert_eq!(labels(&linear(0.0, 1e5), 5), ["0", "20k", "40k", "60k", "80k", "100k"]);
        assert_eq!(labels(&linear(-1.0, 1.0), 4), ["−1.0", "−0.5", "0", "0.5", "1.0"]);
        assert_eq!(labels(&linear(0.0, 0.3), 3), ["0", "0.1", "0.2", "0.3"]);
        assert_eq!(labels(&linear(0.0, 2e9), 2), ["0", "1·10⁹", "2·10⁹"]);
        assert_eq!(labels(&linear(0.0, 5e-5), 5), ["0", "1·10⁻⁵", "2·10⁻⁵", "3·10⁻⁵", "4·10⁻⁵", "5·10⁻⁵"]);
        assert_eq!(labels(&linear(9990.0, 9999.0), 2), ["9990", "9995"]);
    }

    #[test]
    fn logarithmic_labels_are_decades_where_there_are_two() {
        assert_eq!(labels(&log(1e-4, 2.0), 6), ["10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "10⁰"]);
        assert_eq!(labels(&log(1e-12, 1.0), 4), ["10⁻¹⁰", "10⁻⁵", "10⁰"]);
        assert_eq!(labels(&log(0.09, 0.6), 6), ["0.1", "0.2", "0.5"]);
        assert_eq!(labels(&log(0.31, 0.39), 4), ["0.32", "0.34", "0.36", "0.38"]);
        assert_eq!(labels(&log(1e-300, 1e300), 6), ["10⁻³⁰⁰", "10⁻²⁰⁰", "10⁻¹⁰⁰", "10⁰", "10¹⁰⁰", "10²⁰⁰", "10³⁰⁰"]);
    }

    #[test]
    fn a_range_has_the_digits_that_it_needs() {
        for ((low, high), text) in [
            ((-1.0, 1.0), "−1 .. 1"),
            ((0.0, 0.25), "0 .. 0.25"),
            ((-0.23456, 0.6789), "−0.235 .. 0.679"),
            ((-1e-9, 1.5), "0 .. 1.5"),
            ((7.0, 7.0), "7 .. 7"),
            ((1.0, 1.00052), "1.00000 .. 1.00052"),
            ((1.0, 1.0 + 1e-15), "1 .. 1"),
            ((0.0, 12345.0), "0 .. 12.3k"),
            ((-2e-5, 1e-5), "−2·10⁻⁵ .. 1·10⁻⁵"),
            ((0.0, 9999.0), "0 .. 10000"),
            ((0.0, 5e-324), "0 .. 0"),
            ((-1e300, 3.456e299), "−1.00·10³⁰⁰ .. 0.35·10³⁰⁰"),
        ] {
            assert_eq!(range(low, high), text);
        }
    }

    #[test]
    fn labels_keep_their_distance() {
        for low in [1e-9, 0.2001, 0.35, 1.0, 7.0, 4321.0] {
            for ratio in [1.01, 1.3, 2.0, 4.9, 9.0, 30.0, 99.0, 1e3, 1e7, 1e20] {
                for scale in [linear(low, low * ratio), log(low, low * ratio)] {
                    let mut at: Vec<f64> = scale.ticks(8).iter().filter(|t| !t.label.is_empty()).map(|t| t.at).collect();
                    at.sort_by(f64::total_cmp);
                    assert!(at.len() >= 2, "{scale:?} {at:?}");
                    // A label is a twentieth of the height of a panel.
                    assert!(at.windows(2).all(|pair| pair[1] - pair[0] > 0.06), "{scale:?} {at:?}");
                }
            }
        }
    }

    #[test]
    fn ticks_stand_where_their_values_lie() {
        let scale = log(1e-2, 1e2);
        let (faint, labelled): (Vec<Tick>, Vec<Tick>) = scale.ticks(5).into_iter().partition(|t| t.label.is_empty());
        assert_eq!((faint.len(), labelled.len()), (4 * 8, 5));
        for (tick, value) in labelled.iter().zip([1e-2, 1e-1, 1.0, 1e1, 1e2]) {
            assert!((tick.at - scale.position(value)).abs() < 1e-12);
        }
        for value in [0.02, 0.5, 90.0] {
            assert!(faint.iter().any(|tick| (tick.at - scale.position(value)).abs() < 1e-12));
        }
        assert_eq!(linear(0.0, 4.0).ticks(4).iter().map(|t| t.at).collect::<Vec<_>>(), [0.0, 0.25, 0.5, 0.75, 1.0]);
    }

    #[test]
    fn the_range_ignores_what_cannot_be_shown() {
        let values = [f64::NAN, f64::INFINITY, -1.0, 0.0, 0.01, 100.0];
        assert_eq!(Scale::fit(&Axis::log(""), values.into_iter(), 0.0), log(0.01, 100.0));
        assert_eq!(Scale::fit(&Axis::linear(""), values.into_iter(), 0.0), linear(-1.0, 100.0));
        let asked = |range| Axis { range: Some(range), ..Axis::log("") };
        assert_eq!(Scale::fit(&asked((0.1, 10.0)), values.into_iter(), 0.1), log(0.1, 10.0));
        for unusable in [(0.0, 10.0), (10.0, 0.1), (1.0, 1.0), (f64::NAN, 1.0), (1.0, f64::INFINITY)] {
            assert_eq!(Scale::fit(&asked(unusable), values.into_iter(), 0.0), log(0.01, 100.0), "{unusable:?}");
        }
    }

    #[test]
    fn every_range_has_width_and_a_tick() {
        for values in [
            vec![],
            vec![f64::NAN],
            vec![0.0],
            vec![7.0],
            vec![-3e-310],
            vec![1e-300, 1e300],
            vec![-1e300, 1e300],
            vec![1e308],
            vec![5e9, 5e9 + 1e-6],
            vec![5e-324, 1e-320],
            vec![1.0, 1.0 + 1e-15],
        ] {
            for log in [false, true] {
                let axis = Axis { log, ..Axis::default() };
                let scale = Scale::fit(&axis, values.iter().copied(), 0.05);
                assert!(scale.high > scale.low && (scale.high - scale.low).is_finite(), "{values:?} {scale:?}");
                for most in 3..9 {
                    let ticks = labels(&scale, most);
                    assert!((1..=most + 2).contains(&ticks.len()), "{values:?} {scale:?} {ticks:?}");
                }
            }
        }
    }

    #[test]
    fn positions_outside_stay_finite() {
        let scale = log(1e-3, 1.0);
        assert!(scale.position(f64::NAN).is_nan());
        assert_eq!(scale.position(f64::INFINITY), FAR);
        assert_eq!(scale.position(0.0), -FAR);
        assert!(!scale.shows(0.0) && !scale.shows(f64::INFINITY) && scale.shows(1e-9));
    }
}

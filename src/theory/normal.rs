//! The mean of log|a + sZ| for a standard normal Z.

use std::sync::OnceLock;

/// Euler's constant.
const GAMMA: f64 = 0.577_215_664_901_532_9;
/// From here on the asymptotic series is exact to rounding.
const FAR: f64 = 9.0;
/// Distance of the table's entries, and terms of the Taylor series between them.
const STEP: f64 = 0.25;
const TERMS: usize = 24;

/// E log|a + sZ|, Z ~ N(0, 1), s >= 0: log s + h(|a|/s) with
/// h(k) = E log|Z + k| = -(γ + log 2)/2 + ∫_0^k √2·D(t/√2) dt, D Dawson's function. Error about 1e-15 of max(1, |log s|);
/// -∞ at a = s = 0.
#[must_use]
pub fn mean_log(a: f64, s: f64) -> f64 {
    let k = a.abs() / s;
    match s > 0.0 {
        false => a.abs().ln(),
        true if k >= FAR => a.abs().ln() + far(k),
        true => s.ln() + near(k),
    }
}

/// m(λ) = E log|1 - λx²|, x ~ N(0, 1): log λ + 2h(1/√λ), without cancellation at small λ.
#[must_use]
pub fn mean_log_one_minus_square(lambda: f64) -> f64 {
    let k = lambda.sqrt().recip();
    if k >= FAR { 2.0 * far(k) } else { lambda.ln() + 2.0 * near(k) }
}

/// h(k) - log k = E log|1 + Z/k| = -Σ_n (2n-1)!!/(2n k^2n), an asymptotic series.
fn far(k: f64) -> f64 {
    let square = k * k;
    let (mut moment, mut sum) = (1.0, 0.0);
    for n in 1..40 {
        moment *= f64::from(2 * n - 1) / square;
        let term = moment / f64::from(2 * n);
        if term <= 1e-18 * sum {
            break;
        }
        sum += term;
    }
    -sum
}

/// h(k) for 0 <= k < FAR.
fn near(k: f64) -> f64 {
    static TABLE: OnceLock<Vec<[f64; 2]>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let start = [-0.5 * (GAMMA + std::f64::consts::LN_2), 0.0];
        let entries = (0..(FAR / STEP) as usize).scan(start, |state, index| {
            let entry = *state;
            *state = taylor(index as f64 * STEP, entry, STEP);
            Some(entry)
        });
        entries.collect()
    });
    let index = ((k / STEP).round() as usize).min(table.len() - 1);
    let at = index as f64 * STEP;
    taylor(at, table[index], k - at)[0]
}

/// (h, h') at k + δ from those at k, by the Taylor series of h'' = 1 - k·h'. The equation damps errors of h'.
fn taylor(k: f64, [h, slope]: [f64; 2], delta: f64) -> [f64; 2] {
    let (mut last, mut next) = (slope, 0.5 * (1.0 - k * slope));
    let (mut power, mut sums) = (1.0, [h, 0.0]);
    for n in 1..TERMS {
        let n = n as f64;
        sums[1] += n * last * power;
        power *= delta;
        sums[0] += last * power;
        (last, next) = (next, -(k * next + n / (n + 1.0) * last) / (n + 2.0));
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// h by its definition: the trapezoidal rule on log|z + k| for k = 0 after integration by parts,
    /// E log|Z + k| = ∫ (z + k) log|z + k| z φ(z) - 1, smooth enough for 1e-9.
    fn by_integration(k: f64) -> f64 {
        let points = 400_000;
        let step = 24.0 / f64::from(points);
        let value = |i: i32| {
            let z = -12.0 + step * f64::from(i);
            let primitive = if z + k == 0.0 { 0.0 } else { (z + k) * (z + k).abs().ln() - (z + k) };
            primitive * z * (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt()
        };
        (0..=points).map(value).sum::<f64>() * step
    }

    #[test]
    fn the_mean_of_the_logarithm_is_the_integral() {
        for k in [0.0, 0.1, 0.125, 0.7, 1.0, 2.3, 5.0, 8.99, 9.0, 12.0] {
            let (got, want) = (mean_log(k, 1.0), by_integration(k));
            assert!((got - want).abs() <= 2e-9, "{k}: {got} against {want}");
            assert!((mean_log(-3.0 * k, 3.0) - (got + 3.0_f64.ln())).abs() <= 1e-14, "scale and sign");
        }
        assert_eq!(mean_log(2.0, 0.0), 2.0_f64.ln());
        assert_eq!(mean_log(0.0, 0.0), f64::NEG_INFINITY);
    }

    #[test]
    fn both_ranges_meet() {
        let (inside, outside) = (near(FAR - 1e-12), FAR.ln() + far(FAR));
        assert!((inside - outside).abs() <= 2e-13, "{inside} against {outside}");
    }

    /// To second order m = -λ - 3λ²/2.
    #[test]
    fn small_steps_lose_no_digits() {
        let lambda = 1e-9;
        let m = mean_log_one_minus_square(lambda);
        assert!((m / (-lambda - 1.5 * lambda * lambda) - 1.0).abs() <= 1e-14, "{m}");
    }
}

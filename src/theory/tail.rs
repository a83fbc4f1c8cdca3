//! The non-interpolating case at a critical step size (Appendix A.3): |w| is bounded by z, which returns to |y_i/x_i| with
//! probability 1/N and is z -> az + b otherwise.

/// Power of ε in P(z >= ε), exactly: -log(1 - 1/N)/log a. None for a <= 1, where z is bounded.
#[must_use]
pub fn tail_exponent(n: u64, a: f64) -> Option<f64> {
    (a > 1.0).then(|| -(-1.0 / n as f64).ln_1p() / a.ln())
}

/// The same as printed in equation 35, its limit for many samples: 1/(N log a).
#[must_use]
pub fn tail_exponent_printed(n: u64, a: f64) -> f64 {
    1.0 / (n as f64 * a.ln())
}

/// z after j steps without a return, from `start`: a^j·start + b(a^j - 1)/(a - 1).
#[must_use]
pub fn level(start: f64, a: f64, b: f64, j: i32) -> f64 {
    a.powi(j) * start + b * (a.powi(j) - 1.0) / (a - 1.0)
}

/// The same as printed in equation 30, whose second term is a times too large.
#[must_use]
pub fn level_printed(start: f64, a: f64, b: f64, j: i32) -> f64 {
    a.powi(j) * start + b * a.powi(j) * (1.0 - a.powi(-j)) / (1.0 - 1.0 / a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_the_recursion() {
        let (start, a, b) = (0.7, 1.5, 0.3);
        let mut z = start;
        for j in 0..20 {
            assert!((level(start, a, b, j) / z - 1.0).abs() <= 1e-13, "{j}");
            z = a * z + b;
        }
        assert!((level_printed(start, a, b, 9) - a.powi(9) * start) / (level(start, a, b, 9) - a.powi(9) * start) - a <= 1e-12);
    }

    #[test]
    fn exponents() {
        // P(z >= level j) = (1 - 1/N)^j and levels grow by a.
        let exponent = tail_exponent(10, 3.0).unwrap();
        assert!((3.0_f64.powf(-exponent) - 0.9).abs() <= 1e-15);
        assert_eq!(tail_exponent(10, 0.5), None);
        assert!((tail_exponent_printed(1_000_000, 2.0) / tail_exponent(1_000_000, 2.0).unwrap() - 1.0).abs() <= 1e-6);
    }
}

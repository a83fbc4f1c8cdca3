//! The one-dimensional toy of Proposition 3 and Appendix B: y = x θ*², F(θ) = E(y - x θ²)²/4, single-sample SGD. In units of θ*
//! a step is h_γ(θ) = θ + γ θ (1 - θ²) with γ = η θ*² x², and for γ in (1, 1.25) the iterates end up bouncing between
//! (0.65, 1 - ε) and (1 + ε, 1.162).

use crate::error::{Result, refuse};

/// The band of the iterates, in units of θ*.
pub(super) const BAND: [f64; 2] = [0.65, 1.162];
/// The largest γ of the paper.
pub(super) const LARGEST: f64 = 1.25;

/// The open interval of step sizes of Proposition 7, ((θ* x_min)⁻², 1.25 (θ* x_max)⁻²).
///
/// # Errors
/// If the inputs are not positive, finite and ordered, or the interval is empty: x_max/x_min is √1.25 or more.
pub(super) fn step_sizes(theta_star: f64, x_min: f64, x_max: f64) -> Result<(f64, f64)> {
    let found = format!("quadratic toy: theta_star = {theta_star}, x_min = {x_min}, x_max = {x_max}");
    if !(theta_star > 0.0 && x_min > 0.0 && x_min <= x_max && (theta_star * x_max).is_finite()) {
        return refuse!("{found}, expected positive finite numbers with x_min <= x_max; correct them");
    }
    let (low, high) = ((theta_star * x_min).powi(-2), LARGEST * (theta_star * x_max).powi(-2));
    if low < high {
        Ok((low, high))
    } else {
        let (ratio, limit) = (x_max / x_min, LARGEST.sqrt());
        refuse!("{found}, expected x_max/x_min below √1.25 = {limit:.4}, got {ratio}: no step size is left; narrow the inputs")
    }
}

/// ε₀ = min((η (θ* x_min)² - 1)/3, 0.02) of Proposition 7: the iterates end up further than ε₀ θ* from the minimum θ*.
pub(super) fn epsilon(eta: f64, theta_star: f64, x_min: f64) -> f64 {
    const CAP: f64 = 0.02;
    let margin = (eta * (theta_star * x_min).powi(2) - 1.0) / 3.0;
    // Unlike f64::min this lets a NaN through.
    if margin > CAP { CAP } else { margin }
}

/// F(θ) = E[x²] (θ*² - θ²)²/4, with `mean_square` = E[x²].
pub(super) fn loss(theta: f64, theta_star: f64, mean_square: f64) -> f64 {
    mean_square * ((theta_star - theta) * (theta_star + theta)).powi(2) / 4.0
}

/// The bounds of F as printed in eq 11, (ε² θ*², 0.17 θ*²). They would suit E(y - x θ²)²/2 with E[x²] θ*² = 1.
pub(super) fn printed_bounds(epsilon: f64, theta_star: f64) -> (f64, f64) {
    ((epsilon * theta_star).powi(2), 0.17 * theta_star * theta_star)
}

/// The bounds of F once the iterates bounce: E[x²] θ*⁴ times (ε² (1 - ε/2)², (1 - 0.65²)²/4).
///
/// Below θ* they are F at the ends of (0.65 θ*, (1 - ε) θ*). Above it F lies between them: (1 + ε)² - 1 > 1 - (1 - ε)² and
/// 1.162² - 1 < 1 - 0.65². They do not hold from t = 0 on: F is E[x²] θ*⁴/4 at θ = 0 and 0 at θ*.
pub(super) fn scaled_bounds(epsilon: f64, theta_star: f64, mean_square: f64) -> (f64, f64) {
    (loss((1.0 - epsilon) * theta_star, theta_star, mean_square), loss(BAND[0] * theta_star, theta_star, mean_square))
}

/// h_γ(θ) = θ + γ θ (1 - θ²).
pub(super) fn step(gamma: f64, theta: f64) -> f64 {
    theta + gamma * theta * (1.0 - theta * theta)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_sizes_of_the_proposition() {
        for (theta_star, expected) in [(1.0, (1.0, 1.25 / 1.1025)), (2.0, (0.25, 1.25 / 4.41))] {
            let (low, high) = step_sizes(theta_star, 1.0, 1.05).unwrap();
            assert!((low - expected.0).abs() <= 1e-15 && (high - expected.1).abs() <= 1e-15, "{low} {high}");
        }
        let message = |x_min, x_max| step_sizes(1.0, x_min, x_max).unwrap_err().to_string();
        assert!(message(1.0, 1.2).contains("below √1.25 = 1.1180, got 1.2:"), "{}", message(1.0, 1.2));
        for (x_min, x_max) in [(0.0, 1.0), (1.1, 1.0), (f64::NAN, 1.0), (1.0, f64::INFINITY)] {
            assert!(message(x_min, x_max).contains("expected positive finite numbers"), "{}", message(x_min, x_max));
        }
    }

    #[test]
    fn bounds_are_the_closed_forms() {
        assert!((epsilon(0.2575, 2.0, 1.0) - 0.01).abs() <= 1e-15);
        assert_eq!(epsilon(0.275, 2.0, 1.0), 0.02);
        assert!(epsilon(f64::NAN, 2.0, 1.0).is_nan());
        let (low, high) = printed_bounds(0.02, 2.0);
        assert!((low - 0.0016).abs() <= 1e-15 && (high - 0.68).abs() <= 1e-15, "{low} {high}");
        let (low, high) = scaled_bounds(0.02, 2.0, 1.5);
        assert!((low / 24.0 - (0.02_f64 * 0.99).powi(2)).abs() <= 1e-15 && (high / 24.0 - 0.0833765625).abs() <= 1e-15);
    }

    /// SGD as in eq 10, with x running through [x_min, x_max] by the golden ratio.
    #[test]
    fn the_loss_ends_up_within_the_scaled_bounds_not_the_printed_ones() {
        for (theta_star, x_min, x_max, eta) in [(2.0_f64, 1.0, 1.05, 0.275), (1.0, 0.03, 0.0315, 1200.0)] {
            let (low, high) = step_sizes(theta_star, x_min, x_max).unwrap();
            assert!(low < eta && eta < high);
            let mean_square = (x_min * x_min + x_min * x_max + x_max * x_max) / 3.0;
            let (mut theta, mut losses) = (0.3 * theta_star, Vec::new());
            for t in 0..3000 {
                let x = x_min + (x_max - x_min) * (f64::from(t) * 0.618034).fract();
                theta += eta * theta * x * (x * theta_star.powi(2) - x * theta.powi(2));
                losses.push(loss(theta, theta_star, mean_square));
            }
            let epsilon = epsilon(eta, theta_star, x_min);
            let within = |(low, high)| losses[1000..].iter().all(|&loss| low < loss && loss < high);
            assert!(within(scaled_bounds(epsilon, theta_star, mean_square)));
            assert!(!within(printed_bounds(epsilon, theta_star)));
        }
    }
}

//! Integrals and roots in one dimension.

/// Largest |t| of the rule: beyond, nodes are nearer to an end than rounding shows.
const REACH: f64 = 3.6;
/// Halvings of the distance of nodes, of 1/4 at first.
const LEVELS: u32 = 9;

/// ∫ f over [low, high] by the tanh-sinh rule (Takahasi & Mori 1974), which integrable singularities at the ends do not harm.
/// f takes a position and its distances from both ends, which near an end have digits that the position has lost. Stops
/// where two levels agree to `tolerance` of the mean absolute value, or after [`LEVELS`] of them.
pub(super) fn integrate(low: f64, high: f64, tolerance: f64, f: impl Fn(f64, f64, f64) -> f64) -> f64 {
    if low >= high {
        return 0.0;
    }
    let width = high - low;
    let value = |t: f64| {
        let u = std::f64::consts::PI * t.sinh();
        // Shares of the width to the left and to the right of the node.
        let (left, right) = (1.0 / (1.0 + (-u).exp()), 1.0 / (1.0 + u.exp()));
        let weight = std::f64::consts::PI * t.cosh() * left * right;
        let position = if u < 0.0 { low + width * left } else { high - width * right };
        weight * f(position, width * left, width * right)
    };
    let (mut step, mut sum, mut size) = (0.25, value(0.0), 0.0);
    let mut previous = f64::NAN;
    for level in 0..LEVELS {
        // The first level takes every node, later ones those between.
        let stride = if level == 0 { 1 } else { 2 };
        let nodes = (REACH / step) as usize;
        for k in (1..=nodes).step_by(stride) {
            let t = k as f64 * step;
            let (a, b) = (value(t), value(-t));
            sum += a + b;
            size += a.abs() + b.abs();
        }
        let integral = width * step * sum;
        if level > 1 && (integral - previous).abs() <= tolerance * width * step * size {
            return integral;
        }
        previous = integral;
        step *= 0.5;
    }
    previous
}

/// E f(Q), Q the mean of `batch` squares of standard normal numbers. f takes q and |q - kink|; at the kink it may be singular.
pub(super) fn over_mean_squares(batch: u64, kink: f64, tolerance: f64, f: impl Fn(f64, f64) -> f64) -> f64 {
    // Over z = √q, whose density z^(S-1) exp(-Sz²/2) is smooth for every S, divided by its peak.
    let s = batch as f64;
    let peak = ((s - 1.0) / s).sqrt();
    let reach = 9.0 / s.sqrt();
    let (low, high) = ((peak - reach).max(0.0), peak + reach);
    let density = |z: f64| {
        let v = z - peak;
        let power = if batch == 1 { 0.0 } else { (s - 1.0) * (v / peak).ln_1p() };
        (power - 0.5 * s * v * (z + peak)).exp()
    };
    let root = kink.max(0.0).sqrt();
    let inside = kink > 0.0 && low < root && root < high;
    let at = if inside { root } else { low };
    let distance = |z: f64, from: f64| if inside { from * (z + root) } else { (z * z - kink).abs() };
    let over = |value: &dyn Fn(f64, f64) -> f64| {
        integrate(low, at, tolerance, |z, _, from| density(z) * value(z, from))
            + integrate(at, high, tolerance, |z, from, _| density(z) * value(z, from))
    };
    over(&|z, from| f(z * z, distance(z, from))) / over(&|_, _| 1.0)
}

/// A root of f between `low` and `high`, where it has different signs, by bisection to the last bit.
pub fn root(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    let rising = f(low) < 0.0;
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return middle;
        }
        if (f(middle) < 0.0) == rising { low = middle } else { high = middle }
    }
}

/// Where f changes sign between neighbours of `points`, ascending.
pub fn zeros(points: &[f64], f: impl Fn(f64) -> f64) -> Vec<f64> {
    let values: Vec<f64> = points.iter().map(|&x| f(x)).collect();
    let pairs = points.windows(2).zip(values.windows(2));
    pairs.filter(|(_, f)| (f[0] < 0.0) != (f[1] < 0.0)).map(|(x, _)| root(x[0], x[1], &f)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integrals_with_singular_ends() {
        let close = |got: f64, want: f64| assert!((got - want).abs() <= 1e-13, "{got} against {want}");
        close(integrate(0.0, 1.0, 1e-14, |_, left, _| left.ln()), -1.0);
        close(integrate(2.0, 5.0, 1e-14, |_, _, right| right.ln()), 3.0 * 3.0_f64.ln() - 3.0);
        close(integrate(-1.0, 2.0, 1e-14, |x, _, _| x.exp()), 2.0_f64.exp() - (-1.0_f64).exp());
        close(integrate(1.0, 1.0, 1e-14, |_, _, _| 1.0), 0.0);
    }

    #[test]
    fn moments_of_the_mean_square() {
        for batch in [1, 2, 3, 10, 64, 1_000_000] {
            for kink in [-1.0, 0.0, 0.5, 1.0, 2.0, 1e9] {
                let s = batch as f64;
                let mean = |f: &dyn Fn(f64) -> f64| over_mean_squares(batch, kink, 1e-14, |q, _| f(q));
                assert!((mean(&|q| q) - 1.0).abs() <= 1e-12, "{batch} {kink}");
                assert!((mean(&|q| (q - 1.0).powi(2)) * s / 2.0 - 1.0).abs() <= 1e-11, "{batch} {kink}");
                let distance = over_mean_squares(batch, kink, 1e-14, |q, d| d * d - (q - kink).powi(2));
                assert!(distance.abs() <= 1e-12 * kink.abs().max(1.0).powi(2), "{batch} {kink}: {distance}");
            }
        }
    }

    #[test]
    fn roots() {
        assert!((root(0.0, 2.0, |x| x * x - 2.0) - 2.0_f64.sqrt()).abs() <= 1e-15);
        assert!((root(0.0, 2.0, |x| 2.0 - x * x) - 2.0_f64.sqrt()).abs() <= 1e-15);
        let found = zeros(&[0.1, 1.0, 2.0, 4.0], |x: f64| x.sin());
        assert!(found.len() == 1 && (found[0] - std::f64::consts::PI).abs() <= 1e-15, "{found:?}");
    }
}

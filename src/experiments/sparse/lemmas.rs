//! Lemmas 8 to 14 and Property 12 of Appendix B, evaluated as printed on a grid that is dense at the open ends. Iterates are
//! kept as offsets θ - 1, which loses nothing next to the fixed point.

use super::quadratic::{BAND, LARGEST, epsilon, step};

/// The band as seen from the fixed point 1.
const LOWEST: f64 = BAND[0] - 1.0;
const HIGHEST: f64 = BAND[1] - 1.0;

/// A statement of the paper, evaluated on a grid.
#[derive(Clone, Debug)]
pub(super) struct Check {
    /// Short identifier, unique among the checks.
    pub id: &'static str,
    /// What the paper says.
    pub statement: String,
    /// Where.
    pub source: &'static str,
    /// Points of the grid.
    pub points: usize,
    /// Points at which the statement holds.
    pub held: usize,
    /// The point at which it is closest to failing, or fails most, with the numbers there.
    pub detail: String,
}

/// The statements of Appendix B for every γ of a grid in (`gamma_min`, `gamma_max`); the paper's range is (1, 1.25).
pub(super) fn lemmas(gamma_min: f64, gamma_max: f64) -> Vec<Check> {
    let gammas: Vec<f64> = open_grid(gamma_min, gamma_max, 40).collect();
    STATEMENTS.iter().map(|statement| check(statement, &gammas)).collect()
}

/// Midpoints of an open interval, and points next to its ends, where strict inequalities are tight.
fn open_grid(from: f64, to: f64, midpoints: usize) -> impl Iterator<Item = f64> {
    let ends = [1e-9, 1e-6, 1e-3].into_iter().flat_map(|near| [near, 1.0 - near]);
    let middle = (0..midpoints).map(move |i| (i as f64 + 0.5) / midpoints as f64);
    ends.chain(middle).map(move |at| from * (1.0 - at) + to * at)
}

/// h_γ on offsets θ - 1: 1 - h_γ(θ) = (1 - θ)(1 - γ θ (1 + θ)), which loses nothing next to the fixed point.
fn next(gamma: f64, offset: f64) -> f64 {
    offset * (1.0 - gamma * (1.0 + offset) * (2.0 + offset))
}

/// g_γ(θ) = h_γ(h_γ(θ)) on offsets.
fn twice(gamma: f64, offset: f64) -> f64 {
    next(gamma, next(gamma, offset))
}

/// h_γ'(θ).
fn slope(gamma: f64, theta: f64) -> f64 {
    1.0 + gamma - 3.0 * gamma * theta * theta
}

/// θ_γ, where h_γ is largest.
fn peak(gamma: f64) -> f64 {
    ((1.0 / gamma + 1.0) / 3.0).sqrt()
}

/// h_γ(θ_γ) by eq 14, whose denominator is printed γ and should be √γ.
fn height(gamma: f64, denominator: f64) -> f64 {
    2.0 * (1.0 + gamma).powf(1.5) / (3.0 * 3.0_f64.sqrt() * denominator)
}

/// A point of a grid: step sizes a and b (γ = a where there is one), ε, and the iterate as its offset θ - 1.
#[derive(Clone, Copy)]
struct Case {
    a: f64,
    b: f64,
    epsilon: f64,
    offset: f64,
}

impl Case {
    fn theta(&self) -> f64 {
        1.0 + self.offset
    }

    /// 1 - θ².
    fn gap(&self) -> f64 {
        -self.offset * (1.0 + self.theta())
    }

    /// Offset of h_a(θ).
    fn first(&self) -> f64 {
        next(self.a, self.offset)
    }

    /// Offset of h_a(h_b(θ)).
    fn second(&self) -> f64 {
        next(self.a, next(self.b, self.offset))
    }

    /// g_γ'(θ).
    fn slope(&self) -> f64 {
        slope(self.a, 1.0 + self.first()) * slope(self.a, self.theta())
    }

    /// 1 + P(θ).
    fn one_plus_p(&self) -> f64 {
        let gamma_theta = self.a * self.theta();
        1.0 + (1.0 + self.a * self.gap()) * (1.0 - gamma_theta * self.offset) * (1.0 - gamma_theta * (1.0 + self.theta()))
    }
}

/// The step sizes of a statement: one, each of the grid, or each pair. A pair stands for the smallest support Γ that contains
/// it, for which the lemmas are sharpest.
#[derive(Clone, Copy)]
enum Gammas {
    Fixed(f64),
    Each,
    Pairs,
}

use Gammas::{Each, Fixed, Pairs};

/// The θ of a statement: a name, values of ε/ε₀, and as offsets the ends of an open interval and a point to add to it.
type Region = (&'static str, &'static [f64], fn(&Case) -> (f64, f64, Option<f64>));

const ANY: &[f64] = &[1.0];
/// Lemma 9 takes every ε below ε₀, Proposition 7 ε₀ itself.
const SEVERAL: &[f64] = &[1e-3, 0.5, 1.0];

const UNIT: Region = ("(0, 1]", ANY, |_| (-1.0, 0.0, Some(0.0)));
const I0: Region = ("I₀ = (0, .65]", ANY, |_| (-1.0, LOWEST, Some(LOWEST)));
const I1: Region = ("I₁ = (.65, 1 - ε)", SEVERAL, |case| (LOWEST, -case.epsilon, None));
const I2: Region = ("I₂ = [1 - ε, 1)", SEVERAL, |case| (-case.epsilon, 0.0, Some(-case.epsilon)));
/// I₁ ∪ I₂ with θ_γ, from where two steps lead furthest down.
const I1_AND_I2: Region = ("(.65, 1)", ANY, |case| (LOWEST, 0.0, Some(peak(case.a) - 1.0)));
const I3: Region = ("I₃ = (1, 1.162)", ANY, |_| (0.0, HIGHEST, None));
const BELOW_PEAK: Region = ("[.65, θ_γ)", ANY, |case| (LOWEST, peak(case.a) - 1.0, Some(LOWEST)));
const ABOVE_PEAK: Region = ("(θ_γ, 1]", ANY, |case| (peak(case.a) - 1.0, 0.0, Some(0.0)));
/// Single points, which the statements name themselves.
const PEAK: Region = ("", ANY, |case| only(peak(case.a) - 1.0));
const EDGE: Region = ("", SEVERAL, |case| only(-case.epsilon));
const LOW: Region = ("", ANY, |_| only(LOWEST));
const HIGH: Region = ("", ANY, |_| only(HIGHEST));
/// Where γ θ (1 + θ) = 1, so that h_γ(θ) = 1.
const LOST: Region = ("", ANY, |case| only(((1.0 + 4.0 / case.a).sqrt() - 3.0) / 2.0));

fn only(offset: f64) -> (f64, f64, Option<f64>) {
    (offset, offset, Some(offset))
}

/// What a statement says at a point.
enum Relation {
    /// low < value < high.
    Ordered([f64; 3]),
    /// The same of iterates, as offsets.
    Iterates([f64; 3]),
    /// left = right, to rounding of terms of a size.
    Equal(f64, f64, f64),
}

use Relation::{Equal, Iterates, Ordered};

/// No bound on this side.
const NONE: f64 = f64::INFINITY;
/// Equalities may miss by this much of the size of their terms.
const ROUNDING: f64 = 16.0 * f64::EPSILON;

/// Lets ≤ pass for <, to rounding.
fn or_equal([low, value, high]: [f64; 3]) -> [f64; 3] {
    [low - ROUNDING * low.abs(), value, high + ROUNDING * high.abs()]
}

/// A function of γ rises towards 1.25: from γ to halfway there, and from there.
fn increases(function: fn(f64) -> f64, gamma: f64) -> Relation {
    Ordered([gamma, f64::midpoint(gamma, LARGEST), LARGEST].map(function))
}

impl Relation {
    /// Positive where the relation holds. A NaN fails without bound.
    fn margin(&self) -> f64 {
        let [low, value, high] = match *self {
            Ordered(terms) | Iterates(terms) => terms,
            Equal(left, right, size) => [-ROUNDING, (right - left) / size, ROUNDING],
        };
        let (below, above) = (value - low, high - value);
        if (below + above).is_nan() { f64::NEG_INFINITY } else { below.min(above) }
    }
}

impl std::fmt::Display for Relation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let terms = match *self {
            Ordered(terms) => terms,
            Iterates(offsets) => offsets.map(|offset| 1.0 + offset),
            Equal(left, right, _) => return write!(f, "{left:.9} = {right:.9}"),
        };
        let bounded = terms.iter().filter(|term| !term.is_infinite()).map(|term| format!("{term:.9}"));
        f.write_str(&bounded.collect::<Vec<_>>().join(" < "))
    }
}

/// Where a statement is made, its identifier, source and text, and the text as numbers.
type Statement = (Gammas, Region, &'static str, &'static str, &'static str, fn(&Case) -> Relation);

fn check(&(which, (set, fractions, ends), id, source, text, relation): &Statement, gammas: &[f64]) -> Check {
    let (pairs, midpoints): (Vec<_>, _) = match which {
        Fixed(gamma) => (vec![(gamma, gamma)], 2000),
        Each => (gammas.iter().map(|&gamma| (gamma, gamma)).collect(), 2000),
        Pairs => (gammas.iter().flat_map(|&a| gammas.iter().map(move |&b| (a, b))).collect(), 40),
    };
    let cases = pairs.iter().flat_map(|pair| fractions.iter().map(move |fraction| (pair, fraction)));
    let cases = cases.flat_map(|(&(a, b), fraction)| {
        let case = Case { a, b, epsilon: fraction * epsilon(a.min(b), 1.0, 1.0), offset: f64::NAN };
        let (from, to, included) = ends(&case);
        let inside = (from != to).then(|| open_grid(from, to, midpoints / fractions.len()));
        let offsets = inside.into_iter().flatten().chain(included);
        offsets.map(move |offset| Case { offset, ..case })
    });
    let (mut points, mut held, mut worst) = (0, 0, None);
    for case in cases {
        let margin = relation(&case).margin();
        points += 1;
        held += usize::from(margin > 0.0);
        if worst.is_none_or(|(least, _)| margin < least) {
            worst = Some((margin, case));
        }
    }
    let detail = worst.map_or(String::new(), |(margin, case)| {
        let Case { a, b, epsilon, offset } = case;
        let gamma = if a == b { format!("γ = {a:.9}") } else { format!("a = {a:.9}, b = {b:.9}") };
        let place = format!("{} at {gamma}, ε = {epsilon:.1e}, 1 - θ = {:.3e}", relation(&case), -offset);
        if held == points { format!("smallest margin {margin:.1e}") } else { format!("counter-example: not {place}") }
    });
    let statement = if set.is_empty() { text.to_owned() } else { format!("{text} for θ in {set}") };
    Check { id, statement, source, points, held, detail }
}

/// In the order of the paper.
const STATEMENTS: &[Statement] = &[
    (Each, UNIT, "lemma8-unit", "Lemma 8", "0 < h_γ(θ) < 1.162", |p| Iterates([-1.0, p.first(), HIGHEST])),
    (Each, I3, "lemma8-above", "Lemma 8", "0 < h_γ(θ) < θ", |p| Iterates([-1.0, p.first(), p.offset])),
    (Each, UNIT, "lemma8-peak", "Lemma 8", "h_γ(θ) ≤ h_γ(θ_γ)", |p| {
        Iterates(or_equal([-NONE, p.first(), next(p.a, peak(p.a) - 1.0)]))
    }),
    (Each, PEAK, "eq14-printed", "eq 14, read as 3√3·γ", "h_γ(θ_γ) = 2(1 + γ)^(3/2)/(3√3·γ)", |p| {
        Equal(step(p.a, p.theta()), height(p.a, p.a), 1.0)
    }),
    (Each, PEAK, "eq14", "eq 14, read as 3√(3γ)", "h_γ(θ_γ) = 2(1 + γ)^(3/2)/(3√(3γ))", |p| {
        Equal(step(p.a, p.theta()), height(p.a, p.a.sqrt()), 1.0)
    }),
    (
        Each,
        PEAK,
        "eq14-printed-increasing",
        "eq 14, read as 3√3·γ",
        "2(1 + γ)^(3/2)/(3√3·γ) increases on (1, 1.25)",
        |p| increases(|gamma| height(gamma, gamma), p.a),
    ),
    (Each, PEAK, "eq14-increasing", "eq 14, read as 3√(3γ)", "2(1 + γ)^(3/2)/(3√(3γ)) increases on (1, 1.25)", |p| {
        increases(|gamma| height(gamma, gamma.sqrt()), p.a)
    }),
    (Fixed(LARGEST), PEAK, "eq14-bound", "eq 14, read as 3√(3γ)", "2(1 + γ)^(3/2)/(3√(3γ)) < 1.162 at γ = 1.25", |p| {
        Ordered([1.0, height(p.a, p.a.sqrt()), BAND[1]])
    }),
    (Each, I0, "lemma9-p1", "Lemma 9, P1", "h_γ(θ)/θ ≥ 2 - θ² > 1.5", |p| {
        Ordered([1.5, 1.0 + p.gap(), 1.0 + p.a * p.gap()])
    }),
    (Each, I3, "lemma9-p2", "Lemma 9, P2", "h_γ(θ) is in I₁ ∪ I₂", |p| Iterates([LOWEST, p.first(), 0.0])),
    (Fixed(LARGEST), HIGH, "lemma9-p2-value", "Lemma 9, P2, a number", ".652 = h_1.25(1.162), to its digits", |p| {
        Iterates([0.6515 - 1.0, p.first(), 0.6525 - 1.0])
    }),
    (Pairs, I1_AND_I2, "eq17", "Lemma 10, eqs 17 and 18", "g_γmax(θ) ≤ h_a(h_b(θ)) ≤ g_γmin(θ)", |p| {
        Iterates(or_equal([twice(p.a.max(p.b), p.offset), p.second(), twice(p.a.min(p.b), p.offset)]))
    }),
    (Pairs, I1_AND_I2, "eq19", "Lemma 10, eq 19", "g_1.25(θ) < h_a(h_b(θ)) < g_1(θ)", |p| {
        Iterates([twice(LARGEST, p.offset), p.second(), twice(1.0, p.offset)])
    }),
    (Each, EDGE, "lemma9-edge", "Lemma 9", "γ_min (2 - ε)(1 - ε) > 2", |p| {
        Ordered([2.0, p.a * (1.0 + p.theta()) * p.theta(), NONE])
    }),
    (Pairs, I2, "lemma11", "Lemma 11", "h_a(h_b(θ)) < θ", |p| Iterates([LOWEST, p.second(), p.offset])),
    (Each, UNIT, "lemma11-factor1", "Lemma 11", "θ₊ = θ(1 + γ(1 - θ²))", |p| {
        Equal(step(p.a, p.theta()), p.theta() * (1.0 + p.a * p.gap()), p.theta())
    }),
    (Each, UNIT, "lemma11-factor2", "Lemma 11", "1 + θ₊ = (1 + θ)(1 + γθ(1 - θ))", |p| {
        Equal(1.0 + step(p.a, p.theta()), (1.0 + p.theta()) * (1.0 - p.a * p.theta() * p.offset), 1.0)
    }),
    (Each, UNIT, "lemma11-factor3", "Lemma 11", "1 - θ₊ = (1 - θ)(1 - γθ(1 + θ))", |p| {
        Equal(1.0 - step(p.a, p.theta()), -p.first(), 1.0)
    }),
    (Each, UNIT, "lemma11-product", "Lemma 11", "θ₊(1 - θ₊²) + θ(1 - θ²) = θ(1 - θ²)(1 + P(θ))", |p| {
        let (theta, after) = (p.theta(), step(p.a, p.theta()));
        Equal(after * (1.0 - after * after) + theta * p.gap(), theta * p.gap() * p.one_plus_p(), after)
    }),
    (Each, I2, "lemma11-strict", "proof of Lemma 11, a strict sign", "1 - γθ(1 + θ) < 1 - γ_min (2 - ε)(1 - ε)", |p| {
        // At γ = γ_min: θ(1 + θ) > (1 - ε)(2 - ε), factored.
        Ordered([0.0, (p.offset + p.epsilon) * (3.0 + p.offset - p.epsilon), NONE])
    }),
    (Each, I2, "lemma11-p", "Lemma 11", "P(θ) < -1", |p| Ordered([-NONE, p.one_plus_p(), 0.0])),
    (Each, I2, "eq20-printed", "eq 20", "g_γ(θ) - θ = γ(1 - θ²)(1 + P(θ))", |p| {
        Equal(p.second() - p.offset, p.a * p.gap() * p.one_plus_p(), p.second().abs() + p.offset.abs())
    }),
    (Each, I2, "eq20", "eq 20, with a factor θ", "g_γ(θ) - θ = γθ(1 - θ²)(1 + P(θ))", |p| {
        Equal(p.second() - p.offset, p.a * p.theta() * p.gap() * p.one_plus_p(), p.second().abs() + p.offset.abs())
    }),
    (Each, PEAK, "property12-root", "Property 12", "h_γ'(θ_γ) = 0", |p| Equal(slope(p.a, p.theta()), 0.0, 1.0 + p.a)),
    (Each, I1_AND_I2, "property12-q1", "Property 12, Q1", "g_γ(θ) ≥ g_γ(θ_γ)", |p| {
        Iterates(or_equal([twice(p.a, peak(p.a) - 1.0), p.second(), NONE]))
    }),
    (Each, BELOW_PEAK, "property12-q2-decreasing", "Property 12, Q2", "g_γ decreases", |p| Ordered([-NONE, p.slope(), 0.0])),
    (Each, ABOVE_PEAK, "property12-q2-increasing", "Property 12, Q2", "g_γ increases", |p| Ordered([0.0, p.slope(), NONE])),
    (Pairs, I1_AND_I2, "lemma13", "Lemma 13", "h_a(h_b(θ)) is in I₁ ∪ I₂", |p| Iterates([LOWEST, p.second(), 0.0])),
    (Fixed(LARGEST), PEAK, "lemma13-lower", "Lemma 13", ".65 < g_1.25(θ_1.25)", |p| Iterates([LOWEST, p.second(), NONE])),
    (Fixed(LARGEST), I1_AND_I2, "lemma13-strict", "proof of Lemma 13, a strict sign", "g_1.25(θ_1.25) < g_1.25(θ)", |p| {
        Iterates([twice(p.a, peak(p.a) - 1.0), p.second(), NONE])
    }),
    (Fixed(1.0), LOW, "lemma13-upper", "Lemmas 13 and 14", "g_1(.65) < .98", |p| Iterates([-NONE, p.second(), 0.98 - 1.0])),
    (Pairs, I1, "lemma14-second", "Lemma 14", "h_a(h_b(θ)) is in I₁", |p| Iterates([LOWEST, p.second(), -p.epsilon])),
    (Each, I1, "lemma14-first", "Lemma 14", "h_a(θ) is in (1 + ε, 1.162)", |p| Iterates([p.epsilon, p.first(), HIGHEST])),
    (Fixed(1.0), LOW, "lemma14-lower", "Lemma 14", "h_1(.65) > 1.02", |p| Iterates([1.02 - 1.0, p.first(), NONE])),
    (Each, LOST, "prop7-start", "Proposition 7, any start", "h_γ(θ₀) ≠ 1 for any θ₀ in (0, 1)", |p| {
        Ordered([ROUNDING, p.first().abs(), NONE])
    }),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(checks: &[Check]) -> Vec<&str> {
        checks.iter().filter(|check| check.held < check.points).map(|check| check.id).collect()
    }

    #[test]
    fn only_the_misprints_fail() {
        let checks = lemmas(1.0, 1.25);
        let misprints = ["eq14-printed", "eq14-printed-increasing", "lemma9-p2-value", "lemma11-strict", "eq20-printed"];
        let overlooked = ["lemma13-strict", "prop7-start"];
        assert_eq!(failing(&checks), [&misprints[..], &overlooked].concat());
        assert!(checks.iter().all(|check| check.points > 0 && !check.detail.is_empty()));
        let detail = |id| &checks.iter().find(|check| check.id == id).unwrap().detail;
        assert!(detail("eq14-printed").contains("1.161895004 = 1.039230485"), "{}", detail("eq14-printed"));
        assert!(detail("lemma9-p2-value").contains("0.65327"), "{}", detail("lemma9-p2-value"));
    }

    #[test]
    fn relations_fail_on_either_side_and_on_nan() {
        for wrong in [[1.0, 1.0, 2.0], [1.0, 2.0, 2.0], [f64::NAN, 1.0, 2.0], [0.0, 1.0, f64::NAN]] {
            assert!(Ordered(wrong).margin() <= 0.0 && Iterates(wrong).margin() <= 0.0, "{wrong:?}");
        }
        for (left, right) in [(1.0, 1.0 + 1e-14), (1.0, 1.0 - 1e-14), (1.0, f64::NAN)] {
            assert!(Equal(left, right, 1.0).margin() <= 0.0, "{left} {right}");
        }
        assert!(Equal(1.0, 1.0 + f64::EPSILON, 1.0).margin() > 0.0 && Ordered([1.0, 2.0, NONE]).margin() == 1.0);
    }

    #[test]
    fn false_ranges_fail() {
        let above = lemmas(1.0, 1.4);
        for id in ["lemma8-unit", "lemma9-p2", "eq19", "lemma13", "lemma14-second", "lemma14-first"] {
            assert!(failing(&above).contains(&id), "{id}");
        }
        let below = lemmas(0.5, 1.0);
        for id in ["lemma9-p1", "lemma9-edge", "eq17", "lemma11-p", "property12-q1", "property12-q2-decreasing"] {
            assert!(failing(&below).contains(&id), "{id}");
        }
        // Statements about 1 and 1.25 alone do not see the range.
        for Check { id, held, points, .. } in lemmas(f64::NAN, 1.25) {
            assert!(held == 0 || points == 1 || id == "lemma13-strict", "{id}");
        }
    }
}

//! Regression on a few of many inputs: the synthetic data of the support paper.

use serde::{Deserialize, Serialize};

use super::Dataset;
use crate::rng::{self, Stream};

/// Targets that depend on the first r inputs alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Σ_i x_i.
    Linear,
    /// sin(Σ_i x_i).
    Sine,
    /// Σ_i x_i^i, i = 1, ..., r.
    Staircase,
}

impl Target {
    fn of(self, relevant: &[f64]) -> f64 {
        match self {
            Target::Linear => relevant.iter().sum(),
            Target::Sine => relevant.iter().sum::<f64>().sin(),
            Target::Staircase => relevant.iter().zip(1..).map(|(x, power)| x.powi(power)).sum(),
        }
    }
}

/// n rows x ~ N(0, I_d), whose columns from `support` on are centred and, if `decorrelated`, made orthogonal to the first
/// columns and to the target; then [x, x] with labels f(x) + ε and f(x) - ε,
/// ε ~ noise·N(0, 1): 2n samples, rounded to f32 as the paper's are.
pub(super) fn draw((n, d): (usize, usize), support: usize, target: Target, noise: f64, decorrelated: bool, seed: u64) -> Dataset {
    let mut stream = rng::sequential(seed, Stream::Data);
    let (mut x, mut epsilon) = (vec![0.0; n * d], vec![0.0; n]);
    rng::standard_normals(&mut stream, &mut x);
    rng::standard_normals(&mut stream, &mut epsilon);
    for column in support..d {
        let mean = x.iter().skip(column).step_by(d).sum::<f64>() / n as f64;
        x.iter_mut().skip(column).step_by(d).for_each(|x| *x -= mean);
    }
    let rounded = |value: f64| f64::from(value as f32);
    let labels: Vec<f64> = x.chunks_exact(d).map(|row| target.of(&row[..support])).collect();
    if decorrelated {
        decorrelate(&mut x, d, support, &labels);
    }
    let y = |sign: f64| labels.iter().zip(&epsilon).map(move |(label, epsilon)| rounded(label + sign * noise * epsilon));
    let y = y(1.0).chain(y(-1.0)).collect();
    x.iter_mut().for_each(|x| *x = rounded(*x));
    Dataset { d, x: x.repeat(2), y, support: Some(support), ..Dataset::default() }
}

/// Takes from the columns of x from `support` on what they share with the columns before and with the labels, by Gram and
/// Schmidt.
fn decorrelate(x: &mut [f64], d: usize, support: usize, labels: &[f64]) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let remove = |column: &mut Vec<f64>, basis: &[Vec<f64>]| {
        for direction in basis {
            let share = dot(column, direction);
            column.iter_mut().zip(direction).for_each(|(value, direction)| *value -= share * direction);
        }
    };
    let relevant = (0..support).map(|column| x.iter().skip(column).step_by(d).copied().collect());
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(support + 1);
    for mut direction in relevant.chain([labels.to_vec()]) {
        let before = dot(&direction, &direction).sqrt();
        remove(&mut direction, &basis);
        let norm = dot(&direction, &direction).sqrt();
        // A linear target is in the span of its inputs already: what is left of it is rounding.
        if norm > 1e-9 * before {
            direction.iter_mut().for_each(|value| *value /= norm);
            basis.push(direction);
        }
    }
    for column in support..d {
        let mut values: Vec<f64> = x.iter().skip(column).step_by(d).copied().collect();
        remove(&mut values, &basis);
        x.iter_mut().skip(column).step_by(d).zip(values).for_each(|(x, value)| *x = value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_in_pairs_around_a_target_of_the_first_inputs() {
        for (target, of) in [
            (Target::Linear, (|r| r[0] + r[1]) as fn(&[f64]) -> f64),
            (Target::Sine, |r| (r[0] + r[1]).sin()),
            (Target::Staircase, |r| r[0] + r[1] * r[1]),
        ] {
            let data = draw((500, 4), 2, target, 0.01, false, 3);
            assert_eq!((data.n(), data.d, data.support), (1000, 4, Some(2)));
            assert_eq!(data.x[..2000], data.x[2000..]);
            let mut spread = 0.0;
            for (i, row) in data.x.chunks_exact(4).take(500).enumerate() {
                let (above, below) = (data.y[i], data.y[i + 500]);
                assert!(((above + below) / 2.0 - of(row)).abs() <= 1e-6, "{target:?}");
                spread += (above - below) * (above - below) / 4.0;
            }
            assert!((spread / 500.0 / 1e-4 - 1.0).abs() <= 0.3, "{target:?}: {spread}");
            let means: Vec<f64> = (0..4).map(|j| data.x.iter().skip(j).step_by(4).sum::<f64>() / 1000.0).collect();
            assert!(means[2].abs() <= 1e-7 && means[3].abs() <= 1e-7 && means[0].abs() > 1e-4, "{means:?}");
        }
    }

    #[test]
    fn decorrelated_columns_share_nothing_with_the_target_nor_its_inputs() {
        let shared = |decorrelated: bool, target: Target| -> f64 {
            let data = draw((60, 5), 2, target, 0.0, decorrelated, 4);
            let product = |column: usize, of: &dyn Fn(usize) -> f64| {
                (0..60).map(|i| data.x[i * 5 + column] * of(i)).sum::<f64>().abs() / 60.0
            };
            let inputs = (2..5).flat_map(|k| (0..2).map(move |j| (k, j))).map(|(k, j)| product(k, &|i| data.x[i * 5 + j]));
            let labels = (2..5).map(|k| product(k, &|i| data.y[i]));
            inputs.chain(labels).fold(0.0, f64::max)
        };
        for target in [Target::Linear, Target::Sine, Target::Staircase] {
            let (with, without) = (shared(true, target), shared(false, target));
            assert!(with <= 1e-6 && without > 1e-2, "{target:?}: {with:e} {without:e}");
        }
    }

    #[test]
    fn without_a_support_the_labels_are_noise() {
        let data = draw((50, 2), 0, Target::Linear, 1.0, false, 0);
        assert!((0..50).all(|i| data.y[i] == -data.y[i + 50] && data.y[i] != 0.0));
    }
}

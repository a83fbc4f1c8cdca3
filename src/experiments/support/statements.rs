//! Statements that need no training: moments, single steps, and functions evaluated at points.

use std::sync::Arc;

use handgrad_kernels::Context;

use super::{kaiming, perceptron};
use crate::claims::{Claim, Evidence};
use crate::data::{Data, Dataset, Target};
use crate::error::Result;
use crate::loss::{Loss, Targets};
use crate::nets::{Activation, Architecture, Objective, Plan, Point};
use crate::run::nan_max;
use crate::spec::Seed;

/// What the statements come to over seeds.
pub(super) fn claims(seeds: &[u64]) -> Result<Vec<Claim>> {
    let cx = Context::cpu()?;
    let over = |of: &dyn Fn(u64) -> Result<Found>| -> Result<Vec<Found>> { seeds.iter().map(|&seed| of(seed)).collect() };
    let exact = over(&|seed| Ok(lemma_1(seed, 0.0)))?;
    let noisy = over(&|seed| Ok(lemma_1(seed, 1.0)))?;
    let entries = over(&|seed| theorem_1(&cx, seed))?;
    let steps = over(&|seed| expected_steps(&cx, seed))?;
    let learned = over(&|seed| proposition_11(&cx, seed, true))?;
    let raised = over(&|seed| absolute_value(&cx, seed))?;
    let (beside, beyond) = (width_3(true), width_3(false));
    let (descent, flow) = (product(0.008, 10_000), product(1e-4, 400_000));
    let at = |what: &str, found: &[Found], index: usize| counted(what, found, index);
    let equation_1 = |sign: f64| {
        let grid = (1..10).flat_map(|i| (1..10).map(move |k| (f64::from(i) / 10.0, f64::from(k) / 20.0)));
        let equal = |&(alpha, delta): &(f64, f64)| {
            let (left, right) = ((1.0 - alpha + delta) * (1.0 - alpha + sign * delta), (1.0 - alpha).powi(2) - delta * delta);
            (left - right).abs() <= 1e-14
        };
        Evidence::grid("(1 - α + δ) times the second factor is (1 - α)² - δ²", grid.clone().filter(equal).count(), 81, "")
    };
    Ok(vec![
        Claim::all(
            "25",
            "the variance of ε = θx² - yx is at least R = E[y²x²] - E[yx]², whatever θ",
            "Lemma 1",
            vec![at("y = 2x: least variance at least R", &exact, 0).every(), at("y = 2x + noise", &noisy, 0).every()],
        ),
        Claim::all(
            "25-right",
            "the least variance is Var(yx)(1 - corr²(yx, x²))",
            "ours",
            vec![at("y = 2x: to 1e-9 of R", &exact, 1).every(), at("y = 2x + noise: to 1e-9 of R", &noisy, 1).every()],
        ),
        Claim::all(
            "26",
            "a step of gradient descent shrinks every irrelevant entry of W_1",
            "Theorem 1, Proposition 4",
            vec![at("share of entries that grow is 0", &entries, 0).every()],
        ),
        Claim::all(
            "26-right",
            "it shrinks their Frobenius norm, and about half of the entries grow",
            "ours",
            vec![
                at("the Frobenius norm falls", &entries, 1).every(),
                at("share of entries that grow within 0.3 and 0.7", &entries, 2),
            ],
        ),
        Claim::all(
            "27",
            "in expectation one step of SGD shrinks the irrelevant weights more than one of gradient descent",
            "Theorem 1, Proposition 7",
            vec![at("mean over samples of one step: more than 1e-13 of the weights from GD", &steps, 0)],
        ),
        Claim::all(
            "27-right",
            "one step is gradient descent's in expectation; two without replacement differ at second order in η, two with at third",
            "ours",
            vec![
                at("one step: at most 1e-13 of the weights from GD", &steps, 1).every(),
                at("two steps without replacement: order within 0.3 of 2", &steps, 2),
                at("two steps with replacement: order within 0.3 of 3", &steps, 3),
                at("two steps without replacement: the mean is smaller than GD's", &steps, 4),
            ],
        ),
        Claim::all(
            "30",
            "once the relevant part is learned, a step never raises the irrelevant weights of a ReLU network",
            "Proposition 11",
            vec![
                at("GD: ‖W₁,irr‖ does not grow", &learned, 0).every(),
                at("batches of 5: it does not grow", &learned, 1).every(),
            ],
        ),
        Claim::all(
            "31",
            "the example of width 3 is x₁ wherever its bound holds for the samples with x₁ >= 0",
            "Appendix J",
            vec![beyond],
        ),
        Claim::all("31-right", "it is, if the bound holds for those with x₁ < 0 as well", "ours", vec![beside]),
        Claim::all(
            "31-raises",
            "on an absolute value a ReLU network's irrelevant weights may grow",
            "Proposition 6",
            vec![some_start(&raised)],
        ),
        Claim::all(
            "32",
            "on (abx ∓ 1)² gradient descent converges to the closest zero, (4, 0)",
            "Appendix B",
            vec![Evidence::grid(
                "the limit within 0.01 of 4",
                usize::from((descent - 4.0).abs() <= 0.01),
                1,
                format!("{descent:.4}"),
            )],
        ),
        Claim::all(
            "32-right",
            "gradient flow converges to √15 = 3.873, gradient descent with η = 0.008 to 3.855",
            "ours",
            vec![
                Evidence::grid("flow", usize::from((flow - 15.0_f64.sqrt()).abs() <= 1e-3), 1, format!("{flow:.4}")),
                Evidence::grid("descent", usize::from((descent - 3.855_300_662).abs() <= 1e-8), 1, format!("{descent:.9}")),
            ],
        ),
        Claim::all("36-eq-1", "two steps shrink by (1 - α + δ)(1 - α + δ)", "equation 1 as printed", vec![equation_1(1.0)]),
        Claim::all("36-eq-1-right", "they shrink by (1 - α + δ)(1 - α - δ)", "ours", vec![equation_1(-1.0)]),
    ])
}

/// Answers of one seed, each with a number.
type Found = Vec<(bool, f64)>;

fn counted(what: &str, found: &[Found], index: usize) -> Evidence {
    let answers: Vec<(bool, f64)> = found.iter().map(|answers| answers[index]).collect();
    let values: Vec<f64> = answers.iter().map(|answer| answer.1).collect();
    let outcomes: Vec<bool> = answers.iter().map(|answer| answer.0).collect();
    let detail = crate::run::quantile(&values, 0.5).map_or(String::new(), |median| format!("median {median:.3e}"));
    Evidence::count(what, &outcomes, 0, detail)
}

/// "May": one start is enough.
fn some_start(found: &[Found]) -> Evidence {
    let all = counted("", found, 0);
    let detail = format!("{} of {} starts, {}", all.wins, all.seeds, all.detail);
    Evidence::grid("one step raises ‖W₁,irr‖ from one start or more", usize::from(all.wins > 0), 1, detail)
}

fn sample(n: usize, d: usize, support: usize, noise: f64, seed: u64) -> Result<Dataset> {
    Data::Support { n, d, support, target: Target::Linear, noise, decorrelated: true, seed }.load()
}

/// The least variance of θx² - yx over θ by search, for y = 2x + noise: is it at least R; is it what the correlation says?
fn lemma_1(seed: u64, noise: f64) -> Found {
    let mut stream = crate::rng::sequential(seed, crate::rng::Stream::Data);
    let mut draws = vec![0.0; 400];
    crate::rng::standard_normals(&mut stream, &mut draws);
    let (x, epsilon) = draws.split_at(200);
    let mean =
        |of: &dyn Fn(f64, f64) -> f64| x.iter().zip(epsilon).map(|(&x, &e)| of(x, 2.0 * x + noise * e)).sum::<f64>() / 200.0;
    let variance = |of: &dyn Fn(f64, f64) -> f64| mean(&|x, y| of(x, y).powi(2)) - mean(of).powi(2);
    let at = |theta: f64| variance(&|x, y| theta * x * x - y * x);
    let (mut low, mut high) = (-10.0, 10.0);
    for _ in 0..100 {
        let third = (high - low) / 3.0;
        if at(low + third) < at(high - third) { high -= third } else { low += third }
    }
    let (least, printed) = (at(0.5 * (low + high)), variance(&|x, y| y * x));
    let covariance = mean(&|x, y| y * x * x * x) - mean(&|x, y| y * x) * mean(&|x, _| x * x);
    let right = printed - covariance.powi(2) / variance(&|x, _| x * x);
    vec![(least >= printed, least / printed), ((least - right).abs() <= 1e-9 * printed, right / printed)]
}

/// The parameters after one step of gradient descent on some rows, loss (f - y)²/2.
fn step(cx: &Context, net: &Architecture, data: &Dataset, rows: &[usize], eta: f64, params: &[f64]) -> Result<Vec<f64>> {
    let x: Vec<f64> = rows.iter().flat_map(|&row| data.x[row * data.d..][..data.d].iter().copied()).collect();
    let target: Vec<f64> = rows.iter().map(|&row| data.y[row]).collect();
    let mut gradient = vec![0.0; params.len()];
    if let Some(layers) = net.net::<f64>(data.d)? {
        let point = Point::new(rows.len(), (&x).into(), params.into());
        let objective = Objective { loss: Loss::HalfMse, point, target: Targets::Values((&target).into()) };
        Plan::new(cx, Arc::new(layers), rows.len())?.gradient(cx, &objective, (&mut gradient).into())?;
    }
    Ok(params.iter().zip(&gradient).map(|(w, g)| w - eta * g).collect())
}

/// The entries of W_1 (`width` neurons, `d` inputs) for inputs from `support` on.
fn irrelevant(params: &[f64], width: usize, d: usize, support: usize) -> Vec<f64> {
    params.iter().take(width * d).enumerate().filter(|(k, _)| k % d >= support).map(|(_, &w)| w).collect()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// One step of gradient descent on a linear network: no entry grows; the norm falls; about half of the entries grow.
fn theorem_1(cx: &Context, seed: u64) -> Result<Found> {
    let (data, net) = (sample(50, 8, 3, 0.0, seed)?, perceptron(&[8, 8, 8, 1], Activation::Identity, kaiming(2.0_f64.sqrt())));
    let start = net.initial(8, Seed::Own(seed));
    let rows: Vec<usize> = (0..data.n()).collect();
    let after = step(cx, &net, &data, &rows, 1e-3, &start)?;
    let (before, after) = (irrelevant(&start, 8, 8, 3), irrelevant(&after, 8, 8, 3));
    let grown = before.iter().zip(&after).filter(|(a, b)| b.abs() > a.abs()).count() as f64 / before.len() as f64;
    let ratio = norm(&after) / norm(&before);
    Ok(vec![(grown == 0.0, grown), (ratio < 1.0, ratio), ((0.3..=0.7).contains(&grown), grown)])
}

/// Single-sample SGD on a linear network against gradient descent, in expectation by enumeration: one step; two steps without
/// and with replacement.
fn expected_steps(cx: &Context, seed: u64) -> Result<Found> {
    let (data, net) = (sample(3, 2, 1, 0.5, seed)?, perceptron(&[2, 3, 1], Activation::Identity, kaiming(1.0)));
    let start = net.initial(2, Seed::Own(seed));
    let n = data.n();
    let all: Vec<usize> = (0..n).collect();
    let descend = |rows: &[usize], eta: f64, params: &[f64]| step(cx, &net, &data, rows, eta, params);
    // The mean over sequences of samples, as far as W_1's irrelevant weights.
    let mean = |sequences: &[Vec<usize>], eta: f64| -> Result<Vec<f64>> {
        let mut sum = vec![0.0; 3];
        for sequence in sequences {
            let mut params = start.clone();
            for &row in sequence {
                params = descend(&[row], eta, &params)?;
            }
            sum.iter_mut().zip(irrelevant(&params, 3, 2, 1)).for_each(|(sum, w)| *sum += w / sequences.len() as f64);
        }
        Ok(sum)
    };
    let single: Vec<Vec<usize>> = all.iter().map(|&i| vec![i]).collect();
    let pairs: Vec<Vec<usize>> = all.iter().flat_map(|&i| all.iter().map(move |&k| vec![i, k])).collect();
    let distinct: Vec<Vec<usize>> = pairs.iter().filter(|pair| pair[0] != pair[1]).cloned().collect();
    let apart = |a: &[f64], b: &[f64]| norm(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>());
    let twice = |eta: f64| -> Result<Vec<f64>> { Ok(irrelevant(&descend(&all, eta, &descend(&all, eta, &start)?)?, 3, 2, 1)) };
    let (eta, before) = (0.02, irrelevant(&start, 3, 2, 1));
    let once = irrelevant(&descend(&all, eta, &start)?, 3, 2, 1);
    let one = apart(&mean(&single, eta)?, &once) / norm(&before);
    let order = |sequences: &[Vec<usize>]| -> Result<f64> {
        let gap = |eta: f64| Ok::<f64, crate::Error>(apart(&mean(sequences, eta)?, &twice(eta)?));
        Ok((gap(eta)? / gap(eta / 2.0)?).log2())
    };
    let (without, with) = (order(&distinct)?, order(&pairs)?);
    let smaller = norm(&mean(&distinct, eta)?) / norm(&twice(eta)?) - 1.0;
    Ok(vec![
        (one > 1e-13, one),
        (one <= 1e-13, one),
        ((without - 2.0).abs() <= 0.3, without),
        ((with - 3.0).abs() <= 0.3, with),
        (smaller < 0.0, smaller),
    ])
}

/// A ReLU network whose labels are what its relevant inputs contribute on their own (or, not `learned`, something else): does
/// ‖W₁,irr‖ not grow in a step, over all samples or over batches of 5?
fn proposition_11(cx: &Context, seed: u64, learned: bool) -> Result<Found> {
    const WIDTH: usize = 10;
    let (mut data, net) = (sample(15, 6, 2, 1.0, seed)?, perceptron(&[6, WIDTH, 1], Activation::Relu, kaiming(2.0_f64.sqrt())));
    let start = net.initial(6, Seed::Own(seed));
    let (first, second) = start.split_at(6 * WIDTH);
    let labels = data.x.chunks_exact(6).map(|x| {
        let neuron = |(row, out): (&[f64], &f64)| {
            let part = |to: usize| row[..to].iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
            if part(6) > 0.0 { out * part(2) } else { 0.0 }
        };
        first.chunks_exact(6).zip(second).map(neuron).sum()
    });
    let labels: Vec<f64> = labels.collect();
    if learned {
        data.y = labels;
    }
    let before = norm(&irrelevant(&start, WIDTH, 6, 2));
    let growth = |rows: &[usize]| -> Result<f64> {
        Ok(norm(&irrelevant(&step(cx, &net, &data, rows, 0.01, &start)?, WIDTH, 6, 2)) / before - 1.0)
    };
    let all: Vec<usize> = (0..data.n()).collect();
    let mut worst = f64::NEG_INFINITY;
    for batch in all.chunks(5) {
        worst = nan_max(worst, growth(batch)?);
    }
    let whole = growth(&all)?;
    Ok(vec![(whole <= 1e-15, whole), (worst <= 1e-15, worst)])
}

/// |x₁| at x₁ = ±5 with an irrelevant input of 0.5 in both: does a step raise the norm of the irrelevant weights?
fn absolute_value(cx: &Context, seed: u64) -> Result<Found> {
    let data = Dataset { d: 2, x: vec![5.0, 0.5, -5.0, 0.5], y: vec![5.0, 5.0], ..Dataset::default() };
    let net = perceptron(&[2, 8, 1], Activation::Relu, kaiming(2.0_f64.sqrt()));
    let start = net.initial(2, Seed::Own(seed));
    let after = step(cx, &net, &data, &[0, 1], 1e-3, &start)?;
    let growth = norm(&irrelevant(&after, 8, 2, 1)) / norm(&irrelevant(&start, 8, 2, 1)) - 1.0;
    Ok(vec![(growth > 0.0, growth)])
}

/// Appendix J: W_2 = (-1, α, 1 - α), rows (-1, 0), (1, (α - 1)v), (1, αv) on points with s = ⟨v, x[2:]⟩. Those with x₁ < 0 keep
/// the bound only if `beside`.
fn width_3(beside: bool) -> Evidence {
    let relu = |z: f64| if z > 0.0 { z } else { 0.0 };
    let (mut points, mut held) = (0, 0);
    for alpha in [0.1, 0.3, 0.5, 0.7, 0.9_f64] {
        for x in [-2.0, -1.0, -0.5, 0.5, 1.0, 2.0_f64] {
            for s in [-1.9, -0.9, -0.4, 0.4, 0.9, 1.9_f64] {
                let within = alpha.max(1.0 - alpha) * s.abs() < x.abs();
                if within || (x < 0.0 && !beside) {
                    let value = -relu(-x) + alpha * relu(x + (alpha - 1.0) * s) + (1.0 - alpha) * relu(x + alpha * s);
                    points += 1;
                    held += usize::from((value - x).abs() <= 1e-14);
                }
            }
        }
    }
    Evidence::grid("f(x) = x₁ on a grid of α, x₁ and s", held, points, format!("{held} of {points} points"))
}

/// Where |a| ends when gradient descent runs on the mean of (ab ∓ 1)² from (4, 1).
fn product(eta: f64, steps: usize) -> f64 {
    let (mut a, mut b) = (4.0_f64, 1.0);
    for _ in 0..steps {
        let slope = 2.0 * a * b;
        (a, b) = (a - eta * slope * b, b - eta * slope * a);
    }
    a.abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Verdict;

    #[test]
    fn what_does_not_hold_is_seen() {
        let cx = Context::cpu().unwrap();
        let of = |found: Vec<Found>, index: usize| counted("", &found, index).every().verdict();
        let over = |of: &dyn Fn(u64) -> Found| (0..10).map(of).collect::<Vec<_>>();
        assert_eq!(of(over(&|seed| proposition_11(&cx, seed, true).unwrap()), 0), Verdict::Holds);
        assert_eq!(of(over(&|seed| proposition_11(&cx, seed, false).unwrap()), 1), Verdict::Fails, "labels not learned");
        assert_eq!((width_3(true).verdict(), width_3(false).verdict()), (Verdict::Holds, Verdict::Fails));
        assert!((product(0.008, 10_000) - 3.855_300_662_122_4).abs() <= 1e-12);
        assert_eq!(counted("", &[vec![(false, 0.0)], vec![(true, 0.0)]], 0).every().verdict(), Verdict::Fails);
    }

    /// By hand: f = 2·3·x at x = 1, y = 5, residual 1; gradients 3 and 2.
    #[test]
    fn a_step_goes_down_the_half_square() {
        let cx = Context::cpu().unwrap();
        let data = Dataset { d: 1, x: vec![9.0, 1.0], y: vec![9.0, 5.0], ..Dataset::default() };
        let net = perceptron(&[1, 1, 1], Activation::Identity, kaiming(1.0));
        let after = step(&cx, &net, &data, &[1], 0.5, &[2.0, 3.0]).unwrap();
        assert_eq!(after, [2.0 - 0.5 * 3.0, 3.0 - 0.5 * 2.0]);
    }
}

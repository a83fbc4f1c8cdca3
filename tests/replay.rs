//! Replays and measurements of arrays that somebody else made, against loops that read as the formulas.

mod common;

use std::path::Path;

use handgrad::Result;
use handgrad::data::npz::{self, Array, Npz};
use handgrad::kernels::{Context, Isa};
use handgrad::loss::Loss;
use handgrad::nets::Architecture;
use handgrad::replay::{Line, Measure, Measured, Replay, Summary, measure, replay};
use handgrad::schedule::Schedule;
use handgrad::spec::Dtype;

type Arrays<'a> = Vec<(&'a str, Vec<usize>, Vec<f64>)>;

fn saved(arrays: &Arrays) -> Npz {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let arrays: Vec<(String, Array)> = arrays
        .iter()
        .map(|(name, shape, values)| (name.to_string(), Array { shape: shape.clone(), values: values.clone() }))
        .collect();
    npz::write(&path, &arrays).unwrap();
    Npz::read(&path).unwrap()
}

const PLAIN: Replay = Replay {
    net: DIAGONAL,
    loss: Loss::HalfMse,
    schedule: constant(0.1),
    total: None,
    steps: None,
    batch: 1,
    clip: None,
    weight_decay: 0.0,
    momentum: 0.0,
    dtype: Dtype::F64,
};

const DIAGONAL: Architecture = Architecture::Diagonal { u: 0.1, v: 0.0 };

const fn constant(peak: f64) -> Schedule {
    Schedule::Constant { peak }
}

fn replayed(arrays: &Arrays, options: Replay) -> Result<(Vec<Line>, Summary)> {
    replay(&Context::cpu()?, &saved(arrays), &options, &())
}

fn measured(arrays: &Arrays, threshold: f64) -> Result<Measured> {
    let (params, sparsity) = ("w".to_owned(), Vec::new());
    let options = Measure { net: DIAGONAL, loss: Loss::HalfMse, params, ntk_rank: threshold, sparsity, layer: None };
    measure(&Context::cpu()?, &saved(arrays), &options)
}

/// Numbers in [-1, 1] without a pattern.
fn waves(count: usize, phase: f64) -> Vec<f64> {
    (0..count).map(|i| (phase + (i * i) as f64 * 0.7 + i as f64 * 0.3).sin()).collect()
}

/// The arrays with one replaced or added.
fn with<'a>(mut arrays: Arrays<'a>, name: &'a str, shape: &[usize], values: Vec<f64>) -> Arrays<'a> {
    arrays.retain(|(existing, ..)| *existing != name);
    arrays.push((name, shape.to_vec(), values));
    arrays
}

fn without<'a>(mut arrays: Arrays<'a>, names: &[&str]) -> Arrays<'a> {
    arrays.retain(|(existing, ..)| !names.contains(existing));
    arrays
}

/// Two samples of three features with everything that a replay and a measurement may have.
fn small() -> Arrays<'static> {
    vec![
        ("x", vec![2, 3], waves(6, 0.0)),
        ("y", vec![2], waves(2, 1.0)),
        ("beta_star", vec![3], waves(3, 2.0)),
        ("x_test", vec![4, 3], waves(12, 3.0)),
        ("y_test", vec![4], waves(4, 4.0)),
        ("init", vec![6], waves(6, 5.0)),
        ("order", vec![4], vec![0.0, 1.0, 1.0, 0.0]),
        ("w", vec![6], waves(6, 6.0)),
    ]
}

/// 1/(2n) Σ (x·β - y)² of β = u∘v.
fn half_mse(x: &[f64], y: &[f64], w: &[f64]) -> f64 {
    let d = w.len() / 2;
    let square = |(row, y): (&[f64], &f64)| (0..d).map(|j| row[j] * w[j] * w[d + j]).sum::<f64>() - y;
    x.chunks(d).zip(y).map(square).map(|residual| residual * residual).sum::<f64>() / (2 * y.len()) as f64
}

/// One update from the values before it.
fn descend(x: &[f64], y: &[f64], samples: &[usize], lr: f64, w: &mut [f64]) {
    let d = w.len() / 2;
    let mut gradient = vec![0.0; d];
    for &i in samples {
        let row = &x[i * d..][..d];
        let residual = (0..d).map(|j| row[j] * w[j] * w[d + j]).sum::<f64>() - y[i];
        (0..d).for_each(|j| gradient[j] += residual * row[j] / samples.len() as f64);
    }
    for j in 0..d {
        (w[j], w[d + j]) = (w[j] - lr * gradient[j] * w[d + j], w[d + j] - lr * gradient[j] * w[j]);
    }
}

#[test]
fn losses_are_those_of_a_scalar_loop() {
    let steps = 40;
    for (n, d) in [(1, 1), (1, 6), (5, 1), (3, 7), (9, 4), (4, 33), (17, 15), (6, 100)] {
        let (x, y, w) = (waves(n * d, 0.1), waves(n, 0.2), waves(2 * d, 0.3));
        let (x_test, y_test) = (waves(3 * d, 0.4), waves(3, 0.5));
        let lr = 0.8 / d.max(4) as f64;
        for batch in [1, 3] {
            // Constant, cyclic, and each sample several times in a row.
            for sample in [|_, n| n - 1, |k, n| (5 * k + 2) % n, |k, n| k / 4 % n] {
                let order: Vec<usize> = (0..steps * batch).map(|k| sample(k, n)).collect();
                let order_shape = if batch == 1 { vec![steps] } else { vec![steps, batch] };
                let arrays = saved(&vec![
                    ("x", vec![n, d], x.clone()),
                    ("y", vec![n], y.clone()),
                    ("x_test", vec![3, d], x_test.clone()),
                    ("y_test", vec![3], y_test.clone()),
                    ("init", vec![2 * d], w.clone()),
                    ("order", order_shape, order.iter().map(|&i| i as f64).collect()),
                ]);
                for (loss, factor) in [(Loss::HalfMse, 1.0), (Loss::Mse, 2.0)] {
                    let mut w = w.clone();
                    let mut want = Vec::new();
                    for samples in order.chunks(batch) {
                        want.push((factor * half_mse(&x, &y, &w), factor * half_mse(&x_test, &y_test, &w)));
                        descend(&x, &y, samples, factor * lr, &mut w);
                    }
                    for isa in Isa::available() {
                        for (dtype, tolerance) in [(Dtype::F64, 1e-12), (Dtype::F32, 2e-5)] {
                            let options = Replay { loss, schedule: constant(lr), batch, dtype, ..PLAIN };
                            let cx = Context::cpu_with(isa).unwrap();
                            let (lines, summary) = replay(&cx, &arrays, &options, &()).unwrap();
                            assert_eq!((lines.len(), summary.diverged), (steps, false));
                            for (step, (line, &(train, test))) in lines.iter().zip(&want).enumerate() {
                                let of = format!("n = {n}, d = {d}, batch {batch}, {isa:?}, {dtype:?}, step {step}");
                                assert_eq!(line.step, step);
                                assert!((line.train_loss - train).abs() <= tolerance, "{of}: {line:?} against {train}");
                                assert!((line.test_loss.unwrap() - test).abs() <= tolerance, "{of}: {line:?} against {test}");
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_absent_is_taken_from_the_teacher_or_left_out() {
    let first = |arrays: &Arrays| replayed(arrays, PLAIN).unwrap().0[0];
    let all = first(&small());
    assert_eq!(all, first(&without(small(), &["beta_star"])), "given targets win over the teacher's");
    let taught = first(&without(small(), &["y", "y_test"]));
    assert!(taught.train_loss != all.train_loss && taught.test_loss != all.test_loss);
    assert_eq!(first(&without(small(), &["y_test", "beta_star"])).test_loss, None);
    assert_eq!(first(&without(small(), &["x_test", "y_test"])).test_loss, None);
    // u = 0.1, v = 0 predicts 0.
    let y = waves(2, 1.0);
    assert_eq!(first(&without(small(), &["init"])).train_loss, (y[0] * y[0] + y[1] * y[1]) / 4.0);
    let column: Arrays = with(small(), "order", &[4, 1], vec![0.0, 1.0, 1.0, 0.0]);
    assert_eq!(replayed(&column, PLAIN).unwrap().0, replayed(&small(), PLAIN).unwrap().0);
    let (whole, stopped) = (replayed(&small(), PLAIN).unwrap().0, Replay { steps: Some(2), ..PLAIN });
    assert_eq!(replayed(&small(), stopped).unwrap().0, whole[..2]);
}

#[test]
fn divergence_ends_the_lines_at_the_last_finite_losses() {
    let (lines, summary) = replayed(&small(), Replay { schedule: constant(1e60), ..PLAIN }).unwrap();
    assert!(summary.diverged && lines.len() < 4 && lines.iter().all(|line| line.train_loss.is_finite()), "{lines:?}");
    assert_eq!(summary.last, lines.last().copied());
}

#[test]
fn arrays_that_do_not_fit_are_refused() {
    let f32 = || Replay { dtype: Dtype::F32, ..PLAIN };
    let pairs = || Replay { batch: 2, ..PLAIN };
    let huge = |count: usize| [vec![0.0; count - 1], vec![-1e39]].concat();
    let replaced = |name: &'static str, shape: &[usize], values: Vec<f64>| with(small(), name, shape, values);
    let cases = [
        (PLAIN, without(small(), &["x"]), "there is no array `x`, only [beta_star,"),
        (PLAIN, without(small(), &["order"]), "there is no array `order`"),
        (PLAIN, without(small(), &["y", "beta_star"]), "neither `y` [2] nor `beta_star` [3] is there"),
        (PLAIN, without(small(), &["x_test"]), "`y_test` is there without `x_test`; save both or neither"),
        (PLAIN, replaced("x", &[6], vec![0.0; 6]), "array `x` has shape [6], expected [at least 1, at least 1]"),
        (PLAIN, replaced("x", &[0, 3], vec![]), "array `x` has shape [0, 3], expected [at least 1, at least 1]"),
        (PLAIN, replaced("x", &[2, 0], vec![]), "array `x` has shape [2, 0], expected [at least 1, at least 1]"),
        (PLAIN, replaced("x", &[], vec![1.0]), "array `x` has shape [], expected [at least 1, at least 1]"),
        (PLAIN, replaced("y", &[1, 2], vec![0.0; 2]), "array `y` has shape [1, 2], expected [2, 2]"),
        (PLAIN, replaced("y", &[2, 2], vec![0.0; 4]), "array `y_test` has shape [4], expected [4, 2]"),
        (PLAIN, replaced("y", &[2], vec![1.0, f64::NAN]), "array `y` holds NaN at flat position 1"),
        (PLAIN, replaced("beta_star", &[2], vec![0.0; 2]), "array `beta_star` has shape [2], expected [3]"),
        (PLAIN, replaced("x_test", &[1, 2], vec![0.0; 2]), "array `x_test` has shape [1, 2], expected [at least 1, 3]"),
        (PLAIN, replaced("y_test", &[3], vec![0.0; 3]), "array `y_test` has shape [3], expected [4]"),
        (PLAIN, replaced("init", &[2, 3], vec![0.0; 6]), "array `init` has shape [2, 3], expected [6]"),
        (PLAIN, replaced("init", &[6], vec![f64::INFINITY; 6]), "array `init` holds inf at flat position 0"),
        (PLAIN, replaced("init", &[6], vec![1e100; 6]), "the losses of the initial parameters are not finite"),
        (PLAIN, replaced("x_test", &[4, 3], vec![1e200; 12]), "the losses of the initial parameters are not finite"),
        (PLAIN, replaced("order", &[], vec![1.0]), "array `order` has shape [], expected [at least 1]"),
        (PLAIN, replaced("order", &[0], vec![]), "array `order` has shape [0], expected [at least 1]"),
        (PLAIN, replaced("order", &[2], vec![0.0, 2.0]), "`order` holds 2 at flat position 1, expected indices of samples"),
        (PLAIN, replaced("order", &[1], vec![-1.0]), "`order` holds -1 at flat position 0"),
        (PLAIN, replaced("order", &[1], vec![0.5]), "integers from 0 to 1"),
        (PLAIN, replaced("order", &[2, 2], vec![0.0; 4]), "array `order` has 2 columns, expected as many as --batch 1"),
        (pairs(), replaced("order", &[1, 3], vec![0.0; 3]), "array `order` has 3 columns, expected as many as --batch 2"),
        (pairs(), small(), "array `order` has shape [4], expected [at least 1, 2]"),
        (
            f32(),
            replaced("x", &[2, 3], huge(6)),
            "`x` holds -1e39 at flat position 5, expected magnitudes of at most 3.4028235e38 in f32",
        ),
        (f32(), replaced("y", &[2], huge(2)), "`y` holds -1e39 at flat position 1"),
        (f32(), replaced("init", &[6], huge(6)), "`init` holds -1e39 at flat position 5"),
        (Replay { batch: 0, ..PLAIN }, small(), "--batch 0: expected at least 1"),
        (Replay { steps: Some(0), ..PLAIN }, small(), "has 4 rows; ask for 1 to 4"),
        (Replay { steps: Some(5), ..PLAIN }, small(), "--steps 5: `order` in"),
        (Replay { schedule: constant(-0.1), ..PLAIN }, small(), "schedule.peak is -0.1, expected a finite number >= 0"),
        (Replay { schedule: constant(f64::NAN), ..PLAIN }, small(), "schedule.peak is NaN, expected a finite number >= 0"),
        (Replay { clip: Some(0.0), ..PLAIN }, small(), "optimiser.clip is 0, expected a finite norm > 0"),
    ];
    for (options, arrays, want) in cases {
        let line = replayed(&arrays, options).expect_err(want).to_string();
        assert!(line.contains(want) && !line.contains('\n'), "{line}\nexpected {want}");
    }
    let folder = Npz::read(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap_err().to_string();
    assert!(folder.contains("this is a folder, expected a .npz file"), "{folder}");
}

#[test]
fn parameters_that_do_not_fit_are_refused() {
    let cases = [
        (without(small(), &["w"]), 0.0, "there is no array `w`"),
        (with(small(), "w", &[5], vec![0.0; 5]), 0.0, "array `w` has shape [5], expected [6]"),
        (with(small(), "w", &[6], vec![f64::NAN; 6]), 0.0, "array `w` holds NaN at flat position 0"),
        (with(small(), "x_eval", &[1, 2], vec![0.0; 2]), 0.0, "array `x_eval` has shape [1, 2], expected [at least 1, 3]"),
        (without(small(), &["x_test", "y_test"]), 0.0, "neither `x_eval` nor `x_test` is there"),
        (small(), -1.0, "--ntk-rank -1: expected a finite number >= 0"),
        (small(), f64::NAN, "--ntk-rank NaN: expected a finite number >= 0"),
    ];
    for (arrays, threshold, want) in cases {
        let line = measured(&arrays, threshold).expect_err(want).to_string();
        assert!(line.contains(want), "{line}\nexpected {want}");
    }
}

#[test]
fn extreme_parameters_are_measured_honestly() {
    let scaled = |scale: f64| {
        let w = waves(6, 6.0).iter().map(|value| value * scale).collect();
        measured(&with(small(), "w", &[6], w), 1e-15).unwrap()
    };
    for scale in [1e-310, 1e-300, 1.0, 1e150, 1e300] {
        assert_eq!(scaled(scale).ntk_rank, Some(3), "{scale:e}");
    }
    let dead = scaled(0.0);
    assert_eq!((dead.ntk_rank, dead.l0), (Some(0), Some(0)));
    let overflown = measured(&with(small(), "w", &[6], vec![1.7e308; 6]), 1e-15).unwrap();
    assert_eq!((overflown.ntk_rank, overflown.l0), (None, Some(3)), "a rank of singular values that overflow is no number");
    let one_row = measured(&with(small(), "x_eval", &[1, 3], waves(3, 7.0)), 1e-15).unwrap();
    assert_eq!((one_row.ntk_rank, one_row.singular_values.len()), (Some(1), 1));
    assert_eq!(measured(&small(), 1.0).unwrap().ntk_rank, Some(0), "no singular value is above the largest");
    assert_eq!(measured(&without(small(), &["y_test", "beta_star"]), 0.0).unwrap().test_loss, None);
}

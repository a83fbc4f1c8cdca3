//! The theory's numbers against those of scipy and mpmath, and the calculator on the command line.

mod common;

use std::process::{Command, Output};

use handgrad::theory::regression::{MomentBounds, critical, exponent};
use handgrad::theory::saddle::{Exponents, Phase, Saddle, two_point_intervals};
use serde_json::Value;

fn fixture() -> Option<Value> {
    let path = common::golden()?.join("theory.json");
    Some(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().unwrap().iter()
}

fn close(what: &str, got: f64, want: f64, tolerance: f64) {
    assert!((got - want).abs() <= tolerance, "{what}: {got} against {want}");
}

#[test]
fn regression_is_that_of_the_fixture() {
    let Some(fixture) = fixture() else { return };
    let fixture = &fixture["prob_stability"];
    for (lambda, pair) in entries(&fixture["m_S1"]) {
        close(lambda, exponent(lambda.parse().unwrap(), 1), number(&pair[0]), 1e-9);
    }
    for (batch, row) in entries(&fixture["m_table"]) {
        for (lambda, want) in entries(row) {
            close(lambda, exponent(lambda.parse().unwrap(), batch.parse().unwrap()), number(want), 1e-9);
        }
    }
    for (batch, want) in entries(&fixture["crit_lambda"]) {
        close(batch, critical(batch.parse().unwrap()), number(want), 1e-9);
    }
    for (batch, row) in entries(&fixture["lambda_DS_gauss"]) {
        let bounds = MomentBounds::gaussian(batch.parse().unwrap());
        for (got, name) in [
            (bounds.mean_square, "correct"),
            (bounds.mean_square_printed, "eq4"),
            (bounds.mean_square_gaussian_printed, "eq22"),
            (bounds.stationary, "SS"),
        ] {
            close(name, got, number(&row[name]), 1e-12);
        }
    }
}

#[test]
fn the_saddle_is_that_of_the_fixture() {
    let Some(fixture) = fixture() else { return };
    let fixture = &fixture["saddle"];
    for row in fixture["two_point"].as_array().unwrap() {
        let a = number(&row["a"]);
        close("Ia", Saddle::TwoPoint { a }.mean_square_bound(), number(&row["ms_bound"]), 1e-12);
        for (found, name) in two_point_intervals(a).iter().zip(["m_minus_neg", "m_plus_neg"]) {
            let want = row[name].as_array().unwrap();
            assert_eq!(found.len(), want.len(), "a = {a}, {name}");
            for (found, want) in found.iter().zip(want) {
                // At the double root the two differ by the root of rounding.
                close(name, found.0, number(&want[0]), 1e-6);
                close(name, found.1, number(&want[1]), 1e-6);
            }
        }
    }
    for (mu, row) in entries(&fixture["gauss_S1_boundaries"]) {
        let saddle = Saddle::Gaussian { mu: mu.parse().unwrap(), batch: 1 };
        close(mu, saddle.mean_square_bound(), number(&row["lambda_ms"]), 1e-12);
        for (side, of) in [("minus", (|e| e.minus) as fn(Exponents) -> f64), ("plus", |e| e.plus)] {
            for zero in row[side]["zeros"].as_array().unwrap() {
                let at = number(zero);
                let (below, above) = (of(saddle.exponents(at - 1e-6)), of(saddle.exponents(at + 1e-6)));
                assert!(below * above < 0.0, "μ = {mu}, {side}: no zero at {at}: {below} {above}");
            }
        }
    }
    let grid = &fixture["gauss_S1_grid"];
    let lambdas: Vec<f64> = grid["lambda_"].as_array().unwrap().iter().map(number).collect();
    for (mu, row) in entries(&grid["m_minus"]) {
        for (lambda, want) in lambdas.iter().zip(row.as_array().unwrap()) {
            let (exponents, phase) = Saddle::Gaussian { mu: mu.parse().unwrap(), batch: 1 }.phase(*lambda);
            close(mu, exponents.minus, number(want), 6e-7);
            if let Some(index) = lambdas.iter().position(|other| other == lambda)
                && let Some(want) = grid["phase"].get(mu).and_then(|row| row[index].as_str())
            {
                let want = match want {
                    "Ims" => "Ia",
                    "I" => "Ib",
                    other => other,
                };
                assert_eq!(phase.to_string(), want, "μ = {mu}, λ = {lambda}");
            }
        }
    }
}

fn theory(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_handgrad")).arg("theory").args(arguments).output().unwrap()
}

fn answer(arguments: &[&str]) -> Value {
    let output = theory(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_calculator_answers_in_json() {
    close("m", number(&answer(&["exponent", "--lr", "2.5"])["value"]), 0.020_624_592_802_888_458, 1e-12);
    close("m", number(&answer(&["exponent", "--lr", "2.5", "--batch", "4"])["value"]), -0.089_763_731_474_055_97, 1e-12);
    close("critical", number(&answer(&["critical"])["value"]), 2.421_249_521_036_836, 1e-11);
    close("critical", number(&answer(&["critical", "--batch", "64"])["value"]), 2.068_811_215_878_114, 1e-11);
    let saddle = answer(&["phase", "--lr", "1.2", "--a", "-0.5"]);
    close("m-", number(&saddle["m_minus"]), 0.5 * (0.2_f64 * 1.6).ln(), 1e-14);
    close("m+", number(&saddle["m_plus"]), 0.5 * (2.2_f64 * 0.4).ln(), 1e-14);
    for (arguments, phase) in [
        (["--lr", "1.2", "--a", "-.5"].as_slice(), Phase::III),
        (&["--lr", "0.5", "--a", "-.5"], Phase::Ia),
        (&["--lr", "2", "--a", "-.5"], Phase::II),
        (&["--lr", "0.1", "--mu", ".06"], Phase::III),
        (&["--lr", "0.1", "--mu", ".06", "--batch", "8"], Phase::Ia),
        (&["--lr", "0.01", "--mu", "-.4"], Phase::II),
    ] {
        assert_eq!(answer(&[&["phase"], arguments].concat())["phase"], phase.to_string(), "{arguments:?}");
    }
    assert!(answer(&["phase", "--lr", "1", "--a", "3"])["m_minus"].is_null(), "minus infinity");
}

#[test]
fn the_calculator_refuses_what_has_no_answer_in_one_line() {
    for (arguments, want) in [
        (["exponent", "--lr", "-1"].as_slice(), "--lr -1: expected a finite step size above 0"),
        (&["exponent", "--lr", "0"], "--lr 0: expected a finite step size above 0"),
        (&["exponent", "--lr", "nan"], "--lr NaN: expected a finite step size above 0"),
        (&["phase", "--lr", "inf", "--a", "1"], "--lr inf: expected a finite step size above 0"),
        (&["exponent", "--lr", "1", "--batch", "0"], "--batch 0: expected at least 1 sample"),
        (&["critical", "--batch", "0"], "--batch 0: expected at least 1 sample"),
        (&["critical", "--batch", "-3"], "invalid value '-3' for '--batch <BATCH>'"),
        (&["phase", "--lr", "1", "--a", "NaN"], "--a NaN: expected a finite number"),
        (&["phase", "--lr", "1", "--mu", "-inf"], "--mu -inf: expected a finite number"),
        (&["phase", "--lr", "1", "--mu", ".1", "--batch", "0"], "--batch 0: expected at least 1 sample"),
        (&["phase", "--lr", "1"], "<--a <A>|--mu <MU>>"),
        (&["phase", "--lr", "1", "--a", "1", "--mu", "1"], "cannot be used with"),
        (&["phase", "--lr", "1", "--a", "1", "--batch", "4"], "cannot be used with"),
        (&["exponent", "--lr", "x"], "invalid value 'x' for '--lr <LR>'"),
    ] {
        let output = theory(arguments);
        let line = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {line}");
        assert!(output.stdout.is_empty() && line.contains(want) && line.trim_end().lines().count() == 1, "{arguments:?}: {line}");
    }
}

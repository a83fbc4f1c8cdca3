//! Tests of data sets.

use super::*;

fn recipe(generator: Generator, seed: u64) -> Data {
    Data::SparseRegression { n: 6, d: 10, support: 3, test: 4, generator, seed }
}

#[test]
fn targets_are_those_of_a_sparse_unit_teacher() {
    for generator in [Generator::Numpy, Generator::Xoshiro] {
        let data = recipe(generator, 1).load().unwrap();
        assert_eq!((data.n(), data.d, data.x.len(), data.x_test.len(), data.y_test.len()), (6, 10, 60, 40, 4));
        // Only the first three features matter: changing another one's column leaves no trace in y.
        let other = recipe(generator, 2).load().unwrap();
        assert_ne!(data.hash(), other.hash());
        assert_eq!(data.hash(), recipe(generator, 1).load().unwrap().hash());
    }
}

#[test]
fn an_impossible_support_is_refused() {
    let data = Data::SparseRegression { n: 6, d: 10, support: 11, test: 0, generator: Generator::Numpy, seed: 0 };
    assert!(data.check().unwrap_err().to_string().contains("data.support is 11, expected 1 to d = 10"));
}

#[test]
fn a_numpy_seed_of_more_than_32_bits_is_refused() {
    assert!(recipe(Generator::Xoshiro, 1 << 40).check().is_ok());
    assert!(recipe(Generator::Numpy, 1 << 40).check().unwrap_err().to_string().contains("expected at most 4294967295"));
}

#[test]
fn the_quadratic_toy_has_its_inputs_in_range() {
    let data = Data::Quadratic { n: 1000, x_min: 1.0, x_max: 1.5, theta_star: 2.0, seed: 3 };
    let drawn = data.load().unwrap();
    assert!(drawn.x.iter().zip(&drawn.y).all(|(x, y)| (1.0..1.5).contains(x) && *y == 4.0 * x));
    let mean = drawn.x.iter().sum::<f64>() / 1000.0;
    assert!((mean - 1.25).abs() <= 0.025, "{mean}: five standard errors");
    assert_ne!(drawn, data.redrawn(4).unwrap().load().unwrap());
    let empty = Data::Quadratic { n: 1, x_min: 2.0, x_max: 1.0, theta_star: 1.0, seed: 0 };
    assert!(empty.check().unwrap_err().to_string().contains("x_min = 2, x_max = 1"));
}

#[test]
fn redrawn_data_are_of_our_stream_and_the_seed() {
    assert_eq!(recipe(Generator::Numpy, 1).redrawn(4).unwrap(), recipe(Generator::Xoshiro, 5));
    let quadratic = |seed| Data::Quadratic { n: 10, x_min: 1.0, x_max: 1.5, theta_star: 2.0, seed };
    assert_eq!(quadratic(3).redrawn(4).unwrap(), quadratic(7));
}

/// NumPy's numbers: mean x and the label of its seed 0 as an independent implementation has them.
#[test]
fn least_squares_on_the_slope_data_has_slope_1() {
    let data = Data::Slope { n: 100, generator: Generator::Numpy, seed: 0 }.load().unwrap();
    let moment = |of: &dyn Fn(usize) -> f64| (0..100).map(of).sum::<f64>() / 100.0;
    assert!((moment(&|i| data.x[i]) - 0.059236).abs() <= 5e-7 && (data.y[0] - 16.8816).abs() <= 5e-5);
    assert!((moment(&|i| data.x[i] * data.y[i]) / moment(&|i| data.x[i].powi(2)) - 1.0).abs() <= 1e-12);
}

#[test]
fn listed_samples_are_checked_and_stay() {
    let listed = |x: &[f64], y: &[f64], support| Data::Listed { d: 2, x: x.to_vec(), y: y.to_vec(), support };
    let data = listed(&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0], 1);
    data.check().unwrap();
    assert_eq!(data.redrawn(7).unwrap(), data);
    let loaded = data.load().unwrap();
    assert_eq!((loaded.n(), loaded.d, loaded.support, loaded.y[1]), (2, 2, Some(1), 6.0));
    for wrong in [listed(&[1.0; 3], &[5.0, 6.0], 1), listed(&[1.0, f64::NAN], &[5.0], 1), listed(&[1.0; 2], &[5.0], 3)] {
        assert!(wrong.check().is_err(), "{wrong:?}");
    }
}

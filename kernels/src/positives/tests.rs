use super::*;
use crate::testing::{Cases, contexts, on, variant};

fn against_the_oracle<T: Real>() {
    for len in [1, 2, 31, 33, 255, 257, 1000, 4095, 4096, 4097, 9001] {
        let mut x: Vec<T> = Cases::new(len as u64).reals(len);
        // The last one counts, so that its place is looked at.
        x[len - 1] = T::ONE;
        let want = scalar::positives(&x.iter().map(|x| x.to_f64()).collect::<Vec<f64>>());
        for cx in contexts() {
            assert_eq!(positives(&cx, on(&cx, &x).view()).unwrap(), want, "{} {} {len}", variant(&cx), T::DTYPE.name());
        }
    }
}

#[test]
fn every_variant_matches_the_oracle() {
    against_the_oracle::<f32>();
    against_the_oracle::<f64>();
}

#[test]
fn zeros_and_nan_are_not_positive() {
    for cx in contexts() {
        let x = [0.0, -0.0, f64::NAN, -1.0, f64::INFINITY, f64::NEG_INFINITY, 5e-324, 2.0];
        assert_eq!(positives(&cx, on(&cx, &x).view()).unwrap(), 3, "{}", variant(&cx));
        assert_eq!(positives(&cx, on(&cx, &x.map(|x| x as f32)).view()).unwrap(), 2, "{}", variant(&cx));
    }
}

#[test]
fn nothing_is_refused() {
    let error = positives::<f32>(&Context::cpu().unwrap(), (&[]).into()).unwrap_err().to_string();
    assert!(error.contains("the number of elements is 0, expected at least 1"), "{error}");
}

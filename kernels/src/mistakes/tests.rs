use super::*;
use crate::testing::{Cases, contexts, on, variant};

fn largest(n: usize, outputs: usize) -> MistakesShape {
    MistakesShape { n, outputs, choice: Choice::Largest }
}

fn sign(n: usize) -> MistakesShape {
    MistakesShape { n, outputs: 1, choice: Choice::Sign }
}

fn counted<T: Real>(cx: &Context, shape: &MistakesShape, y: &[T], labels: &[u32]) -> usize {
    mistakes(cx, shape, on(cx, y).view(), on(cx, labels).view()).unwrap()
}

fn against_the_oracle<T: Real>() {
    for (n, outputs) in [(1, 1), (2, 3), (31, 10), (33, 2), (255, 5), (257, 7), (4095, 3), (4096, 2), (4097, 3), (9001, 1)] {
        let mut cases = Cases::new(n as u64);
        let y: Vec<T> = cases.reals(n * outputs);
        let wide: Vec<f64> = y.iter().map(|y| y.to_f64()).collect();
        let mut labels = cases.indices(n, outputs.max(2));
        // The last one is wrong, so that its place is looked at.
        labels[n - 1] = u32::MAX;
        let shapes = [Some(largest(n, outputs)), (outputs == 1).then(|| sign(n))];
        for shape in shapes.into_iter().flatten() {
            let want = scalar::mistakes(&shape, &wide, &labels);
            assert!(n < 30 || (n / 4..n).contains(&want), "{want} of {n}");
            for cx in contexts() {
                assert_eq!(counted(&cx, &shape, &y, &labels), want, "{} {} {shape:?}", variant(&cx), T::DTYPE.name());
            }
        }
    }
}

#[test]
fn every_variant_matches_the_oracle() {
    against_the_oracle::<f32>();
    against_the_oracle::<f64>();
}

#[test]
fn the_first_of_the_largest_is_chosen() {
    const BELOW: f64 = -1e30;
    for cx in contexts() {
        for (y, class) in [
            ([1.0, 3.0, 2.0], 1),
            ([BELOW, 3.0, 3.0], 1),
            ([2.0, 2.0, 2.0], 0),
            ([-0.0, 0.0, 0.0], 1),
            ([0.0, -0.0, BELOW], 0),
            ([f64::NEG_INFINITY, f64::NEG_INFINITY, BELOW], 2),
            ([1.0, f64::INFINITY, f64::INFINITY], 1),
        ] {
            for label in 0..4 {
                let wrong = usize::from(label != class);
                assert_eq!(counted(&cx, &largest(1, 3), &y, &[label]), wrong, "{} {y:?} {label}", variant(&cx));
                assert_eq!(counted(&cx, &largest(1, 3), &y.map(|y| y as f32), &[label]), wrong, "{} {y:?}", variant(&cx));
            }
        }
        assert_eq!(counted(&cx, &largest(3, 1), &[-1.0, 0.0, 1.0], &[0, 0, 0]), 0, "the only one is the largest");
    }
}

#[test]
fn a_sign_chooses_between_two_classes() {
    for cx in contexts() {
        let y = [1.5, 1.5, 1.5, -0.5, -0.5, -0.5, 0.0, 0.0, -0.0];
        let (labels, wrong) = ([1, 0, u32::MAX, 0, 1, 2, 0, 1, 0], 7);
        assert_eq!(counted(&cx, &sign(9), &y, &labels), wrong, "{}", variant(&cx));
        assert_eq!(counted(&cx, &sign(9), &y.map(|y| y as f32), &labels), wrong, "{}", variant(&cx));
    }
}

#[test]
fn what_is_not_a_number_is_wrong() {
    for cx in contexts() {
        for place in 0..3 {
            let mut y = [0.5, 2.0, 1.0];
            y[place] = f64::NAN;
            for label in 0..3 {
                assert_eq!(counted(&cx, &largest(1, 3), &y, &[label]), 1, "{} {y:?} {label}", variant(&cx));
            }
        }
        assert_eq!(counted(&cx, &sign(2), &[f32::NAN, f32::NAN], &[0, 1]), 2, "{}", variant(&cx));
    }
}

#[test]
fn wrong_sizes_are_refused() {
    let cx = Context::cpu().unwrap();
    let attempt = |shape: MistakesShape, y: usize, labels: usize| {
        mistakes::<f32>(&cx, &shape, (&vec![0.0; y]).into(), (&vec![0; labels]).into()).unwrap_err().to_string()
    };
    assert!(attempt(largest(0, 3), 0, 0).contains("batch is 0, expected at least 1"));
    assert!(attempt(largest(2, 0), 0, 2).contains("outputs is 0, expected at least 1"));
    assert!(attempt(largest(2, 3), 5, 2).contains("`y` has 5 elements, expected 6 (n * outputs)"));
    assert!(attempt(largest(2, 3), 6, 1).contains("`labels` has 1 elements, expected 2 (n)"));
    let two = MistakesShape { outputs: 2, ..sign(3) };
    assert!(attempt(two, 6, 3).contains("outputs is 2, expected 1, whose sign chooses"));
}

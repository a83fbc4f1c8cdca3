use std::f64::consts::TAU;

use super::*;
use crate::testing::{Cases, assert_close, contexts, on, on_mut, variant};

const WORDS: Words = Words { key: [5, 1 << 30], upper: [3, 2] };

/// By the C library, where the operator has its own functions.
fn normal(position: u64) -> f64 {
    let number = |low: u32, high: u32| ((u64::from(high) << 32 | u64::from(low)) >> 11) as f64 / 2f64.powi(53);
    let [a, b, c, d] = WORDS.block(position / 2);
    let angle = TAU * number(c, d);
    (-2.0 * (1.0 - number(a, b)).ln()).sqrt() * if position.is_multiple_of(2) { angle.cos() } else { angle.sin() }
}

fn targets_are_those_of_the_definition<T: Real>(tolerance: f64) {
    let mut cases = Cases::new(7);
    for (count, width, period, step) in [(0, 1, 3, 1), (1, 1, 1, 0), (2, 3, 31, u32::MAX), (7, 2, 200, 3), (301, 1, 1 << 40, 5)] {
        let (items, before) = (cases.indices(count, u32::MAX as usize), cases.reals::<T>(count * width));
        let noise = Noise { deviation: 0.7, words: WORDS, width, period };
        for (listed, stepping) in [(true, true), (false, true), (true, false)] {
            let first = if stepping { u64::from(step) * period as u64 } else { 0 };
            let noisy = |(place, before): (usize, &T)| {
                let (row, k) = (place / width, place % width);
                let item = if listed { u64::from(items[row]) } else { row as u64 };
                before.to_f64() + 0.7 * normal(first + item * width as u64 + k as u64)
            };
            let want: Vec<f64> = before.iter().enumerate().map(noisy).collect();
            for cx in contexts() {
                let mut got = before.clone();
                let (items, now) = (on(&cx, &items), [step]);
                let now = on(&cx, &now);
                let (step, items) = (stepping.then(|| now.view()), listed.then(|| items.view()));
                label_noise(&cx, &noise, step, items, on_mut(&cx, &mut got).view_mut()).unwrap();
                assert_close(&format!("{} {count} x {width}", variant(&cx)), &got, &want, tolerance);
            }
        }
    }
}

#[test]
fn noise_is_that_of_the_definition() {
    targets_are_those_of_the_definition::<f64>(1e-14);
    targets_are_those_of_the_definition::<f32>(1e-6);
}

#[test]
fn what_is_no_noise_is_refused() {
    let cx = Context::cpu().unwrap();
    let right = Noise { deviation: 1.0, words: WORDS, width: 2, period: 4 };
    let refused = |noise: Noise, targets: usize| {
        let items: Option<View<u32>> = Some((&[0, 1]).into());
        label_noise(&cx, &noise, None, items, (&mut vec![0.0; targets]).into()).unwrap_err().to_string()
    };
    assert!(refused(Noise { width: 0, ..right }, 4).contains("the number of targets of a sample is 0, expected at least 1"));
    assert!(refused(right, 3).contains("`targets` has 3 elements, expected 4 (items x targets of a sample)"));
    for deviation in [f64::NAN, f64::INFINITY] {
        assert!(refused(Noise { deviation, ..right }, 4).contains("expected a finite number"), "{deviation}");
    }
    let odd = label_noise(&cx, &right, None, None, (&mut [0.0; 3]).into()).unwrap_err().to_string();
    assert!(odd.contains("`targets` has 3 elements, expected 2"), "{odd}");
}

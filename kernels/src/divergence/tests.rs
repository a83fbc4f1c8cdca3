use super::*;
use crate::testing::{contexts, on, on_mut, variant};

fn noted<T: Real>(cx: &Context, x: &[T], iteration: u32, first: u32) -> u32 {
    let mut first = [first];
    divergence_note(cx, on(cx, x).view(), on(cx, &[iteration]).view(), on_mut(cx, &mut first).view_mut()).unwrap();
    first[0]
}

fn wherever_it_is<T: Real>() {
    for cx in contexts() {
        for len in [1, 2, 33, 256, 257, 1000] {
            let finite = vec![T::from_f64(-1.5); len];
            assert_eq!(noted(&cx, &finite, 3, NOT_DIVERGED), NOT_DIVERGED, "{} {len}", variant(&cx));
            for (place, wrong) in [(0, f64::NAN), (len / 2, f64::INFINITY), (len - 1, f64::NEG_INFINITY)] {
                let mut x = finite.clone();
                x[place] = T::from_f64(wrong);
                assert_eq!(noted(&cx, &x, 3, NOT_DIVERGED), 3, "{} {len} {place}", variant(&cx));
                assert_eq!(noted(&cx, &x, 3, 2), 2, "{}: the first one stays", variant(&cx));
                assert_eq!(noted(&cx, &x, 0, NOT_DIVERGED), 0, "{}: the iteration may be 0", variant(&cx));
            }
        }
        assert_eq!(noted::<T>(&cx, &[], 3, NOT_DIVERGED), NOT_DIVERGED);
    }
}

#[test]
fn one_number_is_enough_wherever_it_is() {
    wherever_it_is::<f32>();
    wherever_it_is::<f64>();
}

#[test]
fn a_wrong_length_is_refused() {
    let cx = Context::cpu().unwrap();
    for (iteration, first, says) in [
        (&[0][..], &mut [0, 0][..], "`first` has 2 elements, expected 1 (one)"),
        (&[], &mut [0], "`iteration` has 0 elements, expected 1 (one)"),
    ] {
        let error = divergence_note::<f32>(&cx, (&[]).into(), iteration.into(), first.into()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

use super::*;
use crate::testing::{Cases, contexts, on, on_mut};

#[test]
fn forward_and_backward_by_hand() {
    for cx in contexts() {
        let shape = AvgPoolShape { n: 2, pixels: 2, c: 3 };
        let (x, mut y, mut dx) = ((1..=12).map(f64::from).collect::<Vec<_>>(), [f64::NAN; 6], [f64::NAN; 12]);
        avgpool_forward(&cx, &shape, on(&cx, &x).view(), on_mut(&cx, &mut y).view_mut()).unwrap();
        assert_eq!(y, [2.5, 3.5, 4.5, 8.5, 9.5, 10.5]);
        avgpool_backward(&cx, &shape, on(&cx, &y).view(), on_mut(&cx, &mut dx).view_mut()).unwrap();
        assert_eq!(dx, [1.25, 1.75, 2.25, 1.25, 1.75, 2.25, 4.25, 4.75, 5.25, 4.25, 4.75, 5.25]);
    }
}

/// The backward pass is the adjoint of the linear forward pass: ⟨dy, y⟩ = ⟨dx, x⟩.
#[test]
fn backward_is_the_adjoint() {
    let mut cases = Cases::new(7);
    for [n, pixels, c] in [[1, 1, 1], [3, 5, 7], [2, 16, 33]] {
        let shape = AvgPoolShape { n, pixels, c };
        let (x, dy): (Vec<f64>, Vec<f64>) = (cases.reals(n * pixels * c), cases.reals(n * c));
        for cx in contexts() {
            let (mut y, mut dx) = (vec![f64::NAN; dy.len()], vec![f64::NAN; x.len()]);
            avgpool_forward(&cx, &shape, on(&cx, &x).view(), on_mut(&cx, &mut y).view_mut()).unwrap();
            avgpool_backward(&cx, &shape, on(&cx, &dy).view(), on_mut(&cx, &mut dx).view_mut()).unwrap();
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let (there, back) = (dot(&dy, &y), dot(&dx, &x));
            assert!((there - back).abs() <= 1e-14 * (1.0 + there.abs()), "{there}, not {back}");
        }
    }
}

#[test]
fn wrong_sizes_are_refused() {
    let cx = Context::cpu().unwrap();
    let refused =
        |shape: AvgPoolShape| avgpool_forward(&cx, &shape, (&[0.0; 6]).into(), (&mut [0.0; 3]).into()).unwrap_err().to_string();
    assert!(refused(AvgPoolShape { n: 1, pixels: 0, c: 3 }).contains("pixels is 0, expected at least 1"));
    assert!(refused(AvgPoolShape { n: 1, pixels: 3, c: 3 }).contains("`x` has 6 elements, expected 9"));
    assert!(refused(AvgPoolShape { n: 2, pixels: 1, c: 3 }).contains("`y` has 3 elements, expected 6"));
}

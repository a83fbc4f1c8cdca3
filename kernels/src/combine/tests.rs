use super::*;
use crate::testing::{Cases, assert_close, contexts, on, on_mut, variant};

#[test]
fn values_by_hand() {
    for cx in contexts() {
        let [a, b] = [[1.0, -2.0, 0.5, 8.0], [3.0, 0.25, -1.0, -2.0]];
        let (a, b) = (on(&cx, &a), on(&cx, &b));
        let mut out = [f64::NAN; 4];
        combine(&cx, [(2.0, a.view())], on_mut(&cx, &mut out).view_mut(), Acc::Set).unwrap();
        assert_eq!(out, [2.0, -4.0, 1.0, 16.0]);
        combine(&cx, [(0.5, a.view()), (4.0, b.view())], on_mut(&cx, &mut out).view_mut(), Acc::Add).unwrap();
        assert_eq!(out, [14.5, -4.0, -2.75, 12.0]);
        scale_add(&cx, 2.0, (-1.0, b.view()), on_mut(&cx, &mut out).view_mut()).unwrap();
        assert_eq!(out, [26.0, -8.25, -4.5, 26.0]);
        let c = on(&cx, &[-0.5]);
        out = [f64::NAN; 4];
        scale_by(&cx, c.view(), a.view(), on_mut(&cx, &mut out).view_mut(), Acc::Set).unwrap();
        assert_eq!(out, [-0.5, 1.0, -0.25, -4.0]);
        scale_by(&cx, c.view(), b.view(), on_mut(&cx, &mut out).view_mut(), Acc::Add).unwrap();
        assert_eq!(out, [-2.0, 0.875, 0.25, -3.0]);
    }
}

fn against_the_oracle<T: Real>(tolerance: f64) {
    for len in [0, 1, 2, 7, 8, 9, 17, 33, 100, 1025] {
        let mut cases = Cases::new(len as u64);
        let x: [Vec<T>; 4] = [0; 4].map(|_| cases.reals(len));
        let start: Vec<T> = cases.reals(len);
        let c: [T; 4] = [0; 4].map(|_| cases.real());
        let wide = |values: &[T]| values.iter().map(|value| value.to_f64()).collect::<Vec<f64>>();
        let wide_x = x.each_ref().map(|x| wide(x));
        let term = |k: usize| (c[k].to_f64(), &wide_x[k][..]);
        let mut want = [0; 7].map(|_| vec![f64::NAN; len]);
        scalar::combine([term(0)], &mut want[0], Acc::Set);
        scalar::combine([term(0), term(1)], &mut want[1], Acc::Set);
        scalar::combine([term(0), term(1), term(2)], &mut want[2], Acc::Set);
        want[3] = wide(&start);
        scalar::combine([0, 1, 2, 3].map(term), &mut want[3], Acc::Add);
        want[4] = wide(&start);
        scalar::scale_add(c[1].to_f64(), term(2), &mut want[4]);
        scalar::combine([term(3)], &mut want[5], Acc::Set);
        want[6] = wide(&start);
        scalar::combine([term(3)], &mut want[6], Acc::Add);
        for cx in contexts() {
            let on_device = x.each_ref().map(|x| on(&cx, x));
            let term = |k: usize| (c[k], on_device[k].view());
            let mut got = [0; 7].map(|_| vec![T::NAN; len]);
            combine(&cx, [term(0)], on_mut(&cx, &mut got[0]).view_mut(), Acc::Set).unwrap();
            combine(&cx, [term(0), term(1)], on_mut(&cx, &mut got[1]).view_mut(), Acc::Set).unwrap();
            combine(&cx, [term(0), term(1), term(2)], on_mut(&cx, &mut got[2]).view_mut(), Acc::Set).unwrap();
            got[3] = start.clone();
            combine(&cx, [0, 1, 2, 3].map(term), on_mut(&cx, &mut got[3]).view_mut(), Acc::Add).unwrap();
            got[4] = start.clone();
            scale_add(&cx, c[1], term(2), on_mut(&cx, &mut got[4]).view_mut()).unwrap();
            got[6] = start.clone();
            for (out, acc) in [(5, Acc::Set), (6, Acc::Add)] {
                let (c, out) = (on(&cx, &c[3..]), &mut got[out]);
                scale_by(&cx, c.view(), on_device[3].view(), on_mut(&cx, out).view_mut(), acc).unwrap();
            }
            for (k, (got, want)) in got.iter().zip(&want).enumerate() {
                assert_close(&format!("result {k} {} {} {len}", variant(&cx), T::DTYPE.name()), got, want, tolerance);
            }
        }
    }
}

#[test]
fn every_variant_matches_the_oracle() {
    against_the_oracle::<f32>(5e-7);
    against_the_oracle::<f64>(1e-15);
}

#[test]
fn wrong_lengths_are_refused() {
    let cx = Context::cpu().unwrap();
    let (two, three, mut out) = ([1.0f32; 2], [1.0f32; 3], [0.0f32; 2]);
    let terms = [(1.0, (&two).into()), (1.0, (&three).into())];
    let error = combine(&cx, terms, (&mut out).into(), Acc::Set).unwrap_err().to_string();
    assert!(error.contains("`x` has 3 elements, expected 2 (as many as out)"), "{error}");
    let error = scale_by(&cx, (&two).into(), (&two).into(), (&mut out).into(), Acc::Set).unwrap_err().to_string();
    assert!(error.contains("`c` has 2 elements, expected 1 (one number)"), "{error}");
    let error = scale_add(&cx, 1.0, (1.0, (&three).into()), (&mut out).into()).unwrap_err().to_string();
    assert!(error.contains("`x` has 3 elements, expected 2 (as many as out)"), "{error}");
}

use super::*;
use crate::Device;
use crate::testing::{Cases, contexts, on, on_mut, variant};

fn rows_arrive<T: Element + PartialEq + std::fmt::Debug>(from: impl Fn(usize) -> T, never: T) {
    for (n, width, stride, count) in [(1, 1, 1, 1), (5, 3, 4, 7), (9, 17, 17, 33), (300, 1, 2, 600), (4, 70, 80, 0)] {
        let shape = GatherShape { n, width, stride };
        let x: Vec<T> = (0..n * stride).map(&from).collect();
        let indices = Cases::new(n as u64).indices(count, n);
        let want: Vec<T> = indices.iter().flat_map(|&i| x[i as usize * stride..][..width].to_vec()).collect();
        for cx in contexts() {
            let mut got = vec![never; count * width];
            gather(&cx, &shape, on(&cx, &x).view(), on(&cx, &indices).view(), on_mut(&cx, &mut got).view_mut()).unwrap();
            assert_eq!(got, want, "{} {n} x {width}", variant(&cx));
        }
    }
}

#[test]
fn every_element_type_arrives_in_order() {
    rows_arrive(|i| i as f64 - 3.5, f64::NAN);
    rows_arrive(|i| i as f32 - 3.5, f32::NAN);
    rows_arrive(|i| i as u32 + 1, u32::MAX);
    rows_arrive(|i| i as u8, 255);
}

#[test]
fn a_row_that_is_not_there_is_refused_or_nan() {
    let shape = GatherShape { n: 4, width: 2, stride: 2 };
    for cx in contexts() {
        let (x, indices, mut out) = ([1.0f32; 8], [3, 4], [0.0; 4]);
        let done = gather(&cx, &shape, on(&cx, &x).view(), on(&cx, &indices).view(), on_mut(&cx, &mut out).view_mut());
        if cx.device() == Device::Cpu {
            let error = done.unwrap_err().to_string();
            assert!(error.contains("`indices[1]` is 4, but indices must be below 4"), "{error}");
        } else {
            done.unwrap();
            assert!(out[..2] == [1.0, 1.0] && out[2..].iter().all(|value| value.is_nan()), "{out:?}");
        }
    }
}

#[test]
fn wrong_sizes_are_refused() {
    let cx = Context::cpu().unwrap();
    let attempt = |(n, width, stride): (usize, usize, usize), x: usize, out: usize| {
        let shape = GatherShape { n, width, stride };
        gather(&cx, &shape, (&vec![0.0f32; x]).into(), (&[0u32, 0]).into(), (&mut vec![0.0; out]).into()).unwrap_err().to_string()
    };
    assert!(attempt((0, 2, 2), 0, 4).contains("the number of rows is 0, expected at least 1"));
    assert!(attempt((3, 0, 2), 6, 0).contains("the width of a row is 0"));
    assert!(attempt((3, 2, 1), 3, 4).contains("stride is 1, expected at least the width, 2"));
    assert!(attempt((3, 2, 2), 5, 4).contains("`x` has 5 elements, expected 6 (n * stride)"));
    assert!(attempt((3, 2, 2), 6, 3).contains("`out` has 3 elements, expected 4 (indices * width)"));
}

use super::*;
use crate::testing::{Cases, assert_close, contexts, on, on_mut, variant};
use crate::{Device, Isa};

/// v, dw and their tangents.
type Vectors<T> = [Vec<T>; 4];

/// w, ẇ, dv, dv̇, then dg and dġ; accumulated results on top of `start`.
fn results<T: Real>(cx: &Context, [v, dw, v_tangent, dw_tangent]: &Vectors<T>, [g, g_tangent]: [T; 2]) -> [Vec<T>; 5] {
    let (mut out, mut dg, length) = ([0; 4].map(|_| vec![T::NAN; v.len()]), [T::NAN], [g]);
    let length = on(cx, &length);
    let length = Length::Element(length.view());
    let [v, dw, v_tangent, dw_tangent] = [v, dw, v_tangent, dw_tangent].map(|values| on(cx, values));
    let [w, w_tangent, dv, dv_tangent] = &mut out;
    weightnorm_forward(cx, v.view(), length, on_mut(cx, w).view_mut()).unwrap();
    weightnorm_forward_tangent(cx, v.view(), g, v_tangent.view(), g_tangent, on_mut(cx, w_tangent).view_mut()).unwrap();
    {
        let (mut dv, mut dg) = (on_mut(cx, dv), on_mut(cx, &mut dg));
        weightnorm_backward(cx, v.view(), length, dw.view(), dv.view_mut(), Some(dg.view_mut()), Acc::Set).unwrap();
    }
    let along = Tangent { v: v_tangent.view(), g: g_tangent, dw: dw_tangent.view() };
    weightnorm_backward_direction_tangent(cx, v.view(), g, dw.view(), along, on_mut(cx, dv_tangent).view_mut(), Acc::Set)
        .unwrap();
    let gain_tangent = weightnorm_backward_gain_tangent(cx, v.view(), dw.view(), v_tangent.view(), dw_tangent.view()).unwrap();
    let gains = vec![dg[0], gain_tangent];
    let [w, w_tangent, dv, dv_tangent] = out;
    [w, w_tangent, dv, dv_tangent, gains]
}

/// Automatic differentiation of g v/‖v‖ and of its gradient, PyTorch 2.15 in f64.
#[test]
fn values_of_pytorch() {
    let vectors =
        [vec![0.5, -1.25, 2.0, 0.75], vec![0.3, -0.7, 1.1, 0.2], vec![0.1, 0.4, -0.3, 0.6], vec![-0.5, 0.2, 0.45, 0.15]];
    let want = [
        vec![0.33665016461206926, -0.8416254115301732, 1.346600658448277, 0.5049752469181039],
        vec![0.029704426289300246, 0.3633841482724395, -0.352492525299696, 0.34754178758481274],
        vec![0.023763541031440155, -0.025743836117393448, 0.027724131203346825, -0.13267977075887435],
        vec![-0.41127234296864074, 0.08575842601640328, 0.26153873688132107, -0.1525293167969009],
        vec![1.3366991830185104, 0.14660008033366415],
    ];
    for cx in contexts() {
        for (got, want) in results(&cx, &vectors, [1.7, -0.35]).iter().zip(&want) {
            assert_close(&variant(&cx), got, want, 1e-15);
        }
    }
}

fn cases<T: Real>(len: usize) -> Vectors<T> {
    let mut cases = Cases::new(len as u64);
    [0; 4].map(|_| cases.reals(len))
}

fn against_the_oracle<T: Real>(tolerance: f64) {
    let oracle = Context::cpu_with(Isa::Scalar).unwrap();
    for len in [1, 2, 3, 7, 8, 9, 17, 33, 100, 201, 700] {
        let vectors = cases::<T>(len);
        let wide = vectors.clone().map(|values| values.iter().map(|value| value.to_f64()).collect());
        let want = results(&oracle, &wide, [1.5, -0.25]);
        // Against the size of the terms, which can cancel.
        let size = 1.0 / crate::norm::norm(&oracle, (&wide[0]).into()).unwrap();
        let tolerance = tolerance * len as f64 * (1.0 + size * size * size);
        for cx in contexts() {
            let got = results(&cx, &vectors, [T::from_f64(1.5), T::from_f64(-0.25)]);
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                assert_close(&format!("result {i} {} {} {len}", variant(&cx), T::DTYPE.name()), got, want, tolerance);
            }
            let [v, dw, v_tangent, dw_tangent] = vectors.each_ref().map(|values| on(&cx, values));
            let (g, g_tangent) = (T::from_f64(1.5), T::from_f64(-0.25));
            let (mut dv, mut dv_tangent, mut dg) = (vec![T::ONE; len], vec![T::ONE; len], vec![T::ONE]);
            {
                let (mut dv, mut dg, g) = (on_mut(&cx, &mut dv), on_mut(&cx, &mut dg), Length::Number(g));
                weightnorm_backward(&cx, v.view(), g, dw.view(), dv.view_mut(), Some(dg.view_mut()), Acc::Add).unwrap();
            }
            let along = Tangent { v: v_tangent.view(), g: g_tangent, dw: dw_tangent.view() };
            weightnorm_backward_direction_tangent(
                &cx,
                v.view(),
                g,
                dw.view(),
                along,
                on_mut(&cx, &mut dv_tangent).view_mut(),
                Acc::Add,
            )
            .unwrap();
            for (got, want) in [(&dv, &want[2][..]), (&dv_tangent, &want[3]), (&dg, &want[4][..1])] {
                let want: Vec<f64> = want.iter().map(|want| want + 1.0).collect();
                assert_close(&format!("added {} {} {len}", variant(&cx), T::DTYPE.name()), got, &want, tolerance);
            }
        }
    }
}

#[test]
fn every_variant_matches_the_oracle() {
    against_the_oracle::<f32>(1e-6);
    against_the_oracle::<f64>(2e-15);
}

#[test]
fn derivatives_are_those_of_central_differences() {
    for cx in contexts() {
        let vectors = cases::<f64>(11);
        let [v, dw, v_tangent, dw_tangent] = &vectors;
        let moved = |by: f64, along: &[f64], from: &[f64]| -> Vec<f64> {
            from.iter().zip(along).map(|(from, along)| from + by * along).collect()
        };
        let slope = |up: &[f64], down: &[f64]| -> Vec<f64> { up.iter().zip(down).map(|(up, down)| (up - down) / 2e-5).collect() };
        let loss = |v: &[f64], g: f64| {
            let mut w = vec![f64::NAN; 11];
            weightnorm_forward(&cx, on(&cx, v).view(), Length::Number(g), on_mut(&cx, &mut w).view_mut()).unwrap();
            w.iter().zip(dw).map(|(w, dw)| w * dw).sum::<f64>()
        };
        let [_, w_tangent, dv, dv_tangent, gains] = results(&cx, &vectors, [1.5, -0.25]);
        let unit = |i: usize| -> Vec<f64> { (0..11).map(|k| if k == i { 1.0 } else { 0.0 }).collect() };
        let numeric: Vec<f64> =
            (0..11).map(|i| (loss(&moved(1e-5, &unit(i), v), 1.5) - loss(&moved(-1e-5, &unit(i), v), 1.5)) / 2e-5).collect();
        assert_close("dv", &dv, &numeric, 1e-9);
        assert_close("dg", &gains[..1], &[(loss(v, 1.6) - loss(v, 1.4)) / 0.2], 1e-9);
        let at = |by: f64| {
            let vectors = [moved(by, v_tangent, v), moved(by, dw_tangent, dw), v_tangent.clone(), dw_tangent.clone()];
            results(&cx, &vectors, [1.5 - 0.25 * by, 0.0])
        };
        let (up, down) = (at(1e-5), at(-1e-5));
        assert_close("ẇ", &w_tangent, &slope(&up[0], &down[0]), 1e-9);
        assert_close("dv̇", &dv_tangent, &slope(&up[2], &down[2]), 1e-9);
        assert_close("dġ", &gains[1..], &slope(&up[4][..1], &down[4][..1]), 1e-9);
    }
}

/// Whether g is a number of the host or in memory, and whether dg is asked for, changes no bit.
#[test]
fn lengths_in_memory_are_those_of_the_host() {
    let vectors = cases::<f32>(300);
    let [v, dw, ..] = &vectors;
    for cx in contexts() {
        let [w, _, dv, ..] = results(&cx, &vectors, [1.5, 0.0]);
        let (v, dw, g, [mut other_w, mut other_dv]) =
            (on(&cx, v), on(&cx, dw), Length::Number(1.5), [(); 2].map(|()| vec![f32::NAN; 300]));
        weightnorm_forward(&cx, v.view(), g, on_mut(&cx, &mut other_w).view_mut()).unwrap();
        weightnorm_backward(&cx, v.view(), g, dw.view(), on_mut(&cx, &mut other_dv).view_mut(), None, Acc::Set).unwrap();
        assert!(w == other_w && dv == other_dv, "{}", variant(&cx));
    }
}

/// Nobody waits for a device to refuse it.
#[test]
fn a_device_gives_what_is_not_finite_where_there_is_no_direction() {
    for cx in contexts().into_iter().filter(|cx| cx.device() != Device::Cpu) {
        let (v, mut w) = ([0.0f32; 5], [1.0; 5]);
        weightnorm_forward(&cx, on(&cx, &v).view(), Length::Number(2.0), on_mut(&cx, &mut w).view_mut()).unwrap();
        assert!(w.iter().all(|w| !w.is_finite()), "{w:?}");
    }
}

#[test]
fn wrong_arguments_are_refused() {
    let cx = Context::cpu().unwrap();
    let attempt = |v: &[f32], w: usize| {
        let mut w = vec![0.0; w];
        weightnorm_forward(&cx, v.into(), Length::Number(1.0), (&mut w).into()).unwrap_err().to_string()
    };
    assert!(attempt(&[], 0).contains("the number of elements is 0"));
    assert!(attempt(&[1.0, 2.0], 3).contains("`w` has 3 elements, expected 2 (as many as v)"));
    let error = attempt(&[0.0, 0.0], 2);
    assert!(error.contains("the norm of `v` is 0, expected more than 0, for a direction; start v away from 0"), "{error}");
    let (two, three, mut out) = ([1.0f32; 2], [1.0f32; 3], [0.0f32; 2]);
    let (two, three) = ((&two).into(), (&three).into());
    let refused = |g: Length<f32>, dw: View<f32>, dg: &mut [f32]| {
        let mut dv = [0.0; 2];
        weightnorm_backward(&cx, two, g, dw, (&mut dv).into(), Some(dg.into()), Acc::Set).unwrap_err().to_string()
    };
    assert!(refused(Length::Number(1.0), three, &mut [0.0]).contains("`dw` has 3 elements, expected 2"));
    assert!(refused(Length::Element(two), two, &mut [0.0]).contains("`g` has 2 elements, expected 1 (one number)"));
    assert!(refused(Length::Number(1.0), two, &mut []).contains("`dg` has 0 elements, expected 1"));
    let error = weightnorm_backward_gain_tangent(&cx, two, two, three, two).unwrap_err();
    assert!(error.to_string().contains("`v_tangent` has 3 elements, expected 2"), "{error}");
    let error = weightnorm_forward_tangent(&cx, two, 1.0, three, 0.0, (&mut out).into()).unwrap_err();
    assert!(error.to_string().contains("`v_tangent` has 3 elements, expected 2"), "{error}");
    let along = Tangent { v: two, g: 0.0, dw: two };
    let error = weightnorm_backward_direction_tangent(&cx, two, 1.0, two, along, (&mut out[..1]).into(), Acc::Set).unwrap_err();
    assert!(error.to_string().contains("`dv_tangent` has 1 elements, expected 2"), "{error}");
}

use super::*;
use crate::testing::{Cases, assert_close, contexts, on, on_mut, variant};

/// Parameters, m and v after `gradients.len()` steps, with the parameters after each.
struct Trained<T> {
    path: Vec<Vec<T>>,
    m: Vec<T>,
    v: Vec<T>,
}

fn train<T: Real>(cx: &Context, rule: &AdamRule, lr: f64, start: &[T], gradients: &[Vec<T>]) -> Trained<T> {
    let (mut w, mut m, mut v) = (start.to_vec(), vec![T::ZERO; start.len()], vec![T::ZERO; start.len()]);
    let mut path = Vec::new();
    for (step, gradient) in (1..).zip(gradients) {
        let [mut m, mut v] = [&mut m, &mut v].map(|values| on_mut(cx, values));
        let moments = Moments { m: m.view_mut(), v: v.view_mut() };
        let corrected = rule.corrected::<T>(lr, step).unwrap();
        adam_update(cx, rule, on(cx, &corrected).view(), on(cx, gradient).view(), moments, on_mut(cx, &mut w).view_mut())
            .unwrap();
        path.push(w.clone());
    }
    Trained { path, m, v }
}

/// Three steps by torch.optim.Adam, PyTorch 2.15 in f64.
#[test]
fn steps_of_pytorch() {
    let gradients = [vec![0.3, -0.7, 1.1], vec![-0.2, 0.9, 0.4], vec![1.3, -0.1, -0.6]];
    let other = AdamRule { beta1: 0.8, beta2: 0.95, epsilon: 1e-3, weight_decay: 0.1 };
    let wanted = [
        (
            AdamRule::default(),
            0.1,
            [
                [0.4000000033333332, -1.1500000014285714, 1.900000000909091],
                [0.3855479509285968, -1.1676249046908767, 1.811590451068239],
                [0.3210032565509766, -1.175611678228467, 1.7799490276768537],
            ],
            [0.1363, 0.0143, 0.0651],
            [0.00181978009, 0.00130821049, 0.00172742121],
        ),
        (
            other,
            0.01,
            [
                [0.49002849002849, -1.2400121065375302, 1.9900076863950806],
                [0.4873558487124378, -1.2408164009221871, 1.980944365809685],
                [0.48016990546096044, -1.2400004451226037, 1.9765294718166293],
            ],
            [0.29038757281470456, -0.026256521723044223, 0.18185901029851498],
            [0.09756520302633859, 0.06182710294699592, 0.10138074533481782],
        ),
    ];
    for cx in contexts() {
        for (rule, lr, path, m, v) in &wanted {
            let got = train(&cx, rule, *lr, &[0.5, -1.25, 2.0], &gradients);
            for (got, want) in got.path.iter().zip(path) {
                assert_close(&format!("{} {rule:?}", variant(&cx)), got, want, 1e-14);
            }
            assert_close("m", &got.m, m, 1e-15);
            assert_close("v", &got.v, v, 1e-15);
        }
    }
}

fn against_the_oracle<T: Real>(tolerance: f64) {
    let oracle = Context::cpu_with(Isa::Scalar).unwrap();
    for len in [1, 3, 7, 8, 9, 16, 17, 31, 33, 100, 300] {
        let mut cases = Cases::new(len as u64);
        let start: Vec<T> = cases.reals(len);
        let gradients: Vec<Vec<T>> = (0..4).map(|_| cases.reals(len)).collect();
        let wide = |values: &Vec<T>| values.iter().map(|value| value.to_f64()).collect::<Vec<f64>>();
        let wide_gradients: Vec<Vec<f64>> = gradients.iter().map(wide).collect();
        // An ε that matters next to the root, and weight decay.
        let rule = AdamRule { epsilon: 0.01, weight_decay: 0.1, ..AdamRule::default() };
        let want = train(&oracle, &rule, 0.1, &wide(&start), &wide_gradients);
        for cx in contexts() {
            let got = train(&cx, &rule, 0.1, &start, &gradients);
            let what = format!("{} {} {len}", variant(&cx), T::DTYPE.name());
            assert_close(&what, &got.path[3], &want.path[3], tolerance);
            assert_close(&what, &got.m, &want.m, tolerance);
            assert_close(&what, &got.v, &want.v, tolerance);
        }
    }
}

#[test]
fn every_variant_matches_the_oracle() {
    against_the_oracle::<f32>(2e-6);
    against_the_oracle::<f64>(1e-14);
}

#[test]
fn late_steps_have_no_correction() {
    for cx in contexts() {
        let (mut w, mut m, mut v) = ([1.0], [0.0], [0.0]);
        let [mut m, mut v] = [&mut m, &mut v].map(|values| on_mut(&cx, values));
        let moments = Moments { m: m.view_mut(), v: v.view_mut() };
        let rule = AdamRule { epsilon: 0.0, ..AdamRule::default() };
        let corrected = rule.corrected::<f64>(0.1, u64::MAX).unwrap();
        adam_update(&cx, &rule, on(&cx, &corrected).view(), on(&cx, &[4.0]).view(), moments, on_mut(&cx, &mut w).view_mut())
            .unwrap();
        // m = 0.4 and v = 0.016.
        assert_close("late", &w, &[1.0 - 0.1 * 0.4 / 0.016f64.sqrt()], 1e-14);
    }
}

#[test]
fn wrong_arguments_are_refused_and_change_nothing() {
    let cx = Context::cpu().unwrap();
    let attempt = |rule: AdamRule, corrected: usize, [gradient, m, v, params]: [usize; 4]| {
        let [gradient, mut m, mut v, mut params] = [gradient, m, v, params].map(|len| vec![1.0f32; len]);
        let moments = Moments { m: (&mut m).into(), v: (&mut v).into() };
        let result = adam_update(&cx, &rule, (&vec![0.1; corrected]).into(), (&gradient).into(), moments, (&mut params).into());
        assert!(m.iter().chain(&v).chain(&params).all(|&value| value == 1.0));
        result.unwrap_err().to_string()
    };
    let rule = AdamRule::default();
    assert!(rule.corrected::<f32>(0.1, 0).unwrap_err().to_string().contains("step is 0, expected at least 1"));
    assert!(attempt(rule, 1, [3; 4]).contains("`corrected` has 1 elements, expected 2 (two)"));
    assert!(attempt(rule, 2, [0; 4]).contains("the number of parameters is 0"));
    assert!(attempt(rule, 2, [2, 3, 3, 3]).contains("`gradient` has 2 elements, expected 3"));
    assert!(attempt(rule, 2, [3, 4, 3, 3]).contains("`m` has 4 elements, expected 3"));
    assert!(attempt(rule, 2, [3, 3, 2, 3]).contains("`v` has 2 elements, expected 3"));
    assert!(attempt(AdamRule { beta1: 1.0, ..rule }, 2, [3; 4]).contains("beta1 is 1, expected at least 0 and below 1"));
    assert!(attempt(AdamRule { beta2: -0.5, ..rule }, 2, [3; 4]).contains("beta2 is -0.5"));
    assert!(attempt(AdamRule { epsilon: f64::NAN, ..rule }, 2, [3; 4]).contains("epsilon is NaN, expected at least 0"));
    assert!(attempt(AdamRule { weight_decay: -1.0, ..rule }, 2, [3; 4]).contains("weight_decay is -1"));
}

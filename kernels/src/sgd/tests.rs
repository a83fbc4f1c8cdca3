use super::*;
use crate::testing::{Cases, assert_close, contexts, on, on_mut, variant};

const START: [f64; 3] = [0.5, -1.25, 2.0];
const GRADIENTS: [[f64; 3]; 3] = [[0.3, -0.7, 1.1], [-0.2, 0.9, 0.4], [1.3, -0.1, -0.6]];

/// A rule, the parameters after each step and the buffer after the last.
type Steps = (SgdRule, [[f64; 3]; 3], Option<[f64; 3]>);

/// Three steps of size 0.1 by torch.optim.SGD, PyTorch 2.15 in f64.
fn from_pytorch() -> [Steps; 5] {
    let plain = SgdRule::default();
    [
        (plain, [[0.47, -1.18, 1.89], [0.49, -1.27, 1.85], [0.36, -1.26, 1.91]], None),
        (
            SgdRule { weight_decay: 0.05, ..plain },
            [[0.4675, -1.17375, 1.88], [0.4851625, -1.25788125, 1.8306], [0.3527366875, -1.24159184375, 1.881447]],
            None,
        ),
        (
            SgdRule { momentum: 0.9, ..plain },
            [[0.47, -1.18, 1.89], [0.463, -1.207, 1.751], [0.3267, -1.2213, 1.6859]],
            Some([1.363, 0.143, 0.651]),
        ),
        (
            SgdRule { momentum: 0.9, dampening: 0.3, weight_decay: 0.01, ..plain },
            [
                [0.4695, -1.17875, 1.888],
                [0.45572135, -1.176799875, 1.7578784],
                [0.35200156005499994, -1.1672210025874998, 1.68153844512],
            ],
            Some([1.03719789945, -0.095788724125, 0.7633995488]),
        ),
        (
            SgdRule { momentum: 0.8, nesterov: true, weight_decay: 0.02, ..plain },
            [[0.4442, -1.1195, 1.7948], [0.45876088, -1.2310698, 1.64337872], [0.219468764832, -1.22768498872, 1.659197212608]],
            Some([1.3546824176, 0.113466604, 0.5111843744]),
        ),
    ]
}

/// One update at step size 0.1.
fn step<T: Real>(cx: &Context, rule: &SgdRule, first: bool, gradient: &[T], buffer: &mut [T], w: &mut [T]) {
    let gradient = on(cx, gradient);
    let (mut buffer, mut w) = (on_mut(cx, buffer), on_mut(cx, w));
    let lr = [T::from_f64(0.1)];
    sgd_update(cx, rule, on(cx, &lr).view(), first, gradient.view(), buffer.view_mut(), w.view_mut()).unwrap();
}

#[test]
fn steps_of_pytorch() {
    for cx in contexts() {
        for (rule, steps, last_buffer) in from_pytorch() {
            let (mut w, mut buffer) = (START, vec![f64::NAN; rule.buffer(3)]);
            for (t, (gradient, want)) in GRADIENTS.iter().zip(&steps).enumerate() {
                step(&cx, &rule, t == 0, gradient, &mut buffer, &mut w);
                assert_close(&format!("{} {rule:?} step {t}", variant(&cx)), &w, want, 1e-15);
            }
            assert_close("buffer", &buffer, last_buffer.as_ref().map_or(&[], |buffer| &buffer[..]), 1e-15);
        }
    }
}

fn against_the_oracle<T: Real>(tolerance: f64) {
    for len in [1, 3, 7, 8, 9, 16, 17, 31, 33, 100, 300] {
        for (rule, ..) in from_pytorch() {
            let mut cases = Cases::new(len as u64);
            let start: Vec<T> = cases.reals(len);
            let gradients: Vec<Vec<T>> = (0..4).map(|_| cases.reals(len)).collect();
            let wide = |values: &[T]| values.iter().map(|value| value.to_f64()).collect::<Vec<f64>>();
            let oracle = Context::cpu_with(Isa::Scalar).unwrap();
            let (mut want, mut want_buffer) = (wide(&start), vec![f64::NAN; rule.buffer(len)]);
            for (t, gradient) in gradients.iter().enumerate() {
                step(&oracle, &rule, t == 0, &wide(gradient), &mut want_buffer, &mut want);
            }
            for cx in contexts() {
                let (mut w, mut buffer) = (start.clone(), vec![T::NAN; rule.buffer(len)]);
                for (t, gradient) in gradients.iter().enumerate() {
                    step(&cx, &rule, t == 0, gradient, &mut buffer, &mut w);
                }
                let what = format!("{} {} {len} {rule:?}", variant(&cx), T::DTYPE.name());
                assert_close(&what, &w, &want, tolerance);
                assert_close(&what, &buffer, &want_buffer, tolerance);
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
fn wrong_arguments_are_refused_and_change_nothing() {
    let cx = Context::cpu().unwrap();
    let with = |lr: usize, rule: SgdRule, [gradient, buffer, params]: [usize; 3]| {
        let (gradient, mut buffer, mut params) = (vec![1.0f32; gradient], vec![2.0; buffer], vec![3.0; params]);
        let result =
            sgd_update(&cx, &rule, (&vec![0.1; lr]).into(), true, (&gradient).into(), (&mut buffer).into(), (&mut params).into());
        assert!(buffer.iter().all(|&b| b == 2.0) && params.iter().all(|&w| w == 3.0));
        result.unwrap_err().to_string()
    };
    let attempt = |rule, lens| with(1, rule, lens);
    let plain = SgdRule::default();
    assert!(with(0, plain, [3, 0, 3]).contains("`lr` has 0 elements, expected 1 (one)"));
    let heavy = SgdRule { momentum: 0.9, ..plain };
    assert!(attempt(plain, [0, 0, 0]).contains("the number of parameters is 0"));
    assert!(attempt(plain, [2, 0, 3]).contains("`gradient` has 2 elements, expected 3"));
    assert!(attempt(plain, [3, 3, 3]).contains("`momentum_buffer` has 3 elements, expected 0"));
    assert!(attempt(heavy, [3, 0, 3]).contains("`momentum_buffer` has 0 elements, expected 3"));
    assert!(attempt(SgdRule { momentum: -0.1, ..plain }, [3, 3, 3]).contains("momentum is -0.1, expected at least 0"));
    assert!(attempt(SgdRule { weight_decay: f64::NAN, ..plain }, [3, 0, 3]).contains("weight_decay is NaN"));
    assert!(attempt(SgdRule { nesterov: true, ..plain }, [3, 0, 3]).contains("the momentum under Nesterov is 0"));
    let damped = SgdRule { nesterov: true, dampening: 0.5, ..heavy };
    assert!(attempt(damped, [3, 3, 3]).contains("the dampening under Nesterov is 0.5, expected 0"));
}

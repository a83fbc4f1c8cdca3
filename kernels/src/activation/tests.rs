use super::*;
use crate::Dtype;
use crate::testing::{Cases, assert_close, contexts, on, on_mut, variant};

const KINDS: [Activation; 4] = [Activation::Identity, Activation::Relu, Activation::Tanh, Activation::Swish];

fn forward<T: Real>(cx: &Context, kind: Activation, x: &[T]) -> Vec<T> {
    let mut y = vec![T::NAN; x.len()];
    activation_forward(cx, kind, on(cx, x).view(), on_mut(cx, &mut y).view_mut()).unwrap();
    y
}

fn backward<T: Real>(cx: &Context, kind: Activation, x: &[T], dy: &[T]) -> Vec<T> {
    let mut dx = vec![T::NAN; x.len()];
    activation_backward(cx, kind, on(cx, x).view(), on(cx, dy).view(), on_mut(cx, &mut dx).view_mut()).unwrap();
    dx
}

fn tangent<T: Real>(cx: &Context, kind: Activation, [x, x_tangent, dy, dy_tangent]: [&[T]; 4]) -> Vec<T> {
    let mut out = vec![T::NAN; x.len()];
    let [x, x_tangent, dy, dy_tangent] = [x, x_tangent, dy, dy_tangent].map(|values| on(cx, values));
    activation_backward_tangent(
        cx,
        kind,
        x.view(),
        x_tangent.view(),
        dy.view(),
        dy_tangent.view(),
        on_mut(cx, &mut out).view_mut(),
    )
    .unwrap();
    out
}

/// Of PyTorch 2.15 in f64: value, first and second derivative at -3, -1/2, 1/4 and 2.
#[test]
fn values_of_pytorch() {
    let x = [-3.0, -0.5, 0.25, 2.0];
    let want = [
        (Activation::Identity, [x, [1.0; 4], [0.0; 4]]),
        (Activation::Relu, [[0.0, 0.0, 0.25, 2.0], [0.0, 0.0, 1.0, 1.0], [0.0; 4]]),
        (
            Activation::Tanh,
            [
                [-0.9950547536867305, -0.4621171572600098, 0.24491866240370913, 0.9640275800758169],
                [0.009866037165440166, 0.7864477329659274, 0.940014848806378, 0.07065082485316443],
                [0.019634494363042387, 0.7268619813835874, -0.46045435881856595, -0.13621868742711296],
            ],
        ),
        (
            Activation::Swish,
            [
                [-0.14227761953270035, -0.1887703343990727, 0.14054412522144952, 1.7615941559557646],
                [-0.08810410601516962, 0.2600388126973482, 0.6237100215701977, 1.0907842487848955],
                [-0.032321404521006174, 0.44122902697702865, 0.48461628746851704, 0.05006216869470701],
            ],
        ),
    ];
    for cx in contexts() {
        for (kind, [value, first, second]) in want {
            let what = |of: &str| format!("{} {kind:?} {of}", variant(&cx));
            assert_close(&what("value"), &forward(&cx, kind, &x), &value, 1e-15);
            assert_close(&what("first"), &backward(&cx, kind, &x, &[1.0; 4]), &first, 1e-15);
            let bent = tangent(&cx, kind, [&x, &[1.0; 4], &[1.0; 4], &[0.0; 4]]);
            assert_close(&what("second"), &bent, &second, 1e-15);
            let bent = tangent(&cx, kind, [&x, &[2.0; 4], &[-3.0; 4], &[5.0; 4]]);
            let sum: [f64; 4] = std::array::from_fn(|i| -6.0 * second[i] + 5.0 * first[i]);
            assert_close(&what("tangent"), &bent, &sum, 1e-14);
        }
    }
}

#[test]
fn derivatives_are_those_of_central_differences() {
    let x: Vec<f64> = (0..60).map(|i| -6.1 + 0.2 * f64::from(i)).collect();
    let mut cases = Cases::new(4);
    let [x_tangent, dy, dy_tangent] = [0; 3].map(|_| cases.reals::<f64>(x.len()));
    let moved = |by: f64, along: &[f64], from: &[f64]| -> Vec<f64> {
        from.iter().zip(along).map(|(from, along)| from + by * along).collect()
    };
    let slope =
        |up: Vec<f64>, down: Vec<f64>| -> Vec<f64> { up.iter().zip(&down).map(|(up, down)| (up - down) / 2e-5).collect() };
    let ones = vec![1.0; x.len()];
    for cx in contexts() {
        for kind in KINDS {
            let at = |by: f64| forward(&cx, kind, &moved(by, &ones, &x));
            let what = format!("{} {kind:?}", variant(&cx));
            assert_close(&what, &backward(&cx, kind, &x, &ones), &slope(at(1e-5), at(-1e-5)), 1e-9);
            let at = |by: f64| backward(&cx, kind, &moved(by, &x_tangent, &x), &moved(by, &dy_tangent, &dy));
            let got = tangent(&cx, kind, [&x, &x_tangent, &dy, &dy_tangent]);
            assert_close(&what, &got, &slope(at(1e-5), at(-1e-5)), 1e-9);
        }
    }
}

/// Every scale from the smallest subnormal number to the largest finite one, both signs, densely around 0 and where e^x
/// becomes subnormal and vanishes.
fn sweep<T: Real>() -> Vec<T> {
    let (smallest, largest, edge) = match T::DTYPE {
        Dtype::F32 => (-149, 127, 88.0..112.0),
        Dtype::F64 => (-1074, 1023, 700.0..760.0),
    };
    let mut magnitudes: Vec<f64> = (0..=40_000).map(|i| f64::from(i) * 1e-3).collect();
    magnitudes.extend((0..20_000).map(|i| edge.start + (edge.end - edge.start) * f64::from(i) / 2e4));
    for exponent in smallest..=largest {
        // In two factors: 2^-1074 is not 1/2^1074.
        let power = 2f64.powi(exponent / 2) * 2f64.powi(exponent - exponent / 2);
        magnitudes.extend([1.0, 1.3, 1.77].map(|factor| factor * power));
    }
    magnitudes.into_iter().flat_map(|x| [T::from_f64(x), T::from_f64(-x)]).filter(|x| x.is_finite()).collect()
}

/// Distance between neighbours at `value` in T.
fn unit<T: Real>(value: f64) -> f64 {
    let (digits, subnormal) = match T::DTYPE {
        Dtype::F32 => (-23, -149),
        Dtype::F64 => (-52, -1074),
    };
    let exponent = value.abs().max(f64::MIN_POSITIVE).log2().floor() as i32 + digits;
    2f64.powi(exponent.max(subnormal) / 2) * 2f64.powi(exponent.max(subnormal) - exponent.max(subnormal) / 2)
}

fn smallest_normal<T: Real>() -> f64 {
    match T::DTYPE {
        Dtype::F32 => f32::MIN_POSITIVE.into(),
        Dtype::F64 => f64::MIN_POSITIVE,
    }
}

/// The largest error in units of the last digit of `scale`, with its place.
fn worst<T: Real>(x: &[T], got: &[T], want: &[f64], scale: &[f64]) -> (f64, T) {
    let mut worst = (0.0, T::ZERO);
    for i in 0..x.len() {
        let error = (got[i].to_f64() - want[i]).abs() / unit::<T>(scale[i]);
        if error.is_nan() || error > worst.0 {
            worst = (error, x[i]);
        }
    }
    worst
}

fn whole_range<T: Real>(allowed: [f64; 3]) {
    let x = sweep::<T>();
    let wide: Vec<f64> = x.iter().map(|x| x.to_f64()).collect();
    let (ones, zeros) = (vec![T::ONE; x.len()], vec![T::ZERO; x.len()]);
    let (wide_ones, wide_zeros) = (vec![1.0; x.len()], vec![0.0; x.len()]);
    let oracle = Context::cpu_with(Isa::Scalar).unwrap();
    for kind in KINDS {
        let value = forward(&oracle, kind, &wide);
        let first = backward(&oracle, kind, &wide, &wide_ones);
        let second = tangent(&oracle, kind, [&wide, &wide_ones, &wide_ones, &wide_zeros]);
        // Derivatives cross 0 as differences of terms, which set the scale of what can be expected there.
        let sigmoid = |x: f64| if x > 0.0 { 1.0 } else { x.max(-1e3).exp() };
        let terms: Vec<f64> = match kind {
            Activation::Swish => wide.iter().map(|&x| sigmoid(x) * (1.0 + x.abs() * sigmoid(-x))).collect(),
            _ => first.clone(),
        };
        // And where e^-|x| is subnormal, its missing digits are missing from the second derivative.
        let bends: Vec<f64> = match kind {
            Activation::Swish => wide.iter().map(|&x| (2.0 + x.abs()) * (-x.abs()).exp().max(smallest_normal::<T>())).collect(),
            _ => second.clone(),
        };
        for cx in contexts() {
            let got = [
                worst(&x, &forward(&cx, kind, &x), &value, &value),
                worst(&x, &backward(&cx, kind, &x, &ones), &first, &terms),
                worst(&x, &tangent(&cx, kind, [&x, &ones, &ones, &zeros]), &second, &bends),
            ];
            println!("{} {} {kind:?} {got:?}", variant(&cx), T::DTYPE.name());
            for ((error, x), allowed) in got.into_iter().zip(allowed) {
                assert!(error <= allowed, "{} {kind:?}: {error} units at {x:?}", variant(&cx));
            }
        }
    }
}

#[test]
fn every_variant_matches_the_oracle_over_the_whole_range() {
    whole_range::<f32>([4.0, 8.0, 8.0]);
    whole_range::<f64>([8.0, 8.0, 8.0]);
}

fn special<T: Real>() {
    let infinity = T::from_f64(f64::INFINITY);
    let x = [T::ZERO, -T::ZERO, infinity, -infinity, T::NAN];
    let wants = [
        (Activation::Identity, [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY], [1.0; 4]),
        (Activation::Relu, [0.0, 0.0, f64::INFINITY, 0.0], [0.0, 0.0, 1.0, 0.0]),
        (Activation::Tanh, [0.0, -0.0, 1.0, -1.0], [1.0, 1.0, 0.0, 0.0]),
        (Activation::Swish, [0.0, -0.0, f64::INFINITY, -0.0], [0.5, 0.5, 1.0, -0.0]),
    ];
    for cx in contexts() {
        for (kind, value, first) in wants {
            // At every position of a vector, and in the part of one at the end.
            for shift in 0..19 {
                let mut long = vec![T::ONE; shift];
                long.extend(x);
                let (y, dx) = (forward(&cx, kind, &long), backward(&cx, kind, &long, &vec![T::ONE; long.len()]));
                for i in 0..4 {
                    let (y, dx) = (y[shift + i].to_f64(), dx[shift + i].to_f64());
                    assert_eq!(y.to_bits(), value[i].to_bits(), "{} {kind:?} of {}: {y}", variant(&cx), x[i]);
                    assert_eq!(dx, first[i], "{} {kind:?}' of {}", variant(&cx), x[i]);
                }
                assert!(y[shift + 4].to_f64().is_nan(), "{} {kind:?} of NaN", variant(&cx));
                assert!(kind == Activation::Identity || dx[shift + 4].to_f64().is_nan(), "{} {kind:?}' of NaN", variant(&cx));
            }
        }
    }
}

#[test]
fn zeros_infinities_and_nan() {
    special::<f32>();
    special::<f64>();
}

#[test]
fn relu_that_is_off_gives_zero_whatever_comes_back() {
    for cx in contexts() {
        let dx = backward(&cx, Activation::Relu, &[-1.0, 0.0, 2.0], &[f64::INFINITY, f64::NAN, 3.0]);
        assert_eq!(dx, [0.0, 0.0, 3.0], "{}", variant(&cx));
        let dx = tangent(&cx, Activation::Relu, [&[-1.0, 2.0], &[f64::NAN, 4.0], &[1.0, 5.0], &[f64::INFINITY, 6.0]]);
        assert_eq!(dx, [0.0, 6.0], "{}", variant(&cx));
    }
}

#[test]
fn wrong_lengths_are_refused() {
    let cx = Context::cpu().unwrap();
    let (three, mut two) = ([0.0f32; 3], [0.0f32; 2]);
    let error = activation_forward(&cx, Activation::Relu, (&three).into(), (&mut two).into()).unwrap_err().to_string();
    assert!(error.contains("`y` has 2 elements, expected 3"), "{error}");
    let error = activation_forward::<f32>(&cx, Activation::Relu, (&[]).into(), (&mut []).into()).unwrap_err().to_string();
    assert!(error.contains("the number of elements is 0"), "{error}");
    let error = activation_backward(&cx, Activation::Tanh, (&three).into(), (&three).into(), (&mut two).into());
    assert!(error.unwrap_err().to_string().contains("`dx` has 2"));
    let (x, mut out) = ((&three).into(), three);
    let error = activation_backward_tangent(&cx, Activation::Tanh, x, x, x, (&two).into(), (&mut out).into());
    assert!(error.unwrap_err().to_string().contains("`dy_tangent` has 2"));
}

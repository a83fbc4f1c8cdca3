use super::*;
use crate::conv2d::tests::SHAPES;
use crate::conv2d::{Conv2dShape, conv2d_backward_data, conv2d_backward_weight, conv2d_forward};
use crate::gemm::{GemmShape, gemm_forward};
use crate::linear::{LinearShape, linear_backward_data, linear_backward_weight, linear_forward};
use crate::testing::{Cases, assert_close, contexts, on, on_mut};
use crate::{Acc, Context, Device, Isa, Real};

/// An operator that is a product of two arrays, with its sizes; of three passes which one.
#[derive(Clone, Copy, Debug)]
enum Product {
    Gemm(GemmShape),
    Linear(LinearShape, usize),
    Conv2d(Conv2dShape, usize),
}

impl Product {
    /// Numbers in both factors and in the result, and how many products a sum has.
    fn sizes(&self) -> ([usize; 3], usize) {
        let (index, lengths, terms) = match *self {
            Product::Gemm(GemmShape { m, n, k, .. }) => return ([m * k, k * n, m * n], k),
            Product::Linear(LinearShape { n, inputs, outputs }, index) => {
                (index, [n * inputs, outputs * inputs, n * outputs], [inputs, outputs, n])
            }
            Product::Conv2d(shape, index) => {
                let Conv2dShape { n, h, w, c, k, size, .. } = shape;
                let (pixels, taps) = (n * shape.out().iter().product::<usize>(), size * size);
                (index, [n * h * w * c, k * taps * c, pixels * k], [taps * c, taps * k, pixels])
            }
        };
        let [x, w, y] = lengths;
        ([[x, w, y], [w, y, x], [x, y, w]][index], terms[index])
    }

    fn compute<T: Real>(&self, cx: &Context, [a, b]: [&[T]; 2], to: &mut [T], acc: Acc) {
        let (a, b, mut to) = (on(cx, a), on(cx, b), on_mut(cx, to));
        let (a, b, to) = (a.view(), b.view(), to.view_mut());
        match self {
            Product::Gemm(shape) => gemm_forward(cx, shape, a, b, to, acc),
            Product::Linear(shape, 0) => linear_forward(cx, shape, a, b, None, to, acc),
            Product::Linear(shape, 1) => linear_backward_data(cx, shape, a, b, to, acc),
            Product::Linear(shape, _) => linear_backward_weight(cx, shape, a, b, to, acc),
            Product::Conv2d(shape, 0) => conv2d_forward(cx, shape, a, b, to, acc),
            Product::Conv2d(shape, 1) => conv2d_backward_data(cx, shape, a, b, to, acc),
            Product::Conv2d(shape, _) => conv2d_backward_weight(cx, shape, a, b, to, acc),
        }
        .unwrap();
    }

    /// What the definition gives in f64.
    fn oracle(&self, factors: [&[f64]; 2], before: &[f32], acc: Acc) -> Vec<f64> {
        let mut want = wide(before);
        self.compute(&Context::cpu_with(Isa::Scalar).unwrap(), factors, &mut want, acc);
        want
    }
}

/// Sizes below, at and beyond those of tiles and slices, every layout.
fn of_gemm() -> Vec<Product> {
    let sizes = [[1, 1, 1], [3, 5, 7], [17, 4, 33], [128, 64, 16], [70, 131, 9], [136, 68, 48], [5, 31, 0], [130, 20, 517]];
    let layouts = |[m, n, k]: [usize; 3]| {
        let plain = GemmShape::row_major(m, n, k);
        let [left, right] = [GemmShape { a: [1, m], ..plain }, GemmShape { b: [1, k], ..plain }];
        [plain, left, right, GemmShape { b: [1, k], c: [1, m], ..left }].map(Product::Gemm)
    };
    sizes.into_iter().flat_map(layouts).collect()
}

fn of_linear() -> Vec<Product> {
    let sizes = [[3, 5, 4], [33, 97, 41], [21, 300, 257], [512, 2, 3], [7, 16, 16], [64, 64, 20]];
    let passes =
        |[n, inputs, outputs]: [usize; 3]| [0, 1, 2].map(|pass| Product::Linear(LinearShape { n, inputs, outputs }, pass));
    sizes.into_iter().flat_map(passes).collect()
}

fn of_conv2d() -> Vec<Product> {
    let passes = |[n, h, w, c, k, size, stride, pad]: [usize; 8]| {
        let shape = Conv2dShape { n, h, w, c, k, size, stride, pad };
        [0, 1, 2].map(|pass| Product::Conv2d(shape, pass))
    };
    SHAPES.into_iter().flat_map(passes).collect()
}

/// The devices that there are with each precision that rounds.
fn devices() -> Vec<Context> {
    let all = [Precision::F32x3, Precision::Tf32, Precision::Bf16].into_iter().flat_map(|precision| {
        let devices = contexts().into_iter().filter(|cx| cx.device() != Device::Cpu);
        devices.map(move |cx| cx.with_precision(precision).unwrap())
    });
    all.collect()
}

/// Random numbers with all the bits that f32 has, as those of [`Cases`] have not.
fn factors(cases: &mut Cases, len: usize) -> Vec<f32> {
    cases.reals(len).into_iter().map(|value: f32| 0.7 * value).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

/// The nearest number of so many bits after the point, by definition; of f32x3 that and the nearest to the rest.
fn rounded(precision: Precision, value: f64) -> f64 {
    let unit = |bits: i32| 2_f64.powi(value.abs().log2().floor().max(-1000.0) as i32 - bits);
    match precision {
        Precision::F32 => value,
        Precision::F32x3 => {
            let high = rounded(Precision::Tf32, value);
            high + rounded(Precision::Tf32, value - high)
        }
        Precision::Tf32 => (value / unit(10)).round() * unit(10),
        Precision::Bf16 => (value / unit(7)).round_ties_even() * unit(7),
    }
}

/// Far closer to the product of the rounded factors than rounding is large: every factor is rounded as it should, every product
/// is in its sum once, and the sum is in f32.
fn are_sums_of_rounded_factors(products: Vec<Product>) {
    let (devices, mut cases) = (devices(), Cases::new(1));
    for product in products {
        let ([a, b, len], terms) = product.sizes();
        let [a, b, before] = [a, b, len].map(|len| factors(&mut cases, len));
        for cx in &devices {
            let what = format!("{} {product:?}", cx.variant());
            let [left, right] = [&a, &b].map(|all| all.iter().map(|&x| rounded(cx.precision(), x.into())).collect::<Vec<f64>>());
            for (acc, before) in [(Acc::Set, &vec![f32::NAN; len]), (Acc::Add, &before)] {
                let [mut got, mut again] = [before.clone(), before.clone()];
                product.compute(cx, [&a, &b], &mut got, acc);
                // Tensor cores cut sums off where others round them.
                assert_close(&what, &got, &product.oracle([&left, &right], before, acc), 3e-7 * (terms as f64 + 2.0));
                product.compute(cx, [&a, &b], &mut again, acc);
                assert!(got.iter().map(|x| x.to_bits()).eq(again.iter().map(|x| x.to_bits())), "{what}: other bits");
            }
        }
    }
}

#[test]
fn gemm_sums_products_of_rounded_factors() {
    are_sums_of_rounded_factors(of_gemm());
}

#[test]
fn linear_sums_products_of_rounded_factors() {
    are_sums_of_rounded_factors(of_linear());
}

#[test]
fn conv2d_sums_products_of_rounded_factors() {
    are_sums_of_rounded_factors(of_conv2d());
}

/// The table and the formula in the documentation of [`Precision`]: no farther off, and not as close as f32 is.
#[test]
fn rounding_is_what_the_documentation_says() {
    let (devices, mut cases) = (devices(), Cases::new(2));
    let root = |values: &[f64]| (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt();
    let mut faults = String::new();
    for product in [of_gemm(), of_linear(), of_conv2d()].concat() {
        let ([a, b, len], terms) = product.sizes();
        let [a, b] = [a, b].map(|len| factors(&mut cases, len));
        let [left, right] = [wide(&a), wide(&b)];
        let want = product.oracle([&left, &right], &vec![f32::NAN; len], Acc::Set);
        for cx in devices.iter().filter(|_| terms > 0) {
            let mut got = vec![f32::NAN; len];
            product.compute(cx, [&a, &b], &mut got, Acc::Set);
            let (epsilon, sums) = match cx.precision() {
                // 0.8 of it, and not 0.5.
                Precision::F32x3 => (1.6 * 2_f64.powi(-23), terms as f64 / 16.0),
                Precision::Tf32 => (2_f64.powi(-11), 0.0),
                _ => (2_f64.powi(-8), 0.0),
            };
            let unit = epsilon * root(&left) * root(&right) * (terms as f64).sqrt().hypot(sums);
            let errors: Vec<f64> = got.iter().zip(&want).map(|(&got, want)| (f64::from(got) - want) / unit).collect();
            // Few numbers may all be lucky or not, and zeros around images are no terms.
            let typical = len < 100 || (0.1..=1.0).contains(&root(&errors));
            if !(typical && errors.iter().all(|error| error.abs() <= 6.0)) {
                faults += &format!("{} {product:?}: {} of what is said\n", cx.variant(), root(&errors));
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// Three products with sums by slices, against f32's chain of fused multiply-adds: the longer, the farther the chain is off.
#[test]
fn long_sums_in_f32x3_are_closer_than_in_f32() {
    let convolution = Conv2dShape { n: 2, h: 3, w: 3, c: 512, k: 21, size: 3, stride: 1, pad: 1 };
    let linear = LinearShape { n: 19, inputs: 25, outputs: 4608 };
    let products =
        [Product::Gemm(GemmShape::row_major(20, 24, 4608)), Product::Linear(linear, 1), Product::Conv2d(convolution, 0)];
    let mut cases = Cases::new(5);
    for (product, positive) in products.into_iter().flat_map(|product| [(product, false), (product, true)]) {
        let ([a, b, len], _) = product.sizes();
        let [a, b] = [a, b].map(|len| factors(&mut cases, len));
        let [a, b] = [a, b].map(|all| all.iter().map(|&x| if positive { x.abs() } else { x }).collect::<Vec<f32>>());
        let want = product.oracle([&wide(&a), &wide(&b)], &vec![f32::NAN; len], Acc::Set);
        for cx in devices().into_iter().filter(|cx| cx.precision() == Precision::F32x3) {
            // The root mean square and the largest.
            let errors = |cx: &Context| {
                let mut got = vec![f32::NAN; len];
                product.compute(cx, [&a, &b], &mut got, Acc::Set);
                let errors: Vec<f64> = got.iter().zip(&want).map(|(&got, want)| (f64::from(got) - want).abs()).collect();
                assert!(errors.iter().all(|error| error.is_finite()));
                let square = errors.iter().map(|error| error * error).sum::<f64>() / len as f64;
                [square.sqrt(), errors.into_iter().fold(0.0, f64::max)]
            };
            let [got, of_f32] = [errors(&cx), errors(&cx.with_precision(Precision::F32).unwrap())];
            println!("{product:?}, positive {positive}: {got:?}, in f32 {of_f32:?}");
            assert!(got.iter().zip(of_f32).all(|(got, of_f32)| *got <= 0.7 * of_f32), "{got:?}, in f32 {of_f32:?}");
        }
    }
}

/// What the documentation of [`Precision::F32x3`] says of infinite, large and small factors.
#[test]
fn f32x3_has_the_infinities_of_f32() {
    // Next to the first number that counts as infinite, and to the smallest normal one.
    let (large, small) = (f32::from_bits(0x7f7f_efff), f32::from_bits(0x0080_0123));
    let values =
        [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, large, -large, 1.1, -3.0, 0.0, -0.0, small, 1e-39, -1e-30];
    let count = values.len();
    // The value, and ones, which are in two slices.
    for terms in [1, 18] {
        let shape = Conv2dShape { n: count, h: 1, w: 1, c: terms, k: count, size: 1, stride: 1, pad: 0 };
        let factor: Vec<f32> = values.iter().flat_map(|&value| (1..terms).map(|_| 1.0).chain([value])).collect();
        let counted = |value: f32| if value.abs() > large { value * f32::INFINITY } else { value };
        for cx in devices().into_iter().filter(|cx| cx.precision() == Precision::F32x3) {
            let mut got = vec![f32::NAN; count * count];
            Product::Conv2d(shape, 0).compute(&cx, [&factor, &factor], &mut got, Acc::Set);
            for (i, &got) in got.iter().enumerate() {
                let [a, b] = [values[i / count], values[i % count]];
                let in_f32 = counted(a) * counted(b) + (terms - 1) as f32;
                let what = format!("{a:e} times {b:e} and {} ones: {got:e}, in f32 {in_f32:e}", terms - 1);
                if in_f32.is_finite() {
                    let [a, b, ones] = [a.into(), b.into(), (terms - 1) as f64];
                    let tolerance = 2_f64.powi(-21) * (a * b + ones).abs() + 2_f64.powi(-137) * (a.abs() + b.abs());
                    assert!((f64::from(got) - (a * b + ones)).abs() <= tolerance + f64::from(f32::from_bits(1)), "{what}");
                } else {
                    assert!(got == in_f32 || got.is_nan() && in_f32.is_nan(), "{what}");
                }
            }
        }
    }
}

/// Numbers that bf16 has, in sums that f32 has.
#[test]
fn small_integers_are_multiplied_exactly() {
    let (devices, mut cases) = (devices(), Cases::new(3));
    for product in [of_gemm(), of_linear(), of_conv2d()].concat() {
        let ([a, b, len], _) = product.sizes();
        let mut integers = |len| cases.indices(len, 17).iter().map(|&index| index as f32 - 8.0).collect::<Vec<f32>>();
        let [a, b] = [integers(a), integers(b)];
        let want = product.oracle([&wide(&a), &wide(&b)], &vec![f32::NAN; len], Acc::Set);
        for cx in &devices {
            let mut got = vec![f32::NAN; len];
            product.compute(cx, [&a, &b], &mut got, Acc::Set);
            assert!(wide(&got) == want, "{} {product:?}", cx.variant());
        }
    }
}

#[test]
fn products_of_f64_are_in_f64() {
    let mut cases = Cases::new(4);
    let product = Product::Gemm(GemmShape::row_major(9, 21, 40));
    let [a, b]: [Vec<f64>; 2] = [cases.reals(9 * 40), cases.reals(40 * 21)];
    let [mut want, mut got] = [vec![f64::NAN; 9 * 21], vec![f64::NAN; 9 * 21]];
    for cx in devices() {
        product.compute(&cx, [&a, &b], &mut got, Acc::Set);
        product.compute(&cx.with_precision(Precision::F32).unwrap(), [&a, &b], &mut want, Acc::Set);
        assert_eq!(got, want);
    }
}

#[test]
fn a_precision_is_named_and_refused_on_the_cpu() {
    for cx in devices() {
        assert_eq!(cx.variant(), format!("cuda-{}", cx.precision().name()));
        assert_eq!((cx.host().precision(), cx.with_precision(Precision::F32).unwrap().variant()), (Precision::F32, "cuda"));
    }
    let refused = |precision| Context::cpu().unwrap().with_precision(precision).unwrap_err().to_string();
    let line = "precision bf16 was asked for on the CPU, expected f32; leave it out, or compute on a CUDA device";
    assert_eq!(refused(Precision::Bf16), line);
    assert!(refused(Precision::Tf32).contains("precision tf32") && refused(Precision::F32x3).contains("precision f32x3"));
    assert!(Context::cpu().unwrap().with_precision(Precision::F32).is_ok());
}

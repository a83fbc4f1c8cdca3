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
    let all = [Precision::Tf32, Precision::Bf16].into_iter().flat_map(|precision| {
        let devices = contexts().into_iter().filter(|cx| cx.device() != Device::Cpu);
        devices.map(move |cx| cx.with_precision(precision).unwrap())
    });
    all.collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

/// The nearest number of so many bits after the point, by definition.
fn rounded(precision: Precision, value: f32) -> f64 {
    let value = f64::from(value);
    let unit = |bits: i32| 2_f64.powi(value.abs().log2().floor() as i32 - bits);
    match precision {
        Precision::F32 => value,
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
        let [a, b, before]: [Vec<f32>; 3] = [cases.reals(a), cases.reals(b), cases.reals(len)];
        for cx in &devices {
            let what = format!("{} {product:?}", cx.variant());
            let [left, right] = [&a, &b].map(|all| all.iter().map(|&x| rounded(cx.precision(), x)).collect::<Vec<f64>>());
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
        let [a, b]: [Vec<f32>; 2] = [cases.reals(a), cases.reals(b)];
        let [left, right] = [wide(&a), wide(&b)];
        let want = product.oracle([&left, &right], &vec![f32::NAN; len], Acc::Set);
        for cx in devices.iter().filter(|_| terms > 0) {
            let mut got = vec![f32::NAN; len];
            product.compute(cx, [&a, &b], &mut got, Acc::Set);
            let epsilon = if cx.precision() == Precision::Tf32 { 2_f64.powi(-11) } else { 2_f64.powi(-8) };
            let unit = epsilon * root(&left) * root(&right) * (terms as f64).sqrt();
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
    assert!(refused(Precision::Tf32).contains("precision tf32"));
    assert!(Context::cpu().unwrap().with_precision(Precision::F32).is_ok());
}

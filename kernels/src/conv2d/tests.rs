use super::*;
use crate::Device;
use crate::testing::{Cases, assert_close, contexts, on, on_mut, variant};

/// Windows of 1 to 5, strides that leave a remainder, all paddings, single images, groups of several images and a last one that
/// is smaller; channels in whole vectors and not, and more of them than a tile of a device has.
pub(crate) const SHAPES: [[usize; 8]; 15] = [
    [1, 1, 1, 1, 1, 1, 1, 0],
    [1, 5, 7, 3, 2, 3, 1, 1],
    [3, 8, 8, 4, 5, 3, 2, 1],
    [2, 7, 6, 2, 3, 3, 2, 0],
    [3, 6, 9, 5, 4, 1, 2, 0],
    [5, 4, 4, 17, 9, 1, 1, 0],
    [2, 5, 5, 3, 2, 2, 1, 1],
    [1, 9, 4, 2, 3, 3, 3, 2],
    [2, 11, 5, 1, 2, 5, 2, 2],
    [67, 4, 4, 3, 2, 3, 1, 1],
    [3, 17, 17, 2, 33, 3, 1, 1],
    [301, 1, 1, 2, 3, 3, 2, 1],
    [5, 9, 8, 8, 24, 3, 2, 1],
    [2, 9, 9, 20, 12, 3, 1, 1],
    [1, 4, 5, 68, 70, 3, 2, 1],
];

/// Shapes in which the CPU's ways to compute differ: several groups of channels, tiles that reach beyond the image, all paddings,
/// weights of over four megabytes.
const OF_CPU: [[usize; 8]; 6] = [
    [2, 9, 10, 70, 131, 3, 1, 1],
    [1, 6, 3, 65, 20, 3, 1, 2],
    [40, 5, 4, 20, 66, 3, 1, 0],
    [1, 1, 2, 3, 3, 3, 1, 1],
    [2, 6, 5, 150, 70, 3, 2, 1],
    [3, 2, 3, 1200, 100, 3, 1, 1],
];

/// Every variant with every way of computing, and how much more rounding than the direct sums' it may bring: an image's numbers
/// are multiplied by up to 5 and 100 before they are summed.
fn ways() -> Vec<(Context, f64)> {
    let ways = [(Convolution::Direct, 1.0), (Convolution::Winograd2, 8.0), (Convolution::Winograd4, 60.0)];
    let of = |cx: Context| match cx.isa() {
        _ if cx.device() != Device::Cpu => vec![(cx, 1.0)],
        Isa::Scalar => vec![(cx, 1.0)],
        isa => ways.map(|(way, more)| (Context::cpu_with(isa).unwrap().with_convolution(way), more)).into(),
    };
    contexts().into_iter().flat_map(of).collect()
}

fn name(cx: &Context) -> String {
    format!("{} {:?}", variant(cx), cx.convolution())
}

fn shape([n, h, w, c, k, size, stride, pad]: [usize; 8]) -> Conv2dShape {
    Conv2dShape { n, h, w, c, k, size, stride, pad }
}

/// The result of one pass at x, w and dy, with its name.
fn pass<T: Real>(cx: &Context, shape: &Conv2dShape, index: usize, [x, w, dy]: [&[T]; 3], out: &mut [T], acc: Acc) -> Result<()> {
    let (x, w, dy, mut out) = (on(cx, x), on(cx, w), on(cx, dy), on_mut(cx, out));
    match index {
        0 => conv2d_forward(cx, shape, x.view(), w.view(), out.view_mut(), acc),
        1 => conv2d_backward_data(cx, shape, w.view(), dy.view(), out.view_mut(), acc),
        _ => conv2d_backward_weight(cx, shape, x.view(), dy.view(), out.view_mut(), acc),
    }
}

const PASSES: [&str; 3] = ["forward", "backward_data", "backward_weight"];

fn against_the_oracle<T: Real>(tolerance: f64) {
    let oracle = Context::cpu_with(Isa::Scalar).unwrap();
    let mut cases = Cases::new(1);
    for sizes in SHAPES.into_iter().chain(OF_CPU) {
        let shape = shape(sizes);
        let [x, w, y] = shape.lengths("test").unwrap();
        let (x, w, dy): (Vec<T>, Vec<T>, Vec<T>) = (cases.reals(x), cases.reals(w), cases.reals(y));
        let wide = |values: &[T]| values.iter().map(|value| value.to_f64()).collect::<Vec<f64>>();
        let (wide_x, wide_w, wide_dy) = (wide(&x), wide(&w), wide(&dy));
        for (index, name) in PASSES.iter().enumerate() {
            let terms = [shape.window(), shape.size * shape.size * shape.k, shape.n * shape.windows()][index];
            let len = [dy.len(), x.len(), w.len()][index];
            let before: Vec<T> = cases.reals(len);
            let (mut set, mut added) = (vec![f64::NAN; len], wide(&before));
            pass(&oracle, &shape, index, [&wide_x, &wide_w, &wide_dy], &mut set, Acc::Set).unwrap();
            pass(&oracle, &shape, index, [&wide_x, &wide_w, &wide_dy], &mut added, Acc::Add).unwrap();
            for (cx, more) in ways().into_iter().filter(|(cx, _)| cx.device() == Device::Cpu || !OF_CPU.contains(&sizes)) {
                let what = format!("conv2d {name} {} {shape:?}", self::name(&cx));
                for (acc, want) in [(Acc::Set, &set), (Acc::Add, &added)] {
                    let mut got = if acc == Acc::Set { vec![T::NAN; len] } else { before.clone() };
                    pass(&cx, &shape, index, [&x, &w, &dy], &mut got, acc).unwrap();
                    assert_close(&what, &got, want, more * tolerance * (terms as f64 + 2.0));
                }
            }
        }
    }
}

#[test]
fn every_variant_matches_the_oracle() {
    against_the_oracle::<f32>(1e-7);
    against_the_oracle::<f64>(2e-16);
}

/// The table in the documentation of [`Convolution`].
#[test]
fn rounding_is_what_the_documentation_says() {
    let (shape, mut cases) = (shape([2, 16, 16, 64, 64, 3, 1, 1]), Cases::new(6));
    let (x, w, dy): (Vec<f32>, Vec<f32>, Vec<f32>) =
        (cases.reals(2 * 256 * 64), cases.reals(64 * 9 * 64), cases.reals(2 * 256 * 64));
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
    let (wide_x, wide_w, wide_dy) = (wide(&x), wide(&w), wide(&dy));
    for (index, name) in PASSES.iter().enumerate() {
        let len = [dy.len(), x.len(), w.len()][index];
        let mut want = vec![f64::NAN; len];
        let oracle = Context::cpu_with(Isa::Scalar).unwrap();
        pass(&oracle, &shape, index, [&wide_x, &wide_w, &wide_dy], &mut want, Acc::Set).unwrap();
        let root = |values: &[f64]| (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt();
        let scale = root(&want);
        for (cx, _) in ways().into_iter().filter(|(cx, _)| cx.device() == Device::Cpu && cx.isa() != Isa::Scalar) {
            let mut got = vec![f32::NAN; len];
            pass(&cx, &shape, index, [&x, &w, &dy], &mut got, Acc::Set).unwrap();
            let errors: Vec<f64> = got.iter().zip(&want).map(|(&got, want)| (f64::from(got) - want) / scale).collect();
            let (mean, largest) = (root(&errors), errors.iter().fold(0.0, |most: f64, error| most.max(error.abs())));
            let (mean_bound, largest_bound) = match cx.convolution() {
                Convolution::Winograd4 => (2.5e-6, 5e-5),
                Convolution::Winograd2 => (3.5e-7, 2.5e-6),
                Convolution::Direct | Convolution::Auto => (5e-7, 5e-6),
            };
            assert!(mean <= mean_bound && largest <= largest_bound, "{name} {}: {mean:e}, {largest:e}", self::name(&cx));
        }
    }
}

/// `Auto` filters images that fill its tiles well, if they have channels enough, in f32.
#[test]
fn auto_takes_one_of_the_ways() {
    fn bits<T: Real>(isa: Isa, way: Convolution, sizes: [usize; 8]) -> Vec<T> {
        let (shape, cx) = (shape(sizes), Context::cpu_with(isa).unwrap().with_convolution(way));
        let ([x, w, y], mut cases) = (shape.lengths("test").unwrap(), Cases::new(7));
        let (x, w, mut out) = (cases.reals(x), cases.reals(w), vec![T::NAN; y]);
        pass(&cx, &shape, 0, [&x, &w, &[]], &mut out, Acc::Set).unwrap();
        out
    }
    let ways = [Convolution::Direct, Convolution::Winograd2, Convolution::Winograd4];
    let large = [2, 8, 8, 16, 64, 3, 1, 1];
    for cx in contexts().iter().filter(|cx| cx.device() == Device::Cpu && cx.isa() != Isa::Scalar) {
        let isa = cx.isa();
        for (sizes, expected) in [
            (large, Convolution::Winograd4),
            ([5, 2, 2, 16, 16, 3, 1, 1], Convolution::Winograd2),
            ([5, 1, 1, 16, 16, 3, 1, 1], Convolution::Direct),
            ([2, 8, 8, 15, 64, 3, 1, 1], Convolution::Direct),
        ] {
            let auto = bits::<f32>(isa, Convolution::Auto, sizes);
            for way in ways {
                assert_eq!(auto == bits::<f32>(isa, way, sizes), way == expected, "{} {sizes:?}: {way:?}", variant(cx));
            }
        }
        assert_eq!(bits::<f64>(isa, Convolution::Auto, large), bits::<f64>(isa, Convolution::Direct, large), "{}", variant(cx));
    }
}

/// Values that PyTorch's conv2d gives: x = 0, 1, ..., w = 1, 2, ..., in its layouts NCHW and OIHW.
#[test]
fn forward_values_of_an_independent_program() {
    // x[h][w][c] of a 3 x 3 image with two channels whose NCHW values are 0, ..., 17; w of one 2 x 2 window likewise 1, ..., 8.
    let nhwc: Vec<f64> = (0..9).flat_map(|pixel| [f64::from(pixel), f64::from(pixel + 9)]).collect();
    let weights: Vec<f64> = (0..4).flat_map(|tap| [f64::from(tap + 1), f64::from(tap + 5)]).collect();
    let shape = Conv2dShape { n: 1, h: 3, w: 3, c: 2, k: 1, size: 2, stride: 1, pad: 0 };
    for cx in contexts() {
        let mut y = [f64::NAN; 4];
        pass(&cx, &shape, 0, [&nhwc, &weights, &[]], &mut y, Acc::Set).unwrap();
        assert_eq!(y, [320.0, 356.0, 428.0, 464.0], "{}", variant(&cx));
        let padded = Conv2dShape { stride: 2, pad: 1, ..shape };
        pass(&cx, &padded, 0, [&nhwc, &weights, &[]], &mut y, Acc::Set).unwrap();
        assert_eq!(y, [72.0, 169.0, 222.0, 464.0], "{}", variant(&cx));
    }
}

/// `dx` and `dw` are the adjoints of the forward map: ⟨dy, x * w⟩ = ⟨dx, x⟩ = ⟨dw, w⟩.
#[test]
fn gradients_are_central_differences() {
    let mut cases = Cases::new(3);
    for sizes in SHAPES.into_iter().filter(|sizes| sizes[0] <= 3) {
        let shape = shape(sizes);
        let [x, w, y] = shape.lengths("test").unwrap();
        let (x, w, dy): (Vec<f64>, Vec<f64>, Vec<f64>) = (cases.reals(x), cases.reals(w), cases.reals(y));
        for (cx, _) in ways() {
            let value = |x: &[f64], w: &[f64]| {
                let mut y = vec![f64::NAN; dy.len()];
                pass(&cx, &shape, 0, [x, w, &[]], &mut y, Acc::Set).unwrap();
                y.iter().zip(&dy).map(|(y, dy)| y * dy).sum::<f64>()
            };
            let (mut dx, mut dw) = (vec![f64::NAN; x.len()], vec![f64::NAN; w.len()]);
            pass(&cx, &shape, 1, [&[], &w, &dy], &mut dx, Acc::Set).unwrap();
            pass(&cx, &shape, 2, [&x, &[], &dy], &mut dw, Acc::Set).unwrap();
            let step = 1e-3;
            for (index, &want) in dx.iter().enumerate().step_by(1 + dx.len() / 20) {
                let moved = |by: f64| {
                    let mut x = x.clone();
                    x[index] += by;
                    value(&x, &w)
                };
                let got = (moved(step) - moved(-step)) / (2.0 * step);
                assert!((got - want).abs() <= 1e-8 * (1.0 + want.abs()), "{shape:?} dx[{index}]: {got}, not {want}");
            }
            for (index, &want) in dw.iter().enumerate().step_by(1 + dw.len() / 20) {
                let moved = |by: f64| {
                    let mut w = w.clone();
                    w[index] += by;
                    value(&x, &w)
                };
                let got = (moved(step) - moved(-step)) / (2.0 * step);
                assert!((got - want).abs() <= 1e-8 * (1.0 + want.abs()), "{shape:?} dw[{index}]: {got}, not {want}");
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let mut cases = Cases::new(4);
    for sizes in
        [[67, 4, 4, 3, 2, 3, 1, 1], [5, 17, 17, 2, 33, 3, 1, 1], [64, 8, 8, 16, 8, 3, 2, 1], [9, 12, 12, 70, 66, 3, 1, 1]]
    {
        let shape = shape(sizes);
        let [x, w, y] = shape.lengths("test").unwrap();
        let (x, w, dy): (Vec<f32>, Vec<f32>, Vec<f32>) = (cases.reals(x), cases.reals(w), cases.reals(y));
        for (cx, _) in ways() {
            for (index, name) in PASSES.iter().enumerate() {
                let on = |threads| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let mut out = vec![f32::NAN; [dy.len(), x.len(), w.len()][index]];
                    pool.install(|| pass(&cx, &shape, index, [&x, &w, &dy], &mut out, Acc::Set)).unwrap();
                    out
                };
                assert_eq!(on(1), on(3), "{name} {}", self::name(&cx));
            }
        }
    }
}

#[test]
fn sizes_that_make_no_convolution_are_refused() {
    let cx = Context::cpu().unwrap();
    let good = Conv2dShape { n: 1, h: 4, w: 4, c: 1, k: 1, size: 3, stride: 1, pad: 1 };
    let refused = |shape: Conv2dShape| {
        conv2d_forward::<f64>(&cx, &shape, (&[0.0; 16]).into(), (&[0.0; 9]).into(), (&mut [0.0; 16]).into(), Acc::Set)
            .unwrap_err()
            .to_string()
    };
    for (shape, want) in [
        (Conv2dShape { n: 0, ..good }, "n is 0, expected at least 1"),
        (Conv2dShape { stride: 0, ..good }, "stride is 0, expected at least 1"),
        (Conv2dShape { pad: 3, ..good }, "pad is 3, expected less than the window's size 3"),
        (Conv2dShape { size: 7, ..good }, "size is 7, expected at most 6"),
        (Conv2dShape { n: usize::MAX, ..good }, "whose products fit into memory"),
        (Conv2dShape { c: 2, ..good }, "`x` has 16 elements, expected 32"),
        (Conv2dShape { k: 2, ..good }, "`w` has 9 elements, expected 18"),
        (Conv2dShape { stride: 2, ..good }, "`y` has 16 elements, expected 4"),
    ] {
        let line = refused(shape);
        assert!(line.contains(want), "{line}");
    }
}

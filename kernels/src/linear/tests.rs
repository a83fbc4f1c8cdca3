use super::*;
use crate::testing::{Cases, assert_close, contexts, is_emulated, on, on_mut, variant};

/// Inputs of one call of every function, and what the scalar definition gives in f64.
struct Case<T> {
    shape: LinearShape,
    x: Vec<T>,
    w: Vec<T>,
    b: Vec<T>,
    dy: Vec<T>,
}

impl<T: Real> Case<T> {
    fn new(shape: LinearShape, seed: u64) -> Case<T> {
        let mut cases = Cases::new(seed);
        let LinearShape { n, inputs, outputs } = shape;
        Case {
            shape,
            x: cases.reals(n * inputs),
            w: cases.reals(outputs * inputs),
            b: cases.reals(outputs),
            dy: cases.reals(n * outputs),
        }
    }

    fn wide(&self) -> Case<f64> {
        let wide = |values: &[T]| values.iter().map(|value| value.to_f64()).collect();
        Case { shape: self.shape, x: wide(&self.x), w: wide(&self.w), b: wide(&self.b), dy: wide(&self.dy) }
    }

    /// y without and with bias, dx, dw and db, on top of `start` under [`Acc::Add`].
    fn results(&self, cx: &Context, start: T, acc: Acc) -> [Vec<T>; 5] {
        let Case { shape, x, w, b, dy } = self;
        let [mut plain, mut biased] = [vec![start; dy.len()], vec![start; dy.len()]];
        let [mut dx, mut dw, mut db] = [vec![start; x.len()], vec![start; w.len()], vec![start; b.len()]];
        linear_forward(cx, shape, on(cx, x).view(), on(cx, w).view(), None, on_mut(cx, &mut plain).view_mut(), acc).unwrap();
        linear_forward(
            cx,
            shape,
            on(cx, x).view(),
            on(cx, w).view(),
            Some(on(cx, b).view()),
            on_mut(cx, &mut biased).view_mut(),
            acc,
        )
        .unwrap();
        linear_backward_data(cx, shape, on(cx, w).view(), on(cx, dy).view(), on_mut(cx, &mut dx).view_mut(), acc).unwrap();
        linear_backward_weight(cx, shape, on(cx, x).view(), on(cx, dy).view(), on_mut(cx, &mut dw).view_mut(), acc).unwrap();
        linear_backward_bias(cx, shape, on(cx, dy).view(), on_mut(cx, &mut db).view_mut(), acc).unwrap();
        [plain, biased, dx, dw, db]
    }
}

const RESULTS: [&str; 5] = ["y", "y with bias", "dx", "dw", "db"];

#[test]
fn values_by_hand() {
    for cx in contexts() {
        let shape = LinearShape::new(2, 3, 2);
        let case = Case {
            shape,
            x: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            w: vec![1.0, 0.0, -1.0, 0.5, 2.0, 1.0],
            b: vec![10.0, 20.0],
            dy: vec![1.0, 2.0, -1.0, 3.0],
        };
        let want = [
            vec![-2.0, 7.5, -2.0, 18.0],
            vec![8.0, 27.5, 8.0, 38.0],
            vec![2.0, 4.0, 1.0, 0.5, 6.0, 4.0],
            vec![-3.0, -3.0, -3.0, 14.0, 19.0, 24.0],
            vec![0.0, 5.0],
        ];
        assert_eq!(case.results(&cx, f64::NAN, Acc::Set), want, "{}", variant(&cx));
        let added = want.map(|values| values.iter().map(|value| value + 0.5).collect::<Vec<f64>>());
        assert_eq!(case.results(&cx, 0.5, Acc::Add), added, "{}", variant(&cx));
    }
}

const SHAPES: [[usize; 3]; 23] = [
    [1, 1, 1],
    [3, 1, 7],
    [7, 5, 1],
    [2, 3, 4],
    [32, 15, 15],
    [13, 16, 17],
    [9, 17, 16],
    [5, 8, 24],
    [11, 31, 33],
    [4, 32, 9],
    [6, 33, 8],
    [1, 200, 200],
    [19, 64, 3],
    [3, 49, 50],
    [8, 10, 100],
    [17, 100, 10],
    [512, 2, 3],
    [33, 97, 41],
    [1, 784, 300],
    [21, 300, 257],
    [7, 15, 15],
    [8, 19, 23],
    [9, 523, 513],
];

fn against_the_oracle<T: Real>(tolerance: f64) {
    let oracle = Context::cpu_with(Isa::Scalar).unwrap();
    for (seed, [n, inputs, outputs]) in SHAPES.into_iter().enumerate() {
        let case = Case::<T>::new(LinearShape::new(n, inputs, outputs), seed as u64);
        let wanted = case.wide().results(&oracle, f64::NAN, Acc::Set);
        let wanted_on_half = case.wide().results(&oracle, 0.5, Acc::Add);
        for cx in contexts() {
            let set = case.results(&cx, T::NAN, Acc::Set);
            let added = case.results(&cx, T::from_f64(0.5), Acc::Add);
            for (i, terms) in [inputs, inputs + 1, outputs, n, n].into_iter().enumerate() {
                let what = format!("{} {} {} n={n} {inputs}->{outputs}", RESULTS[i], variant(&cx), T::DTYPE.name());
                let tolerance = tolerance * (terms as f64 + 1.0);
                assert_close(&what, &set[i], &wanted[i], tolerance);
                assert_close(&format!("{what}, added"), &added[i], &wanted_on_half[i], tolerance);
            }
        }
    }
}

#[test]
fn every_variant_matches_the_oracle() {
    against_the_oracle::<f32>(1e-7);
    against_the_oracle::<f64>(2e-16);
}

#[test]
fn backward_is_the_derivative_of_forward() {
    for cx in contexts() {
        for [n, inputs, outputs] in [[3, 5, 4], [2, 40, 3], [1, 1, 1]] {
            let case = Case::<f64>::new(LinearShape::new(n, inputs, outputs), 5);
            let [_, _, dx, dw, db] = case.results(&cx, f64::NAN, Acc::Set);
            // The loss is linear in each argument, so that central differences are exact up to rounding.
            let loss = |x: &[f64], w: &[f64], b: &[f64]| {
                let mut y = vec![f64::NAN; n * outputs];
                let b = on(&cx, b);
                linear_forward(
                    &cx,
                    &case.shape,
                    on(&cx, x).view(),
                    on(&cx, w).view(),
                    Some(b.view()),
                    on_mut(&cx, &mut y).view_mut(),
                    Acc::Set,
                )
                .unwrap();
                y.iter().zip(&case.dy).map(|(y, dy)| y * dy).sum::<f64>()
            };
            let difference = |values: &[f64], loss: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
                let at = |index: usize, shift: f64| {
                    let mut moved = values.to_vec();
                    moved[index] += shift;
                    loss(&moved)
                };
                (0..values.len()).map(|index| at(index, 0.5) - at(index, -0.5)).collect()
            };
            let (x, w, b) = (&case.x, &case.w, &case.b);
            assert_close("dx", &dx, &difference(x, &|x| loss(x, w, b)), 1e-12);
            assert_close("dw", &dw, &difference(w, &|w| loss(x, w, b)), 1e-12);
            assert_close("db", &db, &difference(b, &|b| loss(x, w, b)), 1e-12);
        }
    }
}

fn rows_do_not_depend_on_the_batch<T: Real>() {
    for [inputs, outputs] in [[1, 9], [3, 2], [15, 15], [33, 17], [40, 8], [100, 31], [200, 66], [523, 513]] {
        let shape = LinearShape::new(23, inputs, outputs);
        let whole = Case::<T>::new(shape, 6);
        for cx in contexts() {
            if is_emulated(&cx) && inputs * outputs > 4000 {
                continue;
            }
            let part = |n: usize, first: usize| {
                let part = |values: &[T], width: usize| values[first * width..][..n * width].to_vec();
                let (x, dy) = (part(&whole.x, inputs), part(&whole.dy, outputs));
                let (w, b) = (whole.w.clone(), whole.b.clone());
                let [y, biased, dx, ..] = Case { shape: LinearShape { n, ..shape }, x, dy, w, b }.results(&cx, T::NAN, Acc::Set);
                [y, biased, dx]
            };
            let wholes = [23, 7].map(|n| (n, part(n, 0)));
            for (n, first) in [(1, 0), (2, 1), (3, 3), (1, 6), (7, 9), (8, 15), (15, 8), (9, 14), (20, 2)] {
                let [y, biased, dx] = part(n, first);
                let at = |n| LinearShape { n, ..shape };
                let way = |n: usize| (at(n).large::<T>(), at(n).transposes());
                for (n_whole, [whole_y, whole_biased, whole_dx]) in &wholes {
                    let n_whole = *n_whole;
                    if first + n > n_whole || at(n).large::<T>() != at(n_whole).large::<T>() {
                        continue;
                    }
                    let what = format!("{} rows {first} + {n} of {n_whole}, {inputs}->{outputs}", variant(&cx));
                    assert_eq!(dx, whole_dx[first * inputs..][..n * inputs], "dx {what}");
                    if way(n) == way(n_whole) {
                        assert_eq!(y, whole_y[first * outputs..][..n * outputs], "y {what}");
                        assert_eq!(biased, whole_biased[first * outputs..][..n * outputs], "y with bias {what}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_in_every_batch_that_goes_the_same_way() {
    rows_do_not_depend_on_the_batch::<f32>();
    rows_do_not_depend_on_the_batch::<f64>();
}

#[test]
fn wrong_arguments_are_refused() {
    let cx = Context::cpu().unwrap();
    let shape = LinearShape::new(2, 3, 4);
    let good = [6, 12, 4, 8];
    let attempt = |shape: LinearShape, [x, w, b, y]: [usize; 4]| {
        let [x, w, b, mut y] = [x, w, b, y].map(|len| vec![0.0f32; len]);
        let b = Some((&b).into());
        linear_forward(&cx, &shape, (&x).into(), (&w).into(), b, (&mut y).into(), Acc::Set).map_err(|error| error.to_string())
    };
    assert_eq!(attempt(shape, good), Ok(()));
    let refused = |shape, lengths, message: &str| {
        let error = attempt(shape, lengths).unwrap_err();
        assert!(error.contains(message), "{error}");
    };
    refused(shape, [5, 12, 4, 8], "`x` has 5 elements, expected 6 (n * inputs)");
    refused(shape, [6, 13, 4, 8], "`w` has 13 elements, expected 12 (outputs * inputs)");
    refused(shape, [6, 12, 3, 8], "`b` has 3 elements, expected 4 (outputs)");
    refused(shape, [6, 12, 4, 9], "`y` has 9 elements, expected 8 (n * outputs)");
    refused(LinearShape { n: 0, ..shape }, [0, 12, 4, 0], "batch is 0, expected at least 1");
    refused(LinearShape { inputs: 0, ..shape }, [0, 0, 4, 8], "inputs is 0, expected at least 1");
    refused(LinearShape { outputs: 0, ..shape }, [6, 0, 0, 0], "outputs is 0, expected at least 1");
    refused(LinearShape { n: 1 << 33, inputs: 1 << 31, outputs: 1 }, [0, 0, 1, 0], "`x` has 0 elements");

    let (short, right, mut out) = ([0.0f32; 7], [0.0f32; 12], [0.0f32; 12]);
    let error = linear_backward_data(&cx, &shape, (&right).into(), (&short).into(), (&mut out[..6]).into(), Acc::Set);
    assert!(error.unwrap_err().to_string().contains("linear_backward_data: `dy` has 7"));
    let error =
        linear_backward_weight(&cx, &shape, (&right[..6]).into(), (&right[..8]).into(), (&mut out[..11]).into(), Acc::Set);
    assert!(error.unwrap_err().to_string().contains("linear_backward_weight: `dw` has 11"));
    let error = linear_backward_bias(&cx, &shape, (&right[..8]).into(), (&mut out[..5]).into(), Acc::Set);
    assert!(error.unwrap_err().to_string().contains("linear_backward_bias: `db` has 5"));
}

use super::*;
use crate::testing::{Cases, assert_close, cpu_contexts, variant};

/// One row, fewer channels than a vector has lanes, more rows than a task takes, channels that do not fill vectors.
const SHAPES: [[usize; 2]; 8] = [[1, 1], [3, 5], [2, 16], [17, 33], [64, 8], [9, 130], [40_000, 1], [5_000, 19]];

struct Case<T> {
    x: Vec<T>,
    w: Vec<T>,
    b: Vec<T>,
    dy: Vec<T>,
}

impl<T: Real> Case<T> {
    fn new(shape: &BatchNormShape) -> Case<T> {
        let (mut cases, elements) = (Cases::new(5), shape.rows * shape.c);
        let mut x: Vec<T> = cases.reals(elements);
        // Channels whose mean is large beside their deviation, where E[x²] - μ² would lose everything.
        x.iter_mut().enumerate().for_each(|(at, x)| *x += T::from_f64(30.0 * (at % shape.c % 3) as f64));
        Case { x, w: cases.reals(shape.c), b: cases.reals(shape.c), dy: cases.reals(elements) }
    }

    fn wide(&self) -> Case<f64> {
        let wide = |values: &[T]| values.iter().map(|value| value.to_f64()).collect();
        Case { x: wide(&self.x), w: wide(&self.w), b: wide(&self.b), dy: wide(&self.dy) }
    }

    /// μ, σ², y, dγ, dβ, dx and dx added to dy.
    fn passes(&self, cx: &Context, shape: &BatchNormShape) -> [Vec<T>; 7] {
        let c = shape.c;
        let [mut mean, mut variance, mut dw, mut db] = [(); 4].map(|()| vec![T::NAN; c]);
        let [mut y, mut dx] = [(); 2].map(|()| vec![T::NAN; self.x.len()]);
        let mut added = self.dy.clone();
        let x = || View::from(&self.x);
        batchnorm_moments(cx, shape, x(), (&mut mean).into(), (&mut variance).into()).unwrap();
        let moments = || Moments { mean: (&mean).into(), variance: (&variance).into(), epsilon: 1e-5 };
        batchnorm_forward(cx, shape, x(), moments(), [(&self.w).into(), (&self.b).into()], (&mut y).into()).unwrap();
        batchnorm_backward_affine(cx, shape, x(), moments(), (&self.dy).into(), [(&mut dw).into(), (&mut db).into()]).unwrap();
        let vectors = || [(&self.w).into(), (&dw).into(), (&db).into()];
        let dy = || View::from(&self.dy);
        batchnorm_backward_data(cx, shape, x(), moments(), vectors(), dy(), (&mut dx).into(), Acc::Set).unwrap();
        batchnorm_backward_data(cx, shape, x(), moments(), vectors(), dy(), (&mut added).into(), Acc::Add).unwrap();
        [mean, variance, y, dw, db, dx, added]
    }
}

fn against_the_oracle<T: Real>(tolerance: f64) {
    let oracle = Context::cpu_with(Isa::Scalar).unwrap();
    for [rows, c] in SHAPES {
        let shape = BatchNormShape { rows, c };
        let case = Case::<T>::new(&shape);
        let want = case.wide().passes(&oracle, &shape);
        for cx in cpu_contexts() {
            let names = ["mean", "variance", "y", "dw", "db", "dx", "added dx"];
            for ((name, got), want) in names.iter().zip(case.passes(&cx, &shape)).zip(&want) {
                let what = format!("batchnorm {name} {} {rows} x {c}", variant(&cx));
                // Means of 60 round deviations of 1 by so much more; sums over rows round once per row.
                assert_close(&what, &got, want, tolerance * 60.0 * (10.0 + (rows as f64).sqrt()));
            }
        }
    }
}

#[test]
fn every_variant_matches_the_oracle() {
    against_the_oracle::<f32>(1e-7);
    against_the_oracle::<f64>(2e-16);
}

/// μ, σ², y, dγ, dβ, dx and dx + dy of the case below.
const EXPECTED: [&[f64]; 7] = [
    &[1.25, 0.875],
    &[2.1875, 4.546875],
    &[
        -0.0035456968861957705,
        2.674141197701385,
        2.024819878203371,
        2.0879314605697457,
        1.0106370906585875,
        1.2672378285854506,
        -2.0319112719757624,
        1.970689513143418,
    ],
    &[-4.732853008542322, 5.862097371316394],
    &[16.0, 20.0],
    &[
        -3.245383992894711,
        0.2401254199137484,
        0.4056666242777447,
        0.17405003424688806,
        1.6226896783258669,
        0.2691316101954082,
        1.2170276902910995,
        -0.6833070643560447,
    ],
    &[
        -2.245383992894711,
        2.2401254199137486,
        3.4056666242777447,
        4.174050034246888,
        6.622689678325867,
        6.269131610195409,
        8.217027690291099,
        7.316692935643955,
    ],
];

/// What PyTorch's batch_norm gives for two channels and four rows, with its gradients for dy = 1, 2, ..., 8.
#[test]
fn values_of_an_independent_program() {
    let case = Case {
        x: vec![1.0, -2.0, 3.0, 0.5, 2.0, 4.0, -1.0, 1.0],
        w: vec![1.5, -0.5],
        b: vec![0.25, 2.0],
        dy: (1..=8).map(f64::from).collect(),
    };
    for cx in cpu_contexts() {
        let passes = case.passes(&cx, &BatchNormShape { rows: 4, c: 2 });
        for (got, want) in passes.iter().zip(EXPECTED) {
            assert_close(&variant(&cx), got, want, 1e-12);
        }
    }
}

#[test]
fn gradients_are_central_differences() {
    for [rows, c] in [[3, 5], [17, 3]] {
        let shape = BatchNormShape { rows, c };
        let case = Case::<f64>::new(&shape);
        for cx in cpu_contexts() {
            let [_, _, _, dw, db, dx, _] = case.passes(&cx, &shape);
            let value = |case: &Case<f64>| case.passes(&cx, &shape)[2].iter().zip(&case.dy).map(|(y, dy)| y * dy).sum::<f64>();
            let step = 1e-4;
            let check = |name: &str, gradient: &[f64], part: fn(&mut Case<f64>) -> &mut Vec<f64>| {
                for (index, &want) in gradient.iter().enumerate() {
                    let moved = |by: f64| {
                        let mut case = Case { x: case.x.clone(), w: case.w.clone(), b: case.b.clone(), dy: case.dy.clone() };
                        part(&mut case)[index] += by;
                        value(&case)
                    };
                    let got = (moved(step) - moved(-step)) / (2.0 * step);
                    assert!((got - want).abs() <= 1e-6 * (1.0 + want.abs()), "{name}[{index}]: {got}, not {want}");
                }
            };
            check("dx", &dx, |case| &mut case.x);
            check("dw", &dw, |case| &mut case.w);
            check("db", &db, |case| &mut case.b);
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let shape = BatchNormShape { rows: 5_000, c: 19 };
    let case = Case::<f32>::new(&shape);
    for cx in cpu_contexts() {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| case.passes(&cx, &shape))
        };
        assert_eq!(on(1), on(3), "{}", variant(&cx));
    }
}

#[test]
fn wrong_sizes_are_refused() {
    let cx = Context::cpu().unwrap();
    let refused = |rows, c| {
        let (x, mut mean, mut variance) = ([0.0; 6], [0.0; 2], [0.0; 2]);
        let shape = BatchNormShape { rows, c };
        batchnorm_moments(&cx, &shape, (&x).into(), (&mut mean).into(), (&mut variance).into()).unwrap_err().to_string()
    };
    assert!(refused(0, 2).contains("rows is 0, expected at least 1"));
    assert!(refused(4, 2).contains("`x` has 6 elements, expected 8"));
    assert!(refused(2, 3).contains("`mean` has 2 elements, expected 3"));
    assert!(refused(usize::MAX, 2).contains("`x` has 6 elements"));
}

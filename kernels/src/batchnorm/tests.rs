use super::*;
use crate::activation::{Activation, activation_backward, activation_forward};
use crate::combine::combine;
use crate::testing::{Cases, assert_close, contexts, on, on_mut, variant};

/// One row, fewer channels than a vector has lanes, more rows than a task takes, channels that do not fill vectors or blocks.
const SHAPES: [[usize; 2]; 9] = [[1, 1], [3, 5], [2, 16], [17, 33], [64, 8], [9, 130], [40_000, 1], [5_000, 19], [500, 70]];

/// What follows: a residual, ReLU.
const FOLLOWING: [[bool; 2]; 4] = [[false, false], [false, true], [true, false], [true, true]];

#[derive(Clone)]
struct Case<T> {
    x: Vec<T>,
    w: Vec<T>,
    b: Vec<T>,
    s: Vec<T>,
    dy: Vec<T>,
    residual: bool,
    relu: bool,
}

/// What the passes give, by name.
type Passes<T> = Vec<(&'static str, Vec<T>)>;

fn nan<T: Real>(len: usize) -> Vec<T> {
    vec![T::NAN; len]
}

fn of<T: Clone>(passes: &Passes<T>, name: &str) -> Vec<T> {
    passes.iter().find(|(have, _)| *have == name).unwrap().1.clone()
}

impl<T: Real> Case<T> {
    fn new(shape: &BatchNormShape, [residual, relu]: [bool; 2]) -> Case<T> {
        let (mut cases, elements) = (Cases::new(5), shape.rows * shape.c);
        let mut x: Vec<T> = cases.reals(elements);
        // Channels whose mean is large beside their deviation, where E[x²] - μ² would lose everything.
        x.iter_mut().enumerate().for_each(|(at, x)| *x += T::from_f64(30.0 * (at % shape.c % 3) as f64));
        let [w, b, dy, s] = [shape.c, shape.c, elements, elements].map(|len| cases.reals(len));
        let mut case = Case { x, w, b, s, dy, residual, relu: false };
        // Rounding may take what is near 0 over the ReLU's edge, so that nothing depends on its gradient.
        let sums = of(&case.wide().passes(&Context::cpu_with(Isa::Scalar).unwrap(), shape), "y");
        case.dy.iter_mut().zip(&sums).filter(|(_, sum)| sum.abs() < 1e-2).for_each(|(dy, _)| *dy = T::ZERO);
        Case { relu, ..case }
    }

    fn wide(&self) -> Case<f64> {
        let wide = |values: &[T]| values.iter().map(|value| value.to_f64()).collect();
        let [x, w, b, s, dy] = [&self.x, &self.w, &self.b, &self.s, &self.dy].map(|values| wide(values));
        Case { x, w, b, s, dy, residual: self.residual, relu: self.relu }
    }

    /// All passes with everything in them, with gradients set and added to dy.
    fn passes(&self, cx: &Context, shape: &BatchNormShape) -> Passes<T> {
        let [mut mean, mut variance, mut dw, mut db] = [(); 4].map(|()| nan(shape.c));
        let [mut y, mut dx, mut ds] = [(); 3].map(|()| nan(self.x.len()));
        let (mut added, mut ds_added) = (self.dy.clone(), self.dy.clone());
        let [x, w, b, s, dy] = [&self.x, &self.w, &self.b, &self.s, &self.dy].map(|values| on(cx, values));
        batchnorm_moments(cx, shape, x.view(), on_mut(cx, &mut mean).view_mut(), on_mut(cx, &mut variance).view_mut()).unwrap();
        let (mean_there, variance_there) = (on(cx, &mean), on(cx, &variance));
        let moments = || Moments { mean: mean_there.view(), variance: variance_there.view(), epsilon: 1e-5 };
        let after = After { residual: self.residual.then(|| s.view()), relu: self.relu };
        batchnorm_forward(cx, shape, x.view(), moments(), [w.view(), b.view()], after, on_mut(cx, &mut y).view_mut()).unwrap();

        let y_there = on(cx, &y);
        let gate = || match (self.relu, self.residual) {
            (false, _) => Gate::Open,
            (true, false) => Gate::Normalised([w.view(), b.view()]),
            (true, true) => Gate::Outputs(y_there.view()),
        };
        let gated = || Gated { dy: dy.view(), gate: gate() };
        let mut affine = |ds: Option<(&mut Vec<T>, Acc)>| {
            (dw, db) = (nan(shape.c), nan(shape.c));
            {
                let mut ds = ds.map(|(ds, acc)| (on_mut(cx, ds), acc));
                let ds = ds.as_mut().map(|(ds, acc)| (ds.view_mut(), *acc));
                let (mut dw, mut db) = (on_mut(cx, &mut dw), on_mut(cx, &mut db));
                let gradients = [dw.view_mut(), db.view_mut()];
                batchnorm_backward_affine(cx, shape, x.view(), moments(), gated(), ds, gradients).unwrap();
            }
            [dw.clone(), db.clone()]
        };
        let alone = affine(None);
        assert_eq!(alone, affine(Some((&mut ds, Acc::Set))));
        assert_eq!(alone, affine(Some((&mut ds_added, Acc::Add))));
        let [dw, db] = alone;
        let (dw_there, db_there) = (on(cx, &dw), on(cx, &db));
        let data = |dy: Gated<T>, dx: &mut Vec<T>, acc| {
            let vectors = [w.view(), dw_there.view(), db_there.view()];
            batchnorm_backward_data(cx, shape, x.view(), moments(), vectors, dy, on_mut(cx, dx).view_mut(), acc).unwrap();
        };
        data(gated(), &mut dx, Acc::Set);
        data(gated(), &mut added, Acc::Add);
        let mut from_set = nan(self.x.len());
        data(on(cx, &ds).view().into(), &mut from_set, Acc::Set);
        assert_eq!(from_set, dx, "what affine has set is what the gate lets through");
        let sums = [("mean", mean), ("variance", variance), ("y", y), ("dw", dw), ("db", db)];
        sums.into_iter().chain([("dx", dx), ("added dx", added), ("ds", ds), ("added ds", ds_added)]).collect()
    }

    /// y, ds, dw, db and dx, one operator after the other.
    fn one_by_one(&self, cx: &Context, shape: &BatchNormShape) -> Passes<T> {
        let plain = Case { residual: false, relu: false, ..self.clone() };
        let mut y = of(&plain.passes(cx, shape), "y");
        let (one, len) = (T::ONE, self.x.len());
        if self.residual {
            let mut sum = nan(len);
            let terms = [&y, &self.s].map(|values| on(cx, values));
            let terms = [(one, terms[0].view()), (one, terms[1].view())];
            combine(cx, terms, on_mut(cx, &mut sum).view_mut(), Acc::Set).unwrap();
            y = sum;
        }
        let mut ds = self.dy.clone();
        if self.relu {
            let before = y.clone();
            let (x, dy) = (on(cx, &before), on(cx, &self.dy));
            activation_backward(cx, Activation::Relu, x.view(), dy.view(), on_mut(cx, &mut ds).view_mut()).unwrap();
            activation_forward(cx, Activation::Relu, x.view(), on_mut(cx, &mut y).view_mut()).unwrap();
        }
        let passes = Case { dy: ds.clone(), ..plain }.passes(cx, shape);
        ["dw", "db", "dx"].into_iter().map(|name| (name, of(&passes, name))).chain([("y", y), ("ds", ds)]).collect()
    }
}

fn against_the_oracle<T: Real>(tolerance: f64) {
    let oracle = Context::cpu_with(Isa::Scalar).unwrap();
    for ([rows, c], following) in SHAPES.into_iter().flat_map(|shape| FOLLOWING.map(|following| (shape, following))) {
        let shape = BatchNormShape { rows, c };
        let case = Case::<T>::new(&shape, following);
        let want = case.wide().passes(&oracle, &shape);
        for cx in contexts() {
            for ((name, got), (_, want)) in case.passes(&cx, &shape).iter().zip(&want) {
                let what = format!("batchnorm {following:?} {name} {} {rows} x {c}", variant(&cx));
                // Means of 60 round deviations of 1 by so much more; sums over rows round once per row.
                assert_close(&what, got, want, tolerance * 60.0 * (10.0 + 4.0 * (rows as f64).sqrt()));
            }
        }
    }
}

#[test]
fn every_variant_matches_the_oracle() {
    against_the_oracle::<f32>(1e-7);
    against_the_oracle::<f64>(2e-16);
}

/// Bit for bit, so that fusing changes no result; as for every ReLU, 0 is -0.
#[test]
fn fused_passes_give_what_the_operators_give_one_by_one() {
    fn check<T: Real>() {
        for ([rows, c], following) in SHAPES.into_iter().flat_map(|shape| FOLLOWING.map(|following| (shape, following))) {
            let shape = BatchNormShape { rows, c };
            let case = Case::<T>::new(&shape, following);
            for cx in contexts() {
                let passes = case.passes(&cx, &shape);
                for (name, want) in case.one_by_one(&cx, &shape) {
                    assert!(of(&passes, name) == want, "{following:?} {name} {} {rows} x {c}", variant(&cx));
                }
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn nan_stays_and_what_is_off_gives_zero_whatever_comes_back() {
    // With γ = 0, γ x̂ + β is β.
    let (shape, nan) = (BatchNormShape { rows: 1, c: 5 }, f32::NAN);
    let (b, s, dy) = ([nan, 0.0, -1.0, 1.0, f32::INFINITY], [0.0, 0.0, 0.5, nan, 0.0], [2.0, nan, nan, 3.0, 5.0]);
    let [y_of_b, y_of_s, gated] =
        [[nan, 0.0, 0.0, 1.0, f32::INFINITY], [nan, 0.0, 0.0, nan, f32::INFINITY], [nan, 0.0, 0.0, 3.0, 5.0]];
    let same = |got: &[f32], want: &[f32]| {
        let same = got.iter().zip(want).all(|(got, want)| got == want || (got.is_nan() && want.is_nan()));
        assert!(same, "{got:?}, not {want:?}");
    };
    for cx in contexts() {
        let [zeros, ones, b, s, dy] = [&[0.0; 5], &[1.0; 5], &b, &s, &dy].map(|values| on(&cx, values));
        let moments = || Moments { mean: zeros.view(), variance: zeros.view(), epsilon: 1.0 };
        for (residual, want) in [(None, y_of_b), (Some(s.view()), y_of_s)] {
            let (mut y, affine, after) = ([-1.0; 5], [zeros.view(), b.view()], After { residual, relu: true });
            batchnorm_forward(&cx, &shape, zeros.view(), moments(), affine, after, on_mut(&cx, &mut y).view_mut()).unwrap();
            same(&y, &want);
        }
        let y = on(&cx, &y_of_b);
        for gate in [Gate::Normalised([zeros.view(), b.view()]), Gate::Outputs(y.view())] {
            let (dy, [mut dw, mut db, mut ds, mut dx]) = (Gated { dy: dy.view(), gate }, [[-1.0; 5]; 4]);
            {
                let [mut dw, mut db, mut ds] = [&mut dw, &mut db, &mut ds].map(|values| on_mut(&cx, values));
                let (ds, gradients) = (Some((ds.view_mut(), Acc::Set)), [dw.view_mut(), db.view_mut()]);
                batchnorm_backward_affine(&cx, &shape, zeros.view(), moments(), dy, ds, gradients).unwrap();
            }
            let (vectors, out) = ([ones.view(), zeros.view(), zeros.view()], &mut dx);
            batchnorm_backward_data(&cx, &shape, zeros.view(), moments(), vectors, dy, on_mut(&cx, out).view_mut(), Acc::Set)
                .unwrap();
            same(&dw, &[nan, 0.0, 0.0, 0.0, 0.0]);
            [ds, db, dx].iter().for_each(|got| same(got, &gated));
        }
    }
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
        s: Vec::new(),
        dy: (1..=8).map(f64::from).collect(),
        residual: false,
        relu: false,
    };
    for cx in contexts() {
        let passes = case.passes(&cx, &BatchNormShape { rows: 4, c: 2 });
        for ((_, got), want) in passes.iter().zip(EXPECTED) {
            assert_close(&variant(&cx), got, want, 1e-12);
        }
    }
}

#[test]
fn gradients_are_central_differences() {
    for ([rows, c], following) in [[3, 5], [17, 3]].into_iter().flat_map(|shape| FOLLOWING.map(|following| (shape, following))) {
        let shape = BatchNormShape { rows, c };
        let case = Case::<f64>::new(&shape, following);
        for cx in contexts() {
            let passes = case.passes(&cx, &shape);
            let value =
                |case: &Case<f64>| of(&case.passes(&cx, &shape), "y").iter().zip(&case.dy).map(|(y, dy)| y * dy).sum::<f64>();
            let step = 1e-4;
            let check = |name: &str, part: fn(&mut Case<f64>) -> &mut Vec<f64>| {
                for (index, &want) in of(&passes, name).iter().enumerate() {
                    let moved = |by: f64| {
                        let mut case = case.clone();
                        part(&mut case)[index] += by;
                        value(&case)
                    };
                    let got = (moved(step) - moved(-step)) / (2.0 * step);
                    let error = (got - want).abs();
                    assert!(error <= 1e-6 * (1.0 + want.abs()), "{following:?} {name}[{index}]: {got}, not {want}");
                }
            };
            check("dx", |case| &mut case.x);
            check("dw", |case| &mut case.w);
            check("db", |case| &mut case.b);
            if case.residual {
                check("ds", |case| &mut case.s);
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let shape = BatchNormShape { rows: 5_000, c: 19 };
    for following in FOLLOWING {
        let case = Case::<f32>::new(&shape, following);
        for cx in contexts() {
            let on = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| case.passes(&cx, &shape))
            };
            assert!(on(1) == on(3), "{following:?} {}", variant(&cx));
        }
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

#[test]
fn wrong_sizes_of_what_follows_are_refused() {
    let (cx, shape, x, c, few) = (Context::cpu().unwrap(), BatchNormShape { rows: 3, c: 2 }, [0.0; 6], [0.0; 2], [0.0; 1]);
    let (x, c, few) = (View::from(&x), View::from(&c), View::from(&few));
    let moments = Moments { mean: c, variance: c, epsilon: 1e-5 };
    let after = After { residual: Some(few), relu: true };
    let error = batchnorm_forward(&cx, &shape, x, moments, [c, c], after, (&mut [0.0; 6]).into()).unwrap_err();
    assert!(error.to_string().contains("`residual` has 1 elements, expected 6"), "{error}");
    let affine = |gate, ds: &mut [f64]| {
        let (dy, ds) = (Gated { dy: x, gate }, Some((ds.into(), Acc::Set)));
        let [mut dw, mut db] = [[0.0; 2]; 2];
        batchnorm_backward_affine(&cx, &shape, x, moments, dy, ds, [(&mut dw).into(), (&mut db).into()]).unwrap_err().to_string()
    };
    assert!(affine(Gate::Open, &mut [0.0; 5]).contains("`ds` has 5 elements, expected 6"));
    assert!(affine(Gate::Outputs(few), &mut [0.0; 6]).contains("`y` has 1 elements, expected 6"));
    let dy = Gated { dy: x, gate: Gate::Normalised([c, few]) };
    let error = batchnorm_backward_data(&cx, &shape, x, moments, [c; 3], dy, (&mut [0.0; 6]).into(), Acc::Set).unwrap_err();
    assert!(error.to_string().contains("`b` has 1 elements, expected 2"), "{error}");
}

use super::*;
use crate::gemm::{GemmShape, gemm_forward};
use crate::mse::{MseScale, mse_backward, mse_forward};
use crate::testing::{Cases, assert_close, contexts, on, on_mut, variant};

const SIZES: [usize; 16] = [1, 2, 3, 7, 8, 9, 15, 17, 31, 33, 63, 65, 97, 128, 200, 201];

/// Data with NaN between its rows, and parameters of every replica.
struct Case<T> {
    shape: DiagonalShape,
    x: Vec<T>,
    y: Vec<T>,
    params: Vec<T>,
}

impl<T: Real> Case<T> {
    fn new(n: usize, d: usize, replicas: usize, seed: u64) -> Case<T> {
        let mut cases = Cases::new(seed);
        let shape = DiagonalShape { n, d, stride: d + seed as usize % 3, replicas };
        let mut x = vec![T::NAN; n * shape.stride];
        for row in x.chunks_exact_mut(shape.stride) {
            row[..d].copy_from_slice(&cases.reals(d));
        }
        Case { shape, x, y: cases.reals(n), params: cases.reals(shape.params()) }
    }

    fn wide(&self) -> Case<f64> {
        let wide = |values: &[T]| values.iter().map(|value| value.to_f64()).collect();
        Case { shape: self.shape, x: wide(&self.x), y: wide(&self.y), params: wide(&self.params) }
    }

    /// `diagonal_backward_weight` at its own parameters.
    fn backward(&self, cx: &Context, dy: &[T], dparams: &mut [T], acc: Acc) {
        diagonal_backward_weight(
            cx,
            &self.shape,
            on(cx, &self.x).view(),
            on(cx, &self.params).view(),
            on(cx, dy).view(),
            on_mut(cx, dparams).view_mut(),
            acc,
        )
        .unwrap();
    }

    fn sgd(&self, cx: &Context, steps: Steps<'_, T>, params: &mut [T], diverged: &mut [Option<usize>]) {
        diagonal_sgd(
            cx,
            &self.shape,
            on(cx, &self.x).view(),
            on(cx, &self.y).view(),
            steps,
            on_mut(cx, params).view_mut(),
            diverged,
        )
        .unwrap();
    }
}

/// The loss of replica 0 through the public operators.
fn loss(cx: &Context, case: &Case<f64>, params: &[f64]) -> f64 {
    let mut y = vec![f64::NAN; case.shape.n];
    diagonal_forward(cx, &case.shape, on(cx, &case.x).view(), on(cx, params).view(), on_mut(cx, &mut y).view_mut()).unwrap();
    mse_forward(cx, MseScale::Half, on(cx, &y).view(), on(cx, &case.y).view()).unwrap()
}

#[test]
fn forward_is_the_matrix_product_with_u_times_v() {
    for d in SIZES {
        let case = Case::<f64>::new(7, d, 1, 3);
        let beta: Vec<f64> = (0..d).map(|j| case.params[j] * case.params[d + j]).collect();
        let oracle = Context::cpu_with(Isa::Scalar).unwrap();
        for cx in contexts() {
            let (mut got, mut want) = (vec![f64::NAN; 7], vec![f64::NAN; 7]);
            let gemm = GemmShape { a: [case.shape.stride, 1], ..GemmShape::row_major(7, 1, d) };
            gemm_forward(
                &oracle,
                &gemm,
                on(&oracle, &case.x).view(),
                on(&oracle, &beta).view(),
                on_mut(&oracle, &mut want).view_mut(),
                Acc::Set,
            )
            .unwrap();
            diagonal_forward(
                &cx,
                &case.shape,
                on(&cx, &case.x).view(),
                on(&cx, &case.params).view(),
                on_mut(&cx, &mut got).view_mut(),
            )
            .unwrap();
            assert_close(&format!("forward {} d={d}", variant(&cx)), &got, &want, 1e-14);
        }
    }
}

#[test]
fn backward_is_the_derivative_of_the_loss() {
    for cx in contexts() {
        for d in [1, 5, 16, 19] {
            let case = Case::<f64>::new(4, d, 1, 4);
            let (mut y, mut dy) = (vec![f64::NAN; 4], vec![f64::NAN; 4]);
            diagonal_forward(
                &cx,
                &case.shape,
                on(&cx, &case.x).view(),
                on(&cx, &case.params).view(),
                on_mut(&cx, &mut y).view_mut(),
            )
            .unwrap();
            mse_backward(&cx, MseScale::Half, on(&cx, &y).view(), on(&cx, &case.y).view(), on_mut(&cx, &mut dy).view_mut())
                .unwrap();
            let mut dparams = vec![f64::NAN; 2 * d];
            case.backward(&cx, &dy, &mut dparams, Acc::Set);
            let numeric: Vec<f64> = (0..2 * d)
                .map(|j| {
                    let at = |shift: f64| {
                        let mut moved = case.params.clone();
                        moved[j] += shift;
                        loss(&cx, &case, &moved)
                    };
                    (at(1e-4) - at(-1e-4)) / 2e-4
                })
                .collect();
            assert_close(&format!("backward {} d={d}", variant(&cx)), &dparams, &numeric, 1e-8);
        }
    }
}

fn against_the_oracle<T: Real>(tolerance: f64) {
    for (seed, d) in SIZES.into_iter().enumerate() {
        for n in [1, 3, 4, 6, 9] {
            let case = Case::<T>::new(n, d, 3, seed as u64);
            let (wide, dy) = (case.wide(), Cases::new(9).reals::<T>(3 * n));
            let wide_dy: Vec<f64> = dy.iter().map(|dy| dy.to_f64()).collect();
            let (mut y, mut dparams) = (vec![f64::NAN; 3 * n], vec![f64::NAN; 6 * d]);
            for r in 0..3 {
                let params = &wide.params[r * 2 * d..][..2 * d];
                scalar::diagonal_forward(&wide.shape, &wide.x, params, &mut y[r * n..][..n]);
                let dparams = &mut dparams[r * 2 * d..][..2 * d];
                scalar::diagonal_backward_weight(&wide.shape, &wide.x, params, &wide_dy[r * n..][..n], dparams, Acc::Set);
            }
            for cx in contexts() {
                let what = |op: &str| format!("{op} {} {} n={n} d={d}", variant(&cx), T::DTYPE.name());
                let (x, params) = (on(&cx, &case.x), on(&cx, &case.params));
                let mut got = vec![T::NAN; 3 * n];
                diagonal_forward(&cx, &case.shape, x.view(), params.view(), on_mut(&cx, &mut got).view_mut()).unwrap();
                assert_close(&what("forward"), &got, &y, tolerance * d as f64);
                let mut got = vec![T::NAN; 6 * d];
                case.backward(&cx, &dy, &mut got, Acc::Set);
                assert_close(&what("backward"), &got, &dparams, tolerance * n as f64);
                case.backward(&cx, &dy, &mut got, Acc::Add);
                let twice: Vec<f64> = dparams.iter().map(|value| 2.0 * value).collect();
                assert_close(&what("backward, added"), &got, &twice, 2.0 * tolerance * n as f64);
            }
        }
    }
}

#[test]
fn every_variant_matches_the_oracle() {
    against_the_oracle::<f32>(2e-7);
    against_the_oracle::<f64>(4e-16);
}

fn steps_against_the_oracle<T: Real>(tolerance: f64) {
    for (seed, d) in SIZES.into_iter().enumerate() {
        for (replicas, batch) in [(1, 1), (2, 1), (3, 1), (2, 3), (1, 5)] {
            let case = Case::<T>::new(6, d, replicas, seed as u64);
            let order = Cases::new(8).indices(replicas * 40 * batch, 6);
            let lr: Vec<T> = (0..40).map(|t| T::from_f64((0.2 + 0.01 * t as f64) / d as f64)).collect();
            let wide_lr: Vec<f64> = lr.iter().map(|lr| lr.to_f64()).collect();
            let rates = StepSizes::Shared(&wide_lr).of(0, 1);
            let (mut sgd, mut gd) = (case.wide(), case.wide());
            for r in 0..replicas {
                let order = &order[r * 40 * batch..][..40 * batch];
                let (from, shape) = (r * 2 * d, sgd.shape);
                let outcome = scalar::diagonal_sgd(&shape, &sgd.x, &sgd.y, order, batch, rates, &mut sgd.params[from..][..2 * d]);
                assert_eq!(outcome, None);
                assert_eq!(scalar::diagonal_gd(&shape, &gd.x, &gd.y, rates, &mut gd.params[from..][..2 * d]), None);
            }
            let moved = sgd.params.iter().zip(&case.params).map(|(a, b)| (a - b.to_f64()).abs()).fold(0.0, f64::max);
            assert!(moved > 0.01, "the case must move the parameters, moved {moved}");
            for cx in contexts() {
                let what = |op: &str| format!("{op} {} {} d={d} R={replicas} B={batch}", variant(&cx), T::DTYPE.name());
                let (mut params, mut diverged) = (case.params.clone(), vec![None; replicas]);
                case.sgd(&cx, Steps { order: (&order).into(), batch, lr: StepSizes::Shared(&lr) }, &mut params, &mut diverged);
                assert_close(&what("sgd"), &params, &sgd.params, tolerance * d as f64);
                let mut params = case.params.clone();
                let (x, y) = (on(&cx, &case.x), on(&cx, &case.y));
                diagonal_gd(
                    &cx,
                    &case.shape,
                    x.view(),
                    y.view(),
                    StepSizes::Shared(&lr),
                    on_mut(&cx, &mut params).view_mut(),
                    &mut diverged,
                )
                .unwrap();
                assert_close(&what("gd"), &params, &gd.params, tolerance * d as f64);
                assert_eq!(diverged, vec![None; replicas]);
            }
        }
    }
}

#[test]
fn every_step_variant_matches_the_oracle() {
    steps_against_the_oracle::<f32>(4e-6);
    steps_against_the_oracle::<f64>(1e-14);
}

#[test]
fn one_step_is_the_gradient_step() {
    for cx in contexts() {
        let case = Case::<f64>::new(5, 37, 1, 2);
        let (mut y, mut dy, mut gradient) = (vec![f64::NAN; 5], vec![f64::NAN; 5], vec![f64::NAN; 74]);
        let (x, start) = (on(&cx, &case.x), on(&cx, &case.params));
        diagonal_forward(&cx, &case.shape, x.view(), start.view(), on_mut(&cx, &mut y).view_mut()).unwrap();
        mse_backward(&cx, MseScale::Half, on(&cx, &y).view(), on(&cx, &case.y).view(), on_mut(&cx, &mut dy).view_mut()).unwrap();
        case.backward(&cx, &dy, &mut gradient, Acc::Set);
        let want: Vec<f64> = case.params.iter().zip(&gradient).map(|(p, g)| p - 0.3 * g).collect();
        let mut by_gd = case.params.clone();
        diagonal_gd(
            &cx,
            &case.shape,
            x.view(),
            on(&cx, &case.y).view(),
            StepSizes::Shared(&[0.3]),
            on_mut(&cx, &mut by_gd).view_mut(),
            &mut [None],
        )
        .unwrap();
        assert_close("gd", &by_gd, &want, 1e-15);
        let mut by_sgd = case.params.clone();
        case.sgd(
            &cx,
            Steps { order: (&[4, 2, 0, 1, 3]).into(), batch: 5, lr: StepSizes::Shared(&[0.3]) },
            &mut by_sgd,
            &mut [None],
        );
        assert_close("sgd on all samples", &by_sgd, &want, 1e-14);
    }
}

/// Bits of a replica alone, one step a call.
fn alone<T: Real>(cx: &Context, case: &Case<T>, replica: usize, order: &[u32], lr: &[T]) -> Vec<T> {
    let two_d = 2 * case.shape.d;
    let one = Case { shape: DiagonalShape { replicas: 1, ..case.shape }, x: case.x.clone(), y: case.y.clone(), params: vec![] };
    let mut params = case.params[replica * two_d..][..two_d].to_vec();
    for t in 0..lr.len() {
        one.sgd(
            cx,
            Steps { order: (&order[t..=t]).into(), batch: 1, lr: StepSizes::Shared(&lr[t..=t]) },
            &mut params,
            &mut [None],
        );
    }
    params
}

fn grouping_and_splitting_change_nothing<T: Real>() {
    for d in [1, 9, 33, 130, 200] {
        for replicas in 1..=5 {
            let case = Case::<T>::new(6, d, replicas, 5);
            let order = Cases::new(8).indices(replicas * 30, 6);
            let own: Vec<T> = (0..replicas * 30).map(|k| T::from_f64(0.3 / (d * (1 + k / 30)) as f64)).collect();
            for cx in contexts() {
                let lr = StepSizes::Each(&own);
                let mut params = case.params.clone();
                case.sgd(&cx, Steps { order: (&order).into(), batch: 1, lr }, &mut params, &mut vec![None; replicas]);
                for r in 0..replicas {
                    let want = alone(&cx, &case, r, &order[r * 30..][..30], &own[r * 30..][..30]);
                    assert_eq!(params[r * 2 * d..][..2 * d], want, "{} d={d} replica {r} of {replicas}", variant(&cx));
                }
            }
        }
    }
}

#[test]
fn a_replica_has_the_same_bits_alone_grouped_or_interrupted() {
    grouping_and_splitting_change_nothing::<f32>();
    grouping_and_splitting_change_nothing::<f64>();
}

#[test]
fn full_batches_take_each_replicas_own_step_sizes() {
    let case = Case::<f32>::new(6, 33, 3, 5);
    let own: Vec<f32> = (0..3 * 20).map(|k| 0.01 / (1 + k / 20) as f32).collect();
    for cx in contexts() {
        let descend = |replicas: usize, lr: StepSizes<'_, f32>, params: &mut [f32]| {
            let shape = DiagonalShape { replicas, ..case.shape };
            let (x, y, mut params) = (on(&cx, &case.x), on(&cx, &case.y), on_mut(&cx, params));
            diagonal_gd(&cx, &shape, x.view(), y.view(), lr, params.view_mut(), &mut vec![None; replicas]).unwrap();
        };
        let mut together = case.params.clone();
        descend(3, StepSizes::Each(&own), &mut together);
        for (r, (got, start)) in together.chunks_exact(66).zip(case.params.chunks_exact(66)).enumerate() {
            let mut alone = start.to_vec();
            descend(1, StepSizes::Shared(&own[r * 20..][..20]), &mut alone);
            assert_eq!(got, alone, "{} replica {r}", variant(&cx));
            assert_ne!(got, start);
        }
    }
}

#[test]
fn divergence_is_found_at_its_step_and_touches_no_other_replica() {
    for cx in contexts() {
        let case = Case::<f64>::new(6, 40, 3, 6);
        let order = Cases::new(8).indices(3 * 200, 6);
        let mut params = case.params.clone();
        // Only the middle replica starts far out, where this step size is unstable.
        params[80..160].iter_mut().for_each(|p| *p *= 30.0);
        let start = params.clone();
        let lr = vec![0.02; 200];
        let mut diverged = [None; 3];
        case.sgd(&cx, Steps { order: (&order).into(), batch: 1, lr: StepSizes::Shared(&lr) }, &mut params, &mut diverged);
        let step = diverged[1].expect("a step size far beyond stability");
        assert_eq!((diverged[0], diverged[2]), (None, None));
        assert!(params[..80].iter().chain(&params[160..]).all(|p| p.is_finite()));

        let mut oracle = start.clone();
        let rates = StepSizes::Shared(&lr).of(1, 3);
        let found = scalar::diagonal_sgd(&case.shape, &case.x, &case.y, &order[200..400], 1, rates, &mut oracle[80..160]);
        assert_eq!(found, Some(step), "{}", variant(&cx));

        let mut before = start.clone();
        let one = Case { shape: DiagonalShape { replicas: 1, ..case.shape }, ..case };
        one.sgd(
            &cx,
            Steps { order: (&order[200..200 + step]).into(), batch: 1, lr: StepSizes::Shared(&lr[..step]) },
            &mut before[80..160],
            &mut [None],
        );
        assert_eq!(before[80..160], params[80..160], "the replica stays as it was before the diverging step");

        let mut entry = [Some(7)];
        one.sgd(
            &cx,
            Steps { order: (&order[..1]).into(), batch: 1, lr: StepSizes::Shared(&lr[..1]) },
            &mut before[..80],
            &mut entry,
        );
        assert_eq!((entry, &before[..80]), ([Some(7)], &start[..80]), "a diverged replica is left alone");
    }
}

#[test]
fn wrong_arguments_are_refused_and_change_nothing() {
    let cx = Context::cpu().unwrap();
    let case = Case::<f32>::new(3, 4, 1, 0);
    let attempt = |shape: DiagonalShape, y: &[f32], order: &[u32], batch: usize, count: usize| {
        let mut params = case.params.clone();
        let steps = Steps { order: order.into(), batch, lr: StepSizes::Shared(&[0.1]) };
        let result = diagonal_sgd(&cx, &shape, (&case.x).into(), y.into(), steps, (&mut params).into(), &mut vec![None; count]);
        assert_eq!(params, case.params);
        result.unwrap_err().to_string()
    };
    assert!(attempt(case.shape, &case.y, &[3], 1, 1).contains("`order[0]` is 3, but indices must be below 3"));
    assert!(attempt(case.shape, &case.y, &[], 1, 1).contains("`order` has 0 elements, expected 1"));
    assert!(attempt(case.shape, &case.y, &[], 0, 1).contains("batch is 0"));
    assert!(attempt(case.shape, &case.y[..2], &[0], 1, 1).contains("`y` has 2 elements, expected 3"));
    assert!(attempt(case.shape, &case.y, &[0], 1, 2).contains("`diverged` has 2 elements, expected 1"));
    assert!(attempt(DiagonalShape { d: 5, stride: 5, ..case.shape }, &case.y, &[0], 1, 1).contains("`x`"));
    assert!(attempt(DiagonalShape { replicas: 2, ..case.shape }, &case.y, &[0, 0], 1, 2).contains("`params`"));
    assert!(attempt(DiagonalShape { stride: 3, ..case.shape }, &case.y, &[0], 1, 1).contains("stride is 3, expected at least 4"));
    assert!(attempt(DiagonalShape { n: 0, ..case.shape }, &case.y, &[0], 1, 1).contains("n is 0"));
}

use super::*;
use crate::testing::{Cases, assert_close, contexts, on, on_mut, variant};
use crate::{Device, StepSizes};

const ACTIVATIONS: [Activation; 4] = [Activation::Identity, Activation::Relu, Activation::Tanh, Activation::Swish];

struct Case<T> {
    shape: WideMlpShape,
    x: Vec<T>,
    y: Vec<T>,
    params: Vec<T>,
}

fn case<T: Real>([inputs, hidden, outputs]: [usize; 3], activation: Activation, replicas: usize) -> Case<T> {
    let shape = WideMlpShape { inputs, hidden, outputs, activation, n: 7, stride: inputs + 3, replicas };
    let mut cases = Cases::new((inputs * 31 + hidden * 7 + outputs) as u64);
    let mut x: Vec<T> = cases.reals(shape.n * shape.stride);
    // What is between the rows is not read.
    x.chunks_exact_mut(shape.stride).for_each(|row| row[inputs..].fill(T::NAN));
    let y = cases.reals(shape.n * outputs);
    let bound = T::from_f64(1.0 / (inputs.max(hidden) as f64).sqrt());
    let params = cases.reals::<T>(replicas * shape.params()).iter().map(|&w| w * bound).collect();
    Case { shape, x, y, params }
}

impl<T: Real> Case<T> {
    fn wide(&self) -> Case<f64> {
        let wide = |values: &[T]| values.iter().map(|value| value.to_f64()).collect();
        Case { shape: self.shape, x: wide(&self.x), y: wide(&self.y), params: wide(&self.params) }
    }

    /// The parameters after these steps, and where each replica diverged.
    fn trained(&self, cx: &Context, order: &[u32], lr: &[T]) -> (Vec<T>, Vec<Option<usize>>) {
        self.trained_by(cx, Steps { order: order.into(), batch: 1, lr: StepSizes::Shared(lr) })
    }

    fn trained_by(&self, cx: &Context, steps: Steps<'_, T>) -> (Vec<T>, Vec<Option<usize>>) {
        let (mut params, mut diverged) = (self.params.clone(), vec![None; self.shape.replicas]);
        self.train(cx, steps, &mut params, &mut diverged);
        (params, diverged)
    }

    fn train(&self, cx: &Context, steps: Steps<'_, T>, params: &mut [T], diverged: &mut [Option<usize>]) {
        let (x, y, mut params) = (on(cx, &self.x), on(cx, &self.y), on_mut(cx, params));
        wide_mlp_sgd(cx, &self.shape, MseScale::Full, x.view(), y.view(), steps, params.view_mut(), diverged).unwrap();
    }

    /// 1/m ‖W₂ φ(W₁ x) - y‖² of a sample.
    fn loss(&self, params: &[f64], sample: usize) -> f64
    where
        T: Into<f64>,
    {
        let WideMlpShape { inputs, hidden, outputs, activation, stride, .. } = self.shape;
        let (w1, w2) = params.split_at(hidden * inputs);
        let inner = |row: &[f64], v: &[f64]| row.iter().zip(v).map(|(w, v)| w * v).sum::<f64>();
        let x: Vec<f64> = self.x[sample * stride..][..inputs].iter().map(|&x| x.into()).collect();
        let phi = |z: f64| match activation {
            Activation::Identity => z,
            Activation::Relu => z.max(0.0),
            Activation::Tanh => z.tanh(),
            Activation::Swish => z / (1.0 + (-z).exp()),
        };
        let a: Vec<f64> = w1.chunks_exact(inputs).map(|row| phi(inner(row, &x))).collect();
        let rows = w2.chunks_exact(hidden).zip(&self.y[sample * outputs..]);
        rows.map(|(row, &y)| (inner(row, &a) - y.into()).powi(2)).sum::<f64>() / outputs as f64
    }
}

#[test]
fn one_step_descends_the_loss() {
    for cx in contexts() {
        for activation in ACTIVATIONS {
            let case = case::<f64>([3, 5, 4], activation, 1);
            let (after, _) = case.trained(&cx, &[2], &[0.25]);
            let numeric: Vec<f64> = (0..case.params.len())
                .map(|j| {
                    let at = |by: f64| {
                        let mut params = case.params.clone();
                        params[j] += by;
                        case.loss(&params, 2)
                    };
                    (at(1e-5) - at(-1e-5)) / 2e-5
                })
                .collect();
            let gradient: Vec<f64> = case.params.iter().zip(&after).map(|(before, after)| (before - after) / 0.25).collect();
            assert_close(&format!("{activation:?} {}", variant(&cx)), &gradient, &numeric, 1e-9);
        }
    }
}

fn against_the_oracle<T: Real>(tolerance: f64) {
    let scalar = Context::cpu_with(Isa::Scalar).unwrap();
    let cases = [
        // Below, at and above what is subtracted at once.
        ([1, 1, 1], 3, 0.3),
        ([3, 17, 5], 40, 0.3),
        ([33, 16, 31], DELAY, 0.3),
        ([40, 70, 9], 2 * DELAY + 1, 0.3),
        ([8, 1, 200], 17, 0.3),
        // On a device, at what it has in registers, and with one more unit or output; beyond its shared memory.
        ([65, 224, 200], 3, 3.0),
        ([9, 225, 7], 3, 0.2),
        ([7, 30, 201], 3, 3.0),
        ([310, 190, 3], 3, 0.05),
    ];
    for (widths, steps, peak) in cases {
        for activation in ACTIVATIONS {
            let case = case::<T>(widths, activation, 2);
            let order = Cases::new(1).indices(2 * steps, case.shape.n);
            let lr: Vec<T> = (0..steps).map(|step| T::from_f64(peak / (1.0 + step as f64))).collect();
            let wide: Vec<f64> = lr.iter().map(|lr| lr.to_f64()).collect();
            let (want, _) = case.wide().trained(&scalar, &order, &wide);
            let moved = want.iter().zip(&case.params).map(|(want, start)| (want - start.to_f64()).abs()).fold(0.0, f64::max);
            assert!(moved > 1e-3, "{widths:?} {activation:?} moved by {moved}");
            for cx in contexts() {
                let what = format!("{widths:?} {activation:?} {} {}", variant(&cx), T::DTYPE.name());
                let (got, diverged) = case.trained(&cx, &order, &lr);
                assert_eq!(diverged, [None, None], "{what}");
                assert_close(&what, &got, &want, tolerance);
            }
        }
    }
}

#[test]
fn every_variant_matches_the_oracle() {
    against_the_oracle::<f32>(2e-6);
    against_the_oracle::<f64>(1e-14);
}

impl<T: Real> Case<T> {
    /// Replica r alone.
    fn replica(&self, r: usize) -> Case<T> {
        let params = self.params[r * self.shape.params()..][..self.shape.params()].to_vec();
        Case { shape: WideMlpShape { replicas: 1, ..self.shape }, x: self.x.clone(), y: self.y.clone(), params }
    }
}

fn bits<T: Real>(params: &[T]) -> Vec<u64> {
    params.iter().map(|value| value.to_f64().to_bits()).collect()
}

fn replicas_bits_are_their_own<T: Real>() {
    let case = case::<T>([20, 37, 10], Activation::Tanh, 7);
    let (steps, count) = (2 * DELAY, case.shape.params());
    let order = Cases::new(1).indices(7 * steps, case.shape.n);
    let own: Vec<T> = (0..7 * steps).map(|k| T::from_f64(0.1 / (1 + k / steps) as f64)).collect();
    for cx in contexts() {
        let (together, _) = case.trained_by(&cx, Steps { order: (&order).into(), batch: 1, lr: StepSizes::Each(&own) });
        // Where bits do not depend on it, stretches end anywhere.
        let stretch = if cx.device() == Device::Cpu { DELAY } else { 5 };
        for replica in 0..7 {
            let alone = case.replica(replica);
            let (order, lr) = (&order[replica * steps..][..steps], &own[replica * steps..][..steps]);
            let (whole, _) = alone.trained(&cx, order, lr);
            let what = format!("{} {} replica {replica}", variant(&cx), T::DTYPE.name());
            assert_eq!(bits(&whole), bits(&together[replica * count..][..count]), "{what}");
            let (first, _) = alone.trained(&cx, &order[..stretch], &lr[..stretch]);
            let (then, _) = Case { params: first, ..alone }.trained(&cx, &order[stretch..], &lr[stretch..]);
            assert_eq!(bits(&whole), bits(&then), "{what}: in two stretches");
        }
    }
}

#[test]
fn a_replicas_bits_are_its_own() {
    replicas_bits_are_their_own::<f32>();
    replicas_bits_are_their_own::<f64>();
}

#[test]
fn no_step_changes_no_bit() {
    for cx in contexts() {
        let mut case = case::<f32>([5, 6, 4], Activation::Relu, 2);
        case.params[0] = -0.0;
        let (params, diverged) = case.trained(&cx, &[], &[]);
        assert_eq!((bits(&params), diverged), (bits(&case.params), vec![None; 2]), "{}", variant(&cx));
    }
}

fn bad_samples_stop_their_replicas<T: Real>(activation: Activation) {
    const STEPS: usize = 20;
    let mut case = case::<T>([5, 9, 4], activation, 5);
    // Sample 6 cannot be predicted; replicas 1 and 3 meet it at steps 7 and 0, the others never.
    case.x[6 * case.shape.stride + 4] = T::NAN;
    let mut order = Cases::new(8).indices(5 * STEPS, 6);
    (order[STEPS + 7], order[3 * STEPS]) = (6, 6);
    let lr = vec![T::from_f64(0.1); STEPS];
    for cx in contexts() {
        let what = format!("{} {activation:?} {}", variant(&cx), T::DTYPE.name());
        let (params, mut diverged) = case.trained(&cx, &order, &lr);
        assert_eq!(diverged, [None, Some(7), None, Some(0), None], "{what}");
        for (r, steps) in [STEPS, 7, STEPS, 0, STEPS].into_iter().enumerate() {
            let (before, none) = case.replica(r).trained(&cx, &order[r * STEPS..][..steps], &lr[..steps]);
            assert_eq!(none, [None]);
            let got = &params[r * case.shape.params()..][..case.shape.params()];
            assert_eq!(bits(got), bits(&before), "{what} replica {r}: as before the step it stopped at");
        }
        let (mut again, entries) = (params.clone(), diverged.clone());
        case.train(&cx, Steps { order: (&order).into(), batch: 1, lr: StepSizes::Shared(&lr) }, &mut again, &mut diverged);
        assert_eq!(diverged, entries, "{what}");
        for r in [1, 3] {
            let of_it = r * case.shape.params()..(r + 1) * case.shape.params();
            assert_eq!(bits(&again[of_it.clone()]), bits(&params[of_it]), "{what} replica {r}: left alone");
        }
    }
}

#[test]
fn a_bad_sample_stops_the_replica_that_meets_it() {
    for activation in ACTIVATIONS {
        bad_samples_stop_their_replicas::<f32>(activation);
        bad_samples_stop_their_replicas::<f64>(activation);
    }
}

fn overflow_stops_one_replica<T: Real>() {
    let mut case = case::<T>([5, 6, 4], Activation::Identity, 2);
    let count = case.shape.params();
    // Overflows after some steps; the other replica is the same but at rest.
    case.params[count..].fill(T::ZERO);
    case.y.fill(T::ZERO);
    let (steps, order) = (200, vec![1; 400]);
    let lr = vec![T::from_f64(100.0); steps];
    let mut found = Vec::new();
    for cx in contexts() {
        let (params, diverged) = case.trained(&cx, &order, &lr);
        let at = diverged[0].expect("the first replica diverges");
        assert!(at > 2 && diverged[1].is_none(), "{diverged:?}");
        let (before, none) = case.replica(0).trained(&cx, &order[..at], &lr[..at]);
        assert_eq!(none, [None]);
        assert_eq!(bits(&before), bits(&params[..count]), "{}", variant(&cx));
        assert!(params[count..].iter().all(|&w| w == T::ZERO));
        found.push(at);
    }
    assert!(found.iter().all(|at| *at == found[0]), "{found:?}");
}

#[test]
fn a_diverging_replica_stays_and_the_others_go_on() {
    overflow_stops_one_replica::<f32>();
    overflow_stops_one_replica::<f64>();
}

#[test]
fn wrong_arguments_are_refused() {
    let cx = Context::cpu().unwrap();
    let right = WideMlpShape { inputs: 3, hidden: 4, outputs: 2, activation: Activation::Relu, n: 5, stride: 3, replicas: 1 };
    let attempt = |shape: WideMlpShape, [x, y, params]: [usize; 3], batch: usize, order: &[u32]| {
        let steps = Steps { order: order.into(), batch, lr: StepSizes::Shared(&[0.1f32]) };
        let (x, y, mut params) = (vec![0.0; x], vec![0.0; y], vec![0.0; params]);
        let (x, y, params) = ((&x).into(), (&y).into(), (&mut params).into());
        wide_mlp_sgd(&cx, &shape, MseScale::Half, x, y, steps, params, &mut [None]).map_err(|error| error.to_string())
    };
    attempt(right, [15, 10, 20], 1, &[4]).unwrap();
    for (shape, lengths, batch, order, message) in [
        (WideMlpShape { hidden: 0, ..right }, [15, 10, 0], 1, &[4][..], "hidden is 0, expected at least 1"),
        (WideMlpShape { stride: 2, ..right }, [15, 10, 20], 1, &[4], "stride is 2, expected at least the inputs, 3"),
        (right, [14, 10, 20], 1, &[4], "`x` has 14 elements, expected 15"),
        (right, [15, 9, 20], 1, &[4], "`y` has 9 elements, expected 10"),
        (right, [15, 10, 21], 1, &[4], "`params` has 21 elements, expected 20"),
        (right, [15, 10, 20], 2, &[4, 4], "batch is 2, expected 1: one sample a step"),
        (right, [15, 10, 20], 1, &[5], "`order[0]` is 5, but indices must be below 5"),
        (WideMlpShape { replicas: 2, ..right }, [15, 10, 40], 1, &[4, 4], "`diverged` has 1 elements, expected 2"),
    ] {
        let error = attempt(shape, lengths, batch, order).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}

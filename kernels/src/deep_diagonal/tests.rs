use super::*;
use crate::StepSizes;
use crate::testing::{Cases, assert_close, cpu_contexts, variant};

const ACTIVATIONS: [Activation; 4] = [Activation::Identity, Activation::Relu, Activation::Tanh, Activation::Swish];

struct Case<T> {
    shape: DeepDiagonalShape,
    x: Vec<T>,
    y: Vec<T>,
    params: Vec<T>,
}

fn case<T: Real>((depth, d): (usize, usize), activation: Activation, replicas: usize) -> Case<T> {
    let shape = DeepDiagonalShape { depth, d, activation, n: 7, stride: d + 3, replicas };
    let mut cases = Cases::new((depth * 31 + d) as u64);
    let mut x: Vec<T> = cases.reals(shape.n * shape.stride);
    // What is between the rows is not read.
    x.chunks_exact_mut(shape.stride).for_each(|row| row[d..].fill(T::NAN));
    Case { shape, x, y: cases.reals(shape.n), params: cases.reals(replicas * shape.params()) }
}

impl<T: Real> Case<T> {
    fn wide(&self) -> Case<f64> {
        let wide = |values: &[T]| values.iter().map(|value| value.to_f64()).collect();
        Case { shape: self.shape, x: wide(&self.x), y: wide(&self.y), params: wide(&self.params) }
    }

    /// One replica alone, from these parameters.
    fn alone(&self, params: Vec<T>) -> Case<T> {
        Case { shape: DeepDiagonalShape { replicas: 1, ..self.shape }, x: self.x.clone(), y: self.y.clone(), params }
    }

    /// The parameters after these steps, and where each replica diverged.
    fn trained(&self, cx: &Context, order: &[u32], lr: StepSizes<'_, T>) -> (Vec<T>, Vec<Option<usize>>) {
        let (mut params, mut diverged) = (self.params.clone(), vec![None; self.shape.replicas]);
        let (steps, x, y) = (Steps { order: order.into(), batch: 1, lr }, (&self.x).into(), (&self.y).into());
        deep_diagonal_sgd(cx, &self.shape, MseScale::Full, x, y, steps, (&mut params).into(), &mut diverged).unwrap();
        (params, diverged)
    }
}

/// (h(x) - y)² of a sample, from the definition.
fn loss(case: &Case<f64>, params: &[f64], sample: usize) -> f64 {
    let DeepDiagonalShape { depth, d, activation, stride, .. } = case.shape;
    let phi = |z: f64| match activation {
        Activation::Identity => z,
        Activation::Relu => z.max(0.0),
        Activation::Tanh => z.tanh(),
        Activation::Swish => z / (1.0 + (-z).exp()),
    };
    let chain = |j: usize| (1..depth).fold(params[j] * case.x[sample * stride + j], |z, l| params[l * d + j] * phi(z));
    ((0..d).map(chain).sum::<f64>() - case.y[sample]).powi(2)
}

#[test]
fn one_step_descends_the_loss() {
    for cx in cpu_contexts() {
        for (sizes, activation) in [(3, 5), (2, 1), (1, 4)].into_iter().flat_map(|sizes| ACTIVATIONS.map(|kind| (sizes, kind))) {
            let case = case::<f64>(sizes, activation, 1);
            let (after, _) = case.trained(&cx, &[2], StepSizes::Shared(&[0.25]));
            let slope = |j: usize| {
                let at = |by: f64| {
                    let mut params = case.params.clone();
                    params[j] += by;
                    loss(&case, &params, 2)
                };
                (at(1e-5) - at(-1e-5)) / 2e-5
            };
            let numeric: Vec<f64> = (0..case.params.len()).map(slope).collect();
            let gradient: Vec<f64> = case.params.iter().zip(&after).map(|(before, after)| (before - after) / 0.25).collect();
            assert_close(&format!("{sizes:?} {activation:?} {}", variant(&cx)), &gradient, &numeric, 1e-9);
        }
    }
}

/// Depths and features, among them single neurons.
const SIZES: [(usize, usize); 6] = [(1, 3), (2, 1), (4, 1), (2, 16), (3, 33), (2, 70)];

fn against_the_oracle<T: Real>(tolerance: f64) {
    let scalar = Context::cpu_with(Isa::Scalar).unwrap();
    let (mut cases, mut moved) = (0, 0);
    for (sizes, activation) in SIZES.into_iter().flat_map(|sizes| ACTIVATIONS.map(|activation| (sizes, activation))) {
        let case = case::<T>(sizes, activation, 3);
        let steps = 25;
        let order = Cases::new(1).indices(3 * steps, case.shape.n);
        let lr: Vec<T> =
            (0..3 * steps).map(|k| T::from_f64(0.3 / (1.0 + 0.25 * sizes.1 as f64 + 0.1 * (k % steps) as f64))).collect();
        let wide: Vec<f64> = lr.iter().map(|lr| lr.to_f64()).collect();
        let (want, _) = case.wide().trained(&scalar, &order, StepSizes::Each(&wide));
        let apart = want.iter().zip(&case.params).any(|(want, start)| (want - start.to_f64()).abs() > 1e-2);
        (cases, moved) = (cases + 1, moved + usize::from(apart));
        for cx in cpu_contexts() {
            let what = format!("{sizes:?} {activation:?} {} {}", variant(&cx), T::DTYPE.name());
            let (got, diverged) = case.trained(&cx, &order, StepSizes::Each(&lr));
            assert_eq!(diverged, [None; 3], "{what}");
            assert_close(&what, &got, &want, tolerance);
        }
    }
    assert!(4 * moved >= 3 * cases, "{moved} of {cases} networks move");
}

#[test]
fn every_variant_matches_the_oracle() {
    against_the_oracle::<f32>(2e-6);
    against_the_oracle::<f64>(1e-14);
}

fn own_bits<T: Real>() {
    const STEPS: usize = 20;
    for (cx, sizes) in cpu_contexts().iter().flat_map(|cx| SIZES.map(|sizes| (cx, sizes))) {
        // More than a vector has lanes.
        let case = case::<T>(sizes, Activation::Tanh, 19);
        let (order, count) = (Cases::new(1).indices(19 * STEPS, case.shape.n), case.shape.params());
        let lr: Vec<T> = (0..19 * STEPS).map(|k| T::from_f64(0.1 / (1 + k / STEPS) as f64)).collect();
        let (together, _) = case.trained(cx, &order, StepSizes::Each(&lr));
        for replica in 0..19 {
            let own = replica * STEPS..(replica + 1) * STEPS;
            let (order, lr) = (&order[own.clone()], &lr[own]);
            let mut params = case.params[replica * count..][..count].to_vec();
            for (from, to) in [(0, 1), (1, 7), (7, STEPS)] {
                (params, _) = case.alone(params).trained(cx, &order[from..to], StepSizes::Shared(&lr[from..to]));
            }
            assert_eq!(params, together[replica * count..][..count], "{} {sizes:?} replica {replica}", variant(cx));
        }
    }
}

#[test]
fn a_replica_has_the_same_bits_alone_grouped_or_interrupted() {
    own_bits::<f32>();
    own_bits::<f64>();
}

#[test]
fn divergence_is_found_at_its_step_and_touches_no_other_replica() {
    const STEPS: usize = 60;
    for (cx, sizes) in cpu_contexts().iter().flat_map(|cx| [(2, 1), (3, 20)].map(|sizes| (cx, sizes))) {
        let case = case::<f64>(sizes, Activation::Identity, 5);
        let (order, count) = (Cases::new(1).indices(5 * STEPS, case.shape.n), case.shape.params());
        let mut lr = vec![1e-3; 5 * STEPS];
        // Two of them, at different steps.
        lr[STEPS + 3..2 * STEPS].fill(1e6);
        lr[3 * STEPS + 20..4 * STEPS].fill(1e6);
        let (params, diverged) = case.trained(cx, &order, StepSizes::Each(&lr));
        let found: Vec<bool> = diverged.iter().map(Option::is_some).collect();
        assert_eq!(found, [false, true, false, true, false], "{} {diverged:?}", variant(cx));
        for (replica, diverged) in diverged.into_iter().enumerate() {
            let steps = diverged.unwrap_or(STEPS);
            assert!(diverged.is_none() || steps > 3, "{diverged:?}");
            let own = replica * STEPS..replica * STEPS + steps;
            let one = case.alone(case.params[replica * count..][..count].to_vec());
            let (want, none) = one.trained(cx, &order[own.clone()], StepSizes::Shared(&lr[own]));
            let bits = |params: &[f64]| params.iter().map(|w| w.to_bits()).collect::<Vec<_>>();
            assert_eq!((bits(&want), none), (bits(&params[replica * count..][..count]), vec![None]), "{}", variant(cx));
        }
        let mut untouched = case.params[..count].to_vec();
        let (mut entry, steps) = ([Some(7)], Steps { order: (&[1]).into(), batch: 1, lr: StepSizes::Shared(&[0.1]) });
        let (shape, params) = (DeepDiagonalShape { replicas: 1, ..case.shape }, (&mut untouched).into());
        deep_diagonal_sgd(cx, &shape, MseScale::Half, (&case.x).into(), (&case.y).into(), steps, params, &mut entry).unwrap();
        assert_eq!((entry, &untouched[..]), ([Some(7)], &case.params[..count]), "a diverged replica is left alone");
    }
}

#[test]
fn wrong_arguments_are_refused() {
    let cx = Context::cpu().unwrap();
    let right = DeepDiagonalShape { depth: 2, d: 3, activation: Activation::Tanh, n: 5, stride: 3, replicas: 1 };
    let attempt = |shape: DeepDiagonalShape, [x, y, params]: [usize; 3], batch: usize, order: &[u32]| {
        let steps = Steps { order: order.into(), batch, lr: StepSizes::Shared(&[0.1f32]) };
        let (x, y, mut params) = (vec![0.0; x], vec![0.0; y], vec![0.0; params]);
        let (x, y, params) = ((&x).into(), (&y).into(), (&mut params).into());
        deep_diagonal_sgd(&cx, &shape, MseScale::Half, x, y, steps, params, &mut [None]).map_err(|error| error.to_string())
    };
    attempt(right, [15, 5, 6], 1, &[4]).unwrap();
    for (shape, lengths, batch, order, message) in [
        (DeepDiagonalShape { depth: 0, ..right }, [15, 5, 0], 1, &[4][..], "depth is 0, expected at least 1"),
        (DeepDiagonalShape { d: 0, ..right }, [15, 5, 0], 1, &[4], "the smallest width is 0, expected at least 1"),
        (DeepDiagonalShape { stride: 2, ..right }, [15, 5, 6], 1, &[4], "stride is 2, expected at least 3"),
        (right, [14, 5, 6], 1, &[4], "`x` has 14 elements, expected 15"),
        (right, [15, 4, 6], 1, &[4], "`y` has 4 elements, expected 5"),
        (right, [15, 5, 7], 1, &[4], "`params` has 7 elements, expected 6"),
        (right, [15, 5, 6], 2, &[4, 4], "batch is 2, expected 1: one sample a step"),
        (right, [15, 5, 6], 1, &[5], "`order[0]` is 5, but indices must be below 5"),
    ] {
        let error = attempt(shape, lengths, batch, order).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}

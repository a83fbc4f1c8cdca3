use super::*;
use crate::mse::MseScale;
use crate::testing::{Cases, assert_close, contexts, is_emulated, largest_error, on, on_mut, variant};
use crate::{Device, StepSizes};

const NETWORKS: [&[usize]; 22] = [
    &[1, 1],
    &[7, 1],
    &[33, 1],
    &[101, 1],
    &[1, 1, 1],
    &[1, 100, 1],
    &[1, 101, 1],
    &[2, 20, 1],
    &[2, 3, 1],
    &[3, 7, 1],
    &[16, 15, 1],
    &[1, 16, 1],
    &[2, 17, 1],
    &[1, 33, 1],
    &[5, 10, 10, 1],
    &[2, 31, 33, 1],
    &[17, 2, 16, 1],
    &[1, 1, 1, 1],
    &[15, 15, 15, 15, 1],
    &[3, 16, 1, 17, 1],
    &[2, 7, 101, 3, 1],
    &[31, 33, 15, 31, 1],
];
const BIASES: [Bias; 3] = [Bias::None, Bias::First, Bias::All];
const ACTIVATIONS: [Hidden; 2] = [Hidden::Identity, Hidden::Relu];

fn plain<T: Real>() -> StepRule<T> {
    StepRule { scale: MseScale::Half, clip: None, weight_decay: T::ZERO }
}

/// Plain, clipped with the other scale, decayed, and both.
fn rules<T: Real>() -> [StepRule<T>; 4] {
    let (clip, weight_decay) = (Some(T::from_f64(0.3)), T::from_f64(0.05));
    [
        plain(),
        StepRule { scale: MseScale::Full, clip, ..plain() },
        StepRule { weight_decay, ..plain() },
        StepRule { scale: MseScale::Full, clip, weight_decay },
    ]
}

/// Data with NaN between its rows, and parameters of every replica.
#[derive(Clone)]
struct Case<T> {
    shape: MlpShape<'static>,
    x: Vec<T>,
    y: Vec<T>,
    params: Vec<T>,
}

impl<T: Real> Case<T> {
    fn new(widths: &'static [usize], bias: Bias, activation: Hidden, replicas: usize) -> Case<T> {
        let mut cases = Cases::new(widths.iter().sum::<usize>() as u64);
        let (n, inputs) = (5, widths[0]);
        let shape = MlpShape { widths, bias, activation, n, stride: inputs + widths.len() % 3, replicas };
        let mut x = vec![T::NAN; n * shape.stride];
        for row in x.chunks_exact_mut(shape.stride) {
            row[..inputs].copy_from_slice(&cases.reals(inputs));
        }
        let y = cases.reals(n);
        // Activations neither vanish nor explode: weights of a layer are about sqrt(3 / inputs).
        let mut params = Vec::new();
        for layer in (0..replicas).flat_map(|_| shape.layers()) {
            let scale = T::from_f64((3.0 / layer.inputs as f64).sqrt());
            params.extend(cases.reals::<T>(layer.params()).iter().map(|&p| scale * p));
        }
        Case { shape, x, y, params }
    }

    fn wide(&self) -> Case<f64> {
        let wide = |values: &[T]| values.iter().map(|value| value.to_f64()).collect();
        Case { shape: self.shape, x: wide(&self.x), y: wide(&self.y), params: wide(&self.params) }
    }

    /// Replica r alone.
    fn replica(&self, r: usize) -> Case<T> {
        let params = self.params[r * self.shape.params()..][..self.shape.params()].to_vec();
        Case { shape: MlpShape { replicas: 1, ..self.shape }, params, ..self.clone() }
    }

    fn sgd(&mut self, cx: &Context, rule: StepRule<T>, order: &[u32], lr: &[T]) -> Vec<Option<usize>> {
        self.train(cx, rule, Steps { order: order.into(), batch: 1, lr: StepSizes::Shared(lr) })
    }

    fn train(&mut self, cx: &Context, rule: StepRule<T>, steps: Steps<'_, T>) -> Vec<Option<usize>> {
        let mut diverged = vec![None; self.shape.replicas];
        let (x, y, mut params) = (on(cx, &self.x), on(cx, &self.y), on_mut(cx, &mut self.params));
        mlp_sgd(cx, &self.shape, &rule, x.view(), y.view(), steps, params.view_mut(), &mut diverged).unwrap();
        diverged
    }
}

fn scalar_context() -> Context {
    Context::cpu_with(Isa::Scalar).unwrap()
}

/// Step sizes that are stable for every network: a gradient grows with the widths.
fn step_sizes<T: Real>(widths: &[usize], steps: usize) -> Vec<T> {
    let widest = widths.iter().max().copied().unwrap_or(1);
    (0..steps).map(|t| T::from_f64((0.2 + 0.01 * t as f64) / (1 + widest) as f64)).collect()
}

fn each_case<T: Real>(replicas: usize, mut test: impl FnMut(Case<T>, StepRule<T>, &str)) {
    for widths in NETWORKS {
        for bias in BIASES {
            for activation in ACTIVATIONS {
                for rule in rules() {
                    let what = format!("{widths:?} {bias:?} {activation:?} {rule:?} R={replicas} {}", T::DTYPE.name());
                    test(Case::new(widths, bias, activation, replicas), rule, &what);
                }
            }
        }
    }
}

#[test]
fn a_step_by_hand() {
    // h = 3 relu(2x + 1) - 0.5 + 4 relu(-x): at x = 1 the second unit is off. h = 8.5, r = 8.5 - 6.5 = 2.
    // ∇W_1 = r (3, 0) x, ∇b_1 = r (3, 0), ∇W_2 = r (3, 0), ∇b_2 = r.
    for cx in contexts() {
        let shape = MlpShape { widths: &[1, 2, 1], bias: Bias::All, activation: Hidden::Relu, n: 1, stride: 1, replicas: 1 };
        let start = vec![2.0, -1.0, 1.0, 0.0, 3.0, 4.0, -0.5];
        let case = Case { shape, x: vec![1.0], y: vec![6.5], params: start.clone() };
        let step = |rule: StepRule<f64>| {
            let mut case = case.clone();
            assert_eq!(case.sgd(&cx, rule, &[0], &[0.25]), [None]);
            case.params
        };
        let gradient = [6.0, 0.0, 6.0, 0.0, 6.0, 0.0, 2.0];
        let want = |factor: f64, keep: f64| -> Vec<f64> {
            start.iter().zip(gradient).map(|(w, g)| keep * w - 0.25 * factor * g).collect()
        };
        assert_eq!(step(plain()), want(1.0, 1.0), "{}", variant(&cx));
        assert_eq!(step(StepRule { scale: MseScale::Full, ..plain() }), want(2.0, 1.0));
        assert_eq!(step(StepRule { weight_decay: 0.5, ..plain() }), want(1.0, 0.875));
        let norm = 112f64.sqrt();
        let clipped = step(StepRule { clip: Some(0.5), weight_decay: 0.5, ..plain() });
        assert_close("clipped", &clipped, &want(0.5 / (norm + 1e-6), 0.875), 1e-15);
        assert_eq!(step(StepRule { clip: Some(11.0), ..plain() }), want(1.0, 1.0), "shorter than the clip");
    }
}

#[test]
fn the_derivative_of_relu_at_zero_is_zero() {
    for cx in contexts() {
        let shape = MlpShape { widths: &[1, 1, 1], bias: Bias::First, activation: Hidden::Relu, n: 1, stride: 1, replicas: 1 };
        let mut case = Case { shape, x: vec![1.0f32], y: vec![1.0], params: vec![1.0, -1.0, 3.0] };
        case.sgd(&cx, plain(), &[0], &[0.5]);
        assert_eq!(case.params, [1.0, -1.0, 3.0], "{}", variant(&cx));
    }
}

#[test]
fn a_step_is_the_derivative_of_the_loss() {
    let mut alive = 0;
    for widths in NETWORKS {
        for (bias, activation) in [(Bias::All, Hidden::Relu), (Bias::First, Hidden::Identity), (Bias::None, Hidden::Relu)] {
            let case = Case::<f64>::new(widths, bias, activation, 1);
            let loss = |params: &[f64]| {
                let h = scalar::forward(&case.shape, params, case.shape.row(&case.x, 2));
                0.5 * (h[h.len() - 1][0] - case.y[2]).powi(2)
            };
            let mut moved = case.clone();
            moved.sgd(&scalar_context(), plain(), &[2], &[1.0]);
            let gradient: Vec<f64> = case.params.iter().zip(&moved.params).map(|(before, after)| before - after).collect();
            let numeric: Vec<f64> = (0..case.params.len())
                .map(|j| {
                    let at = |shift: f64| {
                        let mut params = case.params.clone();
                        params[j] += shift;
                        loss(&params)
                    };
                    (at(1e-6) - at(-1e-6)) / 2e-6
                })
                .collect();
            alive += usize::from(numeric.iter().any(|g| g.abs() > 1e-3));
            assert_close(&format!("{widths:?} {bias:?} {activation:?}"), &gradient, &numeric, 1e-8);
        }
    }
    assert!(alive > 50, "most of the {} cases must have a gradient, {alive} have one", 3 * NETWORKS.len());
}

/// The same steps with matrices per layer and nothing shared with the operator.
fn reference(case: &mut Case<f64>, rule: StepRule<f64>, order: &[u32], lr: &[f64]) {
    let (widths, relu) = (case.shape.widths, case.shape.activation == Hidden::Relu);
    let depth = widths.len() - 1;
    for (&sample, &lr) in order.iter().zip(lr) {
        let (mut starts, mut at) = (Vec::new(), 0);
        let mut outputs = vec![case.x[sample as usize * case.shape.stride..][..widths[0]].to_vec()];
        for l in 0..depth {
            let (fan_in, fan_out) = (widths[l], widths[l + 1]);
            let has_bias = case.shape.bias == Bias::All || (case.shape.bias == Bias::First && l == 0);
            let mut z: Vec<f64> =
                (0..fan_out).map(|i| (0..fan_in).map(|j| case.params[at + i * fan_in + j] * outputs[l][j]).sum()).collect();
            starts.push((at, has_bias));
            at += fan_in * fan_out;
            if has_bias {
                z.iter_mut().zip(&case.params[at..]).for_each(|(z, b)| *z += b);
                at += fan_out;
            }
            if relu && l + 1 < depth {
                z.iter_mut().for_each(|z| *z = z.max(0.0));
            }
            outputs.push(z);
        }
        let residual = outputs[depth][0] - case.y[sample as usize];
        let mut delta = vec![if rule.scale == MseScale::Full { 2.0 * residual } else { residual }];
        let mut gradient = vec![0.0; at];
        for l in (0..depth).rev() {
            let ((start, has_bias), input) = (starts[l], &outputs[l]);
            for (i, d) in delta.iter().enumerate() {
                for (j, a) in input.iter().enumerate() {
                    gradient[start + i * input.len() + j] = d * a;
                }
                if has_bias {
                    gradient[start + delta.len() * input.len() + i] = *d;
                }
            }
            delta = (0..input.len())
                .map(|j| {
                    let sum = delta.iter().enumerate().map(|(i, d)| d * case.params[start + i * input.len() + j]).sum();
                    if relu && input[j] <= 0.0 { 0.0 } else { sum }
                })
                .collect();
        }
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let factor = rule.clip.map_or(1.0, |clip| (clip / (norm + 1e-6)).min(1.0));
        for (w, g) in case.params.iter_mut().zip(gradient) {
            *w -= lr * (factor * g + rule.weight_decay * *w);
        }
    }
}

fn against_the_references<T: Real>(tolerance: f64) {
    const STEPS: usize = 12;
    let (mut cases, mut moved) = (0, 0);
    each_case::<T>(3, |case, rule, what| {
        let order = Cases::new(8).indices(3 * STEPS, case.shape.n);
        let lr: Vec<T> = step_sizes(case.shape.widths, STEPS);
        let wide_lr: Vec<f64> = lr.iter().map(|lr| lr.to_f64()).collect();
        let wide_rule = StepRule { scale: rule.scale, clip: rule.clip.map(T::to_f64), weight_decay: rule.weight_decay.to_f64() };
        let mut oracle = case.wide();
        assert_eq!(oracle.sgd(&scalar_context(), wide_rule, &order, &wide_lr), [None; 3]);
        for r in 0..3 {
            let mut one = case.wide().replica(r);
            reference(&mut one, wide_rule, &order[r * STEPS..][..STEPS], &wide_lr);
            let got = &oracle.params[r * one.params.len()..][..one.params.len()];
            assert_close(&format!("oracle {what}"), got, &one.params, 1e-13);
        }
        (cases, moved) = (cases + 1, moved + usize::from(largest_error(&case.params, &oracle.params) > 1e-4));
        for cx in contexts() {
            let mut got = case.clone();
            assert_eq!(got.sgd(&cx, rule, &order, &lr), [None; 3]);
            assert_close(&format!("{} {what}", variant(&cx)), &got.params, &oracle.params, tolerance);
        }
    });
    assert!(moved > cases * 9 / 10, "relu must be alive in most of the {cases} cases, {moved} move");
}

#[test]
fn every_variant_matches_the_oracle_and_an_independent_reference() {
    against_the_references::<f32>(1e-5);
    against_the_references::<f64>(1e-13);
}

#[test]
fn weights_beyond_shared_memory_train_where_they_are() {
    // In f64, more than the 227 KiB that a block has at most.
    let case = Case::<f64>::new(&[180, 160, 1], Bias::All, Hidden::Relu, 2);
    let (order, lr) = (Cases::new(8).indices(2 * 3, case.shape.n), step_sizes(case.shape.widths, 3));
    let train = |cx: &Context| {
        let mut case = case.clone();
        assert_eq!(case.sgd(cx, rules()[3], &order, &lr), [None; 2]);
        case.params
    };
    let want = train(&scalar_context());
    assert_ne!(want, case.params);
    for cx in contexts() {
        assert_close(&variant(&cx), &train(&cx), &want, 1e-13);
    }
}

fn grouping_and_splitting_change_nothing<T: Real>() {
    const STEPS: usize = 9;
    for replicas in [1, 2, 3, 5] {
        each_case::<T>(replicas, |case, rule, what| {
            let order = Cases::new(3).indices(replicas * STEPS, case.shape.n);
            let lr: Vec<T> = step_sizes(case.shape.widths, STEPS);
            let own: Vec<T> = (0..replicas * STEPS).map(|k| lr[k % STEPS] / T::from_f64((1 + k / STEPS) as f64)).collect();
            // A device has the host's instruction set beside it, which may be the scalar one.
            for cx in contexts().into_iter().filter(|cx| cx.device() != Device::Cpu || cx.isa() != Isa::Scalar) {
                if is_emulated(&cx) && !(replicas == 3 && case.shape.bias == Bias::First) {
                    continue;
                }
                let mut together = case.clone();
                let lr = StepSizes::Each(&own);
                together.train(&cx, rule, Steps { order: (&order).into(), batch: 1, lr });
                for r in 0..replicas {
                    let (mut one, lr) = (case.replica(r), &own[r * STEPS..][..STEPS]);
                    let order = &order[r * STEPS..][..STEPS];
                    for (from, to) in [(0, 1), (1, 5), (5, STEPS)] {
                        one.sgd(&cx, rule, &order[from..to], &lr[from..to]);
                    }
                    let got = &together.params[r * one.params.len()..][..one.params.len()];
                    assert_eq!(got, one.params, "{} replica {r} {what}", variant(&cx));
                }
            }
        });
    }
}

#[test]
fn a_replica_has_the_same_bits_alone_grouped_or_interrupted() {
    grouping_and_splitting_change_nothing::<f32>();
    grouping_and_splitting_change_nothing::<f64>();
}

fn divergence<T: Real>(widths: &'static [usize], activation: Hidden, rule: StepRule<T>, bad: T) {
    const STEPS: usize = 20;
    for cx in contexts() {
        let mut case = Case::<T>::new(widths, Bias::All, activation, 5);
        // Sample 4 cannot be predicted; replicas 1 and 3 meet it at steps 7 and 0, the others never.
        let inputs = widths[0];
        case.x[4 * case.shape.stride + inputs - 1] = bad;
        let mut order = Cases::new(8).indices(5 * STEPS, 4);
        (order[STEPS + 7], order[3 * STEPS]) = (4, 4);
        let lr = step_sizes::<T>(widths, STEPS);
        let mut got = case.clone();
        let what = format!("{} {widths:?} {activation:?} {}", variant(&cx), T::DTYPE.name());
        assert_eq!(got.sgd(&cx, rule, &order, &lr), [None, Some(7), None, Some(0), None], "{what}");
        for (r, steps) in [STEPS, 7, STEPS, 0, STEPS].into_iter().enumerate() {
            let mut one = case.replica(r);
            one.sgd(&cx, rule, &order[r * STEPS..][..steps], &lr[..steps]);
            assert!(one.params.iter().all(|p| p.is_finite()));
            assert_eq!(got.replica(r).params, one.params, "{what} replica {r}: as before the step it stopped at");
        }
        let (mut again, mut entries) = (got.clone(), [Some(9); 5]);
        let steps = Steps { order: (&order).into(), batch: 1, lr: StepSizes::Shared(&lr) };
        let (x, y, mut params) = (on(&cx, &case.x), on(&cx, &case.y), on_mut(&cx, &mut again.params));
        mlp_sgd(&cx, &case.shape, &rule, x.view(), y.view(), steps, params.view_mut(), &mut entries).unwrap();
        drop(params);
        assert_eq!((again.params, entries), (got.params, [Some(9); 5]), "{what}: left alone");
    }
}

#[test]
fn divergence_is_found_at_its_step_and_touches_no_other_replica() {
    for widths in [&[1usize, 1] as &[usize], &[1, 20, 1], &[2, 33, 1], &[5, 10, 10, 1], &[3, 17, 101, 2, 1]] {
        for activation in ACTIVATIONS {
            for rule in rules() {
                divergence::<f32>(widths, activation, rule, f32::NAN);
            }
            for rule in rules() {
                divergence::<f64>(widths, activation, rule, f64::NAN);
            }
        }
        divergence::<f32>(widths, Hidden::Identity, plain(), f32::INFINITY);
    }
}

#[test]
fn an_unstable_step_size_diverges_at_the_same_step_everywhere() {
    let case = Case::<f64>::new(&[5, 10, 10, 1], Bias::All, Hidden::Identity, 1);
    let (order, lr) = (Cases::new(8).indices(200, 5), [3.0; 200]);
    let found: Vec<_> = contexts()
        .iter()
        .map(|cx| {
            let mut case = case.clone();
            let found = case.sgd(cx, plain(), &order, &lr);
            assert!(case.params.iter().all(|p| p.is_finite()));
            found
        })
        .collect();
    assert!(found[0][0].is_some() && found.iter().all(|one| *one == found[0]), "{found:?}");
}

#[test]
fn no_steps_change_nothing() {
    for cx in contexts() {
        let case = Case::<f32>::new(&[5, 10, 10, 1], Bias::All, Hidden::Relu, 2);
        let mut got = case.clone();
        assert_eq!(got.sgd(&cx, plain(), &[], &[]), [None; 2]);
        assert_eq!(got.params, case.params);
    }
}

#[test]
fn wrong_arguments_are_refused_and_change_nothing() {
    let cx = Context::cpu().unwrap();
    let case = Case::<f32>::new(&[2, 3, 1], Bias::First, Hidden::Relu, 1);
    let attempt = |shape: MlpShape<'_>, y: &[f32], order: &[u32], count: usize| {
        let mut params = case.params.clone();
        let steps = Steps { order: order.into(), batch: 1, lr: StepSizes::Shared(&[0.1]) };
        let result =
            mlp_sgd(&cx, &shape, &plain(), (&case.x).into(), y.into(), steps, (&mut params).into(), &mut vec![None; count]);
        assert_eq!(params, case.params);
        result.unwrap_err().to_string()
    };
    let refused = |shape: MlpShape<'_>, message: &str| {
        let got = attempt(shape, &case.y, &[0], 1);
        assert!(got.contains(message), "{got}");
    };
    assert!(attempt(case.shape, &case.y, &[5], 1).contains("`order[0]` is 5, but indices must be below 5"));
    assert!(attempt(case.shape, &case.y, &[], 1).contains("`order` has 0 elements, expected 1 (replicas * steps * batch)"));
    assert!(attempt(case.shape, &case.y[..4], &[0], 1).contains("`y` has 4 elements, expected 5"));
    assert!(attempt(case.shape, &case.y, &[0], 2).contains("`diverged` has 2 elements, expected 1"));
    refused(MlpShape { widths: &[2, 4, 1], ..case.shape }, "`params` has 12 elements, expected 16");
    refused(MlpShape { bias: Bias::All, ..case.shape }, "`params` has 12 elements, expected 13");
    refused(MlpShape { widths: &[2, 0, 1], ..case.shape }, "the smallest width is 0, expected at least 1");
    refused(MlpShape { widths: &[0, 3, 1], ..case.shape }, "the smallest width is 0, expected at least 1");
    refused(MlpShape { widths: &[2, 3, 2], ..case.shape }, "the last width is 2, expected 1: one output");
    refused(MlpShape { widths: &[1], ..case.shape }, "the number of widths is 1, expected at least 2");
    refused(MlpShape { widths: &[], ..case.shape }, "the number of widths is 0");
    refused(MlpShape { n: 0, ..case.shape }, "n is 0, expected at least 1");
    refused(MlpShape { replicas: 0, ..case.shape }, "replicas is 0, expected at least 1");
    refused(MlpShape { stride: 1, ..case.shape }, "stride is 1, expected at least 2");
    refused(MlpShape { n: 99, ..case.shape }, "`x` has");
}

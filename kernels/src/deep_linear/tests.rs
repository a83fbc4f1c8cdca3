use super::*;
use crate::mse::MseScale;
use crate::testing::{Cases, assert_close, contexts, is_emulated, on, on_mut, variant};

const NETWORKS: [&[usize]; 10] = [
    &[1, 1],
    &[17, 1],
    &[100, 1],
    &[3, 2, 1],
    &[7, 33, 1],
    &[33, 1, 16, 1],
    &[15, 15, 15, 15, 1],
    &[16, 3, 17, 2, 1],
    &[2, 100, 7, 1],
    &[5, 4, 15, 3, 8, 1],
];
const BATCHES: [usize; 6] = [1, 2, 3, 8, 31, 512];

/// Data with NaN between its rows, and parameters of every replica.
struct Case<T> {
    shape: DeepLinearShape<'static>,
    x: Vec<T>,
    y: Vec<T>,
    params: Vec<T>,
}

impl<T: Real> Case<T> {
    /// Weights whose products neither vanish nor explode.
    fn new(widths: &'static [usize], n: usize, replicas: usize, seed: u64) -> Case<T> {
        let mut cases = Cases::new(seed);
        let d = widths[0];
        let shape = DeepLinearShape { widths, n, stride: d + seed as usize % 3, replicas };
        let mut x = vec![T::NAN; n * shape.stride];
        for row in x.chunks_exact_mut(shape.stride) {
            row[..d].copy_from_slice(&cases.reals(d));
        }
        let mut params = Vec::new();
        for _ in 0..replicas {
            for (inputs, outputs) in shape.layers() {
                let scale = T::from_f64((3.0 / inputs as f64).sqrt());
                params.extend(cases.reals::<T>(inputs * outputs).into_iter().map(|w| scale * w));
            }
        }
        Case { shape, x, y: cases.reals(n), params }
    }

    fn wide(&self) -> Case<f64> {
        let wide = |values: &[T]| values.iter().map(|value| value.to_f64()).collect();
        Case { shape: self.shape, x: wide(&self.x), y: wide(&self.y), params: wide(&self.params) }
    }

    fn sgd(&self, cx: &Context, rule: &StepRule<T>, steps: Steps<'_, T>, params: &mut [T], diverged: &mut [Option<usize>]) {
        let (x, y, mut params) = (on(cx, &self.x), on(cx, &self.y), on_mut(cx, params));
        deep_linear_sgd(cx, &self.shape, rule, x.view(), y.view(), steps, params.view_mut(), diverged).unwrap();
    }

    fn gd(&self, cx: &Context, rule: &StepRule<T>, lr: &[T], params: &mut [T], diverged: &mut [Option<usize>]) {
        let (x, y, mut params) = (on(cx, &self.x), on(cx, &self.y), on_mut(cx, params));
        deep_linear_gd(cx, &self.shape, rule, x.view(), y.view(), StepSizes::Shared(lr), params.view_mut(), diverged).unwrap();
    }
}

fn plain<T: Real>(scale: MseScale) -> StepRule<T> {
    StepRule { scale, clip: None, weight_decay: T::ZERO }
}

/// Without and with clipping and decay; the clip is one that some gradients exceed.
fn rules<T: Real>() -> [StepRule<T>; 4] {
    let (clip, weight_decay) = (Some(T::from_f64(0.25)), T::from_f64(0.125));
    [
        plain(MseScale::Half),
        StepRule { clip, ..plain(MseScale::Full) },
        StepRule { weight_decay, ..plain(MseScale::Full) },
        StepRule { clip, weight_decay, ..plain(MseScale::Half) },
    ]
}

/// Activations of every layer for one sample, by explicit matrices.
fn activations(widths: &[usize], params: &[f64], x: &[f64]) -> Vec<Vec<f64>> {
    let mut all = vec![x.to_vec()];
    let mut from = 0;
    for pair in widths.windows(2) {
        let input = &all[all.len() - 1];
        let output = (0..pair[1]).map(|o| (0..pair[0]).map(|i| params[from + o * pair[0] + i] * input[i]).sum()).collect();
        all.push(output);
        from += pair[0] * pair[1];
    }
    all
}

/// A step by backpropagation through every layer, sample by sample: the definition, without the algebra of the module.
fn backpropagated(case: &Case<f64>, rule: &StepRule<f64>, samples: &[u32], lr: f64, params: &mut [f64]) {
    let widths = case.shape.widths;
    let mut gradient = vec![0.0; params.len()];
    for &sample in samples {
        let row = &case.x[sample as usize * case.shape.stride..][..widths[0]];
        let activations = activations(widths, params, row);
        let error = activations[widths.len() - 1][0] - case.y[sample as usize];
        let multiple = if rule.scale == MseScale::Full { 2.0 } else { 1.0 };
        let mut delta = vec![multiple * error / samples.len() as f64];
        let mut to = params.len();
        for l in (0..widths.len() - 1).rev() {
            let (inputs, outputs) = (widths[l], widths[l + 1]);
            let from = to - inputs * outputs;
            let mut below = vec![0.0; inputs];
            for o in 0..outputs {
                for i in 0..inputs {
                    gradient[from + o * inputs + i] += delta[o] * activations[l][i];
                    below[i] += params[from + o * inputs + i] * delta[o];
                }
            }
            (delta, to) = (below, from);
        }
    }
    let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
    let coefficient = rule.clip.map_or(1.0, |clip| (clip / (norm + 1e-6)).min(1.0));
    for (w, g) in params.iter_mut().zip(gradient) {
        *w -= lr * (coefficient * g + rule.weight_decay * *w);
    }
}

/// Whether a step of this rule is clipped at these parameters.
fn clips(case: &Case<f64>, rule: &StepRule<f64>, samples: &[u32]) -> bool {
    let step = |clip| {
        let mut params = case.params.clone();
        backpropagated(case, &StepRule { clip, ..*rule }, samples, 1.0, &mut params);
        params
    };
    step(None) != step(rule.clip)
}

#[test]
fn the_oracle_is_backpropagation_with_clipping_and_decay() {
    let cx = Context::cpu_with(Isa::Scalar).unwrap();
    let rates = [0.02, 0.01, 0.02, 0.04, 0.02];
    let mut clipped = 0;
    for (seed, widths) in NETWORKS.into_iter().enumerate() {
        let case = Case::<f64>::new(widths, 20, 1, seed as u64);
        for rule in rules() {
            for batch in [1, 2, 9] {
                let order = Cases::new(7).indices(5 * batch, 20);
                clipped += usize::from(clips(&case, &rule, &order[..batch]));
                let (mut got, mut want) = (case.params.clone(), case.params.clone());
                case.sgd(
                    &cx,
                    &rule,
                    Steps { order: (&order).into(), batch, lr: StepSizes::Shared(&rates) },
                    &mut got,
                    &mut [None],
                );
                for (samples, lr) in order.chunks_exact(batch).zip(rates) {
                    backpropagated(&case, &rule, samples, lr, &mut want);
                }
                assert_close(&format!("{widths:?} {rule:?} B={batch}"), &got, &want, 1e-13);
                assert_ne!(got, case.params);
            }
        }
    }
    assert!(clipped > 20, "the clip must act in many cases, acted in {clipped}");
}

#[test]
fn one_step_is_the_derivative_of_the_loss() {
    for cx in contexts() {
        for widths in [&[4, 1][..], &[15, 15, 15, 15, 1], &[3, 20, 2, 1]] {
            let case = Case::<f64>::new(widths, 6, 1, 1);
            for (scale, divisor) in [(MseScale::Half, 12.0), (MseScale::Full, 6.0)] {
                let loss = |params: &[f64]| {
                    let errors = case.x.chunks_exact(case.shape.stride).zip(&case.y);
                    let square = |(row, y): (&[f64], &f64)| {
                        (activations(widths, params, &row[..widths[0]])[widths.len() - 1][0] - y).powi(2)
                    };
                    errors.map(square).sum::<f64>() / divisor
                };
                let mut moved = case.params.clone();
                case.gd(&cx, &plain(scale), &[1.0], &mut moved, &mut [None]);
                let gradient: Vec<f64> = case.params.iter().zip(&moved).map(|(before, after)| before - after).collect();
                let numeric: Vec<f64> = (0..case.params.len())
                    .map(|j| {
                        let at = |shift: f64| {
                            let mut params = case.params.clone();
                            params[j] += shift;
                            loss(&params)
                        };
                        (at(1e-4) - at(-1e-4)) / 2e-4
                    })
                    .collect();
                assert_close(&format!("{} {widths:?} {scale:?}", variant(&cx)), &gradient, &numeric, 1e-9);
            }
        }
    }
}

fn against_the_oracle<T: Real>(tolerance: f64) {
    const STEPS: usize = 12;
    let oracle = Context::cpu_with(Isa::Scalar).unwrap();
    let lr: Vec<T> = (0..STEPS).map(|t| T::from_f64(0.01 + 0.001 * t as f64)).collect();
    let wide_lr: Vec<f64> = lr.iter().map(|lr| lr.to_f64()).collect();
    for (seed, widths) in NETWORKS.into_iter().enumerate() {
        for (k, batch) in BATCHES.into_iter().enumerate() {
            let replicas = 1 + (seed + k) % 5;
            let (n, rule, wide_rule) = ([37, 150][k % 2], rules::<T>()[(seed + 3 * k) % 4], rules::<f64>()[(seed + 3 * k) % 4]);
            let case = Case::<T>::new(widths, n, replicas, seed as u64);
            let order = Cases::new(8).indices(replicas * STEPS * batch, n);
            let (wide, mut sgd, mut gd) = (case.wide(), case.wide().params, case.wide().params);
            let mut diverged = vec![None; replicas];
            wide.sgd(
                &oracle,
                &wide_rule,
                Steps { order: (&order).into(), batch, lr: StepSizes::Shared(&wide_lr) },
                &mut sgd,
                &mut diverged,
            );
            wide.gd(&oracle, &wide_rule, &wide_lr, &mut gd, &mut diverged);
            let moved = sgd.iter().zip(&wide.params).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(moved > 1e-3, "the case must move the parameters, moved {moved}");
            for cx in contexts() {
                let what = |op: &str| format!("{op} {} {} {widths:?} B={batch} R={replicas}", variant(&cx), T::DTYPE.name());
                let mut params = case.params.clone();
                case.sgd(
                    &cx,
                    &rule,
                    Steps { order: (&order).into(), batch, lr: StepSizes::Shared(&lr) },
                    &mut params,
                    &mut diverged,
                );
                assert_close(&what("sgd"), &params, &sgd, tolerance);
                let mut params = case.params.clone();
                case.gd(&cx, &rule, &lr, &mut params, &mut diverged);
                assert_close(&what("gd"), &params, &gd, tolerance);
                assert_eq!(diverged, vec![None; replicas]);
            }
        }
    }
}

#[test]
fn every_variant_matches_the_oracle() {
    against_the_oracle::<f32>(4e-6);
    against_the_oracle::<f64>(1e-14);
}

#[test]
fn weights_beyond_shared_memory_train_where_they_are() {
    // In f64, more than the 227 KiB that a block has at most.
    let case = Case::<f64>::new(&[180, 160, 1], 5, 2, 1);
    let (order, lr) = (Cases::new(8).indices(2 * 3, 5), [0.02; 3]);
    let rule = StepRule { clip: Some(0.25), ..plain(MseScale::Half) };
    let train = |cx: &Context| {
        let mut params = case.params.clone();
        case.sgd(cx, &rule, Steps { order: (&order).into(), batch: 1, lr: StepSizes::Shared(&lr) }, &mut params, &mut [None; 2]);
        params
    };
    let want = train(&Context::cpu_with(Isa::Scalar).unwrap());
    assert_ne!(want, case.params);
    for cx in contexts() {
        assert_close(&variant(&cx), &train(&cx), &want, 1e-14);
    }
}

/// Bits of a replica alone, one step a call.
fn alone<T: Real>(cx: &Context, case: &Case<T>, rule: &StepRule<T>, replica: usize, steps: Steps<'_, T>) -> Vec<T> {
    let size = case.shape.params();
    let shape = DeepLinearShape { replicas: 1, ..case.shape };
    let one = Case { shape, x: case.x.clone(), y: case.y.clone(), params: vec![] };
    let mut params = case.params[replica * size..][..size].to_vec();
    let (order, lr) = steps.on_host("alone").unwrap().of(replica, case.shape.replicas);
    for (order, lr) in order.chunks_exact(steps.batch).zip(lr.iter()) {
        one.sgd(
            cx,
            rule,
            Steps { order: order.into(), batch: steps.batch, lr: StepSizes::Shared(&[lr]) },
            &mut params,
            &mut [None],
        );
    }
    params
}

fn grouping_and_splitting_change_nothing<T: Real>() {
    for (seed, widths) in NETWORKS.into_iter().enumerate() {
        for (replicas, batch) in [(1, 1), (2, 1), (5, 1), (3, 2), (4, 21)] {
            let case = Case::<T>::new(widths, 30, replicas, seed as u64);
            let order = Cases::new(8).indices(replicas * 15 * batch, 30);
            let lr: Vec<T> = (0..replicas * 15).map(|k| T::from_f64(0.02 / (1 + k / 15) as f64)).collect();
            for (cx, rule) in contexts().iter().flat_map(|cx| rules().map(|rule| (cx, rule))) {
                if is_emulated(cx) && replicas != 3 {
                    continue;
                }
                let lr = StepSizes::Each(&lr);
                let steps = Steps { order: (&order).into(), batch, lr };
                let mut params = case.params.clone();
                case.sgd(cx, &rule, steps, &mut params, &mut vec![None; replicas]);
                for (r, got) in params.chunks_exact(case.shape.params()).enumerate() {
                    assert_eq!(got, alone(cx, &case, &rule, r, steps), "{} {widths:?} replica {r} of {replicas}", variant(cx));
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
fn no_step_changes_no_bit() {
    for cx in contexts() {
        let mut case = Case::<f32>::new(&[15, 15, 1], 3, 2, 0);
        case.params[0] = -0.0;
        let mut params = case.params.clone();
        case.sgd(
            &cx,
            &plain(MseScale::Full),
            Steps { order: (&[]).into(), batch: 1, lr: StepSizes::Shared(&[]) },
            &mut params,
            &mut [None; 2],
        );
        case.gd(&cx, &plain(MseScale::Full), &[], &mut params, &mut [None; 2]);
        let bits = |params: &[f32]| params.iter().map(|w| w.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&params), bits(&case.params));
    }
}

/// 15-15-15-15-1 with `W_l[i,j] = √(2/15) √2 sin(1 + 17l + 3.7i + 1.3j)`, and the data `x_i = √15 e_i`, `y_i = √15 b_i`, whose
/// mean squared error is |p - b|² with b one on the first five inputs. Values by an independent implementation.
#[test]
fn a_network_without_random_numbers_follows_its_known_path() {
    let mut weights = Vec::new();
    for (l, outputs) in [15, 15, 15, 1].into_iter().enumerate() {
        for (i, j) in (0..outputs).flat_map(|i| (0..15).map(move |j| (i, j))) {
            let angle = 1.0 + 17.0 * l as f64 + 3.7 * i as f64 + 1.3 * j as f64;
            weights.push((2.0f64 / 15.0).sqrt() * 2.0f64.sqrt() * angle.sin());
        }
    }
    let root = 15.0f64.sqrt();
    let x: Vec<f64> = (0..225).map(|at| if at % 16 == 0 { root } else { 0.0 }).collect();
    let y: Vec<f64> = (0..15).map(|i| if i < 5 { root } else { 0.0 }).collect();
    let case = Case { shape: DeepLinearShape::new(&[15, 15, 15, 15, 1], 15, 1), x, y, params: weights };

    let p: Vec<f64> =
        (0..15).map(|i| activations(case.shape.widths, &case.params, &case.x[15 * i..][..15])[4][0] / root).collect();
    let loss: f64 = p.iter().enumerate().map(|(i, p)| (p - if i < 5 { 1.0 } else { 0.0 }).powi(2)).sum();
    assert_close("the loss at the start", &[loss], &[5.000277823027291], 1e-12);

    let norm = |params: &[f64]| params[..225].chunks_exact(15).flat_map(|row| &row[5..]).map(|w| w * w).sum::<f64>().sqrt();
    assert_close("the norm at the start", &[norm(&case.params)], &[4.482748889632977], 1e-12);
    let known = [
        (None, [4.482748408369391, 4.482696937943504, 4.482060764200468, 4.482060764200468]),
        (Some(1.0), [4.482748408369391, 4.482718304681982, 4.482097735423696, 4.482097735423697]),
    ];
    for cx in contexts() {
        for (clip, norms) in known {
            let rule = StepRule { clip, ..plain(MseScale::Full) };
            let (mut params, mut done) = (case.params.clone(), 0);
            for (until, want) in [1, 10, 100, 2000].into_iter().zip(norms) {
                case.gd(&cx, &rule, &vec![0.01; until - done], &mut params, &mut [None]);
                done = until;
                assert_close(&format!("{} {clip:?} after {until}", variant(&cx)), &[norm(&params)], &[want], 1e-12);
            }
        }
    }
}

#[test]
fn divergence_is_found_at_its_step_and_touches_no_other_replica() {
    for cx in contexts() {
        for (widths, batch) in [(&[15, 15, 15, 1][..], 1), (&[15, 15, 15, 1], 20), (&[9, 1], 1), (&[40, 20, 1], 3)] {
            let case = Case::<f64>::new(widths, 30, 3, 6);
            let (size, count) = (case.shape.params(), 200);
            let order = Cases::new(8).indices(3 * count * batch, 30);
            let mut start = case.params.clone();
            // Only the middle replica starts where this step size is unstable; with one layer, by an infinite weight.
            start[size..2 * size].iter_mut().for_each(|w| *w *= 30.0);
            if widths.len() == 2 {
                start[size] = f64::INFINITY;
            }
            let lr = vec![0.02; count];
            let rule = plain(MseScale::Full);
            let (mut params, mut diverged) = (start.clone(), [None; 3]);
            let steps = Steps { order: (&order).into(), batch, lr: StepSizes::Shared(&lr) };
            case.sgd(&cx, &rule, steps, &mut params, &mut diverged);
            let step = diverged[1].expect("a start far beyond stability");
            assert_eq!((diverged[0], diverged[2]), (None, None));
            assert!(params[..size].iter().chain(&params[2 * size..]).all(|w| w.is_finite()));

            let (order, _) = steps.on_host("alone").unwrap().of(1, 3);
            let one = Case { shape: DeepLinearShape { replicas: 1, ..case.shape }, ..case };
            let oracle = Context::cpu_with(Isa::Scalar).unwrap();
            let mut found = [None];
            one.sgd(
                &oracle,
                &rule,
                Steps { order: order.into(), batch, lr: StepSizes::Shared(&lr) },
                &mut start.clone()[size..2 * size],
                &mut found,
            );
            assert_eq!(found, [Some(step)], "{} {widths:?}", variant(&cx));

            let mut before = start[size..2 * size].to_vec();
            let shorter = Steps { order: (&order[..step * batch]).into(), batch, lr: StepSizes::Shared(&lr[..step]) };
            one.sgd(&cx, &rule, shorter, &mut before, &mut [None]);
            let bits = |params: &[f64]| params.iter().map(|w| w.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&before), bits(&params[size..2 * size]), "as it was before the diverging step");

            let (mut entry, mut untouched) = ([Some(7)], start[..size].to_vec());
            one.sgd(
                &cx,
                &rule,
                Steps { order: (&order[..batch]).into(), batch, lr: StepSizes::Shared(&lr[..1]) },
                &mut untouched,
                &mut entry,
            );
            one.gd(&cx, &rule, &lr, &mut untouched, &mut entry);
            assert_eq!((entry, &untouched[..]), ([Some(7)], &start[..size]), "a diverged replica is left alone");
        }
    }
}

#[test]
fn a_single_bad_row_stops_the_batch_that_has_it() {
    for cx in contexts() {
        for bad in [f64::NAN, f64::INFINITY] {
            let mut case = Case::<f64>::new(&[15, 8, 1], 40, 1, 3);
            case.y[39] = bad;
            let order: Vec<u32> = (0..40).collect();
            let (mut params, mut diverged) = (case.params.clone(), [None]);
            case.sgd(
                &cx,
                &plain(MseScale::Half),
                Steps { order: (&order).into(), batch: 20, lr: StepSizes::Shared(&[0.1; 2]) },
                &mut params,
                &mut diverged,
            );
            assert_eq!(diverged, [Some(1)]);
            assert!(params != case.params && params.iter().all(|w| w.is_finite()), "the first batch counts");
            let (mut params, mut diverged) = (case.params.clone(), [None]);
            case.gd(&cx, &plain(MseScale::Half), &[0.1], &mut params, &mut diverged);
            assert_eq!((diverged, params), ([Some(0)], case.params));
        }
    }
}

#[test]
fn wrong_arguments_are_refused_and_change_nothing() {
    let cx = Context::cpu().unwrap();
    let case = Case::<f32>::new(&[4, 3, 1], 3, 1, 0);
    let attempt = |shape: DeepLinearShape<'_>, y: &[f32], order: &[u32], batch: usize, count: usize| {
        let mut params = case.params.clone();
        let (steps, rule) = (Steps { order: order.into(), batch, lr: StepSizes::Shared(&[0.1]) }, plain(MseScale::Half));
        let (x, mut diverged) = ((&case.x).into(), vec![None; count]);
        let result = deep_linear_sgd(&cx, &shape, &rule, x, y.into(), steps, (&mut params).into(), &mut diverged);
        assert_eq!(params, case.params);
        result.unwrap_err().to_string()
    };
    let shape = case.shape;
    assert!(attempt(shape, &case.y, &[3], 1, 1).contains("`order[0]` is 3, but indices must be below 3"));
    assert!(attempt(shape, &case.y, &[], 1, 1).contains("`order` has 0 elements, expected 1"));
    assert!(attempt(shape, &case.y, &[], 0, 1).contains("batch is 0"));
    assert!(attempt(shape, &case.y[..2], &[0], 1, 1).contains("`y` has 2 elements, expected 3"));
    assert!(attempt(shape, &case.y, &[0], 1, 2).contains("`diverged` has 2 elements, expected 1"));
    let widths = |widths| DeepLinearShape { widths, ..shape };
    assert!(attempt(widths(&[5, 3, 1]), &case.y, &[0], 1, 1).contains("stride is 4, expected at least 5"));
    assert!(attempt(widths(&[4, 3, 3, 1]), &case.y, &[0], 1, 1).contains("`params` has 15 elements, expected 24"));
    assert!(attempt(widths(&[4, 3]), &case.y, &[0], 1, 1).contains("the last width is 3, expected 1"));
    assert!(attempt(widths(&[4, 0, 1]), &case.y, &[0], 1, 1).contains("the smallest width is 0"));
    assert!(attempt(widths(&[4]), &case.y, &[0], 1, 1).contains("the number of widths is 1, expected at least 2"));
    assert!(attempt(widths(&[]), &case.y, &[0], 1, 1).contains("the number of widths is 0"));
    assert!(attempt(DeepLinearShape { stride: 5, ..shape }, &case.y, &[0], 1, 1).contains("`x` has 12 elements, expected 14"));
    assert!(attempt(DeepLinearShape { replicas: 2, ..shape }, &case.y, &[0, 0], 1, 2).contains("`params`"));
    assert!(attempt(DeepLinearShape { replicas: 0, ..shape }, &case.y, &[], 1, 0).contains("replicas is 0"));
    assert!(attempt(DeepLinearShape { n: 0, ..shape }, &case.y, &[0], 1, 1).contains("n is 0"));
}

use super::*;
use crate::activation::Activation;
use crate::deep_diagonal::{DeepDiagonalShape, deep_diagonal_sgd};
use crate::deep_linear::{DeepLinearShape, deep_linear_gd, deep_linear_sgd};
use crate::diagonal::{DiagonalShape, diagonal_gd, diagonal_sgd};
use crate::mlp::{Bias, Hidden, MlpShape, mlp_sgd};
use crate::testing::{Cases, contexts, cpu_contexts, on, on_mut, variant};
use crate::wide_mlp::{WideMlpShape, wide_mlp_sgd};
use crate::{Context, View, ViewMut};

/// Samples, and inputs of each.
const N: usize = 4;
const D: usize = 3;

/// An operator on N x D inputs and N targets, N x 2 for the wide networks, with as many replicas as the entries at the end.
type Train<T> = fn(&Context, [View<'_, T>; 2], Steps<'_, T>, ViewMut<'_, T>, &mut [Option<usize>]) -> Result<()>;

fn rule<T: Real>() -> StepRule<T> {
    StepRule { scale: MseScale::Half, clip: None, weight_decay: T::ZERO }
}

fn deep_linear<'a>(replicas: usize) -> DeepLinearShape<'a> {
    DeepLinearShape::new(&[D, 2, 1], N, replicas)
}

fn mlp<'a>(replicas: usize) -> MlpShape<'a> {
    MlpShape { widths: &[D, 5, 1], bias: Bias::All, activation: Hidden::Relu, n: N, stride: D, replicas }
}

fn wide_mlp(replicas: usize) -> WideMlpShape {
    WideMlpShape { inputs: D, hidden: 5, outputs: 2, activation: Activation::Tanh, n: N, stride: D, replicas }
}

fn deep_diagonal(replicas: usize) -> DeepDiagonalShape {
    DeepDiagonalShape { depth: 2, d: D, activation: Activation::Tanh, n: N, stride: D, replicas }
}

/// Whatever way step sizes are given, a replica trains with its own: bits as alone with one number for each step.
fn takes_step_sizes_of_all_kinds<T: Real>(cx: &Context, train: Train<T>, params: usize, outputs: usize) {
    let mut cases = Cases::new(5);
    let (x, y, start): (Vec<T>, Vec<T>, Vec<T>) = (cases.reals(N * D), cases.reals(N * outputs), cases.reals(params));
    let (x, y) = (on(cx, &x), on(cx, &y));
    for [replicas, steps] in [[1, 1], [3, 5], [5, 2], [2, 19]] {
        let what = format!("{} {} {replicas} x {steps}", variant(cx), T::DTYPE.name());
        // All replicas start alike and take the same samples: only step sizes tell them apart.
        let order = cases.indices(steps, N);
        let trained = |replicas: usize, lr: StepSizes<'_, T>| -> Vec<Vec<T>> {
            let (mut all, mut diverged, order) = (start.repeat(replicas), vec![None; replicas], order.repeat(replicas));
            let steps = Steps { order: (&order).into(), batch: 1, lr };
            train(cx, [x.view(), y.view()], steps, on_mut(cx, &mut all).view_mut(), &mut diverged).unwrap();
            assert_eq!(diverged, vec![None; replicas], "{what}");
            all.chunks_exact(params).map(<[T]>::to_vec).collect()
        };
        let own: Vec<T> = (0..replicas * steps).map(|k| T::from_f64(0.03 + 0.004 * k as f64)).collect();
        let first: Vec<T> = own.iter().copied().step_by(steps).collect();
        let repeated: Vec<T> = first.iter().flat_map(|&lr| vec![lr; steps]).collect();
        let alone = |lr: &[T]| trained(1, StepSizes::Shared(lr)).remove(0);

        let each = trained(replicas, StepSizes::Each(&own));
        let constant = trained(replicas, StepSizes::Constant { lr: &first, steps });
        assert_eq!(constant, trained(replicas, StepSizes::Each(&repeated)), "{what}");
        assert_eq!(trained(replicas, StepSizes::Shared(&own[..steps])), vec![alone(&own[..steps]); replicas], "{what}");
        for replica in 0..replicas {
            let steps_of_it = replica * steps..(replica + 1) * steps;
            assert_eq!(each[replica], alone(&own[steps_of_it.clone()]), "{what} replica {replica}");
            assert_eq!(constant[replica], alone(&repeated[steps_of_it]), "{what} replica {replica}");
            assert!(steps == 1 || each[replica] != constant[replica], "{what} replica {replica}: later step sizes do not count");
            assert!(replica == 0 || constant[replica] != constant[0], "{what} replica {replica}: as the first one");
        }
    }
}

#[test]
fn diagonal_takes_step_sizes_of_all_kinds() {
    fn sgd<T: Real>() -> Train<T> {
        |cx, [x, y], steps, params, diverged| {
            diagonal_sgd(cx, &DiagonalShape::new(N, D, diverged.len()), x, y, steps, params, diverged)
        }
    }
    fn gd<T: Real>() -> Train<T> {
        |cx, [x, y], steps, params, diverged| {
            diagonal_gd(cx, &DiagonalShape::new(N, D, diverged.len()), x, y, steps.lr, params, diverged)
        }
    }
    for cx in contexts() {
        [sgd::<f32>(), gd()].into_iter().for_each(|train| takes_step_sizes_of_all_kinds(&cx, train, 2 * D, 1));
        [sgd::<f64>(), gd()].into_iter().for_each(|train| takes_step_sizes_of_all_kinds(&cx, train, 2 * D, 1));
    }
}

#[test]
fn deep_linear_takes_step_sizes_of_all_kinds() {
    fn sgd<T: Real>() -> Train<T> {
        |cx, [x, y], steps, params, diverged| {
            deep_linear_sgd(cx, &deep_linear(diverged.len()), &rule(), x, y, steps, params, diverged)
        }
    }
    fn gd<T: Real>() -> Train<T> {
        |cx, [x, y], steps, params, diverged| {
            deep_linear_gd(cx, &deep_linear(diverged.len()), &rule(), x, y, steps.lr, params, diverged)
        }
    }
    let params = deep_linear(1).params();
    for cx in contexts() {
        [sgd::<f32>(), gd()].into_iter().for_each(|train| takes_step_sizes_of_all_kinds(&cx, train, params, 1));
        [sgd::<f64>(), gd()].into_iter().for_each(|train| takes_step_sizes_of_all_kinds(&cx, train, params, 1));
    }
}

#[test]
fn mlp_takes_step_sizes_of_all_kinds() {
    fn sgd<T: Real>() -> Train<T> {
        |cx, [x, y], steps, params, diverged| mlp_sgd(cx, &mlp(diverged.len()), &rule(), x, y, steps, params, diverged)
    }
    for cx in contexts() {
        takes_step_sizes_of_all_kinds(&cx, sgd::<f32>(), mlp(1).params(), 1);
        takes_step_sizes_of_all_kinds(&cx, sgd::<f64>(), mlp(1).params(), 1);
    }
}

#[test]
fn wide_mlp_takes_step_sizes_of_all_kinds() {
    fn sgd<T: Real>() -> Train<T> {
        |cx, [x, y], steps, params, diverged| {
            wide_mlp_sgd(cx, &wide_mlp(diverged.len()), MseScale::Half, x, y, steps, params, diverged)
        }
    }
    for cx in contexts() {
        takes_step_sizes_of_all_kinds(&cx, sgd::<f32>(), wide_mlp(1).params(), 2);
        takes_step_sizes_of_all_kinds(&cx, sgd::<f64>(), wide_mlp(1).params(), 2);
    }
}

#[test]
fn deep_diagonal_takes_step_sizes_of_all_kinds() {
    fn sgd<T: Real>() -> Train<T> {
        |cx, [x, y], steps, params, diverged| {
            deep_diagonal_sgd(cx, &deep_diagonal(diverged.len()), MseScale::Half, x, y, steps, params, diverged)
        }
    }
    for cx in cpu_contexts() {
        takes_step_sizes_of_all_kinds(&cx, sgd::<f32>(), deep_diagonal(1).params(), 1);
        takes_step_sizes_of_all_kinds(&cx, sgd::<f64>(), deep_diagonal(1).params(), 1);
    }
}

fn refused(cx: &Context, lr: StepSizes<'_, f64>, order: Option<&[u32]>) -> String {
    let (shape, x, y) = (DiagonalShape::new(2, 3, 2), [1.0; 6], [1.0; 2]);
    let (mut params, mut diverged) = ([0.5; 12], [None; 2]);
    let (x, y) = (on(cx, &x), on(cx, &y));
    let done = match order {
        Some(order) => {
            let steps = Steps { order: order.into(), batch: 1, lr };
            diagonal_sgd(cx, &shape, x.view(), y.view(), steps, on_mut(cx, &mut params).view_mut(), &mut diverged)
        }
        None => diagonal_gd(cx, &shape, x.view(), y.view(), lr, on_mut(cx, &mut params).view_mut(), &mut diverged),
    };
    assert_eq!(params, [0.5; 12]);
    done.unwrap_err().to_string()
}

#[test]
fn a_replica_has_its_own_step_sizes_or_those_of_all() {
    let lr = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let of = |sizes: StepSizes<'_, f64>, replica| {
        let rates = sizes.of(replica, 3);
        assert!((0..rates.len()).all(|step| rates.iter().nth(step) == Some(rates.at(step))));
        rates.iter().collect::<Vec<f64>>()
    };
    assert_eq!([0, 1, 2].map(|replica| of(StepSizes::Each(&lr), replica)), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
    assert_eq!([0, 2].map(|replica| of(StepSizes::Shared(&lr), replica)), [lr; 2]);
    assert_eq!([0, 2].map(|replica| of(StepSizes::Constant { lr: &lr[..3], steps: 2 }, replica)), [[1.0; 2], [3.0; 2]]);
    let steps = Steps { order: (&[7, 8, 9, 10]).into(), batch: 2, lr: StepSizes::Each(&lr[..2]) };
    let (order, rates) = steps.on_host("op").unwrap().of(1, 2);
    assert_eq!((order, rates.iter().collect::<Vec<f64>>()), (&[9, 10][..], vec![2.0]));
}

#[test]
fn step_sizes_that_are_not_one_for_each_replica_are_refused() {
    for cx in contexts() {
        let constant = |lr, steps| StepSizes::Constant { lr, steps };
        for order in [None, Some(&[0; 4][..])] {
            let line = refused(&cx, constant(&[0.1; 3], 2), order);
            assert!(line.contains("`lr` has 3 elements, expected 2 (replicas)"), "{line}");
            assert!(refused(&cx, constant(&[], 2), order).contains("`lr` has 0 elements, expected 2"));
        }
        let line = refused(&cx, constant(&[0.1; 2], 3), Some(&[0; 4]));
        assert!(line.contains("`order` has 4 elements, expected 6 (replicas * steps * batch)"), "{line}");
        let line = refused(&cx, constant(&[0.1; 2], 1 << 63), Some(&[]));
        assert!(line.contains("`order` has 0 elements, expected 18446744073709551615"), "{line}");
    }
}

#[test]
fn step_sizes_that_do_not_divide_among_the_replicas_are_refused() {
    let cx = Context::cpu().unwrap();
    let three = StepSizes::Each(&[0.1; 3]);
    let line = refused(&cx, three, None);
    assert!(line.contains("`lr` has 3 elements, expected 2 (replicas * steps)"), "{line}");
    assert!(refused(&cx, three, Some(&[0; 3])).contains("`lr` has 3 elements"));
    let line = refused(&cx, StepSizes::Each(&[0.1; 6]), Some(&[0; 4]));
    assert!(line.contains("`order` has 4 elements, expected 6 (replicas * steps * batch)"), "{line}");
}

use handgrad_kernels::activation::Activation;
use handgrad_kernels::testing::{Cases, contexts, on, on_mut};

use super::*;
use crate::layers::{Activate, BatchNorm, Residual, Then};
use crate::loss::TargetBuffer;
use crate::nets::{Architecture, Node, Resnet};

const N: usize = 4;

/// Whatever a plan gives: loss, gradient, statistics after a step, outputs in evaluation, hidden features, and the gradients by
/// the outputs of the nodes asked for.
#[derive(Debug, PartialEq)]
struct Given<T> {
    loss: T,
    gradient: Vec<T>,
    statistics: Vec<T>,
    outputs: Vec<T>,
    features: Vec<Vec<T>>,
    by_nodes: Vec<Vec<T>>,
}

fn given<T: Real>(cx: &Context, plan: &mut Plan<T>, n: usize, nodes: &[usize]) -> Given<T> {
    let net = Arc::clone(&plan.net);
    let mut cases = Cases::new(7);
    let (x, params): (Vec<T>, Vec<T>) = (cases.reals(n * net.inputs()), cases.reals(net.params()));
    let target = TargetBuffer::<T>::new(cx, Loss::Mse, &cases.reals(n * net.outputs())).unwrap();
    let mut statistics: Vec<T> = net.initial_statistics().into_iter().map(T::from_f64).collect();
    let (x, params) = (on(cx, &x), on(cx, &params));
    let point = Point::new(n, x.view(), params.view());
    let objective = Objective { loss: Loss::Mse, point, target: target.view() };

    let mut gradient = vec![T::NAN; net.params()];
    plan.gradient(cx, &objective, on_mut(cx, &mut gradient).view_mut()).unwrap();
    let loss = plan.loss(cx, &objective).unwrap();
    plan.move_statistics(cx, n, None, on_mut(cx, &mut statistics).view_mut()).unwrap();
    let dy = plan.output_gradient(cx, &objective).unwrap();
    plan.backward_data(cx, point, dy.view()).unwrap();
    let by_node = |&node: &usize| {
        let operation = plan.program.of_node[node].unwrap();
        plan.layer_gradient(operation, n, dy.view()).unwrap().to_vec().unwrap()
    };
    let by_nodes = nodes.iter().map(by_node).collect();
    let there = on(cx, &statistics);
    let outputs = plan.forward(cx, Point { statistics: there.view(), ..point }).unwrap().to_vec().unwrap();
    let features = net.hidden().iter().map(|&node| plan.node_values(node, n).unwrap().to_vec().unwrap()).collect();
    Given { loss, gradient, statistics, outputs, features, by_nodes }
}

/// Bit for bit, at the largest batch and below it.
fn fused_is_unfused<T: Real>(net: &Arc<Net<T>>) {
    for cx in contexts() {
        let (mut fused, mut unfused) =
            (Plan::new(&cx, Arc::clone(net), N).unwrap(), Plan::unfused(&cx, Arc::clone(net), N).unwrap());
        assert!(fused.values.len() < unfused.values.len());
        let of_node = &fused.program.of_node;
        let nodes: Vec<usize> = (0..of_node.len()).filter(|&node| of_node[node].is_some()).collect();
        for n in [N, N - 1] {
            let (got, want) = (given(&cx, &mut fused, n, &nodes), given(&cx, &mut unfused, n, &nodes));
            assert!(want.gradient.iter().all(|number| number.is_finite()) && want.loss > T::ZERO);
            assert!(got == want, "{}, {n} samples: {:?}, not {:?}", cx.variant(), got.loss, want.loss);
        }
    }
}

#[test]
fn residual_networks_give_the_same_bits_fused() {
    for preactivation in [false, true] {
        let resnet = Architecture::Resnet(Resnet { depth: 18, width: 3, classes: 3, image: [8, 8, 3], preactivation });
        fused_is_unfused(&Arc::new(resnet.net::<f32>(192).unwrap().unwrap()));
        fused_is_unfused(&Arc::new(resnet.net::<f64>(192).unwrap().unwrap()));
    }
}

/// The network's input in [`TANGLE`], and no source.
const INPUT: usize = usize::MAX;

/// Batch normalisations (b), ReLUs (r) and residuals (+) of 2 pixels of 3 channels; the last two numbers are their sources.
const TANGLE: [(char, usize, usize); 21] = [
    ('b', INPUT, INPUT),
    ('r', 0, INPUT),
    ('b', 1, INPUT),
    // x + bn(x): both gradients go to one buffer.
    ('+', 1, 2),
    ('r', 3, INPUT),
    // Two batch norms meet.
    ('b', 4, INPUT),
    ('b', 1, INPUT),
    ('+', 5, 6),
    ('r', 7, INPUT),
    // The network's input is the shortcut.
    ('b', 8, INPUT),
    ('+', 9, INPUT),
    ('r', 10, INPUT),
    // Hidden features.
    ('b', 11, INPUT),
    ('r', 12, INPUT),
    // The batch norm is the second source; node 4 is read again later, so that its gradient is added to.
    ('b', 13, INPUT),
    ('+', 4, 14),
    ('r', 15, INPUT),
    // Read twice.
    ('b', 16, INPUT),
    ('r', 17, INPUT),
    ('+', 18, 4),
    ('+', 19, 17),
];

fn tangle<T: Real>() -> Arc<Net<T>> {
    let source = |node: usize| if node == INPUT { Source::Input } else { Source::Node(node) };
    let node = |(index, (kind, from, second)): (usize, (char, usize, usize))| {
        let (layer, second): (Arc<dyn Layer<T>>, _) = match kind {
            'b' => (Arc::new(BatchNorm { pixels: 2, channels: 3, then: Then::Nothing }), None),
            'r' => (Arc::new(Activate { activation: Activation::Relu, width: 6 }), None),
            _ => (Arc::new(Residual { width: 6 }), Some(source(second))),
        };
        Node { name: index.to_string(), layer, from: source(from), second }
    };
    Arc::new(Net::of_nodes(TANGLE.into_iter().enumerate().map(node).collect(), vec![12, 16]).unwrap())
}

#[test]
fn only_what_nobody_else_reads_is_fused() {
    let plan = Plan::<f64>::new(&Context::cpu().unwrap(), tangle(), N).unwrap();
    let gone: Vec<usize> = (0..TANGLE.len()).filter(|&node| plan.program.of_node[node].is_none()).collect();
    assert_eq!(gone, [0, 5, 7, 9, 10, 14, 15]);
    let refused = |node: usize| plan.node_values(node, 1).unwrap_err().to_string();
    assert!(refused(7).contains("node 7 (`7`) is one operation with those that follow it"), "{}", refused(7));
    assert!(refused(21).contains("node 21 of a network with 21"), "{}", refused(21));
    let of = |node: usize| &plan.program.operations[plan.program.of_node[node].unwrap()];
    // The parameters stay where they are: those of node 5 before those of node 6.
    assert_eq!((of(8).params.clone(), of(6).params.clone()), (12..18, 18..24));
}

#[test]
fn a_tangle_gives_the_same_bits_fused() {
    fused_is_unfused::<f32>(&tangle());
    fused_is_unfused::<f64>(&tangle());
}

#[test]
fn a_node_that_takes_the_same_twice_is_refused() {
    let node = Node::<f64> {
        name: "0".into(),
        layer: Arc::new(Residual { width: 2 }),
        from: Source::Input,
        second: Some(Source::Input),
    };
    assert!(Net::of_nodes(vec![node], Vec::new()).unwrap_err().to_string().contains("layer 0 takes the same twice"));
}

use super::*;
use crate::metrics::{Measurer as AnyMeasurer, Replicas, parse};
use crate::nets::{Architecture, Convnet, Resnet};
use crate::rng::{sequential, standard_normals};
use crate::spec::Seed;

/// 300 images of 4 x 4 in three classes, and a network of them.
fn case() -> (Dataset, Architecture) {
    let mut x = vec![0.0; 400 * 16];
    standard_normals(&mut sequential(1, Stream::Data), &mut x);
    let y: Vec<f64> = (0..400).map(|image| (image % 3) as f64).collect();
    let (x, x_test) = (x[..4800].to_vec(), x[4800..].to_vec());
    let (y, y_test) = (y[..300].to_vec(), y[300..].to_vec());
    let data = Dataset { d: 16, x, y, x_test, y_test, image: Some([4, 4, 1]), classes: Some(3), ..Dataset::default() };
    (data, Architecture::Resnet(Resnet { depth: 18, width: 2, classes: 3, image: [4, 4, 1], preactivation: false }))
}

/// The same from one forward pass over all images in f64.
#[test]
fn batches_and_draws_change_nothing() {
    let (data, net) = case();
    let layers = Arc::new(net.net::<f64>(16).unwrap().unwrap());
    let params = net.initial(16, Seed::Own(3));
    let statistics: Vec<f64> =
        layers.initial_statistics().iter().enumerate().map(|(at, s)| s + 0.01 * (at as f64).sin()).collect();
    let names =
        ["train_loss", "train_error", "test_loss", "test_error", "active.1", "active.5", "sparsity.2@0.95", "sparsity@0.9999"];
    let wanted = vec![names.map(|name| parse(name).unwrap()).to_vec()];
    let cx = Context::cpu().unwrap();
    let measurer = AnyMeasurer::new(Arc::new(data.clone()), &net, Loss::SoftmaxXent).unwrap();
    let got = measurer.measure(&cx, Replicas { statistics: &statistics, ..Replicas::new(&params) }, &wanted).unwrap().remove(0);

    let mut plan = Plan::new(&cx, Arc::clone(&layers), 300).unwrap();
    let mut pass = |x: &[f64], y: &[f64]| {
        let n = y.len();
        let point = Point { n, x: x.into(), params: (&params).into(), statistics: (&statistics).into() };
        let outputs = plan.forward(&cx, point).unwrap().to_vec().unwrap();
        let (mut loss, mut wrong) = (0.0, 0.0);
        for (outputs, &class) in outputs.chunks_exact(3).zip(y) {
            let sum: f64 = outputs.iter().map(|output| output.exp()).sum();
            loss += sum.ln() - outputs[class as usize];
            wrong += f64::from(u8::from(outputs.iter().any(|&output| output > outputs[class as usize])));
        }
        let features: Vec<Vec<f64>> =
            layers.hidden().iter().map(|&node| plan.node_values(node, n).unwrap().to_vec().unwrap()).collect();
        (loss / n as f64, wrong / n as f64, features)
    };
    let (test_loss, test_error, _) = pass(&data.x_test, &data.y_test);
    let (train_loss, train_error, features) = pass(&data.x, &data.y);
    let active = |layer: usize| {
        let features = &features[layer - 1];
        features.iter().filter(|&&feature| feature > 0.0).count() as f64 / features.len() as f64
    };
    // No unit is drawn twice, and all are: only their order is another, which a threshold that few reach hardly sees.
    let sparsity = |layer: usize, threshold| {
        let features = &features[layer - 1];
        Features::as_they_are(300, features.len() / 300, features).unwrap().sparsity(threshold).coefficient
    };
    let want = [train_loss, train_error, test_loss, test_error, active(1), active(5), sparsity(2, 0.95), sparsity(5, 0.9999)];
    for ((name, got), want) in names.iter().zip(&got).zip(want) {
        let tolerance = if name.starts_with("sparsity") { 0.05 } else { 1e-4 };
        assert!((got - want).abs() <= tolerance, "{name}: {got}, not {want}");
    }
    assert!(got[1] > 0.2 && got[1] < 0.9 && got[4] > 0.1 && got[6] > 0.0, "{got:?}");
}

#[test]
fn draws_are_without_replacement() {
    let mut some = drawn(50, 20, &Counter::new(1, Stream::Data));
    assert_eq!(some.len(), 20);
    some.sort_unstable();
    some.dedup();
    assert!(some.len() == 20 && some[19] < 50 && some != (0..20).collect::<Vec<_>>());
    assert_eq!(drawn(5, 20, &Counter::new(1, Stream::Data)).len(), 5);
}

/// 5 images of 3 x 3 in two classes, a convolution of two channels, three hidden neurons, and parameters.
fn two_classes() -> (Dataset, Architecture, Vec<f64>) {
    let convnet = Convnet { image: [3, 3, 1], channels: vec![2], strides: vec![1], hidden: 3, classes: 2, scale: 0.5 };
    let mut x = vec![0.0; 45];
    standard_normals(&mut sequential(2, Stream::Data), &mut x);
    let y = vec![1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
    let net = Architecture::Convnet(convnet);
    let mut params = net.initial(9, Seed::Own(4));
    *params.last_mut().unwrap() = -1.7;
    // f32's, so that only the sums differ.
    params.iter_mut().chain(&mut x).for_each(|value| *value = f64::from(*value as f32));
    (Dataset { d: 9, x, y, image: Some([3, 3, 1]), classes: Some(2), ..Dataset::default() }, net, params)
}

/// The outputs of that network over ρ, from its formula: every layer's weights are g·V/‖V‖, g² twice its outputs, or of the last
/// layer their number.
fn outputs(params: &[f64], x: &[f64]) -> [f64; 2] {
    let normalised = |range: std::ops::Range<usize>, gain: f64| -> Vec<f64> {
        let v = &params[range];
        let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        v.iter().map(|w| gain * w / norm).collect()
    };
    let gains = [4f64, 6.0, 2.0].map(f64::sqrt);
    let (conv, first, second) = (normalised(0..18, gains[0]), normalised(18..24, gains[1]), normalised(24..30, gains[2]));
    let layer = |w: &[f64], x: &[f64]| -> Vec<f64> {
        w.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
    };
    let relu = |values: Vec<f64>| -> Vec<f64> { values.into_iter().map(|value| value.max(0.0)).collect() };
    let h = layer(&second, &relu(layer(&first, &relu(layer(&conv, x)))));
    [h[0], h[1]]
}

#[test]
fn margins_and_velocities_by_hand() {
    let (data, net, params) = two_classes();
    let rho = params[30];
    let margins: Vec<f64> = data
        .x
        .chunks_exact(9)
        .zip(data.y.chunks_exact(2))
        .map(|(x, y)| {
            rho.signum() * (y[1] - y[0]) * { outputs(&params, x) }.iter().zip([-1.0, 1.0]).map(|(h, sign)| h * sign).sum::<f64>()
        })
        .collect();
    let loss = |params: &[f64], images: std::ops::Range<usize>| {
        let of = |image: usize| {
            let [zero, one] = outputs(params, &data.x[image * 9..][..9]);
            ((rho * zero - data.y[2 * image]).powi(2) + (rho * one - data.y[2 * image + 1]).powi(2)) / 2.0
        };
        images.clone().map(of).sum::<f64>() / images.len() as f64
    };
    // Only the direction of V matters: differences at V of norm 1 are those of the direction.
    let velocity = |range: std::ops::Range<usize>, images: std::ops::Range<usize>| {
        let norm = params[range.clone()].iter().map(|v| v * v).sum::<f64>().sqrt();
        let mut square = 0.0;
        for index in range {
            let [above, below] = [1e-6, -1e-6].map(|change| {
                let mut moved = params.clone();
                moved[index] += change * norm;
                loss(&moved, images.clone())
            });
            square += ((above - below) / 2e-6).powi(2);
        }
        square.sqrt()
    };
    let measurer = AnyMeasurer::new(Arc::new(data.clone()), &net, Loss::Mse).unwrap();
    let cx = Context::cpu().unwrap();
    let mut initial = params.clone();
    initial[..18].iter_mut().for_each(|v| *v *= 2.0);
    let names = [
        "margin",
        "margin_deviation",
        "rho",
        "velocity.1",
        "velocity.2",
        "velocity",
        "relative_distance.1",
        "relative_distance.2",
        "weight_norm.2",
        "near_zero.1@0.3",
        "weight_rank.1@1e-3",
        "weight_rank.3@1e-3",
    ];
    let wanted = vec![names.map(|name| parse(name).unwrap()).to_vec()];
    let replicas = Replicas { initial: &initial, batch: 2, ..Replicas::new(&params) };
    let got = measurer.measure(&cx, replicas, &wanted).unwrap().remove(0);
    let mean = margins.iter().sum::<f64>() / 5.0;
    let deviation = (margins.iter().map(|margin| (margin - mean).powi(2)).sum::<f64>() / 5.0).sqrt();
    let over_batches = |range: std::ops::Range<usize>| {
        [0..2, 2..4, 4..5].into_iter().map(|images| velocity(range.clone(), images)).sum::<f64>() / 3.0
    };
    let want = [
        mean,
        deviation,
        rho.abs(),
        over_batches(0..18),
        over_batches(18..24),
        over_batches(24..30),
        0.5,
        0.0,
        params[18..24].iter().map(|w| w * w).sum::<f64>().sqrt(),
        params[..18].iter().filter(|w| w.abs() <= 0.3).count() as f64 / 18.0,
        2.0,
        2.0,
    ];
    for ((name, got), want) in names.iter().zip(&got).zip(want) {
        assert!((got - want).abs() <= 2e-5 * (1.0 + want.abs()), "{name}: {got}, not {want}");
    }
    let each = measurer.margins(&cx, replicas).unwrap();
    assert!(each.iter().zip(&margins).all(|(got, want)| (got - want).abs() <= 1e-5), "{each:?}, not {margins:?}");
    assert!(deviation > 0.05 && want[3] > 1e-3 && want[9] > 0.0 && want[9] < 1.0, "{want:?}");

    // Weights of lower rank, and a wrong layer.
    let mut low = params;
    let (first, second) = low[..18].split_at_mut(9);
    second.iter_mut().zip(first).for_each(|(second, first)| *second = -2.0 * *first);
    let wanted = vec![vec![parse("weight_rank.1@1e-3").unwrap()]];
    assert_eq!(measurer.measure(&cx, Replicas::new(&low), &wanted).unwrap(), [[1.0]]);
    assert!(parse("velocity.4").unwrap().check(&net).is_err());
}

/// Ranks and NC1 of the last hidden features, against those of one forward pass in f64.
#[test]
fn the_last_features_span_what_a_plain_elimination_finds() {
    let (data, net) = case();
    let layers = Arc::new(net.net::<f64>(16).unwrap().unwrap());
    let mut params = net.initial(16, Seed::Own(3));
    let statistics = layers.initial_statistics();
    let cx = Context::cpu().unwrap();
    let names = ["feature_rank@1e-4", "nc1"];
    let wanted = vec![names.map(|name| parse(name).unwrap()).to_vec()];
    let measurer = AnyMeasurer::new(Arc::new(data.clone()), &net, Loss::SoftmaxXent).unwrap();
    let last = *layers.hidden().last().unwrap();
    // Without the last batch norm's scale of two channels, the last block passes on what it was given there.
    let scale = layers.parameters().into_iter().rfind(|parameter| parameter.name.ends_with("bn2.weight")).unwrap();
    for dead in [0, 5] {
        params[scale.range.clone()][..dead].fill(0.0);
        let features = |x: &[f64]| {
            let n = x.len() / 16;
            let mut plan = Plan::new(&cx, Arc::clone(&layers), n).unwrap();
            let point = Point { n, x: x.into(), params: (&params).into(), statistics: (&statistics).into() };
            plan.forward(&cx, point).unwrap();
            plan.node_values(last, n).unwrap().to_vec().unwrap()
        };
        let (test, train) = (features(&data.x_test), features(&data.x));
        let rank = eliminated_rank(test, 16, 1e-4);
        let classes: Vec<usize> = data.y.iter().map(|&class| class as usize).collect();
        let nc1 = crate::metrics::collapse::nc1(16, &train, &classes).unwrap();
        let replicas = Replicas { statistics: &statistics, ..Replicas::new(&params) };
        let got = measurer.measure(&cx, replicas, &wanted).unwrap().remove(0);
        assert_eq!(got[0], rank as f64, "rank");
        assert!((got[1] - nc1).abs() <= 1e-3 * nc1 && nc1 > 0.1, "{} and {nc1}", got[1]);
    }
}

/// Pivots above a share of the largest entry, by elimination with complete pivoting.
fn eliminated_rank(mut matrix: Vec<f64>, columns: usize, threshold: f64) -> usize {
    let rows = matrix.len() / columns;
    let mut largest = 0.0;
    for rank in 0..rows.min(columns) {
        let places = (rank..rows).flat_map(|i| (rank..columns).map(move |j| (i, j)));
        let (i, j) =
            places.max_by(|a, b| matrix[a.0 * columns + a.1].abs().total_cmp(&matrix[b.0 * columns + b.1].abs())).unwrap();
        let pivot = matrix[i * columns + j];
        if rank == 0 {
            largest = pivot.abs();
        }
        if pivot.abs() <= threshold * largest {
            return rank;
        }
        (0..columns).for_each(|column| matrix.swap(i * columns + column, rank * columns + column));
        (0..rows).for_each(|row| matrix.swap(row * columns + j, row * columns + rank));
        for row in rank + 1..rows {
            let factor = matrix[row * columns + rank] / pivot;
            (rank..columns).for_each(|column| matrix[row * columns + column] -= factor * matrix[rank * columns + column]);
        }
    }
    rows.min(columns)
}

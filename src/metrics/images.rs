//! Metrics of networks of images, in f32 and with the running statistics of their batch norms, over batches of images.
//!
//! The training loss and error are taken on 1280 training images, drawn once for all evaluations, as they are stored. (The
//! papers' code draws as many anew for every evaluation, and augments them.) Features are those of the first 10,752 training images; of
//! a layer with more than 1000 numbers, 1000 are drawn once for all evaluations.

use std::cell::{OnceCell, RefCell, RefMut};
use std::sync::Arc;

use handgrad_kernels::Context;

use super::sparsity::Features;
use super::{Definition, Metric, Takes, Value};
use crate::data::Dataset;
use crate::error::{Result, refuse};
use crate::loss::{Loss, TargetBuffer};
use crate::nets::{Net, Plan, Point};
use crate::rng::{Counter, Stream};

/// Every metric of networks of images.
pub(super) const METRICS: &[Definition] = &[
    Definition {
        name: "train_loss",
        takes: Takes::Nothing,
        about: "the loss on 1280 training images",
        value: Value::Images(|s, _| Ok(s.on_train()?.loss)),
    },
    Definition {
        name: "train_error",
        takes: Takes::Nothing,
        about: "share of wrong classes among 1280 training images",
        value: Value::Images(|s, _| Ok(s.on_train()?.error)),
    },
    Definition {
        name: "test_loss",
        takes: Takes::Nothing,
        about: "the loss on the test images",
        value: Value::Images(|s, _| Ok(s.on_test()?.loss)),
    },
    Definition {
        name: "test_error",
        takes: Takes::Nothing,
        about: "share of wrong classes among the test images",
        value: Value::Images(|s, _| Ok(s.on_test()?.error)),
    },
    Definition {
        name: "sparsity",
        takes: Takes::LayerAndThreshold,
        about: "share of positive numbers among 1000 features of group k of blocks (5: after pooling), one of each correlated group",
        value: Value::Images(|s, arguments| {
            let LayerFeatures { drawn, units, .. } = s.features(arguments.layer)?;
            let samples = drawn.len() / units;
            let wide: Vec<f64> = drawn.iter().map(|&feature| f64::from(feature)).collect();
            Ok(Features::as_they_are(samples, *units, &wide)?.sparsity(arguments.threshold).coefficient)
        }),
    },
    Definition {
        name: "active",
        takes: Takes::Layer,
        about: "share of positive numbers among all features of group k of blocks (5: after pooling)",
        value: Value::Images(|s, arguments| Ok(s.features(arguments.layer)?.active)),
    },
];

/// Images of a batch.
const BATCH: usize = 256;
/// Training images of the training loss: five batches.
const TRAIN: usize = 5 * BATCH;
/// Training images whose features are looked at: 21 batches of 512.
const FEATURES: usize = 21 * 512;
/// Features of a layer whose correlations are looked at.
const UNITS: usize = 1000;

#[derive(Debug)]
pub(super) struct Measurer {
    net: Arc<Net<f32>>,
    loss: Loss,
    /// Training images of the training loss.
    train: Vec<usize>,
    /// Features of every hidden layer whose correlations are looked at.
    units: Vec<Vec<usize>>,
}

/// Loss and share of wrong classes.
#[derive(Clone, Copy, Debug)]
struct Evaluation {
    loss: f64,
    error: f64,
}

/// A hidden layer on the training images.
#[derive(Debug)]
struct LayerFeatures {
    /// Images x units.
    drawn: Vec<f32>,
    units: usize,
    /// Share of positive numbers among all.
    active: f64,
}

/// One replica.
#[derive(Debug)]
pub(super) struct Snapshot<'a> {
    cx: &'a Context,
    data: &'a Dataset,
    measurer: &'a Measurer,
    params: Vec<f32>,
    statistics: Vec<f32>,
    plan: &'a RefCell<Option<Plan<f32>>>,
    train: OnceCell<Evaluation>,
    test: OnceCell<Evaluation>,
    features: OnceCell<Vec<LayerFeatures>>,
}

/// `count` of the numbers below n, or all, in the order of a draw without replacement.
fn drawn(n: usize, count: usize, stream: &Counter) -> Vec<usize> {
    let mut all: Vec<usize> = (0..n).collect();
    for place in 0..count.min(n) {
        all.swap(place, place + stream.below_at(place as u64, (n - place) as u32) as usize);
    }
    all.truncate(count);
    all
}

impl Measurer {
    pub(super) fn new(data: &Dataset, net: Net<f32>, loss: Loss) -> Result<Measurer> {
        loss.check(net.outputs(), &data.y)?;
        loss.check(net.outputs(), &data.y_test)?;
        let stream = Counter::new(0, Stream::Data);
        let widths = net.hidden().iter().map(|&node| net.nodes()[node].layer.outputs());
        let units = widths.map(|width| drawn(width, UNITS, &stream)).collect();
        Ok(Measurer { train: drawn(data.n(), TRAIN, &stream), units, net: Arc::new(net), loss })
    }

    /// Values of `wanted[r]` for every replica r of `params` and running `statistics`.
    pub(super) fn measure(
        &self,
        cx: &Context,
        data: &Dataset,
        [params, statistics]: [&[f64]; 2],
        wanted: &[Vec<Metric>],
    ) -> Result<Vec<Vec<f64>>> {
        let plan = RefCell::new(None);
        let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        let (params_each, statistics_each) = (self.net.params(), self.net.statistics());
        let replicas = wanted.iter().enumerate().map(|(replica, wanted)| {
            let snapshot = Snapshot {
                cx,
                data,
                measurer: self,
                params: narrow(&params[replica * params_each..][..params_each]),
                statistics: narrow(&statistics[replica * statistics_each..][..statistics_each]),
                plan: &plan,
                train: OnceCell::new(),
                test: OnceCell::new(),
                features: OnceCell::new(),
            };
            wanted.iter().map(|metric| metric.of_images(&snapshot)).collect()
        });
        replicas.collect()
    }
}

impl Snapshot<'_> {
    fn plan(&self) -> Result<RefMut<'_, Plan<f32>>> {
        let mut plan = self.plan.borrow_mut();
        let new = match plan.take() {
            Some(plan) => plan,
            None => Plan::new(self.cx, Arc::clone(&self.measurer.net), BATCH)?,
        };
        Ok(RefMut::map(plan, |plan| plan.insert(new)))
    }

    /// Calls `each` with the plan after every batch of the images at these places, and the places of that batch.
    fn over_batches(&self, x: &[f64], images: &[usize], mut each: impl FnMut(&Plan<f32>, &[usize]) -> Result<()>) -> Result<()> {
        let (mut plan, d) = (self.plan()?, self.data.d);
        let mut batch = Vec::with_capacity(BATCH * d);
        for images in images.chunks(BATCH) {
            batch.clear();
            images.iter().for_each(|&image| batch.extend(x[image * d..][..d].iter().map(|&pixel| pixel as f32)));
            let statistics = (&self.statistics).into();
            plan.forward(self.cx, Point { n: images.len(), x: (&batch).into(), params: (&self.params).into(), statistics })?;
            each(&plan, images)?;
        }
        Ok(())
    }

    fn evaluate(&self, x: &[f64], target: &[f64], images: &[usize]) -> Result<Evaluation> {
        if images.is_empty() {
            return Ok(Evaluation { loss: f64::NAN, error: f64::NAN });
        }
        let Measurer { net, loss, .. } = self.measurer;
        let (outputs, targets) = (net.outputs(), loss.targets(net.outputs()));
        let (mut sum, mut wrong) = (0.0, 0);
        self.over_batches(x, images, |plan, images| {
            let of_batch: Vec<f64> = images.iter().flat_map(|&image| &target[image * targets..][..targets]).copied().collect();
            let y = plan.outputs(images.len())?;
            let buffer = TargetBuffer::new(self.cx, *loss, &of_batch)?;
            sum += f64::from(loss.forward(self.cx, outputs, y, buffer.view())?) * images.len() as f64;
            let rows = y.to_vec()?;
            let mistakes = rows.chunks_exact(outputs).zip(of_batch.chunks_exact(targets));
            wrong += mistakes.filter(|(y, target)| is_wrong(*loss, y, target)).count();
            Ok(())
        })?;
        Ok(Evaluation { loss: sum / images.len() as f64, error: wrong as f64 / images.len() as f64 })
    }

    fn on_train(&self) -> Result<Evaluation> {
        once(&self.train, || self.evaluate(&self.data.x, &self.data.y, &self.measurer.train)).copied()
    }

    fn on_test(&self) -> Result<Evaluation> {
        let all: Vec<usize> = (0..self.data.x_test.len() / self.data.d).collect();
        once(&self.test, || self.evaluate(&self.data.x_test, &self.data.y_test, &all)).copied()
    }

    /// A hidden layer, counted from 1; by default the last.
    fn features(&self, layer: Option<usize>) -> Result<&LayerFeatures> {
        let all = once(&self.features, || self.all_features())?;
        match all.get(layer.unwrap_or(all.len()).wrapping_sub(1)) {
            Some(features) => Ok(features),
            None => refuse!("a network with {} hidden layers has no hidden layer {}", all.len(), layer.unwrap_or(1)),
        }
    }

    fn all_features(&self) -> Result<Vec<LayerFeatures>> {
        let Measurer { net, units, .. } = self.measurer;
        let images: Vec<usize> = (0..self.data.n().min(FEATURES)).collect();
        let room = |units: &Vec<usize>| Vec::with_capacity(images.len() * units.len());
        let mut layers: Vec<LayerFeatures> =
            units.iter().map(|units| LayerFeatures { drawn: room(units), units: units.len(), active: 0.0 }).collect();
        self.over_batches(&self.data.x, &images, |plan, batch| {
            for ((layer, &node), units) in layers.iter_mut().zip(net.hidden()).zip(units) {
                let features = plan.node_values(node, batch.len())?.to_vec()?;
                let width = features.len() / batch.len();
                let positive = features.iter().filter(|&&feature| feature > 0.0).count();
                layer.active += positive as f64 / (images.len() * width) as f64;
                features.chunks_exact(width).for_each(|row| layer.drawn.extend(units.iter().map(|&unit| row[unit])));
            }
            Ok(())
        })?;
        Ok(layers)
    }
}

/// Whether outputs choose another class than the target's. For numbers as targets: another largest one, or for a single output
/// another sign.
fn is_wrong(loss: Loss, y: &[f32], target: &[f64]) -> bool {
    let largest = |values: &mut dyn Iterator<Item = f64>| {
        values.enumerate().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))).map(|(place, _)| place)
    };
    if y.iter().any(|y| y.is_nan()) {
        return true;
    }
    let chosen = largest(&mut y.iter().map(|&y| f64::from(y)));
    match (loss, y, target) {
        (Loss::SoftmaxXent, _, [class]) => chosen != Some(*class as usize),
        (_, [y], [target]) => f64::from(*y) * target <= 0.0,
        _ => chosen != largest(&mut target.iter().copied()),
    }
}

/// What is there, or what `value` gives.
fn once<T>(cell: &OnceCell<T>, value: impl FnOnce() -> Result<T>) -> Result<&T> {
    match cell.get() {
        Some(value) => Ok(value),
        None => {
            let value = value()?;
            Ok(cell.get_or_init(|| value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Measurer as AnyMeasurer, parse};
    use crate::nets::{Architecture, Resnet};
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
        let names = [
            "train_loss",
            "train_error",
            "test_loss",
            "test_error",
            "active.1",
            "active.5",
            "sparsity.2@0.95",
            "sparsity@0.9999",
        ];
        let wanted = vec![names.map(|name| parse(name).unwrap()).to_vec()];
        let cx = Context::cpu().unwrap();
        let measurer = AnyMeasurer::new(Arc::new(data.clone()), &net, Loss::SoftmaxXent).unwrap();
        let got = measurer.measure(&cx, &params, &[], &statistics, &wanted).unwrap().remove(0);

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

    #[test]
    fn wrong_classes() {
        assert!(!is_wrong(Loss::SoftmaxXent, &[0.1, 2.0, -1.0], &[1.0]));
        assert!(is_wrong(Loss::SoftmaxXent, &[0.1, 2.0, -1.0], &[0.0]));
        assert!(is_wrong(Loss::SoftmaxXent, &[f32::NAN, 2.0], &[1.0]));
        assert!(!is_wrong(Loss::Logistic, &[-0.5], &[-1.0]) && is_wrong(Loss::Logistic, &[0.5], &[-1.0]));
        assert!(!is_wrong(Loss::Mse, &[0.0, 0.7], &[0.0, 1.0]) && is_wrong(Loss::Mse, &[0.8, 0.7], &[0.0, 1.0]));
    }
}

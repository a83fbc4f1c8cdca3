//! Metrics of networks of images, in f32 and with the running statistics of their batch norms, over batches of images.
//!
//! The training loss and error are taken on 1280 training images, drawn once for all evaluations, as they are stored. (The
//! papers' code draws as many anew for every evaluation, and augments them.) Features are those of the first 10,752 training images; of
//! a layer with more than 1000 numbers, 1000 are drawn once for all evaluations. Margins and ‖V̇_k‖ see all training images.

mod features;
mod margins;
mod weights;

use std::cell::{OnceCell, RefCell, RefMut};
use std::sync::Arc;

use handgrad_kernels::Context;

use features::LayerFeatures;

use super::sparsity::Features;
use super::{Definition, Metric, Replicas, Takes, Value};
use crate::data::Dataset;
use crate::error::Result;
use crate::loss::{Loss, TargetBuffer};
use crate::nets::{Net, Parameter, Plan, Point};
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
    Definition {
        name: "feature_rank",
        takes: Takes::Threshold,
        about: "singular values σ of the last hidden layer's features on 1000 test images with σ/σ₁ > threshold",
        value: Value::Images(|s, arguments| s.feature_rank(arguments.threshold)),
    },
    Definition {
        name: "nc1",
        takes: Takes::Nothing,
        about: "tr(Σ_W Σ_B⁺)/C of the last hidden layer's features: how far the C classes are from collapsing to their means",
        value: Value::Images(|s, _| s.within_class_variability()),
    },
    Definition {
        name: "weight_norm",
        takes: Takes::Layer,
        about: "‖W_k‖_F of the last weights of group k of blocks, or of layer k (by default the outputs')",
        value: Value::Images(|s, arguments| s.weight_norm(arguments)),
    },
    Definition {
        name: "weight_rank",
        takes: Takes::LayerAndThreshold,
        about: "singular values σ of the same weights, as a matrix outputs x all else, with σ/σ₁ > threshold",
        value: Value::Images(|s, arguments| s.weight_rank(arguments)),
    },
    Definition {
        name: "near_zero",
        takes: Takes::LayerAndThreshold,
        about: "share of the same weights with |w| <= threshold",
        value: Value::Images(|s, arguments| s.near_zero(arguments)),
    },
    Definition {
        name: "relative_distance",
        takes: Takes::Layer,
        about: "‖W_k - W_k(0)‖_F/‖W_k(0)‖_F of the same weights",
        value: Value::Images(|s, arguments| s.relative_distance(arguments)),
    },
    Definition {
        name: "velocity",
        takes: Takes::Layer,
        about: "‖V̇_k‖: norm of the gradient of a batch's loss by V_k = W_k/‖W_k‖, mean over the run's batches of the training set",
        value: Value::Images(|s, arguments| s.velocity(arguments)),
    },
    Definition {
        name: "margin",
        takes: Takes::Nothing,
        about: "mean over the training images of y·(f_1 - f_0), f the outputs over |ρ| and y = ±1 for classes 1 and 0",
        value: Value::Images(|s, _| s.margin()),
    },
    Definition {
        name: "margin_deviation",
        takes: Takes::Nothing,
        about: "standard deviation of the same over the training images",
        value: Value::Images(|s, _| s.margin_deviation()),
    },
    Definition {
        name: "rho",
        takes: Takes::Nothing,
        about: "|ρ|, which the outputs of a convnet are multiplied by",
        value: Value::Images(|s, _| Ok(s.rho())),
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
    /// The weights of every layer that metrics number.
    weights: Vec<Parameter>,
}

/// Loss and share of wrong classes.
#[derive(Clone, Copy, Debug)]
struct Evaluation {
    loss: f64,
    error: f64,
}

/// One replica.
#[derive(Debug)]
pub(super) struct Snapshot<'a> {
    cx: &'a Context,
    data: &'a Dataset,
    measurer: &'a Measurer,
    params: Vec<f32>,
    /// Parameters that it started from; empty where nobody knows them.
    initial: Vec<f32>,
    statistics: Vec<f32>,
    batch: usize,
    plan: &'a RefCell<Option<Plan<f32>>>,
    train: OnceCell<Evaluation>,
    test: OnceCell<Evaluation>,
    features: OnceCell<Vec<LayerFeatures>>,
    velocities: OnceCell<Vec<f64>>,
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
        let weights = weights::last_weights(&net);
        Ok(Measurer { train: drawn(data.n(), TRAIN, &stream), units, weights, net: Arc::new(net), loss })
    }

    /// Values of `wanted[r]` for every replica r.
    pub(super) fn measure(
        &self,
        cx: &Context,
        data: &Dataset,
        replicas: Replicas<'_>,
        wanted: &[Vec<Metric>],
    ) -> Result<Vec<Vec<f64>>> {
        let plan = RefCell::new(None);
        let of = |replica: usize, wanted: &Vec<Metric>| {
            let snapshot = self.snapshot(cx, data, replicas, replica, &plan);
            wanted.iter().map(|metric| metric.of_images(&snapshot)).collect()
        };
        wanted.iter().enumerate().map(|(replica, wanted)| of(replica, wanted)).collect()
    }

    /// The margins of every training image of one replica.
    pub(super) fn margins(&self, cx: &Context, data: &Dataset, replica: Replicas<'_>) -> Result<Vec<f64>> {
        self.snapshot(cx, data, replica, 0, &RefCell::new(None)).margins()
    }

    fn snapshot<'a>(
        &'a self,
        cx: &'a Context,
        data: &'a Dataset,
        replicas: Replicas<'_>,
        replica: usize,
        plan: &'a RefCell<Option<Plan<f32>>>,
    ) -> Snapshot<'a> {
        let part = |values: &[f64], each: usize| {
            let values = values.get(replica * each..(replica + 1) * each).unwrap_or(&[]);
            values.iter().map(|&value| value as f32).collect()
        };
        let each = self.net.params();
        Snapshot {
            cx,
            data,
            measurer: self,
            params: part(replicas.params, each),
            initial: part(replicas.initial, each),
            statistics: part(replicas.statistics, self.net.statistics()),
            batch: replicas.batch,
            plan,
            train: OnceCell::new(),
            test: OnceCell::new(),
            features: OnceCell::new(),
            velocities: OnceCell::new(),
        }
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

    /// The class of an image's target: itself, the place of the largest of several numbers, or 1 for a single positive one.
    fn class(&self, target: &[f64], image: usize) -> usize {
        let Measurer { net, loss, .. } = self.measurer;
        let targets = loss.targets(net.outputs());
        match (loss, &target[image * targets..][..targets]) {
            (Loss::SoftmaxXent, [class]) => *class as usize,
            (_, [target]) => usize::from(*target > 0.0),
            (_, target) => largest(target.iter().copied()),
        }
    }

    fn on_train(&self) -> Result<Evaluation> {
        once(&self.train, || self.evaluate(&self.data.x, &self.data.y, &self.measurer.train)).copied()
    }

    fn on_test(&self) -> Result<Evaluation> {
        let all: Vec<usize> = (0..self.data.x_test.len() / self.data.d).collect();
        once(&self.test, || self.evaluate(&self.data.x_test, &self.data.y_test, &all)).copied()
    }
}

/// Whether outputs choose another class than the target's. For numbers as targets: another largest one, or for a single output
/// another sign.
pub(super) fn is_wrong<T: Copy + Into<f64>>(loss: Loss, y: &[T], target: &[f64]) -> bool {
    let number = |&y: &T| -> f64 { y.into() };
    let numbers = y.iter().map(number);
    if numbers.clone().any(f64::is_nan) {
        return true;
    }
    let chosen = largest(numbers);
    match (loss, y, target) {
        (Loss::SoftmaxXent, _, [class]) => chosen != *class as usize,
        (_, [y], [target]) => number(y) * target <= 0.0,
        _ => chosen != largest(target.iter().copied()),
    }
}

/// The place of the first of the largest numbers.
fn largest(values: impl Iterator<Item = f64>) -> usize {
    values.enumerate().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))).map_or(0, |(place, _)| place)
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
mod tests;

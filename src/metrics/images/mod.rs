//! Metrics of networks of images, in f32 and with the running statistics of their batch norms, over batches of images.
//!
//! The training loss and error are taken on 1280 training images, drawn once for all evaluations, as they are stored. (The
//! papers' code draws as many anew for every evaluation, and augments them.) Features are those of the first 10,752 training images; of
//! a layer with more than 1000 numbers, 1000 are drawn once for all evaluations. Margins and ‖V̇_k‖ see all training images.
//!
//! On a CUDA device the passes run there, products in the precision of its context, and the images stay there from the first
//! evaluation on.

mod features;
mod margins;
mod weights;

use std::cell::{OnceCell, RefCell, RefMut};
use std::sync::Arc;

use handgrad_kernels::{Buffer, Context, Device, View};

use features::LayerFeatures;

use super::samples::{Resident, Samples};
use super::sparsity::Features;
use super::{Definition, Metric, Replicas, Takes, Value, once};
use crate::data::Dataset;
use crate::error::Result;
use crate::loss::{Loss, NO_CLASS, Targets};
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
    /// Of each [`Set`].
    samples: [Resident<f32>; 4],
}

/// The images that a metric looks at, in their order.
#[derive(Clone, Copy, Debug)]
enum Set {
    /// Training images of the training loss.
    Drawn,
    /// Training images whose features are looked at.
    First,
    /// All training images.
    Training,
    /// All test images.
    Test,
}

/// Images of a set on the context's device.
#[derive(Clone, Copy, Debug)]
struct Batch<'a> {
    n: usize,
    x: View<'a, f32>,
    target: Targets<'a, f32>,
    labels: View<'a, u32>,
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
    /// Parameters and statistics on a device.
    copies: OnceCell<[Buffer<f32>; 2]>,
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
        let train = drawn(data.n(), TRAIN, &stream);
        Ok(Measurer { net: Arc::new(net), loss, train, units, weights, samples: Default::default() })
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
            copies: OnceCell::new(),
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

    /// The parameters and the running statistics on the context's device.
    fn state(&self) -> Result<[View<'_, f32>; 2]> {
        let here = [&self.params, &self.statistics];
        if self.cx.device() == Device::Cpu {
            return Ok(here.map(View::from));
        }
        let [params, statistics] = here;
        let copy = |values: &[f32]| Buffer::from_slice(self.cx, values);
        let copies = once(&self.copies, || Ok([copy(params)?, copy(statistics)?]))?;
        Ok(copies.each_ref().map(Buffer::view))
    }

    /// The places of a set's images among the training images, or among the test images.
    fn places(&self, set: Set) -> Vec<usize> {
        match set {
            Set::Drawn => self.measurer.train.clone(),
            Set::First => (0..self.data.n().min(FEATURES)).collect(),
            Set::Training => (0..self.data.n()).collect(),
            Set::Test => (0..self.data.x_test.len() / self.data.d).collect(),
        }
    }

    /// Calls `each` with the set's first `most` images in batches of `size`.
    fn batches(&self, set: Set, most: usize, size: usize, mut each: impl FnMut(Batch<'_>) -> Result<()>) -> Result<()> {
        let Measurer { net, loss, samples, .. } = self.measurer;
        let (cx, d, places) = (self.cx, self.data.d, self.places(set));
        let (outputs, targets) = (net.outputs(), loss.targets(net.outputs()));
        let (x, y) = match set {
            Set::Drawn | Set::First | Set::Training => (&self.data.x, &self.data.y),
            Set::Test => (&self.data.x_test, &self.data.y_test),
        };
        let samples = samples[set as usize].get(cx, || Samples::new(cx, (*loss, outputs), (x, d), y, &places))?;
        let mut converted = Vec::new();
        for (index, places) in places[..most.min(places.len())].chunks(size).enumerate() {
            let (start, n) = (index * size, places.len());
            let x = match cx.device() {
                Device::Cpu => {
                    converted.clear();
                    places.iter().for_each(|&place| converted.extend(x[place * d..][..d].iter().map(|&pixel| pixel as f32)));
                    (&converted).into()
                }
                Device::Cuda(_) => samples.x.view().part(start * d, n * d)?,
            };
            let target = samples.target.view().part(start * targets, n * targets)?;
            each(Batch { n, x, target, labels: samples.labels.view().part(start, n)? })?;
        }
        Ok(())
    }

    /// Calls `each` with the plan after every batch of the set's first `most` images.
    fn passes(&self, set: Set, most: usize, mut each: impl FnMut(&Plan<f32>, Batch<'_>) -> Result<()>) -> Result<()> {
        let (mut plan, [params, statistics]) = (self.plan()?, self.state()?);
        self.batches(set, most, BATCH, |batch| {
            plan.forward(self.cx, Point { n: batch.n, x: batch.x, params, statistics })?;
            each(&plan, batch)
        })
    }

    fn evaluate(&self, set: Set) -> Result<Evaluation> {
        let Measurer { net, loss, .. } = self.measurer;
        let (mut sum, mut wrong, mut images) = (0.0, 0, 0);
        self.passes(set, usize::MAX, |plan, Batch { n, target, labels, .. }| {
            let y = plan.outputs(n)?;
            sum += f64::from(loss.forward(self.cx, net.outputs(), y, target)?) * n as f64;
            wrong += loss.mistakes(self.cx, net.outputs(), y, labels)?;
            images += n;
            Ok(())
        })?;
        Ok(Evaluation { loss: sum / images as f64, error: wrong as f64 / images as f64 })
    }

    /// The class of an image's target: its label, or 0 for a single number that is not positive.
    fn class(&self, target: &[f64], image: usize) -> usize {
        let Measurer { net, loss, .. } = self.measurer;
        let targets = loss.targets(net.outputs());
        match loss.label(&target[image * targets..][..targets]) {
            NO_CLASS => 0,
            class => class as usize,
        }
    }

    fn on_train(&self) -> Result<Evaluation> {
        once(&self.train, || self.evaluate(Set::Drawn)).copied()
    }

    fn on_test(&self) -> Result<Evaluation> {
        once(&self.test, || self.evaluate(Set::Test)).copied()
    }
}

#[cfg(test)]
mod tests;

//! Metrics of networks made of layers.

use std::cell::{OnceCell, RefCell, RefMut};
use std::ops::Range;
use std::sync::Arc;

use handgrad_kernels::{Buffer, Context, Device};

use super::samples::{Resident, Samples};
use super::{Arguments, Definition, Metric, Takes, Value, directions, lanczos, once, rank, sparsity, weights};
use crate::data::Dataset;
use crate::error::{Result, refuse};
use crate::loss::{Loss, TargetBuffer};
use crate::nets::{Net, Objective, Parameter, Plan, Point};
use crate::run::nan_max;

/// Every metric of networks made of layers. W_k is the weight of layer k, φ_k the features of hidden layer k.
pub(super) const METRICS: &[Definition] = &[
    Definition {
        name: "train_loss",
        takes: Takes::Nothing,
        about: "the loss on the training set",
        value: Value::Layered(|s, _| s.loss_on(Set::Train)),
    },
    Definition {
        name: "test_loss",
        takes: Takes::Nothing,
        about: "the same on the test set",
        value: Value::Layered(|s, _| s.loss_on(Set::Test)),
    },
    Definition {
        name: "test_error",
        takes: Takes::Nothing,
        about: "share of wrong classes among the test samples",
        value: Value::Layered(|s, _| s.test_error()),
    },
    Definition {
        name: "ntk_rank",
        takes: Takes::Threshold,
        about: "singular values σ of the rows ∂h(x_i)/∂params with σ/σ₁ > threshold; x_i: as many fresh inputs as parameters",
        value: Value::Layered(|s, arguments| s.ntk_rank(arguments)),
    },
    Definition {
        name: "sparsity",
        takes: Takes::LayerAndThreshold,
        about: "share of positive features of φ_k (the last by default) on the training inputs, one of each group correlated above the threshold",
        value: Value::Layered(|s, arguments| {
            let (features, width) = s.features(arguments.layer)?;
            Ok(sparsity::Features::new(features.len() / width, width, features)?.sparsity(arguments.threshold).coefficient)
        }),
    },
    Definition {
        name: "active",
        takes: Takes::Layer,
        about: "share of positive features of φ_k (the last by default) on the training inputs",
        value: Value::Layered(|s, arguments| {
            let (features, _) = s.features(arguments.layer)?;
            Ok(features.iter().filter(|&&feature| feature > 0.0).count() as f64 / features.len() as f64)
        }),
    },
    Definition {
        name: "layer_balancedness",
        takes: Takes::Layer,
        about: "‖W_(k+1)ᵀW_(k+1) - W_k W_kᵀ‖_F; by default the largest over k",
        value: Value::Layered(|s, arguments| s.balancedness(arguments)),
    },
    Definition {
        name: "weight_norm",
        takes: Takes::Layer,
        about: "‖W_k‖_F (the last by default)",
        value: Value::Layered(|s, arguments| s.weight(arguments.layer)?.norm_from(0)),
    },
    Definition {
        name: "irrelevant_norm",
        takes: Takes::Nothing,
        about: "‖W_1[:, r:]‖_F, the weights of inputs that the target does not depend on; needs the support r",
        value: Value::Layered(|s, _| match s.data.support {
            Some(support) => s.weight(Some(1))?.norm_from(support),
            None => Ok(f64::NAN),
        }),
    },
    Definition {
        name: "weight_rank",
        takes: Takes::LayerAndThreshold,
        about: "singular values σ of W_k (the last by default) with σ/σ₁ > threshold",
        value: Value::Layered(|s, arguments| s.weight(arguments.layer)?.rank(s.cx.host(), arguments.threshold)),
    },
    Definition {
        name: "stable_rank",
        takes: Takes::Layer,
        about: "‖W_k‖²_F/σ₁² (the last by default)",
        value: Value::Layered(|s, arguments| {
            let Weight { outputs, inputs, values } = s.weight(arguments.layer)?;
            weights::stable_rank(outputs, inputs, values)
        }),
    },
    Definition {
        name: "top_eigenvalue",
        takes: Takes::Layer,
        about: "σ₁², the largest eigenvalue of W_kᵀW_k (the last by default)",
        value: Value::Layered(|s, arguments| {
            let Weight { outputs, inputs, values } = s.weight(arguments.layer)?;
            weights::top_eigenvalue(outputs, inputs, values)
        }),
    },
    Definition {
        name: "sharpness",
        takes: Takes::Nothing,
        about: "largest eigenvalue of the Hessian of the training loss",
        value: Value::Layered(|s, _| s.sharpness()),
    },
    Definition {
        name: "initial_distance",
        takes: Takes::Layer,
        about: "‖W_k - W_k(0)‖_F (the first by default)",
        value: Value::Layered(|s, arguments| s.initial_distance(arguments)),
    },
    Definition {
        name: "clustering",
        takes: Takes::Nothing,
        about: "Σ_j c_j max_i cos(w_j, w_i*)/Σ_j c_j over first-layer neurons j, c_j = ‖w_j‖·‖outgoing weights‖; needs the teacher's rows",
        value: Value::Layered(|s, _| s.clustering()),
    },
];

/// Measures networks made of layers on one data set.
#[derive(Debug)]
pub(super) struct Measurer {
    net: Arc<Net<f64>>,
    loss: Loss,
    /// Fresh inputs of the NTK.
    fresh: Vec<f64>,
    /// Of each [`Set`].
    samples: [Resident<f64>; 2],
}

/// The samples that losses are taken of.
#[derive(Clone, Copy, Debug)]
enum Set {
    Train,
    Test,
}

/// One replica at one iteration.
#[derive(Debug)]
pub struct Snapshot<'a> {
    cx: &'a Context,
    data: &'a Dataset,
    measurer: &'a Measurer,
    params: &'a [f64],
    initial: &'a [f64],
    /// Of the CPU, and of a device.
    plans: &'a [RefCell<Option<Plan<f64>>>; 2],
    /// The parameters on a device.
    copy: OnceCell<Buffer<f64>>,
    /// Of every hidden layer.
    features: OnceCell<Vec<Vec<f64>>>,
    gradients: OnceCell<Vec<f64>>,
}

/// A weight matrix, outputs x inputs.
#[derive(Clone, Copy, Debug)]
struct Weight<'a> {
    outputs: usize,
    inputs: usize,
    values: &'a [f64],
}

impl Weight<'_> {
    fn norm_from(self, input: usize) -> Result<f64> {
        weights::norm_of_inputs(self.outputs, self.inputs, self.values, input)
    }

    fn rank(self, cx: &Context, threshold: f64) -> Result<f64> {
        Ok(rank::rank(cx, self.outputs, self.inputs, self.values, threshold)?.map_or(f64::NAN, |rank| rank as f64))
    }
}

impl Measurer {
    pub(super) fn new(data: &Dataset, net: Net<f64>, loss: Loss) -> Result<Measurer> {
        loss.check(net.outputs(), &data.y)?;
        loss.check(net.outputs(), &data.y_test)?;
        let fresh = data.fresh_inputs(net.params());
        Ok(Measurer { net: Arc::new(net), loss, fresh, samples: Default::default() })
    }

    /// Values of `wanted[r]` for every replica r of `params`, which started from `initial` (none: nobody knows).
    pub(super) fn measure(
        &self,
        cx: &Context,
        data: &Dataset,
        params: &[f64],
        initial: &[f64],
        wanted: &[Vec<Metric>],
    ) -> Result<Vec<Vec<f64>>> {
        let count = self.net.params();
        let plans = Default::default();
        let replicas = params.chunks_exact(count).zip(wanted).enumerate();
        let values = replicas.map(|(replica, (params, wanted))| {
            let initial = initial.get(replica * count..(replica + 1) * count).unwrap_or_default();
            let snapshot = Snapshot {
                cx,
                data,
                measurer: self,
                params,
                initial,
                plans: &plans,
                copy: OnceCell::new(),
                features: OnceCell::new(),
                gradients: OnceCell::new(),
            };
            wanted.iter().map(|metric| metric.of_layered(&snapshot)).collect()
        });
        values.collect()
    }
}

impl Snapshot<'_> {
    /// Memory for the largest batch on a context's device, shared by all metrics and replicas; many metrics need none.
    fn plan(&self, cx: &Context) -> Result<RefMut<'_, Plan<f64>>> {
        let mut plan = self.plans[usize::from(cx.device() != Device::Cpu)].borrow_mut();
        let new = match plan.take() {
            Some(plan) => plan,
            None => {
                let (Dataset { d, x_test, .. }, Measurer { net, fresh, .. }) = (self.data, self.measurer);
                let most = self.data.n().max(x_test.len() / d).max(fresh.len() / d);
                Plan::new(cx, Arc::clone(net), most)?
            }
        };
        Ok(RefMut::map(plan, |plan| plan.insert(new)))
    }

    /// Inputs and targets.
    fn set(&self, set: Set) -> [&[f64]; 2] {
        match set {
            Set::Train => [&self.data.x, &self.data.y],
            Set::Test => [&self.data.x_test, &self.data.y_test],
        }
    }

    /// The same on the context's device.
    fn samples(&self, set: Set) -> Result<Arc<Samples<f64>>> {
        let Measurer { net, loss, samples, .. } = self.measurer;
        let ([x, y], d) = (self.set(set), self.data.d);
        let places: Vec<usize> = (0..x.len() / d).collect();
        samples[set as usize].get(self.cx, || Samples::new(self.cx, (*loss, net.outputs()), (x, d), y, &places))
    }

    /// Its parameters at the inputs of a set, on the context's device.
    fn point_on<'a>(&'a self, set: Set, samples: &'a Samples<f64>) -> Result<Point<'a, f64>> {
        let [x, _] = self.set(set);
        Ok(match self.cx.device() {
            Device::Cpu => self.point(x),
            Device::Cuda(_) => {
                let params = once(&self.copy, || Ok(Buffer::from_slice(self.cx, self.params)?))?;
                Point::new(x.len() / self.data.d, samples.x.view(), params.view())
            }
        })
    }

    /// Its parameters at inputs x, on the CPU.
    fn point<'a>(&'a self, x: &'a [f64]) -> Point<'a, f64> {
        Point::new(x.len() / self.data.d, x.into(), self.params.into())
    }

    /// The loss on a set; NaN without one.
    fn loss_on(&self, set: Set) -> Result<f64> {
        let [_, target] = self.set(set);
        if target.is_empty() {
            return Ok(f64::NAN);
        }
        let samples = self.samples(set)?;
        let (loss, point) = (self.measurer.loss, self.point_on(set, &samples)?);
        self.plan(self.cx)?.loss(self.cx, &Objective { loss, point, target: samples.target.view() })
    }

    /// Share of wrong classes on the test set; NaN without one.
    fn test_error(&self) -> Result<f64> {
        if self.data.y_test.is_empty() {
            return Ok(f64::NAN);
        }
        let (Measurer { net, loss, .. }, samples) = (self.measurer, self.samples(Set::Test)?);
        let mut plan = self.plan(self.cx)?;
        let y = plan.forward(self.cx, self.point_on(Set::Test, &samples)?)?;
        let wrong = loss.mistakes(self.cx, net.outputs(), y, samples.labels.view())?;
        Ok(wrong as f64 / samples.labels.len() as f64)
    }

    /// Gradients of the first output on the fresh inputs, one row per input.
    fn gradients(&self) -> Result<&[f64]> {
        let rows = once(&self.gradients, || {
            let (fresh, cx) = (&self.measurer.fresh, self.cx.host());
            let n = fresh.len() / self.data.d;
            let mut rows = vec![0.0; n * self.params.len()];
            if n > 0 {
                self.plan(cx)?.sample_gradients(cx, self.point(fresh), 0, (&mut rows).into())?;
            }
            Ok(rows)
        })?;
        Ok(rows)
    }

    fn ntk_rank(&self, arguments: Arguments) -> Result<f64> {
        let Measurer { net, fresh, .. } = self.measurer;
        if net.outputs() != 1 {
            return refuse!("metric `ntk_rank` is defined for one output, the network has {}", net.outputs());
        }
        let (rows, columns) = (fresh.len() / self.data.d, self.params.len());
        if rows == 0 || !self.params.iter().all(|param| param.is_finite()) {
            return Ok(f64::NAN);
        }
        let rank = rank::rank(self.cx.host(), rows, columns, self.gradients()?, arguments.threshold)?;
        Ok(rank.map_or(f64::NAN, |rank| rank as f64))
    }

    /// Features of a hidden layer on the training inputs, n rows, and their number; the last hidden layer by default.
    fn features(&self, layer: Option<usize>) -> Result<(&[f64], usize)> {
        let (hidden, n) = (self.measurer.net.hidden(), self.data.n());
        let all = once(&self.features, || {
            let (mut plan, samples) = (self.plan(self.cx)?, self.samples(Set::Train)?);
            plan.forward(self.cx, self.point_on(Set::Train, &samples)?)?;
            hidden.iter().map(|&index| Ok(plan.node_values(index, n)?.to_vec()?)).collect::<Result<Vec<_>>>()
        })?;
        match all.get(layer.unwrap_or(all.len()).wrapping_sub(1)) {
            Some(features) => Ok((features, features.len() / n)),
            None => refuse!("a network with {} hidden layers has no hidden layer {}", all.len(), layer.unwrap_or(1)),
        }
    }

    /// A weight matrix by its layer, counted from 1; the last by default.
    fn weight(&self, layer: Option<usize>) -> Result<Weight<'_>> {
        let weights = self.measurer.net.weights();
        match weights.get(layer.unwrap_or(weights.len()).wrapping_sub(1)) {
            Some(weight) => Ok(self.matrix(weight, self.params)),
            None => refuse!("a network with {} weight matrices has none of layer {}", weights.len(), layer.unwrap_or(1)),
        }
    }

    fn matrix<'a>(&self, weight: &Parameter, params: &'a [f64]) -> Weight<'a> {
        let range: Range<usize> = weight.range.clone();
        Weight { outputs: weight.shape[0], inputs: weight.shape[1], values: &params[range] }
    }

    fn balancedness(&self, arguments: Arguments) -> Result<f64> {
        let all: Vec<Weight<'_>> = self.measurer.net.weights().iter().map(|weight| self.matrix(weight, self.params)).collect();
        let pairs = all.windows(2).enumerate();
        let chosen = pairs.filter(|(index, _)| arguments.layer.is_none_or(|layer| layer == index + 1));
        let imbalance = |(_, pair): (usize, &[Weight<'_>])| {
            let (below, above) = (pair[0], pair[1]);
            weights::balancedness(above.outputs, below.outputs, below.inputs, above.values, below.values)
        };
        let imbalances = chosen.map(imbalance).collect::<Result<Vec<f64>>>()?;
        Ok(imbalances.into_iter().reduce(nan_max).unwrap_or(f64::NAN))
    }

    fn sharpness(&self) -> Result<f64> {
        if !self.params.iter().all(|param| param.is_finite()) {
            return Ok(f64::NAN);
        }
        let (cx, loss) = (self.cx.host(), self.measurer.loss);
        let target = TargetBuffer::new(cx, loss, &self.data.y)?;
        let objective = Objective { loss, point: self.point(&self.data.x), target: target.view() };
        let (mut plan, mut refused) = (self.plan(cx)?, Ok(()));
        let top = lanczos::top_eigenvalue(self.params.len(), |direction, product| {
            let done = plan.hessian_vector(cx, &objective, direction.into(), product.into());
            if done.is_err() {
                product.fill(f64::NAN);
                refused = done;
            }
        })?;
        refused.map(|()| top.value)
    }

    fn initial_distance(&self, arguments: Arguments) -> Result<f64> {
        let weights = self.measurer.net.weights();
        let Some(weight) = weights.get(arguments.layer.unwrap_or(1).wrapping_sub(1)) else {
            return Ok(f64::NAN);
        };
        match self.initial.get(weight.range.clone()) {
            Some(initial) => directions::distance(&self.params[weight.range.clone()], initial),
            None => Ok(f64::NAN),
        }
    }

    fn clustering(&self) -> Result<f64> {
        let (Some(teacher), [first, second, ..]) = (&self.data.teacher_rows, &self.measurer.net.weights()[..]) else {
            return Ok(f64::NAN);
        };
        let (rows, outgoing) = (self.matrix(first, self.params), self.matrix(second, self.params));
        let strength = |j: usize| {
            let row = &rows.values[j * rows.inputs..][..rows.inputs];
            let out: Vec<f64> = outgoing.values.iter().skip(j).step_by(outgoing.inputs).copied().collect();
            lanczos::dot(row, row).sqrt() * lanczos::dot(&out, &out).sqrt()
        };
        let strengths: Vec<f64> = (0..rows.outputs).map(strength).collect();
        directions::clustering(self.data.d, rows.values, &strengths, teacher)
    }
}

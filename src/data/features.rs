//! Features of a residual network that stays as it is: inputs of another network.

use std::path::PathBuf;
use std::sync::Arc;

use handgrad_kernels::{Context, View};
use serde::{Deserialize, Serialize};

use super::images::{Augment, Loaded};
use super::{Data, Dataset};
use crate::draws::Draws;
use crate::error::{Error, Result, refuse};
use crate::loss::Loss;
use crate::nets::{Architecture, Net, Plan, Point, Resnet, StateDict, Training};
use crate::optim::{Batch, Optimiser, Rule, Sampling};
use crate::schedule::Schedule;
use crate::spec::Seed;
use crate::state::State;

/// The averages over the pixels of what a residual network's last block gives, of images that it was trained on, or of others.
///
/// Without a file of weights the network is trained first, whenever the data are loaded: SGD with momentum 0.9 and weight decay
/// 5e-4 on the cross-entropy of the images' classes, which are shuffled, cropped at random out of a border of zeros and
/// mirrored; step sizes fall from `peak` to 0 along a cosine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Features {
    /// The images.
    pub images: Box<Data>,
    /// The network.
    pub net: Resnet,
    /// Its state dict, a safetensors file; null: it is trained.
    #[serde(default)]
    pub weights: Option<PathBuf>,
    /// Epochs of that training.
    pub epochs: u64,
    /// Images of an iteration.
    pub batch: usize,
    /// First step size.
    pub peak: f64,
    /// Seed of its streams.
    #[serde(default)]
    pub seed: u64,
}

/// Images that are looked at at once.
const AT_ONCE: usize = 256;

impl Features {
    pub(super) fn check(&self) -> Result<()> {
        if !matches!(*self.images, Data::Images { .. }) {
            return refuse!("data.images is {}, expected the kind images", self.images.name());
        }
        self.images.check()?;
        Architecture::Resnet(self.net).check()?;
        match self.batch > 0 && self.epochs > 0 && self.peak.is_finite() && self.peak > 0.0 {
            true => Ok(()),
            false => refuse!(
                "data: epochs = {}, batch = {} and peak = {}, expected at least 1 each and a finite step size > 0",
                self.epochs,
                self.batch,
                self.peak
            ),
        }
    }

    pub(super) fn name(&self) -> String {
        format!("features of ResNet-{}, width {}, on {}", self.net.depth, self.net.width, self.images.name())
    }

    /// Reads or trains the network, and looks at every image.
    pub(super) fn load(&self, loaded: Option<Loaded>) -> Result<Dataset> {
        let cx = Context::cpu()?;
        let images = self.images.load_from(loaded)?;
        let architecture = Architecture::Resnet(self.net);
        architecture.check_data(images.d, Loss::SoftmaxXent, images.outputs())?;
        let Some(net) = architecture.net::<f32>(images.d)?.map(Arc::new) else {
            return refuse!("data.net has no layers");
        };
        let (params, statistics) = match &self.weights {
            Some(path) => {
                let StateDict { params, statistics } = StateDict::read(path, &net)?;
                let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
                (narrow(params), narrow(statistics))
            }
            None => self.train(&cx, &architecture, &images)?,
        };
        let mut plan = Plan::new(&cx, Arc::clone(&net), AT_ONCE)?;
        let mut of = |x: &[f64]| features(&cx, &mut plan, &net, x, [&params, &statistics]);
        let (x, x_test) = (of(&images.x)?, of(&images.x_test)?);
        let d = x.len() / images.n();
        Ok(Dataset { d, x, x_test, image: None, ..images })
    }

    fn train(&self, cx: &Context, net: &Architecture, images: &Dataset) -> Result<(Vec<f32>, Vec<f32>)> {
        let batch = Batch::Random { size: self.batch, sampling: Sampling::DropLast };
        let optimiser = Optimiser {
            batch,
            rule: Rule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: false },
            weight_decay: 5e-4,
            augment: Augment::CropFlip { padding: self.net.image[0].div_ceil(8) },
            ..Optimiser::gd()
        };
        let steps = self.epochs * (images.n() / self.batch).max(1) as u64;
        let (seed, schedule) = (Seed::Own(self.seed), Schedule::Cosine { peak: self.peak, floor: 0.0 });
        let training = Training::<f32>::new(cx, net, images, Loss::SoftmaxXent, schedule, optimiser.clone(), steps)?;
        let draws = [Draws::new(batch, seed, 0, images.n(), steps)?];
        let mut state = State::<f32>::new(&[seed], |seed| net.initial(images.d, seed), &optimiser)
            .with_statistics(&training.initial_statistics());
        training.advance(cx, &mut state, &draws, steps)?;
        match state.diverged[0] {
            None => Ok((state.params, state.statistics)),
            Some(step) => Err(Error::Input(format!(
                "data: the network of the features diverged in iteration {step}; set a smaller data.peak than {}",
                self.peak
            ))),
        }
    }
}

/// What the last hidden layer makes of inputs, row by row.
fn features(
    cx: &Context,
    plan: &mut Plan<f32>,
    net: &Net<f32>,
    x: &[f64],
    [params, statistics]: [&Vec<f32>; 2],
) -> Result<Vec<f64>> {
    let Some(&last) = net.hidden().last() else { return refuse!("data.net has no hidden layer") };
    let mut all = Vec::new();
    for images in x.chunks(AT_ONCE * net.inputs()) {
        let pixels: Vec<f32> = images.iter().map(|&pixel| pixel as f32).collect();
        let n = images.len() / net.inputs();
        let statistics: View<'_, f32> = statistics.into();
        plan.forward(cx, Point { statistics, ..Point::new(n, (&pixels).into(), params.into()) })?;
        all.extend(plan.node_values(last, n)?.to_vec()?.into_iter().map(f64::from));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::images::Source;

    fn digits() -> Features {
        let net = Resnet { depth: 18, width: 2, classes: 10, image: [8, 8, 1], preactivation: false };
        let images = Box::new(Data::images(Source::Digits, Some(64), Some(20)));
        Features { images, net, weights: None, epochs: 2, batch: 32, peak: 0.05, seed: 3 }
    }

    #[test]
    fn a_trained_network_and_its_saved_weights_give_the_same_features() {
        let trained = digits();
        let features = trained.load(None).unwrap();
        assert_eq!((features.d, features.n(), features.x_test.len()), (16, 64, 320));
        assert!(features.x.iter().all(|x| x.is_finite() && *x >= 0.0) && features.x.iter().any(|x| *x > 0.0));
        assert_eq!(features.y, trained.images.load().unwrap().y);

        let cx = Context::cpu().unwrap();
        let architecture = Architecture::Resnet(trained.net);
        let (params, statistics) = trained.train(&cx, &architecture, &trained.images.load().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
        let net = architecture.net::<f32>(64).unwrap().unwrap();
        StateDict { params: wide(params), statistics: wide(statistics) }.write::<f32>(&path, &net).unwrap();
        assert_eq!(Features { weights: Some(path), ..digits() }.load(None).unwrap(), features);
        assert_ne!(Features { seed: 4, ..digits() }.load(None).unwrap().x, features.x);
    }

    #[test]
    fn what_gives_no_features_is_refused() {
        let line = |features: Features| Data::Features(features).check().unwrap_err().to_string();
        assert!(line(Features { peak: 0.0, ..digits() }).contains("expected at least 1 each and a finite step size"));
        assert!(line(Features { images: Box::new(Data::Own { n: 1, d: 1 }), ..digits() }).contains("expected the kind images"));
    }
}

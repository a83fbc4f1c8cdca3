//! What the hidden layers of a network of images give.

use handgrad_kernels::Buffer;
use handgrad_kernels::gather::{GatherShape, gather};
use handgrad_kernels::positives::positives;

use super::{BATCH, FEATURES, Measurer, Set, Snapshot};
use crate::error::{Result, refuse};
use crate::metrics::{collapse, once, rank};

/// Test images whose features span the space that is counted.
const RANK: usize = 1000;

/// A hidden layer on the training images.
#[derive(Debug)]
pub(super) struct LayerFeatures {
    /// Images x units.
    pub drawn: Vec<f32>,
    pub units: usize,
    /// Share of positive numbers among all.
    pub active: f64,
}

impl Snapshot<'_> {
    /// A hidden layer, counted from 1; by default the last.
    pub(super) fn features(&self, layer: Option<usize>) -> Result<&LayerFeatures> {
        let all = once(&self.features, || self.all_features())?;
        match all.get(layer.unwrap_or(all.len()).wrapping_sub(1)) {
            Some(features) => Ok(features),
            None => refuse!("a network with {} hidden layers has no hidden layer {}", all.len(), layer.unwrap_or(1)),
        }
    }

    fn all_features(&self) -> Result<Vec<LayerFeatures>> {
        let (Measurer { net, units, .. }, images) = (self.measurer, self.places(Set::First).len());
        let layer = |units: &Vec<usize>| LayerFeatures {
            drawn: Vec::with_capacity(images * units.len()),
            units: units.len(),
            active: 0.0,
        };
        let mut layers: Vec<LayerFeatures> = units.iter().map(layer).collect();
        let of_batch = net.hidden().iter().zip(units);
        let of_batch = of_batch.map(|(&node, units)| self.places_of_units(node, units, BATCH.min(images)));
        let of_batch: Vec<Buffer<u32>> = of_batch.collect::<Result<_>>()?;
        self.passes(Set::First, usize::MAX, |plan, batch| {
            for ((layer, &node), places) in layers.iter_mut().zip(net.hidden()).zip(&of_batch) {
                let features = plan.node_values(node, batch.n)?;
                let all = features.len() / batch.n * images;
                layer.active += positives(self.cx, features)? as f64 / all as f64;
                let mut drawn = Buffer::zeros(self.cx, batch.n * layer.units)?;
                let shape = GatherShape { n: features.len(), width: 1, stride: 1 };
                gather(self.cx, &shape, features, places.view().part(0, drawn.len())?, drawn.view_mut())?;
                layer.drawn.extend(drawn.to_vec()?);
            }
            Ok(())
        })?;
        Ok(layers)
    }

    /// Where some units of a node are among its outputs for a batch of images, on the context's device.
    fn places_of_units(&self, node: usize, units: &[usize], images: usize) -> Result<Buffer<u32>> {
        let width = self.measurer.net.nodes()[node].layer.outputs();
        if u32::try_from(images * width).is_err() {
            return refuse!(
                "features: a layer gives {width} numbers, expected at most {}; take smaller images",
                u32::MAX as usize / images
            );
        }
        let places = (0..images).flat_map(|image| units.iter().map(move |unit| (image * width + unit) as u32));
        Ok(Buffer::from_slice(self.cx, &places.collect::<Vec<u32>>())?)
    }

    /// All features of the last hidden layer on the set's first so many images, row by row.
    fn penultimate(&self, set: Set, images: usize) -> Result<Vec<f64>> {
        let Some(&last) = self.measurer.net.hidden().last() else {
            return refuse!("a network without hidden layers has no features");
        };
        let mut features = Vec::new();
        self.passes(set, images, |plan, batch| {
            features.extend(plan.node_values(last, batch.n)?.to_vec()?.into_iter().map(f64::from));
            Ok(())
        })?;
        Ok(features)
    }

    /// Rank of the last hidden layer's features on up to 1000 test images; without any it is undefined.
    pub(super) fn feature_rank(&self, threshold: f64) -> Result<f64> {
        let features = self.penultimate(Set::Test, RANK)?;
        let rows = RANK.min(self.data.x_test.len() / self.data.d);
        if rows == 0 {
            return Ok(f64::NAN);
        }
        let columns = features.len() / rows;
        Ok(rank::rank(self.cx.host(), rows, columns, &features, threshold)?.map_or(f64::NAN, |rank| rank as f64))
    }

    /// Variability collapse of the last hidden layer's features on the training images.
    pub(super) fn within_class_variability(&self) -> Result<f64> {
        let features = self.penultimate(Set::First, usize::MAX)?;
        let rows = self.data.n().min(FEATURES);
        let classes: Vec<usize> = (0..rows).map(|image| self.class(&self.data.y, image)).collect();
        collapse::nc1(features.len() / rows, &features, &classes)
    }
}

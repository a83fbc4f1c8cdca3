//! What the hidden layers of a network of images give.

use super::{FEATURES, Measurer, Snapshot, once};
use crate::error::{Result, refuse};
use crate::metrics::{collapse, rank};

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

    /// All features of the last hidden layer on the first so many images of x, row by row.
    fn penultimate(&self, x: &[f64], images: usize) -> Result<Vec<f64>> {
        let Some(&last) = self.measurer.net.hidden().last() else {
            return refuse!("a network without hidden layers has no features");
        };
        let images: Vec<usize> = (0..images.min(x.len() / self.data.d)).collect();
        let mut features = Vec::new();
        self.over_batches(x, &images, |plan, batch| {
            features.extend(plan.node_values(last, batch.len())?.to_vec()?.into_iter().map(f64::from));
            Ok(())
        })?;
        Ok(features)
    }

    /// Rank of the last hidden layer's features on up to 1000 test images; without any it is undefined.
    pub(super) fn feature_rank(&self, threshold: f64) -> Result<f64> {
        let features = self.penultimate(&self.data.x_test, RANK)?;
        let rows = RANK.min(self.data.x_test.len() / self.data.d);
        if rows == 0 {
            return Ok(f64::NAN);
        }
        let columns = features.len() / rows;
        Ok(rank::rank(self.cx, rows, columns, &features, threshold)?.map_or(f64::NAN, |rank| rank as f64))
    }

    /// Variability collapse of the last hidden layer's features on the training images.
    pub(super) fn within_class_variability(&self) -> Result<f64> {
        let features = self.penultimate(&self.data.x, FEATURES)?;
        let rows = self.data.n().min(FEATURES);
        let classes: Vec<usize> = (0..rows).map(|image| self.class(&self.data.y, image)).collect();
        collapse::nc1(features.len() / rows, &features, &classes)
    }
}

//! What is measured, by name. A name may carry a layer and a threshold: `l0@1e-50`, `sparsity.1@0.99`.
//!
//! On a CUDA device losses, errors, margins and the features of hidden layers are computed there, over data that are copied there
//! once; losses, counts, and of features the units that a metric looks at, come back. Ranks and spectra, sharpness, correlations of
//! features, norms of weights and all metrics of diagonal networks are computed by the processor beside the device.

pub mod collapse;
pub mod diagonal;
pub mod directions;
#[cfg(test)]
mod fixtures;
mod hessian;
mod images;
pub mod lanczos;
pub mod layered;
mod measurer;
mod noise;
mod ntk;
pub mod rank;
mod samples;
pub mod sparsity;
pub mod weights;

pub use measurer::{Measurer, Replicas};
pub use ntk::DiagonalNtk;

use std::cell::OnceCell;

use crate::error::{Error, Result, nearest, refuse};
use crate::nets::Architecture;

/// A metric: its name, what it is, and how it is computed from one replica at one iteration.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Name without layer and threshold.
    pub name: &'static str,
    /// What the name carries.
    pub takes: Takes,
    /// Formula.
    pub about: &'static str,
    value: Value,
}

/// What a metric's name carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing: `train_loss`.
    Nothing,
    /// A threshold: `ntk_rank@1e-4`.
    Threshold,
    /// Perhaps a layer: `weight_norm.2`.
    Layer,
    /// Perhaps a layer, and a threshold: `sparsity.1@0.99`.
    LayerAndThreshold,
}

/// How a metric is computed, for the family of networks that it is defined for.
#[derive(Clone, Copy, Debug)]
enum Value {
    Diagonal(fn(&diagonal::Snapshot<'_>, Arguments) -> Result<f64>),
    Layered(fn(&layered::Snapshot<'_>, Arguments) -> Result<f64>),
    Images(fn(&images::Snapshot<'_>, Arguments) -> Result<f64>),
}

/// What a metric's name carried.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Arguments {
    threshold: f64,
    /// Counted from 1.
    layer: Option<usize>,
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

/// Every metric: those of diagonal networks, then those of networks made of layers, then those of networks of images.
pub fn definitions() -> impl Iterator<Item = &'static Definition> {
    diagonal::METRICS.iter().chain(layered::METRICS).chain(images::METRICS)
}

/// A metric of a spec, ready to be computed.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    diagonal: Option<&'static Definition>,
    layered: Option<&'static Definition>,
    images: Option<&'static Definition>,
    arguments: Arguments,
}

impl Metric {
    /// Its value for a diagonal network; NaN where it is undefined (no test set).
    ///
    /// # Errors
    /// If it is not defined for these, or a decomposition does not converge.
    fn of_diagonal(&self, snapshot: &diagonal::Snapshot<'_>) -> Result<f64> {
        match self.diagonal.map(|definition| definition.value) {
            Some(Value::Diagonal(value)) => value(snapshot, self.arguments),
            _ => refuse!("metric `{}` is not defined for diagonal networks", self.name()),
        }
    }

    /// Its value for a network made of layers.
    ///
    /// # Errors
    /// As [`Metric::of_diagonal`].
    fn of_layered(&self, snapshot: &layered::Snapshot<'_>) -> Result<f64> {
        match self.layered.map(|definition| definition.value) {
            Some(Value::Layered(value)) => value(snapshot, self.arguments),
            _ => refuse!("metric `{}` is only defined for diagonal networks", self.name()),
        }
    }

    /// Its value for a network of images.
    ///
    /// # Errors
    /// As [`Metric::of_diagonal`].
    fn of_images(&self, snapshot: &images::Snapshot<'_>) -> Result<f64> {
        match self.images.map(|definition| definition.value) {
            Some(Value::Images(value)) => value(snapshot, self.arguments),
            _ => refuse!("metric `{}` is not defined for networks of images", self.name()),
        }
    }

    fn name(&self) -> &'static str {
        self.diagonal.or(self.layered).or(self.images).map_or("", |definition| definition.name)
    }

    /// Refuses a metric that is not defined for a network, or whose layer is not there.
    ///
    /// # Errors
    /// If it is not.
    pub fn check(&self, net: &Architecture) -> Result<()> {
        let name = self.name();
        let (definition, kind, layers) = match net {
            Architecture::Diagonal { .. } | Architecture::Squared { .. } => (self.diagonal, "diagonal", 0),
            Architecture::DeepDiagonal { depth, .. } => (self.layered, "deep diagonal", *depth),
            Architecture::Mlp { widths, .. } => (self.layered, "multilayer", widths.len() - 1),
            Architecture::Resnet(_) => (self.images, "residual", 5),
            Architecture::Convnet(convnet) => (self.images, "convolutional", convnet.channels.len() + 2),
        };
        if definition.is_none() {
            return refuse!("metric `{name}` is not defined for {kind} networks");
        }
        match self.arguments.layer {
            Some(layer) if !(1..=layers).contains(&layer) => {
                refuse!("metric `{name}.{layer}`: the network has layers 1 to {layers}")
            }
            _ => Ok(()),
        }
    }

    /// How many singular values are above this metric's threshold.
    pub(crate) fn count(&self, singular_values: &[f64]) -> usize {
        rank::count(singular_values, self.arguments.threshold)
    }

    /// The threshold of a rank, if it is one.
    fn rank_threshold(&self) -> Option<f64> {
        (self.name() == "ntk_rank").then_some(self.arguments.threshold)
    }
}

/// Finds a metric by name.
///
/// # Errors
/// If there is none of that name, or a layer or threshold is missing, superfluous or out of range.
pub fn parse(name: &str) -> Result<Metric> {
    let (place, threshold) = name.split_once('@').map_or((name, None), |(place, threshold)| (place, Some(threshold)));
    let (base, layer) = place.split_once('.').map_or((place, None), |(base, layer)| (base, Some(layer)));
    let find = |table: &'static [Definition]| table.iter().find(|definition| definition.name == base);
    let (diagonal, layered, images) = (find(diagonal::METRICS), find(layered::METRICS), find(images::METRICS));
    let Some(takes) = diagonal.or(layered).or(images).map(|definition| definition.takes) else {
        return refuse!("metric `{name}` is unknown{}", nearest(base, definitions().map(|definition| definition.name)));
    };
    let layer = match (takes, layer) {
        (_, None) => None,
        (Takes::Nothing | Takes::Threshold, Some(_)) => return refuse!("metric `{name}` takes no layer; write `{base}`"),
        (_, Some(text)) => match text.parse::<usize>() {
            Ok(layer) if layer > 0 => Some(layer),
            _ => return refuse!("metric `{name}`: layer `{text}` is not an integer from 1 on, as in `{base}.1`"),
        },
    };
    let threshold = match (takes, threshold) {
        (Takes::Nothing | Takes::Layer, None) => 0.0,
        (Takes::Nothing | Takes::Layer, Some(_)) => return refuse!("metric `{name}` takes no threshold; write `{place}`"),
        (_, None) => return refuse!("metric `{name}` needs a threshold, as in `{place}@1e-15`"),
        (_, Some(text)) => match text.parse::<f64>() {
            Ok(threshold) if threshold.is_finite() && threshold >= 0.0 => threshold,
            _ => {
                return Err(Error::Input(format!(
                    "metric `{name}`: threshold `{text}` is not a finite number >= 0, as in `{place}@1e-15`"
                )));
            }
        },
    };
    Ok(Metric { diagonal, layered, images, arguments: Arguments { threshold, layer } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(parse("l0@1e-50").is_ok() && parse("sparsity.1@0.99").is_ok() && parse("sparsity@0.99").is_ok());
        for (name, want) in [
            ("train_lost", "did you mean `train_loss`?"),
            ("l0", "needs a threshold"),
            ("l1@3", "takes no threshold"),
            ("l1.2", "takes no layer"),
            ("sparsity.0@0.9", "layer `0` is not an integer from 1 on"),
            ("ntk_rank@x", "threshold `x` is not a finite number"),
            ("ntk_rank@-1", "not a finite number >= 0"),
        ] {
            let line = parse(name).unwrap_err().to_string();
            assert!(line.contains(want), "{line}");
        }
    }

    #[test]
    fn a_name_in_both_families_carries_the_same() {
        for definition in diagonal::METRICS {
            if let Some(other) = layered::METRICS.iter().find(|other| other.name == definition.name) {
                assert_eq!(definition.takes, other.takes, "{}", definition.name);
            }
        }
        for definition in images::METRICS {
            let others = diagonal::METRICS.iter().chain(layered::METRICS).filter(|other| other.name == definition.name);
            others.for_each(|other| assert_eq!(definition.takes, other.takes, "{}", definition.name));
        }
    }
}

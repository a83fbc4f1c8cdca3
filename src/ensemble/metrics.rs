use handgrad_kernels::Context;

use super::{Ensemble, Measured, Member, Samples};
use crate::error::{Result, refuse};
use crate::metrics::{self, Measurer, Metric, Replicas};

/// Metrics by name, each member's on its data set.
#[derive(Debug)]
pub struct Named<'a> {
    cx: &'a Context,
    measurers: Vec<Measurer>,
    sets: Vec<usize>,
    wanted: [Vec<Metric>; 1],
}

impl Ensemble {
    /// Metrics by name, as in `train_loss`, for [`Measure::of`](super::Measure::of).
    ///
    /// # Errors
    /// If a name is unknown or not defined for the network, or a member has no data set.
    pub fn named<'a>(&self, cx: &'a Context, members: &[Member], names: &[&str]) -> Result<Named<'a>> {
        let wanted = names.iter().map(|name| metrics::parse(name)).collect::<Result<Vec<_>>>()?;
        wanted.iter().try_for_each(|metric| metric.check(&self.net))?;
        let set = |(index, member): (usize, &Member)| match member.samples {
            Samples::Set(set) if set < self.sets.len() => Ok(set),
            Samples::Set(set) => {
                refuse!("ensemble: member {index} trains on data set {set}, but there are {}", self.sets.len())
            }
            Samples::Fresh { .. } => {
                refuse!("ensemble: member {index} has fresh samples, for which metrics have no names; measure it yourself")
            }
        };
        let sets = members.iter().enumerate().map(set).collect::<Result<Vec<_>>>()?;
        let measurers = self.sets.iter().map(|data| Measurer::new(data.clone(), &self.net, self.loss)).collect::<Result<_>>()?;
        Ok(Named { cx, measurers, sets, wanted: [wanted] })
    }
}

impl Named<'_> {
    /// The metrics of a member, in the order of their names.
    ///
    /// # Errors
    /// As [`Measurer::measure`].
    pub fn of(&self, Measured { member, params, start, .. }: Measured<'_>) -> Result<Vec<f64>> {
        let mut values = self.measurers[self.sets[member]].measure(
            self.cx.host(),
            Replicas { initial: start, ..Replicas::new(params) },
            &self.wanted,
        )?;
        Ok(values.pop().unwrap_or_default())
    }
}

use super::{Ensemble, Member, Samples, Start};
use crate::error::{Error, Result, refuse};
use crate::nets::Architecture;
use crate::optim::{Batch, LabelNoise, Sampling};
use crate::spec::Seed;

impl Ensemble {
    /// Refuses what cannot train, before anything does.
    pub(super) fn check(&self, members: &[Member]) -> Result<()> {
        if members.is_empty() || self.steps == 0 {
            return refuse!("ensemble: {} members and {} steps, expected at least 1 each", members.len(), self.steps);
        }
        if self.net.is_convolutional() {
            return refuse!("ensemble: networks of images are not for ensembles of tiny ones; train each as a run of its own");
        }
        self.net.check()?;
        self.optimiser.check()?;
        if self.optimiser.label_noise != LabelNoise::Off || self.optimiser.valley_projection.is_some() {
            return refuse!(
                "ensemble: optimiser.label_noise and optimiser.valley_projection are for runs; set the members' noise"
            );
        }
        if let Some(pair) = self.points.windows(2).find(|pair| pair[0] >= pair[1]) {
            return refuse!("ensemble: points {} and {} follow each other, expected an ascending list", pair[0], pair[1]);
        }
        match self.points.last() {
            Some(&last) if last > self.steps => {
                return refuse!("ensemble: there is a point at {last} steps, expected at most {}", self.steps);
            }
            _ => {}
        }
        members.iter().enumerate().try_for_each(|(index, member)| self.check_member(index, member))
    }

    fn check_member(&self, index: usize, member: &Member) -> Result<()> {
        let Member { schedule, start, samples, noise, .. } = member;
        let first = schedule.at(0, self.steps);
        if !(first.is_finite() && first > 0.0) {
            return refuse!("ensemble: the step size of member {index} is {first}, expected a positive number");
        }
        schedule.check().map_err(|error| Error::Input(format!("ensemble: member {index}: {error}")))?;
        if !(noise.is_finite() && *noise >= 0.0) {
            return refuse!("ensemble: the noise of member {index} is {noise}, expected a finite number >= 0");
        }
        let d = match *samples {
            Samples::Fresh { signal } => {
                let d = self.fresh_d();
                if !signal.is_finite() {
                    return refuse!("ensemble: the signal of member {index} is {signal}, expected a finite number");
                }
                if self.optimiser.batch == Batch::Full {
                    return refuse!("ensemble: member {index} has fresh samples, of which there are no full batches; set a size");
                }
                self.net.check_data(d, self.loss, d)?;
                d
            }
            Samples::Set(set) => {
                let Some(data) = self.sets.get(set) else {
                    return refuse!("ensemble: member {index} trains on data set {set}, but there are {}", self.sets.len());
                };
                match self.optimiser.batch {
                    // The last batch of an epoch holds what is left.
                    Batch::Random { sampling: Sampling::Epochs, .. } | Batch::Full => {}
                    Batch::Random { size, .. } if size <= data.n() => {}
                    Batch::Random { size, .. } => {
                        return refuse!(
                            "ensemble: batches of {size} samples, but member {index} has {}; make them smaller",
                            data.n()
                        );
                    }
                }
                self.net.check_data(data.d, self.loss, data.outputs())?;
                data.d
            }
        };
        let Start::At(start) = start else { return Ok(()) };
        let expected = self.net.initial(d, Seed::Own(0)).len();
        if start.len() != expected {
            return refuse!("ensemble: member {index} starts at {} parameters, the network has {expected}", start.len());
        }
        match start.iter().find(|value| !value.is_finite()) {
            Some(value) => refuse!("ensemble: member {index} starts at a parameter of {value}, expected finite numbers"),
            None => Ok(()),
        }
    }

    /// Inputs of fresh samples.
    pub(super) fn fresh_d(&self) -> usize {
        match &self.net {
            Architecture::Mlp { widths, .. } => widths[0],
            _ => 1,
        }
    }
}

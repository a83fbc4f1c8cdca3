//! The samples of a data set as metrics take them.

use std::sync::{Arc, Mutex, PoisonError};

use handgrad_kernels::{Buffer, Context, Device, Real};

use crate::error::Result;
use crate::loss::{Loss, TargetBuffer};

/// Samples on a context's device.
#[derive(Debug)]
pub(super) struct Samples<T: Real> {
    /// Inputs, row by row; none on the CPU, where those of the data set are read.
    pub x: Buffer<T>,
    /// What the loss takes.
    pub target: TargetBuffer<T>,
    /// The classes, as [`Loss::label`] has them.
    pub labels: Buffer<u32>,
}

/// What the first evaluation made of the samples, for all that follow: a device gets its copy of the data once.
#[derive(Debug)]
pub(super) struct Resident<T: Real>(Mutex<Option<Arc<Samples<T>>>>);

impl<T: Real> Samples<T> {
    /// Those at these places among inputs x, rows of d, and the targets y of a loss over so many outputs.
    ///
    /// # Errors
    /// If the device has no room for them.
    pub fn new(
        cx: &Context,
        (loss, outputs): (Loss, usize),
        (x, d): (&[f64], usize),
        y: &[f64],
        places: &[usize],
    ) -> Result<Samples<T>> {
        let targets = loss.targets(outputs);
        let x: Vec<T> = match cx.device() {
            Device::Cpu => Vec::new(),
            Device::Cuda(_) => places.iter().flat_map(|&place| &x[place * d..][..d]).map(|&x| T::from_f64(x)).collect(),
        };
        let y: Vec<f64> = places.iter().flat_map(|&place| &y[place * targets..][..targets]).copied().collect();
        let labels: Vec<u32> = y.chunks_exact(targets).map(|targets| loss.label(targets)).collect();
        let (x, target) = (Buffer::from_slice(cx, &x)?, TargetBuffer::new(cx, loss, &y)?);
        Ok(Samples { x, target, labels: Buffer::from_slice(cx, &labels)? })
    }
}

impl<T: Real> Default for Resident<T> {
    fn default() -> Self {
        Resident(Mutex::default())
    }
}

impl<T: Real> Resident<T> {
    /// What is there for this context, or what `make` gives.
    pub fn get(&self, cx: &Context, make: impl FnOnce() -> Result<Samples<T>>) -> Result<Arc<Samples<T>>> {
        // It is whole at every point where a panic could happen.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(samples) if samples.labels.is_on(cx) => Ok(Arc::clone(samples)),
            _ => Ok(Arc::clone(kept.insert(Arc::new(make()?)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_made_once_and_have_their_places() {
        let cx = Context::cpu().unwrap();
        let (x, y) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2.0, 0.0, 1.0]);
        let resident = Resident::<f32>::default();
        let make = || Samples::new(&cx, (Loss::SoftmaxXent, 3), (&x, 2), &y, &[2, 0]);
        let first = resident.get(&cx, make).unwrap();
        assert_eq!(first.labels.to_vec().unwrap(), [1, 2]);
        assert!(first.x.is_empty(), "the CPU reads those of the data set");
        let again = resident.get(&cx, || unreachable!("they are there")).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
    }
}

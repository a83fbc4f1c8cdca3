//! Iterations on a device: the first one of its kind is recorded, and those that follow cost one launch each.

use std::ops::Range;

use handgrad_kernels::philox::Words;
use handgrad_kernels::{Buffer, Context, Real, Recorded};

use super::{Stepper, Task};
use crate::data::images::{Augment, ClassNoise};
use crate::error::Result;
use crate::nets::resident::Memory;
use crate::optim::{LabelNoise, Optimiser};

/// What a device's iterations change, always in the same place, and the iterations recorded there.
#[derive(Debug)]
pub(super) struct Here<T: Real> {
    memory: [Buffer<T>; 4],
    recorded: Vec<(Kind, Recorded)>,
}

/// What a recorded iteration is tied to: the samples of a batch, and the words that augmentation and class noise draw from.
pub(super) type Kind = (usize, [Option<Words>; 2]);

impl<T: Real> Stepper<T> {
    /// A stretch of iterations on a device, which goes on to the end when one of them diverges: they are then done again up to the
    /// one before, so that the length of a stretch changes no bit.
    pub(super) fn iterate_there(
        &mut self,
        cx: &Context,
        task: Task<'_, T>,
        stretch: Range<usize>,
        memory: &mut Memory<'_, T>,
    ) -> Result<Option<usize>> {
        let Here { memory: mut buffers, mut recorded } = match self.here.take() {
            Some(here) => here,
            None => Here { memory: memory.alike(cx)?, recorded: Vec::new() },
        };
        let mut here = Memory::from(&mut buffers);
        here.copy(cx, memory)?;
        let diverged = self.iterate(cx, task, stretch.clone(), &mut here, &mut recorded)?;
        if let Some(at) = diverged {
            here.copy(cx, memory)?;
            self.iterate(cx, task, stretch.start..at, &mut here, &mut recorded)?;
        }
        memory.copy(cx, &here)?;
        self.here = Some(Here { memory: buffers, recorded });
        Ok(diverged)
    }

    /// An iteration on a device, recorded when the first one of its kind runs.
    pub(super) fn launch(
        &mut self,
        cx: &Context,
        task: Task<'_, T>,
        iteration: usize,
        memory: &mut Memory<'_, T>,
        recorded: &mut Vec<(Kind, Recorded)>,
    ) -> Result<()> {
        let Optimiser { augment, class_noise, label_noise, .. } = self.optimiser;
        let step = task.iterations.step + iteration as u64;
        // The first step finds no momentum, unlike all others; the host draws label noise.
        let alone = !self.recording || step == 0 || label_noise != LabelNoise::Off;
        let augmented = (augment != Augment::None).then(|| task.draws.augment.integers());
        let noisy = (class_noise != ClassNoise::None).then(|| task.draws.noise.integers());
        let kind = (task.iterations.batch(), [augmented, noisy]);
        if let (false, Some((_, recorded))) = (alone, recorded.iter_mut().find(|(of, _)| *of == kind)) {
            return Ok(recorded.launch()?);
        }
        let mut whole = || {
            self.gradient_of(cx, task, iteration, memory)?;
            self.change(cx, task, step, memory)
        };
        if alone {
            return whole();
        }
        recorded.extend(cx.record(whole)?.map(|recording| (kind, recording)));
        Ok(())
    }

    /// Iterations recorded so far.
    pub(in crate::nets) fn recordings(&self) -> usize {
        self.here.as_ref().map_or(0, |here| here.recorded.len())
    }
}

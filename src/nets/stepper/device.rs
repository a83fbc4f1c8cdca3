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

/// What a recording is tied to: its iterations, the samples of a batch, and the words that augmentation and noise draw from.
type Kind = (usize, usize, [Option<Words>; 2]);

/// Iterations of a recording where there are as many to do: a launch costs some microseconds, as much as a small network's step.
const RECORDED: usize = 16;

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
        let diverged = self.launch_all(cx, task, stretch.clone(), &mut here, &mut recorded)?;
        if let Some(at) = diverged {
            here.copy(cx, memory)?;
            self.launch_all(cx, task, stretch.start..at, &mut here, &mut recorded)?;
        }
        memory.copy(cx, &here)?;
        self.here = Some(Here { memory: buffers, recorded });
        Ok(diverged)
    }

    /// A stretch of iterations, to its end; the first one that diverged.
    fn launch_all(
        &mut self,
        cx: &Context,
        task: Task<'_, T>,
        mut stretch: Range<usize>,
        memory: &mut Memory<'_, T>,
        recorded: &mut Vec<(Kind, Recorded)>,
    ) -> Result<Option<usize>> {
        self.begin(task, stretch.clone())?;
        while !stretch.is_empty() {
            let step = task.iterations.step + stretch.start as u64;
            // The factors of averages come from the host.
            let most = if memory.average.is_empty() { RECORDED } else { 1 };
            let count = if step > 0 && stretch.len() >= most { most } else { 1 };
            self.launch(cx, task, stretch.start..stretch.start + count, memory, recorded)?;
            self.average(cx, step, memory)?;
            stretch.start += count;
        }
        self.divergence()
    }

    /// Iterations on a device, recorded when the first ones of their kind run.
    fn launch(
        &mut self,
        cx: &Context,
        task: Task<'_, T>,
        iterations: Range<usize>,
        memory: &mut Memory<'_, T>,
        recorded: &mut Vec<(Kind, Recorded)>,
    ) -> Result<()> {
        let Optimiser { augment, class_noise, label_noise, .. } = self.optimiser;
        let first = task.iterations.step + iterations.start as u64;
        // The first step finds no momentum, unlike all others.
        let alone = !self.recording || first == 0;
        let augmented = (augment != Augment::None).then(|| task.draws.augment.integers());
        let noisy = class_noise != ClassNoise::None || label_noise != LabelNoise::Off;
        let kind = (iterations.len(), task.iterations.batch(), [augmented, noisy.then(|| task.draws.noise.integers())]);
        if let (false, Some((_, recorded))) = (alone, recorded.iter_mut().find(|(of, _)| *of == kind)) {
            return Ok(recorded.launch()?);
        }
        let mut whole = || {
            for iteration in iterations.clone() {
                self.gradient_of(cx, task, iteration, memory)?;
                self.change(cx, task, task.iterations.step + iteration as u64, memory)?;
            }
            Ok(())
        };
        if alone {
            return whole();
        }
        recorded.extend(cx.record(whole)?.map(|recording| (kind, recording)));
        Ok(())
    }

    /// Recordings so far.
    pub(in crate::nets) fn recordings(&self) -> usize {
        self.here.as_ref().map_or(0, |here| here.recorded.len())
    }
}

//! Losses over the outputs of a network, as means over a batch.

use handgrad_kernels::gather::{GatherShape, gather};
use handgrad_kernels::logistic::{logistic_backward, logistic_backward_tangent, logistic_forward};
use handgrad_kernels::mistakes::{Choice, MistakesShape, mistakes};
use handgrad_kernels::mse::{MseScale, mse_backward, mse_backward_tangent, mse_forward};
use handgrad_kernels::softmax_xent::{SoftmaxShape, softmax_xent_backward, softmax_xent_backward_tangent, softmax_xent_forward};
use handgrad_kernels::{Buffer, Context, Real, View, ViewMut};
use serde::{Deserialize, Serialize};

use crate::error::{Result, refuse};

/// Loss of outputs h (n x outputs) and targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// `1/(2m) Σ (h - y)²` over all m = n·outputs numbers.
    #[default]
    HalfMse,
    /// `1/m Σ (h - y)²`.
    Mse,
    /// `1/n Σ ln(1 + e^(-y h))`, one output, y = ±1.
    Logistic,
    /// `1/n Σ (ln Σ_c e^(h_c) - h_y)`, y a class 0, 1, ...
    #[value(alias = "xent")]
    SoftmaxXent,
}

impl Loss {
    /// The squared losses.
    pub fn squared(self) -> Option<MseScale> {
        match self {
            Loss::HalfMse => Some(MseScale::Half),
            Loss::Mse => Some(MseScale::Full),
            Loss::Logistic | Loss::SoftmaxXent => None,
        }
    }

    /// Numbers per sample in the targets of a network with so many outputs.
    pub fn targets(self, outputs: usize) -> usize {
        if self == Loss::SoftmaxXent { 1 } else { outputs }
    }

    /// Refuses outputs or targets that the loss is not defined for; the line says which sample.
    ///
    /// # Errors
    /// If logistic targets are not ±1, or classes are no integers below the number of outputs.
    pub fn check(self, outputs: usize, targets: &[f64]) -> Result<()> {
        let wrong = |right: &dyn Fn(f64) -> bool, what: &str| match targets.iter().position(|&target| !right(target)) {
            Some(sample) => refuse!("target {sample} is {}, expected {what} for this loss; relabel the data", targets[sample]),
            None => Ok(()),
        };
        match self {
            Loss::HalfMse | Loss::Mse => Ok(()),
            Loss::Logistic if outputs != 1 => refuse!("the logistic loss needs one output, the network has {outputs}"),
            Loss::Logistic => wrong(&|target| target.abs() == 1.0, "-1 or 1"),
            Loss::SoftmaxXent => {
                let class = |target: f64| target >= 0.0 && target < outputs as f64 && target.fract() == 0.0;
                wrong(&class, &format!("a class from 0 to {}", outputs - 1))
            }
        }
    }

    /// The loss.
    ///
    /// # Errors
    /// If there are no samples, or the targets do not fit.
    pub fn forward<T: Real>(self, cx: &Context, outputs: usize, y: View<'_, T>, target: Targets<'_, T>) -> Result<T> {
        Ok(match self {
            Loss::HalfMse => mse_forward(cx, MseScale::Half, y, target.values()?)?,
            Loss::Mse => mse_forward(cx, MseScale::Full, y, target.values()?)?,
            Loss::Logistic => logistic_forward(cx, y, target.values()?)?,
            Loss::SoftmaxXent => softmax_xent_forward(cx, &rows(outputs, y.len()), y, target.classes()?)?,
        })
    }

    /// The class that a sample's targets name: itself, the place of the first of the largest of several numbers, or for a single
    /// number 1 if it is positive and 0 if it is negative; [`NO_CLASS`] if it is neither.
    pub fn label(self, targets: &[f64]) -> u32 {
        match (self, targets) {
            (Loss::SoftmaxXent, [class]) => *class as u32,
            (_, [target]) if *target > 0.0 => 1,
            (_, [target]) if *target < 0.0 => 0,
            (_, [_]) => NO_CLASS,
            _ => {
                let places = targets.iter().enumerate();
                places.max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0))).map_or(NO_CLASS, |(place, _)| place as u32)
            }
        }
    }

    /// How many samples' outputs choose another class than their [label](Loss::label): another largest one, or for a single
    /// output and numbers as targets another sign. Outputs of which one is NaN choose none.
    ///
    /// # Errors
    /// As [`Loss::forward`].
    pub fn mistakes<T: Real>(self, cx: &Context, outputs: usize, y: View<'_, T>, labels: View<'_, u32>) -> Result<usize> {
        let choice = if outputs == 1 && self != Loss::SoftmaxXent { Choice::Sign } else { Choice::Largest };
        Ok(mistakes(cx, &MistakesShape { n: y.len() / outputs, outputs, choice }, y, labels)?)
    }

    /// dy = ∂L/∂y.
    ///
    /// # Errors
    /// As [`Loss::forward`].
    pub fn backward<T: Real>(
        self,
        cx: &Context,
        outputs: usize,
        y: View<'_, T>,
        target: Targets<'_, T>,
        dy: ViewMut<'_, T>,
    ) -> Result<()> {
        match self {
            Loss::HalfMse => mse_backward(cx, MseScale::Half, y, target.values()?, dy)?,
            Loss::Mse => mse_backward(cx, MseScale::Full, y, target.values()?, dy)?,
            Loss::Logistic => logistic_backward(cx, y, target.values()?, dy)?,
            Loss::SoftmaxXent => softmax_xent_backward(cx, &rows(outputs, y.len()), y, target.classes()?, dy)?,
        }
        Ok(())
    }

    /// The derivative of dy along ẏ.
    ///
    /// # Errors
    /// As [`Loss::forward`].
    pub fn backward_tangent<T: Real>(
        self,
        cx: &Context,
        outputs: usize,
        (y, y_tangent): (View<'_, T>, View<'_, T>),
        target: Targets<'_, T>,
        dy_tangent: ViewMut<'_, T>,
    ) -> Result<()> {
        match self {
            Loss::HalfMse => mse_backward_tangent(cx, MseScale::Half, y_tangent, dy_tangent)?,
            Loss::Mse => mse_backward_tangent(cx, MseScale::Full, y_tangent, dy_tangent)?,
            Loss::Logistic => logistic_backward_tangent(cx, y, target.values()?, y_tangent, dy_tangent)?,
            Loss::SoftmaxXent => softmax_xent_backward_tangent(cx, &rows(outputs, y.len()), y, y_tangent, dy_tangent)?,
        }
        Ok(())
    }
}

/// The label of targets that name no class.
pub const NO_CLASS: u32 = u32::MAX;

fn rows(outputs: usize, numbers: usize) -> SoftmaxShape {
    SoftmaxShape { n: numbers / outputs, classes: outputs }
}

/// Targets as kernels take them, on a context's device.
#[derive(Debug)]
pub enum TargetBuffer<T: Real> {
    /// Numbers, [`Loss::targets`] per sample.
    Values(Buffer<T>),
    /// A class per sample.
    Classes(Buffer<u32>),
}

/// A [`TargetBuffer`] borrowed to read.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a, T: Real> {
    /// Numbers.
    Values(View<'a, T>),
    /// Classes.
    Classes(View<'a, u32>),
}

impl<T: Real> TargetBuffer<T> {
    /// Targets that [`Loss::check`] has let in.
    ///
    /// # Errors
    /// If the device has no room for them.
    pub fn new(cx: &Context, loss: Loss, targets: &[f64]) -> Result<TargetBuffer<T>> {
        Ok(match loss {
            Loss::SoftmaxXent => {
                let classes: Vec<u32> = targets.iter().map(|&target| target as u32).collect();
                TargetBuffer::Classes(Buffer::from_slice(cx, &classes)?)
            }
            Loss::HalfMse | Loss::Mse | Loss::Logistic => {
                let values: Vec<T> = targets.iter().map(|&target| T::from_f64(target)).collect();
                TargetBuffer::Values(Buffer::from_slice(cx, &values)?)
            }
        })
    }

    /// All of them.
    pub fn view(&self) -> Targets<'_, T> {
        match self {
            TargetBuffer::Values(values) => Targets::Values(values.view()),
            TargetBuffer::Classes(classes) => Targets::Classes(classes.view()),
        }
    }

    /// The targets of the samples `indices`, `width` each, become the first ones here.
    ///
    /// # Errors
    /// If there is no room for so many, or the kinds differ.
    pub fn gather(&mut self, cx: &Context, from: Targets<'_, T>, width: usize, indices: View<'_, u32>) -> Result<()> {
        let (shape, len) = (GatherShape { n: from.len() / width, width, stride: width }, indices.len() * width);
        match self {
            TargetBuffer::Values(to) => gather(cx, &shape, from.values()?, indices, to.view_mut().part(0, len)?)?,
            TargetBuffer::Classes(to) => gather(cx, &shape, from.classes()?, indices, to.view_mut().part(0, len)?)?,
        }
        Ok(())
    }

    /// The numbers, to write to.
    ///
    /// # Errors
    /// If they are classes.
    pub fn values_mut(&mut self) -> Result<ViewMut<'_, T>> {
        match self {
            TargetBuffer::Values(values) => Ok(values.view_mut()),
            TargetBuffer::Classes(_) => refuse!("targets are classes, expected numbers; take a loss of numbers"),
        }
    }
}

impl<T: Real> TargetBuffer<T> {
    /// The classes, to write to.
    ///
    /// # Errors
    /// If they are numbers.
    pub fn classes_mut(&mut self) -> Result<ViewMut<'_, u32>> {
        match self {
            TargetBuffer::Classes(classes) => Ok(classes.view_mut()),
            TargetBuffer::Values(_) => refuse!("targets are numbers, expected classes; take a loss of classes"),
        }
    }
}

impl<'a, T: Real> Targets<'a, T> {
    /// Numbers or classes.
    pub fn len(self) -> usize {
        match self {
            Targets::Values(values) => values.len(),
            Targets::Classes(classes) => classes.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// `len` of them from `offset` on.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn part(self, offset: usize, len: usize) -> Result<Targets<'a, T>> {
        Ok(match self {
            Targets::Values(values) => Targets::Values(values.part(offset, len)?),
            Targets::Classes(classes) => Targets::Classes(classes.part(offset, len)?),
        })
    }

    /// The numbers.
    ///
    /// # Errors
    /// If they are classes.
    pub fn values(self) -> Result<View<'a, T>> {
        match self {
            Targets::Values(values) => Ok(values),
            Targets::Classes(_) => refuse!("targets are classes, expected numbers for this loss"),
        }
    }

    /// The classes.
    ///
    /// # Errors
    /// If they are numbers.
    pub fn classes(self) -> Result<View<'a, u32>> {
        match self {
            Targets::Classes(classes) => Ok(classes),
            Targets::Values(_) => refuse!("targets are numbers, expected classes for this loss"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_targets_of_the_loss_are_let_in() {
        for (loss, outputs, right) in [
            (Loss::Mse, 2, &[0.3, -7.5][..]),
            (Loss::HalfMse, 1, &[1e9]),
            (Loss::Logistic, 1, &[1.0, -1.0, 1.0]),
            (Loss::SoftmaxXent, 3, &[0.0, 2.0, 1.0]),
        ] {
            loss.check(outputs, right).unwrap();
        }
        for (loss, outputs, wrong, message) in [
            (Loss::Logistic, 1, 0.5, "target 1 is 0.5, expected -1 or 1"),
            (Loss::Logistic, 1, -2.0, "target 1 is -2, expected -1 or 1"),
            (Loss::Logistic, 1, f64::NAN, "target 1 is NaN"),
            (Loss::Logistic, 2, 1.0, "needs one output, the network has 2"),
            (Loss::SoftmaxXent, 3, 3.0, "target 1 is 3, expected a class from 0 to 2"),
            (Loss::SoftmaxXent, 3, -1.0, "target 1 is -1"),
            (Loss::SoftmaxXent, 3, 0.5, "target 1 is 0.5"),
        ] {
            let error = loss.check(outputs, &[1.0, wrong]).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn outputs_that_choose_another_class_than_the_targets_are_mistakes() {
        let cx = Context::cpu().unwrap();
        let is_wrong = |loss: Loss, y: &[f32], targets: &[f64]| {
            loss.mistakes(&cx, y.len(), y.into(), (&[loss.label(targets)]).into()).unwrap() == 1
        };
        assert!(!is_wrong(Loss::SoftmaxXent, &[0.1, 2.0, -1.0], &[1.0]));
        assert!(is_wrong(Loss::SoftmaxXent, &[0.1, 2.0, -1.0], &[0.0]));
        assert!(is_wrong(Loss::SoftmaxXent, &[f32::NAN, 2.0], &[1.0]));
        assert!(!is_wrong(Loss::SoftmaxXent, &[-3.0], &[0.0]), "the only class");
        assert!(!is_wrong(Loss::Logistic, &[-0.5], &[-1.0]) && is_wrong(Loss::Logistic, &[0.5], &[-1.0]));
        assert!(!is_wrong(Loss::Mse, &[4.5], &[4.0]) && is_wrong(Loss::Mse, &[4.5], &[0.0]), "no class");
        assert!(!is_wrong(Loss::Mse, &[0.0, 0.7], &[0.0, 1.0]) && is_wrong(Loss::Mse, &[0.8, 0.7], &[0.0, 1.0]));
        assert!(!is_wrong(Loss::Mse, &[0.8, 0.7], &[0.5, 0.5]), "the first of the largest");
    }

    #[test]
    fn a_class_is_one_target_and_squared_errors_have_one_for_each_output() {
        assert_eq!([Loss::HalfMse, Loss::Mse, Loss::Logistic, Loss::SoftmaxXent].map(|loss| loss.targets(3)), [3, 3, 3, 1]);
    }
}

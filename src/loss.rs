//! Losses over the outputs of a network, as means over a batch.

use handgrad_kernels::logistic::{logistic_backward, logistic_backward_tangent, logistic_forward};
use handgrad_kernels::mse::{MseScale, mse_backward, mse_backward_tangent, mse_forward};
use handgrad_kernels::softmax_xent::{SoftmaxShape, softmax_xent_backward, softmax_xent_backward_tangent, softmax_xent_forward};
use handgrad_kernels::{Context, Real};
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
    pub fn forward<T: Real>(self, cx: &Context, outputs: usize, y: &[T], target: &[T]) -> Result<T> {
        Ok(match self {
            Loss::HalfMse => mse_forward(cx, MseScale::Half, y.into(), target.into())?,
            Loss::Mse => mse_forward(cx, MseScale::Full, y.into(), target.into())?,
            Loss::Logistic => logistic_forward(cx, y.into(), target.into())?,
            Loss::SoftmaxXent => softmax_xent_forward(cx, &rows(outputs, y), y.into(), &classes(target))?,
        })
    }

    /// dy = ∂L/∂y.
    ///
    /// # Errors
    /// As [`Loss::forward`].
    pub fn backward<T: Real>(self, cx: &Context, outputs: usize, y: &[T], target: &[T], dy: &mut [T]) -> Result<()> {
        match self {
            Loss::HalfMse => mse_backward(cx, MseScale::Half, y.into(), target.into(), dy.into())?,
            Loss::Mse => mse_backward(cx, MseScale::Full, y.into(), target.into(), dy.into())?,
            Loss::Logistic => logistic_backward(cx, y.into(), target.into(), dy.into())?,
            Loss::SoftmaxXent => softmax_xent_backward(cx, &rows(outputs, y), y.into(), &classes(target), dy.into())?,
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
        (y, y_tangent): (&[T], &[T]),
        target: &[T],
        dy_tangent: &mut [T],
    ) -> Result<()> {
        match self {
            Loss::HalfMse => mse_backward_tangent(cx, MseScale::Half, y_tangent.into(), dy_tangent.into())?,
            Loss::Mse => mse_backward_tangent(cx, MseScale::Full, y_tangent.into(), dy_tangent.into())?,
            Loss::Logistic => logistic_backward_tangent(cx, y.into(), target.into(), y_tangent.into(), dy_tangent.into())?,
            Loss::SoftmaxXent => {
                softmax_xent_backward_tangent(cx, &rows(outputs, y), y.into(), y_tangent.into(), dy_tangent.into())?
            }
        }
        Ok(())
    }
}

fn rows<T>(outputs: usize, y: &[T]) -> SoftmaxShape {
    SoftmaxShape { n: y.len() / outputs, classes: outputs }
}

/// Class indices; [`Loss::check`] refuses what is none.
fn classes<T: Real>(target: &[T]) -> Vec<u32> {
    target.iter().map(|target| target.to_f64() as u32).collect()
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
    fn a_class_is_one_target_and_squared_errors_have_one_for_each_output() {
        assert_eq!([Loss::HalfMse, Loss::Mse, Loss::Logistic, Loss::SoftmaxXent].map(|loss| loss.targets(3)), [3, 3, 3, 1]);
    }
}

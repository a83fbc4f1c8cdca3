//! Steps of the fused kernels.

use handgrad_kernels::deep_diagonal::{DeepDiagonalShape, deep_diagonal_sgd};
use handgrad_kernels::deep_linear::{DeepLinearShape, deep_linear_gd, deep_linear_sgd};
use handgrad_kernels::diagonal::{DiagonalShape, diagonal_gd, diagonal_sgd};
use handgrad_kernels::mlp::{MlpShape, mlp_sgd};
use handgrad_kernels::wide_mlp::{WideMlpShape, wide_mlp_sgd};
use handgrad_kernels::{Context, Real, StepRule, Steps, ViewMut};

use super::{Fused, Training};
use crate::error::Result;

impl<T: Real> Training<T> {
    /// Steps of a fused kernel; full ones take the whole data set each.
    pub(super) fn fused(
        &self,
        cx: &Context,
        fused: &Fused,
        full: bool,
        steps: Steps<'_, T>,
        params: ViewMut<'_, T>,
        diverged: &mut [Option<usize>],
    ) -> Result<()> {
        let DiagonalShape { n, stride, .. } = self.shape;
        let replicas = diverged.len();
        let (x, y) = (self.x.view(), self.target.view().values()?);
        let rule = |scale| StepRule {
            scale,
            clip: self.optimiser.clip.map(T::from_f64),
            weight_decay: T::from_f64(self.optimiser.weight_decay),
        };
        match fused {
            Fused::Diagonal => {
                let shape = DiagonalShape { replicas, ..self.shape };
                match full {
                    true => diagonal_gd(cx, &shape, x, y, steps.lr, params, diverged)?,
                    false => diagonal_sgd(cx, &shape, x, y, steps, params, diverged)?,
                }
            }
            Fused::DeepDiagonal(depth, activation, scale) => {
                let (depth, activation) = (*depth, activation.kind());
                let shape = DeepDiagonalShape { depth, d: self.shape.d, activation, n, stride, replicas };
                deep_diagonal_sgd(cx, &shape, *scale, x, y, steps, params, diverged)?;
            }
            Fused::DeepLinear(widths, scale) => {
                let shape = DeepLinearShape { widths, n, stride, replicas };
                match full {
                    true => deep_linear_gd(cx, &shape, &rule(*scale), x, y, steps.lr, params, diverged)?,
                    false => deep_linear_sgd(cx, &shape, &rule(*scale), x, y, steps, params, diverged)?,
                }
            }
            Fused::Mlp(widths, bias, hidden, scale) => {
                let shape = MlpShape { widths, bias: bias.kind(), activation: *hidden, n, stride, replicas };
                mlp_sgd(cx, &shape, &rule(*scale), x, y, steps, params, diverged)?;
            }
            Fused::WideMlp([inputs, hidden, outputs], activation, scale) => {
                let (inputs, hidden, outputs, activation) = (*inputs, *hidden, *outputs, activation.kind());
                let shape = WideMlpShape { inputs, hidden, outputs, activation, n, stride, replicas };
                wide_mlp_sgd(cx, &shape, *scale, x, y, steps, params, diverged)?;
            }
        }
        Ok(())
    }
}

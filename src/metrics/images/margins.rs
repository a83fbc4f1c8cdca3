//! Margins of networks of two classes.

use super::{Set, Snapshot};
use crate::error::{Result, refuse};
use crate::layers::Multiply;

impl Snapshot<'_> {
    /// |ρ|, which the last layer multiplies by, its sign taken for one of f; 1 in networks without it.
    pub(super) fn rho(&self) -> f64 {
        let net = &self.measurer.net;
        let last = net.range(net.nodes().len() - 1);
        let is_rho = net.nodes().last().is_some_and(|node| node.name == Multiply::RHO);
        if is_rho { self.params[last].first().map_or(1.0, |&rho| f64::from(rho.abs())) } else { 1.0 }
    }

    /// y·(f_1 - f_0) of every training image, y = 1 for class 1 and -1 for class 0, and f = h/|ρ| the outputs before the last
    /// layer multiplies them; of a single output y·f.
    pub(super) fn margins(&self) -> Result<Vec<f64>> {
        let (outputs, rho) = (self.measurer.net.outputs(), self.rho());
        if outputs > 2 {
            return refuse!("margins are of two classes, the network has {outputs} outputs; set data.only to two classes");
        }
        let mut margins = Vec::with_capacity(self.data.n());
        self.passes(Set::Training, usize::MAX, |plan, batch| {
            for h in plan.outputs(batch.n)?.to_vec()?.chunks_exact(outputs) {
                let sign = if self.class(&self.data.y, margins.len()) == 1 { 1.0 } else { -1.0 };
                let difference = match *h {
                    [zero, one] => f64::from(one) - f64::from(zero),
                    _ => h.iter().map(|&h| f64::from(h)).sum(),
                };
                margins.push(sign * difference / rho);
            }
            Ok(())
        })?;
        Ok(margins)
    }

    pub(super) fn margin(&self) -> Result<f64> {
        Ok(mean(&self.margins()?))
    }

    pub(super) fn margin_deviation(&self) -> Result<f64> {
        let margins = self.margins()?;
        let mean = mean(&margins);
        Ok((margins.iter().map(|margin| (margin - mean).powi(2)).sum::<f64>() / margins.len() as f64).sqrt())
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

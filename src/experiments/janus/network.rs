//! Small ReLU networks f(x) = V_L σ(... σ(V_1 x)) of one output, with the gradient of f in every V_k, and the dynamics of
//! (ρ, V_k) on ρ·f with |V_k| = 1.

use super::regression::norm;
use crate::rng::{Stream, sequential, standard_normals};

/// Layers as matrices, rows first.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub layers: Vec<Vec<f64>>,
}

fn product(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    matrix.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
}

impl Network {
    /// Every entry from N(0, 1), every layer then divided by its Frobenius norm.
    pub fn draw(widths: &[usize], seed: u64) -> Network {
        let stream = &mut sequential(seed, Stream::Init);
        let layer = |pair: &[usize]| {
            let mut weights = vec![0.0; pair[0] * pair[1]];
            standard_normals(stream, &mut weights);
            let size = norm(&weights);
            weights.iter_mut().for_each(|w| *w /= size);
            weights
        };
        Network { layers: widths.windows(2).map(layer).collect() }
    }

    /// f(x), and its gradient in every layer: the outer product of what comes back and what went in.
    pub fn gradient(&self, x: &[f64]) -> (f64, Vec<Vec<f64>>) {
        let mut inputs = vec![x.to_vec()];
        for (index, layer) in self.layers.iter().enumerate() {
            let mut outputs = product(layer, &inputs[index]);
            if index + 1 < self.layers.len() {
                outputs.iter_mut().for_each(|value| *value = value.max(0.0));
            }
            inputs.push(outputs);
        }
        let value = inputs.last().and_then(|output| output.first()).copied().unwrap_or(f64::NAN);
        let mut gradients = vec![Vec::new(); self.layers.len()];
        let mut back = vec![1.0];
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let input = &inputs[index];
            gradients[index] = back.iter().flat_map(|back| input.iter().map(move |input| back * input)).collect();
            let mut next = vec![0.0; input.len()];
            for (row, back) in layer.chunks_exact(input.len()).zip(&back) {
                next.iter_mut().zip(row).for_each(|(next, w)| *next += back * w);
            }
            // σ of what is 0 was not positive.
            next.iter_mut().zip(input).for_each(|(next, input)| *next *= f64::from(u8::from(*input > 0.0)));
            back = next;
        }
        (value, gradients)
    }
}

/// What is minimised: of z = ρ·y·f(x), with decay λρ².
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Loss {
    /// (1 - z)².
    Square,
    /// 2 log(1 + e^(-z)), as equation 16 has the factor 2.
    Logistic,
}

impl Loss {
    fn value(self, z: f64) -> f64 {
        match self {
            Loss::Square => (1.0 - z).powi(2),
            Loss::Logistic => 2.0 * (-z).exp().ln_1p(),
        }
    }

    /// Minus half of the derivative.
    fn pull(self, z: f64) -> f64 {
        match self {
            Loss::Square => 1.0 - z,
            Loss::Logistic => 1.0 / (1.0 + z.exp()),
        }
    }
}

/// ρ and the normalised layers.
#[derive(Clone, Debug)]
pub(super) struct Normalised {
    pub rho: f64,
    pub net: Network,
}

/// Samples with labels ±1.
pub(super) type Samples = Vec<(Vec<f64>, f64)>;

/// x ~ N(0, I_d) over their norms, labels at random.
pub(super) fn samples(n: usize, d: usize, seed: u64) -> Samples {
    let stream = &mut sequential(seed, Stream::Data);
    let mut draw = |count: usize| {
        let mut values = vec![0.0; count];
        standard_normals(stream, &mut values);
        values
    };
    let sample = |_| {
        let x = draw(d);
        let size = norm(&x);
        (x.iter().map(|x| x / size).collect(), draw(1)[0].signum())
    };
    (0..n).map(sample).collect()
}

impl Normalised {
    /// y·f(x) of every sample: the margins of the normalised network.
    pub fn margins(&self, samples: &[(Vec<f64>, f64)]) -> Vec<f64> {
        samples.iter().map(|(x, y)| y * self.net.gradient(x).0).collect()
    }

    /// The mean loss with its decay.
    pub fn loss(&self, samples: &[(Vec<f64>, f64)], loss: Loss, lambda: f64) -> f64 {
        let sum: f64 = self.margins(samples).iter().map(|margin| loss.value(self.rho * margin)).sum();
        sum / samples.len() as f64 + lambda * self.rho * self.rho
    }

    /// Equations 15 and 16: dρ/dt = (2/B) Σ p f - 2λρ and dV_k/dt = (2/B) ρ Σ p (∂f/∂V_k - V_k f), where p is 1 - ρf or its
    /// logistic counterpart and f the margin.
    pub fn flow(&self, batch: &[(Vec<f64>, f64)], loss: Loss, lambda: f64) -> (f64, Vec<Vec<f64>>) {
        let share = 2.0 / batch.len() as f64;
        let mut of_rho = -2.0 * lambda * self.rho;
        let mut of_layers: Vec<Vec<f64>> = self.net.layers.iter().map(|layer| vec![0.0; layer.len()]).collect();
        for (x, y) in batch {
            let (value, gradients) = self.net.gradient(x);
            let margin = y * value;
            let pull = share * loss.pull(self.rho * margin);
            of_rho += pull * margin;
            for ((to, gradient), layer) in of_layers.iter_mut().zip(&gradients).zip(&self.net.layers) {
                let parts = to.iter_mut().zip(gradient).zip(layer);
                parts.for_each(|((to, gradient), v)| *to += pull * self.rho * (y * gradient - v * margin));
            }
        }
        (of_rho, of_layers)
    }

    /// A step along the flow; layers are normalised again, which moves them at second order.
    pub fn step(&mut self, batch: &[(Vec<f64>, f64)], loss: Loss, lambda: f64, eta: f64) {
        self.shift(&self.flow(batch, loss, lambda), eta, eta);
        for layer in &mut self.net.layers {
            let size = norm(layer);
            layer.iter_mut().for_each(|v| *v /= size);
        }
    }

    /// Adds so much of a flow to ρ and to the layers.
    pub fn shift(&mut self, flow: &(f64, Vec<Vec<f64>>), of_rho: f64, of_layers: f64) {
        self.rho += of_rho * flow.0;
        for (layer, flow) in self.net.layers.iter_mut().zip(&flow.1) {
            layer.iter_mut().zip(flow).for_each(|(v, flow)| *v += of_layers * flow);
        }
    }

    /// Equations 1 and 17 as printed: the signs of both sums over samples are turned, and V_k has no η in equation 1.
    pub fn printed_step(&mut self, batch: &[(Vec<f64>, f64)], loss: Loss, lambda: f64, eta: f64) {
        let decay = -2.0 * lambda * self.rho;
        let (of_rho, of_layers) = self.flow(batch, loss, lambda);
        self.shift(&(-(of_rho - decay) + decay, of_layers), eta, -eta);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_and_flows_are_those_of_differences() {
        let samples = samples(3, 4, 1);
        for loss in [Loss::Square, Loss::Logistic] {
            let at = Normalised { rho: 1.7, net: Network::draw(&[4, 5, 3, 1], 2) };
            let (of_rho, of_layers) = at.flow(&samples, loss, 0.03);
            let apart = |change: &dyn Fn(&mut Normalised, f64)| {
                let mut ends = [at.clone(), at.clone()];
                change(&mut ends[0], 1e-6);
                change(&mut ends[1], -1e-6);
                (ends[0].loss(&samples, loss, 0.03) - ends[1].loss(&samples, loss, 0.03)) / 2e-6
            };
            assert!((apart(&|at, step| at.rho += step) + of_rho).abs() <= 1e-8);
            for (layer, flow) in of_layers.iter().enumerate() {
                // Along the sphere: the loss of the layer divided by its norm.
                for (entry, want) in flow.iter().enumerate() {
                    let found = apart(&|at, step| {
                        at.net.layers[layer][entry] += step;
                        let size = norm(&at.net.layers[layer]);
                        at.net.layers[layer].iter_mut().for_each(|v| *v /= size);
                    });
                    assert!((found + want).abs() <= 1e-8, "{loss:?} {layer} {entry}");
                }
            }
        }
    }
}

//! Layered ReLU networks of the golden files, for the tests of the metrics on arrays.

use std::path::Path;

use crate::data::npz::Npz;
use crate::data::teacher::Dense;

/// A network with the inputs that its metrics are taken on.
pub(super) struct Network {
    layers: Vec<Dense>,
    /// Training inputs.
    pub x: Vec<f64>,
    /// Inputs of the NTK.
    pub x_eval: Vec<f64>,
}

/// The checkpoint of Figure 4 or 6 of the sparse-features paper; nothing, with a message, if the files are not there.
pub(super) fn checkpoint(figure: u32) -> Option<Network> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../shared/golden/sparse-features-fig{figure}.npz"));
    if !file.exists() {
        println!("SKIP: {} is absent", file.display());
        return None;
    }
    let npz = Npz::read(&file).unwrap();
    let values = |name: &str, shape: &[usize]| npz.required(name, shape).unwrap().values.clone();
    let (widths, biased): (&[usize], &[bool]) =
        if figure == 4 { (&[1, 100, 1], &[true, false]) } else { (&[5, 10, 10, 1], &[true, true, true]) };
    let parameters = values("checkpoint", &[0]);
    let mut rest = parameters.as_slice();
    let mut take = |count: usize| {
        let taken;
        (taken, rest) = rest.split_at(count);
        taken.to_vec()
    };
    let layers = widths.windows(2).zip(biased).map(|(sizes, &biased)| Dense {
        inputs: sizes[0],
        weights: take(sizes[0] * sizes[1]),
        biases: biased.then(|| take(sizes[1])),
    });
    let layers = layers.collect();
    assert!(rest.is_empty());
    Some(Network { layers, x: values("x", &[0, widths[0]]), x_eval: values("x_eval", &[0, widths[0]]) })
}

impl Network {
    /// Activations of one input, the input first; without the output.
    fn activations(&self, x: &[f64]) -> Vec<Vec<f64>> {
        let mut activations = vec![x.to_vec()];
        for layer in &self.layers[..self.layers.len() - 1] {
            let before = layer.apply(&activations[activations.len() - 1]);
            activations.push(before.into_iter().map(|value| value.max(0.0)).collect());
        }
        activations
    }

    /// Features of hidden layer `layer`, 1 for the first, on the training inputs: n x m.
    pub fn features(&self, layer: usize) -> Vec<f64> {
        self.x.chunks_exact(self.layers[0].inputs).flat_map(|x| self.activations(x).swap_remove(layer)).collect()
    }

    /// Gradient of the output in all parameters on `x_eval`, one row for each input, and the number of parameters.
    pub fn gradients(&self) -> (usize, Vec<f64>) {
        let parameters = self.layers.iter().map(|layer| layer.weights.len() + layer.biases.as_ref().map_or(0, Vec::len)).sum();
        let mut rows = Vec::new();
        for x in self.x_eval.chunks_exact(self.layers[0].inputs) {
            let activations = self.activations(x);
            let mut blocks = Vec::new();
            let mut delta = vec![1.0];
            for (Dense { inputs, weights, biases }, below) in self.layers.iter().zip(&activations).rev() {
                let mut block: Vec<f64> = delta.iter().flat_map(|d| below.iter().map(move |h| d * h)).collect();
                block.extend(biases.iter().flat_map(|_| &delta));
                blocks.push(block);
                let back = |k: usize| delta.iter().zip(weights.chunks_exact(*inputs)).map(|(d, row)| d * row[k]).sum::<f64>();
                delta = (0..*inputs).map(|k| if below[k] > 0.0 { back(k) } else { 0.0 }).collect();
            }
            rows.extend(blocks.into_iter().rev().flatten());
        }
        (parameters, rows)
    }
}

//! Networks of one neuron, f(x) = u·φ(wx), with steps of (f - y)²/2 on single samples.

use crate::rng::RandomState;

/// w and u.
pub(super) type Weights = [f64; 2];

/// φ and its derivative.
pub(super) type Neuron = fn(f64) -> (f64, f64);

/// x/(1 + e^(-x)).
pub(super) fn swish(z: f64) -> (f64, f64) {
    let s = 1.0 / (1.0 + (-z).exp());
    (z * s, s + z * s * (1.0 - s))
}

/// tanh x.
pub(super) fn tanh(z: f64) -> (f64, f64) {
    let t = z.tanh();
    (t, 1.0 - t * t)
}

/// The gradient of (u·φ(wx) - y)²/2.
pub(super) fn gradient(neuron: Neuron, [w, u]: Weights, (x, y): (f64, f64)) -> Weights {
    let (value, slope) = neuron(w * x);
    let residual = u * value - y;
    [residual * u * slope * x, residual * value]
}

/// One step of SGD on a sample.
pub(super) fn step(neuron: Neuron, at: &mut Weights, sample: (f64, f64), lambda: f64) {
    let gradient = gradient(neuron, *at, sample);
    *at = [at[0] - lambda * gradient[0], at[1] - lambda * gradient[1]];
}

/// The mean of (f - y)²/2.
pub(super) fn loss(neuron: Neuron, [w, u]: Weights, data: &[(f64, f64)]) -> f64 {
    data.iter().map(|&(x, y)| 0.5 * (u * neuron(w * x).0 - y).powi(2)).sum::<f64>() / data.len() as f64
}

/// The paper's kind of sample, 100 points of y = 0.1 swish(x) + 0.9 ε: NumPy's of a seed, all x first. With seed 62 the loss has
/// the minima A and B.
pub(super) fn sample(seed: u32) -> Vec<(f64, f64)> {
    let mut state = RandomState::new(seed);
    let mut draws = vec![0.0; 200];
    state.standard_normals(&mut draws);
    let (x, epsilon) = draws.split_at(100);
    x.iter().zip(epsilon).map(|(&x, epsilon)| (x, 0.1 * swish(x).0 + 0.9 * epsilon)).collect()
}

/// The loss over all x ~ N(0, 1) beyond that of the teacher, E(u·swish(wx) - 0.1 swish(x))²/2, by the trapezoidal rule.
pub(super) fn excess([w, u]: Weights) -> f64 {
    let step = 0.125;
    let value = |k: i32| {
        let x = step * f64::from(k);
        0.5 * (u * swish(w * x).0 - 0.1 * swish(x).0).powi(2) * (-0.5 * x * x).exp()
    };
    (-72..=72).map(value).sum::<f64>() * step / std::f64::consts::TAU.sqrt()
}

/// Where gradient descent ends from a point.
pub(super) fn descend(from: Weights, data: &[(f64, f64)]) -> Weights {
    let mut at = from;
    for _ in 0..60_000 {
        let mut sum = [0.0; 2];
        for &sample in data {
            let [w, u] = gradient(swish, at, sample);
            sum = [sum[0] + w, sum[1] + u];
        }
        at = [at[0] - 0.5 * sum[0] / data.len() as f64, at[1] - 0.5 * sum[1] / data.len() as f64];
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy's minima on the fixture, and their excess losses.
    #[test]
    fn minima_of_the_sample_are_those_of_scipy() {
        let data = sample(62);
        assert!((data[0].0 + 0.012_325).abs() <= 1e-6 && (data[3].0 - 1.1234).abs() <= 1e-6);
        for (start, minimum, loss) in [
            ([-1.4, -0.05], [-1.468_474_006_2, -0.045_892_390_6], 0.001_870_687_671_1),
            ([1.3, -0.13], [1.347_479_701_2, -0.137_702_663_3], 0.015_473_794_211_4),
        ] {
            let [w, u] = descend(start, &data);
            assert!((w - minimum[0]).abs() <= 1e-6 && (u - minimum[1]).abs() <= 1e-6, "{w} {u}");
            assert!((excess([w, u]) - loss).abs() <= 1e-8);
        }
        assert!((excess([0.0, 0.0]) - 0.001_778_877_599_1).abs() <= 1e-12 && excess([1.0, 0.1]) <= 1e-30);
    }

    #[test]
    fn gradients_are_those_of_differences() {
        for neuron in [swish as Neuron, tanh] {
            let (at, sample) = ([0.7, -1.3], (0.9, 0.4));
            let difference = |of: usize| {
                let mut ends = [at, at];
                ends[0][of] -= 1e-6;
                ends[1][of] += 1e-6;
                (loss(neuron, ends[1], &[sample]) - loss(neuron, ends[0], &[sample])) / 2e-6
            };
            let found = gradient(neuron, at, sample);
            assert!((found[0] - difference(0)).abs() <= 1e-9 && (found[1] - difference(1)).abs() <= 1e-9);
        }
    }
}

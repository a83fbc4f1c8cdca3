"""NTK rank of a ReLU network in NumPy: per-sample gradients by hand, for all inputs at once, and the singular values."""

import argparse
import json
import statistics
import time

import common  # before NumPy: limits it to one thread
import numpy as np

Layers = list[tuple[np.ndarray, np.ndarray | None]]


def parse_options() -> argparse.Namespace:
    """Reads the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", default="5,10,10,1", help="inputs, hidden widths, 1 output")
    parser.add_argument("--bias", choices=("all", "none"), default="all", help="which layers have biases")
    parser.add_argument("--threshold", type=float, default=1e-4, help="singular values above this part of the largest count")
    parser.add_argument("--ranks", type=int, default=20, help="ranks per repeat")
    parser.add_argument("--repeats", type=int, default=15, help="timed repeats")
    options = parser.parse_args()
    options.widths = [int(width) for width in options.widths.split(",")]
    if len(options.widths) < 2 or min(options.widths) < 1 or options.widths[-1] != 1:
        parser.error("--widths: expected at least two sizes of at least 1, the last one 1")
    for name in ("ranks", "repeats"):
        if getattr(options, name) < 1:
            parser.error(f"--{name}: expected at least 1, got {getattr(options, name)}")
    return options


def network(widths: list[int], bias: str, generator: np.random.Generator) -> Layers:
    """Weights 0.8 N(0, 1), biases U(-1/sqrt(fan_in), 1/sqrt(fan_in)): [(W, b or None)], W of shape (out, in)."""
    layers = []
    for inputs, outputs in zip(widths, widths[1:]):
        weights = 0.8 * generator.standard_normal((outputs, inputs))
        biases = generator.uniform(-1, 1, outputs) / np.sqrt(inputs) if bias == "all" else None
        layers.append((weights, biases))
    return layers


def gradients(layers: Layers, inputs: np.ndarray) -> np.ndarray:
    """The gradient of the output in all parameters, one row for each input: [W_1, b_1, W_2, ...], W row-major."""
    activations = [inputs]
    for weights, biases in layers[:-1]:
        pre = activations[-1] @ weights.T
        if biases is not None:
            pre += biases
        activations.append(np.maximum(pre, 0.0, out=pre))
    sizes = [weights.size + (0 if biases is None else biases.size) for weights, biases in layers]
    out = np.empty((len(inputs), sum(sizes)))
    end = out.shape[1]
    delta = np.ones((len(inputs), 1))
    for (weights, biases), size, activation in zip(layers[::-1], sizes[::-1], activations[::-1]):
        start, end = end - size, end - size
        by_weight = out[:, start : start + weights.size].reshape(len(inputs), *weights.shape)
        np.multiply(delta[:, :, None], activation[:, None, :], out=by_weight)
        if biases is not None:
            out[:, start + weights.size : start + size] = delta
        if activation is not inputs:
            delta = (delta @ weights) * (activation > 0.0)
    return out


def by_values(features: np.ndarray, threshold: float) -> int:
    """Counts singular values without their vectors: the fastest way that is accurate."""
    values = np.linalg.svd(features, compute_uv=False)
    return int((values > threshold * values[0]).sum())


def by_vectors(features: np.ndarray, threshold: float) -> int:
    """The same with the default arguments, which compute the vectors too."""
    values = np.linalg.svd(features)[1]
    return int((values > threshold * values[0]).sum())


def by_matrix_rank(features: np.ndarray, threshold: float) -> int:
    """np.linalg.matrix_rank with a relative tolerance."""
    return int(np.linalg.matrix_rank(features, rtol=threshold))


def by_gram(features: np.ndarray, threshold: float) -> int:
    """Counts eigenvalues of the Gram matrix: the square root of the precision."""
    values = np.linalg.eigvalsh(features @ features.T)
    return int((values > threshold**2 * values[-1]).sum())


def main() -> None:
    options = parse_options()
    generator = np.random.default_rng(0)
    layers = network(options.widths, options.bias, generator)
    parameters = sum(weights.size + (0 if biases is None else biases.size) for weights, biases in layers)
    inputs = generator.standard_normal((parameters, options.widths[0]))
    inputs /= np.linalg.norm(inputs, axis=1, keepdims=True)
    variants = {"svd-values": by_values, "svd-vectors": by_vectors, "matrix-rank": by_matrix_rank, "gram-eigenvalues": by_gram}
    for variant, count in variants.items():
        rank = count(gradients(layers, inputs), options.threshold)  # warm-up
        seconds = []
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(options.repeats):
            start = time.perf_counter()
            for _ in range(options.ranks):
                count(gradients(layers, inputs), options.threshold)
            seconds.append((time.perf_counter() - start) / options.ranks)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        record = {
            "program": "numpy",
            "variant": variant,
            "dtype": "f64",
            "parameters": parameters,
            "rank": rank,
            "seconds_per_rank": round(statistics.median(seconds), 7),
            "min": round(min(seconds), 7),
            "max": round(max(seconds), 7),
            "cpu_share": round(cpu / wall, 3),
            "version": np.__version__,
        }
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()

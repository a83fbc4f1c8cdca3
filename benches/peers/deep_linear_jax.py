"""SGD with gradient clipping on a deep linear network in JAX: jit(lax.scan) on one CPU thread.

The network is 15-15-15-15-1 without biases, the loss the mean squared error, the gradient's norm clipped to 1 as PyTorch
does it. Two variants, each for several batch sizes and unrollings of the scan (one JSON line for each):
products   gradient by hand from products of the matrices with vectors, as handgrad computes it
grad       jax.grad of the loss
"""

import argparse
import functools
import json
import math
import os
import statistics
import time

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"

import jax
import jax.numpy as jnp
import numpy as np

WIDTHS = (15, 15, 15, 15, 1)
SAMPLES = 10_000
LEARNING_RATE = 0.01
CLIP = 1.0
UNROLLINGS = (1, 2, 4, 8)


def step_size(squared_norm):
    return LEARNING_RATE * jnp.minimum(1.0, CLIP / (jnp.sqrt(squared_norm) + 1e-6))


def products(inputs, targets, weights, batch):
    rows = inputs[batch]
    backward = [jnp.ones(1, rows.dtype)]
    for matrix in reversed(weights):
        backward.insert(0, backward[0] @ matrix)
    residuals = rows @ backward[0] - targets[batch]
    forward = [2 / len(batch) * (residuals @ rows)]
    for matrix in weights[:-1]:
        forward.append(matrix @ forward[-1])
    squared_norm = sum(jnp.dot(b, b) * jnp.dot(f, f) for b, f in zip(backward[1:], forward))
    rate = step_size(squared_norm)
    return tuple(w - jnp.outer(rate * b, f) for w, b, f in zip(weights, backward[1:], forward)), None


def mean_squared_error(weights, rows, targets):
    for matrix in weights:
        rows = rows @ matrix.T
    return jnp.mean((rows[:, 0] - targets) ** 2)


def grad(inputs, targets, weights, batch):
    gradients = jax.grad(mean_squared_error)(weights, inputs[batch], targets[batch])
    rate = step_size(sum(jnp.sum(g * g) for g in gradients))
    return tuple(w - rate * g for w, g in zip(weights, gradients)), None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20_000, help="SGD steps per repeat")
    parser.add_argument("--dtype", choices=("f32", "f64"), default="f32")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32], help="batch sizes")
    parser.add_argument("--repeats", type=int, default=5, help="timed repeats")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", options.dtype == "f64")
    dtype = {"f32": jnp.float32, "f64": jnp.float64}[options.dtype]
    generator = np.random.default_rng(0)
    inputs = jnp.asarray(generator.standard_normal((SAMPLES, WIDTHS[0])), dtype)
    targets = inputs[:, :5].sum(axis=1)
    deviation = (2 / WIDTHS[0]) ** 0.5
    initial = tuple(
        jnp.asarray(deviation * generator.standard_normal((outputs, width)), dtype)
        for width, outputs in zip(WIDTHS, WIDTHS[1:])
    )
    for batch in options.batches:
        order = jnp.asarray(generator.integers(0, SAMPLES, (options.steps, batch), dtype=np.int32))
        for step in (products, grad):
            for unroll in UNROLLINGS:
                scan = jax.jit(functools.partial(jax.lax.scan, functools.partial(step, inputs, targets), unroll=unroll))
                weights = jax.block_until_ready(scan(initial, order)[0])  # compilation stays out of the measurement
                rates = []
                wall, cpu = time.perf_counter(), time.process_time()
                for _ in range(options.repeats):
                    start = time.perf_counter()
                    weights = jax.block_until_ready(scan(initial, order)[0])
                    rates.append(options.steps / (time.perf_counter() - start))
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                loss = float(mean_squared_error(weights, inputs, targets))
                if not math.isfinite(loss):
                    raise SystemExit(f"jax batch {batch}: diverged; the rate of a diverged run means nothing")
                record = {
                    "program": "jax",
                    "variant": f"{step.__name__} batch={batch} unroll={unroll}",
                    "dtype": options.dtype,
                    "steps_per_s": round(statistics.median(rates)),
                    "min": round(min(rates)),
                    "max": round(max(rates)),
                    "cpu_share": round(cpu / wall, 3),
                    "loss": loss,
                    "version": jax.__version__,
                }
                print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()

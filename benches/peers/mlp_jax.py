"""Batch-1 SGD on a small multilayer perceptron with one output in JAX: jit(lax.scan) on one CPU thread.

Four variants, each at several unrollings of the scan (one JSON line for each):
grad        jax.grad, parameters as a list of (weight, bias)
grad flat   jax.grad, parameters as one vector
hand        gradient by hand, parameters as a list of (weight, bias)
hand flat   gradient by hand, parameters as one vector

The loss is half the squared error; with --clip, gradients are clipped to that norm as torch.nn.utils.clip_grad_norm_ does.
"""

import argparse
import functools
import itertools
import json
import math
import os
import random
import statistics
import time

import common  # before the peer: it limits the numerical libraries to one thread

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

UNROLLINGS = (1, 2, 4, 8, 16)
LEARNING_RATE = 0.01
CLIP_EPSILON = 1e-6


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", default="5,10,10,1", help="inputs, hidden layers, 1")
    parser.add_argument("--bias", choices=("none", "first", "all"), default="all", help="layers with a bias")
    parser.add_argument("--activation", choices=("identity", "relu"), default="relu")
    parser.add_argument("--clip", type=float, help="largest norm of a gradient")
    parser.add_argument("--n", type=int, default=64, help="number of samples")
    parser.add_argument("--steps", type=int, default=200_000, help="SGD steps per repeat")
    parser.add_argument("--dtype", choices=("f32", "f64"), default="f32")
    parser.add_argument("--repeats", type=int, default=5, help="timed repeats")
    options = parser.parse_args()
    options.widths = [int(width) for width in options.widths.split(",")]
    if len(options.widths) < 2 or min(options.widths) < 1 or options.widths[-1] != 1:
        parser.error(f"--widths: expected positive widths that end in 1, got {options.widths}")
    return options


def has_bias(options: argparse.Namespace, layer: int) -> bool:
    return options.bias == "all" or (options.bias == "first" and layer == 0)


def initial_parameters(options: argparse.Namespace, generator: random.Random, dtype) -> list:
    """Weights and biases uniform within 1 / sqrt(inputs); a layer without bias has None."""
    layers = []
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(options.widths)):
        bound = 1 / math.sqrt(inputs)
        weight = [[generator.uniform(-bound, bound) for _ in range(inputs)] for _ in range(outputs)]
        bias = [generator.uniform(-bound, bound) for _ in range(outputs)]
        layers.append((jnp.asarray(weight, dtype), jnp.asarray(bias, dtype) if has_bias(options, layer) else None))
    return layers


def forward(options: argparse.Namespace, layers: list, x: jax.Array) -> list:
    """The input and the outputs of every layer."""
    outputs = [x]
    for layer, (weight, bias) in enumerate(layers):
        z = weight @ outputs[-1]
        z = z if bias is None else z + bias
        outputs.append(jax.nn.relu(z) if options.activation == "relu" and layer + 1 < len(layers) else z)
    return outputs


def gradient_by_hand(options: argparse.Namespace, layers: list, x: jax.Array, y: jax.Array) -> list:
    outputs = forward(options, layers, x)
    delta = outputs[-1] - y
    gradients = []
    for (weight, bias), inputs in zip(reversed(layers), reversed(outputs[:-1])):
        gradients.append((jnp.outer(delta, inputs), None if bias is None else delta))
        delta = weight.T @ delta
        if options.activation == "relu":
            delta = jnp.where(inputs > 0, delta, 0)
    return gradients[::-1]


def main() -> None:
    options = parse_options()
    jax.config.update("jax_enable_x64", options.dtype == "f64")
    dtype = {"f32": jnp.float32, "f64": jnp.float64}[options.dtype]
    generator = random.Random(0)
    inputs = jnp.asarray([[generator.gauss(0, 1) for _ in range(options.widths[0])] for _ in range(options.n)], dtype)
    targets = jnp.asarray([generator.gauss(0, 1) for _ in range(options.n)], dtype)
    order = jnp.asarray(np.array(generator.choices(range(options.n), k=options.steps), np.int32))
    layers = initial_parameters(options, generator, dtype)
    vector, as_layers = ravel_pytree(layers)

    def loss(layers, i):
        return (forward(options, layers, inputs[i])[-1][0] - targets[i]) ** 2 / 2

    def by_hand(layers, i):
        return gradient_by_hand(options, layers, inputs[i], targets[i])

    def loss_of_vector(vector, i):
        return loss(as_layers(vector), i)

    def by_hand_of_vector(vector, i):
        return ravel_pytree(by_hand(as_layers(vector), i))[0]

    def step(gradient, parameters, i):
        gradients = gradient(parameters, i)
        rate = LEARNING_RATE
        if options.clip is not None:
            norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(gradients)))
            rate = rate * jnp.minimum(1, options.clip / (norm + CLIP_EPSILON))
        return jax.tree.map(lambda w, g: w - rate * g, parameters, gradients), None

    for name, gradient, initial in (
        ("grad", jax.grad(loss), layers),
        ("grad flat", jax.grad(loss_of_vector), vector),
        ("hand", by_hand, layers),
        ("hand flat", by_hand_of_vector, vector),
    ):
        for unroll in UNROLLINGS:
            scan = jax.jit(functools.partial(jax.lax.scan, functools.partial(step, gradient), unroll=unroll))

            def train():
                return jax.block_until_ready(scan(initial, order)[0])

            report(f"{name} unroll={unroll}", options, train)


def report(variant: str, options: argparse.Namespace, train) -> None:
    """Times `train()`, which runs all steps from the initial point, and prints one JSON line."""
    train()  # compilation and first-touch costs stay out of the measurement
    rates = []
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(options.repeats):
        start = time.perf_counter()
        parameters = train()
        rates.append(options.steps / (time.perf_counter() - start))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    vector = ravel_pytree(parameters)[0]
    if not bool(jnp.all(jnp.isfinite(vector))):
        raise SystemExit(f"jax {variant}: diverged; the rate of a diverged run means nothing")
    record = {
        "program": "jax",
        "variant": variant,
        "widths": options.widths,
        "bias": options.bias,
        "activation": options.activation,
        "clip": options.clip,
        "dtype": options.dtype,
        "steps_per_s": round(statistics.median(rates)),
        "min": round(min(rates)),
        "max": round(max(rates)),
        "cpu_share": round(cpu / wall, 3),
        "norm": float(jnp.linalg.norm(vector)),
        "version": jax.__version__,
    }
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()

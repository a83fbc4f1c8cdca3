"""Batch-1 SGD on many replicas of a small network in JAX, every replica with its own order: on all cores there are, or with
JAX_PLATFORMS=cuda on a device.

Variants, each at two unrollings of the scan (one JSON line for each):
vmap hand   jax.vmap over replicas of a jax.lax.scan over steps, gradient by hand
vmap grad   the same with jax.grad
loop hand   one replica after another: the same scan, compiled once, called for each

The network is `diagonal` (h = <u*v, x>, --d features) or a perceptron of the given widths without biases but in its first layer
with --bias first. The loss is the squared error, a mean over outputs. `steps_per_s` counts the steps of every replica.
"""

import argparse
import functools
import json
import os
import statistics
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np

UNROLLINGS = (1, 4)
LEARNING_RATE = 1e-3


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", default="1,100,1", help="diagonal, or widths from inputs to outputs")
    parser.add_argument("--d", type=int, default=200, help="features of the diagonal network")
    parser.add_argument("--bias", choices=("none", "first"), default="none", help="layers with a bias")
    parser.add_argument("--activation", choices=("identity", "relu"), default="relu")
    parser.add_argument("--n", type=int, default=80, help="number of samples")
    parser.add_argument("--replicas", type=int, default=256)
    parser.add_argument("--steps", type=int, default=2000, help="SGD steps of each replica per repeat")
    parser.add_argument("--repeats", type=int, default=3, help="timed repeats")
    parser.add_argument("--only", default="", help="variants whose names have this, as in `vmap hand unroll=1`")
    return parser.parse_args()


def diagonal(options: argparse.Namespace, generator: np.random.Generator):
    """Inputs, outputs, initial parameters, forward pass and gradient of a sample's loss by hand."""
    x = generator.standard_normal((options.n, options.d)).astype(np.float32)
    y = generator.standard_normal(options.n).astype(np.float32)

    def forward(weights, x):
        return jnp.dot(x, weights[0] * weights[1])

    def by_hand(weights, x, y):
        return 2 * (forward(weights, x) - y) * x * weights[::-1]

    weights = np.full((options.replicas, 2, options.d), 0.1, np.float32)
    return x, y, jnp.asarray(weights), forward, by_hand


def perceptron(options: argparse.Namespace, generator: np.random.Generator):
    """As `diagonal`; one output is a number, several are a vector."""
    widths = [int(width) for width in options.net.split(",")]
    x = generator.standard_normal((options.n, widths[0])).astype(np.float32)
    y = generator.standard_normal((options.n, widths[-1])).astype(np.float32)
    layers = []
    for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        bound = inputs**-0.5
        weight = generator.uniform(-bound, bound, (options.replicas, outputs, inputs)).astype(np.float32)
        has_bias = options.bias == "first" and layer == 0
        bias = generator.uniform(-bound, bound, (options.replicas, outputs)).astype(np.float32) if has_bias else None
        layers.append((jnp.asarray(weight), None if bias is None else jnp.asarray(bias)))
    hidden = jax.nn.relu if options.activation == "relu" else lambda z: z

    def activations(layers, x):
        values = [x]
        for layer, (weight, bias) in enumerate(layers):
            z = weight @ values[-1]
            z = z if bias is None else z + bias
            values.append(hidden(z) if layer + 1 < len(layers) else z)
        return values

    def by_hand(layers, x, y):
        values = activations(layers, x)
        delta = 2 * (values[-1] - y) / widths[-1]
        gradients = []
        for (weight, bias), inputs in zip(reversed(layers), reversed(values[:-1])):
            gradients.append((jnp.outer(delta, inputs), None if bias is None else delta))
            delta = weight.T @ delta
            if options.activation == "relu":
                delta = jnp.where(inputs > 0, delta, 0)
        return gradients[::-1]

    return x, y, layers, lambda layers, x: activations(layers, x)[-1], by_hand


def main() -> None:
    options = parse_options()
    generator = np.random.default_rng(0)
    make = diagonal if options.net == "diagonal" else perceptron
    x, y, initial, forward, by_hand = make(options, generator)
    x, y = jnp.asarray(x), jnp.asarray(y)
    orders = jnp.asarray(generator.integers(0, options.n, (options.replicas, options.steps), np.int32))

    def loss(weights, x, y):
        return jnp.mean((forward(weights, x) - y) ** 2)

    def train(gradient, unroll, weights, order):
        def step(weights, i):
            gradients = gradient(weights, x[i], y[i])
            return jax.tree.map(lambda w, g: w - LEARNING_RATE * g, weights, gradients), None

        return jax.lax.scan(step, weights, order, unroll=unroll)[0]

    for name, gradient in (("vmap hand", by_hand), ("vmap grad", jax.grad(loss))):
        for unroll in UNROLLINGS:
            if options.only not in f"{name} unroll={unroll}":
                continue
            all_replicas = jax.jit(jax.vmap(functools.partial(train, gradient, unroll)))
            report(f"{name} unroll={unroll}", options, lambda: jax.block_until_ready(all_replicas(initial, orders)))
    each = [(jax.tree.map(lambda leaf: leaf[r], initial), orders[r]) for r in range(options.replicas)]
    for unroll in UNROLLINGS:
        if options.only not in f"loop hand unroll={unroll}":
            continue
        one = jax.jit(functools.partial(train, by_hand, unroll))
        report(f"loop hand unroll={unroll}", options, lambda: jax.block_until_ready([one(*arguments) for arguments in each]))


def report(variant: str, options: argparse.Namespace, train) -> None:
    """Times `train()`, which runs all steps of all replicas from their start, and prints one JSON line."""
    weights = train()  # compilation and first-touch costs stay out of the measurement
    if not all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(weights)):
        raise SystemExit(f"jax {variant}: diverged; the rate of a diverged run means nothing")
    rates = []
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(options.repeats):
        start = time.perf_counter()
        train()
        rates.append(options.replicas * options.steps / (time.perf_counter() - start))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    record = {
        "program": "jax",
        "variant": variant,
        "net": options.net,
        "replicas": options.replicas,
        "steps_per_s": round(statistics.median(rates)),
        "min": round(min(rates)),
        "max": round(max(rates)),
        "cpu_share": round(cpu / wall, 3),
        "version": jax.__version__,
    }
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()

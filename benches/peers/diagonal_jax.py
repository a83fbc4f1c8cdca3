"""Batch-1 SGD on a diagonal linear network in JAX: jit(lax.scan) on one CPU thread.

Three variants, each at several unrollings of the scan (one JSON line for each):
stacked    gradient by hand, u and v as the two rows of one array (one fused kernel updates both)
separate   gradient by hand, u and v as two arrays
grad       jax.grad, u and v as two arrays
"""

import functools
import os

import common

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"

import jax
import jax.numpy as jnp
import numpy as np

UNROLLINGS = (1, 2, 4, 8, 16)


def main() -> None:
    options = common.parse_options(__doc__.splitlines()[0], steps=200_000)
    problem = common.Problem(options.n, options.d, options.steps)
    jax.config.update("jax_enable_x64", options.dtype == "f64")
    dtype = {"f32": jnp.float32, "f64": jnp.float64}[options.dtype]
    inputs = jnp.asarray(np.array(problem.rows), dtype)
    targets = jnp.asarray(np.array(problem.targets), dtype)
    order = jnp.asarray(np.array(problem.order, np.int32))
    u = jnp.full(options.d, common.INITIAL_U, dtype)
    v = jnp.full(options.d, common.INITIAL_V, dtype)

    def scaled_residual(u, v, i):
        return common.LEARNING_RATE * (jnp.dot(inputs[i], u * v) - targets[i])

    def stacked(weights, i):
        return weights - scaled_residual(*weights, i) * inputs[i] * weights[::-1], None

    def separate(weights, i):
        u, v = weights
        change = scaled_residual(u, v, i) * inputs[i]
        return (u - change * v, v - change * u), None

    def half_squared_error(weights, i):
        u, v = weights
        return (jnp.dot(inputs[i], u * v) - targets[i]) ** 2 / 2

    def grad(weights, i):
        gradients = jax.grad(half_squared_error)(weights, i)
        return jax.tree.map(lambda w, g: w - common.LEARNING_RATE * g, weights, gradients), None

    for name, step, initial in (
        ("stacked", stacked, jnp.stack([u, v])),
        ("separate", separate, (u, v)),
        ("grad", grad, (u, v)),
    ):
        for unroll in UNROLLINGS:
            scan = jax.jit(functools.partial(jax.lax.scan, step, unroll=unroll))

            def train():
                return jax.block_until_ready(scan(initial, order)[0])

            common.report("jax", jax.__version__, f"{name} unroll={unroll}", options, problem, train)


if __name__ == "__main__":
    main()

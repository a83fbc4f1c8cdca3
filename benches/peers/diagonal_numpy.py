"""Batch-1 SGD on a diagonal linear network in NumPy, gradient by hand: as the formula reads, and everything in place."""

import common
import numpy as np


def sgd(weights: np.ndarray, rows: list, targets: list[float], order: list[int], learning_rate: float) -> None:
    """Updates `weights` = [u, v] in place, one step for each index of `order`.

    u -= lr r (x v) and v -= lr r (x u), with r = (x v) . u - y. Both halves live in one array, so that the
    scaling and the subtraction are one call each: at this size the calls cost more than the arithmetic.
    """
    multiply, subtract = np.multiply, np.subtract
    u, v = np.split(weights, 2)
    change = np.empty_like(weights)
    change_u, change_v = np.split(change, 2)
    for i in order:
        x = rows[i]
        multiply(x, v, change_u)
        multiply(x, u, change_v)
        multiply(change, learning_rate * (change_u.dot(u) - targets[i]), change)
        subtract(weights, change, weights)


def plain_sgd(weights: np.ndarray, rows: list, targets: list[float], order: list[int], learning_rate: float) -> None:
    """The same as one would write it down: every operation makes a new array."""
    u, v = np.split(weights, 2)
    for i in order:
        x = rows[i]
        residual = x @ (u * v) - targets[i]
        u, v = u - learning_rate * residual * (x * v), v - learning_rate * residual * (x * u)
    weights[:] = np.concatenate([u, v])


def main() -> None:
    options = common.parse_options(__doc__, steps=100_000)
    problem = common.Problem(options.n, options.d, options.steps)
    dtype = {"f32": np.float32, "f64": np.float64}[options.dtype]
    rows = list(np.array(problem.rows, dtype))
    targets = np.array(problem.targets, dtype).tolist()

    for variant, step in (("in-place", sgd), ("plain", plain_sgd)):

        def train():
            weights = np.repeat(np.array([common.INITIAL_U, common.INITIAL_V], dtype), options.d)
            step(weights, rows, targets, problem.order, common.LEARNING_RATE)
            return np.split(weights, 2)

        common.report("numpy", np.__version__, variant, options, problem, train)


if __name__ == "__main__":
    main()

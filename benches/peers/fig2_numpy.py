"""Figure 2 of "SGD with large step sizes learns sparse features" in NumPy: the paper's whole protocol, one seed.

Four step-size schedules of batch-1 SGD on one diagonal linear network. Every evaluation measures train and test
loss, the NTK rank (singular values of a 2d x 2d matrix above 1e-15 of the largest) and the number of |u v| above
1e-50. The schedules run side by side, one process for each core that this process may use.

Large steps are chaotic: with the paper's order (seed 1) the last bit of one sum decides whether a run diverges,
and a diverged run does less work. Hence the default seed 2; "evaluations" counts what was really done.
"""

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from diagonal_numpy import sgd  # before numpy: keeps BLAS to one thread in each process
import numpy as np

SAMPLES, FEATURES, SUPPORT, TEST_SAMPLES = 80, 200, 20, 1000
# step size, fraction of the run after which it is divided, divisor
SCHEDULES = {
    "small": (0.25, 1.0, 1.0),
    "large 10%": (0.282, 0.1, 4.8),
    "large 30%": (0.282, 0.3, 3.4),
    "large 50%": (0.282, 0.5, 1.5),
}


def paper_data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(x, y, x_test, y_test): standard normal inputs, noiseless sparse teacher, the paper's data seed."""
    generator = np.random.RandomState(0)
    x = generator.standard_normal((SAMPLES, FEATURES))
    x_test = generator.standard_normal((TEST_SAMPLES, FEATURES))
    teacher = generator.standard_normal(FEATURES)
    teacher[SUPPORT:] = 0
    teacher = np.abs(teacher) / np.linalg.norm(teacher)
    return x, x @ teacher, x_test, x_test @ teacher


def evaluation_steps(steps: int) -> list[int]:
    """The first hundred steps and 249 evenly spaced ones, the end excluded; the network is measured before each."""
    spaced = np.round(np.linspace(0, steps, 250))[:-1].astype(int)
    return np.union1d(np.arange(min(100, steps)), spaced).tolist()


def evaluate(weights: np.ndarray, data: tuple[np.ndarray, ...]) -> dict:
    """The four measures; losses are half the mean squared error."""
    x, y, x_test, y_test = data
    u, v = np.split(weights, 2)
    beta = u * v
    inputs = x_test[: 2 * FEATURES]
    singular = np.linalg.svd(np.hstack([inputs * u, inputs * v]), compute_uv=False)
    return {
        "train_loss": float(np.mean((x @ beta - y) ** 2) / 2),
        "test_loss": float(np.mean((x_test @ beta - y_test) ** 2) / 2),
        "ntk_rank": int(np.sum(singular > 1e-15 * singular[0])),
        "l0": int(np.sum(np.abs(beta) > 1e-50)),
    }


@np.errstate(over="ignore", invalid="ignore")
def run(schedule: tuple[float, float, float], seed: int, steps: int) -> dict:
    """Runs one schedule until the end or until the network is no longer finite; returns the last evaluation."""
    learning_rate, decay_fraction, divisor = schedule
    data = x, y, *_ = paper_data()
    rows, targets = list(x), y.tolist()
    order = np.random.RandomState(seed).randint(SAMPLES, size=steps).tolist()
    weights = np.repeat([0.1, 0.0], FEATURES)
    decay_step = int(decay_fraction * steps) + 1
    evaluations = evaluation_steps(steps)
    history = []
    boundaries = np.union1d(evaluations, [min(decay_step, steps), steps]).tolist()
    for start, end in zip(boundaries, boundaries[1:]):
        if not np.isfinite(weights).all():
            return {"evaluations": len(history), "diverged_before_step": start}
        if start in evaluations:
            history.append(evaluate(weights, data))
        if start == decay_step:
            learning_rate /= divisor
        sgd(weights, rows, targets, order[start:end], learning_rate)
    return {"evaluations": len(history), **history[-1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=2, help="seed of the sample order (default 2)")
    parser.add_argument("--steps", type=int, default=100_001)
    options = parser.parse_args()
    if options.steps < 1:
        parser.error(f"--steps: expected at least 1, got {options.steps}")
    start = time.perf_counter()
    workers = min(len(os.sched_getaffinity(0)), len(SCHEDULES))
    with ProcessPoolExecutor(workers) as pool:
        results = pool.map(partial(run, seed=options.seed, steps=options.steps), SCHEDULES.values())
        runs = dict(zip(SCHEDULES, results))
    record = {
        "program": "numpy",
        "seconds": round(time.perf_counter() - start, 3),
        "workers": workers,
        "seed": options.seed,
        "steps": options.steps,
        "runs": runs,
        "version": np.__version__,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()

"""What the diagonal peers share: options, problem, timing and report.

Standard library only, so that every peer sees the same numbers and needs nothing but itself.
Import this before the peer: it limits the numerical libraries to one thread.
"""

import argparse
import json
import math
import os
import random
import statistics
import time

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"

LEARNING_RATE = 0.1  # stable for n = 80, d = 200
INITIAL_U = 0.1
INITIAL_V = 0.0


def parse_options(description: str, steps: int) -> argparse.Namespace:
    """Reads the options; `steps` is the peer's default number of steps."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--n", type=int, default=80, help="number of samples")
    parser.add_argument("--d", type=int, default=200, help="number of features")
    parser.add_argument("--steps", type=int, default=steps, help="SGD steps per repeat")
    parser.add_argument("--dtype", choices=("f32", "f64"), default="f32")
    parser.add_argument("--repeats", type=int, default=5, help="timed repeats")
    options = parser.parse_args()
    for name in ("n", "d", "steps", "repeats"):
        if getattr(options, name) < 1:
            parser.error(f"--{name}: expected at least 1, got {getattr(options, name)}")
    return options


class Problem:
    """y = X beta*: X standard normal, beta* positive on the first tenth of its coordinates, of unit norm.

    `order` is the sample of every step, uniform with replacement. It is drawn here, before any timing;
    handgrad draws it inside the timed loop, so this favours the peers.
    """

    def __init__(self, n: int, d: int, steps: int):
        generator = random.Random(0)
        self.rows = [[generator.gauss(0, 1) for _ in range(d)] for _ in range(n)]
        support = [abs(generator.gauss(0, 1)) for _ in range(max(1, d // 10))]
        norm = sum(b * b for b in support) ** 0.5
        self.targets = [sum(x * b for x, b in zip(row, support)) / norm for row in self.rows]
        self.order = generator.choices(range(n), k=steps)

    def loss(self, u: list[float], v: list[float]) -> float:
        """Half the mean squared error, summed in double precision."""
        beta = [a * b for a, b in zip(u, v)]
        residuals = [sum(x * b for x, b in zip(row, beta)) - y for row, y in zip(self.rows, self.targets)]
        return sum(r * r for r in residuals) / (2 * len(residuals))


def report(program: str, version: str, variant: str, options: argparse.Namespace, problem: Problem, train) -> None:
    """Times `train() -> (u, v)`, which runs all steps from the initial point, and prints one JSON line.

    `cpu_share` is CPU time over wall time: below 1, another process held the core for part of the measurement.
    """
    train()  # compilation and first-touch costs stay out of the measurement
    rates = []
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(options.repeats):
        start = time.perf_counter()
        weights = train()
        rates.append(options.steps / (time.perf_counter() - start))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    loss = problem.loss(*(w.tolist() for w in weights))
    if not math.isfinite(loss):
        raise SystemExit(f"{program} {variant}: diverged (loss {loss}); the rate of a diverged run means nothing")
    record = {
        "program": program,
        "variant": variant,
        "dtype": options.dtype,
        "steps_per_s": round(statistics.median(rates)),
        "min": round(min(rates)),
        "max": round(max(rates)),
        "cpu_share": round(cpu / wall, 3),
        "loss": loss,
        "version": version,
    }
    print(json.dumps(record), flush=True)

"""Batch-1 SGD on a diagonal linear network in PyTorch, on one CPU thread.

Three variants (one JSON line for each):
autograd      eager, optim.SGD
handwritten   eager, gradient by hand, in place, under inference_mode
compiled      torch.compile of several hand-written steps at once (needs a C++ compiler; skipped without)
"""

import math
import sys

import common
import torch

STEPS_PER_COMPILED_CALL = 40


def main() -> None:
    options = common.parse_options(__doc__.splitlines()[0], steps=10_000)
    problem = common.Problem(options.n, options.d, options.steps)
    torch.set_num_threads(1)
    dtype = {"f32": torch.float32, "f64": torch.float64}[options.dtype]
    inputs = torch.tensor(problem.rows, dtype=dtype)
    targets = torch.tensor(problem.targets, dtype=dtype)
    initial = torch.tensor([common.INITIAL_U, common.INITIAL_V], dtype=dtype).repeat_interleave(options.d)
    learning_rate = common.LEARNING_RATE

    def autograd():
        u, v = (w.clone().requires_grad_() for w in initial.chunk(2))
        optimizer = torch.optim.SGD([u, v], lr=learning_rate, foreach=False)
        rows, labels = inputs.unbind(), targets.unbind()
        for i in problem.order:
            optimizer.zero_grad()
            loss = (torch.dot(rows[i], u * v) - labels[i]) ** 2 / 2
            loss.backward()
            optimizer.step()
        return u, v

    @torch.inference_mode()
    def handwritten():
        weights = initial.clone()
        u, v = weights.chunk(2)
        change = torch.empty_like(weights)
        change_u, change_v = change.chunk(2)
        rows, labels = inputs.clone().unbind(), targets.tolist()
        for i in problem.order:
            x = rows[i]
            torch.mul(x, v, out=change_u)
            torch.mul(x, u, out=change_v)
            weights.sub_(change, alpha=learning_rate * (torch.dot(change_u, u).item() - labels[i]))
        return u, v

    @torch.compile(fullgraph=True, dynamic=False)
    def several_steps(u, v, rows, labels):
        for x, y in zip(rows.unbind(), labels.unbind()):
            change = learning_rate * (torch.dot(x, u * v) - y) * x
            u, v = u - change * v, v - change * u
        return u, v

    per_call = math.gcd(options.steps, STEPS_PER_COMPILED_CALL)
    calls = torch.tensor(problem.order).view(-1, per_call).unbind()

    @torch.no_grad()
    def compiled():
        u, v = initial.chunk(2)
        for indices in calls:
            u, v = several_steps(u, v, inputs[indices], targets[indices])
        return u, v

    for name, train in (
        ("autograd", autograd),
        ("handwritten", handwritten),
        (f"compiled {per_call} steps/call", compiled),
    ):
        try:
            common.report("torch", torch.__version__, name, options, problem, train)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            print(f"torch {name}: skipped, {reason}", file=sys.stderr)


if __name__ == "__main__":
    main()

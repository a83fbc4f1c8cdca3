"""Batch-1 SGD on small networks with one output, replicas side by side, in PyTorch: the peer of `handgrad bench`.

The gradient by hand, all replicas in each operation; on CUDA, STEPS_PER_GRAPH steps as one CUDA graph, so that launches cost
as little as they can. Prints one line of JSON; `steps_per_s` counts the steps of every replica.
"""

import argparse
import json
import time

import torch

STEPS_PER_GRAPH = 100
LR = 1e-3


def diagonal(options: argparse.Namespace, new) -> tuple:
    """h(x) = sum_j u_j v_j x_j: its inputs, and a step on half the squared error."""
    u, v = (new.new_full((options.replicas, options.d), start) for start in (0.1, 0.05))

    def step(rows: torch.Tensor, y: torch.Tensor) -> None:
        change = (LR * ((rows * u * v).sum(1) - y))[:, None] * rows
        before = u.clone()
        u.addcmul_(change, v, value=-1)
        v.addcmul_(change, before, value=-1)

    return options.d, step


def layers(options: argparse.Namespace, new) -> tuple:
    """Fully connected layers: their inputs, and a step on the squared error. With ReLU, all have a bias; else none has."""
    widths, relu = [int(width) for width in options.net.split(":")[1].split(",")], options.activation == "relu"
    generator = torch.Generator().manual_seed(1)
    sizes = [(options.replicas, outputs, inputs) for inputs, outputs in zip(widths, widths[1:])]
    weights = [(torch.randn(size, generator=generator, dtype=torch.float64) / size[2] ** 0.5).to(new) for size in sizes]
    biases = [new.new_zeros(size[:2]) for size in sizes]

    def step(rows: torch.Tensor, y: torch.Tensor) -> None:
        outputs = [rows]
        for l, w in enumerate(weights):
            z = torch.bmm(w, outputs[l][:, :, None])[:, :, 0]
            z = z + biases[l] if relu else z
            outputs.append(z.relu() if relu and l + 1 < len(weights) else z)
        delta = 2 * (outputs[-1] - y[:, None])
        for l in reversed(range(len(weights))):
            below = torch.bmm(delta[:, None], weights[l])[:, 0] if l else None
            weights[l].baddbmm_(delta[:, :, None], outputs[l][:, None], alpha=-LR)
            if relu:
                biases[l].sub_(delta, alpha=LR)
            delta = below * (outputs[l] > 0) if l and relu else below

    return widths[0], step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", help="diagonal, or mlp: and widths")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--n", type=int, default=80)
    parser.add_argument("--d", type=int, default=200)
    parser.add_argument("--activation", choices=["relu", "identity"], default="relu")
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--dtype", choices=["f32", "f64"], default="f32")
    options = parser.parse_args()
    dtype = {"f32": torch.float32, "f64": torch.float64}[options.dtype]
    new = torch.empty(0, dtype=dtype, device=options.device)

    inputs, step = (diagonal if options.net == "diagonal" else layers)(options, new)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(options.n, inputs, generator=generator, dtype=torch.float64).to(new)
    y = torch.randn(options.n, generator=generator, dtype=torch.float64).to(new)
    per_call = min(STEPS_PER_GRAPH, options.steps)
    order = torch.randint(options.n, (per_call, options.replicas), generator=generator).to(new.device)

    @torch.no_grad()
    def steps() -> None:
        for samples in order.unbind():
            step(x[samples], y[samples])

    run = steps
    if new.is_cuda:
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            steps()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            steps()
        run = graph.replay

    def synchronize() -> None:
        if new.is_cuda:
            torch.cuda.synchronize()

    run()
    synchronize()
    calls = max(1, options.steps // per_call)
    start = time.perf_counter()
    for _ in range(calls):
        run()
    synchronize()
    seconds = time.perf_counter() - start
    rate = calls * per_call * options.replicas / seconds
    print(json.dumps({"variant": "by hand", "device": str(new.device), "replicas": options.replicas, "steps_per_s": rate}))


if __name__ == "__main__":
    main()

"""Batch-1 SGD on diagonal linear networks, replicas side by side, in PyTorch: the peer of `handgrad bench diagonal`.

The gradient by hand, all replicas in each operation; on CUDA, STEPS_PER_GRAPH steps as one CUDA graph, so that launches cost
as little as they can. Prints one line of JSON; `steps_per_s` counts the steps of every replica.
"""

import argparse
import json
import time

import torch

STEPS_PER_GRAPH = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--n", type=int, default=80)
    parser.add_argument("--d", type=int, default=200)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--dtype", choices=["f32", "f64"], default="f32")
    options = parser.parse_args()
    device, dtype = torch.device(options.device), {"f32": torch.float32, "f64": torch.float64}[options.dtype]

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(options.n, options.d, generator=generator, dtype=torch.float64).to(device, dtype)
    y = torch.randn(options.n, generator=generator, dtype=torch.float64).to(device, dtype)
    u = torch.full((options.replicas, options.d), 0.1, device=device, dtype=dtype)
    v = torch.full((options.replicas, options.d), 0.05, device=device, dtype=dtype)
    per_call = min(STEPS_PER_GRAPH, options.steps)
    order = torch.randint(options.n, (per_call, options.replicas), generator=generator).to(device)

    @torch.no_grad()
    def steps() -> None:
        for samples in order.unbind():
            rows = x[samples]
            residual = (rows * u * v).sum(1) - y[samples]
            change = (1e-3 * residual)[:, None] * rows
            before = u.clone()
            u.addcmul_(change, v, value=-1)
            v.addcmul_(change, before, value=-1)

    run = steps
    if device.type == "cuda":
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            steps()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            steps()
        run = graph.replay

    def synchronize() -> None:
        if device.type == "cuda":
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
    print(json.dumps({"variant": "by hand", "device": str(device), "replicas": options.replicas, "steps_per_s": rate}))


if __name__ == "__main__":
    main()

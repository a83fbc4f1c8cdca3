"""Matrix products and convolutions in PyTorch, random numbers: milliseconds of every pass, one JSON line per variant."""

import argparse
import json
import os
import statistics
import time

SECONDS = 0.6


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", help="gemm:ROWS,COLUMNS,DEPTH or conv:EXTENT,INPUTS,OUTPUTS,SIZE,STRIDE")
    parser.add_argument("--batch", type=int, default=32, help="images of a convolution")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="as cuda; times have the launch and the wait for its end")
    precisions = ("f32", "f32x3", "tf32", "bf16")
    parser.add_argument("--precision", choices=precisions, default="f32", help="tf32 on a card, or numbers of bf16; f32x3 is f32")
    options = parser.parse_args()
    name, _, sizes = options.workload.partition(":")
    try:
        options.sizes = [int(size) for size in sizes.split(",")]
    except ValueError:
        options.sizes = []
    if {"gemm": 3, "conv": 5}.get(name) != len(options.sizes):
        parser.error(f"{options.workload}: expected gemm:ROWS,COLUMNS,DEPTH or conv:EXTENT,INPUTS,OUTPUTS,SIZE,STRIDE")
    options.name = name
    return options


def median_ms(work, wait) -> float:
    """The median of many calls, after one to warm up."""

    def call() -> None:
        work()
        wait()

    call()
    begun, seconds = time.perf_counter(), []
    while len(seconds) < 5 or time.perf_counter() - begun < SECONDS:
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return 1e3 * statistics.median(seconds)


def main() -> None:
    options = parse_options()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    import torch
    from torch.nn import functional

    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = options.precision == "tf32"
    on_cpu = options.device == "cpu"
    wait = (lambda: None) if on_cpu else torch.cuda.synchronize

    def random(*sizes: int):
        numbers = torch.randn(*sizes, device=options.device)
        return numbers.bfloat16() if options.precision == "bf16" else numbers

    def show(variant: str, **passes: float) -> None:
        print(json.dumps({"program": "torch", "variant": variant, **passes, "version": torch.__version__}), flush=True)

    if options.name == "gemm":
        m, n, k = options.sizes
        a, b, c = random(m, k), random(k, n), random(m, n)
        show("mkl" if on_cpu else "cublas", forward=median_ms(lambda: torch.mm(a, b, out=c), wait))
        weight = b.t().contiguous()
        if on_cpu and options.precision != "bf16" and torch.backends.mkldnn.is_available():
            linear = torch.ops.mkldnn._linear_pointwise
            show("onednn", forward=median_ms(lambda: linear(a, weight, None, "none", [], ""), wait))
        return
    extent, inputs, outputs, size, stride = options.sizes
    for variant, layout in (("nchw", torch.contiguous_format), ("nhwc", torch.channels_last)):
        x = random(options.batch, inputs, extent, extent).contiguous(memory_format=layout)
        w = random(outputs, inputs, size, size).contiguous(memory_format=layout)
        dy = torch.randn_like(functional.conv2d(x, w, None, stride, size // 2))

        def backward(data: bool, x=x, w=w, dy=dy):
            wanted = [data, not data, False]
            pads = [size // 2] * 2
            return torch.ops.aten.convolution_backward(dy, x, w, None, [stride] * 2, pads, [1, 1], False, [0, 0], 1, wanted)

        show(
            variant,
            forward=median_ms(lambda x=x, w=w: functional.conv2d(x, w, None, stride, size // 2), wait),
            backward_data=median_ms(lambda: backward(True), wait),
            backward_weight=median_ms(lambda: backward(False), wait),
        )


if __name__ == "__main__":
    main()

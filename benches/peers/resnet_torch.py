"""Training steps of ResNet-18 on random 32 x 32 images in PyTorch: SGD with momentum and weight decay, cross-entropy.

Variants (one JSON line each): eager and compiled, with channels before pixels (nchw) and after them (nhwc). Compiled ones need a
C++ compiler and are skipped without.
"""

import argparse
import json
import math
import os
import resource
import statistics
import sys
import time


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32, help="images of a step")
    parser.add_argument("--width", type=int, default=64, help="channels of the first group")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="where it trains, as cuda")
    precisions = ("f32", "f32x3", "tf32", "bf16")
    parser.add_argument("--precision", choices=precisions, default="f32", help="tf32 on a card, or autocast to bf16; f32x3 is f32")
    parser.add_argument("--steps", type=int, default=5, help="steps timed, after two to warm up")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    options = parser.parse_args()
    for name in ("batch", "width", "threads", "steps"):
        if getattr(options, name) < 1:
            parser.error(f"--{name}: expected at least 1, got {getattr(options, name)}")
    return options


VARIANTS = ("eager-nchw", "eager-nhwc", "compiled-nchw", "compiled-nhwc")


def main() -> None:
    options = parse_options()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(options.threads)
    # Convolutions on a card are rounded to tf32 if nothing is said.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = options.precision == "tf32"

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.shortcut = nn.Sequential()
            if stride != 1 or inputs != outputs:
                projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
                self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))

        def forward(self, x):
            y = functional.relu(self.bn1(self.conv1(x)))
            return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    class Resnet(nn.Module):
        def __init__(self, width: int):
            super().__init__()
            self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            blocks, inputs = [], width
            for group in range(4):
                for block in range(2):
                    outputs = width << group
                    blocks.append(Block(inputs, outputs, 2 if group > 0 and block == 0 else 1))
                    inputs = outputs
            self.blocks = nn.Sequential(*blocks)
            self.linear = nn.Linear(8 * width, 10)

        def forward(self, x):
            y = self.blocks(functional.relu(self.bn1(self.conv1(x))))
            return self.linear(functional.adaptive_avg_pool2d(y, 1).flatten(1))

    def measure(variant: str) -> None:
        how, layout = variant.split("-")
        torch.manual_seed(0)
        network = Resnet(options.width).to(options.device)
        images = torch.rand(options.batch, 3, 32, 32, device=options.device)
        if layout == "nhwc":
            network = network.to(memory_format=torch.channels_last)
            images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.randint(0, 10, (options.batch,), device=options.device)
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
        forward = torch.compile(network) if how == "compiled" else network

        def step() -> float:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(options.device.split(":")[0], torch.bfloat16, enabled=options.precision == "bf16"):
                loss = functional.cross_entropy(forward(images), labels)
            loss.backward()
            optimizer.step()
            return loss.item()

        step(), step()
        seconds = []
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(options.steps):
            start = time.perf_counter()
            loss = step()
            seconds.append(time.perf_counter() - start)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if not math.isfinite(loss):
            raise SystemExit(f"torch {variant}: diverged (loss {loss}); the rate of a diverged run means nothing")
        record = {
            "program": "torch",
            "variant": variant,
            "precision": options.precision,
            "steps_per_s": 1 / statistics.median(seconds),
            "images_per_s": options.batch / statistics.median(seconds),
            "ms_per_step": 1e3 * statistics.median(seconds),
            "cpu_share": round(cpu / wall / options.threads, 3),
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "loss": loss,
            "version": torch.__version__,
        }
        print(json.dumps(record), flush=True)

    for variant in options.variants:
        try:
            measure(variant)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            print(f"torch {variant}: skipped, {reason}", file=sys.stderr)


if __name__ == "__main__":
    main()

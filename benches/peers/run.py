"""Runs handgrad and its peers in turn, so that both meet the same machine, and prints medians and ratios."""

import argparse
import importlib.metadata
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
PEERS = ("numpy", "jax", "torch")
WORKLOADS = ("diagonal", "mlp", "ensemble", "ntk-rank", "fig2", "gemm", "conv", "resnet")
SHAPE = ("--n", "80", "--d", "200")
CHECK_TOLERANCE = 1e-9
# Small perceptrons: widths, layers with a bias, activation, largest norm of a gradient.
PERCEPTRONS = (
    ("1,100,1", "first", "relu", None),
    ("2,20,1", "none", "relu", None),
    ("5,10,10,1", "all", "relu", None),
    ("15,15,15,15,1", "none", "identity", "1"),
)
# Ensembles: network, layers with a bias, activation, samples, steps of a replica in JAX and in handgrad.
ENSEMBLES = (
    ("diagonal", "none", "identity", "80", "2000", "100000"),
    ("1,100,1", "first", "relu", "80", "2000", "100000"),
    ("15,15,15,15,1", "none", "identity", "80", "500", "50000"),
    ("200,200,200", "none", "relu", "100", "200", "2000"),
)
REPLICAS = 256
# Products: squares, and those of ResNet-18's convolutions by a matrix of windows.
GEMMS = ("256,256,256", "512,512,512", "1024,1024,1024", "2048,2048,2048")
GEMMS += ("64,32768,576", "128,8192,1152", "256,2048,2304", "512,512,4608")
# ResNet-18's convolutions: extent, channels in and out, window, stride.
CONVOLUTIONS = ("32,64,64,3,1", "16,128,128,3,1", "8,256,256,3,1", "4,512,512,3,1", "32,3,64,3,1", "32,64,128,3,2", "32,64,128,1,2")
STAGES = tuple(f"conv:{shape}" for shape in CONVOLUTIONS[:4])
PASSES = ("forward", "backward_data", "backward_weight")
# Training steps of ResNet-18: images of a batch, cores, and steps that are timed.
RESNETS = ((32, 1, 5), (32, 2, 7), (128, 1, 3), (128, 2, 3))


class Failed(Exception):
    """A program that could not be run; the message is the reason."""


def output_of(*command: str) -> str:
    """Standard output of a command that has to succeed. Its standard error is shown only if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except OSError as error:
        raise Failed(f"{command[0]}: {error.strerror}") from None
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise Failed(f"{' '.join(command)}: exit status {error.returncode}: {reason}") from None
    return done.stdout


def records_of(script: str, *arguments: str) -> list[dict]:
    """What a peer's script measured: one record for each variant."""
    lines = output_of(sys.executable, str(HERE / script), *arguments).splitlines()
    return [json.loads(line) for line in lines]


def bench(handgrad: str, *arguments: str) -> dict:
    return json.loads(output_of(handgrad, "bench", *arguments))


def timed_output_of(*command: str) -> tuple[str, float]:
    """Standard output and wall seconds, start-up included."""
    start = time.perf_counter()
    output = output_of(*command)
    return output, time.perf_counter() - start


def use_cores(wanted: Iterable[int]) -> None:
    """Keeps this process, and so every program it starts, on these cores."""
    os.sched_setaffinity(0, wanted)


def spread(values: list[float], form: str) -> list[str]:
    return [format(value, form) for value in (statistics.median(values), min(values), max(values))]


def print_table(title: str, header: list[str], rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    print(f"\n{title}")
    for name, *cells in (header, *rows):
        print(name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:])), sep="  ")
    sys.stdout.flush()


def rate_of(record: dict) -> float:
    """Whatever a record counts, per second."""
    for rate in ("steps_per_s", "replica_steps_per_s"):
        if rate in record:
            return record[rate]
    seconds = {"seconds_per_rank": 1, "median_s": 1, "ms_per_step": 1e-3}
    return next(1 / (record[name] * unit) for name, unit in seconds.items() if name in record)


def compare_rates(title: str, scripts: dict[str, tuple[str, ...]], handgrad: str | None, ours: tuple[str, ...], rounds: int) -> None:
    """Rate of every variant of every script, by peer; each ratio is to handgrad's run right after that script's, the median
    over the rounds."""
    own, cpu_shares = [], []
    rates, ratios = defaultdict(list), defaultdict(list)
    for _ in range(rounds):
        for peer, (script, *arguments) in scripts.items():
            records = records_of(script, *arguments)
            if handgrad:
                record = bench(handgrad, *ours)
                own.append(rate_of(record))
            for record in records:
                key = (peer, record["variant"])
                rate = rate_of(record)
                rates[key].append(rate)
                cpu_shares.append(record["cpu_share"])
                if handgrad:
                    ratios[key].append(own[-1] / rate)
    fastest = {}
    for key in rates:
        fastest[key[0]] = max(fastest.get(key[0], key), key, key=lambda k: statistics.median(rates[k]))
    rows = []
    form = ",.0f" if min(map(min, rates.values())) >= 100 else ",.3f"
    for key, values in rates.items():
        ratio = format(statistics.median(ratios[key]), ".2f") if ratios[key] else "-"
        rows.append([" ".join(key), *spread(values, form), ratio, "*" if fastest[key[0]] == key else ""])
    if own:
        rows.append(["handgrad", *spread(own, form), "", ""])
    header = ["program", "per second", "min", "max", "handgrad / peer", "fastest"]
    noise = f"peers' cpu_share >= {min(cpu_shares):.2f}, median {statistics.median(cpu_shares):.2f}"
    print_table(f"{title}, {rounds} rounds, {noise}", header, rows)


def compare_perceptrons(handgrad: str | None, dtype: str, steps: int, rounds: int) -> None:
    for widths, bias, activation, clip in PERCEPTRONS:
        options = ("--bias", bias, "--activation", activation, "--dtype", dtype, *(("--clip", clip) if clip else ()))
        scripts = {"jax": ("mlp_jax.py", "--widths", widths, *options)}
        if clip:
            scripts["jax, deep linear"] = ("deep_linear_jax.py", "--batches", "1", "--dtype", dtype)
        title = f"perceptron {widths}, batch 1, one core, {dtype}" + (", clipped" if clip else "")
        compare_rates(title, scripts, handgrad, (f"mlp:{widths}", *options, "--steps", str(steps)), rounds)


def compare_ensembles(handgrad: str | None, rounds: int) -> None:
    """Replicas with orders of their own, all cores."""
    threads = len(os.sched_getaffinity(0))
    for net, bias, activation, n, steps, own_steps in ENSEMBLES:
        options = ("--bias", bias, "--activation", activation, "--n", n, "--replicas", str(REPLICAS))
        scripts = {"jax": ("ensemble_jax.py", "--net", net, *options, "--steps", steps)}
        workload = net if net == "diagonal" else f"mlp:{net}"
        ours = (workload, *options, "--threads", str(threads), "--steps", own_steps)
        compare_rates(f"{REPLICAS} replicas of {net}, batch 1, f32, {threads} cores", scripts, handgrad, ours, rounds)


def compare_kernels(title: str, workloads: list[str], options: tuple[str, ...], handgrad: str, ways: tuple[str, ...], rounds: int) -> None:
    """Milliseconds of every pass: the peer's best variant, and ours by every way to compute."""
    rows, logs = [], {way: [] for way in ways}
    for workload in workloads:
        peer, ours = defaultdict(list), {way: defaultdict(list) for way in ways}
        for _ in range(rounds):
            for record in records_of("kernels_torch.py", workload, *options):
                for name in PASSES:
                    if name in record:
                        peer[name, record["variant"]].append(record[name])
            for way in ways:
                record = bench(handgrad, workload, *options, "--conv", way)
                for name in PASSES:
                    if name in record:
                        ours[way][name].append(record[name]["ms"])
        for name in PASSES:
            variants = {variant: statistics.median(times) for (of, variant), times in peer.items() if of == name}
            if not variants:
                continue
            best = min(variants, key=variants.get)
            row = [f"{workload} {name}", f"{variants[best]:.2f} ({best})"]
            for way in ways:
                mine = statistics.median(ours[way][name])
                ratio = variants[best] / mine
                if len(ways) == 1 or workload in STAGES:
                    logs[way].append(math.log(ratio))
                row.append(f"{mine:.2f} ({ratio:.2f}x)")
            rows.append(row)
    means = [f"{math.exp(statistics.mean(logs[way])):.2f}x" for way in ways]
    rows.append(["geometric mean" if len(ways) == 1 else "geometric mean of the four stages", "", *means])
    print_table(title, ["workload", "torch's best, ms", *(f"handgrad {way}, ms" for way in ways)], rows)


def compare_resnets(handgrad: str | None, cores: list[int], rounds: int) -> None:
    """Milliseconds of a step: every variant of the peer, and ours by both ways to compute, in turn."""
    ways = ("direct", "auto") if handgrad else ()
    rows = []
    for batch, threads, steps in RESNETS:
        if threads > len(cores):
            print(f"ResNet-18 on {threads} cores: skipped, there are {len(cores)}")
            continue
        use_cores(cores[-threads:])
        options = ("--batch", str(batch), "--threads", str(threads), "--steps", str(steps))
        times = defaultdict(list)
        for _ in range(rounds):
            for record in records_of("resnet_torch.py", *options):
                times[record["variant"]].append(record["ms_per_step"])
            for way in ways:
                times[way].append(bench(handgrad, "resnet18", *options, "--conv", way)["ms_per_step"])
        medians = {name: statistics.median(values) for name, values in times.items()}
        best = min(medians[name] for name in medians if name not in ways)
        peers = [f"{name} {value:.0f}" for name, value in medians.items() if name not in ways]
        ours = [f"{medians[way]:.0f} ({best / medians[way]:.2f}x)" for way in ways]
        rows.append([f"batch {batch}, {threads} cores", ", ".join(peers), *ours])
    header = ["ResNet-18", "torch, ms per step", *(f"handgrad {way}" for way in ways)]
    print_table(f"training steps of ResNet-18, f32, medians of {rounds} rounds", header, rows)


def compare_fig2(handgrad: str | None, rounds: int) -> None:
    """Wall seconds of the whole figure, both programs on the same cores."""
    peer, ours, diverged = [], [], {}
    for _ in range(rounds):
        output, seconds = timed_output_of(sys.executable, str(HERE / "fig2_numpy.py"))
        peer.append(seconds)
        runs = json.loads(output)["runs"]
        diverged |= {name: run for name, run in runs.items() if "diverged_before_step" in run}
        if handgrad:
            with tempfile.TemporaryDirectory() as folder:
                arguments = ("run", "sparse/fig2", "--scale", "paper", "--seeds", "0", "--out", f"{folder}/fig2")
                ours.append(timed_output_of(handgrad, *arguments)[1])
    rows = [["numpy", *spread(peer, ".2f"), "-"]]
    if ours:
        ratios = [theirs / own for theirs, own in zip(peer, ours)]
        rows[0][-1] = format(statistics.median(ratios), ".1f")
        rows.append(["handgrad", *spread(ours, ".2f"), ""])
    cores = len(os.sched_getaffinity(0))
    title = f"the whole of sparse/fig2 at paper scale, {cores} cores, {rounds} rounds"
    print_table(title, ["program", "seconds", "min", "max", "peer / handgrad"], rows)
    for name, run in diverged.items():
        print(f"numpy did less work: '{name}' diverged before step {run['diverged_before_step']}")


def check_losses(peers: list[str]) -> bool:
    """Whether every variant ends 1000 f64 steps at NumPy's loss."""
    arguments = ("--dtype", "f64", "--steps", "1000", "--repeats", "1")
    expected = records_of("diagonal_numpy.py", *SHAPE, *arguments)[0]["loss"]
    rows, passed = [], True
    for peer in peers:
        for record in records_of(f"diagonal_{peer}.py", *SHAPE, *arguments):
            difference = abs(record["loss"] - expected) / expected
            agrees = difference <= CHECK_TOLERANCE
            passed = passed and agrees
            name = f"{peer} {record['variant']}"
            rows.append([name, repr(record["loss"]), format(difference, ".1e"), "ok" if agrees else "DIFFERS"])
    print_table("half-MSE after 1000 steps, f64", ["program", "loss", "relative difference to numpy", ""], rows)
    return passed


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--handgrad", default=str(REPOSITORY / "target/release/handgrad"), help="path of the binary")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=WORKLOADS)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--dtypes", nargs="+", choices=("f32", "f64"), default=("f32", "f64"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10_000_000, help="handgrad's steps in one run")
    parser.add_argument("--check", action="store_true", help="only check that all peers end at the same loss")
    options = parser.parse_args()
    for name in ("rounds", "steps"):
        if getattr(options, name) < 1:
            parser.error(f"--{name}: expected at least 1, got {getattr(options, name)}")
    return options


def main() -> None:
    options = parse_options()
    cores = sorted(os.sched_getaffinity(0))
    print(f"{cpu_model()}, {len(cores)} cores; Python {platform.python_version()}")
    peers = []
    for peer in options.peers:
        installed = version(peer)
        print(f"{peer} {installed}" if installed else f"{peer}: skipped, not installed (pip install {peer})")
        if installed:
            peers.append(peer)

    if options.check:
        if not version("numpy"):
            raise Failed("--check compares with numpy, which is not installed (pip install numpy)")
        use_cores(cores[-1:])
        sys.exit(0 if check_losses(peers) else 1)

    handgrad = options.handgrad
    try:
        print(output_of(handgrad, "--version").strip())
    except Failed as reason:
        print(f"handgrad: skipped, {reason} (cargo build --release, or --handgrad PATH)")
        handgrad = None

    if "diagonal" in options.workloads and peers:
        use_cores(cores[-1:])
        for dtype in options.dtypes:
            scripts = {peer: (f"diagonal_{peer}.py", *SHAPE, "--dtype", dtype) for peer in peers}
            ours = ("diagonal", *SHAPE, "--dtype", dtype, "--steps", str(options.steps))
            compare_rates(f"diagonal network, batch 1, one core, {dtype}", scripts, handgrad, ours, options.rounds)
    if "mlp" in options.workloads and "jax" in peers:
        use_cores(cores[-1:])
        for dtype in options.dtypes:
            compare_perceptrons(handgrad, dtype, options.steps, options.rounds)
    if "ensemble" in options.workloads and "jax" in peers:
        use_cores(cores[-2:])
        compare_ensembles(handgrad, options.rounds)
    if "ntk-rank" in options.workloads and "numpy" in peers:
        use_cores(cores[-1:])
        ours = ("mlp:5,10,10,1", "--metric", "ntk_rank@1e-4")
        scripts = {"numpy": ("ntk_rank_numpy.py",)}
        compare_rates("NTK rank of a 5,10,10,1 perceptron with its gradients, one core, f64", scripts, handgrad, ours, options.rounds)
    for threads in (1, 2):
        if handgrad is None or "torch" not in peers or threads > len(cores):
            continue
        use_cores(cores[-threads:])
        common = ("--threads", str(threads))
        if "gemm" in options.workloads:
            title, names = f"matrix products, f32, {threads} cores", [f"gemm:{shape}" for shape in GEMMS]
            compare_kernels(title, names, common, handgrad, ("auto",), options.rounds)
        if "conv" in options.workloads:
            title, names = f"convolutions, batch 32, f32, {threads} cores", [f"conv:{shape}" for shape in CONVOLUTIONS]
            compare_kernels(title, names, (*common, "--batch", "32"), handgrad, ("direct", "auto"), options.rounds)
    if "resnet" in options.workloads and "torch" in peers:
        compare_resnets(handgrad, cores, options.rounds)
    if "fig2" in options.workloads and "numpy" in peers:
        use_cores(cores[-2:])
        compare_fig2(handgrad, options.rounds)


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"run.py: {failure}")

"""How much of the machine's matrix peak the networks reach, and where the rest of the time goes.

    python benchmarks/utilisation.py --threads 2 --json docs/benchmarks/utilisation.json
    python benchmarks/utilisation.py --networks lens64 reference --profile lens64
    python benchmarks/utilisation.py --device cuda --batch-sizes 64 512

Networks are named as in network_cost.py. The peak is that of float32 matrix products, of bfloat16
ones on a GPU, measured between the networks in the same run; the largest counts. A training step is
forward and backward, counted as three evaluations.
"""

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from network_cost import inputs, operations, read_config
from running import launch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.model.build import build_network

MATRICES = {
    "cpu": ((1024, 1024, 1024), (2048, 2048, 2048), (16384, 576, 64), (16384, 864, 96)),
    "cuda": ((4096, 4096, 4096), (8192, 8192, 8192), (262144, 576, 64), (262144, 864, 96)),
}
"""Rows, inner size and columns of the products: squares, and those of 3x3 convolutions."""
GROUPS = {
    "convolutions": ("conv",),
    "group norms": ("group_norm",),
    "activations": ("silu", "sigmoid"),
    "attention": ("attention", "softmax", "bmm"),
    "concatenation": ("aten::cat",),
    "resampling": ("upsample", "pixel_shuffle", "pixel_unshuffle"),
    "embeddings and modulation": ("mm", "embedding", "linear", "addcmul"),
    "sums and products": ("aten::add", "aten::mul", "aten::sum"),
    "copies and layout": ("copy", "clone", "contiguous", "fill", "zero"),
}
"""Kinds of operators by parts of their names; the first that fits counts."""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    networks: tuple[str, ...] = ("lens28", "lens64:patch=2", "lens150", "reference")
    """Networks, such as lens64 or lens64:patch=4:channels=32-64-96."""
    batch_sizes: tuple[int, ...] = (16, 64)
    """Images at a time."""
    repeats: int = 5
    """Rounds over everything; the median counts."""
    threads: int = 1
    """Threads of torch."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where: float32 on the CPU, bfloat16 by autocast on a GPU."""
    profile: str | None = None
    """A network whose time is shown by kind of operator, instead of the table."""
    json: Path | None = None
    """Where the numbers are written too."""


@dataclass
class Row:
    """One network at one batch size."""

    network: str
    image_size: int
    batch_size: int
    task: str
    gflop_per_image: float
    ms_per_image: float
    gflops: float
    share_of_peak: float


@dataclass
class Case:
    """Something to time: a call, and the operations of one image in it."""

    network: str
    image_size: int
    batch_size: int
    task: str
    flop: float
    call: Callable[[], object]


def main(options: Options) -> None:
    """Measure and print a table, or a profile."""
    torch.set_num_threads(options.threads)
    if options.profile is not None:
        print_profile(options.profile, options)
        return
    rows, peak = measure(options)
    kind = "bfloat16" if options.device == "cuda" else "float32"
    print(f"Peak of {kind} matrix products: {peak / 1e9:.0f} GFLOP/s, {options.threads} threads\n")
    print("| network | size | task | batch | GFLOP per image | ms per image | GFLOP/s | of peak |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.network} | {row.image_size} | {row.task} | {row.batch_size} "
            f"| {row.gflop_per_image:.3f} | {row.ms_per_image:.3f} | {row.gflops:.0f} "
            f"| {100 * row.share_of_peak:.0f}% |"
        )
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        found = {
            "device": device_name(options.device),
            "threads": options.threads,
            "torch": torch.__version__,
            "precision": kind,
            "peak_gflops": peak / 1e9,
            "rows": [asdict(row) for row in rows],
        }
        partial = options.json.with_suffix(".partial")
        partial.write_text(json.dumps(found, indent=2) + "\n")
        partial.replace(options.json)


def measure(options: Options) -> tuple[list[Row], float]:
    """Return the rows and the peak [1/s], everything timed in turn in each round."""
    cases = [case for name in options.networks for case in cases_of(name, options)]
    seconds: list[list[float]] = [[] for _ in cases]
    peak = 0.0
    for case in cases:
        case.call()
    for _ in range(options.repeats):
        peak = max(peak, matrix_peak(options.device))
        for case, times in zip(cases, seconds, strict=True):
            times.append(timed(case.call, options.device))
    rows = []
    for case, times in zip(cases, seconds, strict=True):
        per_image = statistics.median(times) / case.batch_size
        rate = case.flop / per_image
        rows.append(
            Row(
                network=case.network,
                image_size=case.image_size,
                batch_size=case.batch_size,
                task=case.task,
                gflop_per_image=case.flop / 1e9,
                ms_per_image=1e3 * per_image,
                gflops=rate / 1e9,
                share_of_peak=rate / peak,
            )
        )
    return rows, peak


def cases_of(name: str, options: Options) -> list[Case]:
    """Return evaluation and training step of a network at each batch size."""
    config = read_config(name)
    network = ready_network(config)
    flop = operations(network, config).total()
    network.to(options.device)
    cases = []
    for batch_size in options.batch_sizes:
        calls = calls_of(network, config, batch_size, options.device)
        for task, call in calls.items():
            total = flop if task == "evaluation" else 3 * flop
            cases.append(Case(name, config.image_size, batch_size, task, total, call))
    return cases


def ready_network(config: ModelConfig) -> nn.Module:
    """Return a network of random weights, none of them zero."""
    network = build_network(config).eval().to(memory_format=torch.channels_last)
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.02)
    return network


def calls_of(
    network: nn.Module, config: ModelConfig, batch_size: int, device: str
) -> dict[str, Callable[[], object]]:
    """Return one evaluation and one training step as functions of nothing."""
    x, noise, condition = inputs(config, batch_size)
    x, noise = x.to(device), noise.to(device)
    condition = None if condition is None else condition.to(torch.device(device))

    def forward() -> Tensor:
        autocast = torch.autocast("cuda", torch.bfloat16) if device == "cuda" else nullcontext()
        with autocast:
            output: Tensor = network(x, noise, condition)
        return output

    def train() -> None:
        network.zero_grad(set_to_none=True)
        forward().float().square().mean().backward()

    return {"evaluation": torch.inference_mode()(forward), "training step": train}


def matrix_peak(device: str) -> float:
    """Return the largest rate of one product of each size of `MATRICES` [1/s]."""
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    best = 0.0
    for rows, inner, columns in MATRICES[device]:
        first = torch.randn(rows, inner, device=device, dtype=dtype)
        second = torch.randn(inner, columns, device=device, dtype=dtype)
        out = torch.empty(rows, columns, device=device, dtype=dtype)

        def product(a: Tensor = first, b: Tensor = second, c: Tensor = out) -> None:
            torch.mm(a, b, out=c)

        product()
        fastest = min(timed(product, device) for _ in range(5))
        best = max(best, 2 * rows * inner * columns / fastest)
    return best


def timed(call: Callable[[], object], device: str) -> float:
    """Return the time of a call [s], on a GPU that between two events of its stream."""
    if device == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end)) / 1e3
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def print_profile(name: str, options: Options) -> None:
    """Print the share of each kind of operator in evaluation and training step."""
    config = read_config(name)
    network = ready_network(config).to(options.device)
    batch_size = options.batch_sizes[-1]
    shares = {}
    for task, call in calls_of(network, config, batch_size, options.device).items():
        call()
        shares[task] = profiled(call, options)
    print(f"{name}, {batch_size} images at a time, share of the time of the operators\n")
    print(f"| operators | {' | '.join(shares)} |\n|---|{'---|' * len(shares)}")
    for kind in [*GROUPS, "other"]:
        cells = [f"{100 * each[kind] / each.total():.1f}%" for each in shares.values()]
        print(f"| {kind} | {' | '.join(cells)} |")


def profiled(call: Callable[[], object], options: Options) -> Counter[str]:
    """Return the time of each kind of operator, its children left out [us]."""
    is_cuda = options.device == "cuda"
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * is_cuda
    with profile(activities=activities) as record:
        for _ in range(options.repeats):
            call()
        if is_cuda:
            torch.cuda.synchronize()
    found: Counter[str] = Counter()
    for event in record.key_averages():
        # On a GPU kernels are counted with the operators that start them, not once more.
        if event.key.startswith(("aten::", "mkldnn::")):
            own = event.self_device_time_total if is_cuda else event.self_cpu_time_total
            found[kind_of_operator(event.key)] += own
    return found


def kind_of_operator(key: str) -> str:
    """Return the first of `GROUPS` that an operator's name belongs to."""
    for kind, parts in GROUPS.items():
        if any(part in key for part in parts):
            return kind
    return "other"


def device_name(device: str) -> str:
    """Return what the numbers were taken on."""
    return torch.cuda.get_device_name() if device == "cuda" else "cpu"


if __name__ == "__main__":
    launch(main, Options, __doc__)

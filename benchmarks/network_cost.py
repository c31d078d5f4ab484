"""Where the operations of a network go: per image, by level and kind, with the measured time.

    python benchmarks/network_cost.py --threads 2
    python benchmarks/network_cost.py --networks lens64 lens64:patch=4 lens64:channels=32-64-96

A network is a training preset, a bundled model, a run or a checkpoint, changed as the words behind
it say: patch, channels, attention (levels), blocks, refine (channels). Operations are those of convolutions and matrix
products, a multiplication and an addition counted as two.
"""

import statistics
import time
from collections import Counter
from dataclasses import dataclass, replace

import torch
from running import launch, read_numbers
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.model import ModelConfig, ParameterConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.build import build_network
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.nn.layers import SelfAttention
from gravlensdiffusion.nn.unet import UNet
from gravlensdiffusion.presets.training import PRESETS

CLASSES = ("no_sub", "cdm", "axion")
"""Classes of a preset, which names none before it sees data."""
WORDS = {
    "patch": "patch",
    "blocks": "num_blocks",
    "refine": "refine_channels",
    "channels": "channels",
    "attention": "attention_levels",
}
"""What may be changed, and the field of the network's configuration that it is."""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    networks: tuple[str, ...] = ("lens28", "lens64", "lens150")
    """Networks, such as lens64 or lens64:patch=4:channels=32-64-96:attention=1-2."""
    batch_size: int = 16
    """Images at a time when the time is taken."""
    repeats: int = 5
    """Evaluations of each network; the median counts."""
    threads: int = 1
    """Threads of torch."""


def main(options: Options) -> None:
    """Count, measure, print two tables."""
    torch.set_num_threads(options.threads)
    counts: dict[str, Counter[str]] = {}
    print("| network | size | parameters | GFLOP per image | ms per image |\n|---|---|---|---|---|")
    for name in options.networks:
        config = read_config(name)
        network = build_network(config).eval().to(memory_format=torch.channels_last)
        counts[name] = operations(network, config)
        seconds = measure(network, config, options)
        print(
            f"| {name} | {config.image_size} | {sum(p.numel() for p in network.parameters()):,} "
            f"| {counts[name].total() / 1e9:.3f} | {1000 * seconds:.2f} |",
            flush=True,
        )
    kinds = list(dict.fromkeys(kind for each in counts.values() for kind in each))
    print(f"\n| share of | {' | '.join(counts)} |\n|---|{'---|' * len(counts)}")
    for kind in sorted(kinds, key=lambda kind: (kind.startswith(("attention", "embed")), kind)):
        cells = [f"{100 * each[kind] / each.total():.1f}%" for each in counts.values()]
        print(f"| {kind} | {' | '.join(cells)} |")


def read_config(name: str) -> ModelConfig:
    """Return the configuration that a name with its changes stands for."""
    base, *words = name.split(":")
    if base in PRESETS:
        recipe = PRESETS[base]()
        parameters = tuple(ParameterConfig(name=p, low=0, high=1) for p in recipe.parameters)
        classes = CLASSES if recipe.conditional else ()
        config = replace(recipe.model, class_names=classes, parameters=parameters)
    else:
        config = load_model(base).config
    changes = {}
    for word in words:
        key, _, value = word.partition("=")
        if key not in WORDS:
            raise GravLensError(f"'{key}' cannot be changed; choose from {', '.join(WORDS)}")
        numbers = read_numbers(value, key, int, "-")
        is_list = key in ("channels", "attention")
        if not is_list and len(numbers) != 1:
            raise GravLensError(f"{key} takes one whole number, not '{value}'")
        changes[WORDS[key]] = tuple(numbers) if is_list else numbers[0]
    return replace(config, network=replace(config.network, **changes))


def inputs(config: ModelConfig, num: int) -> tuple[torch.Tensor, torch.Tensor, Condition | None]:
    """Return images, noise levels and conditions for a network."""
    x = torch.randn(num, config.num_channels, config.image_size, config.image_size)
    condition = None
    if config.class_names or config.parameters:
        parameters = torch.full((num, len(config.parameters)), 0.5, dtype=torch.float64)
        label = torch.zeros(num, dtype=torch.long)
        condition = Condition(label=label, parameters=parameters if config.parameters else None)
    return x.to(memory_format=torch.channels_last), torch.full((num,), 0.5), condition


@torch.inference_mode()
def measure(network: nn.Module, config: ModelConfig, options: Options) -> float:
    """Return the time of one evaluation per image [s]."""
    given = inputs(config, options.batch_size)
    network(*given)
    times = []
    for _ in range(options.repeats):
        start = time.perf_counter()
        network(*given)
        times.append(time.perf_counter() - start)
    return statistics.median(times) / options.batch_size


@torch.no_grad()
def operations(network: nn.Module, config: ModelConfig) -> Counter[str]:
    """Return the operations of one image by kind."""
    counter = FlopCounterMode(display=False)
    # The fused kernels of attention are not counted on every machine, its plain form is.
    with counter, sdpa_kernel(SDPBackend.MATH):
        network(*inputs(config, 1))
    root = type(network).__name__
    totals = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}
    found: Counter[str] = Counter()
    for name, module in network.named_modules():
        path = f"{root}.{name}" if name else root
        within = sum(totals.get(f"{path}.{child}", 0) for child, _ in module.named_children())
        if own := totals.get(path, 0) - within:
            found[kind_of(network, name, module)] += own
    if found.total() != totals["Global"]:
        raise GravLensError("some operations lie outside of the parts that are known")
    return +found


def kind_of(network: nn.Module, name: str, module: nn.Module) -> str:
    """Return what a part of the network is counted as."""
    part, _, rest = name.partition(".")
    if not isinstance(network, UNet):
        return "all"
    if part in {"stem", "lens_stem", "head"}:
        return "first and last convolution"
    if part == "refine":
        return "refinement at full resolution"
    if part.endswith("embedding") or rest.endswith("modulation"):
        return "embeddings and modulation"
    level = level_of(network, part, rest) if rest else 0
    if isinstance(module, SelfAttention) or "attention" in rest:
        return f"attention, level {level}"
    return f"convolutions, level {level}"


def level_of(network: UNet, part: str, rest: str) -> int:
    """Return the level that a part of the U-Net works at, 0 for full resolution."""
    lowest = len(network.downsample) - 1
    if part == "middle":
        return lowest
    place = int(rest.split(".", maxsplit=1)[0])
    if part == "downsample":
        return place
    if part == "down":
        return place // network.num_blocks
    # An upsampling convolves before it enlarges, at the level below.
    if part == "upsample":
        return lowest - place + 1
    return lowest - place // (network.num_blocks + 1)


if __name__ == "__main__":
    launch(main, Options, __doc__)

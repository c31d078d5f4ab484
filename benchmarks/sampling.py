"""Time of one network evaluation and of whole images: a bundled model against the reference U-Net.

Both are measured in one run, alternating, on the same images, so that their ratio means something
on any machine.

    python benchmarks/sampling.py --model lens28 --batch-size 100
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from running import launch
from torch import Tensor, nn

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.nn.reference import ReferenceUNet


@dataclass(frozen=True)
class Options:
    """What to measure."""

    model: str = "lens28"
    """A bundled model, a run or a checkpoint."""
    batch_size: int = 100
    """Images at a time."""
    repeats: int = 5
    """Evaluations of each network; the median counts."""
    threads: int = 2
    """Threads of torch."""
    json: Path | None = None
    """Where to write the figures, too."""


def main(options: Options) -> None:
    """Measure and print a table."""
    torch.set_num_threads(options.threads)
    generator = LensGenerator.from_pretrained(options.model, device="cpu")
    x = torch.randn(options.batch_size, *generator.image_shape)
    x = x.to(memory_format=torch.channels_last)
    label = torch.zeros(options.batch_size, dtype=torch.long)
    condition = Condition(label=label) if generator.config.class_names else None
    reference = ReferenceUNet().eval()
    level = torch.full((options.batch_size,), 0.5)
    arms = {
        options.model: evaluation(generator.model.network, x, level, condition),
        "reference": evaluation(reference, x.contiguous(), level * 1000, None),
        "reference, channels_last": evaluation(
            ReferenceUNet().eval().to(memory_format=torch.channels_last),  # type: ignore[call-overload]
            x,
            level * 1000,
            None,
        ),
    }
    seconds = alternate(arms, options.repeats)
    figures: dict[str, object] = {"threads": options.threads, "batch_size": options.batch_size}
    print(f"{options.threads} threads, batch of {options.batch_size}")
    print("| network | parameters | ms per image and evaluation |\n|---|---|---|")
    nets = {options.model: generator.model.network, "reference": reference}
    nets["reference, channels_last"] = reference
    for name, times in seconds.items():
        ms = 1000 * statistics.median(times) / options.batch_size
        count = sum(parameter.numel() for parameter in nets[name].parameters())
        figures[name] = {"parameters": count, "ms_per_image_and_evaluation": ms}
        print(f"| {name} | {count:,} | {ms:.2f} |")
    started = time.perf_counter()
    generator.sample(options.batch_size, batch_size=options.batch_size)
    rate = options.batch_size / (time.perf_counter() - started)
    sampler, steps = generator.sampling(None, None)
    print(f"{options.model}, {sampler} with {steps} steps: {rate:.1f} images/s")
    figures["images_per_s"] = rate
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2))


def evaluation(
    net: nn.Module, x: Tensor, noise: Tensor, condition: Condition | None
) -> Callable[[], None]:
    """Return one evaluation of a network, to be timed."""

    def evaluate() -> None:
        with torch.inference_mode():
            net(x, noise, condition)

    return evaluate


def alternate(arms: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    """Time the arms in turn [s], after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for k in range(repeats + 1):
        for name, arm in arms.items():
            started = time.perf_counter()
            arm()
            if k:
                seconds[name].append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    launch(main, Options, __doc__)

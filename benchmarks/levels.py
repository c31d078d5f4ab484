"""At which noise levels a model of noise-free images is good, and where it loses what is fine in them.

    gravlens simulate --preset deeplense --size 64 --num 1000 --noise-free --flux-unit e-/s --seed 3000 --out data/levels64.h5
    python benchmarks/levels.py --model lens64 --data data/levels64.h5

Two tables, of simulated images whose class and parameters the model is told. The error of the estimate from an image noised
to a level, by class. And what is left of compact points, fine structure and brightness where the images are noised to a level
and drawn from there: what is lost between two levels is lost by the estimates at the levels between.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from running import launch
from torch import Tensor

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.diffusion.randomness import Stream, Streams
from gravlensdiffusion.diffusion.sampler import trajectory
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.metrics.detail import measure_detail
from gravlensdiffusion.model.build import build_sampler

SEED = 5
BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    model: str = "lens64"
    """Name or folder of the model."""
    data: Path
    """Simulated images with noise-free twins, of the model's size and parameters."""
    num: int = 192
    """Images of each class."""
    errors: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
    """Noise-to-signal ratios at which the error is measured."""
    levels: tuple[float, ...] = (0.2, 0.4, 0.8, 1.6, 3.2)
    """Noise-to-signal ratios from which images are drawn again."""
    label: str = "cdm"
    """Class of the images that are drawn again."""
    steps: int | None = None
    """Steps of a whole draw; None for the model's own number."""
    threads: int = 1
    """Threads of the processor."""


def main(options: Options) -> None:
    """Measure and print."""
    torch.set_num_threads(options.threads)
    generator = LensGenerator.from_pretrained(options.model)
    names = generator.config.class_names
    print(f"| noise | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    sets = {name: read(generator, options, name) for name in names}
    schedule = generator.model.denoiser.schedule
    highest = float(torch.exp(-0.5 * schedule.log_snr(torch.ones(1, dtype=torch.float64))))
    for ratio in options.errors:
        if ratio <= highest:
            cells = [f"{error(generator, *each, ratio):.4f}" for each in sets.values()]
            print(f"| {ratio:g} | {' | '.join(cells)} |", flush=True)
    x, condition = sets[options.label]
    print(
        f"\n| {options.label}, drawn from | pits | bright points | fine structure | brightest pixel |"
    )
    print("|---|---|---|---|---|")
    print(row("not drawn", generator.to_flux(x)), flush=True)
    for ratio in (*options.levels, highest):
        flux = generator.to_flux(drawn(generator, x, condition, ratio, options.steps))
        print(row(f"{ratio:g}", np.maximum(flux, 0)), flush=True)


def read(generator: LensGenerator, options: Options, name: str) -> tuple[Tensor, Condition]:
    """Return images of a class in model space, and what they are."""
    source = open_set(options.data)
    rows = np.flatnonzero(source.labels == source.header.class_names.index(name))[: options.num]
    known = generator.config.parameters
    parameters = np.stack([source.parameters[each.name][rows] for each in known], axis=1)
    label = torch.full((len(rows),), generator.config.class_names.index(name))
    flux = torch.from_numpy(source.read_noise_free(rows))
    condition = Condition(label=label, parameters=torch.from_numpy(parameters))
    return generator.model.transform(flux), condition


def noised(generator: LensGenerator, x: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    """Return images with noise of a ratio to their scale, and the time of that level."""
    schedule = generator.model.denoiser.schedule
    t = schedule.t_from_log_snr(torch.tensor(-2 * np.log(ratio), dtype=torch.float64))
    alpha, sigma = schedule(t)
    eps = Streams(SEED, range(len(x))).normal(Stream.PRIOR, tuple(x.shape[1:]))
    return (alpha * x + sigma * eps).float(), t


@torch.inference_mode()
def error(generator: LensGenerator, x: Tensor, condition: Condition, ratio: float) -> float:
    """Return the root mean square error of the estimates from noised images [model units]."""
    x_t, t = noised(generator, x, ratio)
    squares = []
    for k in range(0, len(x), BATCH):
        rows = slice(k, k + BATCH)
        x_hat = generator.model.denoiser(x_t[rows], t, condition[rows])
        squares.append((x_hat - x[rows]).square().mean(dim=(1, 2, 3)))
    return float(torch.cat(squares).mean().sqrt())


@torch.inference_mode()
def drawn(
    generator: LensGenerator, x: Tensor, condition: Condition, ratio: float, steps: int | None
) -> Tensor:
    """Return images that are drawn from the noised ones, by the steps below their level."""
    config, denoiser = generator.config, generator.model.sampled
    solver = build_sampler(config.sampling.sampler, config)
    x_t, t = noised(generator, x, ratio)
    times = solver.times(denoiser.schedule, steps or config.sampling.num_steps)
    times = torch.cat([t[None], times[times < t - 1e-9]])
    finished = []
    for k in range(0, len(x), BATCH):
        rows = slice(k, k + BATCH)
        for _, last, _ in trajectory(denoiser, solver, x_t[rows], times, condition[rows]):
            part = last
        finished.append(part)
    return torch.cat(finished)


def row(name: str, flux: NDArray[np.float32]) -> str:
    """Return a row of the second table, of images of shape ``(N, 1, H, W)``."""
    images = flux[:, 0]
    found = measure_detail(images)
    pits, bright = found["pits"], found["bright_points"].mean()
    fine = 1e4 * np.nanmedian(found["fine_structure_arc"])
    error = pits.std() / np.sqrt(len(pits))
    peak = images.max(axis=(1, 2)).mean()
    return (
        f"| {name} | {pits.mean():.2f} ± {error:.2f} | {bright:.2f} | {fine:.2f}e-4 | {peak:.4g} |"
    )


if __name__ == "__main__":
    launch(main, Options, __doc__)

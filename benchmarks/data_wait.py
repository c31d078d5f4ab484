r"""Whether training waits for its images: the share of a step's time, and where a batch comes from.

    python benchmarks/data_wait.py --presets lens28,lens64,lens150 --threads 2
    python benchmarks/data_wait.py --presets lens150 --data data/lenses.h5 --device cuda

Steps are those of `gravlens train`, timed from one to the next; waiting is the time until a step
has its batch. Without `--data` a small set is simulated for each preset.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from running import launch, read_numbers

from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.diffusion.randomness import Stream, Streams
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.parallel import build_accelerator
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.presets.training import PRESETS
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.simulation.generate import select, set_header
from gravlensdiffusion.simulation.simulated_set import simulate
from gravlensdiffusion.store.writer import write_store
from gravlensdiffusion.training.batches import Batch, positions
from gravlensdiffusion.training.diffusion import DiffusionTraining

WARM_UP = 3
"""Steps that do not count: memory is taken, kernels are chosen."""
NUM_DRAWN = 10
"""Batches that the parts of drawing one are timed with."""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    presets: str = "lens28,lens64,lens150"
    """Training presets, separated by commas."""
    data: Path | None = None
    """Training images that all presets can be trained on; simulated where it is left out."""
    prefetch: str = "0,1,2"
    """Batches that are assembled ahead, separated by commas: one row for each."""
    steps: int = 30
    """Steps of each row."""
    batch_size: int | None = None
    """Images per step; the preset's own by default."""
    num: int = 256
    """Images of a set that is simulated."""
    threads: int = 1
    """Threads of torch."""
    device: str = "cpu"
    """cpu, cuda or auto."""
    precision: str | None = None
    """fp32 or bf16; the preset's own by default."""
    compile: bool = False
    """Compile the network."""


def main(options: Options) -> None:
    """Measure and print two tables."""
    torch.set_num_threads(options.threads)
    lines = ["| preset | prefetch | ms per step | of it waiting | share |", "|---|---|---|---|---|"]
    parts = [
        "| preset | ms per batch | reading | noise | other random numbers |",
        "|---|---|---|---|---|",
    ]
    for name in options.presets.split(","):
        if name not in PRESETS:
            raise GravLensError(f"unknown preset '{name}'; choose from {', '.join(PRESETS)}")
        with tempfile.TemporaryDirectory() as folder:
            config = recipe(name, options)
            source = open_source(config, options, Path(folder))
            for prefetch in read_numbers(options.prefetch, "--prefetch", int):
                trainer = begin(replace(config, prefetch=prefetch), source, Path(folder), options)
                step, waiting = waited(trainer, options.steps)
                lines.append(
                    f"| {name} | {prefetch} | {1000 * step:.1f} | {1000 * waiting:.2f} ms "
                    f"| {100 * waiting / step:.2f}% |"
                )
            parts.append(f"| {name} | {' | '.join(f'{1000 * s:.2f}' for s in drawing(trainer))} |")
    print(f"{options.threads} threads of torch, {options.device}")
    print("\n".join(lines))
    print("\nWhere the time of assembling a batch goes, in one thread:")
    print("\n".join(parts))


def recipe(name: str, options: Options) -> TrainingConfig:
    """Return the recipe of a preset as long as is needed, without grids on the way."""
    config = replace(PRESETS[name](), sample_images=0)
    for field in ("batch_size", "precision"):
        if getattr(options, field) is not None:
            config = replace(config, **{field: getattr(options, field)})
    total = (options.steps + WARM_UP + 8) * config.batch_size
    return replace(config, total_images=total, compile=options.compile)


def open_source(config: TrainingConfig, options: Options, folder: Path) -> LensSet:
    """Open the training images, or simulate some."""
    if options.data is not None:
        return open_set(options.data)
    is_split = config.noise == "split"
    simulation = select(
        simulation_preset("deeplense"),
        size=config.size,
        noise_free=is_split,
        flux_unit="e-/s" if is_split else None,
    )
    records = simulate(simulation, options.num, seed=0).records()
    path = folder / "lenses.h5"
    write_store(path, records, set_header(simulation, 0), num=options.num)
    return open_set(path)


def begin(
    config: TrainingConfig, source: LensSet, folder: Path, options: Options
) -> DiffusionTraining:
    """Return a run that is about to take its first step."""
    accelerator = build_accelerator(options.device, config.precision)
    run = folder / f"run-{config.prefetch}"
    return DiffusionTraining(config, source, run, accelerator, None, writes=True, tell=print)


def waited(trainer: DiffusionTraining, num_steps: int) -> tuple[float, float]:
    """Return the mean time of a step, and how long it waited for its batch [s]."""
    take = trainer.batches.take
    waits: list[float] = []

    def timed_take(first: int) -> Batch:
        started = time.perf_counter()
        batch = take(first)
        waits.append(time.perf_counter() - started)
        return batch

    trainer.batches.take = timed_take  # type: ignore[method-assign]
    for _ in range(WARM_UP):
        trainer.step()
    waits.clear()
    started = time.perf_counter()
    for _ in range(num_steps):
        trainer.step()
    whole = time.perf_counter() - started
    trainer.batches.close()
    return whole / num_steps, sum(waits) / num_steps


def drawing(trainer: DiffusionTraining) -> tuple[float, float, float, float]:
    """Return the time of assembling a batch, of reading its images, and of its noise [s].

    The last is that of noise levels and of what hides conditions and turns images.
    """
    data, config = trainer.data, trainer.config
    counts = np.arange(config.batch_size)
    where = positions(config.seed, counts, len(data))
    streams = Streams(config.seed, counts.tolist())
    shape = data.images.shape[1:]
    whole, reading, noise = (
        timed(work)
        for work in (
            lambda: trainer.load(0),
            lambda: data.images[where],
            lambda: streams.normal(Stream.TRAIN_NOISE, shape),
        )
    )
    return whole, reading, noise, max(0.0, whole - reading - noise)


def timed(work: Callable[[], object]) -> float:
    """Return the mean time of some repetitions [s]."""
    work()
    started = time.perf_counter()
    for _ in range(NUM_DRAWN):
        work()
    return (time.perf_counter() - started) / NUM_DRAWN


if __name__ == "__main__":
    launch(main, Options, __doc__)

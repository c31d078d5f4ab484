r"""A set as a user might have it: lenses that the bundled models know, and a class that none does.

    python benchmarks/own_set.py --num 300 --seed 900 --out own.h5

Half of the images are lenses without substructure, ``no_sub``; the other half, ``no_lens``, are the
same source galaxies with nothing in front of them, which look nothing like a lens.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from running import launch

from gravlensdiffusion.config.simulation import LensClass, SimulationConfig
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.simulation.generate import select, set_header
from gravlensdiffusion.simulation.simulated_set import simulate
from gravlensdiffusion.store.writer import write_store


@dataclass(frozen=True)
class Options:
    """What to make."""

    out: Path
    """The set, an .h5 file."""
    num: int = 300
    """Number of images."""
    seed: int = 900
    """Seed of all images."""
    size: int = 28
    """Pixels a side."""
    only: str | None = None
    """Make one class alone: no_sub or no_lens."""


def population(size: int, only: str | None) -> SimulationConfig:
    """Return the `deeplense` population with one known and one new class."""
    classes = (LensClass(name="no_sub"), LensClass(name="no_lens", lensed=False))
    config = replace(simulation_preset("deeplense"), classes=classes, mix=(1.0, 1.0))
    return select(config, size=size, classes=None if only is None else (only,))


def main(options: Options) -> None:
    """Simulate the set and write it."""
    config = population(options.size, options.only)
    header = set_header(config, options.seed)
    records = simulate(config, options.num, options.seed).records()
    write_store(options.out, records, header, num=options.num)
    print(f"wrote {options.num:,} images to {options.out}")


if __name__ == "__main__":
    launch(main, Options, __doc__)

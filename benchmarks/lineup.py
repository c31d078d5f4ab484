r"""A line-up: real, simulated and generated lenses in one grid, shuffled, and the answer.

    python benchmarks/lineup.py --real deeplense_samples_36.npz --model lens150 \
        --out docs/images/lineup.png

The simulations are those of the preset `deeplense`. All images are scaled to their own peak and
shown on one grey scale. The answer is printed, row by row.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from running import launch

from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.reports.mosaics import save_grid
from gravlensdiffusion.simulation.simulated_set import simulate

NUM_COLUMNS = 6


@dataclass(frozen=True)
class Options:
    """What to show."""

    real: Path
    """Real images, peak-scaled, of the size of the model."""
    out: Path
    """The picture to write."""
    model: str = "lens150"
    """A bundled model, a run or a checkpoint."""
    num: int = 6
    """Images of each kind."""
    seed: int = 0
    """Seed of the choice, the images and their order."""


def main(options: Options) -> None:
    """Draw the grid and print which is which."""
    rng = np.random.default_rng(options.seed)
    source = open_set(options.real)
    chosen = np.sort(rng.choice(len(source), options.num, replace=False))
    config = simulation_preset("deeplense")
    simulated = [record.image for record in simulate(config, options.num, options.seed).records()]
    generator = LensGenerator.from_pretrained(options.model, device="cpu")
    generated = generator.sample(options.num, seed=options.seed, flux_unit="peak").images
    kinds: dict[str, NDArray[np.float32]] = {
        "real": source.read(chosen),
        "simulated": np.stack(simulated),
        "generated": generated,
    }
    images = np.concatenate(list(kinds.values()))
    names = np.repeat(list(kinds), options.num)
    order = rng.permutation(len(images))
    save_grid(images[order], options.out, num_columns=NUM_COLUMNS, limits=(0.0, 0.6))
    for start in range(0, len(order), NUM_COLUMNS):
        print(", ".join(names[order[start : start + NUM_COLUMNS]]))


if __name__ == "__main__":
    launch(main, Options, __doc__)

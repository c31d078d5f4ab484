"""Simple statistics of generated images beside those of fresh simulations of the same preset.

Two sets of simulations, of other seeds than the training set, show how far such numbers scatter by
themselves.

    python benchmarks/moments.py --model lens28 --num 1000 --preset deeplense
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray

from gravlensdiffusion.pipeline import LensGenerator
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.simulation.generate import select, simulate

CORNER = 4
"""Side of the corners that are taken for sky [pixel]."""


@dataclass(frozen=True)
class Options:
    """What to compare."""

    model: str = "lens28"
    """A bundled model, a run or a checkpoint."""
    num: int = 1000
    """Images of each set."""
    preset: str = "deeplense"
    """Simulation preset that the model was trained on."""
    seed: int = 1
    """Seed of the samples; the simulations take the two after it."""
    jobs: int = 2
    """Processes for the simulation."""
    json: Path | None = None
    """Where to write the figures, too."""


def statistics(images: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Return statistics of each image.

    Args:
        images: Shape ``(N, 1, H, W)``.

    Returns:
        By name, shape ``(N,)``: mean, standard deviation and maximum of the pixels; flux-weighted
        mean distance from the middle and quadrupole along x, in units of the field, above 0.05 of
        the flux unit; level and rms of the sky in the first corner.
    """
    pixels = np.asarray(images[:, 0], dtype=np.float64)
    size = pixels.shape[-1]
    y, x = (np.mgrid[:size, :size] - (size - 1) / 2) / size
    weight = np.clip(pixels - 0.05, 0, None)
    total = weight.sum((1, 2)) + 1e-9
    corner = pixels[:, :CORNER, :CORNER]
    return {
        "pixel mean": pixels.mean((1, 2)),
        "pixel std": pixels.std((1, 2)),
        "maximum": pixels.max((1, 2)),
        "radius": (weight * np.hypot(x, y)).sum((1, 2)) / total,
        "quadrupole": (weight * (x**2 - y**2)).sum((1, 2)) / total,
        "sky level": corner.mean((1, 2)),
        "sky rms": corner.std((1, 2)),
    }


def main(options: Options) -> None:
    """Draw, simulate, compare, print a table."""
    generator = LensGenerator.from_pretrained(options.model)
    config = select(simulation_preset(options.preset), size=generator.config.image_size)
    sets = {"generated": generator.sample(options.num, seed=options.seed).images}
    for k, name in enumerate(("simulated", "simulated again"), start=1):
        records = simulate(config, options.num, options.seed + k, num_jobs=options.jobs)
        sets[name] = np.stack([record.image for record in records])
    figures = {
        name: {key: (values.mean(), values.std()) for key, values in statistics(images).items()}
        for name, images in sets.items()
    }
    print(f"{options.num} images of each; mean and standard deviation over the images")
    print("| statistic | " + " | ".join(figures) + " |")
    print("|---" * (len(figures) + 1) + "|")
    for key in figures["generated"]:
        cells = (f"{mean:.5f} ± {std:.5f}" for mean, std in (f[key] for f in figures.values()))
        print(f"| {key} | " + " | ".join(cells) + " |")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))

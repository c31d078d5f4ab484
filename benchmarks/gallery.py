r"""The pictures of the gallery: what each model draws of each class, and what each preset simulates.

    python benchmarks/gallery.py --out docs/images/gallery

A row holds one class, its images on the grey scale of the picture, asinh of the flux. Of a model,
simulations of the same size stand below the drawn images of each class.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from running import launch

from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.model.folders import bundled_models
from gravlensdiffusion.presets.simulation import SIMULATION_PRESETS, learned_preset
from gravlensdiffusion.reports.mosaics import save_grid
from gravlensdiffusion.simulation.simulated_set import simulate

WIDTH = 900
"""Width of a picture, about [pixels]."""
FLUX_LIMITS = (2.0, 99.7)
"""Percentiles shown black and white."""


@dataclass(frozen=True)
class Options:
    """What to draw."""

    out: Path
    """Folder of the pictures."""
    models: tuple[str, ...] = tuple(bundled_models())
    """Models to draw from."""
    presets: tuple[str, ...] = tuple(SIMULATION_PRESETS)
    """Presets to simulate."""
    seed: int = 1
    """Seed of the images."""


def main(options: Options) -> None:
    """Draw all pictures."""
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.models:
        generator = LensGenerator.from_pretrained(name, device="cpu")
        classes, size = generator.config.class_names, generator.config.image_size
        columns = max(4, WIDTH // max(size, 56))
        columns = min(columns, 12)
        rows = []
        for label in classes:
            rows.append(generator.sample(columns, label=label, seed=options.seed).images)
            lenses = simulate(
                learned_preset(generator.config.training_data) or "deeplense",
                columns,
                options.seed,
                size=size,
                classes=(label,),
                flux_unit=generator.config.flux_unit,
            )
            rows.append(lenses.read(range(columns)))
        save(np.concatenate(rows), options.out / f"{name}.png", columns)
    for name in options.presets:
        lenses = simulate(name, 1, options.seed)
        classes = lenses.header.class_names
        columns = 6
        rows = [
            simulate(name, columns, options.seed, classes=(label,)).read(range(columns))
            for label in classes
        ]
        save(np.concatenate(rows), options.out / f"preset_{name}.png", columns)


def save(images: NDArray[np.float32], path: Path, num_columns: int) -> None:
    """Save images on one scale that shows faint arcs."""
    black, white = (float(v) for v in np.percentile(images, FLUX_LIMITS))
    save_grid(images, path, num_columns=num_columns, stretch="asinh", limits=(black, white))
    print(f"wrote {path}")


if __name__ == "__main__":
    launch(main, Options, __doc__)

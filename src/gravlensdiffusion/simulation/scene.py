"""What an image without a lens shows."""

from collections.abc import Mapping, Sequence

import numpy as np

from gravlensdiffusion.config.simulation import Scene
from gravlensdiffusion.simulation.population import COMPANION, LENS_LIGHT, draw_light, draw_source


def draw_scene(
    scenes: Sequence[Scene], lens: Mapping[str, float], rng: np.random.Generator
) -> dict[str, float]:
    """Draw one of the scenes and its galaxies.

    Args:
        scenes: The scenes to choose from.
        lens: The values that the image's lens would have: its position and, where the scene shows
            a lens galaxy, its light are taken over.
        rng: Source of all random numbers but those.

    Returns:
        The number of the scene and the light of what is in it.
    """
    shares = np.cumsum([scene.weight for scene in scenes])
    number = int(np.searchsorted(shares[:-1] / shares[-1], rng.uniform(), side="right"))
    scene = scenes[number]
    values = {"scene": float(number)}
    if scene.galaxy is not None:
        values |= {name: lens[name] for name in ("lens_x", "lens_y")}
    if scene.galaxy == "lens":
        values |= {name: value for name, value in lens.items() if name.startswith(LENS_LIGHT)}
    elif scene.galaxy is not None:
        values |= draw_light(LENS_LIGHT, scene.galaxy, rng)
    if scene.companion is not None and rng.uniform() < scene.companion_chance:
        values |= draw_source(scene.companion, rng, COMPANION)
    return values

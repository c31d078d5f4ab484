"""Whether a training is long enough, and has seen enough, to draw lenses."""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.training import TrainingConfig

FROM_NOTHING, FROM_A_MODEL = 100_000, 5_000
"""Images seen before which a model draws noise or blobs, by what it starts from."""
STEPS_FROM_NOTHING, STEPS_FROM_A_MODEL = 1_500, 150
"""Steps likewise."""
ENOUGH_DIFFERENT = 1_000
"""Different images below which a model that starts from nothing comes to repeat them."""


def count_different(batches: Iterable[NDArray[np.float32]]) -> int:
    """Return how many of the images, ``(B, C, H, W)`` a batch, are not bit-equal to another."""
    return len({hashlib.blake2b(image.tobytes()).digest() for batch in batches for image in batch})


def doubts(
    config: TrainingConfig, total_images: int, num_different: int, *, starts_from_model: bool
) -> tuple[str, ...]:
    """Say what speaks against lenses at the end of a training, one line each.

    Args:
        config: The recipe.
        total_images: Images seen when it ends.
        num_different: Different images in the set.
        starts_from_model: Whether it starts from the weights of another model.
    """
    images, steps = FROM_NOTHING, STEPS_FROM_NOTHING
    if starts_from_model:
        images, steps = FROM_A_MODEL, STEPS_FROM_A_MODEL
    # While the rate rises little is learned.
    needed = max(images, 2 * config.optimiser.warmup_images, steps * config.batch_size)
    advice = (
        "" if starts_from_model else ", or start from a trained model (init, lens28 say, no preset)"
    )
    found = []
    if total_images < needed:
        more = "" if config.total_images else f" ({-(-needed // num_different):,} epochs)"
        found.append(
            f"{total_images:,} images seen are too few to draw more than noise or blobs: give it "
            f"{needed:,} or more{more}{advice}"
        )
    if num_different < ENOUGH_DIFFERENT and not starts_from_model:
        noun = "image is" if num_different == 1 else "images are"
        found.append(
            f"{num_different:,} different {noun} too few for a model that starts from nothing, "
            f"which comes to repeat them: take {ENOUGH_DIFFERENT:,} or more{advice}"
        )
    return tuple(found)

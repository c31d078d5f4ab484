"""Whether a training is long enough, and has seen enough, to draw lenses."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.sets.copies import group, sign

FROM_NOTHING, FROM_A_MODEL = 100_000, 5_000
"""Images seen before which a model draws noise or blobs, by what it starts from."""
STEPS_FROM_NOTHING, STEPS_FROM_A_MODEL = 1_500, 150
"""Steps likewise."""
ENOUGH_DIFFERENT = 1_000
"""Different images below which a model that starts from nothing comes to repeat them."""
MOST_PASSES = 400
"""Times that each image may be seen where a model is adapted and nothing is held out."""


def count_different(batches: Iterable[NDArray[np.float32]]) -> int:
    """Return how many of the images, ``(B, C, H, W)`` a batch, are no copy of another."""
    return group([sign(batches)]).num_different


def doubt(
    config: TrainingConfig, total_images: int, num_different: int, *, starts_from_model: bool
) -> str:
    """Say what speaks against lenses at the end of a training; an empty text for nothing.

    Args:
        config: The recipe.
        total_images: Images seen when it ends.
        num_different: Different images in the set.
        starts_from_model: Whether it starts from the weights of another model.
    """
    images, steps, advice = FROM_NOTHING, STEPS_FROM_NOTHING, ", or adapt a trained model by `init`"
    if starts_from_model:
        images, steps, advice = FROM_A_MODEL, STEPS_FROM_A_MODEL, ""
    # While the rate rises little is learned.
    needed = max(images, 2 * config.optimiser.warmup_images, steps * config.batch_size)
    epochs = -(-needed // num_different)
    is_short, passes = total_images < needed, total_images / num_different
    noise = f"{total_images:,} images seen are too few to draw more than noise or blobs"
    if num_different < ENOUGH_DIFFERENT and not starts_from_model:
        why = noise if is_short else "it comes to repeat them"
        return (
            f"{num_different:,} different images are too few for a model that starts from nothing: "
            f"{why}; take {ENOUGH_DIFFERENT:,} or more{advice}"
        )
    if is_short:
        more = "" if config.total_images else f" (`epochs` {epochs:,})"
        return f"{noise}: give it {needed:,} or more{more}{advice}"
    if passes > MOST_PASSES and starts_from_model and not config.early_stopping.held_out:
        return (
            f"{num_different:,} different images are seen {passes:,.0f} times each, and none is held "
            f"out to end the training in time: it comes to repeat them; `epochs` {epochs:,} is "
            "enough to draw lenses"
        )
    return ""

"""What the measurements of this package ask of images, and how they go through many of them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.sky import MIN_SIZE, Sky, measure_sky

CHUNK_PIXELS = 1_000_000
"""Pixels that are measured at once: few enough to stay in the cache."""


def chunks(images: NDArray[np.floating]) -> Iterator[slice]:
    """Yield slices of the first axis that hold about `CHUNK_PIXELS` each.

    Raises:
        GravLensError: If the images are not square or too small to hold any sky.
    """
    if images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise GravLensError(f"images must have the shape (N, H, H), got {images.shape}")
    if images.shape[1] < MIN_SIZE:
        raise GravLensError(
            f"images must have at least {MIN_SIZE} pixels a side to be measured, "
            f"got {images.shape[1]}"
        )
    step = max(1, CHUNK_PIXELS // images.shape[1] ** 2)
    for start in range(0, len(images), step):
        yield slice(start, min(start + step, len(images)))


def finite(images: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the images as float32, those that are not finite set to zero, and which are finite.

    Returns:
        Images of shape ``(N, H, H)`` and the flags of shape ``(N,)``.
    """
    single = np.asarray(images, dtype=np.float32)
    good = np.asarray(np.isfinite(single).all((1, 2)))
    if good.all():
        return single, good
    return np.where(good[:, None, None], single, np.float32(0)), good


def subtract_sky(images: NDArray[np.float32]) -> tuple[NDArray[np.float32], Sky]:
    """Return the images without the level of their sky, and the sky."""
    sky = measure_sky(images)
    return images - sky.level[:, None, None].astype(np.float32), sky

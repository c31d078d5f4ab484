"""What an image is, by its pixels alone: a lens, or a mask, a PSF or a map beside one."""

import numpy as np
from numpy.typing import NDArray

MAX_FLAGS = 32
"""Different whole values that a mask has at most."""
_MIN_COMMON = 0.4
"""Share of the pixels that a mask has at its most common value."""
_MAX_SPREAD = 0.3
"""Width of the middle two thirds of a flat map's pixels, over their median."""
_SUMS = (0.9, 1.1)
_MAX_OUTSIDE = 0.4
"""Share of the light of a PSF that lies farther from the middle than half-way to the edge."""


def looks_like(pixels: NDArray[np.generic]) -> str:
    """Return ``mask``, ``PSF`` or ``map``, or an empty string for an image.

    A mask has few whole values, a PSF is compact and centred and sums to 1, a map (of noise, weights
    or exposure) is positive and flat.
    """
    values = pixels.astype(np.float64)
    finite = values[np.isfinite(values)]
    if finite.size == 0 or _is_mask(finite):
        return "mask"
    if _is_psf(np.where(np.isfinite(values), values, 0)):
        return "PSF"
    low, middle, high = np.quantile(finite, (1 / 6, 0.5, 5 / 6))
    is_flat = finite.min() >= 0 and high - low <= _MAX_SPREAD * middle
    return "map" if is_flat else ""


def _is_mask(values: NDArray[np.float64]) -> bool:
    if not np.array_equal(values, np.rint(values)):
        return False
    found, counts = np.unique(values, return_counts=True)
    return len(found) <= 2 or (
        len(found) <= MAX_FLAGS and counts.max() >= _MIN_COMMON * values.size
    )


def _is_psf(values: NDArray[np.float64]) -> bool:
    total, high = values.sum(), values.max()
    if not _SUMS[0] <= total <= _SUMS[1] or values.min() < -0.01 * high:
        return False
    height, width = values.shape
    y, x = np.indices(values.shape)
    radius = np.hypot((y - (height - 1) / 2) / height, (x - (width - 1) / 2) / width)
    is_centred = radius.flat[values.argmax()] <= 0.1
    return bool(is_centred and values[radius > 0.25].sum() <= _MAX_OUTSIDE * total)

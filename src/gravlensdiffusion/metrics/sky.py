"""The sky of an image, from its four corners: level, noise, and whether the noise is white.

The corners are the pixels outside of `CORNER_RADIUS` times the inscribed circle. In each of them a
plane is subtracted, so that the wings of a lens's light do not count as noise, and pixels that
stand out (an arc, a neighbour, a hot pixel) are clipped, as are whole corners. Which pixels belong to the corners does
not depend on their values, so that pure noise is measured without bias.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIN_SIZE = 16
"""Smallest height and width that has enough sky in its corners [pixel]."""
CORNER_RADIUS = 1.1
"""Where the corners begin, in units of half the image's width.

In noise-free simulations of the preset `deeplense` at 64 pixels, light left in the corners raises
the rms by 0.1% on average; if they began at 1.0, by 13%.
"""
CLIP = 4.0
"""Pixels further than this from the plane, in units of the rms, are not sky."""
CORNER_CLIP = 5.0
"""A corner whose rms is higher than the second smallest by so many of its errors is left out."""
LEAST_SEEN = 0.25
"""Share of a corner that must be seen for it to count."""
NUM_CLIPS = 3
"""How often pixels are clipped and the rms is taken anew."""
RELATIVE_PRECISION = 1e-6
"""Noise below this fraction of the largest pixel is rounding, and counts as none."""


class Sky(NamedTuple):
    """What the corners of N images hold, shape ``(N,)`` each."""

    level: Floats  # mean [flux]
    rms: Floats  # standard deviation of the noise [flux]
    whiteness: Floats  # correlation of pixels that share an edge: 0 for white noise, NaN for none
    rotated_difference: Floats  # mean absolute difference of opposite pixels [flux]


class _Corners(NamedTuple):
    """The corners of images of one size, n pixels in row-major order."""

    pixels: NDArray[np.intp]  # indices into the flattened image, shape (n,)
    basis: Floats  # orthonormal planes, three for each corner, shape (n, 12)
    first: NDArray[np.intp]  # one of each pair that shares an edge: index into `pixels`, shape (p,)
    second: NDArray[np.intp]  # the other pixel of the pair
    correlation: float  # what subtracting the planes does to the mean correlation of the pairs


def measure_sky(images: NDArray[np.floating], masked: Mask | None = None) -> Sky:
    """Measure the sky in the corners of each image.

    The rms is that of the pixels within `CLIP` times the rms of their plane, corrected for the
    planes' three degrees of freedom and for the tails of the normal distribution that are cut. To
    begin with, the rms is the second smallest of the four corners', and corners that are noisier by
    more than chance are left out: two spoilt corners do no harm. Noise that is correlated over
    several pixels loses some of its variance to the planes.

    Args:
        images: Shape ``(N, H, H)`` [flux], finite.
        masked: Pixels that do not count, shape ``(N, H, H)``; None where all do.
    """
    corners = _corners(images.shape[-1])
    values = images.reshape(len(images), -1)[:, corners.pixels].astype(np.float64)
    seen = np.ones(values.shape, bool)
    if masked is not None:
        seen = ~masked.reshape(len(images), -1)[:, corners.pixels]
        values = _on_planes(values, seen, corners)
    largest = np.abs(images).max((1, 2)).astype(np.float64)
    residuals = values - (values @ corners.basis) @ corners.basis.T
    rms, kept = _clipped_rms(residuals, corners, seen)
    num_kept = np.maximum(kept.sum(1), 1)
    level = (values * kept).sum(1) / num_kept
    rms = np.where(rms > RELATIVE_PRECISION * largest, rms, 0.0)
    return Sky(
        level, rms, _whiteness(residuals * kept, kept, corners, rms), _rotated(values, kept, rms)
    )


def _on_planes(values: Floats, seen: Mask, corners: _Corners) -> Floats:
    """Return corners whose unseen pixels lie on the planes through the others, ``(N, n)``."""
    found = values.copy()
    for row in np.flatnonzero(~seen.all(1)):
        own = seen[row]
        planes, *_ = np.linalg.lstsq(corners.basis[own], values[row, own], rcond=None)
        found[row, ~own] = corners.basis[~own] @ planes
    return found


def _clipped_rms(residuals: Floats, corners: _Corners, seen: Mask) -> tuple[Floats, Mask]:
    """Return the rms, shape ``(N,)``, and which pixels it is taken from, ``(N, n)``.

    A corner of which less than `LEAST_SEEN` is seen is left out.
    """
    freedom = 1 - corners.basis.shape[1] / len(corners.pixels)
    members = [corners.basis[:, 3 * corner] != 0 for corner in range(4)]
    counts = np.stack([seen[:, own].sum(1) for own in members], axis=1)
    squares = np.stack([np.square(residuals[:, own]).sum(1) for own in members], axis=1)
    each = np.sqrt(squares / np.maximum(counts, 1) / freedom)
    sizes = np.array([own.sum() for own in members])
    each = np.where(counts < LEAST_SEEN * sizes, np.inf, each)
    rms = np.sort(each, axis=1)[:, 1]
    # With a single corner there is no second.
    rms = np.where(np.isfinite(rms), rms, np.where(np.isfinite(each), each, 0).max(1))
    spread = 1 / np.sqrt(2 * freedom * len(corners.pixels) / 4)
    quiet = each <= (1 + CORNER_CLIP * spread) * rms[:, None]
    of_quiet_corner = quiet[:, np.argmax(members, axis=0)] & seen
    kept = of_quiet_corner
    for _ in range(NUM_CLIPS):
        kept = of_quiet_corner & (np.abs(residuals) <= CLIP * rms[:, None])
        squares = (np.square(residuals) * kept).sum(1) / np.maximum(kept.sum(1), 1)
        rms = np.sqrt(squares / (freedom * _clipped_variance()))
    # The root of an unbiased variance is a little too small: 0.3% at 28 pixels.
    return rms * (1 + 1 / (4 * freedom * np.maximum(kept.sum(1), 1))), kept


def _clipped_variance() -> float:
    """Return the variance of a standard normal distribution cut at `CLIP` on both sides."""
    density = np.exp(-(CLIP**2) / 2) / np.sqrt(2 * np.pi)
    return float(1 - 2 * CLIP * density / (2 * ndtr(CLIP) - 1))


def _whiteness(residuals: Floats, kept: Mask, corners: _Corners, rms: Floats) -> Floats:
    """Return the correlation of neighbours; `residuals` are zero where they are not kept."""
    products = (residuals[:, corners.first] * residuals[:, corners.second]).sum(1)
    num_pairs = (kept[:, corners.first] & kept[:, corners.second]).sum(1)
    variance = np.where(rms > 0, rms, np.nan) ** 2
    return products / (np.maximum(num_pairs, 1) * variance) - corners.correlation


def _rotated(values: Floats, kept: Mask, rms: Floats) -> Floats:
    """Return the mean absolute difference of opposite pixels, of which both are kept."""
    # In row-major order the opposite of the first pixel is the last.
    both = kept & kept[:, ::-1]
    num = both.sum(1)
    mean = (np.abs(values - values[:, ::-1]) * both).sum(1) / np.maximum(num, 1)
    return np.where(num > 0, mean, 2 * rms / np.sqrt(np.pi))


@lru_cache(maxsize=8)
def _corners(size: int) -> _Corners:
    """Return the corners of images of `size` pixels a side."""
    axis = (np.arange(size) - (size - 1) / 2) / (size / 2)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    inside = np.hypot(x, y) > CORNER_RADIUS
    pixels = np.flatnonzero(inside)
    basis = np.zeros((len(pixels), 12))
    for corner, (sign_y, sign_x) in enumerate([(-1, -1), (-1, 1), (1, -1), (1, 1)]):
        own = (sign_y * y[inside] > 0) & (sign_x * x[inside] > 0)
        planes = np.stack([np.ones(own.sum()), x[inside][own], y[inside][own]], axis=1)
        basis[own, 3 * corner : 3 * corner + 3] = np.linalg.qr(planes)[0]
    number = np.full((size, size), -1)
    number[inside] = np.arange(len(pixels))
    first = np.concatenate([number[:, :-1].ravel(), number[:-1].ravel()])
    second = np.concatenate([number[:, 1:].ravel(), number[1:].ravel()])
    pairs = (first >= 0) & (second >= 0)
    first, second = first[pairs], second[pairs]
    correlation = -float((basis[first] * basis[second]).sum(1).mean())
    return _Corners(pixels, basis, first, second, correlation)

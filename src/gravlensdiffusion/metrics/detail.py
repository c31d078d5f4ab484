"""What the eye sees in noise-free images through an unsharp mask: seams, points, fine structure.

The patches of a network show as a grid, dark-matter subhaloes as compact pits on the arc. Noise hides
all of them, so the functions are for noise-free images, or for noise far below what they look for.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label, maximum_filter, median_filter

from gravlensdiffusion.errors import GravLensError

Floats = NDArray[np.float64]

PERIODS = range(2, 9)
"""Distances from one seam to the next that are looked for [pixel]."""
FAINT = 0.1
"""Flux below which steps count for less, as a share of the brightest pixel."""
SMOOTHEST = 1e-6
"""Third difference that counts as none."""
ARC_FROM = 0.15
"""Flux above which a pixel belongs to the arc, as a share of the brightest pixel."""
DEPTH = 0.06
"""How far a point lies from what surrounds it, as a share of the brightest pixel."""
PIT_FIELD = 7
"""Side of the square whose median a point is held against [pixel]."""


def roughness(images: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Return how rough images are in each row and in each column.

    The mean logarithm of the third difference, which lies between two pixels as a seam does, of the
    logarithm of the flux over the brightest pixel plus 0.1: so that the arc, the sky and each image
    count alike.

    Args:
        images: Noise-free images, shape ``(N, H, W)`` [any unit].

    Returns:
        By row, shape ``(N, H - 3)``, and by column, shape ``(N, W - 3)``.

    Raises:
        GravLensError: If the images are smaller than four pixels a side or hold nothing.
    """
    if min(images.shape[1:]) < 4 or not images.size:
        raise GravLensError("seams are looked for in images of at least 4 pixels a side")
    flux = np.maximum(images, 0).astype(np.float64)
    peak = flux.max(axis=(1, 2), keepdims=True)
    stretched = np.log(flux / np.where(peak > 0, peak, 1) + FAINT)
    by_row, by_column = (
        np.log(np.abs(np.diff(stretched, 3, axis=axis)) + SMOOTHEST).mean(axis=3 - axis)
        for axis in (1, 2)
    )
    return by_row, by_column


def seams(images: tuple[Floats, Floats], reference: tuple[Floats, Floats]) -> float:
    """Return how much rougher images are at every m-th row or column than between.

    Each row's and column's roughness over that of the reference is taken modulo m; the largest of
    these over their median, and of the values for m from 2 to 8 along both axes the largest.

    Args:
        images: Their `roughness`.
        reference: That of images without a grid, of the same size.

    Returns:
        Nearly one where there is no grid, and larger the more it stands out.
    """
    worst = 1.0
    for one, two in zip(images, reference, strict=True):
        ratio = np.exp(one.mean(axis=0) - two.mean(axis=0))
        for period in PERIODS:
            phases = [part.mean() for k in range(period) if len(part := ratio[k::period])]
            worst = max(worst, float(max(phases) / np.median(phases)))
    return worst


def points(
    images: NDArray[np.floating], depth: float = DEPTH
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.floating]]:
    """Return where the arc has compact points that are darker or brighter than what surrounds them.

    Args:
        images: Noise-free images, shape ``(N, H, W)`` [any unit].
        depth: By how much, as a share of the image's brightest pixel.

    Returns:
        The pixels that lie further than ``depth`` below the median of the 7 x 7 pixels around each,
        those that lie so far above it, and these medians; shape ``(N, H, W)`` each.
    """
    peak = np.maximum(images.max(axis=(1, 2), keepdims=True), 0)
    around = median_filter(images, size=(1, PIT_FIELD, PIT_FIELD), mode="nearest")
    on_arc = maximum_filter(around, size=(1, 3, 3), mode="nearest") > ARC_FROM * peak
    on_arc &= peak > 0
    return (
        (around - images > depth * peak) & on_arc,
        (images - around > depth * peak) & on_arc,
        around,
    )


def count_points(
    images: NDArray[np.floating], depth: float = DEPTH
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the dark and the bright `points` in each image, groups of adjoining pixels.

    Args:
        images: As in `points`.
        depth: Likewise.

    Returns:
        Number of dark ones, the pits, and of bright ones; shape ``(N,)`` each.
    """
    dark, bright = (
        np.array([label(each, np.ones((3, 3)))[1] for each in found], dtype=np.int64)
        for found in points(images, depth)[:2]
    )
    return dark, bright


def fine_power(images: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Return the power above half the Nyquist frequency, on the arc and off it.

    Args:
        images: Noise-free images, shape ``(N, H, W)`` [any unit].

    Returns:
        Mean square of what is left above half the Nyquist frequency, on the arc and off it, in units
        of the square of the brightest pixel; shape ``(N,)`` each. NaN where there are no such
        pixels, or no light.
    """
    peak = images.max(axis=(1, 2), keepdims=True).astype(np.float64)
    flux = images / np.where(peak > 0, peak, np.nan)
    height, width = images.shape[1:]
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    is_fine = np.hypot(rows, columns) > 0.25
    fine = np.fft.irfft2(np.fft.rfft2(flux) * is_fine, s=(height, width))
    arc = flux > ARC_FROM

    def mean(where: NDArray[np.bool_]) -> Floats:
        number = where.sum(axis=(1, 2))
        total = np.where(where, fine**2, 0).sum(axis=(1, 2))
        return np.asarray(total / np.where(number, number, np.nan))

    return mean(arc), mean(~arc)


def negative_share(images: NDArray[np.floating]) -> Floats:
    """Return the share of pixels at zero or below, where light should be, shape ``(N,)``."""
    return np.asarray((images <= 0).mean(axis=(1, 2)))

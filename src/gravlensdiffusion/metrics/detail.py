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
ARC_FROM = 0.15
"""Flux above which a pixel belongs to the arc, as a share of the brightest pixel."""
PIT_FIELD = 7
"""Side of the square whose median a point is held against [pixel]."""


def seams(images: NDArray[np.floating]) -> float:
    """Return how much rougher images are at every m-th row or column than between.

    The mean square of the third difference, which lies between two pixels as a seam does, is taken
    by row and by column modulo m; the largest of these over their median, and of the values for m
    from 2 to 8 along both axes the largest.

    Args:
        images: Noise-free images, shape ``(N, H, W)`` [any unit].

    Returns:
        One where there is no grid, and larger the more it stands out.

    Raises:
        GravLensError: If the images are smaller than four pixels a side or hold nothing.
    """
    if min(images.shape[1:]) < 4 or not images.size:
        raise GravLensError("seams are looked for in images of at least 4 pixels a side")
    worst = 1.0
    for axis in (1, 2):
        rough = np.moveaxis(np.diff(images.astype(np.float64), 3, axis=axis), axis, -1)
        # Each image counts alike, however bright it is.
        each = (rough**2).mean(axis=1)
        profile = (each / np.maximum(each.sum(axis=1, keepdims=True), 1e-300)).mean(axis=0)
        # The light of a lens lies in the middle: only what rises above its neighbours is a seam.
        smooth = np.convolve(np.pad(profile, 8, mode="edge"), np.full(17, 1 / 17), mode="valid")
        ratio = profile / np.maximum(smooth, 1e-300)
        for period in PERIODS:
            phases = [ratio[k::period].mean() for k in range(period)]
            worst = max(worst, float(max(phases) / np.median(phases)))
    return worst


def pits(images: NDArray[np.floating], depth: float = 0.06, dark: bool = True) -> NDArray[np.int64]:
    """Count compact points on the arc that are darker, or brighter, than what surrounds them.

    A point is a group of pixels on the arc that lie further than ``depth`` of the brightest pixel
    from the median of the 7 x 7 pixels around each.

    Args:
        images: Noise-free images, shape ``(N, H, W)`` [any unit].
        depth: How far, as a share of the image's brightest pixel.
        dark: Whether dark ones are counted, or bright ones.

    Returns:
        Number in each image, shape ``(N,)``.
    """
    counts = np.zeros(len(images), dtype=np.int64)
    for k, image in enumerate(images):
        peak = float(image.max())
        if not peak > 0:
            continue
        flux = image / peak
        around = median_filter(flux, size=PIT_FIELD, mode="nearest")
        contrast = around - flux if dark else flux - around
        on_arc = maximum_filter(around, size=3, mode="nearest") > ARC_FROM
        counts[k] = label((contrast > depth) & on_arc, np.ones((3, 3)))[1]
    return counts


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

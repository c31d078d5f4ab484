"""What the eye sees in noise-free images through an unsharp mask: seams, points, fine structure.

The patches of a network show as a grid, dark-matter subhaloes as compact pits on the arc. Noise hides
all of them, so the functions are for noise-free images, or for noise far below what they look for.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label, maximum_filter, median_filter

Floats = NDArray[np.float64]

ROUGHNESS = ("roughness_by_row", "roughness_by_column")
"""What `measure_detail` calls the roughness along each axis."""

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


def measure_detail(images: NDArray[np.floating]) -> dict[str, Floats]:
    """Measure each image, on its own.

    Args:
        images: Noise-free images, shape ``(N, H, W)`` [any unit].

    Returns:
        By name, shape ``(N,)`` each: ``pits`` and ``bright_points``, the numbers of dark and of
        bright `points`, adjoining pixels counted once; ``fine_structure_arc`` and
        ``fine_structure_sky``, the mean square of what is left above half the Nyquist frequency, on
        the arc and off it, in units of the square of the brightest pixel, NaN where there are no
        such pixels or no light; ``negative_flux``, the share of pixels at zero or below.

        Besides how rough they are in each row and each column, shapes ``(N, H - 3)`` and
        ``(N, W - 3)``: the mean logarithm of the third difference, which lies between two pixels as
        a seam does, of the logarithm of the flux over the brightest pixel plus 0.1, so that the arc,
        the sky and each image count alike.
    """
    dark, bright, _ = points(images)
    arc, sky = _fine_power(images)
    return dict(zip(ROUGHNESS, _roughness(images), strict=True)) | {
        "pits": _counted(dark),
        "bright_points": _counted(bright),
        "fine_structure_arc": arc,
        "fine_structure_sky": sky,
        "negative_flux": np.asarray((images <= 0).mean(axis=(1, 2))),
    }


def _roughness(images: NDArray[np.floating]) -> Iterator[Floats]:
    """Yield the roughness of rows and of columns."""
    flux = np.maximum(images, 0).astype(np.float64)
    peak = flux.max(axis=(1, 2), keepdims=True)
    stretched = np.log(flux / np.where(peak > 0, peak, 1) + FAINT)
    for axis in (1, 2):
        steps = np.abs(np.diff(stretched, 3, axis=axis))
        yield np.log(steps + SMOOTHEST).mean(axis=3 - axis)


def seams(images: Mapping[str, Floats], reference: Mapping[str, Floats]) -> float:
    """Return how much rougher images are at every m-th row or column than between.

    Each row's and column's roughness over that of the reference is taken modulo m; the largest of
    these over their median, and of the values for m from 2 to 8 along both axes the largest.

    Args:
        images: Their roughness, from `measure_detail`.
        reference: That of images without a grid, of the same size.

    Returns:
        Nearly one where there is no grid, and larger the more it stands out.
    """
    worst = 1.0
    for name in ROUGHNESS:
        ratio = np.exp(images[name].mean(axis=0) - reference[name].mean(axis=0))
        for period in PERIODS:
            phases = [part.mean() for k in range(period) if len(part := ratio[k::period])]
            worst = max(worst, float(max(phases) / np.median(phases)))
    return worst


def points(
    images: NDArray[np.floating],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.floating]]:
    """Return where the arc has compact points that are darker or brighter than what surrounds them.

    Args:
        images: Noise-free images, shape ``(N, H, W)`` [any unit].

    Returns:
        The pixels that lie further than `DEPTH` below the median of the 7 x 7 pixels around each,
        those that lie so far above it, and these medians; shape ``(N, H, W)`` each.
    """
    peak = np.maximum(images.max(axis=(1, 2), keepdims=True), 0)
    around = median_filter(images, size=(1, PIT_FIELD, PIT_FIELD), mode="nearest")
    on_arc = maximum_filter(around, size=(1, 3, 3), mode="nearest") > ARC_FROM * peak
    on_arc &= peak > 0
    return (
        (around - images > DEPTH * peak) & on_arc,
        (images - around > DEPTH * peak) & on_arc,
        around,
    )


def _counted(found: NDArray[np.bool_]) -> Floats:
    """Return the number of groups of adjoining pixels in each image."""
    return np.array([label(each, np.ones((3, 3)))[1] for each in found], dtype=np.float64)


def _fine_power(images: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Return the power above half the Nyquist frequency, on the arc and off it."""
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

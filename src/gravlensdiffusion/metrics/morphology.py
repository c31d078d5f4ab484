"""The shape of the light: moments, asymmetry, Gini coefficient and M20.

All functions take sky-subtracted images ``(N, H, H)``; all but the asymmetry also take which pixels
belong to the lens, as `segment` finds them. Coordinates are those of docs/conventions.md, in
pixels: x along the columns, y along the rows, the origin in the middle of the image.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

SIGNIFICANCE = 3.0
"""How far the mean of 3 x 3 pixels must lie above the sky, in units of a single pixel's rms."""

FAINTEST = 0.01
"""The same as a fraction of the brightest pixel.

Where this is the higher of the two, as in the preset `deeplense`, the segment does not depend on
the noise.
"""

BRIGHT_FRACTION = 0.2
"""The fraction of the flux that the brightest pixels of M20 hold."""


class _Moments(NamedTuple):
    """The flux-weighted first and second moments of N images, each of shape ``(N,)``."""

    x: Floats  # centroid along the columns [pixel]
    y: Floats  # centroid along the rows [pixel]
    xx: Floats  # <(x - <x>)^2> [pixel^2]
    yy: Floats  # <(y - <y>)^2> [pixel^2]
    xy: Floats  # <(x - <x>)(y - <y>)> [pixel^2]


def local_mean(flux: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the mean of the 3 x 3 pixels about each, zero outside of the image."""
    padded = np.pad(flux, ((0, 0), (1, 1), (1, 1)))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / flux.dtype.type(9)


def segment(flux: NDArray[np.floating], sky_rms: Floats) -> Mask:
    """Return the pixels that belong to the lens: those with significant light about them.

    Args:
        flux: Sky-subtracted images, shape ``(N, H, H)`` [flux].
        sky_rms: Shape ``(N,)`` [flux].

    Returns:
        Shape ``(N, H, H)``.
    """
    threshold = np.maximum(SIGNIFICANCE * sky_rms, FAINTEST * flux.max((1, 2)))
    return local_mean(flux) > threshold[:, None, None].astype(flux.dtype)


def moments(flux: NDArray[np.floating], mask: Mask) -> _Moments:
    """Return centroid and second moments of the light in the mask; NaN where there is none."""
    x = np.arange(flux.shape[-1]) - (flux.shape[-1] - 1) / 2
    powers = np.stack([np.ones_like(x), x, x**2], axis=1)
    along_rows = ((flux * mask) @ powers.astype(flux.dtype)).astype(np.float64)
    raw = np.einsum("nhp,hq->nqp", along_rows, powers)
    raw = raw / _positive(raw[:, 0, 0])[:, None, None]
    mean_x, mean_y = raw[:, 0, 1], raw[:, 1, 0]
    return _Moments(
        mean_x,
        mean_y,
        raw[:, 0, 2] - mean_x**2,
        raw[:, 2, 0] - mean_y**2,
        raw[:, 1, 1] - mean_x * mean_y,
    )


def ellipticity(second: _Moments) -> tuple[Floats, Floats]:
    """Return the two components of the ellipticity, each of shape ``(N,)``.

        e1 + i e2 = (xx - yy + 2i xy) / (xx + yy + 2 sqrt(xx yy - xy^2))

    Of an elliptical Gaussian with axis ratio q and position angle phi it is
    ``(1 - q) / (1 + q) exp(2i phi)``, as lenstronomy's e1 and e2.

    References:
        Bartelmann and Schneider 2001, arXiv:astro-ph/9912508, eq. 4.10.
    """
    determinant = np.maximum(second.xx * second.yy - second.xy**2, 0)
    size = _positive(second.xx + second.yy + 2 * np.sqrt(determinant))
    return (second.xx - second.yy) / size, 2 * second.xy / size


def asymmetry(
    flux: NDArray[np.floating], rotated_difference: Floats, masked: Mask | None = None
) -> Floats:
    """Return how far each image is from itself turned by 180 degrees.

        A = (sum |I - I_180| - n b) / sum |I|

    over the n pixels of the inscribed circle, where b is the mean of ``|B - B_180|`` in the sky.
    Conselice turns about the point that gives the least A; here it is the middle of the image,
    where the lens is, so that an offset of the source counts as asymmetry.

    Args:
        flux: Sky-subtracted images, shape ``(N, H, H)`` [flux].
        rotated_difference: The sky's b, shape ``(N,)`` [flux].
        masked: Pixels that do not count, nor do their opposites, shape ``(N, H, H)``; None where
            all do.

    References:
        Conselice 2003, arXiv:astro-ph/0303065, section 3.3.
    """
    pixels = _inscribed(flux.shape[-1])
    inside = flux.reshape(len(flux), -1)[:, pixels]
    num = np.full(len(flux), len(pixels))
    if masked is not None:
        seen = ~masked.reshape(len(flux), -1)[:, pixels]
        seen &= seen[:, ::-1]
        inside, num = inside * seen, seen.sum(1)
    # In row-major order the opposite of the first pixel is the last.
    difference = np.abs(inside - inside[:, ::-1]).sum(1, dtype=np.float64)
    total = np.abs(inside).sum(1, dtype=np.float64)
    return (difference - num * rotated_difference) / _positive(total)


def gini(flux: NDArray[np.floating], mask: Mask) -> Floats:
    """Return how unevenly the flux is spread over the pixels of the mask: 0 evenly, 1 all in one.

        G = sum_i (2 i - n - 1) |f_i| / ((n - 1) sum_i |f_i|)

    with the n values in rising order.

    References:
        Lotz, Primack and Madau 2004, arXiv:astro-ph/0311352, eq. 6.
    """
    # Pixels outside of the mask are zeros, which come first and add nothing.
    values = np.sort(np.abs(_masked(flux, mask)), axis=1)
    num = mask.sum((1, 2)).astype(np.float64)
    total = values.sum(1, dtype=np.float64)
    positions = np.arange(1, values.shape[1] + 1, dtype=values.dtype)
    ranked = (values * positions).sum(1, dtype=np.float64)
    skipped = values.shape[1] - num
    return (2 * (ranked - skipped * total) - (num + 1) * total) / _positive((num - 1) * total)


def m20(flux: NDArray[np.floating], mask: Mask) -> Floats:
    """Return the second moment of the brightest fifth of the flux, relative to that of all.

        M20 = log10(sum_bright f_i r_i^2 / sum_i f_i r_i^2)

    about the centroid, which gives the least ``sum_i f_i r_i^2``.

    References:
        Lotz, Primack and Madau 2004, arXiv:astro-ph/0311352, eq. 8.
    """
    masked = _masked(flux, mask)
    values = np.sort(masked, axis=1)
    cumulative = np.cumsum(values, axis=1, dtype=np.float64)
    below = cumulative < (1 - BRIGHT_FRACTION) * cumulative[:, -1:]
    faintest = np.minimum(below.sum(1), values.shape[1] - 1)
    threshold = np.take_along_axis(values, faintest[:, None], axis=1)
    bright = (masked >= threshold).reshape(flux.shape) & mask
    ratio = _spread(flux, bright, mask) / _positive(_spread(flux, mask, mask))
    return np.log10(_positive(ratio))


def _spread(flux: NDArray[np.floating], of: Mask, about: Mask) -> Floats:
    """Return ``sum f r^2`` of the pixels in one mask about the centroid of those in another."""
    part, centre = moments(flux, of), moments(flux, about)
    distance = (part.x - centre.x) ** 2 + (part.y - centre.y) ** 2
    return (flux * of).sum((1, 2), dtype=np.float64) * (part.xx + part.yy + distance)


def _masked(flux: NDArray[np.floating], mask: Mask) -> NDArray[np.floating]:
    """Return the flux in the mask and zero elsewhere, shape ``(N, H * H)``."""
    return np.asarray((flux * mask).reshape(len(flux), -1))


def _positive(values: Floats) -> Floats:
    """Return NaN in place of what is not positive, to divide by."""
    return np.where(values > 0, values, np.nan)


@lru_cache(maxsize=8)
def _inscribed(size: int) -> NDArray[np.intp]:
    """Return the indices of the pixels whose centres lie in the inscribed circle."""
    axis = np.arange(size) - (size - 1) / 2
    return np.flatnonzero(np.hypot(axis[:, None], axis) <= size / 2)

"""Flux and its unit: what the numbers of images are, and what becomes of them at another size or scale.

Images are resized in two named ways, both linear and separable.

Unsigned whole numbers of 8 and 16 bits that state no unit are greys, with the largest number of the type
as white. Numbers of other types tell by where each image ends: at exactly 1, from exactly 0, if it was
scaled by its own extremes; somewhat inside of these, if it was reduced after that; at exactly 255, all of
them whole, if it was a grey image of 8 bits. All others are flux per pixel of an unknown unit, and stay as
they are.
"""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self, get_args

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.bounds import Resize
from gravlensdiffusion.errors import GravLensError

PEAK = "peak"
"""Flux unit of images that were each scaled to [0, 1], there or at a larger size."""
FULL_SCALE = "full scale"
"""Flux unit of images whose largest possible value, white, is 1."""
UNKNOWN = "unknown"
"""Flux unit of images that do not tell theirs."""
SAME_SCALE = 0.01
"""Share by which pixel scales, and fields of view, may differ that count as one."""
WHITE = {"uint8": 255, "uint16": 65535}
"""Largest number of the types that hold greys."""
EIGHT_BIT = 255
REDUCED_PEAK = (0.2, 0.65)
"""Mean faintest pixel, at most, and mean brightest pixel, at least, of images that were each scaled to [0, 1] and
then reduced."""
_ROUNDING = 1e-6
"""How far a mean of numbers up to 1 may lie beyond it."""
_PER_AREA = re.compile(r"arcsec|arcmin|deg|beam|steradian|\bsr(?![a-z])", re.IGNORECASE)
"""What a unit of surface brightness mentions."""


def default_method(size: int) -> str:
    """Return the resize that goes with a size: ``bilinear`` at 28 pixels, else ``area``.

    The DeepLense diffusion set was shrunk to 28 pixels by bilinear interpolation without
    antialiasing, so that size keeps that resize to stay comparable.
    """
    return "bilinear" if size == 28 else "area"


def is_same_scale(scale: float, other: float) -> bool:
    """Return whether two pixel scales [arcsec] count as one."""
    return abs(scale / other - 1) <= SAME_SCALE


def resize(
    images: NDArray[np.floating], size: int, method: str, window: float | None = None
) -> NDArray[np.floating]:
    """Resize the last two axes to ``size`` pixels a side.

    Both methods keep the mean surface brightness, not the sum of the pixels.

    Args:
        images: Shape ``(..., H, W)``.
        size: New height and width [pixel].
        method: ``bilinear``: linear interpolation between the pixel centres, no antialiasing
            (``torch.nn.functional.interpolate(mode="bilinear", align_corners=False)``).
            ``area``: mean over the area that each new pixel covers.
        window: Side of the middle part that becomes the new image [old pixel]; None for all of it.

    Returns:
        Shape ``(..., size, size)``, in the dtype of ``images``.

    Raises:
        GravLensError: If the method is not known, the size is not positive, or the part is larger
            than the image.
    """
    if window is not None and not 0 < window <= min(images.shape[-2:]):
        raise GravLensError(f"no part of {window:g} pixels lies in {images.shape[-2:]}")
    rows = weights(images.shape[-2], size, method, window).astype(images.dtype)
    columns = weights(images.shape[-1], size, method, window).astype(images.dtype)
    return np.asarray(rows @ images @ columns.T)


def resize_flux(
    images: NDArray[np.floating], size: int, method: str, window: float | None = None
) -> NDArray[np.floating]:
    """Resize images of flux per pixel, which grows with the area of a pixel; the rest is as in `resize`.

    ``area`` keeps the sum of the pixels exactly.
    """
    height, width = images.shape[-2:] if window is None else (window, window)
    return resize(images, size, method, window) * ((height / size) * (width / size))


def is_per_pixel(flux_unit: str) -> bool:
    """Whether images of a unit hold the flux in each pixel, which grows with its area.

    Those of surface brightness do not: ``peak``, ``full scale``, and units per solid angle. All
    others do, and so do images of no known unit, as cutouts of surveys are.
    """
    return flux_unit not in (PEAK, FULL_SCALE) and _PER_AREA.search(flux_unit) is None


def bring_to_size(
    images: NDArray[np.floating],
    size: int,
    method: str,
    flux_unit: str,
    window: float | None = None,
) -> NDArray[np.floating]:
    """Resize images as their flux unit asks, and else as `resize`: the flux of a lens stays the same in it.

    Flux per pixel is added up, surface brightness averaged. Images of ``peak`` stay on the scale
    that they were brought to at their own size.
    """
    bring = resize_flux if is_per_pixel(flux_unit) else resize
    return bring(images, size, method, window)


@lru_cache(maxsize=32)
def weights(old: int, new: int, method: str, window: float | None = None) -> NDArray[np.float64]:
    """Return the matrix of shape ``(new, old)`` that resizes one axis, or its middle part.

    Raises:
        GravLensError: If the method is not known, or the size is not positive.
    """
    if method not in get_args(Resize):
        raise GravLensError(f"unknown resize '{method}'; choose from {', '.join(get_args(Resize))}")
    if new < 1:
        raise GravLensError(f"image size must be at least 1 pixel, got {new}")
    taken = old if window is None else window
    start = (old - taken) / 2
    if method == "area":
        edges = start + np.arange(new + 1) * taken / new
        low = np.maximum(edges[:-1, None], np.arange(old))
        high = np.minimum(edges[1:, None], np.arange(old) + 1)
        return np.clip(high - low, 0, None) * new / taken
    centres = np.clip(start + (np.arange(new) + 0.5) * taken / new - 0.5, 0, old - 1)
    left = np.minimum(centres.astype(int), max(old - 2, 0))
    matrix = np.zeros((new, old))
    fraction = centres - left
    matrix[np.arange(new), left] = 1 - fraction
    matrix[np.arange(new), np.minimum(left + 1, old - 1)] += fraction
    return matrix


def to_unit_range(
    images: NDArray[np.floating],
    low: NDArray[np.floating] | float,
    high: NDArray[np.floating] | float,
) -> NDArray[np.floating]:
    """Shift and scale images so that two fluxes become 0 and 1; where they are equal, only shift."""
    span = np.subtract(high, low)
    return np.asarray((images - low) / np.where(span > 0, span, 1))


def peak_scaled(
    images: NDArray[np.float32], twins: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Shift and scale each image of ``(B, ..., H, W)`` to [0, 1] by its own extremes, and its noise-free twin with it."""
    axes = tuple(range(1, images.ndim))
    low, high = images.min(axes, keepdims=True), images.max(axes, keepdims=True)
    return to_unit_range(images, low, high), (
        None if twins is None else to_unit_range(twins, low, high)
    )


@dataclass(frozen=True, slots=True)
class Ends:
    """The smallest and largest number of an image, as stored, and whether all are whole and up to that of 8 bits."""

    low: float
    high: float
    is_grey: bool = False

    @classmethod
    def of(cls, pixels: NDArray[Any]) -> Self:
        """Return those of a whole image; a part of it need not end there."""
        low, high = pixels.min(), pixels.max()
        is_grey = low >= 0 and high == EIGHT_BIT and np.array_equal(pixels, np.floor(pixels))
        return cls(float(low), float(high), bool(is_grey))


def unit_of_ends(ends: Collection[Ends]) -> tuple[str, int | None]:
    """Return the unit of images of a set that state none, and the number that is white.

    A reduced pixel is a mean of pixels, so that images which were each scaled to [0, 1] stay within it. Those of
    fluxes hardly do, all of them and so near to 1: with their sky taken off they have pixels below 0, and
    their brightest pixels differ more.
    """
    if ends and all(each.is_grey for each in ends):
        return FULL_SCALE, EIGHT_BIT
    return (PEAK if ends and _are_peak(ends) else UNKNOWN), None


def _are_peak(ends: Collection[Ends]) -> bool:
    """Return whether images were each scaled to [0, 1], and perhaps reduced after that."""
    lows, highs = np.array([(each.low, each.high) for each in ends]).T
    low, high = REDUCED_PEAK
    is_within = lows.min() >= 0 and highs.max() <= 1 + _ROUNDING
    return bool(is_within and lows.mean() <= low and highs.mean() >= high)


def like_those_beside(
    channel: NDArray[np.floating], masked: NDArray[np.bool_]
) -> NDArray[np.floating]:
    """Return what fills the masked pixels of an image, in row-major order.

    Each takes the mean about the pixel that is nearest of those that are not masked, and grain as that
    of the image, the same at every call.

    Args:
        channel: Shape ``(H, W)``.
        masked: Which pixels are to be filled, some of them and not all, shape ``(H, W)``.
    """
    # Slow to load, and not for the process that files are tried out in.
    from scipy.ndimage import distance_transform_edt, uniform_filter

    known = np.where(masked, 0, channel).astype(np.float64)
    share = uniform_filter((~masked).astype(np.float64), 3, mode="constant")
    near = uniform_filter(known, 3, mode="constant") / np.where(masked, 1, share)
    rows, columns = distance_transform_edt(masked, return_distances=False, return_indices=True)
    smooth = near[rows[masked], columns[masked]]
    steps = np.diff(np.where(masked, np.nan, channel).astype(np.float64), axis=1)
    steps = steps[np.isfinite(steps)]
    # The median of a normal deviate's modulus is 0.6745, and a step has the noise of two pixels.
    grain = float(np.median(np.abs(steps))) / (0.6745 * math.sqrt(2)) if steps.size else 0.0
    values = smooth + grain * np.random.default_rng(0).standard_normal(smooth.size)
    observed = channel[~masked]
    return np.clip(values, observed.min(), observed.max()).astype(channel.dtype)

"""One image of a file: what readers offer and state of it, which pixels they take, and what it is by these."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import BadImageError
from gravlensdiffusion.sets.flux import FULL_SCALE, WHITE, Ends, like_those_beside
from gravlensdiffusion.sets.naming import NOISE, QUALITY, WEIGHT
from gravlensdiffusion.store.schema import MAX_PIXELS

MIN_SIDE = 2
"""Pixels that an image has at least on each side."""
MAX_MASKED = 0.5
"""Share of the pixels of a channel that may not be observed."""
MAX_CHANNELS = 10
"""Channels of an image in a file of its own; more planes than that are taken for a stack of images."""
BACKGROUND_RMS = "background_rms"
"""Parameter that states the noise of the sky in a pixel, in the unit of the images."""
EXPOSURE_TIME = "exposure_time"
"""Parameter with the exposure time of an image [s]."""
USED = "likelihood mask"
"""A map of the pixels that are used: 0 flags one, as in lenstronomy."""
TIME = "exposure time"
NEUTRAL = {QUALITY: 0, USED: 1, WEIGHT: 1, TIME: 1, NOISE: 1}
"""The value that flags no pixel, by the kinds of maps, in the order in which pixels are counted by them."""
_FLAG = 1000.0
"""Noise of a pixel that is not to be used, in units of the lowest: maps flag by 1e8, say."""
_SKY_QUANTILE = 0.25
"""Where in the noise of an image's pixels that of the sky is taken: galaxies add theirs above it."""
Maps = Mapping[str, NDArray[np.generic]]
"""Maps of an image of shape ``(C, H, W)`` by their kind, each ``(C, H, W)`` or ``(1, H, W)``."""

_MAX_FLAGS = 32
"""Different whole values that a mask has at most."""
_MIN_COMMON = 0.4
"""Share of the pixels that a mask has at its most common value."""
_MAX_SPREAD = 0.3
"""Width of the middle two thirds of a flat map's pixels, over their median."""
_SUMS = (0.9, 1.1)
_MAX_OUTSIDE = 0.4
"""Share of the light of a PSF that lies farther from the middle than half-way to the edge."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What a file says about one of its images.

    Attributes:
        pixel_scale_arcsec: Side of a pixel [arcsec], or None.
        flux_unit: Unit of the pixel values.
        class_name: The class that the file states, or None.
        class_number: The number that the file gives this class, or None.
        class_names: All classes in the order that the file states, or empty.
        parameters: Values that come with the image, by name.
        parameter_units: Their units.
        is_stacked: Whether the file holds a stack of images.
        taken: Which of several images of the file this is, and which were left, or empty.
        white: Stored number that becomes 1, or None where numbers stay as they are.
        has_mask: Whether pixels that are no number are those that were not observed.
        factor: What the numbers are multiplied by to bring them to the zero point of the set.
        ends: Where the numbers of the image end, where nothing else tells what they are; see `sets.flux`.
        flags: Which pixels each kind of map flags that none before it does, shape ``(C, H, W)``.
    """

    pixel_scale_arcsec: float | None = None
    flux_unit: str = "unknown"
    class_name: str | None = None
    class_number: int | None = None
    class_names: tuple[str, ...] = ()
    parameters: Mapping[str, float] = field(default_factory=dict)
    parameter_units: Mapping[str, str] = field(default_factory=dict)
    is_stacked: bool = False
    taken: str = ""
    white: int | None = None
    factor: float = 1.0
    has_mask: bool = False
    ends: Ends | None = None
    flags: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict, compare=False)


def of_type(facts: Facts, dtype: np.dtype[np.generic]) -> Facts:
    """Return the facts of an image as the type of the stored numbers tells them."""
    white = WHITE.get(dtype.name)
    return facts if white is None else replace(facts, flux_unit=FULL_SCALE, white=white)


class ImageReader(Protocol):
    """Reads the files of one format; what cannot be used is a `BadImageError`."""

    def images(self, path: Path) -> Iterator[tuple[NDArray[np.generic], Facts]]:
        """Yield the images of a file in order, shape ``(C, H, W)``, in the type that it has."""

    def pixels(self, path: Path, index: int) -> NDArray[np.generic]:
        """Return image ``index`` of a file, shape ``(C, H, W)``."""


def as_image(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return ``(C, H, W)`` from ``(H, W)``, ``(C, H, W)`` or ``(H, W, C)``."""
    shape = image_shape(array.shape)
    if array.ndim == 3 and array.shape != shape:
        array = np.moveaxis(array, -1, 0)
    return array.reshape(shape)


def image_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return ``(C, H, W)`` of one image declared with ``shape``.

    Of three axes, the first or the last is that of the channels: the one with up to `MAX_CHANNELS`
    of them, fewer than there are pixels on both other axes.

    Raises:
        BadImageError: If it is no image, or too large to be read.
    """
    sides = tuple(int(side) for side in shape)
    channels = 1
    if len(sides) == 3:
        first, last = are_channels(sides[0], sides[1:]), are_channels(sides[2], sides[:2])
        if first or last:
            channels, sides = (sides[0], sides[1:]) if first else (sides[2], sides[:2])
    if len(sides) != 2:
        raise BadImageError(
            f"has shape {shape}; allowed are (H, W), and (C, H, W) and (H, W, C) with up to "
            f"{MAX_CHANNELS} channels"
        )
    height, width = sides
    if min(height, width) < MIN_SIDE:
        raise BadImageError(f"has {height} x {width} pixels, which is no image")
    if channels * height * width > MAX_PIXELS:
        raise BadImageError(
            f"declares {height} x {width} pixels, more than the limit of {MAX_PIXELS}"
        )
    return channels, height, width


def are_channels(num: int, sides: tuple[int, ...]) -> bool:
    """Whether an axis of ``num`` beside two others is that of the channels of an image."""
    return num == 1 or 1 < num <= min(MAX_CHANNELS, min(sides) - 1)


def check_dtype(dtype: np.dtype[np.generic]) -> None:
    """Refuse pixels that are no real numbers."""
    if dtype.kind not in "iuf":
        raise BadImageError(f"has values of type {dtype}, which are no real numbers")


def masked_pixels(pixels: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return which pixels were not observed: those that are no number."""
    return np.isnan(pixels) if pixels.dtype.kind == "f" else np.zeros(pixels.shape, bool)


def fill_masked(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return an image ``(C, H, W)`` in which pixels that were not observed look like those beside them.

    Each takes the mean about the observed pixel that is nearest, and grain as that of the image, the
    same whenever it is read.
    """
    masked = masked_pixels(pixels)
    if not masked.any():
        return pixels
    filled = np.array(pixels)
    for channel, is_masked in zip(filled, masked, strict=True):
        if is_masked.any() and not is_masked.all():
            channel[is_masked] = like_those_beside(channel, is_masked)
    return filled


def with_maps(
    pixels: NDArray[np.generic], facts: Facts, maps: Maps
) -> tuple[NDArray[np.generic], Facts]:
    """Return an image without its flagged pixels, and its facts with these and its depth.

    Flagged pixels become NaN, as pixels that were not observed are. A noise map flags what is not finite,
    not positive or over `_FLAG`; a map of weights or exposure what is not finite or not positive; one of data
    quality what is not 0; a likelihood mask what is 0. The noise of the sky becomes the parameter
    `BACKGROUND_RMS` of an image of one channel, where its file does not state it. A map of noise, weights or
    exposure of another size than its image, or that flags most of a channel, is no map of it, and is left alone.

    Raises:
        BadImageError: If data quality or a likelihood mask are of another size than the image.
    """
    every = {kind: _flagged(kind, maps[kind], pixels.shape) for kind in NEUTRAL if kind in maps}
    flags = {kind: flagged for kind, flagged in every.items() if flagged is not None}
    if not flags:
        return pixels, facts
    usable = ~np.logical_or.reduce(list(flags.values()))
    # Each pixel counts for the first map that flags it, and for none where it is no number.
    before, told = masked_pixels(pixels), dict(facts.flags)
    for kind, flagged in flags.items():
        told[kind] = flagged & ~before
        before = before | flagged
    facts = replace(facts, has_mask=True, flags=told)
    if NOISE in flags and len(pixels) == 1 and usable.any():
        rms = float(np.quantile(maps[NOISE][usable].astype(np.float64), _SKY_QUANTILE))
        facts = replace(
            facts,
            parameters={BACKGROUND_RMS: rms, **facts.parameters},
            parameter_units={BACKGROUND_RMS: "", **facts.parameter_units},
        )
    if not usable.all():
        dtype = pixels.dtype if pixels.dtype.kind == "f" else np.dtype(np.float32)
        pixels = np.where(usable, pixels, np.nan).astype(dtype)
    return pixels, facts


def _flagged(
    kind: str, values: NDArray[np.generic], shape: tuple[int, ...]
) -> NDArray[np.bool_] | None:
    """Return which pixels of an image a map flags, or None where it is none of the image."""
    numbers = values.astype(np.float64)
    if kind in (QUALITY, USED):
        if values.shape[1:] != shape[1:] or len(values) not in (1, shape[0]):
            own, whole = ("{1} x {2} pixels in {0}".format(*each) for each in (values.shape, shape))
            raise BadImageError(f"has a {kind} of {own} for an image of {whole}")
        flagged = numbers != 0 if kind == QUALITY else (numbers == 0) | np.isnan(numbers)
        return np.broadcast_to(flagged, shape)
    if values.shape != shape:
        return None
    flagged = ~(np.isfinite(numbers) & (numbers > 0))
    if kind == NOISE:
        for k, channel in enumerate(numbers):
            if not flagged[k].all():
                flagged[k] |= channel >= _FLAG * np.quantile(channel[~flagged[k]], 0.05)
    return None if flagged.mean(axis=(1, 2)).max() > MAX_MASKED else flagged


def to_float32(
    pixels: NDArray[np.generic], white: int | None = None, factor: float = 1.0
) -> NDArray[np.float32]:
    """Return the pixels as float32 after checking that they can be an image.

    Args:
        pixels: Shape ``(C, H, W)``.
        white: Number that becomes 1; None to leave all as they are.
        factor: What all are multiplied by.

    Raises:
        BadImageError: If values are not real numbers, not finite, or all the same.
    """
    check_dtype(pixels.dtype)
    with np.errstate(over="ignore"):
        image = pixels.astype(np.float32)
        if factor != 1:
            image *= np.float32(factor)
    low, high = image.min(), image.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        num = int(np.count_nonzero(~np.isfinite(image)))
        raise BadImageError(f"is not finite in {num} of {image.size} pixels")
    if low == high:
        raise BadImageError(f"is constant: every pixel is {float(low):g}")
    return image if white is None else image / np.float32(white)


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
        len(found) <= _MAX_FLAGS and counts.max() >= _MIN_COMMON * values.size
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

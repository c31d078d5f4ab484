"""One image of a file: what readers offer and state of it, which pixels they take, and what it is by these."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import BadImageError, one_line
from gravlensdiffusion.sets.flux import FULL_SCALE, WHITE, Ends, like_those_beside
from gravlensdiffusion.store.schema import MAX_NAME, MAX_PIXELS

MIN_SIDE = 2
"""Pixels that an image has at least on each side."""
MAX_MASKED = 0.5
"""Share of the pixels of a channel that may not be observed."""
MAX_CHANNELS = 10
"""Channels of an image in a file of its own; more planes than that are taken for a stack of images."""

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


def as_printable(facts: Facts) -> Facts:
    """Return facts in whose texts, none over `MAX_NAME`, line breaks and control characters are written out."""
    texts = (facts.flux_unit, facts.class_name or "")
    if max(map(len, texts)) > MAX_NAME:
        raise BadImageError(f"states a unit or a class of over {MAX_NAME} letters")
    if all(text.isprintable() for text in texts):
        return facts
    class_name = None if facts.class_name is None else one_line(facts.class_name)
    return replace(facts, flux_unit=one_line(facts.flux_unit), class_name=class_name)


def of_type(facts: Facts, dtype: np.dtype[np.generic]) -> Facts:
    """Return the facts of an image as the type of the stored numbers tells them."""
    white = WHITE.get(dtype.name)
    return facts if white is None else replace(facts, flux_unit=FULL_SCALE, white=white)


class ImageReader(Protocol):
    """Reads the files of one format."""

    def images(self, path: Path) -> Iterator[tuple[NDArray[np.generic], Facts]]:
        """Yield the images of a file in order, shape ``(C, H, W)``, in the type that it has.

        Raises:
            BadImageError: If the file, as a whole, cannot be used.
        """

    def pixels(self, path: Path, index: int) -> NDArray[np.generic]:
        """Return image ``index`` of a file, shape ``(C, H, W)``.

        Raises:
            BadImageError: If it cannot be read.
        """


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


def check_masked(pixels: NDArray[np.generic], flagged: Mapping[str, int]) -> int:
    """Return how many pixels of an image were not observed; more than `MAX_MASKED` of a channel are refused."""
    masked = masked_pixels(pixels)
    for channel in masked:
        if channel.mean() > MAX_MASKED:
            num = int(channel.sum())
            told = "".join(f", {own} by its {kind}" for kind, own in flagged.items() if own)
            raise BadImageError(
                f"is masked in {num} of {channel.size} pixels, more than half{told}"
            )
    return int(masked.sum())


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


def has_two_whole_values(image: NDArray[np.float32]) -> bool:
    """Return whether an image has two values, both whole, as a mask has and a photograph has not."""
    low, high = image.min(), image.max()
    are_whole = float(low).is_integer() and float(high).is_integer()
    return are_whole and bool(((image == low) | (image == high)).all())


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

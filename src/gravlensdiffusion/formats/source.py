"""What every reader offers, and what it says about a file that it cannot use."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError, one_line
from gravlensdiffusion.records import SetHeader
from gravlensdiffusion.store.schema import MAX_NAME, MAX_PIXELS

MIN_SIDE = 2
"""Pixels that an image has at least on each side."""
MAX_CHANNELS = 10
"""Channels of an image in a file of its own; more planes than that are taken for a stack of images."""


class BadImageError(Exception):
    """Why one file or image cannot be used; the message completes ``PATH: ...``."""


class AmbiguousImageError(BadImageError):
    """Which image of a file is meant has to be said by the user."""


class BadFilesError(GravLensError):
    """Files of a data set cannot be used.

    Attributes:
        problems: One line per file.
    """

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        self.problems = tuple(one_line(problem) for problem in problems)
        count = len(self.problems)
        super().__init__(
            f"{path}: {count} file{'s' if count > 1 else ''} or image{'s' if count > 1 else ''} "
            f"cannot be used (--skip-bad goes on without); "
            f"first: {self.problems[0]}"
        )


class LensSource(Protocol):
    """A set of images that is read on demand: a `LensStore`, or what `open_lenses` returns."""

    @property
    def header(self) -> SetHeader:
        """What is common to all images."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``."""

    @property
    def labels(self) -> NDArray[np.int16]:
        """Class of each image, shape ``(N,)``; -1 where it is not known."""

    @property
    def parameters(self) -> dict[str, NDArray[np.float64]]:
        """Values by name, shape ``(N,)`` each; NaN where an image has none."""

    @property
    def subhaloes(self) -> NDArray[np.void]:
        """Table of subhaloes: columns image, x [arcsec], y [arcsec], mass [M_sun]."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What was left out, one line per file or image."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the images are read from."""

    @property
    def num_skipped(self) -> int:
        """How many files or images were left out."""

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Types of the pixel values as they are stored."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What else a reader of the set should know, one line each."""

    @property
    def has_noise_free(self) -> bool:
        """Whether every image has a noise-free twin."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """Return where image ``index`` comes from: file, and position in it."""

    def read(self, indices: Sequence[int] | NDArray[np.integer] | slice) -> NDArray[np.float32]:
        """Return images, shape ``(B, C, H, W)``."""

    def read_noise_free(
        self, indices: Sequence[int] | NDArray[np.integer] | slice
    ) -> NDArray[np.float32]:
        """Return the noise-free twins of images, shape ``(B, C, H, W)``.

        Raises:
            GravLensError: If there are none.
        """

    def close(self) -> None:
        """Close open files; a later read opens them again."""


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
        top: Number that the image ends at, where it may tell what the numbers are; see `numbers`.
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
    top: int | None = None


def as_printable(facts: Facts) -> Facts:
    """Return facts in whose texts line breaks and control characters are written out.

    Raises:
        BadImageError: If a text is too long to be a name.
    """
    texts = (facts.flux_unit, facts.class_name or "")
    if max(map(len, texts)) > MAX_NAME:
        raise BadImageError(f"states a unit or a class of over {MAX_NAME} letters")
    if all(text.isprintable() for text in texts):
        return facts
    class_name = None if facts.class_name is None else one_line(facts.class_name)
    return replace(facts, flux_unit=one_line(facts.flux_unit), class_name=class_name)


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
    """Return ``(C, H, W)`` from ``(H, W)``, ``(C, H, W)`` or ``(H, W, C)``.

    Raises:
        BadImageError: If the shape is none of these.
    """
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
    """Refuse pixels that are no real numbers.

    Raises:
        BadImageError: If they are not.
    """
    if dtype.kind not in "iuf":
        raise BadImageError(f"has values of type {dtype}, which are no real numbers")


def to_float32(pixels: NDArray[np.generic], white: int | None = None) -> NDArray[np.float32]:
    """Return the pixels as float32 after checking that they can be an image.

    Args:
        pixels: Shape ``(C, H, W)``.
        white: Number that becomes 1; None to leave all as they are.

    Raises:
        BadImageError: If values are not real numbers, not finite, or all the same.
    """
    check_dtype(pixels.dtype)
    with np.errstate(over="ignore"):
        image = pixels.astype(np.float32)
    low, high = image.min(), image.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        num = int(np.count_nonzero(~np.isfinite(image)))
        raise BadImageError(f"is not finite in {num} of {image.size} pixels")
    if low == high:
        raise BadImageError(f"is constant: every pixel is {float(low):g}")
    return image if white is None else image / np.float32(white)

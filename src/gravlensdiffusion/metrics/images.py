"""What measurements ask of images: chunks, the sky, the grid of values, and both sets alike."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.sky import MIN_SIZE, Sky, measure_sky

CHUNK_PIXELS = 1_000_000
"""Pixels that are measured at once: few enough to stay in the cache."""


def chunks(images: NDArray[np.floating]) -> Iterator[slice]:
    """Yield slices of the first axis that hold about `CHUNK_PIXELS` each.

    Raises:
        GravLensError: If the images are not square or too small to hold any sky.
    """
    if images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise GravLensError(f"images must have the shape (N, H, H), got {images.shape}")
    if images.shape[1] < MIN_SIZE:
        raise GravLensError(
            f"images must have at least {MIN_SIZE} pixels a side to be measured, "
            f"got {images.shape[1]}"
        )
    step = max(1, CHUNK_PIXELS // images.shape[1] ** 2)
    for start in range(0, len(images), step):
        yield slice(start, min(start + step, len(images)))


def finite(images: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the images as float32, those that are not finite set to zero, and which are finite.

    Returns:
        Images of shape ``(N, H, H)`` and the flags of shape ``(N,)``.
    """
    single = np.asarray(images, dtype=np.float32)
    good = np.asarray(np.isfinite(single).all((1, 2)))
    if good.all():
        return single, good
    return np.where(good[:, None, None], single, np.float32(0)), good


def subtract_sky(
    images: NDArray[np.float32], masked: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float32], Sky]:
    """Return the images without the level of their sky, zero where they are masked, and the sky."""
    sky = measure_sky(images, masked)
    flux = images - sky.level[:, None, None].astype(np.float32)
    return (flux if masked is None else np.where(masked, np.float32(0), flux)), sky


def quantise_truncating(images: ArrayLike) -> NDArray[np.float32]:
    """Return images as they come back from 8-bit PNG files that torchvision wrote.

    Values are clipped to [0, 1], multiplied by 255, cut to whole numbers (not rounded), and divided
    by 255. So do ``ToPILImage`` and ``ToTensor``, through which both sets of the reference project's
    protocol go; an image that is already of 8 bits is not changed.

    Args:
        images: Any shape.
    """
    clipped = np.clip(np.asarray(images, dtype=np.float32), 0, 1)
    grey = (clipped * np.float32(255)).astype(np.uint8)
    return np.asarray(grey, dtype=np.float32) / np.float32(255)


NUM_STEPS = 65535
BYTE_VALUES = 256
PROBED_IMAGES = 64

Images = NDArray[np.float32]


def equalise(
    first: NDArray[np.generic], second: NDArray[np.generic], num_steps: int = NUM_STEPS
) -> tuple[Images, Images]:
    """Bring two sets of images to the same range and the same grid of values.

    Where all images of a set have one and the same minimum and maximum, each was scaled to its
    peak, and an exact 0 and 1 would tell that set from the other: then every image of both sets is
    rescaled to [0, 1] by its own extremes. Where a set is of half precision or has the 256 values
    of 8-bit pictures, both are brought to that.

    What remains: images of 8 bits that had to be rescaled, beside images that were not, still
    differ in which steps of the grid they use.

    Args:
        first: Shape ``(M, C, H, W)``, any format of numbers.
        second: Shape ``(N, C, H, W)``.
        num_steps: Number of steps of the grid over the range of a typical image.

    Raises:
        GravLensError: If the sets differ in image shape, are empty, or hold values that are not
            finite.
    """
    sets = [first, second]
    for images in sets:
        if images.ndim != 4 or 0 in images.shape or images.shape[1:] != first.shape[1:]:
            raise GravLensError(
                "the two sets must hold images of one shape (N, C, H, W), got "
                f"{first.shape} and {second.shape}"
            )
        if not np.isfinite(images.astype(np.float32)).all():
            raise GravLensError("a set of images holds NaN or infinite values")
    if any(images.dtype == np.float16 for images in sets):
        sets = [images.astype(np.float16) for images in sets]
    steps = [step for step in map(_byte_step, sets) if step is not None]
    floats = [images.astype(np.float32) for images in sets]
    if any(_is_peak_scaled(images) for images in floats):
        rescaled = [_to_unit_range(images) for images in floats]
        step = 1 / min(num_steps, BYTE_VALUES - 1) if steps else 1 / num_steps
    else:
        rescaled = floats
        ranges = np.concatenate([np.ptp(images, axis=(1, 2, 3)) for images in floats])
        step = max(steps, default=float(np.median(ranges)) / num_steps)
    if step == 0:
        return rescaled[0], rescaled[1]
    quantised = [np.round(images / np.float32(step)) * np.float32(step) for images in rescaled]
    return quantised[0].astype(np.float32), quantised[1].astype(np.float32)


def _is_peak_scaled(images: Images) -> bool:
    lowest, highest = images.min((1, 2, 3)), images.max((1, 2, 3))
    return bool(np.ptp(lowest) == 0 and np.ptp(highest) == 0)


def _to_unit_range(images: Images) -> Images:
    lowest = images.min((1, 2, 3), keepdims=True)
    span = images.max((1, 2, 3), keepdims=True) - lowest
    return (images - lowest) / np.where(span > 0, span, 1)


def _byte_step(images: NDArray[np.generic]) -> float | None:
    """Return the step of a set of 8-bit pictures, however scaled; None of any other set."""
    values = np.unique(images[:PROBED_IMAGES].astype(np.float32))
    if not 2 <= len(values) <= BYTE_VALUES:
        return None
    return float(np.diff(values).min())

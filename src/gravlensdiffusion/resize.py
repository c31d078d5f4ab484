"""The two named ways to resize an image; linear and separable."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError

METHODS = ("bilinear", "area")


def default_method(size: int) -> str:
    """Return the resize that goes with a size: ``bilinear`` at 28 pixels, else ``area``.

    The DeepLense diffusion set was shrunk to 28 pixels by bilinear interpolation without
    antialiasing, so that size keeps that resize to stay comparable.
    """
    return "bilinear" if size == 28 else "area"


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
    if method not in METHODS:
        raise GravLensError(f"unknown resize '{method}'; choose from {', '.join(METHODS)}")
    if size < 1:
        raise GravLensError(f"image size must be at least 1 pixel, got {size}")
    if window is not None and not 0 < window <= min(images.shape[-2:]):
        raise GravLensError(f"no part of {window:g} pixels lies in {images.shape[-2:]}")
    rows = weights(images.shape[-2], size, method, window).astype(images.dtype)
    columns = weights(images.shape[-1], size, method, window).astype(images.dtype)
    return np.asarray(rows @ images @ columns.T)


def resize_flux(
    images: NDArray[np.floating], size: int, method: str, window: float | None = None
) -> NDArray[np.floating]:
    """Resize images of flux per pixel, which grows with the area of a pixel.

    ``area`` keeps the sum of the pixels exactly.

    Args:
        images: Shape ``(..., H, W)`` [flux per pixel].
        size: New height and width [pixel].
        method: As in `resize`.
        window: As in `resize`.

    Returns:
        Shape ``(..., size, size)`` [flux per new pixel], in the dtype of ``images``.

    Raises:
        GravLensError: As in `resize`.
    """
    height, width = images.shape[-2:] if window is None else (window, window)
    return resize(images, size, method, window) * ((height / size) * (width / size))


@lru_cache(maxsize=32)
def weights(old: int, new: int, method: str, window: float | None = None) -> NDArray[np.float64]:
    """Return the matrix of shape ``(new, old)`` that resizes one axis, or its middle part."""
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

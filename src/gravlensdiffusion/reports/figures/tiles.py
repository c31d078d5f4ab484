"""Images as grey tiles, laid out side by side.

Nothing rescales images one by one: all tiles share one grey scale.
"""

from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

STRETCHES = ("linear", "sqrt", "asinh")
"""Ways from flux to grey."""

GAP = 1
"""Width of the line between two tiles [tile pixels]."""

ASINH_SOFTENING = 0.1
"""Where the asinh stretch turns from linear to logarithmic, as a fraction of the range."""


def percentile_limits(
    images: NDArray[np.floating], low: float = 0.1, high: float = 99.9
) -> tuple[float, float]:
    """Return two percentiles of the finite pixels, a usable black and white point.

    Args:
        images: Any shape.
        low: Percentile shown black [per cent].
        high: Percentile shown white [per cent].
    """
    finite = images[np.isfinite(images)]
    if finite.size == 0:
        return 0.0, 1.0
    black, white = (float(v) for v in np.percentile(finite, (low, high)))
    return (black, white) if white > black else (black, black + 1.0)


def default_columns(num: int) -> int:
    """Return the number of columns that makes a grid of ``num`` tiles square."""
    return max(1, ceil(sqrt(num)))


def as_tiles(images: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return images as ``(N, H, W)`` or, in colour, ``(N, H, W, 3)``.

    Args:
        images: Shape ``(N, C, H, W)`` or ``(N, H, W)``; three channels are taken as colours, any
            other number is averaged.

    Raises:
        ValueError: If there is no image, or the shape is another.
    """
    images = np.asarray(images, dtype=np.float32)
    if images.ndim not in (3, 4) or images.size == 0:
        raise ValueError(f"cannot show an array of shape {images.shape}, expected (N, C, H, W)")
    if images.ndim == 3:
        return images
    if images.shape[1] == 3:
        return np.moveaxis(images, 1, -1)
    mean: NDArray[np.float32] = images.mean(axis=1, dtype=np.float32)
    return mean


def to_grey(
    tiles: NDArray[np.float32], low: float, high: float, stretch: str
) -> NDArray[np.float32]:
    """Map values to grey from 0 to 1, by one of `STRETCHES` between two limits.

    Raises:
        ValueError: If the stretch is unknown.
    """
    if stretch not in STRETCHES:
        raise ValueError(f"unknown stretch {stretch!r}, expected one of {', '.join(STRETCHES)}")
    # Pixels near the largest number leave its range, and are clipped below.
    with np.errstate(over="ignore", invalid="ignore"):
        fraction = (tiles - low) / (high - low)
    scaled = np.nan_to_num(fraction, nan=0.0, posinf=1.0, neginf=0.0)
    scaled = np.clip(scaled, 0.0, 1.0)
    if stretch == "sqrt":
        scaled = np.sqrt(scaled)
    elif stretch == "asinh":
        scaled = np.arcsinh(scaled / ASINH_SOFTENING) / np.arcsinh(1.0 / ASINH_SOFTENING)
    grey: NDArray[np.float32] = scaled.astype(np.float32)
    return grey


def whole_zoom(tiles: NDArray[np.float32], min_side: int) -> int:
    """Return the whole factor that makes tiles at least so many pixels wide or high."""
    side = int(max(tiles.shape[1], tiles.shape[2]))
    return max(1, ceil(min_side / side))


def enlarge(tiles: NDArray[np.float32], min_side: int) -> NDArray[np.float32]:
    """Repeat pixels until tiles are at least so many pixels wide or high."""
    zoom = whole_zoom(tiles, min_side)
    return tiles.repeat(zoom, axis=1).repeat(zoom, axis=2)


def average_down(tiles: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Average blocks of ``factor`` by ``factor`` pixels; what is left over is cut off."""
    if factor == 1:
        return tiles
    height, width = tiles.shape[1] // factor, tiles.shape[2] // factor
    cut = tiles[:, : height * factor, : width * factor]
    blocks = cut.reshape(len(tiles), height, factor, width, factor, *tiles.shape[3:])
    mean: NDArray[np.float32] = blocks.mean(axis=(2, 4), dtype=np.float32)
    return mean


def corner_of(index: int, columns: int, height: int, width: int) -> tuple[int, int]:
    """Return the row and column [pixels] at which a cell of the mosaic starts."""
    return GAP + (index // columns) * (height + GAP), GAP + (index % columns) * (width + GAP)


def lay_out(
    tiles: NDArray[np.float32], columns: int, headroom: int = 0, fill: float = 1.0
) -> NDArray[np.float32]:
    """Lay tiles out in rows with a line of ``fill`` between them and room above each."""
    num, height, width = tiles.shape[:3]
    bottom, _ = corner_of(ceil(num / columns) * columns, columns, height + headroom, width)
    right = GAP + min(num, columns) * (width + GAP)
    canvas = np.full((bottom, right, *tiles.shape[3:]), fill, dtype=np.float32)
    for k, tile in enumerate(tiles):
        row, column = corner_of(k, columns, height + headroom, width)
        canvas[row + headroom : row + headroom + height, column : column + width] = tile
    return canvas


def to_bytes(grey: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Map grey from 0 to 1 to 8 bits."""
    return np.round(grey * 255.0).astype(np.uint8)

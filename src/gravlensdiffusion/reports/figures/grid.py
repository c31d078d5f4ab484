"""Grids of images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gravlensdiffusion.reports.figures.png import picture_png
from gravlensdiffusion.reports.figures.tiles import (
    as_tiles,
    corner_of,
    default_columns,
    enlarge,
    lay_out,
    percentile_limits,
    to_bytes,
    to_grey,
)

TITLE_SIZE = 11
"""Height of the letters of a title [pixels]."""


def save_grid(
    images: NDArray[np.floating],
    path: str | Path,
    *,
    num_columns: int | None = None,
    stretch: str = "sqrt",
    titles: Sequence[str] | None = None,
    limits: tuple[float, float] | None = None,
    min_side: int = 56,
) -> Path:
    """Save images side by side as one picture.

    Args:
        images: Shape ``(N, C, H, W)`` or ``(N, H, W)``; three channels are shown as red, green
            and blue, any other number as its mean.
        path: The file to write; its suffix names the format.
        num_columns: Tiles in a row; by default as many as make the grid square.
        stretch: ``linear``, ``sqrt`` or ``asinh``.
        titles: One line of text above each tile.
        limits: Values shown black and white, the same for all tiles; by default the 0.1 and 99.9
            percentiles of all finite pixels.
        min_side: Tiles smaller than this are enlarged by a whole factor [pixels].

    Returns:
        The path written.

    Raises:
        ValueError: If there is no image, the shape is none of the above, or the stretch is
            unknown.
    """
    path = Path(path)
    _draw(as_tiles(images), num_columns, stretch, titles, limits, min_side).save(path)
    return path


def grid_png(
    images: NDArray[np.floating],
    *,
    num_columns: int | None = None,
    stretch: str = "sqrt",
    limits: tuple[float, float] | None = None,
    min_side: int = 56,
) -> bytes:
    """Return images side by side as a PNG file; the arguments are those of `save_grid`."""
    return picture_png(_draw(as_tiles(images), num_columns, stretch, None, limits, min_side))


def _draw(
    tiles: NDArray[np.float32],
    num_columns: int | None,
    stretch: str,
    titles: Sequence[str] | None,
    limits: tuple[float, float] | None,
    min_side: int,
) -> Image.Image:
    low, high = percentile_limits(tiles) if limits is None else limits
    grey = enlarge(to_grey(tiles, low, high, stretch), min_side)
    if titles is not None and len(titles) != len(grey):
        raise ValueError(f"{len(titles)} titles for {len(grey)} images")
    headroom = 0 if titles is None else TITLE_SIZE + 4
    columns = num_columns or default_columns(len(grey))
    picture = Image.fromarray(to_bytes(lay_out(grey, columns, headroom)))
    for k, title in enumerate(titles or ()):
        corner = corner_of(k, columns, grey.shape[1] + headroom, grey.shape[2])
        _write_title(picture, title, corner, grey.shape[2])
    return picture


MAX_TITLE = 200
"""Letters of a title that are tried for room."""


def _write_title(picture: Image.Image, title: str, corner: tuple[int, int], width: int) -> None:
    font = ImageFont.load_default(size=TITLE_SIZE)
    title = title[:MAX_TITLE]
    draw = ImageDraw.Draw(picture)
    while title and draw.textlength(title, font=font) > width:
        title = title[:-1]
    black = 0 if picture.mode == "L" else (0, 0, 0)
    draw.text((corner[1], corner[0]), title, font=font, fill=black)
